//! Brings the messages of another dialect into the order Gemini demands: one system instruction, and all results of a turn's
//! calls in the one content right behind it, in the order of the calls.

use std::collections::HashSet;

use super::write_part::{self, Signed};
use super::{ids, part};
use crate::Dialect;
use crate::canonical::{
    Ext, Media, MediaSource, Message, Part, Reasoning, Request, Role, Text, ToolCall, ToolCallKind,
    ToolResult,
};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::names::{Member, Names};
use crate::target::Capabilities;

/// Why reasoning of another maker is left out.
pub(super) const FOREIGN_REASONING: &str = "reasoning is valid only for the provider that wrote it";

/// What Google documents for calls that another model made, whose signature models from the third generation on demand:
/// `skip_thought_signature_validator`, as bytes.
const NO_SIGNATURE: &str = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=";

/// The messages in Gemini's order.
pub(super) struct Conversation {
    pub(super) system: Vec<String>,
    pub(super) turns: Vec<Turn>,
}

/// One content.
pub(super) struct Turn {
    pub(super) role: Role,
    pub(super) parts: Vec<OwnPart>,
}

/// A part with its signature, owned.
pub(super) struct OwnPart {
    part: Option<Part>,
    signature: Option<String>,
}

impl OwnPart {
    pub(super) fn write(&self, w: &mut Writer<'_>) {
        let part = match &self.part {
            Some(part) => write_part::SignedPart::Of(part),
            None => write_part::SignedPart::Text(""),
        };
        write_part::write(
            w,
            &Signed {
                part,
                signature: self.signature.as_deref(),
            },
        );
    }
}

/// Brings the messages into Gemini's order and reports what does not fit.
pub(super) fn build(request: &Request, capabilities: &Capabilities, losses: &mut Losses) -> Conversation {
    let mut builder = Builder {
        request,
        names: Names::new(request),
        capabilities,
        turns: Vec::new(),
        open: None,
        losses,
    };
    let is_system = |message: &&Message| matches!(message.role, Role::System | Role::Developer);
    let leading = request.messages.iter().take_while(is_system).count();
    let mut system = Vec::new();
    for i in 0..leading {
        system.extend(builder.texts(i));
    }
    for i in leading..request.messages.len() {
        builder.message(i);
    }
    builder.close_calls();
    builder.check_end();
    let turns = builder.turns;
    Conversation { system, turns }
}

struct Builder<'a, 'l> {
    request: &'a Request,
    names: Names<'a>,
    capabilities: &'a Capabilities,
    turns: Vec<Turn>,
    /// The calls of the last turn of the model, until all their results are in.
    open: Option<OpenCalls<'a>>,
    losses: &'l mut Losses,
}

struct OpenCalls<'a> {
    calls: Vec<OpenCall<'a>>,
    /// Media of results, which only some models take there: they follow in a content of their own.
    media: Vec<Part>,
}

struct OpenCall<'a> {
    call: &'a ToolCall,
    path: String,
    result: Option<Part>,
}

impl Builder<'_, '_> {
    fn message(&mut self, i: usize) {
        let Some(message) = self.request.messages.get(i) else {
            return;
        };
        let path = self.names.message(i);
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
        for (j, part) in message.parts.iter().enumerate() {
            if let Part::ToolResult(result) = part {
                self.tool_result(i, j, result);
            }
        }
        if message.role == Role::Tool {
            return;
        }
        self.close_calls();
        let mut parts = Vec::new();
        for (j, part) in message.parts.iter().enumerate() {
            if !matches!(part, Part::ToolResult(_)) {
                parts.extend(self.part(part, &self.names.part(i, j)));
            }
        }
        let has_results = message
            .parts
            .iter()
            .any(|part| matches!(part, Part::ToolResult(_)));
        if parts.is_empty() && !has_results {
            self.losses
                .approximated(path.clone(), "a message without content is left out");
        }
        match message.role {
            Role::Assistant => self.assistant(i, parts),
            Role::System | Role::Developer => {
                self.losses.approximated(
                    path,
                    "the model takes no system messages between others; written as a marked user text",
                );
                if let Some(Part::Text(text)) = parts.first_mut() {
                    text.text.insert_str(0, "[system] ");
                }
                self.push(Role::User, &parts);
            }
            Role::User | Role::Tool => self.push(Role::User, &parts),
        }
    }

