//! Requests of OpenAI clients, translated.

use serde_json::{Value, json};
use tollgate_dialects::anthropic_messages::encode_request;
use tollgate_dialects::{Capabilities, Losses, openai_chat};

use super::{json, names, target};

/// A model that takes everything, and thinks only if told to.
pub(crate) fn model() -> Capabilities {
    Capabilities {
        adaptive_thinking: false,
        max_output_tokens: Some(64_000),
        ..Capabilities::default()
    }
}

/// Translates an OpenAI request; the losses as `field=effect`.
#[track_caller]
pub(crate) fn translate_for(capabilities: &Capabilities, request: Value) -> (Value, Vec<String>) {
    let mut whole = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in request.as_object().unwrap() {
        whole[key] = value.clone();
    }
    let request = openai_chat::decode_request(&whole.to_string()).unwrap();
    let mut losses = Losses::new();
    let body = encode_request(&request, &target("claude", capabilities), &mut losses);
    (json(body), names(&losses))
}

#[track_caller]
pub(crate) fn translate(request: Value) -> (Value, Vec<String>) {
    translate_for(&model(), request)
}

#[track_caller]
pub(crate) fn lost(request: Value) -> Vec<String> {
    translate(request).1
}

pub(crate) const NONE: [&str; 0] = [];

pub(crate) fn call(id: &str) -> Value {
    json!({"role": "assistant", "tool_calls": [
        {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ]})
}

pub(crate) fn result(id: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": "r"})
}

pub(crate) fn user() -> Value {
    json!({"role": "user", "content": "q"})
}

pub(crate) fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}])
}
