//! Amazon's own ways: ids in addresses, keys and signatures, binary frames, kinds of errors in a header.

use serde_json::json;

use super::{KEY, Wire, frames, simulated};
use crate::harness::{Gateway, Next, Request, Setup, Upstream, answers, post};

const BODY: &str =
    "{ \"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"Hi \\u00e9\"}]}], \"unknown\":1.50 }";

const ANSWER: &str = r#"{"metrics":{"latencyMs":5},"output":{"message":{"content":[{"text":"served"}],"role":"assistant"}},"stopReason":"end_turn","usage":{"inputTokens":11,"outputTokens":7,"totalTokens":18}, "odd": 1.50}"#;

const ARN: &str = "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0";

const ARN_ESCAPED: &str =
    "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0";

/// A gateway before Amazon; `keys` is what its provider is given.
fn gateway(upstream: &Upstream, keys: &str) -> Gateway {
    Setup::new(format!(
        "models:\n  m: {{provider: b}}\n  \"{ARN}\": {{provider: b}}\n\
         providers:\n  b: {{kind: bedrock, {keys}, endpoint: \"http://{}\"}}\n\
         consumers:\n  caller: {{key: {KEY}, models: [\"*\"]}}\n",
        upstream.address()
    ))
    .start()
}

fn keyed(path: &str) -> Request {
    post(path, BODY).header("authorization", &format!("Bearer {KEY}"))
}

#[test]
fn a_request_reaches_amazon_byte_by_byte_and_so_does_its_answer() {
    let upstream = Upstream::saying(answers::json_answer(200, ANSWER));
    let gateway = gateway(&upstream, "key: provider-key-1");
    for path in [
        format!("/model/{ARN_ESCAPED}/converse"),
        format!("/model/{ARN}/converse"),
    ] {
        let response = gateway.send(&keyed(&path));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(response.text(), ANSWER);
        assert!(response.header("x-amzn-requestid").is_some());
        let asked = upstream.asked();
        assert_eq!(asked.path, format!("/model/{ARN_ESCAPED}/converse"));
        assert_eq!(asked.text(), BODY);
        assert_eq!(asked.header("authorization"), Some("Bearer provider-key-1"));
        let log = gateway.logged();
        assert_eq!(
            (&log["usage"]["prompt_tokens"], &log["request_model"]),
            (&json!(11), &json!(ARN)),
            "{log}"
        );
    }
    gateway.stop();
}

#[test]
fn requests_are_signed_with_an_amazon_key() {
    let upstream = Upstream::saying(answers::json_answer(200, ANSWER));
    let keys = "region: eu-central-1, aws: {access_key_id: AKIDEXAMPLE, secret_access_key: secret-1, session_token: token-1}";
    let gateway = gateway(&upstream, keys);
    let response = gateway.send(&keyed(&format!("/model/{ARN_ESCAPED}/converse")));
    assert_eq!(response.status(), 200, "{}", response.text());
    let asked = upstream.asked();
    let authorization = asked.header("authorization").expect("a signature");
    assert!(
        authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"),
        "{authorization}"
    );
    assert!(
        authorization.contains("/eu-central-1/bedrock/aws4_request"),
        "{authorization}"
    );
    assert_eq!(asked.header("x-amz-security-token"), Some("token-1"));
    assert_eq!(
        asked.path,
        format!("/model/{ARN_ESCAPED}/converse"),
        "escaped once on the wire"
    );
    gateway.stop();
}

#[test]
fn frames_of_a_stream_pass_as_they_came() {
    let source = simulated("");
    let original = source.send(&keyed("/model/bedrock_converse/converse-stream"));
    assert_eq!(
        original.header("content-type"),
        Some("application/vnd.amazon.eventstream")
    );
    source.stop();
    let stream = original.body.clone();
    let upstream = Upstream::start(move |asked, peer| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n";
        peer.send(head.as_bytes());
        let cut = asked.path.contains("cut");
        let sent = if cut {
            &stream[..stream.len() / 2]
        } else {
            &stream[..]
        };
        for piece in sent.chunks(23) {
            peer.send(&answers::chunk(piece));
        }
        if !cut {
            peer.send(answers::END_OF_CHUNKS);
        }
        Next::Close
    });
    let gateway = Setup::new(format!(
        "models:\n  m: {{provider: b}}\n  cut: {{provider: b}}\n\
         providers:\n  b: {{kind: bedrock, key: provider-key-1, endpoint: \"http://{}\"}}\n",
        upstream.address()
    ))
    .start();
    let whole = gateway.send(&post("/model/m/converse-stream", BODY));
    assert_eq!(whole.body, original.body);
    assert_eq!(upstream.asked().path, "/model/m/converse-stream");
    let log = gateway.logged();
    assert!(
        log["usage"]["completion_tokens"]
            .as_u64()
            .is_some_and(|tokens| tokens > 0),
        "{log}"
    );

    let cut = gateway.send(&post("/model/cut/converse-stream", BODY));
    let frames = frames(&cut.body);
    let (kind, payload) = frames.last().expect("frames");
    assert!(
        kind.ends_with("Exception"),
        "{kind}: {}",
        String::from_utf8_lossy(payload)
    );
    assert!(frames.iter().all(|(kind, _)| kind != "messageStop"));
    gateway.stop();
}

#[test]
fn an_error_of_amazon_s_keeps_its_name_for_its_clients_and_its_meaning_for_others() {
    let refusal = answers::answer(
        429,
        "content-type: application/json\r\nx-amzn-errortype: ModelNotReadyException:http://internal.amazon.com/\r\n",
        br#"{"message":"the model is not ready"}"#,
    );
    let upstream = Upstream::saying(refusal);
    let gateway = gateway(&upstream, "key: provider-key-1");
    let own = gateway.send(&keyed("/model/m/converse"));
    assert_eq!(own.status(), 429);
    let name = own.header("x-amzn-errortype").expect("a name");
    assert!(name.starts_with("ModelNotReadyException"), "{name}");
    assert_eq!(own.text(), r#"{"message":"the model is not ready"}"#);
    let other = Wire::Openai.request("m", "Hello", false, false);
    let other = gateway.send(&Wire::Openai.with_key(other, KEY));
    assert_eq!(Wire::Openai.error_message(&other), "the model is not ready");
    gateway.stop();
}

#[test]
fn a_signed_request_brings_the_key_as_its_session_token() {
    let upstream = Upstream::good("never");
    let gateway = gateway(&upstream, "key: provider-key-1");
    let signed = post("/model/m/converse", BODY).header(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00",
    );
    let response = gateway.send(&signed);
    assert_eq!(response.status(), 403);
    assert_eq!(
        response.header("x-amzn-errortype"),
        Some("UnrecognizedClientException")
    );
    assert!(
        response.text().contains("AWS_BEARER_TOKEN_BEDROCK"),
        "{}",
        response.text()
    );
    upstream.was_not_asked();
    let wrong = gateway.send(&signed.clone().header("x-amz-security-token", "another-key"));
    assert_eq!(wrong.status(), 403);
    upstream.was_not_asked();
    let right = gateway.send(&signed.header("x-amz-security-token", KEY));
    assert_ne!(right.status(), 403, "the session token is the key");
    let asked = upstream.asked();
    assert_eq!(asked.header("authorization"), Some("Bearer provider-key-1"));
    assert_eq!(asked.header("x-amz-security-token"), None);
    gateway.stop();
}