    fn assistant(&mut self, i: usize, mut parts: Vec<Part>) {
        let Some(message) = self.request.messages.get(i) else {
            return;
        };
        let calls: Vec<OpenCall<'_>> = message
            .parts
            .iter()
            .enumerate()
            .filter_map(|(j, part)| match part {
                Part::ToolCall(call) => Some(OpenCall {
                    call,
                    path: self.names.part(i, j),
                    result: None,
                }),
                _ => None,
            })
            .collect();
        let ids: HashSet<&str> = calls.iter().map(|call| call.call.id.as_str()).collect();
        parts.retain(|part| match part {
            Part::Reasoning(proof) => {
                let fits = proof.of_call.as_deref().is_none_or(|id| ids.contains(id));
                if !fits {
                    self.losses.dropped(
                        format!("{}.{}", self.names.message(i), "reasoning_details"),
                        "the call that was signed is not there",
                    );
                }
                fits
            }
            _ => true,
        });
        if self.request.origin == Dialect::OpenaiChat {
            behind_the_text(&mut parts);
        }
        self.push(Role::Assistant, &parts);
        if !calls.is_empty() {
            self.sign_first_call();
            self.open = Some(OpenCalls {
                calls,
                media: Vec::new(),
            });
        }
    }

    /// The first call of a turn must be signed.
    fn sign_first_call(&mut self) {
        if !self.capabilities.thinking_levels {
            return;
        }
        let parts = self.turns.last_mut().map(|turn| &mut turn.parts);
        let first = parts
            .into_iter()
            .flatten()
            .find(|own| matches!(own.part, Some(Part::ToolCall(_))));
        if let Some(first) = first {
            first.signature.get_or_insert_with(|| NO_SIGNATURE.to_owned());
        }
    }

