//! The Cohere dialect: recordings, translations, streams, errors, and what holds for all bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod answers;
mod cross;
mod errors;
mod options;
mod properties;
mod recordings;
mod requests;
mod streams;

#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use support::{Decoded, json, names, recordings_of, target};
use tollgate_dialects::canonical::Event;
use tollgate_dialects::codec::{self, AnswerStyle, StreamEncoder};
use tollgate_dialects::{Capabilities, Dialect, Losses};

const COHERE: Dialect = Dialect::CohereChat;

/// All recordings of this dialect; empty (with a notice) on a machine that does not have them.
fn recordings() -> Vec<support::Recording> {
    recordings_of("cohere-chat-v2")
}

fn decode(stream: &str) -> Decoded {
    decode_of(COHERE, [stream.as_bytes()])
}

/// The events of a stream without signs of life, which depend on the cuts.
fn decode_of<'a>(dialect: Dialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoded = support::decode_pieces(dialect, pieces);
    decoded.events.retain(|event| *event != Event::Ping);
    decoded
}

fn encode(dialect: Dialect, events: &[Event<'_>]) -> (String, Vec<String>) {
    let mut encoder = StreamEncoder::new(dialect, &AnswerStyle::default());
    let mut out = Vec::new();
    let mut losses = Losses::new();
    for event in events {
        encoder.encode(event, &mut losses, &mut out);
    }
    (String::from_utf8(out).unwrap(), names(&losses))
}

/// The documents of a stream of server-sent events, each with the name of its event.
fn documents(stream: &str) -> Vec<Value> {
    let mut name = None;
    let mut found = Vec::new();
    for line in stream.lines() {
        if let Some(event) = line.strip_prefix("event: ") {
            name = Some(event);
        } else if let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") {
            let document = json(data);
            assert_eq!(document["type"].as_str(), name.take(), "{line}");
            found.push(document);
        }
    }
    found
}

/// A request of one dialect as another one has it, and the losses as `field=effect`.
fn translate_for(
    from: Dialect,
    to: Dialect,
    request: &Value,
    capabilities: &Capabilities,
) -> (Value, Vec<String>) {
    let request = codec::decode_request(from, &request.to_string()).unwrap();
    let mut losses = Losses::new();
    let body = codec::encode_request(to, &request, &target("m", capabilities), &mut losses);
    (json(body), names(&losses))
}

fn translate(from: Dialect, to: Dialect, request: &Value) -> (Value, Vec<String>) {
    translate_for(from, to, request, &Capabilities::default())
}

/// An answer of one dialect as another one has it, and the losses.
fn answer(from: Dialect, to: Dialect, answer: &Value) -> (Value, Vec<String>) {
    let response = codec::decode_response(from, &answer.to_string()).unwrap();
    let mut losses = Losses::new();
    let body = codec::encode_response(to, &response, &AnswerStyle::default(), &mut losses);
    (json(body), names(&losses))
}
