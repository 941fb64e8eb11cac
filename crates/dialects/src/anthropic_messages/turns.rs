//! Brings the messages of another dialect into the order this dialect demands: one `system` in front, alternating turns,
//! and all tool results of one assistant turn first in the next user turn, in the order of the calls.

use std::borrow::Cow;
use std::collections::HashSet;

use super::encode::Turn;
use super::{cache, ids, media};
use crate::Dialect;
use crate::canonical::{
    ContentForm, Ext, Message, Part, Reasoning, Request, Role, Text, ToolCall, ToolCallKind, ToolResult,
};
use crate::foreign::{self, Place};
use crate::json::Object;
use crate::loss::Losses;
use crate::names::{Member, Names};
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
        request,
        names: Names::new(request),
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
    builder.check_end(capabilities);
    let turns = builder.turns;
    Conversation {
        system: (!system.is_empty()).then(|| turn(Role::System, system)),
        turns,
    }
}

const FOREIGN_REASONING: &str = "reasoning is valid only for the provider that wrote it";

struct Builder<'a, 'l> {
    request: &'a Request,
    names: Names<'a>,
    turns: Vec<Turn<'a>>,
    /// The calls of the last assistant turn, until all their results are in.
    open: Option<Vec<OpenCall<'a>>>,
    /// The ids of all calls so far; this dialect demands that each is unique in the whole conversation.
    used_ids: HashSet<String>,
    losses: &'l mut Losses,
}

