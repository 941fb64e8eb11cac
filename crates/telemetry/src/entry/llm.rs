//! What a model call used and said, where its route wants that in entries: `llm_summary`, `llm_request`,
//! `llm_response_text`.

use super::json::{self, Members};
use super::variable::{is_model_call, millis};
use crate::record::{CallRecord, Part, RequestType};

pub(super) fn write(call: &CallRecord<'_>, members: &mut Members<'_>) {
    if call.is_summarised {
        members.object("llm_summary", |summary| write_summary(call, summary));
    }
    let Some(payload) = call.payload else { return };
    members.object("llm_request", |request| {
        if let Some(messages) = payload.messages {
            write_part(messages, request, "messages", true);
        }
        let is_stream = call.request_type == RequestType::AiStream;
        request
            .key("stream")
            .extend_from_slice(is_stream.to_string().as_bytes());
    });
    members.object("llm_response_text", |response| {
        if let Some(text) = payload.text {
            write_part(text, response, "content", false);
        }
    });
}

/// A part of a payload. Raw JSON stays what it is unless it was cut, then it is told as text.
fn write_part(part: Part<'_>, members: &mut Members<'_>, name: &str, is_json: bool) {
    let out = members.key(name);
    match is_json && !part.is_cut {
        true => out.extend_from_slice(part.text.as_bytes()),
        false => json::text(part.text, out),
    }
    if part.is_cut {
        members.key("truncated").extend_from_slice(b"true");
    }
}

fn write_summary(call: &CallRecord<'_>, summary: &mut Members<'_>) {
    let is_model_call = is_model_call(call);
    let tokens = call.llm_tokens.of(call.usage.unwrap_or_default());
    let is_used = is_model_call && call.usage.is_some();
    // 0 is what nginx begins with, as text; what was counted is a number.
    let count = |summary: &mut Members<'_>, name: &str, number: Option<u64>| match number {
        Some(number) => summary.number(name, number),
        None => summary.text(name, "0"),
    };
    let used = |number: u64| is_used.then_some(number);
    summary.text("request_model", call.request_model.unwrap_or_default());
    summary.text("model", call.upstream_model.unwrap_or_default());
    let first = call.time_to_first_token.filter(|_| is_model_call);
    count(summary, "duration", first.map(millis));
    count(summary, "prompt_tokens", used(tokens.prompt));
    count(summary, "completion_tokens", used(tokens.completion));
    count(summary, "total_tokens", used(tokens.total));
    if let Some(time) = call.upstream_response_time.filter(|_| is_model_call) {
        summary.number("upstream_response_time", millis(time));
    }
    let is_stream = call.request_type == RequestType::AiStream;
    summary.text("stream", if is_stream { "true" } else { "false" });
    count(summary, "tool_count", is_model_call.then_some(call.tool_count));
    summary.text(
        "has_tool_calls",
        if call.has_tool_calls { "true" } else { "false" },
    );
    summary.text("end_user_id", call.end_user.unwrap_or_default());
    count(summary, "cache_read_input_tokens", used(tokens.cached));
    count(summary, "cache_creation_input_tokens", used(tokens.cache_write));
    count(summary, "reasoning_tokens", used(tokens.reasoning));
    summary.text("content_risk_level", call.content_risk_level.unwrap_or_default());
}
