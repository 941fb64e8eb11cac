//! What the tests of this dialect share.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

#[path = "../support/mod.rs"]
mod support;

use tollgate_dialects::canonical::{DecodeError, Event};
use tollgate_dialects::{Capabilities, Dialect};

pub(crate) use support::{
    Recording, assert_json_eq, check_order, collect, decode_pieces, json, recordings_of,
};

/// All recordings of this dialect.
pub(crate) fn recordings() -> Vec<Recording> {
    recordings_of("openai-chat")
}

/// The recorded stream; where only its chunks were recorded, the last event is put back too.
pub(crate) fn recorded_stream(recording: &Recording) -> Option<String> {
    let end = match recording.read("response.sse") {
        Some(_) => "",
        None => "data: [DONE]\n\n",
    };
    recording.stream().map(|stream| stream + end)
}

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        max_output_tokens: None,
        sampling: true,
        adaptive_thinking: false,
        budget_thinking: false,
        thinking_always_on: false,
        reasoning: true,
        efforts: None,
        forced_tool_use: true,
        assistant_prefill: true,
        mid_conversation_system: true,
        native_structured_output: true,
        thinking_levels: false,
        claude_options: false,
        json_schema: true,
    }
}

/// Reads a stream fed in these pieces: the events, and how it ended.
pub(crate) fn try_decode_stream(pieces: &[&[u8]]) -> (Vec<Event<'static>>, Result<(), DecodeError>) {
    let decoded = decode_pieces(Dialect::OpenaiChat, pieces.iter().copied());
    (decoded.events, decoded.result)
}

pub(crate) fn decode_stream(stream: &str) -> Vec<Event<'static>> {
    let (events, result) = try_decode_stream(&[stream.as_bytes()]);
    result.unwrap_or_else(|error| panic!("{error}\n{stream}"));
    events
}