    /// Converts one part of a message; several if it brings a signature with it.
    fn part(&mut self, part: &Part, path: &str) -> Vec<Part> {
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                foreign::report_cache(text.cache.as_ref(), path, self.losses);
                foreign::report(&text.ext, Place::Text, self.request.origin, path, self.losses);
                let text = Part::Text(Text {
                    text: text.text.clone(),
                    ..Text::default()
                });
                if matches!(&text, Part::Text(text) if text.text.is_empty()) {
                    Vec::new()
                } else {
                    vec![text]
                }
            }
            Part::Media(media) => self.media(media, path).into_iter().collect(),
            Part::ToolCall(call) => self.call(call, path),
            Part::Reasoning(reasoning) if reasoning.origin == Some(Dialect::Gemini) => {
                vec![Part::Reasoning(Reasoning {
                    ext: Ext::default(),
                    ..reasoning.clone()
                })]
            }
            Part::Reasoning(_) => {
                self.losses.dropped(path, FOREIGN_REASONING);
                Vec::new()
            }
            Part::Opaque {
                dialect: Dialect::Gemini,
                ..
            } => vec![part.clone()],
            Part::Opaque { .. } | Part::ToolResult(_) => {
                self.losses
                    .rejected(path, "only the client's own dialect has this kind of content");
                Vec::new()
            }
        }
    }

    fn media(&mut self, media: &Media, path: &str) -> Option<Part> {
        foreign::report_cache(media.cache.as_ref(), path, self.losses);
        foreign::report(&media.ext, Place::Media, self.request.origin, path, self.losses);
        if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
            self.losses.dropped(
                self.names.within(path, Member::MediaDetail),
                "the provider decides on the resolution",
            );
        }
        let source = match &media.source {
            MediaSource::Base64 { media_type, data } => MediaSource::Base64 {
                media_type: match media_type.as_str() {
                    "image/jpg" => "image/jpeg".to_owned(),
                    media_type => media_type.to_owned(),
                },
                data: data.clone(),
            },
            MediaSource::Url(address) => MediaSource::Url(address.clone()),
            MediaSource::Text { data, .. } => {
                self.losses
                    .approximated(path, "a document of plain text becomes text");
                return Some(Part::Text(Text {
                    text: data.clone(),
                    ..Text::default()
                }));
            }
            MediaSource::FileId(_) => {
                self.losses
                    .rejected(path, "an uploaded file belongs to one provider");
                return None;
            }
            MediaSource::Opaque(_) => {
                self.losses
                    .rejected(path, "only the client's own dialect has this source");
                return None;
            }
        };
        Some(Part::Media(Media {
            kind: media.kind,
            source,
            name: media.name.clone(),
            detail: None,
            cache: None,
            ext: Ext::default(),
        }))
    }

    fn call(&mut self, call: &ToolCall, path: &str) -> Vec<Part> {
        foreign::report_cache(call.cache.as_ref(), path, self.losses);
        let signature = signature_of(&call.ext);
        let mut rest = call.ext.clone();
        if signature.is_some() {
            rest.0.retain(|(name, _)| name != SIGNATURE_HOLDER);
        }
        foreign::report(&rest, Place::ToolCall, self.request.origin, path, self.losses);
        if call.kind == ToolCallKind::Custom {
            self.losses
                .rejected(path, "calls of free-text tools cannot be expressed");
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
        let mut parts = Vec::new();
        if let Some(signature) = signature {
            parts.push(Part::Reasoning(Reasoning {
                of_call: Some(call.id.clone()),
                ..part::proof(signature, "functionCall")
            }));
        }
        parts.push(Part::ToolCall(ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: arguments.to_owned(),
            ..ToolCall::default()
        }));
        parts
    }

    /// Gives a result to its call. Results of OpenAI's old `function` role have no id and go by name, or by order.
    fn tool_result(&mut self, i: usize, j: usize, result: &ToolResult) {
        let path = &self.names.part(i, j);
        let calls = self
            .open
            .as_ref()
            .map(|open| open.calls.as_slice())
            .unwrap_or_default();
        let waiting = |call: &&OpenCall<'_>| call.result.is_none();
        let fits = |fits: &dyn Fn(&ToolCall) -> bool| {
            calls.iter().position(|call| waiting(&call) && fits(call.call))
        };
        let position = fits(&|call| call.id == result.call_id)
            .or_else(|| fits(&|call| call.id.is_empty() && call.name == result.call_id))
            .or_else(|| result.call_id.is_empty().then(|| fits(&|_| true)).flatten());
        let Some((position, call)) = position.and_then(|at| calls.get(at).map(|call| (at, call.call))) else {
            self.losses.rejected(
                self.names.within(path, Member::ResultId),
                "no call of the message before has this id",
            );
            return;
        };
        foreign::report_cache(result.cache.as_ref(), path, self.losses);
        foreign::report(
            &result.ext,
            Place::ToolResult,
            self.request.origin,
            path,
            self.losses,
        );
        let (mut texts, mut media) = (Vec::new(), Vec::new());
        for (k, part) in result.content.iter().enumerate() {
            let path = &self.names.result_part(i, j, k);
            match part {
                Part::Text(text) | Part::Refusal(text) => {
                    foreign::report_cache(text.cache.as_ref(), path, self.losses);
                    foreign::report(&text.ext, Place::Text, self.request.origin, path, self.losses);
                    texts.push(text.text.as_str());
                }
                part => {
                    self.losses.approximated(
                        path,
                        "media of a result follow the results, because not every model takes them there",
                    );
                    media.extend(self.part(part, path));
                }
            }
        }
        if !media.is_empty() {
            media.insert(
                0,
                Part::Text(Text {
                    text: format!("Result of {}:", call.name),
                    ..Text::default()
                }),
            );
        }
        let response = function_response(call, &texts, result.is_error == Some(true));
        let converted = ToolResult {
            ext: Ext(vec![("functionResponse".to_owned(), response)]),
            content: Vec::new(),
            ..result.clone()
        };
        if let Some(open) = &mut self.open {
            open.media.append(&mut media);
            if let Some(call) = open.calls.get_mut(position) {
                call.result = Some(Part::ToolResult(converted));
            }
        }
    }

    /// The turn after the calls begins: writes their results, in the order of the calls, and reports missing ones.
    fn close_calls(&mut self) {
        let Some(open) = self.open.take() else { return };
        let mut parts = Vec::with_capacity(open.calls.len());
        for call in open.calls {
            match call.result {
                Some(result) => parts.push(result),
                None => self
                    .losses
                    .rejected(call.path, "the call has no result in the messages right after it"),
            }
        }
        self.push(Role::User, &parts);
        self.push(Role::User, &open.media);
    }

    /// The texts of a system message.
    fn texts(&mut self, i: usize) -> Vec<String> {
        let Some(message) = self.request.messages.get(i) else {
            return Vec::new();
        };
        foreign::report(
            &message.ext,
            Place::Message,
            self.request.origin,
            &self.names.message(i),
            self.losses,
        );
        let mut texts = Vec::new();
        for (j, part) in message.parts.iter().enumerate() {
            let path = self.names.part(i, j);
            for part in self.part(part, &path) {
                match part {
                    Part::Text(text) => texts.push(text.text),
                    _ => self
                        .losses
                        .rejected(path.clone(), "the system instruction holds text only"),
                }
            }
        }
        texts
    }

    fn push(&mut self, role: Role, parts: &[Part]) {
        if parts.is_empty() {
            return;
        }
        let parts = write_part::sign(parts)
            .into_iter()
            .map(|signed| OwnPart {
                part: match signed.part {
                    write_part::SignedPart::Of(part) => Some(part.clone()),
                    // A signature that stands for itself.
                    write_part::SignedPart::Text(_) | write_part::SignedPart::Thought(_) => None,
                },
                signature: signed.signature.map(str::to_owned),
            })
            .collect();
        self.turns.push(Turn { role, parts });
    }

    /// That there is a message, and what becomes of an answer that was begun.
    fn check_end(&mut self) {
        match self.turns.last() {
            None => self
                .losses
                .rejected(self.names.messages(), "there is no user message"),
            Some(last) if last.role == Role::Assistant => {
                let path = self.names.message(self.request.messages.len().saturating_sub(1));
                self.losses
                    .approximated(path, "a begun answer is taken as an earlier turn");
            }
            Some(_) => {}
        }
    }
}

