//! What the tests of this dialect share.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

#[path = "../support/mod.rs"]
mod support;
pub(crate) mod translate;

use serde_json::Value;
use tollgate_dialects::anthropic_messages::{StreamEncoder, StreamStyle};
use tollgate_dialects::canonical::{Choice, Event, Ext, Part, Response, Stop, StopReason, Usage};
use tollgate_dialects::json::RawJson;
use tollgate_dialects::{Dialect, Losses};

pub(crate) use support::{
    Decoded, Recording, assert_json_eq, collect, decode_pieces, json, names, recordings_of, target,
};

/// All recordings of this dialect.
pub(crate) fn recordings() -> Vec<Recording> {
    recordings_of("anthropic-messages")
}

/// The request. Vertex and Bedrock tell the model in the address, so it is put back into the body, as the gateway does.
pub(crate) fn request_of(recording: &Recording) -> Option<String> {
    let body = recording.request()?;
    let mut request: Value = serde_json::from_str(&body).unwrap();
    if request.get("model").is_some() {
        return Some(body);
    }
    request["model"] = "from-the-address".into();
    Some(request.to_string())
}

/// The streams as server-sent events; some recordings of bare chunks hold several answers.
pub(crate) fn streams_of(recording: &Recording) -> Vec<String> {
    if let Some(stream) = recording.read("response.sse") {
        return vec![stream];
    }
    let mut streams: Vec<String> = Vec::new();
    for event in recording.stream().unwrap_or_default().split_inclusive("\n\n") {
        if event.contains(r#""type":"message_start""#) {
            streams.push(String::new());
        }
        streams.last_mut().unwrap().push_str(event);
    }
    streams
}

/// Whether the recorded stream is one that ends well.
pub(crate) fn is_whole(recording: &Recording) -> bool {
    !recording.is("authored-stream-cut") && !recording.is("authored-stream-overloaded-midway")
}

/// Decodes a stream of this dialect that comes in these pieces.
pub(crate) fn decode_own<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    decode_pieces(Dialect::AnthropicMessages, pieces)
}

pub(crate) fn decode(stream: &str) -> Decoded {
    decode_own([stream.as_bytes()])
}

/// Encodes events for a client of this dialect.
pub(crate) fn encode(events: &[Event<'_>], losses: &mut Losses) -> String {
    let mut encoder = StreamEncoder::new(StreamStyle::default());
    let mut out = Vec::new();
    for event in events {
        encoder.encode(event, losses, &mut out);
    }
    encoder.finish(losses, &mut out);
    String::from_utf8(out).unwrap()
}

/// The events of a stream as (name, data).
pub(crate) fn frames(stream: &str) -> Vec<(String, Value)> {
    stream
        .split("\n\n")
        .filter(|frame| !frame.is_empty())
        .map(|frame| {
            let (name, data) = frame.split_once('\n').unwrap();
            (
                name.strip_prefix("event: ").unwrap().to_owned(),
                json(data.strip_prefix("data: ").unwrap()),
            )
        })
        .collect()
}

/// An answer of an OpenAI-type provider.
pub(crate) fn answer(parts: Vec<Part>, reason: StopReason) -> Response {
    Response {
        origin: Dialect::OpenaiChat,
        id: "chatcmpl-1".into(),
        model: "gpt".into(),
        created: Some(1),
        choices: vec![Choice {
            index: 0,
            parts,
            stop: Stop {
                reason,
                ..Stop::default()
            },
            logprobs: None,
            ext: Ext::default(),
            message_ext: Ext::default(),
        }],
        usage: Some(Usage {
            input: 10,
            cache_read: Some(4),
            output: 7,
            reasoning: Some(3),
            ..Usage::default()
        }),
        service_tier: Some("default".into()),
        ext: Ext(vec![("system_fingerprint".into(), RawJson::string("fp"))]),
    }
}
