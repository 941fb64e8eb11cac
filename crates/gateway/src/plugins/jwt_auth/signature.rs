//! Signatures of JSON web tokens (RFC 7518). A verifier is made for one algorithm and one key, so a token cannot choose how
//! it is checked: neither `none` nor a public key used as a shared secret gets in.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::Unusable;

/// How tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum Algorithm {
    /// HMAC with SHA-256.
    #[default]
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RS256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    RS384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    RS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512.
    ES512,
    /// RSA PSS with SHA-256.
    PS256,
    /// RSA PSS with SHA-384.
    PS384,
    /// RSA PSS with SHA-512.
    PS512,
    /// Ed25519.
    EdDSA,
}

/// The kind of key an algorithm checks signatures with.
enum Check {
    Shared(hmac::Algorithm),
    Public(&'static dyn VerificationAlgorithm),
}

impl Algorithm {
    /// The name in the `alg` of tokens.
    fn name(self) -> &'static str {
        match self {
            Algorithm::HS256 => "HS256",
            Algorithm::HS384 => "HS384",
            Algorithm::HS512 => "HS512",
            Algorithm::RS256 => "RS256",
            Algorithm::RS384 => "RS384",
            Algorithm::RS512 => "RS512",
            Algorithm::ES256 => "ES256",
            Algorithm::ES384 => "ES384",
            Algorithm::ES512 => "ES512",
            Algorithm::PS256 => "PS256",
            Algorithm::PS384 => "PS384",
            Algorithm::PS512 => "PS512",
            Algorithm::EdDSA => "EdDSA",
        }
    }

    /// Whether the one who checks knows the secret that signs.
    pub(super) fn is_shared(self) -> bool {
        matches!(self.check(), Check::Shared(_))
    }

    fn check(self) -> Check {
        match self {
            Algorithm::HS256 => Check::Shared(hmac::HMAC_SHA256),
            Algorithm::HS384 => Check::Shared(hmac::HMAC_SHA384),
            Algorithm::HS512 => Check::Shared(hmac::HMAC_SHA512),
            Algorithm::RS256 => Check::Public(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => Check::Public(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => Check::Public(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::ES256 => Check::Public(&signature::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => Check::Public(&signature::ECDSA_P384_SHA384_FIXED),
            Algorithm::ES512 => Check::Public(&signature::ECDSA_P521_SHA512_FIXED),
            Algorithm::PS256 => Check::Public(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => Check::Public(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => Check::Public(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::EdDSA => Check::Public(&signature::ED25519),
        }
    }
}

/// Checks signatures with one algorithm and one key.
pub struct Verifier {
    algorithm: Algorithm,
    key: Key,
}

enum Key {
    Shared(hmac::Key),
    Public(ParsedPublicKey),
}

impl Verifier {
    /// Reads the key of an algorithm: `secret` for shared ones, else `public_key` in PEM.
    pub(super) fn new(
        algorithm: Algorithm,
        secret: Option<&[u8]>,
        public_key: Option<&str>,
    ) -> Result<Self, Unusable> {
        let key = match algorithm.check() {
            Check::Shared(hash) => {
                let secret = secret.filter(|secret| !secret.is_empty()).ok_or_else(|| {
                    Unusable("property \"secret\" is required when using HS based algorithms".to_owned())
                })?;
                Key::Shared(hmac::Key::new(hash, secret))
            }
            Check::Public(verification) => {
                let pem = public_key.ok_or_else(|| Unusable("missing valid public key".to_owned()))?;
                let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
                    Unusable("public_key: not a key in PEM that begins with BEGIN PUBLIC KEY".to_owned())
                })?;
                let key = ParsedPublicKey::new(verification, &der)
                    .map_err(|_| Unusable(format!("public_key: not a key for {}", algorithm.name())))?;
                Key::Public(key)
            }
        };
        Ok(Verifier { algorithm, key })
    }

    /// The name tokens must have in their `alg`.
    pub(super) fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// Tells whether a message was signed by the one who has the key.
    pub(super) fn is_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Key::Shared(key) => hmac::verify(key, message, signature).is_ok(),
            Key::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

/// Decodes a secret that is configured in base64.
pub(super) fn base64_secret(text: &str) -> Option<Vec<u8>> {
    STANDARD
        .decode(text)
        .or_else(|_| STANDARD_NO_PAD.decode(text))
        .ok()
}
