//! Brings the messages of another dialect into the order this dialect demands: one `system` in front, alternating turns,
//! and all tool results of one assistant turn first in the next user turn, in the order of the calls.

use std::borrow::Cow;
use std::collections::HashSet;

use super::encode::Turn;
use super::{foreign, ids, media};
use crate::Dialect;
use crate::canonical::{
    ContentForm, Ext, Message, Part, Reasoning, Request, Role, Text, ToolCall, ToolCallKind, ToolResult,
};
use crate::json::Object;
use crate::loss::Losses;
use crate::target::Capabilities;

/// The messages in this dialect's order.
pub(super) struct Conversation<'a> {
    pub(super) system: Option<Turn<'a>>,
    pub(super) turns: Vec<Turn<'a>>,
}

/// Keeps the parts of a message of this dialect, except for reasoning that another maker wrote.
pub(super) fn keep_own_parts<'a>(
    parts: &'a [Part],
    message: usize,
    losses: &mut Losses,
) -> Vec<Cow<'a, Part>> {
    let mut kept = Vec::with_capacity(parts.len());
    for (i, part) in parts.iter().enumerate() {
        match part {
            Part::Reasoning(reasoning) if reasoning.origin != Some(Dialect::AnthropicMessages) => {
                losses.dropped(format!("messages[{message}].content[{i}]"), FOREIGN_REASONING);
            }
            _ => kept.push(Cow::Borrowed(part)),
        }
    }
    kept
}

/// Brings the messages into this dialect's order and reports what does not fit.
pub(super) fn build<'a>(
    request: &'a Request,
    capabilities: &Capabilities,
    losses: &mut Losses,
) -> Conversation<'a> {
    let mut builder = Builder {
        turns: Vec::new(),
        open: None,
        used_ids: HashSet::new(),
        losses,
    };
    let messages = &request.messages;
    let leading = messages
        .iter()
        .take_while(|message| is_system(message.role))
        .count();
    let mut system = Vec::new();
    for (i, message) in messages.iter().take(leading).enumerate() {
        builder.report_message(i, message);
        system.extend(builder.texts(i, message));
    }
    for (i, message) in messages.iter().enumerate().skip(leading) {
        builder.report_message(i, message);
        builder.message(i, message, capabilities);
    }
    builder.close_calls();
    builder.check_end(messages.len(), capabilities);
    let turns = builder.turns;
    Conversation {
        system: (!system.is_empty()).then(|| turn(Role::System, system)),
        turns,
    }
}

const FOREIGN_REASONING: &str = "reasoning is valid only for the provider that wrote it";

struct Builder<'a, 'l> {
    turns: Vec<Turn<'a>>,
    /// The calls of the last assistant turn, until all their results are in.
    open: Option<OpenCalls<'a>>,
    /// The ids of all calls so far; this dialect demands that each is unique in the whole conversation.
    used_ids: HashSet<String>,
    losses: &'l mut Losses,
}

struct OpenCalls<'a> {
    /// Number of the message with the calls.
    message: usize,
    calls: Vec<OpenCall<'a>>,
}

struct OpenCall<'a> {
    /// The id as the client wrote it.
    id: &'a str,
    name: &'a str,
    /// The id we write.
    new_id: String,
    result: Option<ToolResult>,
}

