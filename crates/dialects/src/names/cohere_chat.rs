//! Names of Cohere Chat v2.

use super::Member;
use crate::canonical::{ContentForm, Message, Part};
use crate::cohere_chat::TOOL_PLAN;

pub(super) fn option(name: &'static str) -> &'static str {
    match name {
        "stop" => "stop_sequences",
        "top_p" => "p",
        "top_k" => "k",
        "reasoning_effort" => "thinking",
        "thinking.budget_tokens" => "thinking.token_budget",
        "response_format.json_schema.schema" => "response_format.json_schema",
        name => name,
    }
}

pub(super) const fn member(member: Member) -> &'static str {
    match member {
        Member::ToolName | Member::CallName => "function.name",
        Member::ToolSchema => "function.parameters",
        Member::CallArguments => "function.arguments",
        Member::ResultId => "tool_call_id",
        Member::ResultFailed => "content",
        Member::MediaSource => "image_url.url",
        Member::MediaName => "image_url",
        Member::MediaDetail => "image_url.detail",
    }
}

/// Calls and the plan for them stand beside the content.
pub(super) fn part(path: &str, message: &Message, part: usize) -> String {
    let is_plan = |part: &Part| matches!(part, Part::Reasoning(reasoning) if reasoning.member.as_deref() == Some(TOOL_PLAN));
    let before = message.parts.iter().take(part);
    match message.parts.get(part) {
        Some(Part::ToolCall(_)) => {
            let calls = before.filter(|part| matches!(part, Part::ToolCall(_))).count();
            format!("{path}.tool_calls[{calls}]")
        }
        Some(Part::ToolResult(_)) => path.to_owned(),
        Some(found) if is_plan(found) => format!("{path}.{TOOL_PLAN}"),
        _ if message.form == ContentForm::List => {
            let position = before
                .filter(|part| !matches!(part, Part::ToolCall(_)) && !is_plan(part))
                .count();
            format!("{path}.content[{position}]")
        }
        _ => format!("{path}.content"),
    }
}
