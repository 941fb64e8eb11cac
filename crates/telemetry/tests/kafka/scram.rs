//! The broker's side of SCRAM, honest or not.

use std::num::NonZeroU32;

use aws_lc_rs::digest::digest;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tollgate_telemetry::kafka::Mechanism;

use super::broker::{Cheat, Login};

/// An exchange in which the client has to prove that it knows the password.
pub struct Server {
    hash: hmac::Algorithm,
    signed: String,
    nonce: String,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
    cheat: Option<Cheat>,
    is_strict: bool,
}

impl Server {
    /// The broker's first message to the client's first.
    pub fn challenge(login: &Login, message: &[u8]) -> Option<(Server, Vec<u8>)> {
        let bare = str::from_utf8(message).ok()?.strip_prefix("n,,")?;
        let (user, nonce) = bare.strip_prefix("n=")?.split_once(",r=")?;
        if user.replace("=2C", ",").replace("=3D", "=") != login.user {
            return None;
        }
        let nonce = match login.cheat {
            Some(Cheat::Nonce) => "of-somebody-else".to_owned(),
            _ => format!("{nonce}of-the-broker"),
        };
        let salt = b"a salt of the broker";
        let challenge = format!(
            "r={nonce},s={},i={}",
            BASE64_STANDARD.encode(salt),
            login.iterations
        );
        let (hash, algorithm, stored_by) = match login.mechanism {
            Mechanism::ScramSha512 => (hmac::HMAC_SHA512, pbkdf2::PBKDF2_HMAC_SHA512, &digest::SHA512),
            _ => (hmac::HMAC_SHA256, pbkdf2::PBKDF2_HMAC_SHA256, &digest::SHA256),
        };
        let mut salted = vec![0; stored_by.output_len()];
        let iterations = NonZeroU32::new(login.iterations)?;
        pbkdf2::derive(
            algorithm,
            iterations,
            salt,
            login.password.as_bytes(),
            &mut salted,
        );
        let key = |name: &[u8]| hmac::sign(&hmac::Key::new(hash, &salted), name);
        let server_key = match login.cheat {
            Some(Cheat::Signature) => b"made up".to_vec(),
            _ => key(b"Server Key").as_ref().to_vec(),
        };
        let server = Server {
            hash,
            signed: format!("{bare},{challenge}"),
            nonce,
            stored_key: digest(stored_by, key(b"Client Key").as_ref()).as_ref().to_vec(),
            server_key,
            cheat: login.cheat,
            is_strict: login.is_strict,
        };
        Some((server, challenge.into_bytes()))
    }

    /// The broker's last message to the client's last, if its proof is right.
    pub fn finish(self, message: &[u8]) -> Option<Vec<u8>> {
        let (without_proof, proof) = str::from_utf8(message).ok()?.rsplit_once(",p=")?;
        let nonce = without_proof.strip_prefix("c=biws,r=")?;
        // librdkafka before 2.6.1 says its own nonce twice, and Kafka lets it.
        if nonce != self.nonce && (self.is_strict || !nonce.ends_with(&self.nonce)) {
            return None;
        }
        let signed = format!("{},{without_proof}", self.signed);
        let sign = |key: &[u8]| hmac::sign(&hmac::Key::new(self.hash, key), signed.as_bytes());
        let client_key: Vec<u8> = BASE64_STANDARD
            .decode(proof)
            .ok()?
            .iter()
            .zip(sign(&self.stored_key).as_ref())
            .map(|(proof, signature)| proof ^ signature)
            .collect();
        let algorithm = match self.hash == hmac::HMAC_SHA512 {
            true => &digest::SHA512,
            false => &digest::SHA256,
        };
        let is_right = digest(algorithm, &client_key).as_ref() == self.stored_key;
        let signature = BASE64_STANDARD.encode(sign(&self.server_key));
        match self.cheat {
            // Whoever does not know the password lets everybody in.
            Some(Cheat::NoSignature) => Some(Vec::new()),
            _ => is_right.then(|| format!("v={signature}").into_bytes()),
        }
    }
}
