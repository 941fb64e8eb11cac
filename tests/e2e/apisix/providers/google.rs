//! Google's Vertex AI: an assertion signed with a service account's key becomes a token, which is used again.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::super::vendors::{Vendors, is, says, takes};
use super::super::{Node, NodeSetup};
use super::{from_client, keeps_out, route};
use crate::harness::{Asked, Dialect, Next, Upstream, answers, post};

const HOST: &str = "us-central1-aiplatform.googleapis.com";
const CHAT: &str = "/v1beta1/projects/my-project/locations/us-central1/endpoints/openapi/chat/completions";
const PREDICT: &str =
    "/v1/projects/my-project/locations/us-central1/publishers/google/models/text-embedding-005:predict";
const ACCOUNT: &str = "gateway@my-project.iam.gserviceaccount.com";
const TOKEN: &str = "ya29.token-of-the-account";

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).expect("a key"));

/// The account's JSON, as Google writes it.
fn account(token_uri: &str) -> String {
    let der = AsDer::<Pkcs8V1Der>::as_der(&*KEY).expect("a key");
    let private = STANDARD.encode(der.as_ref());
    json!({
        "type": "service_account",
        "project_id": "my-project",
        "private_key": format!("-----BEGIN PRIVATE KEY-----\n{private}\n-----END PRIVATE KEY-----\n"),
        "client_email": ACCOUNT,
        "token_uri": token_uri,
    })
    .to_string()
}

/// Google's token service.
fn token_service() -> Upstream {
    Upstream::start(|asked, peer| {
        peer.send(&match assertion(asked) {
            Ok(()) => {
                let granted = json!({"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"});
                answers::json_answer(200, &granted.to_string())
            }
            Err(reason) => answers::json_answer(400, &json!({"error": reason}).to_string()),
        });
        Next::Keep
    })
}

/// Refuses a request for a token that is not as RFC 7523 and Google's documentation want it.
fn assertion(asked: &Asked) -> Result<(), String> {
    is("method", Some(&asked.method), "POST")?;
    is("path", Some(&asked.path), "/token")?;
    is(
        "type",
        asked.header("content-type"),
        "application/x-www-form-urlencoded",
    )?;
    let jwt = asked
        .text()
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .ok_or("no such form")?;
    let (signed, signature) = jwt.rsplit_once('.').ok_or("no signature")?;
    let (header, claims) = signed.split_once('.').ok_or("no claims")?;
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string());
    let part = |part: &str| serde_json::from_slice::<Value>(&bytes(part)?).map_err(|error| error.to_string());
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, KEY.public_key().as_ref())
        .verify(signed.as_bytes(), &bytes(signature)?)
        .map_err(|_| "not signed with the account's key")?;
    is("algorithm", part(header)?["alg"].as_str(), "RS256")?;
    let claims = part(claims)?;
    is("issuer", claims["iss"].as_str(), ACCOUNT)?;
    let audience = format!("http://{}/token", asked.header("host").unwrap_or_default());
    is("audience", claims["aud"].as_str(), &audience)?;
    is(
        "scope",
        claims["scope"].as_str(),
        "https://www.googleapis.com/auth/cloud-platform",
    )?;
    let (Some(from), Some(to)) = (claims["iat"].as_u64(), claims["exp"].as_u64()) else {
        return Err("no times".to_owned());
    };
    let made = SystemTime::UNIX_EPOCH + Duration::from_secs(from);
    let age = SystemTime::now()
        .duration_since(made)
        .map_err(|_| "made in the future")?;
    if age > Duration::from_secs(60) || to - from > 3600 {
        return Err("not made now, or holds for more than an hour".to_owned());
    }
    Ok(())
}

/// A route whose model is the client's choice.
#[track_caller]
fn set_up(node: &Node, tokens: &Upstream) {
    let account = account(&format!("http://{}/token", tokens.address()));
    let plugin = json!({
        "provider": "vertex-ai",
        "provider_conf": {"project_id": "my-project", "region": "us-central1"},
        "auth": {"gcp": {"service_account_json": account}},
        "override": {"llm_options": {"max_tokens": 9}},
    });
    route(node, "r", "/vertex", &plugin);
}

#[test]
fn one_token_serves_chats_and_embeddings() {
    let mut vendors = Vendors::new(&[HOST]);
    let vectors = r#"{"predictions":[
        {"embeddings":{"values":[0.10,-2.50e-3],"statistics":{"token_count":2,"truncated":false}}},
        {"embeddings":{"values":[1,2],"statistics":{"token_count":3.0}}}]}"#;
    let _peer = vendors.peer(
        HOST,
        |asked| {
            keeps_out(asked)?;
            let bearer = format!("Bearer {TOKEN}");
            if asked.path == PREDICT {
                takes(asked, PREDICT, ("authorization", &bearer))?;
                let instances = json!([{"content": "first"}, {"content": "second"}]);
                return says(asked, &json!({"instances": instances}));
            }
            takes(asked, CHAT, ("authorization", &bearer))?;
            let model = "google/gemini-2.5-flash";
            says(
                asked,
                &json!({"messages": [], "model": model, "max_completion_tokens": 9}),
            )
        },
        move |asked| {
            if asked.path == PREDICT {
                vectors.to_owned()
            } else {
                answers::whole(Dialect::OpenAi, "of Google")
            }
        },
    );
    let tokens = token_service();
    let node = vendors.known_to(NodeSetup::new()).start();
    set_up(&node, &tokens);
    let chat = r#"{"messages":[],"model":"google/gemini-2.5-flash","max_tokens":100}"#;
    for _ in 0..2 {
        let response = node.send(&from_client(post("/vertex", chat)));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(
            response.text(),
            answers::whole(Dialect::OpenAi, "of Google"),
            "passed on as it is"
        );
    }
    let embed = r#"{"input":["first","second"],"model":"text-embedding-005"}"#;
    let response = node.send(&from_client(post("/vertex", embed)));
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(
        response.json(),
        json!({
            "object": "list", "model": "text-embedding-005", "usage": {"prompt_tokens": 5, "total_tokens": 5},
            "data": [
                {"object": "embedding", "index": 0, "embedding": [0.10, -2.50e-3]},
                {"object": "embedding", "index": 1, "embedding": [1, 2]},
            ],
        })
    );
    assert!(response.text().contains("[0.10,-2.50e-3]"), "digit for digit");
    tokens.asked();
    tokens.was_not_asked();
    node.stop();
}

#[test]
fn without_a_token_nothing_is_asked_and_the_reason_is_told() {
    let tokens = Upstream::saying(answers::json_answer(
        400,
        r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
    ));
    let mut vendors = Vendors::new(&[HOST]);
    let peer = vendors.peer(HOST, |_| Ok(()), |_| "{}".to_owned());
    let node = vendors.known_to(NodeSetup::new()).start();
    set_up(&node, &tokens);
    let response = node.send(&post("/vertex", r#"{"messages":[],"model":"m"}"#));
    assert_eq!(response.status(), 500, "{}", response.text());
    let text = response.text();
    assert!(
        text.contains("failed to get gcp access token: status 400: invalid_grant"),
        "{text}"
    );
    assert!(!text.contains(ACCOUNT) && !text.contains("PRIVATE KEY"), "{text}");
    peer.was_not_asked();
    node.stop();
}
