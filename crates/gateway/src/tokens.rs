//! Tokens that somebody signs with one of the keys they publish (RFC 7515, RFC 7517), as OpenID Connect providers do.
//!
//! A token names its algorithm and its key, and decides nothing by it: only algorithms with public keys are known, and a key
//! is used only with those it is made for. So neither `none` nor a public key used as a shared secret gets in.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::plugins::jwt_auth::Token;

/// Most keys of one set that are looked at.
const MOST: usize = 100;

/// The public keys of somebody who signs tokens.
#[derive(Clone, Default)]
pub struct PublicKeys(Vec<PublicKey>);

#[derive(Clone)]
struct PublicKey {
    id: Option<String>,
    /// The one algorithm it is for, where its owner says so.
    algorithm: Option<String>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Name of the curve, and the point in its uncompressed form.
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
    P521,
}

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token.
    #[error("the token is malformed")]
    Malformed,
    /// It is signed by an algorithm that proves nothing here.
    #[error("the token is signed with `{0}`, which is not allowed")]
    Algorithm(String),
    /// It is signed with a key that its issuer does not publish, or not for this algorithm.
    #[error("the token is signed with an unknown key")]
    UnknownKey,
    /// It is not signed by its issuer.
    #[error("the token's signature is wrong")]
    Signature,
}

