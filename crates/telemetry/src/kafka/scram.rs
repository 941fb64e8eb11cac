//! The client's side of SCRAM (RFC 5802, RFC 7677): both sides prove that they know the password, and neither says it.
//!
//! As in Kafka's own clients, user and password are taken as they are (no SASLprep), and there is no channel binding.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, digest};
use aws_lc_rs::{hmac, pbkdf2, rand};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// The fewest iterations that a broker may ask for (RFC 7677, section 4). With fewer, somebody who only claims to be the
/// broker could guess the password from the proof.
const MIN_ITERATIONS: u32 = 4096;

/// The most iterations. Kafka takes at most 16384; more than this would only keep other loggers waiting.
const MAX_ITERATIONS: u32 = 131_072;

/// Random bytes in the client's nonce.
const NONCE_BYTES: usize = 18;

/// The longest message that is read from a broker, in bytes.
const MAX_MESSAGE: usize = 4096;

/// The hash function of the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

/// Why a broker is not signed in at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramError {
    #[error("the broker's message is no SCRAM message: {0}")]
    Garbled(&'static str),
    #[error("the broker answers somebody else: its nonce does not begin with ours")]
    Nonce,
    #[error("the broker asks for {0} iterations, allowed are {MIN_ITERATIONS} to {MAX_ITERATIONS}")]
    Iterations(u32),
    #[error("the broker refuses: {0}")]
    Refused(String),
    #[error("the broker does not know the password itself: its signature is wrong")]
    Signature,
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// The exchange after the client's first message.
pub(super) struct First {
    hash: Hash,
    nonce: String,
    bare: String,
}

/// The exchange after the client's last message.
pub(super) struct Last {
    server_signature: hmac::Tag,
}

impl First {
    /// Begins an exchange. Gives the client's first message.
    pub(super) fn new(hash: Hash, user: &str) -> Result<(First, String), ScramError> {
        let mut random = [0; NONCE_BYTES];
        rand::fill(&mut random).map_err(|_| ScramError::NoRandomness)?;
        Ok(First::with_nonce(hash, user, BASE64_STANDARD.encode(random)))
    }

    fn with_nonce(hash: Hash, user: &str, nonce: String) -> (First, String) {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        let message = format!("{NO_CHANNEL_BINDING}{bare}");
        (First { hash, nonce, bare }, message)
    }

    /// Reads the broker's first message. Gives the client's last one.
    pub(super) fn answer(&self, message: &[u8], password: &str) -> Result<(Last, String), ScramError> {
        let message = text(message)?;
        let Challenge {
            nonce,
            salt,
            iterations,
        } = Challenge::read(message)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonce);
        }
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(ScramError::Iterations(iterations));
        }
        let without_proof = format!("c={},r={nonce}", BASE64_STANDARD.encode(NO_CHANNEL_BINDING));
        let signed = format!("{},{message},{without_proof}", self.bare);
        let salted = self.hash.salted(password, &salt, iterations);
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(self.hash.hmac(), key), text);

        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest(self.hash.digest(), client_key.as_ref());
        let client_signature = sign(stored_key.as_ref(), signed.as_bytes());
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(client_signature.as_ref())
            .map(|(key, signature)| key ^ signature)
            .collect();

        let server_key = sign(&salted, b"Server Key");
        let last = Last {
            server_signature: sign(server_key.as_ref(), signed.as_bytes()),
        };
        Ok((
            last,
            format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)),
        ))
    }
}

impl Last {
    /// Reads the broker's last message: whether it knows the password too.
    pub(super) fn check(&self, message: &[u8]) -> Result<(), ScramError> {
        let message = text(message)?;
        let first = message.split(',').next().unwrap_or_default();
        if let Some(error) = first.strip_prefix("e=") {
            return Err(ScramError::Refused(error.to_owned()));
        }
        let signature = first
            .strip_prefix("v=")
            .ok_or(ScramError::Garbled("there is no signature"))?;
        let signature = BASE64_STANDARD
            .decode(signature)
            .map_err(|_| ScramError::Garbled("the signature is not base64"))?;
        verify_slices_are_equal(&signature, self.server_signature.as_ref()).map_err(|_| ScramError::Signature)
    }
}

