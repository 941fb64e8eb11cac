//! A whole answer for an Anthropic client, as APISIX writes it.

use crate::canonical::{Part, Reasoning, Response, Stop, Text, ToolCall, Usage};
use crate::json::{Object, RawJson, Writer};

/// Writes a whole answer. `model` is told instead of the provider's name for it, if given.
pub(crate) fn encode_response(response: &Response, model: Option<&str>) -> Vec<u8> {
    let choice = response.choices.first();
    let parts = choice.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let mut out = Vec::with_capacity(1024);
    Writer::new(&mut out).object(|w| {
        w.key("id").string(&response.id);
        w.key("type").string("message");
        w.key("role").string("assistant");
        w.key("model").string(model.unwrap_or(&response.model));
        w.key("content").array(|w| write_content(w, parts));
        let stop = choice.map(|choice| &choice.stop);
        w.key("stop_reason").string(stop.map_or("end_turn", stop_reason));
        w.key("usage");
        write_usage(w, response.usage.as_ref());
    });
    out
}

/// The Anthropic form of an error that an OpenAI provider told with a status of success; `None` if the answer is none.
pub fn error_answer(body: &str) -> Option<Vec<u8>> {
    let error = Object::parse(body, "").ok()?.take_some("error")?;
    let mut message = serde_json::from_str(error.get()).ok();
    let mut kind = None;
    if let Ok(mut error) = Object::parse(error.get(), "") {
        message = error.take_string("message").ok().flatten();
        kind = error.take_some("type").or_else(|| error.take_some("code"));
    }
    let kind = kind.map_or_else(|| RawJson::string("api_error"), RawJson::from);
    let mut out = Vec::new();
    Writer::new(&mut out).object(|w| {
        w.key("type").string("error");
        w.key("error").object(|w| {
            w.key("type").raw(&kind);
            w.key("message").string(message.as_deref().unwrap_or_default());
        });
    });
    Some(out)
}

/// The stop reason for the provider's word; a word that is not known is a plain end.
pub(super) fn stop_reason(stop: &Stop) -> &'static str {
    match stop.native.as_deref().map(str::trim) {
        Some("length") => "max_tokens",
        Some("tool_calls" | "function_call") => "tool_use",
        _ => "end_turn",
    }
}

/// Writes usage. What was written to a cache counts as input, because only what was read from one is taken out.
pub(super) fn write_usage(w: &mut Writer<'_>, usage: Option<&Usage>) {
    let none = Usage::default();
    let usage = usage.unwrap_or(&none);
    w.object(|w| {
        let input = usage.input.saturating_add(usage.cache_write.unwrap_or(0));
        w.key("input_tokens").number(input);
        w.key("output_tokens").number(usage.output);
        w.optional_number("cache_read_input_tokens", usage.cache_read);
        w.optional_number("cache_creation_input_tokens", usage.cache_write);
    });
}

fn write_content(w: &mut Writer<'_>, parts: &[Part]) {
    let mut empty = true;
    for part in parts {
        match part {
            Part::Reasoning(Reasoning { text, .. }) if !text.is_empty() => w.object(|w| {
                w.key("type").string("thinking");
                w.key("thinking").string(text);
                w.key("signature").string("");
            }),
            Part::Text(Text { text, .. }) | Part::Refusal(Text { text, .. }) if !text.is_empty() => {
                write_text(w, text);
            }
            Part::ToolCall(call) => write_call(w, call),
            _ => continue,
        }
        empty = false;
    }
    if empty {
        write_text(w, "");
    }
}

fn write_text(w: &mut Writer<'_>, text: &str) {
    w.object(|w| {
        w.key("type").string("text");
        w.key("text").string(text);
    });
}

fn write_call(w: &mut Writer<'_>, call: &ToolCall) {
    w.object(|w| {
        w.key("type").string("tool_use");
        w.key("id").string(&call.id);
        w.key("name").string(&call.name);
        w.key("input");
        match RawJson::parse(call.arguments.trim()) {
            Ok(input) if Object::parse(input.text(), "").is_ok() => w.raw(&input),
            // Arguments that are no JSON object must not cost the client the rest of the answer.
            _ => w.object(|_| {}),
        }
    });
}
