//! What each manager is asked, and how its answers are read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::super::fetch::{Fetcher, Reference};
use super::peer::{Seen, serve};
use super::{Bench, IN_VAULT, Moment, jack, manager, noon, vault};
use crate::ai::aws::{Unsigned, sign};
use crate::ai::config::AwsAuth;

fn told(body: &Value) -> Option<(u16, String)> {
    Some((200, body.to_string()))
}

/// A Vault that opens for the token `root`.
fn guarded() -> String {
    serve(|seen| {
        if seen.header("x-vault-token") != "root" {
            return Some((403, r#"{"errors":["permission denied"]}"#.to_owned()));
        }
        match (
            seen.method.as_str(),
            seen.path.as_str(),
            seen.header("x-vault-namespace"),
        ) {
            ("GET", "/v1/kv/apisix/jack", "") => {
                told(&json!({"data": {"auth-key": "one", "data": "d", "pin": 4711}}))
            }
            ("GET", "/v1/kv/apisix/team/a/jack", "") => told(&json!({"data": {"auth-key": "deep"}})),
            ("GET", "/base/v1/kv/data/jack", "eu") => {
                told(&json!({"data": {"data": {"auth-key": "two"}, "metadata": {"version": 3}}}))
            }
            _ => Some((404, r#"{"errors":[]}"#.to_owned())),
        }
    })
}

#[test]
fn a_credential_in_vault_works_when_the_write_is_answered() {
    let bench = Bench::new();
    bench.write(vec![vault(&guarded(), "$env://VAULT_TOKEN")]);
    for (reference, key) in [
        (IN_VAULT, "one"),
        ("$secret://vault/1/team/a/jack/auth-key", "deep"),
        ("$secret://vault/1/jack/data", "d"),
        ("$secret://vault/1/jack/pin", "4711"),
    ] {
        bench.write(vec![jack(reference)]);
        assert!(bench.lets_in(key), "{reference}");
    }
}

#[test]
fn references_inside_longer_texts_are_replaced() {
    let bench = Bench::new();
    bench.write(vec![
        vault(&guarded(), "root"),
        jack("Key $secret://vault/1/jack/auth-key:$secret://vault/1/jack/pin!"),
    ]);
    assert!(bench.lets_in("Key one:4711!"));
}

#[test]
fn the_second_version_of_vault_s_engine_is_read_and_the_namespace_told() {
    let bench = Bench::new();
    let uri = format!("{}/base/", guarded());
    let conf = json!({"uri": uri, "prefix": "/kv/data/", "token": "root", "namespace": "eu"});
    bench.write(vec![manager("vault/1", &conf), jack(IN_VAULT)]);
    assert!(bench.lets_in("two"));
}

#[test]
fn a_wrong_token_switches_the_credential_off_until_it_is_right() {
    let (bench, uri) = (Bench::new(), guarded());
    bench.write(vec![vault(&uri, "wrong"), jack(IN_VAULT)]);
    assert!(!bench.lets_in("one"));
    bench.write(vec![vault(&uri, "root")]);
    assert!(bench.lets_in("one"));
}

#[test]
fn an_absent_or_empty_secret_lets_nobody_in() {
    let bench = Bench::new();
    let uri = serve(|_| told(&json!({"data": {"auth-key": "", "object": {}}})));
    for key in ["auth-key", "object", "absent"] {
        let reference = format!("$secret://vault/1/jack/{key}");
        bench.write(vec![vault(&uri, "root"), jack(&reference)]);
        assert!(!bench.lets_in(""), "{key}");
        assert!(!bench.lets_in(&reference), "{key}");
    }
}

/// The names of the secrets that were asked for.
type Names = Arc<Mutex<Vec<String>>>;

/// An AWS Secrets Manager that checks signatures.
fn amazon(names: Names) -> String {
    serve(move |seen| {
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/"));
        assert_eq!(seen.header("x-amz-target"), "secretsmanager.GetSecretValue");
        assert_eq!(seen.header("x-amz-security-token"), "session");
        if seen.header("authorization") != expected_signature(seen) {
            return Some((400, r#"{"__type":"InvalidSignatureException"}"#.to_owned()));
        }
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        assert_eq!(body["VersionStage"], "AWSCURRENT");
        let name = body["SecretId"].as_str().unwrap();
        names.lock().unwrap().push(name.to_owned());
        let text = match name {
            "jack" => r#"{"auth-key":"one"}"#,
            "team/jack" => r#"{"auth-key":"two","a/b":"three"}"#,
            "whole/key" => "four",
            "jack/auth-key" => {
                return Some((
                    400,
                    r#"{"__type":"AccessDeniedException","Message":"no"}"#.to_owned(),
                ));
            }
            _ => {
                let body = r#"{"__type":"com.amazonaws#ResourceNotFoundException"}"#;
                return Some((400, body.to_owned()));
            }
        };
        told(&json!({"Name": name, "SecretString": text}))
    })
}

fn expected_signature(seen: &Seen) -> String {
    let headers: HeaderMap = ["content-type", "x-amz-target"]
        .into_iter()
        .map(|name| {
            let value = HeaderValue::from_str(seen.header(name)).unwrap();
            (HeaderName::from_static(name), value)
        })
        .collect();
    let unsigned = Unsigned {
        method: &Method::POST,
        host: seen.header("host"),
        path: "/",
        query: None,
        headers: &headers,
        body: seen.body.as_bytes(),
        region: "eu-central-1",
        service: "secretsmanager",
        time: noon(),
    };
    let auth = AwsAuth {
        access_key_id: "AKID".to_owned(),
        secret_access_key: "secret".to_owned().into(),
        session_token: Some("session".to_owned().into()),
    };
    let signed: HeaderMap = sign(&unsigned, &auth).unwrap().into_iter().collect();
    signed["authorization"].to_str().unwrap().to_owned()
}

#[test]
fn a_secret_of_amazon_is_the_longest_name_that_can_be_read() {
    let (bench, names) = (Bench::new(), Names::default());
    let conf = json!({
        "endpoint_url": amazon(names.clone()),
        "region": "eu-central-1",
        "access_key_id": "AKID",
        "secret_access_key": "secret",
        "session_token": "session",
    });
    bench.write(vec![manager("aws/1", &conf)]);
    for (path, key, asked) in [
        ("jack/auth-key", "one", &["jack/auth-key", "jack"][..]),
        ("team/jack/auth-key", "two", &["team/jack/auth-key", "team/jack"]),
        (
            "team/jack/a/b",
            "three",
            &["team/jack/a/b", "team/jack/a", "team/jack"],
        ),
        ("whole/key", "four", &["whole/key"]),
    ] {
        names.lock().unwrap().clear();
        bench.write(vec![jack(&format!("$secret://aws/1/{path}"))]);
        assert!(bench.lets_in(key), "{path}");
        assert_eq!(*names.lock().unwrap(), asked);
    }
}

#[test]
fn a_wrong_key_of_amazon_is_refused() {
    let (bench, names) = (Bench::new(), Names::default());
    let conf = json!({
        "endpoint_url": amazon(names.clone()),
        "region": "eu-central-1",
        "access_key_id": "AKID",
        "secret_access_key": "other",
        "session_token": "session",
    });
    bench.write(vec![
        manager("aws/1", &conf),
        jack("$secret://aws/1/jack/auth-key"),
    ]);
    assert!(!bench.lets_in("one"));
    assert!(names.lock().unwrap().is_empty());
}

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

fn private_key() -> String {
    let der = AsDer::<Pkcs8V1Der>::as_der(&*KEY).unwrap();
    let text = STANDARD.encode(der.as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

/// A Google that exchanges assertions of the account for the token `t1` and keeps the secrets `jack` and `plain`.
fn google(exchanges: Arc<AtomicU64>) -> String {
    serve(move |seen| match (seen.method.as_str(), seen.path.as_str()) {
        ("POST", "/token") => {
            exchanges.fetch_add(1, Ordering::SeqCst);
            let assertion = seen.body.split_once("assertion=").unwrap().1;
            let mut validation = Validation::new(Algorithm::RS256);
            validation.validate_exp = false;
            validation.validate_aud = false;
            let key = DecodingKey::from_rsa_der(KEY.public_key().as_ref());
            let claims = jsonwebtoken::decode::<Value>(assertion, &key, &validation)
                .unwrap()
                .claims;
            assert_eq!(
                (&claims["iss"], &claims["scope"]),
                (&json!("a@b"), &json!("s1 s2"))
            );
            told(&json!({"access_token": "t1", "expires_in": 3_600}))
        }
        ("GET", _) if seen.header("authorization") != "Bearer t1" => Some((401, "{}".to_owned())),
        ("GET", "/v1/projects/p/secrets/jack/versions/latest:access") => {
            told(&json!({"payload": {"data": STANDARD.encode(r#"{"auth-key":"one"}"#)}}))
        }
        ("GET", "/v1/projects/p/secrets/plain/versions/latest:access") => {
            told(&json!({"payload": {"data": STANDARD.encode("two")}}))
        }
        _ => Some((404, "{}".to_owned())),
    })
}

fn google_account(url: &str) -> Value {
    json!({
        "client_email": "a@b",
        "private_key": private_key(),
        "project_id": "p",
        "token_uri": format!("{url}/token"),
        "entries_uri": format!("{url}/v1"),
        "scope": ["s1", "s2"],
    })
}

#[test]
fn secrets_of_google_are_fetched_with_one_token() {
    let (bench, exchanges) = (Bench::new(), Arc::new(AtomicU64::new(0)));
    let url = google(exchanges.clone());
    bench.write(vec![
        manager("gcp/1", &json!({"auth_config": google_account(&url)})),
        jack("$secret://gcp/1/jack/auth-key and $secret://gcp/1/plain"),
    ]);
    assert!(bench.lets_in("one and two"));
    bench.at(300);
    assert_eq!(exchanges.load(Ordering::SeqCst), 1);
}

#[test]
fn google_s_account_may_be_in_a_file() {
    let (bench, exchanges) = (Bench::new(), Arc::new(AtomicU64::new(0)));
    let account = google_account(&google(exchanges));
    let file = std::env::temp_dir().join(format!("tollgate-account-{}.json", std::process::id()));
    std::fs::write(&file, account.to_string()).unwrap();
    let conf = json!({"auth_file": file, "ssl_verify": false});
    bench.write(vec![manager("gcp/1", &conf), jack("$secret://gcp/1/plain")]);
    std::fs::remove_file(&file).unwrap();
    assert!(bench.lets_in("two"));
}

#[test]
fn no_error_tells_a_secret_or_a_token() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let fails = serve(|seen| Some((500, format!("planted {}", seen.header("x-vault-token")))));
    let garbled = serve(|_| Some((200, "planted".to_owned())));
    for (reference, conf) in [
        (
            "vault/1/a/b",
            json!({"uri": "http://u:planted@h", "prefix": "p", "token": "planted"}),
        ),
        (
            "vault/1/a/b",
            json!({"uri": fails, "prefix": "p", "token": "planted"}),
        ),
        (
            "vault/1/a/b",
            json!({"uri": garbled, "prefix": "p", "token": "planted"}),
        ),
        (
            "vault/1/a/b",
            json!({"uri": garbled, "prefix": "p", "token": ["planted"]}),
        ),
        (
            "vault/1/a/b",
            json!({"uri": garbled, "prefix": "p", "token": "planted\n"}),
        ),
        (
            "aws/1/a",
            json!({"endpoint_url": fails, "access_key_id": "planted", "secret_access_key": "planted"}),
        ),
        (
            "aws/1/a",
            json!({"endpoint_url": garbled, "access_key_id": "a", "secret_access_key": 1}),
        ),
        (
            "gcp/1/a",
            json!({"auth_config": {"client_email": "a", "private_key": "planted", "project_id": "p"}}),
        ),
        (
            "gcp/1/a",
            json!({"auth_config": {"client_email": {"planted": 1}, "private_key": "planted"}}),
        ),
    ] {
        let reference = Reference::parse(reference).unwrap();
        let local = tokio::task::LocalSet::new();
        let limit = std::time::Duration::from_secs(20);
        let now = Moment {
            running: std::time::Duration::ZERO,
            wall: noon(),
        };
        let outcome = local.block_on(&runtime, async {
            Fetcher::default().fetch(&reference, &conf, now, limit).await
        });
        let error = outcome.err().unwrap();
        assert!(!format!("{error} {error:?}").contains("planted"), "{error}");
    }
}
