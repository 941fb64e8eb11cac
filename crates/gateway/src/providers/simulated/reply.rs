//! What the built-in provider says: a greeting to a greeting, a tool call where a tool is wanted, JSON where a schema is
//! given, else a remark about the prompt. The same request always gets the same reply.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::{
    Choice, Delta, Effort, Event, Ext, Part, PartKind, Reasoning, Request, Response, ResponseFormat, Role,
    Stop, StopReason, Text, Thinking, ToolCall, ToolCallKind, ToolChoice, ToolKind, Usage,
};
use tollgate_dialects::estimate::{self, TokenCounter};

use super::profile::Profile;
use super::schema;

/// Longest quotation of the prompt, in characters.
const MAX_QUOTE: usize = 160;

/// Words used to make answers of a given length.
const FILLER: &str =
    "the quick brown fox jumps over the lazy dog while the gateway counts every single token ";

/// The reply to one request.
pub struct Reply {
    dialect: Dialect,
    id: String,
    model: String,
    parts: Vec<Part>,
    stop: StopReason,
    usage: Usage,
}

impl Reply {
    /// Makes up the reply to a request.
    pub fn new(dialect: Dialect, request: &Request, profile: &Profile) -> Self {
        let prompt = last_text(request);
        let mut parts = Vec::new();
        let mut reasoning_tokens = None;
        if let Some(thought) = thought(dialect, request, &prompt) {
            reasoning_tokens = Some(estimate::tokens(&thought.text));
            parts.push(Part::Reasoning(thought));
        }
        let mut stop = StopReason::End;
        if let Some(call) = tool_call(dialect, request, &prompt) {
            parts.push(Part::ToolCall(call));
            stop = StopReason::ToolCalls;
        } else {
            let mut text = answer_text(request, &prompt, profile);
            if let Some(limit) = request.max_output_tokens
                && estimate::tokens(&text) > limit
            {
                text = shortened(&text, limit);
                stop = StopReason::Length;
            }
            parts.push(Part::Text(Text {
                text,
                ..Text::default()
            }));
        }
        let output = parts.iter().map(part_tokens).sum();
        let usage = Usage {
            input: estimate::request_tokens(request),
            cache_read: Some(0),
            cache_write: (dialect == Dialect::AnthropicMessages).then_some(0),
            output,
            reasoning: reasoning_tokens.or((dialect == Dialect::OpenaiChat).then_some(0)),
            ..Usage::default()
        };
        let mut hasher = DefaultHasher::new();
        (&request.model, &prompt, request.messages.len()).hash(&mut hasher);
        let id = match dialect {
            Dialect::OpenaiChat => format!("chatcmpl-sim{:016x}", hasher.finish()),
            Dialect::AnthropicMessages => format!("msg_sim{:016x}", hasher.finish()),
            Dialect::OpenaiResponses => format!("resp_sim{:016x}", hasher.finish()),
            Dialect::Gemini | Dialect::BedrockConverse | Dialect::CohereChat => {
                format!("sim{:016x}", hasher.finish())
            }
        };
        Reply {
            dialect,
            id,
            model: request.model.clone(),
            parts,
            stop,
            usage,
        }
    }

    /// The reply as a whole answer.
    pub fn response(&self) -> Response {
        Response {
            origin: self.dialect,
            id: self.id.clone(),
            model: self.model.clone(),
            created: None,
            choices: vec![Choice {
                index: 0,
                parts: self.parts.clone(),
                stop: self.stop(),
                logprobs: None,
                ext: Ext::default(),
                message_ext: Ext::default(),
            }],
            usage: Some(self.usage.clone()),
            service_tier: None,
            ext: Ext::default(),
        }
    }

    fn stop(&self) -> Stop {
        let native = match (self.dialect, self.stop) {
            (Dialect::OpenaiChat, StopReason::ToolCalls) => "tool_calls",
            (Dialect::OpenaiChat, StopReason::Length) => "length",
            (Dialect::OpenaiChat, _) => "stop",
            (Dialect::AnthropicMessages | Dialect::BedrockConverse, StopReason::ToolCalls) => "tool_use",
            (Dialect::AnthropicMessages | Dialect::BedrockConverse, StopReason::Length) => "max_tokens",
            (Dialect::AnthropicMessages | Dialect::BedrockConverse, _) => "end_turn",
            (Dialect::OpenaiResponses, StopReason::Length) => "max_output_tokens",
            (Dialect::OpenaiResponses, _) => "completed",
            (Dialect::CohereChat, StopReason::ToolCalls) => "TOOL_CALL",
            (Dialect::CohereChat, StopReason::Length) => "MAX_TOKENS",
            (Dialect::CohereChat, _) => "COMPLETE",
            (Dialect::Gemini, StopReason::Length) => "MAX_TOKENS",
            (Dialect::Gemini, _) => "STOP",
        };
        Stop {
            reason: self.stop,
            native: Some(native.to_owned()),
            ..Stop::default()
        }
    }

