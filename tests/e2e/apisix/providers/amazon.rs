//! Amazon Bedrock: every request is signed, streams are binary frames.

use serde_json::{Value, json};

use super::super::NodeSetup;
use super::super::vendors::{Vendors, is, is_signed, says};
use super::{counting, from_client, keeps_out, route};
use crate::harness::{Asked, Next, Upstream, answers, post};

const REGION: &str = "eu-west-1";
const HOST: &str = "bedrock-runtime.eu-west-1.amazonaws.com";
const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "FwoGZXIvYXdzE+session/token==";
const ARN: &str =
    "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-v1:0";
const MODEL: &str = "arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2Feu.anthropic.claude-sonnet-4-v1%3A0";
const CALL: &str = r#"{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"model":"of the client","inferenceConfig":{"temperature":0.50,"maxTokens":500}}"#;

fn plugin(aws: &Value) -> Value {
    json!({
        "provider": "bedrock", "provider_conf": {"region": REGION}, "auth": {"aws": aws},
        "options": {"model": ARN}, "override": {"llm_options": {"max_tokens": 9}},
    })
}

fn key(session: Option<&str>) -> Value {
    let mut key = json!({"access_key_id": KEY_ID, "secret_access_key": SECRET});
    if let Some(token) = session {
        key["session_token"] = token.into();
    }
    key
}

/// Refuses a request that Bedrock would not take. `session` is the token of a temporary key.
fn refusal(asked: &Asked, operation: &str, session: Option<&str>) -> Result<(), String> {
    is("method", Some(&asked.method), "POST")?;
    is("path", Some(&asked.path), &format!("/model/{MODEL}/{operation}"))?;
    is("content-type", asked.header("content-type"), "application/json")?;
    is_signed(asked, KEY_ID, SECRET, REGION)?;
    if asked.header("x-amz-security-token") != session {
        return Err("another session".to_owned());
    }
    let signed = asked.header("authorization").is_some_and(|line| {
        line.contains("x-amz-security-token") == session.is_some() && line.starts_with("AWS4-HMAC-SHA256 ")
    });
    if !signed {
        return Err("the session is signed too".to_owned());
    }
    keeps_out(asked)?;
    if asked.headers.iter().any(|(_, value)| value.contains(SECRET)) {
        return Err("the key itself was sent".to_owned());
    }
    let messages = json!([{"role": "user", "content": [{"text": "Hello"}]}]);
    let inference = json!({"temperature": 0.5, "maxTokens": 9});
    says(
        asked,
        &json!({"messages": messages, "inferenceConfig": inference}),
    )
}

fn answer() -> String {
    json!({
        "output": {"message": {"role": "assistant", "content": [{"text": "of Bedrock"}]}},
        "stopReason": "end_turn", "usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18},
    })
    .to_string()
}

#[test]
fn converse_is_signed_with_lasting_and_with_temporary_keys() {
    for session in [None, Some(TOKEN)] {
        let mut vendors = Vendors::new(&[HOST]);
        let _peer = vendors.peer(
            HOST,
            move |asked| refusal(asked, "converse", session),
            |_| answer(),
        );
        let node = vendors.known_to(counting()).start();
        route(&node, "r", "/model/*", &plugin(&key(session)));
        let response = node.send(&from_client(post("/model/any/converse?x=1", CALL)));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(response.text(), answer(), "passed on as it is");
        assert_eq!(node.process.stdout.next(), "/model/any/converse ai_chat 11 7");
        node.stop();
    }
}

#[test]
fn the_frames_of_a_stream_pass_byte_by_byte() {
    let frames = [
        frame("messageStart", r#"{"role":"assistant"}"#),
        frame(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"of Bedrock"},"p":"abcd"}"#,
        ),
        frame("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        frame("messageStop", r#"{"stopReason":"end_turn"}"#),
        frame(
            "metadata",
            r#"{"usage":{"inputTokens":11,"outputTokens":7,"totalTokens":18},"metrics":{"latencyMs":5}}"#,
        ),
    ]
    .concat();
    let sent = frames.clone();
    let upstream = Upstream::start(move |asked, peer| {
        let refused = refusal(asked, "converse-stream", Some(TOKEN));
        if let Err(reason) = refused {
            peer.send(&answers::json_answer(
                418,
                &json!({"refused": reason}).to_string(),
            ));
            return Next::Keep;
        }
        peer.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n",
        );
        // Not where frames end.
        for part in sent.chunks(37) {
            peer.send(&answers::chunk(part));
        }
        peer.send(answers::END_OF_CHUNKS);
        Next::Keep
    });
    let node = counting().start();
    let mut plugin = plugin(&key(Some(TOKEN)));
    plugin["override"]["endpoint"] = format!("http://{}", upstream.address()).into();
    route(&node, "r", "/model/*", &plugin);
    // Amazon's own SDKs say in the path that they want a stream.
    let said = CALL.replacen('{', r#"{"stream":true,"#, 1);
    for (path, call) in [
        ("/model/any/converse", said.as_str()),
        ("/model/any/converse-stream", CALL),
    ] {
        let response = node.send(&from_client(post(path, call)));
        assert_eq!(
            response.status(),
            200,
            "{}",
            String::from_utf8_lossy(&response.body)
        );
        assert_eq!(
            response.header("content-type"),
            Some("application/vnd.amazon.eventstream")
        );
        assert!(response.body == frames, "every byte");
        assert_eq!(node.process.stdout.next(), format!("{path} ai_stream 11 7"));
    }
    node.stop();
}

#[test]
fn a_refusal_of_amazon_reaches_the_client() {
    let body = r#"{"message":"The security token included in the request is invalid."}"#;
    let upstream = Upstream::saying(answers::json_answer(403, body));
    let node = NodeSetup::new().start();
    let mut plugin = plugin(&key(None));
    plugin["override"]["endpoint"] = format!("http://{}", upstream.address()).into();
    route(&node, "r", "/model/*", &plugin);
    let response = node.send(&post("/model/any/converse", CALL));
    assert_eq!((response.status(), response.text()), (403, body));
    node.stop();
}

/// An event in Amazon's framing: lengths, their checksum, headers, payload, checksum of all.
fn frame(event: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [
        (":event-type", event),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ] {
        headers.push(u8::try_from(name.len()).expect("a short name"));
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).expect("a short value").to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let size = |length: usize| u32::try_from(length).expect("a short frame").to_be_bytes();
    let mut frame = size(16 + headers.len() + payload.len()).to_vec();
    frame.extend(size(headers.len()));
    frame.extend(checksum(&frame));
    frame.extend(headers);
    frame.extend(payload.as_bytes());
    frame.extend(checksum(&frame));
    frame
}

/// CRC-32 as in Ethernet.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 {
                (sum >> 1) ^ 0xEDB8_8320
            } else {
                sum >> 1
            }
        })
    });
    (!sum).to_be_bytes()
}
