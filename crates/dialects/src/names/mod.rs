//! Where a canonical value stood in the client's document, for reports of losses: dialects name and nest fields differently.
//!
//! Encoders know what they cannot express, and ask here what the client called it. There is one file for each dialect that
//! asks: its names of options ([`Names::option`]) and of what stands in tools and parts ([`Member`]).

mod anthropic_messages;
mod bedrock_converse;
mod cohere_chat;
mod gemini;
mod openai_chat;
mod openai_responses;

use crate::Dialect;
use crate::canonical::{ContentForm, Media, Part, Request, Role, ToolKind};

/// The names of one request's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    request: &'a Request,
}

/// A value inside a tool or a part that dialects name differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// The name of a tool.
    ToolName,
    /// The schema of a tool's arguments.
    ToolSchema,
    /// The name of the tool that is called.
    CallName,
    /// The arguments of a call.
    CallArguments,
    /// The id of the call that a result is for.
    ResultId,
    /// Whether the tool failed.
    ResultFailed,
    /// Where the bytes of a media part are.
    MediaSource,
    /// The name of a file or the title of a document.
    MediaName,
    /// How closely an image is looked at.
    MediaDetail,
}

impl<'a> Names<'a> {
    pub(crate) fn new(request: &'a Request) -> Self {
        Names { request }
    }

    /// The dialect that asks.
    pub(crate) fn origin(self) -> Dialect {
        self.request.origin
    }

    /// A top-level option; `name` is what OpenAI Chat Completions calls it (`top_k`, `stop`, `reasoning_effort`), or
    /// `thinking` for Anthropic's member of that name.
    pub(crate) fn option(self, name: &'static str) -> &'static str {
        match self.request.origin {
            Dialect::OpenaiChat => openai_chat::option(name, self.request),
            Dialect::AnthropicMessages => anthropic_messages::option(name),
            Dialect::Gemini => gemini::option(name, self.request),
            Dialect::CohereChat => cohere_chat::option(name),
            Dialect::OpenaiResponses => openai_responses::option(name, self.request),
            Dialect::BedrockConverse => bedrock_converse::option(name, self.request),
        }
    }

    /// The list of messages.
    pub(crate) fn messages(self) -> &'static str {
        match self.request.origin {
            Dialect::Gemini => "contents",
            Dialect::OpenaiResponses => "input",
            Dialect::OpenaiChat
            | Dialect::AnthropicMessages
            | Dialect::BedrockConverse
            | Dialect::CohereChat => "messages",
        }
    }

    /// A tool. Gemini's functions are counted through, because one tool of its holds many.
    pub(crate) fn tool(self, tool: usize) -> String {
        match self.request.origin {
            Dialect::Gemini => match self.request.tools.get(tool).map(|tool| &tool.kind) {
                Some(ToolKind::Hosted { kind, .. }) => format!("tools[].{kind}"),
                _ => format!("tools[].functionDeclarations[{tool}]"),
            },
            Dialect::BedrockConverse => bedrock_converse::tool(&self.request.tools, tool),
            Dialect::OpenaiChat
            | Dialect::AnthropicMessages
            | Dialect::OpenaiResponses
            | Dialect::CohereChat => crate::path::item("tools", tool),
        }
    }

    /// What stands inside the tool or part at `path`.
    pub(crate) fn within(self, path: &str, member: Member) -> String {
        let name = match self.request.origin {
            Dialect::AnthropicMessages => anthropic_messages::member(member),
            Dialect::Gemini => gemini::member(member),
            Dialect::CohereChat => cohere_chat::member(member),
            Dialect::OpenaiResponses => openai_responses::member(member),
            Dialect::OpenaiChat => openai_chat::member(member),
            Dialect::BedrockConverse => bedrock_converse::member(member),
        };
        crate::path::member(path, name)
    }

    /// What stands inside the media part at `path`.
    pub(crate) fn within_media(self, path: &str, member: Member, media: &Media) -> String {
        match self.request.origin {
            Dialect::Gemini => format!("{path}.{}", gemini::media_member(member, media)),
            Dialect::OpenaiResponses if member == Member::MediaSource => {
                format!("{path}.{}", openai_responses::source(media))
            }
            _ => self.within(path, member),
        }
    }