impl<'a> Builder<'a, '_> {
    fn message(&mut self, i: usize, message: &'a Message, capabilities: &Capabilities) {
        for (j, part) in message.parts.iter().enumerate() {
            if let Part::ToolResult(result) = part {
                self.tool_result(i, j, message.role, result);
            }
        }
        if message.role == Role::Tool {
            return;
        }
        self.close_calls();
        match message.role {
            Role::Assistant => self.assistant(i, message),
            Role::System | Role::Developer if capabilities.mid_conversation_system => {
                let parts = self.texts(i, message);
                self.push(Role::System, parts);
            }
            Role::System | Role::Developer => {
                self.losses.approximated(
                    format!("messages[{i}]"),
                    "the model takes no system messages between others; written as a marked user text",
                );
                let mut parts = self.texts(i, message);
                if let Some(first) = parts.first_mut()
                    && let Part::Text(text) = first.to_mut()
                {
                    text.text.insert_str(0, "[system] ");
                }
                self.push(Role::User, parts);
            }
            Role::User | Role::Tool => {
                let parts = self.content(i, message, Role::User);
                if parts.is_empty()
                    && !message
                        .parts
                        .iter()
                        .any(|part| matches!(part, Part::ToolResult(_)))
                {
                    self.losses
                        .approximated(format!("messages[{i}]"), "a message without content is left out");
                }
                self.push(Role::User, parts);
            }
        }
    }

    fn assistant(&mut self, i: usize, message: &'a Message) {
        let mut parts = self.content(i, message, Role::Assistant);
        let mut calls = Vec::new();
        for (j, call) in message.parts.iter().filter_map(as_call).enumerate() {
            let path = format!("messages[{i}].tool_calls[{j}]");
            let new_id = self.call_id(call, i, j);
            parts.push(Cow::Owned(Part::ToolCall(self.tool_call(call, &new_id, &path))));
            calls.push(OpenCall {
                id: &call.id,
                name: &call.name,
                new_id,
                result: None,
            });
        }
        if parts.is_empty() {
            self.losses
                .approximated(format!("messages[{i}]"), "a message without content is left out");
        }
        self.push(Role::Assistant, parts);
        if !calls.is_empty() {
            self.open = Some(OpenCalls { message: i, calls });
        }
    }

    /// The id we write for a call: the client's if it fits and is new, else a made one.
    fn call_id(&mut self, call: &ToolCall, message: usize, number: usize) -> String {
        let mut id = match call.id.as_str() {
            "" => format!("toolu_{message}_{number}"),
            id => ids::tool_call_id(id).into_owned(),
        };
        while !self.used_ids.insert(id.clone()) {
            id.push_str(&format!("_{message}_{number}"));
        }
        id
    }

    fn tool_call(&mut self, call: &ToolCall, new_id: &str, path: &str) -> ToolCall {
        if call.kind == ToolCallKind::Custom {
            self.losses
                .rejected(path, "calls of free-text tools cannot be expressed");
        }
        if !ids::is_tool_name(&call.name) {
            self.losses.rejected(
                format!("{path}.function.name"),
                "not a tool name the provider accepts",
            );
        }
        let arguments = match call.arguments.trim() {
            // Some models write `null` when a tool takes nothing.
            "" | "null" => "{}",
            text if Object::parse(text, "").is_ok() => text,
            _ => {
                self.losses.rejected(
                    format!("{path}.function.arguments"),
                    "the arguments are not a JSON object",
                );
                "{}"
            }
        };
        ToolCall {
            id: new_id.to_owned(),
            name: call.name.clone(),
            arguments: arguments.to_owned(),
            kind: ToolCallKind::Function,
            cache: call.cache.clone().or_else(|| foreign::cache_control(&call.ext)),
            ext: foreign::part_ext(&call.ext, path, self.losses),
        }
    }

    /// Gives a result to its call. Results of the old `function` role have no id and go by name, or by order.
    fn tool_result(&mut self, i: usize, j: usize, role: Role, result: &'a ToolResult) {
        let path = if role == Role::Tool {
            format!("messages[{i}].tool_call_id")
        } else {
            format!("messages[{i}].content[{j}]")
        };
        let mut waiting: Vec<&mut OpenCall<'a>> = self
            .open
            .iter_mut()
            .flat_map(|open| &mut open.calls)
            .filter(|call| call.result.is_none())
            .collect();
        let position = waiting
            .iter()
            .position(|call| call.id == result.call_id)
            .or_else(|| {
                waiting
                    .iter()
                    .position(|call| call.id.is_empty() && call.name == result.call_id)
            })
            .or_else(|| (result.call_id.is_empty() && !waiting.is_empty()).then_some(0));
        let Some(call) = position.map(|position| waiting.swap_remove(position)) else {
            self.losses
                .rejected(path, "no call of the message before has this id");
            return;
        };
        let mut converted = ToolResult {
            call_id: call.new_id.clone(),
            content: Vec::new(),
            form: ContentForm::String,
            is_error: result.is_error,
            cache: result
                .cache
                .clone()
                .or_else(|| foreign::cache_control(&result.ext)),
            ext: foreign::part_ext(&result.ext, &format!("messages[{i}]"), self.losses),
        };
        for (k, part) in result.content.iter().enumerate() {
            let path = content_path(i, result.form, k);
            converted
                .content
                .extend(convert(part, Role::User, &path, self.losses).map(Cow::into_owned));
        }
        if converted.content.is_empty() {
            converted.form = ContentForm::Absent;
        }
        call.result = Some(converted);
    }

    /// The turn after the calls begins: writes their results, in the order of the calls, and reports missing ones.
    fn close_calls(&mut self) {
        let Some(open) = self.open.take() else { return };
        let mut parts = Vec::with_capacity(open.calls.len());
        for (j, call) in open.calls.into_iter().enumerate() {
            match call.result {
                Some(result) => parts.push(Cow::Owned(Part::ToolResult(result))),
                None => {
                    let path = format!("messages[{}].tool_calls[{j}]", open.message);
                    self.losses
                        .rejected(path, "the call has no result in the messages right after it");
                }
            }
        }
        self.push(Role::User, parts);
    }

    /// The parts of a message except tool calls and results, converted; reasoning first.
    fn content(&mut self, i: usize, message: &'a Message, role: Role) -> Vec<Cow<'a, Part>> {
        let mut reasoning = Vec::new();
        let mut parts = Vec::new();
        let mut position = 0;
        for part in &message.parts {
            match part {
                Part::ToolCall(_) if role == Role::Assistant => continue,
                Part::ToolResult(_) => continue,
                Part::Reasoning(one) => {
                    if let Some(one) = own_reasoning(one, i, self.losses) {
                        reasoning.push(one);
                    }
                    continue;
                }
                _ => {}
            }
            parts.extend(convert(
                part,
                role,
                &content_path(i, message.form, position),
                self.losses,
            ));
            position += 1;
        }
        reasoning.append(&mut parts);
        reasoning
    }

    /// The texts of a system message.
    fn texts(&mut self, i: usize, message: &'a Message) -> Vec<Cow<'a, Part>> {
        let mut parts = self.content(i, message, Role::System);
        parts.retain(|part| matches!(part.as_ref(), Part::Text(_)));
        parts
    }

    /// Appends to the last turn if it has the same role.
    fn push(&mut self, role: Role, mut parts: Vec<Cow<'a, Part>>) {
        if parts.is_empty() {
            return;
        }
        match self.turns.last_mut() {
            Some(last) if last.role == role => last.parts.append(&mut parts),
            _ => self.turns.push(turn(role, parts)),
        }
    }

    fn report_message(&mut self, i: usize, message: &Message) {
        // The name in a message of the old role `function` is the function's.
        if message.name.is_some() && message.role != Role::Tool {
            self.losses.dropped(
                format!("messages[{i}].name"),
                "the provider knows no names of participants",
            );
        }
        foreign::report_message(&message.ext, &format!("messages[{i}]"), self.losses);
    }

    /// What the provider demands of the last message, and that there is one.
    fn check_end(&mut self, messages: usize, capabilities: &Capabilities) {
        let last_message = format!("messages[{}]", messages.saturating_sub(1));
        let Some(last) = self.turns.last_mut() else {
            self.losses.rejected("messages", "there is no user message");
            return;
        };
        if last.role != Role::Assistant {
            return;
        }
        if !capabilities.assistant_prefill {
            self.losses.rejected(
                last_message,
                "the model does not continue an answer that was begun",
            );
            return;
        }
        let Some(Part::Text(text)) = last.parts.last().map(AsRef::as_ref) else {
            return;
        };
        if text.text.ends_with(char::is_whitespace) {
            self.losses.approximated(
                last_message,
                "white space at the end of the begun answer is left out",
            );
            let trimmed = Text {
                text: text.text.trim_end().to_owned(),
                ..text.clone()
            };
            last.parts.pop();
            last.parts.push(Cow::Owned(Part::Text(trimmed)));
        }
    }
}

/// Converts one part that is neither a call, a result nor reasoning. `None`: left out.
fn convert<'a>(part: &'a Part, role: Role, path: &str, losses: &mut Losses) -> Option<Cow<'a, Part>> {
    match part {
        Part::Text(text) | Part::Refusal(text) if text.text.is_empty() => None,
        Part::Text(text) | Part::Refusal(text) if text.text.trim().is_empty() => {
            losses.approximated(path, "text of white space only is left out");
            None
        }
        Part::Text(text) if text.ext.is_empty() => Some(Cow::Borrowed(part)).inspect(|_| {
            foreign::report_cache(text.cache.as_ref(), path, losses);
        }),
        Part::Text(text) | Part::Refusal(text) => {
            foreign::report_cache(text.cache.as_ref(), path, losses);
            Some(Cow::Owned(Part::Text(Text {
                text: text.text.clone(),
                cache: text.cache.clone().or_else(|| foreign::cache_control(&text.ext)),
                ext: foreign::part_ext(&text.ext, path, losses),
            })))
        }
        Part::Media(_) if role == Role::System || role == Role::Assistant => {
            losses.rejected(path, "only user messages and tool results may hold media");
            None
        }
        Part::Media(media) => {
            foreign::report_cache(media.cache.as_ref(), path, losses);
            media::convert(media, path, losses).map(|media| Cow::Owned(Part::Media(media)))
        }
        Part::Opaque {
            dialect: Dialect::AnthropicMessages,
            ..
        } => Some(Cow::Borrowed(part)),
        Part::Opaque { .. } => {
            losses.rejected(path, "only the client's own dialect has this kind of content");
            None
        }
        Part::ToolCall(_) | Part::ToolResult(_) => {
            losses.rejected(path, "a message of this role cannot hold it");
            None
        }
        Part::Reasoning(_) => {
            losses.dropped(path, FOREIGN_REASONING);
            None
        }
    }
}