/// OpenAI's clients hold all reasoning in front; the signature of a text stands behind it.
fn behind_the_text(parts: &mut Vec<Part>) {
    let Some(text) = parts.iter().rposition(|part| matches!(part, Part::Text(_))) else {
        return;
    };
    let is_of_text = |part: &Part| matches!(part, Part::Reasoning(proof) if matches!(proof.member.as_deref(), Some(part::TEXT | part::ALONE)));
    if let Some(proof) = parts.iter().position(is_of_text).filter(|proof| *proof < text) {
        let proof = parts.remove(proof);
        parts.insert(text, proof);
    }
}

/// A result, which must be an object: an object stays as it is, texts are wrapped.
fn function_response(call: &ToolCall, texts: &[&str], failed: bool) -> RawJson {
    let object = match texts {
        [text] if text.trim_start().starts_with('{') => RawJson::parse(text.trim())
            .ok()
            .filter(|raw| Object::parse(raw.text(), "").is_ok()),
        _ => None,
    };
    let mut out = Vec::new();
    Writer::new(&mut out).object(|w| {
        w.optional_string("id", ids::told_to_gemini(&call.id));
        w.key("name").string(&call.name);
        w.key("response");
        if let Some(object) = object.as_ref().filter(|_| !failed) {
            return w.raw(object);
        }
        w.object(|w| {
            w.key(if failed { "error" } else { "result" });
            match (texts, &object) {
                (_, Some(object)) => w.raw(object),
                ([text], None) => w.string(text),
                ([], None) => w.string(""),
                (texts, None) => w.array(|w| texts.iter().for_each(|text| w.string(text))),
            }
        });
    });
    String::from_utf8(out)
        .ok()
        .and_then(|text| RawJson::parse(&text).ok())
        .unwrap_or_else(RawJson::null)
}

/// The member of a call in which clients of Google's own OpenAI endpoint carry signatures.
const SIGNATURE_HOLDER: &str = "extra_content";

/// `extra_content.google.thought_signature` of a call.
fn signature_of(ext: &Ext) -> Option<String> {
    let mut extra = Object::parse(ext.get(SIGNATURE_HOLDER)?.text(), "").ok()?;
    let mut google = extra.take_object("google").ok()??;
    google.take_string("thought_signature").ok()?
}
