//! Names of Bedrock Converse.

use super::Member;
use crate::bedrock_converse::{self, CACHE_POINT, CITATIONS, JSON, LEADING_POINT, ROLE};
use crate::canonical::{MediaKind, Message, Part, Request, Tool};

pub(super) fn option(name: &'static str, request: &Request) -> &'static str {
    match name {
        "max_tokens" => "inferenceConfig.maxTokens",
        "temperature" => "inferenceConfig.temperature",
        "top_p" => "inferenceConfig.topP",
        "stop" => "inferenceConfig.stopSequences",
        "top_k" => bedrock_converse::top_k_place(request),
        "thinking" | "thinking.budget_tokens" => "additionalModelRequestFields.thinking",
        // A thinking without an effort is told by the name of what the client wrote.
        "reasoning_effort"
            if request
                .reasoning
                .as_ref()
                .is_some_and(|reasoning| reasoning.effort.is_none()) =>
        {
            "additionalModelRequestFields.thinking"
        }
        "reasoning_effort" => bedrock_converse::effort_place(request),
        "tool_choice" => "toolConfig.toolChoice",
        "parallel_tool_calls" => "additionalModelRequestFields.tool_choice",
        "response_format" => "outputConfig.textFormat",
        "response_format.json_schema.schema" => "outputConfig.textFormat.structure.jsonSchema.schema",
        "service_tier" => "serviceTier",
        name => name,
    }
}

pub(super) const fn member(member: Member) -> &'static str {
    match member {
        Member::ToolName => "toolSpec.name",
        Member::ToolSchema => "toolSpec.inputSchema.json",
        Member::CallName | Member::MediaName => "name",
        Member::CallArguments => "input",
        Member::ResultId => "toolUseId",
        Member::ResultFailed => "status",
        Member::MediaSource => "source",
        Member::MediaDetail => "detail",
    }
}

/// A tool. Cache points are tools of their own here.
pub(super) fn tool(tools: &[Tool], tool: usize) -> String {
    let points = tools
        .iter()
        .take(tool)
        .filter(|tool| tool.cache.is_some())
        .count();
    format!("toolConfig.tools[{}]", tool.saturating_add(points))
}

/// Whether a system message stands among the others, and not as the top-level `system`.
pub(super) fn is_among_others(message: &Message) -> bool {
    message
        .ext
        .get(ROLE)
        .is_some_and(|raw| raw.text() == "\"system\"")
}

/// A part of the content at `path`. Cache points are blocks of their own here.
pub(super) fn part(path: &str, message: &Message, part: usize) -> String {
    let leading = usize::from(message.ext.get(LEADING_POINT).is_some());
    let points = message
        .parts
        .iter()
        .take(part)
        .filter(|part| has_point(part))
        .count();
    let position = part.saturating_add(points).saturating_add(leading);
    format!("{path}[{position}]{}", kind(message.parts.get(part)))
}

/// The member of a block that says its kind, and holds what it is.
pub(super) fn kind(part: Option<&Part>) -> &'static str {
    match part {
        Some(Part::Text(text)) if text.ext.get(CITATIONS).is_some() => ".citationsContent",
        Some(Part::Text(text)) if text.ext.get(JSON).is_some() => ".json",
        Some(Part::Text(_) | Part::Refusal(_)) => ".text",
        Some(Part::Media(media)) => match media.kind {
            MediaKind::Image => ".image",
            MediaKind::Document => ".document",
            MediaKind::Audio => ".audio",
            MediaKind::Video => ".video",
        },
        Some(Part::ToolCall(_)) => ".toolUse",
        Some(Part::ToolResult(_)) => ".toolResult",
        Some(Part::Reasoning(_)) => ".reasoningContent",
        Some(Part::Opaque { .. }) | None => "",
    }
}

fn has_point(part: &Part) -> bool {
    match part {
        Part::Text(text) | Part::Refusal(text) => text.cache.is_some(),
        Part::Media(media) => media.cache.is_some(),
        Part::ToolCall(call) => call.cache.is_some(),
        Part::ToolResult(result) => result.cache.is_some(),
        Part::Reasoning(reasoning) => reasoning.ext.get(CACHE_POINT).is_some(),
        Part::Opaque { .. } => false,
    }
}