    /// The reply as a stream, word by word.
    pub fn events(&self) -> Vec<Event<'_>> {
        let mut events = vec![Event::Start {
            origin: self.dialect,
            id: self.id.clone(),
            model: self.model.clone(),
            created: None,
            service_tier: None,
            ext: Ext::default(),
        }];
        if self.dialect == Dialect::AnthropicMessages {
            // Anthropic tells the input at the start, with a provisional output.
            events.push(Event::Usage(Usage {
                output: 1,
                ..self.usage.clone()
            }));
        }
        for (part, content) in self.parts.iter().enumerate() {
            let mut delta = |delta| {
                events.push(Event::PartDelta {
                    choice: 0,
                    part,
                    delta,
                })
            };
            match content {
                Part::Text(text) => {
                    events.push(Event::PartStart {
                        choice: 0,
                        part,
                        kind: PartKind::Text,
                    });
                    for word in words(&text.text) {
                        events.push(Event::PartDelta {
                            choice: 0,
                            part,
                            delta: Delta::Text(word.into()),
                        });
                    }
                }
                Part::Reasoning(reasoning) => {
                    let kind = PartKind::Reasoning {
                        member: reasoning.member.clone(),
                        of_call: reasoning.of_call.clone(),
                    };
                    events.push(Event::PartStart {
                        choice: 0,
                        part,
                        kind,
                    });
                    for word in words(&reasoning.text) {
                        events.push(Event::PartDelta {
                            choice: 0,
                            part,
                            delta: Delta::Reasoning(word.into()),
                        });
                    }
                    if let Some(signature) = &reasoning.signature {
                        events.push(Event::PartDelta {
                            choice: 0,
                            part,
                            delta: Delta::Signature(signature.into()),
                        });
                    }
                }
                Part::ToolCall(call) => {
                    let kind = PartKind::ToolCall {
                        id: call.id.clone(),
                        name: call.name.clone(),
                        kind: call.kind,
                        ext: Ext::default(),
                    };
                    events.push(Event::PartStart {
                        choice: 0,
                        part,
                        kind,
                    });
                    // Cut inside the JSON, as real providers do.
                    let (first, rest) = call
                        .arguments
                        .split_at(call.arguments.floor_char_boundary(call.arguments.len() / 2));
                    for piece in [first, rest] {
                        events.push(Event::PartDelta {
                            choice: 0,
                            part,
                            delta: Delta::Arguments(Cow::Borrowed(piece)),
                        });
                    }
                }
                _ => delta(Delta::Text("".into())),
            }
            events.push(Event::PartStop { choice: 0, part });
        }
        events.push(Event::Stop {
            choice: 0,
            stop: self.stop(),
        });
        events.push(Event::Usage(self.usage.clone()));
        events.push(Event::End);
        events
    }
}

fn last_text(request: &Request) -> String {
    let Some(message) = request
        .messages
        .iter()
        .rev()
        .find(|message| matches!(message.role, Role::User | Role::Tool))
    else {
        return String::new();
    };
    texts(&message.parts).join("\n")
}

fn texts(parts: &[Part]) -> Vec<&str> {
    let mut found = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) => found.push(text.text.as_str()),
            Part::ToolResult(result) => found.extend(texts(&result.content)),
            _ => {}
        }
    }
    found
}

