//! What must hold for any head of a call, and for what clients show to prove who they are.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Request, Uri};
use serde_json::json;
use tollgate_gateway::plugins::auth::identity_and_proof;
use tollgate_gateway::tokens::PublicKeys;
use tollgate_gateway::who::Proof;
use tollgate_gateway::{Forwarding, fuzzing};

/// The first line is an address, then come headers as `name: value` up to an empty line, then a body.
pub(super) fn head(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Ok(uri) = Uri::try_from(lines.next().unwrap_or_default()) else {
        return;
    };
    let (mut request, ()) = Request::new(()).into_parts();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            request.headers.append(name, value);
        }
    }
    let body = lines.collect::<Vec<_>>().join(&b'\n');
    address(&uri);
    request.uri = uri;
    fuzzing::head(&request);
    cookies(&request.headers);
    forwarded(&request.headers);
    if let Some(value) = request.headers.get(AUTHORIZATION)
        && let Some((user, _)) = fuzzing::basic_credentials(value)
    {
        assert!(!user.contains(':'));
    }
    if let Some(value) = request.headers.get(RETRY_AFTER) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200);
        fuzzing::wait(value, &body, now);
    }
    if let Some(media_type) = request
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        && let Ok(text) = std::str::from_utf8(&body)
    {
        let boundary = media_type
            .split_once("boundary=")
            .map_or("x", |(_, boundary)| boundary);
        fuzzing::form_fields(text, boundary);
    }
}

/// A path that is taken leads nowhere above its root, and an argument that is removed is gone while the others stay.
fn address(uri: &Uri) {
    if uri.path().starts_with('/')
        && let Some(path) = fuzzing::normalised_path(uri.path())
    {
        assert!(path.starts_with('/') && !path.contains('\0'), "{path}");
        assert!(!path.contains("//"), "{path}");
        assert!(path.split('/').all(|part| part != "." && part != ".."), "{path}");
    }
    let Some(query) = uri.query() else { return };
    fuzzing::page(query);
    for name in query.split(['&', '=']).chain(["key", ""]) {
        let rest = fuzzing::without_argument(uri, name);
        let left = rest.query().unwrap_or_default();
        assert_eq!(
            fuzzing::argument(left, name).filter(|_| !name.is_empty()),
            None,
            "{name} of {uri}"
        );
        for other in ["a", "b"] {
            if fuzzing::argument(query, name).is_some() && name != other && !name.contains('%') {
                assert_eq!(
                    fuzzing::argument(left, other),
                    fuzzing::argument(query, other),
                    "{uri}"
                );
            }
        }
    }
}

/// A cookie that is taken away is gone, and no other one is.
fn cookies(headers: &http::HeaderMap) {
    let names = fuzzing::cookies(headers);
    let Some(first) = names.first() else { return };
    let rest = fuzzing::without_cookie(headers, first);
    let left = fuzzing::cookies(&rest);
    let expected: Vec<_> = names.iter().copied().filter(|name| name != first).collect();
    assert_eq!(left, expected);
}

/// The client's address is one that somebody has written, and only a trusted proxy may say it.
fn forwarded(headers: &http::HeaderMap) {
    static FORWARDING: LazyLock<[Forwarding; 2]> = LazyLock::new(|| {
        let of = |recursive| Forwarding::new("x-forwarded-for", &["10.0.0.0/8".to_owned()], recursive, &[]);
        [false, true].map(|recursive| of(recursive).expect("settings that can be used"))
    });
    let (proxy, stranger) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
    for forwarding in &*FORWARDING {
        assert_eq!(forwarding.client(stranger, headers), None);
        if forwarding.client(proxy, headers).is_some() {
            assert!(headers.contains_key("x-forwarded-for"));
        }
    }
}

/// No text is a token that was signed with keys that nobody has, whatever it says about how it is signed.
pub(super) fn token(bytes: &[u8]) {
    static PROOFS: LazyLock<Vec<Proof>> = LazyLock::new(|| {
        // Known to whoever reads this, but no seed is signed with it.
        let secret = "an ordinary secret of a consumer";
        let shared = ["HS256", "HS384", "HS512"]
            .map(|algorithm| json!({"key": "jack", "secret": secret, "algorithm": algorithm}));
        // Its private half was thrown away.
        let public = json!({"key": "jack", "algorithm": "EdDSA", "public_key": PUBLIC_KEY});
        let confs = shared.into_iter().chain([public]);
        confs
            .map(|conf| identity_and_proof("jwt-auth", &conf).expect("a credential").1)
            .collect()
    });
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for proof in &*PROOFS {
        let Proof::Jwt(proof) = proof else {
            panic!("credentials of jwt-auth are proven by tokens");
        };
        assert!(
            !fuzzing::is_signed_token(text, &proof.verifier),
            "{text} is let in"
        );
    }
}

/// A set of keys in the first line, a token in the rest. None is believed without a public key, whatever both say.
pub(super) fn published(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (keys, token) = text.split_once('\n').unwrap_or((text, ""));
    let keys = PublicKeys::read(&serde_json::from_str(keys).unwrap_or_default());
    assert!(
        !keys.is_empty() || keys.claims(token).is_err(),
        "{text} is believed without a key"
    );
    let _ = keys.claims(token);
}

const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEADAJdtTTIyLC5pBverzYJd02cHm5VCpmf/zMJ5vQEwYs=
-----END PUBLIC KEY-----
";
