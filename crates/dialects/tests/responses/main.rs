//! The Responses dialect: recordings, translations, streams, errors, and what holds for all bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

#[path = "../support/mod.rs"]
mod support;

mod cross;
mod errors;
mod order;
mod recordings;
mod streams;
mod turns;

use serde_json::Value;
use support::{Decoded, Recording, decode_pieces, json, recordings_of, target};
use tollgate_dialects::canonical::{Event, Request};
use tollgate_dialects::codec::{self, AnswerStyle, StreamEncoder};
use tollgate_dialects::{Capabilities, Dialect, Losses, openai_responses};

const RESPONSES: Dialect = Dialect::OpenaiResponses;

/// The recordings of this dialect, but for two whose provider answered in another one.
fn recordings() -> Vec<Recording> {
    recordings_of("openai-responses")
        .into_iter()
        .filter(|recording| {
            let answered = recording
                .answer()
                .or_else(|| recording.stream())
                .unwrap_or_default();
            !answered.contains("\"choices\"")
        })
        .collect()
}

/// A request of this dialect.
fn request(body: Value) -> Request {
    codec::decode_request(RESPONSES, &body.to_string()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// A request written for a dialect, and what was lost.
fn encoded(dialect: Dialect, request: &Request, model: &str) -> (Value, Losses) {
    let mut losses = Losses::new();
    let body = codec::encode_request(
        dialect,
        request,
        &target(model, &Capabilities::of(model)),
        &mut losses,
    );
    (json(body), losses)
}

/// What a request of this dialect repeats in answers.
fn style_of(request: &Request) -> AnswerStyle {
    AnswerStyle {
        created_s: 1_700_000_000,
        echo: openai_responses::Echo::of(request),
        ..AnswerStyle::default()
    }
}

fn decode_stream(dialect: Dialect, stream: &str) -> Decoded {
    decode_pieces(dialect, [stream.as_bytes()])
}

/// Events written as a stream, and what was lost.
fn encode_stream(dialect: Dialect, events: &[Event<'_>], style: &AnswerStyle) -> (String, Losses) {
    let mut encoder = StreamEncoder::new(dialect, style);
    let (mut out, mut losses) = (Vec::new(), Losses::new());
    for event in events {
        encoder.encode(event, &mut losses, &mut out);
    }
    (String::from_utf8(out).unwrap(), losses)
}

/// The documents of a stream of server-sent events.
fn documents(stream: &str) -> Vec<Value> {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .filter(|data| data.trim() != "[DONE]")
        .map(json)
        .collect()
}