struct OpenCall<'a> {
    /// Where the call stood.
    path: String,
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
                self.tool_result(i, j, result);
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
                    self.names.message(i),
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
                        .approximated(self.names.message(i), "a message without content is left out");
                }
                self.push(Role::User, parts);
            }
        }
    }

    fn assistant(&mut self, i: usize, message: &'a Message) {
        let mut parts = self.content(i, message, Role::Assistant);
        let mut calls = Vec::new();
        let places = message.parts.iter().enumerate();
        let places = places.filter_map(|(at, part)| Some((at, as_call(part)?)));
        for (j, (at, call)) in places.enumerate() {
            let path = self.names.part(i, at);
            let new_id = self.call_id(call, i, j);
            parts.push(Cow::Owned(Part::ToolCall(self.tool_call(call, &new_id, &path))));
            calls.push(OpenCall {
                path,
                id: &call.id,
                name: &call.name,
                new_id,
                result: None,
            });
        }
        if parts.is_empty() {
            self.losses
                .approximated(self.names.message(i), "a message without content is left out");
        }
        self.push(Role::Assistant, parts);
        if !calls.is_empty() {
            self.open = Some(calls);
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
                self.names.within(path, Member::CallName),
                "not a tool name the provider accepts",
            );
        }
        let arguments = match call.arguments.trim() {
            // Some models write `null` when a tool takes nothing.
            "" | "null" => "{}",
            text if Object::parse(text, "").is_ok() => text,
            _ => {
                self.losses.rejected(
                    self.names.within(path, Member::CallArguments),
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
            cache: cache::carry_over(
                call.cache.as_ref(),
                &call.ext,
                Place::ToolCall,
                self.request.origin,
                path,
                self.losses,
            ),
            ext: Ext::default(),
        }
    }

    /// Gives a result to its call. Results of the old `function` role have no id and go by name, or by order.
    fn tool_result(&mut self, i: usize, j: usize, result: &'a ToolResult) {
        let path = self.names.part(i, j);
        let mut waiting: Vec<&mut OpenCall<'a>> = self
            .open
            .iter_mut()
            .flatten()
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
            self.losses.rejected(
                self.names.within(&path, Member::ResultId),
                "no call of the message before has this id",
            );
            return;
        };
        let mut converted = ToolResult {
            call_id: call.new_id.clone(),
            content: Vec::new(),
            form: ContentForm::String,
            is_error: result.is_error,
            cache: cache::carry_over(
                result.cache.as_ref(),
                &result.ext,
                Place::ToolResult,
                self.request.origin,
                &path,
                self.losses,
            ),
            ext: Ext::default(),
        };
        for (k, part) in result.content.iter().enumerate() {
            let path = self.names.result_part(i, j, k);
            converted
                .content
                .extend(convert(part, Role::User, &path, self.names, self.losses).map(Cow::into_owned));
        }
        if converted.content.is_empty() {
            converted.form = ContentForm::Absent;
        }
        call.result = Some(converted);
    }

    /// The turn after the calls begins: writes their results, in the order of the calls, and reports missing ones.
    fn close_calls(&mut self) {
        let Some(open) = self.open.take() else { return };
        let mut parts = Vec::with_capacity(open.len());
        for call in open {
            match call.result {
                Some(result) => parts.push(Cow::Owned(Part::ToolResult(result))),
                None => self
                    .losses
                    .rejected(call.path, "the call has no result in the messages right after it"),
            }
        }
        self.push(Role::User, parts);
    }

    /// The parts of a message except tool calls and results, converted; reasoning first.
    fn content(&mut self, i: usize, message: &'a Message, role: Role) -> Vec<Cow<'a, Part>> {
        let mut reasoning = Vec::new();
        let mut parts = Vec::new();
        for (j, part) in message.parts.iter().enumerate() {
            let path = self.names.part(i, j);
            match part {
                Part::ToolCall(_) if role == Role::Assistant => continue,
                Part::ToolResult(_) => continue,
                Part::Reasoning(one) => {
                    if let Some(one) = own_reasoning(one, &path, self.losses) {
                        reasoning.push(one);
                    }
                    continue;
                }
                _ => {}
            }
            parts.extend(convert(part, role, &path, self.names, self.losses));
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
        let path = self.names.message(i);
        // The name in a message of the old role `function` is the function's.
        if message.name.is_some() && message.role != Role::Tool {
            self.losses.dropped(
                format!("{path}.name"),
                "the provider knows no names of participants",
            );
        }
        foreign::report(
            &message.ext,
            Place::Message,
            self.request.origin,
            &path,
            self.losses,
        );
    }

    /// What the provider demands of the last message, and that there is one.
    fn check_end(&mut self, capabilities: &Capabilities) {
        let last_message = self.names.message(self.request.messages.len().saturating_sub(1));
        let Some(last) = self.turns.last_mut() else {
            self.losses
                .rejected(self.names.messages(), "there is no user message");
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
fn convert<'a>(
    part: &'a Part,
    role: Role,
    path: &str,
    names: Names<'_>,
    losses: &mut Losses,
) -> Option<Cow<'a, Part>> {
    match part {
        Part::Text(text) | Part::Refusal(text) if text.text.is_empty() => None,
        Part::Text(text) | Part::Refusal(text) if text.text.trim().is_empty() => {
            losses.approximated(path, "text of white space only is left out");
            None
        }
        Part::Text(text) if text.ext.is_empty() && text.cache.is_none() => Some(Cow::Borrowed(part)),
        Part::Text(text) | Part::Refusal(text) => Some(Cow::Owned(Part::Text(Text {
            text: text.text.clone(),
            cache: cache::carry_over(
                text.cache.as_ref(),
                &text.ext,
                Place::Text,
                names.origin(),
                path,
                losses,
            ),
            ext: Ext::default(),
        }))),
        Part::Media(_) if role == Role::System || role == Role::Assistant => {
            losses.rejected(path, "only user messages and tool results may hold media");
            None
        }
        Part::Media(media) => {
            media::convert(media, path, names, losses).map(|media| Cow::Owned(Part::Media(media)))
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
fn own_reasoning<'a>(reasoning: &'a Reasoning, path: &str, losses: &mut Losses) -> Option<Cow<'a, Part>> {
    let proof = reasoning.signature.is_some() || reasoning.redacted.is_some();
    if reasoning.origin != Some(Dialect::AnthropicMessages) || !proof {
        losses.dropped(path, FOREIGN_REASONING);
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

fn turn(role: Role, parts: Vec<Cow<'_, Part>>) -> Turn<'_> {
    Turn {
        role,
        parts,
        form: ContentForm::String,
        ext: None,
    }
}