fn answer_text(request: &Request, prompt: &str, profile: &Profile) -> String {
    match &request.response_format {
        Some(ResponseFormat::JsonSchema {
            schema: Some(schema), ..
        }) => {
            let schema: Value = serde_json::from_str(schema.text()).unwrap_or_default();
            return schema::example(&schema, &quote(prompt)).to_string();
        }
        Some(ResponseFormat::JsonObject) => {
            return serde_json::json!({ "answer": quote(prompt) }).to_string();
        }
        _ => {}
    }
    if let Some(words) = profile.words {
        return FILLER
            .split(' ')
            .filter(|word| !word.is_empty())
            .cycle()
            .take(words)
            .collect::<Vec<_>>()
            .join(" ");
    }
    let after_tool = request.messages.last().is_some_and(|message| {
        message
            .parts
            .iter()
            .any(|part| matches!(part, Part::ToolResult(_)))
    });
    if after_tool {
        return format!("The tool answered: {}", quote(prompt));
    }
    let greeting = prompt.trim().trim_end_matches(['!', '.']).to_ascii_lowercase();
    if matches!(greeting.as_str(), "hello" | "hi" | "hey") {
        return "Hello! How can I help you today?".to_owned();
    }
    format!(
        "You said: {} This reply comes from Tollgate's simulated provider; no model was asked.",
        quote(prompt)
    )
}

fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(MAX_QUOTE).collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    quoted
}

fn shortened(text: &str, limit: u64) -> String {
    let mut counter = TokenCounter::default();
    words(text)
        .take_while(|word| {
            counter.push(word);
            counter.tokens() <= limit
        })
        .collect()
}

/// A tool is called when the request forces it, or when the prompt of the person mentions tools or the tool's name.
fn tool_call(dialect: Dialect, request: &Request, prompt: &str) -> Option<ToolCall> {
    let asked_by_person = request.messages.last().is_some_and(|message| {
        message.role == Role::User
            && !message
                .parts
                .iter()
                .any(|part| matches!(part, Part::ToolResult(_)))
    });
    let lower = prompt.to_lowercase();
    let functions: Vec<(&str, Option<&str>)> = request
        .tools
        .iter()
        .filter_map(|tool| match &tool.kind {
            ToolKind::Function { name, parameters, .. } => {
                Some((name.as_str(), parameters.as_ref().map(|schema| schema.text())))
            }
            _ => None,
        })
        .collect();
    let wanted = match &request.tool_choice {
        Some(ToolChoice::None) => None,
        Some(ToolChoice::Function(name)) => functions.iter().find(|(function, _)| function == name),
        Some(ToolChoice::Required) => functions.first(),
        _ if !asked_by_person => None,
        _ => functions
            .iter()
            .find(|(name, _)| {
                lower.contains(&name.to_lowercase().replace('_', " ")) || lower.contains(&name.to_lowercase())
            })
            .or(functions
                .first()
                .filter(|_| lower.contains("tool") || lower.contains("weather"))),
    };
    let (name, parameters) = wanted?;
    let schema: Value = parameters
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let arguments = schema::example(&schema, "Paris");
    let arguments = if arguments.is_object() {
        arguments.to_string()
    } else {
        "{}".to_owned()
    };
    let mut hasher = DefaultHasher::new();
    (name, prompt, request.messages.len()).hash(&mut hasher);
    let prefix = if dialect == Dialect::OpenaiChat {
        "call"
    } else {
        "toolu"
    };
    Some(ToolCall {
        id: format!("{prefix}_sim{:016x}", hasher.finish()),
        name: (*name).to_owned(),
        arguments,
        kind: ToolCallKind::Function,
        ..ToolCall::default()
    })
}

/// Thinks aloud when thinking is on, in dialects that tell thoughts with their proof.
fn thought(dialect: Dialect, request: &Request, prompt: &str) -> Option<Reasoning> {
    let reasoning = request.reasoning.as_ref()?;
    let off = matches!(reasoning.thinking, None | Some(Thinking::Disabled { .. }))
        || reasoning.effort == Some(Effort::None);
    let thinks = matches!(
        dialect,
        Dialect::AnthropicMessages | Dialect::Gemini | Dialect::BedrockConverse | Dialect::CohereChat
    );
    if off || !thinks {
        return None;
    }
    Some(Reasoning {
        text: format!("The person says: {}", quote(prompt)),
        // Cohere proves nothing.
        signature: (dialect != Dialect::CohereChat).then(|| "c2ltdWxhdGVkLXNpZ25hdHVyZQ==".to_owned()),
        origin: Some(dialect),
        ..Reasoning::default()
    })
}

fn part_tokens(part: &Part) -> u64 {
    match part {
        Part::Text(text) => estimate::tokens(&text.text),
        Part::Reasoning(reasoning) => estimate::tokens(&reasoning.text),
        Part::ToolCall(call) => estimate::tokens(&call.name) + estimate::tokens(&call.arguments),
        _ => 0,
    }
}

/// Words with the spaces after them; together they are the text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}
