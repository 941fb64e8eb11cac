//! Brings the messages of another dialect into the order this dialect demands: `system` apart, alternating turns that begin
//! with the user's, and all tool results of one assistant turn first in the next user turn, in the order of the calls.

use std::borrow::Cow;
use std::collections::HashSet;

use super::part::ORIGIN;
use super::{documents, ids};
use crate::Dialect;
use crate::anthropic_messages;
use crate::canonical::{
    CacheHint, ContentForm, Ext, Media, MediaKind, Message, Part, Reasoning, Request, Role, Text, ToolCall,
    ToolCallKind, ToolResult,
};
use crate::foreign::{self, Place};
use crate::json::Object;
use crate::loss::Losses;
use crate::names::{Member, Names};
use crate::target::Capabilities;

/// Why reasoning of another maker is left out.
pub(super) const FOREIGN_REASONING: &str = "reasoning is valid only for the provider that wrote it";

/// The messages in this dialect's order.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Cow<'a, Part>>,
    pub(super) turns: Vec<Turn<'a>>,
}

/// One message in the shape of this dialect.
pub(super) struct Turn<'a> {
    pub(super) role: Role,
    pub(super) parts: Vec<Cow<'a, Part>>,
}

/// Brings the messages into this dialect's order and reports what does not fit.
pub(super) fn build<'a>(
    request: &'a Request,
    capabilities: &Capabilities,
    losses: &mut Losses,
) -> Conversation<'a> {
    let mut builder = Builder {
        origin: request.origin,
        names: Names::new(request),
        turns: Vec::new(),
        open: Vec::new(),
        used_ids: HashSet::new(),
        documents: documents::Documents::default(),
        losses,
    };
    let is_system = |message: &&Message| matches!(message.role, Role::System | Role::Developer);
    let leading = request.messages.iter().take_while(is_system).count();
    let mut system = Vec::new();
    for (i, message) in request.messages.iter().enumerate() {
        builder.report_message(i, message);
        if i < leading {
            system.extend(builder.texts(i, message));
        } else {
            builder.message(i, message, capabilities);
        }
    }
    builder.close_calls();
    builder.check_ends(request.messages.len(), capabilities);
    Conversation {
        system,
        turns: builder.turns,
    }
}

struct Builder<'a, 'l> {
    origin: Dialect,
    names: Names<'a>,
    turns: Vec<Turn<'a>>,
    /// The calls of the last assistant turn, until all their results are in.
    open: Vec<OpenCall<'a>>,
    /// The ids of all calls so far; each must be unique.
    used_ids: HashSet<String>,
    documents: documents::Documents,
    losses: &'l mut Losses,
}

struct OpenCall<'a> {
    call: &'a ToolCall,
    path: String,
    /// The id that is written.
    id: String,
    result: Option<ToolResult>,
}

