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
        Member::MediaName => "file.filename",
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
        Some(Part::Reasoning(reasoning)) => match reasoning.member.as_deref() {
            Some("thinking") => format!("{path}.content[{}]", position(before)),
            Some(member @ ("reasoning" | "reasoning_content")) => format!("{path}.{member}"),
            // Every other name is that of the maker who signed it.
            Some(_) => format!("{path}.reasoning_details"),
            None => format!("{path}.reasoning"),
        },
        Some(Part::ToolResult(_)) => path.to_owned(),
        _ if message.form == ContentForm::List => {
            format!("{path}.content[{}]", position(before))
        }
        _ => format!("{path}.content"),
    }
}

/// How many parts stand in the content; of reasoning, only Mistral's does.
fn position<'p>(before: impl Iterator<Item = &'p Part>) -> usize {
    before
        .filter(|part| match part {
            Part::ToolCall(_) => false,
            Part::Reasoning(reasoning) => reasoning.member.as_deref() == Some("thinking"),
            _ => true,
        })
        .count()
}
