//! The Bedrock Converse dialect: recordings, translations, streams, errors, and what holds for all bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod cross;
mod errors;
mod frames;
mod options;
mod order;
mod properties;
mod recordings;
mod requests;
mod streams;

#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use support::{Decoded, Recording, json, names, recordings_of, target};
use tollgate_dialects::canonical::{Event, Request};
use tollgate_dialects::codec::{self, AnswerStyle, StreamEncoder};
use tollgate_dialects::{Capabilities, Dialect, Losses};

const BEDROCK: Dialect = Dialect::BedrockConverse;
/// The dialects that are finished beside this one.
const OTHERS: [Dialect; 3] = [Dialect::OpenaiChat, Dialect::AnthropicMessages, Dialect::Gemini];

/// All recordings of this dialect.
fn recordings() -> Vec<Recording> {
    recordings_of("bedrock-converse")
}

/// A recorded stream: the frames as they came, or those made of bare payloads.
fn stream_of(recording: &Recording) -> Option<Vec<u8>> {
    if let Some(bytes) = recording.bytes("response.eventstream") {
        return Some(bytes);
    }
    let chunks = recording.read("response.chunks.jsonl")?;
    Some(
        chunks
            .lines()
            .flat_map(|line| {
                let Value::Object(union) = json(line) else {
                    panic!("{line}")
                };
                let (kind, payload) = union.into_iter().next().unwrap();
                frames::event(&kind, &payload)
            })
            .collect(),
    )
}

/// What a model takes that is known by this name.
fn model(name: &str) -> Capabilities {
    let capabilities = Capabilities::of(name);
    assert_ne!(capabilities, Capabilities::default(), "{name} is not known");
    capabilities
}

/// A request of this dialect, read.
fn decoded(request: Value) -> Request {
    codec::decode_request(BEDROCK, &request.to_string()).unwrap()
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

/// Decodes a stream of this dialect that comes in these pieces.
fn decode_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    support::decode_pieces(BEDROCK, pieces)
}

fn decode(stream: &[u8]) -> Decoded {
    decode_pieces([stream])
}

fn encode(dialect: Dialect, events: &[Event<'_>]) -> (Vec<u8>, Vec<String>) {
    let style = AnswerStyle {
        include_usage: true,
        ..AnswerStyle::default()
    };
    let mut encoder = StreamEncoder::new(dialect, &style);
    let mut out = Vec::new();
    let mut losses = Losses::new();
    for event in events {
        encoder.encode(event, &mut losses, &mut out);
    }
    (out, names(&losses))
}
