//! Names of Gemini.

use super::Member;
use crate::canonical::{Media, MediaSource, Part, Request, ResponseFormat};
use crate::gemini::{ALONE, TEXT, THOUGHT};

pub(super) fn option(name: &'static str, request: &Request) -> &'static str {
    match name {
        "reasoning_effort" | "thinking" | "thinking.budget_tokens" => {
            let reasoning = request.reasoning.as_ref();
            if reasoning.is_some_and(|reasoning| reasoning.effort.is_some()) {
                "generationConfig.thinkingConfig.thinkingLevel"
            } else {
                "generationConfig.thinkingConfig.thinkingBudget"
            }
        }
        "response_format" | "response_format.json_schema.schema" => match &request.response_format {
            Some(ResponseFormat::JsonSchema { ext, .. }) if ext.get("responseSchema").is_some() => {
                "generationConfig.responseSchema"
            }
            Some(ResponseFormat::JsonSchema { .. }) => "generationConfig.responseJsonSchema",
            _ => "generationConfig.responseMimeType",
        },
        "tool_choice" | "parallel_tool_calls" => "toolConfig.functionCallingConfig",
        "max_tokens" => "generationConfig.maxOutputTokens",
        "temperature" => "generationConfig.temperature",
        "top_p" => "generationConfig.topP",
        "top_k" => "generationConfig.topK",
        "stop" => "generationConfig.stopSequences",
        "n" => "generationConfig.candidateCount",
        "logprobs" => "generationConfig.responseLogprobs",
        "top_logprobs" => "generationConfig.logprobs",
        "seed" => "generationConfig.seed",
        "presence_penalty" => "generationConfig.presencePenalty",
        "frequency_penalty" => "generationConfig.frequencyPenalty",
        "service_tier" => "serviceTier",
        name => name,
    }
}

pub(super) const fn member(member: Member) -> &'static str {
    match member {
        Member::ToolName => "name",
        Member::ToolSchema => "parameters",
        Member::CallName => "functionCall.name",
        Member::CallArguments => "functionCall.args",
        Member::ResultId => "functionResponse.id",
        Member::ResultFailed => "functionResponse.response",
        Member::MediaSource => "fileData",
        Member::MediaName => "inlineData.displayName",
        Member::MediaDetail => "mediaResolution",
    }
}

/// Bytes stand in one member, addresses in another.
pub(super) const fn media_member(name: Member, media: &Media) -> &'static str {
    match (name, &media.source) {
        (Member::MediaSource, MediaSource::Base64 { .. }) => "inlineData",
        (Member::MediaName, MediaSource::Base64 { .. }) => "inlineData.displayName",
        (Member::MediaName, _) => "fileData.displayName",
        _ => member(name),
    }
}

/// A signature stands in the part that it signs, so parts are counted without those that are signatures only.
pub(super) fn part(path: &str, parts: &[Part], part: usize) -> String {
    let beside = |part: &Part| match part {
        Part::Reasoning(proof) => match proof.member.as_deref() {
            Some(THOUGHT | ALONE) | None => None,
            Some(member) => Some(member == TEXT),
        },
        _ => None,
    };
    let before = parts
        .iter()
        .take(part)
        .filter(|part| beside(part).is_none())
        .count();
    match parts.get(part).and_then(beside) {
        None => format!("{path}.parts[{before}]"),
        Some(is_behind) => {
            let position = before.saturating_sub(usize::from(is_behind));
            format!("{path}.parts[{position}].thoughtSignature")
        }
    }
}
