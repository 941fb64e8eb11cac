use std::time::SystemTime;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as signatures, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::testing::{Caller, passed, plugin, reply, told};
use super::*;

const NOW: u64 = 1_700_000_000;

fn unsigned(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    )
}

pub(super) fn signed(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = unsigned(header, claims);
    let signature = sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

pub(super) fn hs(algorithm: hmac::Algorithm, secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, secret);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

pub(super) fn hs256(claims: &Value) -> String {
    signed(&json!({"alg": "HS256"}), claims, hs(hmac::HMAC_SHA256, b"s3cret"))
}

fn caller(uri: &str) -> Caller {
    Caller::get(uri)
        .consumer("jack", None)
        .consumer("guest", None)
        .credential(
            "jack",
            Some("j1"),
            NAME,
            &json!({"key": "jack", "secret": "s3cret"}),
        )
}

pub(super) fn bearer(token: &str) -> Caller {
    caller("/").header("authorization", &format!("Bearer {token}"))
}

pub(super) fn refusal(caller: &mut Caller, conf: &Value) -> String {
    let (status, body) = told(caller.rewrite(&plugin(&SPEC, conf)));
    assert_eq!(status, 401);
    assert!(caller.consumer.is_none());
    serde_json::from_str::<Value>(&body).unwrap()["message"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_signed_token_attaches_its_consumer_wherever_it_stands() {
    let token = hs256(&json!({"key": "jack"}));
    for mut caller in [
        bearer(&token),
        caller("/").header("authorization", &format!("bearer {token}")),
        caller("/").header("authorization", &token),
        caller(&format!("/?jwt={token}")),
        caller("/").header("cookie", &format!("a=1; jwt={token}; b=2")),
    ] {
        assert!(passed(&caller.rewrite(&plugin(&SPEC, &json!({})))));
        assert_eq!(caller.sent("x-consumer-username"), Some("jack"));
        assert_eq!(caller.sent("x-credential-identifier"), Some("j1"));
    }
}

#[test]
fn hidden_tokens_do_not_reach_upstreams() {
    let token = hs256(&json!({"key": "jack"}));
    let hiding = plugin(&SPEC, &json!({"hide_credentials": true}));
    let mut by_header = bearer(&token);
    assert!(passed(&by_header.rewrite(&hiding)));
    assert_eq!(by_header.sent("authorization"), None);
    let mut by_query = caller(&format!("/p?a=1&jwt={token}"));
    assert!(passed(&by_query.rewrite(&hiding)));
    assert_eq!(by_query.request.uri, "/p?a=1");
    let mut by_cookie = caller("/").header("cookie", &format!("a=1; jwt={token}; b=2"));
    assert!(passed(&by_cookie.rewrite(&hiding)));
    assert_eq!(by_cookie.sent("cookie"), Some("a=1; b=2"));
}

#[test]
fn each_way_to_be_wrong_has_its_text() {
    let good = hs256(&json!({"key": "jack"}));
    let conf = json!({});
    assert_eq!(refusal(&mut caller("/"), &conf), "Missing JWT token in request");
    for malformed in ["", "a.b", "a.b.c", &good.replace('.', "!"), &format!("{good}.x")] {
        assert_eq!(refusal(&mut bearer(malformed), &conf), "JWT token invalid");
    }
    let no_key = hs256(&json!({"sub": "jack"}));
    assert_eq!(
        refusal(&mut bearer(&no_key), &conf),
        "missing user key in JWT token"
    );
    for key in [json!("jill"), json!(1)] {
        let token = hs256(&json!({"key": key}));
        assert_eq!(
            refusal(&mut bearer(&token), &conf),
            "Invalid user key in JWT token"
        );
    }
    let other = signed(
        &json!({"alg": "HS256"}),
        &json!({"key": "jack"}),
        hs(hmac::HMAC_SHA256, b"other"),
    );
    assert_eq!(refusal(&mut bearer(&other), &conf), "failed to verify jwt");
    let answer = reply(caller("/").rewrite(&plugin(&SPEC, &json!({"realm": "r"}))));
    assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"r\"");
}

#[test]
fn a_token_cannot_choose_how_it_is_checked() {
    let claims = json!({"key": "jack"});
    for header in [json!({"alg": "none"}), json!({"alg": "None"}), json!({"alg": ""})] {
        let token = format!("{}.", unsigned(&header, &claims));
        assert_eq!(refusal(&mut bearer(&token), &json!({})), "failed to verify jwt");
    }
    let stronger = signed(
        &json!({"alg": "HS512"}),
        &claims,
        hs(hmac::HMAC_SHA512, b"s3cret"),
    );
    assert_eq!(
        refusal(&mut bearer(&stronger), &json!({})),
        "failed to verify jwt"
    );

    // The classic: the public key, which everybody knows, used as a shared secret.
    let (pem, _) = rsa();
    let confused = signed(
        &json!({"alg": "HS256"}),
        &json!({"key": "rsa"}),
        hs(hmac::HMAC_SHA256, pem.as_bytes()),
    );
    let conf = json!({"key": "rsa", "algorithm": "RS256", "public_key": pem, "secret": pem});
    let mut caller = bearer(&confused).credential("jack", None, NAME, &conf);
    assert_eq!(refusal(&mut caller, &json!({})), "failed to verify jwt");
}

#[test]
fn tokens_are_valid_from_nbf_until_exp() {
    let verdict =
        |claims: Value, conf: &Value| passed(&bearer(&hs256(&claims)).rewrite(&plugin(&SPEC, conf)));
    let lenient = json!({});
    assert!(verdict(
        json!({"key": "jack", "exp": NOW + 1, "nbf": NOW}),
        &lenient
    ));
    assert!(!verdict(json!({"key": "jack", "exp": NOW}), &lenient));
    assert!(!verdict(json!({"key": "jack", "nbf": NOW + 1}), &lenient));
    assert!(!verdict(json!({"key": "jack", "exp": "2099"}), &lenient));
    // An empty list asks for the same as no list.
    assert!(!verdict(
        json!({"key": "jack", "exp": NOW}),
        &json!({"claims_to_verify": []})
    ));

    let both = json!({"claims_to_verify": ["exp", "nbf"]});
    assert!(verdict(
        json!({"key": "jack", "exp": NOW + 1, "nbf": NOW - 1}),
        &both
    ));
    assert!(!verdict(json!({"key": "jack", "exp": NOW + 1}), &both));
    let nbf = json!({"claims_to_verify": ["nbf"]});
    assert!(verdict(
        json!({"key": "jack", "exp": NOW - 1, "nbf": NOW - 1}),
        &nbf
    ));
}

#[test]
fn the_grace_period_forgives_that_many_seconds() {
    let conf = json!({"key": "late", "secret": "s3cret", "lifetime_grace_period": 10});
    for (claims, is_in_time) in [
        (json!({"key": "late", "exp": NOW - 9}), true),
        (json!({"key": "late", "exp": NOW - 10}), false),
        (json!({"key": "late", "nbf": NOW + 10}), true),
        (json!({"key": "late", "nbf": NOW + 11}), false),
    ] {
        let mut caller = bearer(&hs256(&claims)).credential("jack", None, NAME, &conf);
        assert_eq!(
            passed(&caller.rewrite(&plugin(&SPEC, &json!({})))),
            is_in_time,
            "{claims}"
        );
    }
}

#[test]
fn secrets_can_be_written_in_base64() {
    let conf = json!({"key": "b64", "secret": STANDARD.encode([0, 255, 7]), "base64_secret": true, "algorithm": "HS384"});
    let token = signed(
        &json!({"alg": "HS384"}),
        &json!({"key": "b64"}),
        hs(hmac::HMAC_SHA384, &[0, 255, 7]),
    );
    let mut caller = bearer(&token).credential("jack", None, NAME, &conf);
    assert!(passed(&caller.rewrite(&plugin(&SPEC, &json!({})))));
}

pub(super) fn pem(der: &[u8]) -> String {
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(der)
    )
}

pub(super) fn rsa() -> (String, RsaKeyPair) {
    let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    (pem(der.as_ref()), pair)
}

fn with_public_key(algorithm: &str, pem: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) {
    let token = signed(&json!({"alg": algorithm}), &json!({"key": "pub"}), sign);
    let conf = json!({"key": "pub", "algorithm": algorithm, "public_key": pem});
    assert_eq!((SPEC.check)(&conf, SchemaType::Consumer), Ok(()));
    let accept = plugin(&SPEC, &json!({}));
    let mut good = bearer(&token).credential("jack", None, NAME, &conf);
    assert!(passed(&good.rewrite(&accept)), "{algorithm}");
    let (message, _) = token.rsplit_once('.').unwrap();
    let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode([1; 64]));
    let mut bad = bearer(&forged).credential("jack", None, NAME, &conf);
    assert!(!passed(&bad.rewrite(&accept)), "{algorithm}");
}