/// What an algorithm is checked with.
enum Check {
    Rsa(&'static RsaParameters),
    Ec(Curve, &'static dyn VerificationAlgorithm),
    Ed25519,
}

impl PublicKeys {
    /// Reads a set of keys (RFC 7517). Keys that are for something else, or of an unknown kind, are left out.
    pub fn read(set: &Value) -> PublicKeys {
        let keys = set.get("keys").and_then(Value::as_array);
        PublicKeys(
            keys.into_iter()
                .flatten()
                .take(MOST)
                .filter_map(PublicKey::read)
                .collect(),
        )
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The claims of a token that one of the keys has signed. What they say is not looked at.
    ///
    /// # Errors
    /// It is not to be believed.
    pub fn claims(&self, text: &str) -> Result<Map<String, Value>, TokenError> {
        let token = Token::read(text).ok_or(TokenError::Malformed)?;
        let shown: String = token.algorithm.chars().take(20).collect();
        let check = check(&token.algorithm).ok_or(TokenError::Algorithm(shown))?;
        let mut fits = self
            .0
            .iter()
            .filter(|key| token.key_id.is_none() || key.id == token.key_id)
            .filter(|key| key.is_for(&token.algorithm, &check))
            .peekable();
        if fits.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        if !fits.any(|key| key.has_signed(&check, token.message.as_bytes(), &token.signature)) {
            return Err(TokenError::Signature);
        }
        Ok(token.claims)
    }
}

impl PublicKey {
    fn read(key: &Value) -> Option<PublicKey> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => Material::Rsa {
                n: without_zeros(bytes("n")?),
                e: without_zeros(bytes("e")?),
            },
            ("EC", Some(curve)) => {
                let (curve, length) = match curve {
                    "P-256" => (Curve::P256, 32),
                    "P-384" => (Curve::P384, 48),
                    "P-521" => (Curve::P521, 66),
                    _ => return None,
                };
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != length || y.len() != length {
                    return None;
                }
                Material::Ec {
                    curve,
                    point: [&[4], x.as_slice(), y.as_slice()].concat(),
                }
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x")?),
            _ => return None,
        };
        Some(PublicKey {
            id: text("kid").map(str::to_owned),
            algorithm: text("alg").map(str::to_owned),
            material,
        })
    }

    /// Whether the key is made for an algorithm.
    fn is_for(&self, name: &str, check: &Check) -> bool {
        let fits = match (&self.material, check) {
            (Material::Rsa { .. }, Check::Rsa(_)) | (Material::Ed25519(_), Check::Ed25519) => true,
            (Material::Ec { curve, .. }, Check::Ec(other, _)) => curve == other,
            _ => false,
        };
        fits && self
            .algorithm
            .as_deref()
            .is_none_or(|algorithm| algorithm == name)
    }

    fn has_signed(&self, check: &Check, message: &[u8], signature: &[u8]) -> bool {
        match (&self.material, check) {
            (Material::Rsa { n, e }, Check::Rsa(parameters)) => RsaPublicKeyComponents { n, e }
                .verify(parameters, message, signature)
                .is_ok(),
            (Material::Ec { point, .. }, Check::Ec(_, algorithm)) => {
                UnparsedPublicKey::new(*algorithm, point)
                    .verify(message, signature)
                    .is_ok()
            }
            (Material::Ed25519(point), Check::Ed25519) => UnparsedPublicKey::new(&ED25519, point)
                .verify(message, signature)
                .is_ok(),
            _ => false,
        }
    }
}

/// Whole numbers may be written with zeros before them; the library wants none.
fn without_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}

/// The algorithms that are known: those with a public key.
fn check(name: &str) -> Option<Check> {
    Some(match name {
        "RS256" => Check::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        "RS384" => Check::Rsa(&RSA_PKCS1_2048_8192_SHA384),
        "RS512" => Check::Rsa(&RSA_PKCS1_2048_8192_SHA512),
        "PS256" => Check::Rsa(&RSA_PSS_2048_8192_SHA256),
        "PS384" => Check::Rsa(&RSA_PSS_2048_8192_SHA384),
        "PS512" => Check::Rsa(&RSA_PSS_2048_8192_SHA512),
        "ES256" => Check::Ec(Curve::P256, &ECDSA_P256_SHA256_FIXED),
        "ES384" => Check::Ec(Curve::P384, &ECDSA_P384_SHA384_FIXED),
        "ES512" => Check::Ec(Curve::P521, &ECDSA_P521_SHA512_FIXED),
        "EdDSA" => Check::Ed25519,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RSA_PSS_SHA256,
    };
    use serde_json::json;

    use super::*;

    fn encoded(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn message(algorithm: &str, kid: &str) -> String {
        let head = json!({"alg": algorithm, "kid": kid});
        format!("{}.{}", encoded(head.to_string()), encoded(r#"{"sub":"ann"}"#))
    }

    fn signed(algorithm: &str, kid: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let message = message(algorithm, kid);
        format!("{message}.{}", encoded(sign(message.as_bytes())))
    }

    #[test]
    fn tokens_of_each_kind_of_key_are_believed_and_no_other() {
        let random = SystemRandom::new();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let ed = Ed25519KeyPair::generate().unwrap();
        let point = ec.public_key().as_ref();
        let n = rsa
            .public_key()
            .modulus()
            .big_endian_without_leading_zero()
            .to_vec();
        let keys = PublicKeys::read(&json!({"keys": [
            {"kty": "RSA", "kid": "r", "use": "sig",
             "n": encoded([&[0], n.as_slice()].concat()),
             "e": encoded(rsa.public_key().exponent().big_endian_without_leading_zero())},
            {"kty": "EC", "kid": "e", "crv": "P-256", "alg": "ES256", "x": encoded(&point[1..33]), "y": encoded(&point[33..])},
            {"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": encoded(ed.public_key().as_ref())},
            {"kty": "oct", "kid": "s", "k": "c2VjcmV0"},
            {"kty": "RSA", "kid": "x", "use": "enc", "n": "AQAB", "e": "AQAB"},
            7,
        ]}));
        let by_rsa = |encoding: &'static dyn aws_lc_rs::signature::RsaEncoding| {
            let (rsa, random) = (&rsa, &random);
            move |message: &[u8]| {
                let mut signature = vec![0; rsa.public_modulus_len()];
                rsa.sign(encoding, random, message, &mut signature).unwrap();
                signature
            }
        };
        let by_ec = |message: &[u8]| ec.sign(&random, message).unwrap().as_ref().to_vec();
        let by_ed = |message: &[u8]| ed.sign(message).as_ref().to_vec();
        for token in [
            signed("RS256", "r", by_rsa(&RSA_PKCS1_SHA256)),
            signed("PS256", "r", by_rsa(&RSA_PSS_SHA256)),
            signed("ES256", "e", by_ec),
            signed("EdDSA", "o", by_ed),
        ] {
            assert_eq!(
                keys.claims(&token).map(|claims| claims["sub"].clone()),
                Ok(json!("ann"))
            );
            let (message, signature) = token.rsplit_once('.').unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
            bytes[7] ^= 1;
            let forged = format!("{message}.{}", encoded(bytes));
            assert_eq!(keys.claims(&forged), Err(TokenError::Signature), "{token}");
        }
        let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &n);
        let by_modulus = |message: &[u8]| aws_lc_rs::hmac::sign(&hmac, message).as_ref().to_vec();
        let refused = |token: String| keys.claims(&token).unwrap_err().to_string();
        assert_eq!(
            refused(signed("HS256", "r", by_modulus)),
            "the token is signed with `HS256`, which is not allowed"
        );
        assert_eq!(
            refused(format!("{}.", message("none", "r"))),
            "the token is signed with `none`, which is not allowed"
        );
        // Another key's, another kind's, an encryption key's.
        for (algorithm, kid) in [
            ("RS256", "?"),
            ("RS256", "e"),
            ("ES256", "r"),
            ("RS256", "x"),
            ("ES384", "e"),
        ] {
            assert_eq!(
                keys.claims(&signed(algorithm, kid, by_ec)),
                Err(TokenError::UnknownKey),
                "{algorithm} {kid}"
            );
        }
        assert_eq!(keys.claims("a.b"), Err(TokenError::Malformed));
        assert_eq!(
            keys.claims(&signed("RS256", "r", by_rsa(&RSA_PSS_SHA256))),
            Err(TokenError::Signature)
        );
    }
}
