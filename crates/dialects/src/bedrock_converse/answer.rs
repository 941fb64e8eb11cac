//! The parts of an answer of another dialect, as this one says them.

use super::ids;
use super::part::ORIGIN;
use crate::canonical::{Ext, Part, Reasoning, Response, StopReason, Text, ToolCall, ToolCallKind};
use crate::envelope;
use crate::foreign::{self, Place};
use crate::json::Object;
use crate::loss::Losses;

pub(super) const ONE_ANSWER: &str = "the dialect has one answer; only the first is written";

/// Converts the parts of the first choice.
pub(super) fn convert_parts(response: &Response, parts: &[Part], losses: &mut Losses) -> Vec<Part> {
    let cut = response
        .choices
        .first()
        .is_some_and(|choice| choice.stop.reason == StopReason::Length);
    let last_call = parts.iter().rposition(|part| matches!(part, Part::ToolCall(_)));
    let mut converted = Vec::with_capacity(parts.len());
    let mut calls = 0;
    for (i, part) in parts.iter().enumerate() {
        let path = format!("choices[0].message.parts[{i}]");
        let mut bag = |ext: &Ext| foreign::report(ext, Place::Answer, response.origin, &path, losses);
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                bag(&text.ext);
                if !text.text.is_empty() {
                    converted.push(Part::Text(Text {
                        text: text.text.clone(),
                        ..Text::default()
                    }));
                }
            }
            Part::Reasoning(reasoning) => {
                bag(&reasoning.ext);
                converted.push(Part::Reasoning(carried(reasoning, response)));
            }
            Part::ToolCall(call) => {
                let path = format!("choices[0].message.tool_calls[{calls}]");
                foreign::report(&call.ext, Place::Answer, response.origin, &path, losses);
                let cut = cut && last_call == Some(i);
                if let Some(arguments) = arguments(call, cut, &path, losses) {
                    converted.push(Part::ToolCall(ToolCall {
                        id: call_id(&call.id, &response.id, calls, &call.name),
                        name: call.name.clone(),
                        arguments,
                        ..ToolCall::default()
                    }));
                }
                calls += 1;
            }
            Part::Media(_) => losses.rejected(path, "the dialect has no media in answers"),
            Part::ToolResult(_) => losses.rejected(path, "the dialect has no such result in answers"),
            Part::Opaque { dialect: ORIGIN, .. } => converted.push(part.clone()),
            Part::Opaque { .. } => {
                losses.dropped(path, "only the provider's own dialect has this kind of content");
            }
        }
    }
    converted
}

/// The id of a call, made where the provider gave none.
pub(super) fn call_id(id: &str, answer_id: &str, number: usize, name: &str) -> String {
    if id.is_empty() {
        ids::made(answer_id, number, name)
    } else {
        ids::tool_call_id(id).into_owned()
    }
}

/// Reasoning of another maker goes in our envelope, so that it is recognised when it comes back.
fn carried(reasoning: &Reasoning, response: &Response) -> Reasoning {
    let origin = reasoning.origin.unwrap_or(response.origin);
    if origin == ORIGIN {
        return Reasoning {
            ext: Ext::default(),
            ..reasoning.clone()
        };
    }
    Reasoning {
        text: reasoning.text.clone(),
        signature: Some(envelope::seal(reasoning, origin, &response.model)),
        ..Reasoning::default()
    }
}

/// The arguments of a call, which must be an object here; `None` if the answer was cut in them.
fn arguments(call: &ToolCall, cut: bool, path: &str, losses: &mut Losses) -> Option<String> {
    if call.name.is_empty() {
        losses.rejected(format!("{path}.function.name"), "the call names no tool");
    }
    if call.kind == ToolCallKind::Custom {
        losses.rejected(path, "calls of free-text tools cannot be expressed");
    }
    let text = call.arguments.trim();
    if Object::parse(text, "").is_ok() {
        return Some(text.to_owned());
    }
    if cut {
        losses.approximated(path, "the answer was cut in the arguments; the call is left out");
        return None;
    }
    // Some models write `null` when a tool takes nothing.
    if !matches!(text, "" | "null") {
        losses.rejected(
            format!("{path}.function.arguments"),
            "the arguments are not a JSON object",
        );
    }
    Some("{}".to_owned())
}
