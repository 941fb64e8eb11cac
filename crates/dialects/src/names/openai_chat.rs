//! Names of OpenAI Chat Completions.

use super::Member;
use crate::canonical::{ContentForm, Message, Part, Request};

pub(super) fn option(name: &'static str, request: &Request) -> &'static str {
    match name {
        // The older names are marked where they were used.
        "user" if request.ext.get("user").is_none() => "safety_identifier",
        "max_tokens"
            if request
                .ext
                .get("max_completion_tokens")
                .is_some_and(|mark| mark.text() == "null") =>
        {
            "max_completion_tokens"
        }
        name => name,
    }
}

pub(super) const fn member(member: Member) -> &'static str {
    match member {
        Member::ToolName | Member::CallName => "function.name",
        Member::ToolSchema => "function.parameters",
        Member::CallArguments => "function.arguments",
        Member::ResultId => "tool_call_id",
        Member::ResultFailed => "is_error",
        Member::MediaSource => "source",
        Member::MediaName => "filename",
        Member::MediaDetail => "image_url.detail",
    }
}

/// Calls and reasoning stand beside the content.
pub(super) fn part(path: &str, message: &Message, part: usize) -> String {
    let before = message.parts.iter().take(part);
    match message.parts.get(part) {
        Some(Part::ToolCall(_)) => {
            let calls = before.filter(|part| matches!(part, Part::ToolCall(_))).count();
            format!("{path}.tool_calls[{calls}]")
        }
        Some(Part::Reasoning(reasoning)) => {
            format!("{path}.{}", reasoning.member.as_deref().unwrap_or("reasoning"))
        }
        Some(Part::ToolResult(_)) => path.to_owned(),
        _ if message.form == ContentForm::List => {
            let position = before
                .filter(|part| !matches!(part, Part::ToolCall(_) | Part::Reasoning(_)))
                .count();
            format!("{path}.content[{position}]")
        }
        _ => format!("{path}.content"),
    }
}