impl<'a> Builder<'a, '_> {
    fn report_message(&mut self, i: usize, message: &Message) {
        let path = self.names.message(i);
        // The name in a message of the old role `function` is the function's.
        if message.name.is_some() && message.role != Role::Tool {
            self.losses.dropped(
                format!("{path}.name"),
                "the provider knows no names of participants",
            );
        }
        foreign::report(&message.ext, Place::Message, self.origin, &path, self.losses);
    }

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
            Role::System | Role::Developer => {
                let mut parts = self.texts(i, message);
                if capabilities.mid_conversation_system {
                    return self.push(Role::System, parts);
                }
                self.losses.approximated(
                    self.names.message(i),
                    "the model takes no system messages between others; written as a marked user text",
                );
                if let Some(first) = parts.first_mut()
                    && let Part::Text(text) = first.to_mut()
                {
                    text.text.insert_str(0, "[system] ");
                }
                self.push(Role::User, parts);
            }
            Role::User | Role::Tool => {
                let parts = self.content(i, message, Role::User);
                let has_results = message
                    .parts
                    .iter()
                    .any(|part| matches!(part, Part::ToolResult(_)));
                self.push_content(i, Role::User, parts, has_results);
            }
        }
    }

    fn assistant(&mut self, i: usize, message: &'a Message) {
        let parts = self.content(i, message, Role::Assistant);
        let open = std::mem::take(&mut self.open);
        self.push_content(i, Role::Assistant, parts, false);
        self.open = open;
    }

    /// The parts of a message except tool results, converted.
    fn content(&mut self, i: usize, message: &'a Message, role: Role) -> Vec<Cow<'a, Part>> {
        let mut parts = Vec::with_capacity(message.parts.len());
        for (j, part) in message.parts.iter().enumerate() {
            let path = self.names.part(i, j);
            match part {
                Part::ToolResult(_) => {}
                Part::ToolCall(call) if role == Role::Assistant => {
                    parts.push(Cow::Owned(Part::ToolCall(self.tool_call(call, (i, j), path))));
                }
                part => parts.extend(self.part(part, role, &path)),
            }
        }
        parts
    }

    /// The texts of a system message.
    fn texts(&mut self, i: usize, message: &'a Message) -> Vec<Cow<'a, Part>> {
        let mut parts = self.content(i, message, Role::System);
        parts.retain(|part| matches!(part.as_ref(), Part::Text(_)));
        parts
    }

    /// Converts one part that is neither a call of the model nor a result. `None`: left out.
    fn part(&mut self, part: &'a Part, role: Role, path: &str) -> Option<Cow<'a, Part>> {
        match part {
            Part::Text(text) | Part::Refusal(text) => self.text(part, text, path),
            Part::Media(_) if matches!(role, Role::System | Role::Assistant) => {
                self.losses
                    .rejected(path, "only user messages and tool results may hold media");
                None
            }
            Part::Media(media) => self
                .media(media, path)
                .map(|media| Cow::Owned(Part::Media(media))),
            Part::Reasoning(reasoning) if role == Role::Assistant && is_own(reasoning) => {
                // The bag holds the form in which the client carried the block.
                Some(Cow::Owned(Part::Reasoning(Reasoning {
                    ext: Ext::default(),
                    ..reasoning.clone()
                })))
            }
            Part::Reasoning(_) => {
                self.losses.dropped(path, FOREIGN_REASONING);
                None
            }
            Part::Opaque { dialect: ORIGIN, .. } => Some(Cow::Borrowed(part)),
            Part::Opaque { .. } => {
                self.losses
                    .rejected(path, "only the client's own dialect has this kind of content");
                None
            }
            Part::ToolCall(_) | Part::ToolResult(_) => {
                self.losses
                    .rejected(path, "a message of this role cannot hold it");
                None
            }
        }
    }

    fn text(&mut self, part: &'a Part, text: &Text, path: &str) -> Option<Cow<'a, Part>> {
        let cache = self.cache(text.cache.as_ref(), &text.ext, Place::Text, path);
        if text.text.trim().is_empty() {
            if !text.text.is_empty() {
                self.losses
                    .approximated(path, "text of white space only is left out");
            }
            return None;
        }
        if text.ext.is_empty() && matches!(part, Part::Text(_)) {
            return Some(Cow::Borrowed(part));
        }
        Some(Cow::Owned(Part::Text(Text {
            text: text.text.clone(),
            cache,
            ext: Ext::default(),
        })))
    }

    /// The cache breakpoint of a part; what else is in its bag is reported.
    fn cache(&mut self, cache: Option<&CacheHint>, ext: &Ext, place: Place, path: &str) -> Option<CacheHint> {
        anthropic_messages::carry_over(cache, ext, place, self.origin, path, self.losses)
    }

    fn media(&mut self, media: &Media, path: &str) -> Option<Media> {
        let mut bag = media.ext.clone();
        let mut kept = Ext::default();
        if media.kind == MediaKind::Document && self.origin == Dialect::AnthropicMessages {
            // Both dialects have these members, in the same form.
            bag.0.retain(|(name, raw)| {
                let shared = name == "context" || (name == "citations" && raw.text().starts_with('{'));
                if shared && !raw.is_blank() {
                    kept.0.push((name.clone(), raw.clone()));
                }
                !shared
            });
        }
        let cache = self.cache(media.cache.as_ref(), &bag, Place::Media, path);
        if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
            self.losses.dropped(
                self.names.within_media(path, Member::MediaDetail, media),
                "the provider decides on the resolution",
            );
        }
        let source = documents::source(media, path, self.losses)?;
        let name = match media.kind {
            MediaKind::Document => {
                let field = self.names.within_media(path, Member::MediaName, media);
                Some(self.documents.name(media.name.as_deref(), field, self.losses))
            }
            MediaKind::Image | MediaKind::Audio | MediaKind::Video => {
                if media.name.is_some() {
                    self.losses.dropped(
                        self.names.within_media(path, Member::MediaName, media),
                        "only documents have a name",
                    );
                }
                None
            }
        };
        Some(Media {
            kind: media.kind,
            source,
            name,
            detail: None,
            cache,
            ext: kept,
        })
    }

    fn tool_call(&mut self, call: &'a ToolCall, place: (usize, usize), path: String) -> ToolCall {
        if call.kind == ToolCallKind::Custom {
            self.losses
                .rejected(path.clone(), "calls of free-text tools cannot be expressed");
        }
        let arguments = match call.arguments.trim() {
            // Some models write `null` when a tool takes nothing.
            "" | "null" => "{}",
            text if Object::parse(text, "").is_ok() => text,
            _ => {
                self.losses.rejected(
                    self.names.within(&path, Member::CallArguments),
                    "the arguments are not a JSON object",
                );
                "{}"
            }
        };
        let seed = format!("messages[{}].parts[{}]", place.0, place.1);
        let mut id = match call.id.as_str() {
            "" => ids::made(&seed, 0, &call.name),
            id => ids::tool_call_id(id).into_owned(),
        };
        while !self.used_ids.insert(id.clone()) {
            id = ids::made(&seed, self.used_ids.len(), &id);
        }
        let converted = ToolCall {
            id: id.clone(),
            name: call.name.clone(),
            arguments: arguments.to_owned(),
            kind: ToolCallKind::Function,
            cache: self.cache(call.cache.as_ref(), &call.ext, Place::ToolCall, &path),
            ext: Ext::default(),
        };
        self.open.push(OpenCall {
            call,
            path,
            id,
            result: None,
        });
        converted
    }

    /// Gives a result to its call. Results of OpenAI's old `function` role have no id and go by name, or by order.
    fn tool_result(&mut self, i: usize, j: usize, result: &'a ToolResult) {
        let path = &self.names.part(i, j);
        let waiting = |fits: &dyn Fn(&ToolCall) -> bool| {
            self.open
                .iter()
                .position(|open| open.result.is_none() && fits(open.call))
        };
        let position = waiting(&|call| call.id == result.call_id)
            .or_else(|| waiting(&|call| call.id.is_empty() && call.name == result.call_id))
            .or_else(|| result.call_id.is_empty().then(|| waiting(&|_| true)).flatten());
        let Some((position, call_id)) =
            position.and_then(|at| self.open.get(at).map(|open| (at, open.id.clone())))
        else {
            self.losses.rejected(
                self.names.within(path, Member::ResultId),
                "no call of the message before has this id",
            );
            return;
        };
        let mut content = Vec::with_capacity(result.content.len());
        for (k, part) in result.content.iter().enumerate() {
            let path = &self.names.result_part(i, j, k);
            if let Part::Media(Media {
                kind: MediaKind::Audio,
                ..
            }) = part
            {
                self.losses
                    .rejected(path, "results of tools hold no audio at this provider");
                continue;
            }
            content.extend(self.part(part, Role::User, path).map(Cow::into_owned));
        }
        let converted = ToolResult {
            call_id,
            content,
            form: ContentForm::List,
            is_error: result.is_error,
            cache: self.cache(result.cache.as_ref(), &result.ext, Place::ToolResult, path),
            ext: Ext::default(),
        };
        if let Some(open) = self.open.get_mut(position) {
            open.result = Some(converted);
        }
    }

    /// The turn after the calls begins: writes their results, in the order of the calls, and reports missing ones.
    fn close_calls(&mut self) {
        let mut parts = Vec::with_capacity(self.open.len());
        for open in std::mem::take(&mut self.open) {
            match open.result {
                Some(result) => parts.push(Cow::Owned(Part::ToolResult(result))),
                None => self
                    .losses
                    .rejected(open.path, "the call has no result in the messages right after it"),
            }
        }
        self.push(Role::User, parts);
    }

    fn push_content(&mut self, i: usize, role: Role, parts: Vec<Cow<'a, Part>>, has_results: bool) {
        if parts.is_empty() && !has_results {
            self.losses
                .approximated(self.names.message(i), "a message without content is left out");
        }
        self.push(role, parts);
    }

    /// Appends to the last turn if it has the same role.
    fn push(&mut self, role: Role, mut parts: Vec<Cow<'a, Part>>) {
        if parts.is_empty() {
            return;
        }
        match self.turns.last_mut() {
            Some(last) if last.role == role => last.parts.append(&mut parts),
            _ => self.turns.push(Turn { role, parts }),
        }
    }

    /// What the provider demands of the first and the last message, and beside documents.
    fn check_ends(&mut self, messages: usize, capabilities: &Capabilities) {
        if self.turns.is_empty() {
            self.losses
                .rejected(self.names.messages(), "there is no user message");
            return;
        }
        if self
            .turns
            .first()
            .is_some_and(|first| first.role == Role::Assistant)
        {
            self.losses.approximated(
                self.names.messages(),
                "the provider demands that the user begins; a note does",
            );
            let parts = vec![text("(The conversation begins with an answer.)")];
            self.turns.insert(
                0,
                Turn {
                    role: Role::User,
                    parts,
                },
            );
        }
        for turn in &mut self.turns {
            let is_document = |part: &&Cow<'_, Part>| matches!(part.as_ref(), Part::Media(media) if media.kind == MediaKind::Document);
            let is_text = |part: &Cow<'_, Part>| matches!(part.as_ref(), Part::Text(_));
            if turn.parts.iter().any(|part| is_document(&part)) && !turn.parts.iter().any(is_text) {
                self.losses.approximated(
                    self.names.messages(),
                    "the provider demands a text beside a document; a note is added",
                );
                turn.parts.push(text("(See the document.)"));
            }
        }
        let Some(last) = self.turns.last_mut().filter(|last| last.role == Role::Assistant) else {
            return;
        };
        let path = self.names.message(messages.saturating_sub(1));
        if !capabilities.assistant_prefill {
            self.losses
                .rejected(path, "the model does not continue an answer that was begun");
        } else if let Some(Cow::Owned(Part::Text(text)) | Cow::Borrowed(Part::Text(text))) = last.parts.last()
            && text.text.ends_with(char::is_whitespace)
        {
            self.losses
                .approximated(path, "white space at the end of the begun answer is left out");
            let trimmed = Text {
                text: text.text.trim_end().to_owned(),
                ..text.clone()
            };
            last.parts.pop();
            last.parts.push(Cow::Owned(Part::Text(trimmed)));
        }
    }
}

/// Whether reasoning is of this dialect's makers, with their proof.
fn is_own(reasoning: &Reasoning) -> bool {
    let proof = reasoning.signature.is_some() || reasoning.redacted.is_some();
    reasoning.origin == Some(ORIGIN) && proof
}

fn text(text: &str) -> Cow<'static, Part> {
    Cow::Owned(Part::Text(Text {
        text: text.to_owned(),
        ..Text::default()
    }))
}