#[test]
fn tokens_can_be_signed_with_rsa() {
    let (pem, pair) = rsa();
    let sign = |encoding: &'static dyn signatures::RsaEncoding| {
        let pair = &pair;
        move |message: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
                .unwrap();
            signature
        }
    };
    with_public_key("RS256", &pem, sign(&signatures::RSA_PKCS1_SHA256));
    with_public_key("RS384", &pem, sign(&signatures::RSA_PKCS1_SHA384));
    with_public_key("RS512", &pem, sign(&signatures::RSA_PKCS1_SHA512));
    with_public_key("PS256", &pem, sign(&signatures::RSA_PSS_SHA256));
    with_public_key("PS384", &pem, sign(&signatures::RSA_PSS_SHA384));
    with_public_key("PS512", &pem, sign(&signatures::RSA_PSS_SHA512));
}

#[test]
fn tokens_can_be_signed_on_elliptic_curves() {
    for (algorithm, curve) in [
        ("ES256", &signatures::ECDSA_P256_SHA256_FIXED_SIGNING),
        ("ES384", &signatures::ECDSA_P384_SHA384_FIXED_SIGNING),
        ("ES512", &signatures::ECDSA_P521_SHA512_FIXED_SIGNING),
    ] {
        let pair = EcdsaKeyPair::generate(curve).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        with_public_key(algorithm, &pem(der.as_ref()), |message| {
            pair.sign(&SystemRandom::new(), message)
                .unwrap()
                .as_ref()
                .to_vec()
        });
    }
    let pair = Ed25519KeyPair::generate().unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    with_public_key("EdDSA", &pem(der.as_ref()), |message| {
        pair.sign(message).as_ref().to_vec()
    });
}

