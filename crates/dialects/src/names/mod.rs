//! Where a canonical value stood in the client's document, for reports of losses: dialects name and nest fields differently.
//!
//! Encoders know what they cannot express, and ask here what the client called it.

use crate::Dialect;
use crate::canonical::{ContentForm, Part, Request, Role};
use crate::gemini::{ALONE, TEXT, THOUGHT};

/// The names of one request's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    request: &'a Request,
}

impl<'a> Names<'a> {
    pub(crate) fn new(request: &'a Request) -> Self {
        Names { request }
    }

    fn anthropic(self) -> bool {
        self.request.origin == Dialect::AnthropicMessages
    }

    /// A top-level option, named as OpenAI does.
    pub(crate) fn option(self, name: &'static str) -> &'static str {
        if !self.anthropic() {
            // OpenAI's older name is marked where it was used.
            return match name {
                "user" if self.request.ext.get("user").is_none() => "safety_identifier",
                name => name,
            };
        }
        match name {
            "stop" => "stop_sequences",
            "response_format" => "output_config.format",
            "response_format.json_schema.schema" => "output_config.format.schema",
            "reasoning_effort" => "output_config.effort",
            "user" => "metadata.user_id",
            "parallel_tool_calls" => "tool_choice.disable_parallel_tool_use",
            name => name,
        }
    }

    /// The schema of a tool's arguments.
    pub(crate) fn tool_schema(self, tool: usize) -> String {
        if self.anthropic() {
            format!("tools[{tool}].input_schema")
        } else {
            format!("tools[{tool}].function.parameters")
        }
    }

    /// A message. The top-level instruction of Anthropic and Gemini is the leading system message of the canonical form.
    pub(crate) fn message(self, message: usize) -> String {
        let (list, instruction) = match self.request.origin {
            Dialect::AnthropicMessages => ("messages", "system"),
            Dialect::Gemini => ("contents", "systemInstruction"),
            Dialect::OpenaiChat
            | Dialect::OpenaiResponses
            | Dialect::BedrockConverse
            | Dialect::CohereChat => return format!("messages[{message}]"),
        };
        let leading = self
            .request
            .messages
            .first()
            .is_some_and(|first| first.role == Role::System);
        match (leading, message) {
            (true, 0) => instruction.to_owned(),
            (true, _) => format!("{list}[{}]", message - 1),
            (false, _) => format!("{list}[{message}]"),
        }
    }

    /// A part of a message.
    pub(crate) fn part(self, message: usize, part: usize) -> String {
        let path = self.message(message);
        let Some(found) = self.request.messages.get(message) else {
            return path;
        };
        match self.request.origin {
            Dialect::Gemini => gemini_part(&path, &found.parts, part),
            Dialect::AnthropicMessages if path == "system" => format!("system[{part}]"),
            Dialect::AnthropicMessages => format!("{path}.content[{part}]"),
            Dialect::OpenaiChat
            | Dialect::OpenaiResponses
            | Dialect::BedrockConverse
            | Dialect::CohereChat => {
                let before = found.parts.iter().take(part);
                match found.parts.get(part) {
                    Some(Part::ToolCall(_)) => {
                        let calls = before.filter(|part| matches!(part, Part::ToolCall(_))).count();
                        format!("{path}.tool_calls[{calls}]")
                    }
                    Some(Part::Reasoning(reasoning)) => {
                        format!("{path}.{}", reasoning.member.as_deref().unwrap_or("reasoning"))
                    }
                    Some(Part::ToolResult(_)) => path,
                    _ if found.form == ContentForm::List => {
                        let position = before
                            .filter(|part| !matches!(part, Part::ToolCall(_) | Part::Reasoning(_)))
                            .count();
                        format!("{path}.content[{position}]")
                    }
                    _ => format!("{path}.content"),
                }
            }
        }
    }
}

/// A signature stands in the part that it signs, so parts are counted without those that are signatures only.
fn gemini_part(path: &str, parts: &[Part], part: usize) -> String {
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