/// Reasoning of this dialect's makers, untouched; `None` for any other.
fn own_reasoning<'a>(reasoning: &'a Reasoning, i: usize, losses: &mut Losses) -> Option<Cow<'a, Part>> {
    let proof = reasoning.signature.is_some() || reasoning.redacted.is_some();
    if reasoning.origin != Some(Dialect::AnthropicMessages) || !proof {
        let member = reasoning.member.as_deref().unwrap_or("reasoning");
        losses.dropped(format!("messages[{i}].{member}"), FOREIGN_REASONING);
        return None;
    }
    // The bag holds the form in which the client carried the block.
    Some(Cow::Owned(Part::Reasoning(Reasoning {
        ext: Ext::default(),
        ..reasoning.clone()
    })))
}

fn as_call(part: &Part) -> Option<&ToolCall> {
    match part {
        Part::ToolCall(call) => Some(call),
        _ => None,
    }
}

fn is_system(role: Role) -> bool {
    matches!(role, Role::System | Role::Developer)
}

fn content_path(message: usize, form: ContentForm, position: usize) -> String {
    match form {
        ContentForm::List => format!("messages[{message}].content[{position}]"),
        ContentForm::String | ContentForm::Null | ContentForm::Absent => {
            format!("messages[{message}].content")
        }
    }
}

fn turn(role: Role, parts: Vec<Cow<'_, Part>>) -> Turn<'_> {
    Turn {
        role,
        parts,
        form: ContentForm::String,
        ext: None,
    }
}