#[test]
fn credentials_that_cannot_work_are_refused_with_the_reason() {
    for (conf, reason) in [
        (
            json!({"key": "a"}),
            "property \"secret\" is required when using HS based algorithms",
        ),
        (
            json!({"key": "a", "algorithm": "RS256", "secret": "x"}),
            "missing valid public key",
        ),
        (
            json!({"key": "a", "secret": "?", "base64_secret": true}),
            "base64_secret required but the secret is not in base64 format",
        ),
        (
            json!({"key": "a", "algorithm": "ES256", "public_key": "nonsense"}),
            "public_key: not a key in PEM that begins with BEGIN PUBLIC KEY",
        ),
        (
            json!({"key": "a", "algorithm": "ES256", "public_key": rsa().0}),
            "public_key: not a key for ES256",
        ),
    ] {
        assert_eq!((SPEC.check)(&conf, SchemaType::Consumer), Err(reason.to_owned()));
        assert_eq!(auth::identity_and_proof(NAME, &conf).err().unwrap().0, reason);
    }
    let reference = json!({"key": "a", "secret": "$env://S", "base64_secret": true});
    assert_eq!((SPEC.check)(&reference, SchemaType::Consumer), Ok(()));
}

#[test]
fn claims_are_kept_with_the_call_where_that_is_wanted() {
    let token = hs256(&json!({"key": "jack", "sub": "u1"}));
    for (store, kept) in [(true, Some("u1")), (false, None)] {
        let mut caller = bearer(&token);
        assert!(passed(
            &caller.rewrite(&plugin(&SPEC, &json!({"store_in_ctx": store})))
        ));
        let claims = caller.request.extensions.get::<JwtClaims>();
        assert_eq!(claims.and_then(|claims| claims.0.get("sub")?.as_str()), kept);
    }
}

#[test]
fn the_claim_that_names_the_consumer_and_the_fallback_can_be_chosen() {
    let conf = json!({"key_claim_name": "iss", "anonymous_consumer": "guest"});
    for (claims, name) in [
        (json!({"iss": "jack"}), "jack"),
        (json!({"key": "jack"}), "guest"),
    ] {
        let mut caller = bearer(&hs256(&claims));
        assert!(passed(&caller.rewrite(&plugin(&SPEC, &conf))));
        assert_eq!(caller.sent("x-consumer-username"), Some(name));
    }
    let mut old = bearer(&hs256(&json!({"key": "jack", "exp": NOW + 5})));
    old.now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + 5);
    assert_eq!(refusal(&mut old, &json!({})), "failed to verify jwt");
}
