//! What must hold for any bytes in the gateway's own parsers.

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tollgate_dialects::scan::scan;
use tollgate_gateway::ai::config::InstanceConf;
use tollgate_gateway::ai::protocol::{Protocol, detect, is_streaming};
use tollgate_gateway::ai::reading::{Facts, Framing, Reader, WholeFrames};
use tollgate_gateway::ai::shape::{Shaped, shape};
use tollgate_gateway::ai::vertex;
use tollgate_gateway::fuzzing;

#[path = "calls.rs"]
mod calls;
#[path = "configurations.rs"]
mod configurations;

const PROTOCOLS: [Protocol; 7] = [
    Protocol::OpenaiChat,
    Protocol::OpenaiResponses,
    Protocol::OpenaiEmbeddings,
    Protocol::AnthropicMessages,
    Protocol::BedrockConverse,
    Protocol::VertexPredict,
    Protocol::Passthrough,
];

/// Configurations that change bodies in every way there is.
const CONFS: [&str; 3] = [
    r#"{"provider":"openai","auth":{}}"#,
    r#"{"provider":"openai","auth":{},"options":{"model":"new","stream":true},
        "override":{"llm_options":{"max_tokens":9},"request_body_force_override":true,
        "request_body":{"openai-chat":{"a":{"b":{"c":1}},"n":[1]}}}}"#,
    r#"{"provider":"bedrock","auth":{},"override":{"llm_options":{"max_tokens":9},
        "request_body":{"bedrock-converse":{"inferenceConfig":{"topP":0.5}}}}}"#,
];

/// A name, and what must hold for any bytes given to a parser.
pub(crate) type FuzzTarget = (&'static str, fn(&[u8]));

/// All targets of this crate.
pub(crate) const TARGETS: &[FuzzTarget] = &[
    ("ai_request", request),
    ("ai_answer", answer),
    ("conversation", conversation),
    ("call_head", calls::head),
    ("jwt", calls::token),
    ("published_keys", calls::published),
    ("plugin_conf", configurations::plugins),
    ("ssl_object", configurations::ssl),
    ("provider_address", configurations::address),
    ("secret_answer", configurations::secret),
    ("vectors_answer", configurations::vectors),
    ("upstream_answer", upstream_answer),
    ("client_request", client_request),
];

/// The answer of a provider does not depend on how it is cut.
fn upstream_answer(bytes: &[u8]) {
    for method in [Method::POST, Method::HEAD] {
        let whole = fuzzing::upstream_answer(bytes, usize::MAX, &method);
        for step in [1, 7] {
            assert_eq!(fuzzing::upstream_answer(bytes, step, &method), whole);
        }
    }
}

/// What a client asks does not depend on how it is cut.
fn client_request(bytes: &[u8]) {
    let whole = fuzzing::client_requests(bytes, usize::MAX);
    for step in [1, 7] {
        assert_eq!(fuzzing::client_requests(bytes, step), whole);
    }
}

/// The first line is a request of the Responses API, the rest its answer. Whatever is kept of a conversation, what is said
/// about it and what goes on with it is JSON; a stream does not depend on the cuts.
fn conversation(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n');
    let (request, answer) = bytes.split_at(line.unwrap_or(bytes.len()));
    let answer = answer.get(1..).unwrap_or_default();
    let given = fuzzing::conversation(request, answer, &[usize::MAX, 1, 7]);
    for document in &given.documents {
        assert!(scan(document).is_ok(), "{}", String::from_utf8_lossy(document));
    }
    if let Some(shown) = &given.answer
        && scan(answer).is_ok()
    {
        assert!(scan(shown).is_ok(), "{}", String::from_utf8_lossy(shown));
    }
    if let [whole, others @ ..] = &given.streams[..] {
        assert!(
            others.iter().all(|other| other == whole),
            "a stream depends on the cuts"
        );
    }
}

/// What is accepted stays JSON however it is shaped, shaping twice changes nothing more, and it is told whether anything
/// changed.
fn request(bytes: &[u8]) {
    let _ = vertex::request(bytes);
    let Ok(members) = scan(bytes) else { return };
    for path in ["/v1/messages", "/model/m/converse", "/v1/responses", "/x"] {
        if let Some(protocol) = detect(path, bytes, &members) {
            let _ = is_streaming(protocol, bytes, &members);
        }
    }
    for conf in CONFS {
        let conf: InstanceConf = serde_json::from_str(conf).expect("the configurations can be read");
        for protocol in PROTOCOLS {
            for strict in [false, true] {
                let Some(once) = shaped(bytes, &conf, protocol, strict) else {
                    continue;
                };
                let body = once.body.to_bytes();
                assert_eq!(once.changed, &body[..] != bytes, "what is changed is told");
                let again = shaped(&body, &conf, protocol, strict).expect("a shaped body can be shaped");
                // Strictly, what streams need is found before the options switch streaming on.
                if !strict {
                    assert_eq!(again.body.to_bytes(), body, "shaping twice changes more");
                }
            }
        }
    }
}

fn shaped(bytes: &[u8], conf: &InstanceConf, protocol: Protocol, strict: bool) -> Option<Shaped> {
    let members = scan(bytes).expect("a shaped body is JSON");
    let body = Bytes::copy_from_slice(bytes);
    shape(&body, &members, conf, protocol, strict).ok()
}

/// What an answer tells does not depend on how it is cut.
fn answer(bytes: &[u8]) {
    whole_frames(bytes);
    if let Ok(translated) = vertex::answer(bytes, None) {
        serde_json::from_slice::<Value>(&translated).expect("a translated answer is JSON");
    }
    for protocol in PROTOCOLS {
        for framing in [Framing::Json, Framing::Sse, Framing::AwsEventStream] {
            let whole = read(protocol, framing, 64, bytes.len().max(1), bytes);
            for size in [1, 3, 7] {
                assert_eq!(
                    read(protocol, framing, 64, size, bytes),
                    whole,
                    "{protocol:?} {framing:?} in pieces of {size}"
                );
            }
            let silent = read(protocol, framing, 0, 5, bytes);
            // Pieces in the middle of a stream are not looked at for anything but what is kept of them.
            let (text, service_tier) = (whole.text.clone(), whole.service_tier.clone());
            let silent = Facts {
                text,
                service_tier,
                ..silent
            };
            assert_eq!(silent, whole, "{protocol:?} {framing:?} without text");
        }
    }
}

/// The frames that pass are the beginning of what came, however it is cut.
fn whole_frames(bytes: &[u8]) {
    let passed = |size: usize| {
        let mut frames = WholeFrames::default();
        let mut passed = Vec::new();
        for piece in bytes.chunks(size) {
            match frames.feed(&Bytes::copy_from_slice(piece)) {
                Ok(whole) => passed.extend_from_slice(&whole),
                Err(_) => break,
            }
        }
        passed
    };
    for size in [1, 3, 7, bytes.len().max(1)] {
        assert!(bytes.starts_with(&passed(size)), "in pieces of {size}");
    }
}

fn read(protocol: Protocol, framing: Framing, max_text_bytes: usize, size: usize, bytes: &[u8]) -> Facts {
    let mut reader = Reader::new(protocol, framing, max_text_bytes);
    bytes.chunks(size).for_each(|piece| reader.feed(piece));
    reader.finish()
}