    /// The schema of a tool's arguments.
    pub(crate) fn tool_schema(self, tool: usize) -> String {
        self.within(&self.tool(tool), Member::ToolSchema)
    }

    /// The names in all calls of the conversation.
    pub(crate) fn call_names(self) -> String {
        let calls = match self.request.origin {
            Dialect::OpenaiChat | Dialect::CohereChat => "messages[].tool_calls[]",
            Dialect::Gemini => "contents[].parts[]",
            Dialect::OpenaiResponses => "input[]",
            Dialect::AnthropicMessages => "messages[].content[]",
            Dialect::BedrockConverse => "messages[].content[].toolUse",
        };
        self.within(calls, Member::CallName)
    }

    /// A message. The top-level instruction of Anthropic, Bedrock and Gemini is the leading system message of the canonical form.
    pub(crate) fn message(self, message: usize) -> String {
        let instruction = match self.request.origin {
            Dialect::AnthropicMessages | Dialect::BedrockConverse => "system",
            Dialect::Gemini => "systemInstruction",
            Dialect::OpenaiResponses => return openai_responses::message(self.request, message),
            Dialect::OpenaiChat | Dialect::CohereChat => {
                return crate::path::item("messages", message);
            }
        };
        let list = self.messages();
        let leading = self
            .request
            .messages
            .first()
            .is_some_and(|first| first.role == Role::System && !bedrock_converse::is_among_others(first));
        match (leading, message) {
            (true, 0) => instruction.to_owned(),
            (true, _) => crate::path::item(list, message - 1),
            (false, _) => crate::path::item(list, message),
        }
    }

    /// A part of a message.
    pub(crate) fn part(self, message: usize, part: usize) -> String {
        let path = self.message(message);
        let Some(found) = self.request.messages.get(message) else {
            return path;
        };
        match self.request.origin {
            Dialect::AnthropicMessages if path == "system" => crate::path::item("system", part),
            Dialect::AnthropicMessages => crate::path::item(&crate::path::member(&path, "content"), part),
            Dialect::BedrockConverse if path == "system" => bedrock_converse::part(&path, found, part),
            Dialect::BedrockConverse => {
                bedrock_converse::part(&crate::path::member(&path, "content"), found, part)
            }
            Dialect::Gemini => gemini::part(&path, &found.parts, part),
            Dialect::CohereChat => cohere_chat::part(&path, found, part),
            Dialect::OpenaiResponses => openai_responses::part(self.request, message, part),
            Dialect::OpenaiChat => openai_chat::part(&path, found, part),
        }
    }

    /// A part of what a tool answered; `part` is the tool result in its message.
    pub(crate) fn result_part(self, message: usize, part: usize, inner: usize) -> String {
        let path = self.part(message, part);
        let result = self.request.messages.get(message);
        let result = result.and_then(|message| message.parts.get(part));
        let Some(Part::ToolResult(result)) = result else {
            return path;
        };
        match (self.request.origin, result.form) {
            // The answer itself is an object; media stand beside it.
            (Dialect::Gemini, _) => match result.content.get(inner) {
                Some(Part::Text(_)) | None => format!("{path}.functionResponse.response"),
                Some(_) => format!("{path}.functionResponse.parts[{}]", inner.saturating_sub(1)),
            },
            (Dialect::OpenaiResponses, ContentForm::List) => format!("{path}.output[{inner}]"),
            (Dialect::OpenaiResponses, _) => format!("{path}.output"),
            (Dialect::BedrockConverse, _) => {
                let kind = bedrock_converse::kind(result.content.get(inner));
                format!("{path}.content[{inner}]{kind}")
            }
            (_, ContentForm::List) => format!("{path}.content[{inner}]"),
            (_, ContentForm::String | ContentForm::Null | ContentForm::Absent) => {
                crate::path::member(&path, "content")
            }
        }
    }
}
