//! The Gemini dialect: recordings, translations, streams, errors, and what holds for all bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
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
use support::{Decoded, Recording, assert_json_eq, collect, json, names, recordings_of, target};
use tollgate_dialects::canonical::{Event, Request};
use tollgate_dialects::codec::{self, AnswerStyle, StreamEncoder};
use tollgate_dialects::{Capabilities, Dialect, Losses};

/// All recordings of this dialect.
fn recordings() -> Vec<Recording> {
    recordings_of("gemini-generate")
}

/// A request of this dialect, read.
fn decoded(request: Value) -> Request {
    codec::decode_request(Dialect::Gemini, &request.to_string()).unwrap()
}

/// The messages of a client that asks for one thing.
fn asks(text: &str) -> Value {
    serde_json::json!([{"role": "user", "content": text}])
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

/// Decodes a stream that comes in these pieces.
fn decode_pieces<'a>(dialect: Dialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoded = support::decode_pieces(dialect, pieces);
    // A cut may set a LF apart from its CR, which is one more sign of life.
    decoded.events.retain(|event| *event != Event::Ping);
    decoded
}

fn decode(stream: &str) -> Decoded {
    decode_pieces(Dialect::Gemini, [stream.as_bytes()])
}

fn encode(dialect: Dialect, events: &[Event<'_>], style: &AnswerStyle) -> (String, Vec<String>) {
    let mut encoder = StreamEncoder::new(dialect, style);
    let mut out = Vec::new();
    let mut losses = Losses::new();
    for event in events {
        encoder.encode(event, &mut losses, &mut out);
    }
    (String::from_utf8(out).unwrap(), names(&losses))
}

/// The documents of a stream of server-sent events.
fn documents(stream: &str) -> Vec<Value> {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(json)
        .collect()
}