/// Reads bytes as both messages of a broker. For the fuzzer.
pub fn fuzz_scram(bytes: &[u8]) {
    if let Ok(text) = text(bytes)
        && let Ok(challenge) = Challenge::read(text)
    {
        assert!(!challenge.salt.is_empty());
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a key that nobody else has");
    let last = Last {
        server_signature: hmac::sign(&key, bytes),
    };
    let _ = last.check(bytes);
}

/// What the broker's first message says.
struct Challenge<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> Challenge<'a> {
    fn read(message: &'a str) -> Result<Self, ScramError> {
        let mut fields = message.split(',');
        let mut field = |name: &str, missing| {
            let value = fields.next().and_then(|field| field.strip_prefix(name));
            value.ok_or(ScramError::Garbled(missing))
        };
        // An extension that must be understood (m=) would be in the nonce's place, and is not understood.
        let nonce = field("r=", "there is no nonce")?;
        let salt = field("s=", "there is no salt")?;
        let iterations = field("i=", "there is no number of iterations")?;
        let salt = BASE64_STANDARD
            .decode(salt)
            .map_err(|_| ScramError::Garbled("the salt is not base64"))?;
        if salt.is_empty() {
            return Err(ScramError::Garbled("the salt is empty"));
        }
        Ok(Challenge {
            nonce,
            salt,
            iterations: iterations
                .parse()
                .map_err(|_| ScramError::Garbled("the number of iterations is none"))?,
        })
    }
}

impl Hash {
    fn salted(self, password: &str, salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
        let (algorithm, length) = match self {
            Hash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, digest::SHA256_OUTPUT_LEN),
            Hash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, digest::SHA512_OUTPUT_LEN),
        };
        let mut salted = Zeroizing::new(vec![0; length]);
        // The bounds of the iterations exclude 0, for which this stands.
        let iterations = std::num::NonZeroU32::new(iterations).unwrap_or(std::num::NonZeroU32::MIN);
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut salted);
        salted
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha512 => &digest::SHA512,
        }
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MAX_MESSAGE {
        return Err(ScramError::Garbled("it is too long"));
    }
    str::from_utf8(message).map_err(|_| ScramError::Garbled("it is not UTF-8"))
}

/// The header of RFC 5801 that says so.
const NO_CHANNEL_BINDING: &str = "n,,";

#[cfg(test)]
mod tests {
    use super::{First, Hash, ScramError};

    const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn begun() -> First {
        First::with_nonce(Hash::Sha256, "user", CLIENT_NONCE.to_owned()).0
    }

    #[test]
    fn the_exchange_of_rfc_7677_is_made_to_the_letter() {
        let (first, message) = First::with_nonce(Hash::Sha256, "user", CLIENT_NONCE.to_owned());
        assert_eq!(message, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (last, message) = first
            .answer(CHALLENGE.as_bytes(), "pencil")
            .expect("a good challenge");
        assert_eq!(
            message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(
            last.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
            Ok(())
        );
        assert_eq!(
            last.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="),
            Err(ScramError::Garbled("the signature is not base64"))
        );
        assert_eq!(
            last.check(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
            Err(ScramError::Signature)
        );
        assert_eq!(last.check(b"v="), Err(ScramError::Signature));
        assert_eq!(
            last.check(b"e=invalid-proof"),
            Err(ScramError::Refused("invalid-proof".to_owned()))
        );
    }

    #[test]
    fn a_broker_that_answers_somebody_else_is_left() {
        for nonce in ["somebody-elses", CLIENT_NONCE, ""] {
            let challenge = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
            assert_eq!(
                begun().answer(challenge.as_bytes(), "pencil").err(),
                Some(ScramError::Nonce),
                "{nonce}"
            );
        }
    }

    #[test]
    fn a_broker_that_makes_guessing_cheap_or_working_dear_is_left() {
        let answer = |iterations: &str| {
            let challenge = format!("r={CLIENT_NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={iterations}");
            begun().answer(challenge.as_bytes(), "pencil").err()
        };
        assert_eq!(answer("4095"), Some(ScramError::Iterations(4095)));
        assert_eq!(answer("4096"), None);
        assert_eq!(answer("131072"), None);
        assert_eq!(answer("131073"), Some(ScramError::Iterations(131_073)));
        assert_eq!(
            answer("-1"),
            Some(ScramError::Garbled("the number of iterations is none"))
        );
    }

    #[test]
    fn names_with_the_characters_of_the_format_are_escaped() {
        let (_, message) = First::with_nonce(Hash::Sha512, "a=b,c", "x".to_owned());
        assert_eq!(message, "n,,n=a=3Db=2Cc,r=x");
    }

    #[test]
    fn garbled_challenges_are_told_apart() {
        for challenge in [
            "",
            "m=ext,r=a,s=b,i=1",
            "r=a",
            "r=a,s=!,i=4096",
            "r=a,s=,i=4096",
            "r=a,s=YQ==",
        ] {
            assert!(
                matches!(
                    begun().answer(challenge.as_bytes(), "pencil"),
                    Err(ScramError::Garbled(_))
                ),
                "{challenge}"
            );
        }
        assert_eq!(
            begun().answer(&[0xff], "pencil").err(),
            Some(ScramError::Garbled("it is not UTF-8"))
        );
        assert_eq!(
            begun().answer(&[b'r'; 5000], "pencil").err(),
            Some(ScramError::Garbled("it is too long"))
        );
    }
}
