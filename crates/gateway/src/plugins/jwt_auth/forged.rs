//! Tokens that somebody makes who must not get in.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as signatures, EcdsaKeyPair, KeyPair};
use serde_json::json;

use super::super::testing::{passed, plugin};
use super::tests::{bearer, hs, hs256, pem, refusal, rsa, signed};
use super::*;

#[test]
fn what_a_token_says_about_its_own_key_decides_nothing() {
    let claims = json!({"key": "jack"});
    let (pem, forger) = rsa();
    let sign = |header: &Value| {
        signed(header, &claims, |message| {
            let mut signature = vec![0; forger.public_modulus_len()];
            let random = SystemRandom::new();
            forger
                .sign(&signatures::RSA_PKCS1_SHA256, &random, message, &mut signature)
                .unwrap();
            signature
        })
    };
    for header in [
        json!({"alg": "RS256", "jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}),
        json!({"alg": "RS256", "jku": "http://127.0.0.1:1/keys"}),
        json!({"alg": "RS256", "x5u": "http://127.0.0.1:1/cert.pem"}),
        json!({"alg": "RS256", "x5c": [pem]}),
        json!({"alg": "RS256", "kid": "../../../../dev/null"}),
        json!({"alg": "RS256", "kid": "' OR 1=1 --"}),
    ] {
        // Neither where the consumer has a shared secret, nor where it has another public key.
        assert_eq!(
            refusal(&mut bearer(&sign(&header)), &json!({})),
            "failed to verify jwt"
        );
        let (other, _) = rsa();
        let conf = json!({"key": "jack", "algorithm": "RS256", "public_key": other});
        let mut caller = bearer(&sign(&header)).credential("jack", None, NAME, &conf);
        assert_eq!(
            refusal(&mut caller, &json!({})),
            "failed to verify jwt",
            "{header}"
        );
    }
    // What is known to have an empty or a guessable content signs nothing.
    for secret in [&b""[..], b"\0", b"null"] {
        let token = signed(
            &json!({"alg": "HS256", "kid": "../../dev/null"}),
            &claims,
            hs(hmac::HMAC_SHA256, secret),
        );
        assert_eq!(refusal(&mut bearer(&token), &json!({})), "failed to verify jwt");
    }
}

#[test]
fn tokens_that_are_not_what_they_should_be_let_nobody_in() {
    let conf = json!({});
    let good = hs256(&json!({"key": "jack"}));
    let (message, _) = good.rsplit_once('.').unwrap();
    assert_eq!(
        refusal(&mut bearer(&format!("{message}.")), &conf),
        "failed to verify jwt"
    );
    let by_text = |header: &str, claims: &str| {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature = hs(hmac::HMAC_SHA256, b"s3cret")(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let shared = r#"{"alg":"HS256"}"#;
    assert!(passed(
        &bearer(&by_text(shared, r#"{"key":"jack"}"#)).rewrite(&plugin(&SPEC, &conf))
    ));
    for (header, claims) in [
        (r#"{"alg":"none","alg":"HS256"}"#, r#"{"key":"jack"}"#),
        (r#"{"alg":"HS256","alg":"none"}"#, r#"{"key":"jack"}"#),
        (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, r#"{"key":"jack"}"#),
        (r#"{"alg":["HS256"]}"#, r#"{"key":"jack"}"#),
        (r#"{"alg":null}"#, r#"{"key":"jack"}"#),
        ("{}", r#"{"key":"jack"}"#),
        (shared, r#"["jack"]"#),
        (shared, r#"{"key":"jack"} {}"#),
        (shared, "\u{feff}{\"key\":\"jack\"}"),
    ] {
        assert_eq!(
            refusal(&mut bearer(&by_text(header, claims)), &conf),
            "JWT token invalid",
            "{header} {claims}"
        );
    }
    // Of two names neither the one nor the other may be proven by the secret of somebody else.
    for claims in [r#"{"key":"jack","key":"jill"}"#, r#"{"key":"jill","key":"jack"}"#] {
        let mut caller = bearer(&by_text(shared, claims))
            .consumer("jill", None)
            .credential("jill", None, NAME, &json!({"key": "jill", "secret": "jills"}));
        if passed(&caller.rewrite(&plugin(&SPEC, &conf))) {
            assert_eq!(
                &*caller.consumer.clone().unwrap().consumer.name,
                "jack",
                "{claims}"
            );
        }
    }
    // A long one is not worth more: nothing of it is looked at twice.
    let long = json!({"key": "jack", "padding": "x".repeat(8 << 20)}).to_string();
    assert!(passed(
        &bearer(&by_text(shared, &long)).rewrite(&plugin(&SPEC, &conf))
    ));
    let deep = format!(
        "{{\"key\":\"jack\",\"x\":{}{}}}",
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    assert_eq!(
        refusal(&mut bearer(&by_text(shared, &deep)), &conf),
        "JWT token invalid"
    );
}

#[test]
fn a_signature_on_another_curve_is_none() {
    let random = SystemRandom::new();
    let on_p384 = |message: &[u8]| {
        let pair = EcdsaKeyPair::generate(&signatures::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        pair.sign(&random, message).unwrap().as_ref().to_vec()
    };
    let pair = EcdsaKeyPair::generate(&signatures::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let public = pem(der.as_ref());
    let conf = json!({"key": "curve", "algorithm": "ES256", "public_key": public});
    let claims = json!({"key": "curve"});
    for algorithm in ["ES256", "ES384"] {
        for signature in [Vec::new(), vec![0; 64], vec![0; 96], on_p384(b"x")] {
            let token = signed(&json!({"alg": algorithm}), &claims, |_| signature.clone());
            let mut caller = bearer(&token).credential("jack", None, NAME, &conf);
            assert_eq!(refusal(&mut caller, &json!({})), "failed to verify jwt");
        }
        let token = signed(&json!({"alg": algorithm}), &claims, on_p384);
        let mut caller = bearer(&token).credential("jack", None, NAME, &conf);
        assert_eq!(refusal(&mut caller, &json!({})), "failed to verify jwt");
    }
}
