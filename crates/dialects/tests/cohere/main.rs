//! The Cohere dialect: recordings, translations, streams, errors, and what holds for all bytes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod recordings;

#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use support::{Decoded, json, names, recordings_of};
use tollgate_dialects::canonical::Event;
use tollgate_dialects::codec::{AnswerStyle, StreamEncoder};
use tollgate_dialects::{Dialect, Losses};

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
