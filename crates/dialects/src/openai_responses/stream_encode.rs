//! A streamed answer, written for a client of this dialect.
//!
//! Every item begins and ends with an event, and the last event holds the whole answer, so finished items are kept as the
//! JSON they were written as. Neighbouring texts are one message.

use std::collections::BTreeMap;

use super::echo::Echo;
use super::error::write_inner;
use super::response::{Head, report_tier, unwrap_logprobs};
use super::stop;
use super::stream::PROGRESS;
use super::stream_parts::{CallState, MessageState, ReasoningState, TextState};
use super::write_stream::{Frames, Place, array_of, push_value, single};
use super::{ORIGIN, ids, usage};
use crate::canonical::{
    Delta, ErrorKind, Event, Ext, PartKind, ProviderError, Reasoning, Stop, ToolCall, ToolCallKind, Usage,
    split_choice,
};
use crate::foreign;
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::openai_chat::ext::without;

/// How a stream is written where the canonical form leaves a choice.
#[derive(Clone, Debug)]
pub struct StreamStyle {
    /// Seconds since 1970, used when the answer does not say when it was made.
    pub created_s: u64,
    /// What an answer of another dialect repeats of its request.
    pub echo: Echo,
    /// Most bytes of an answer kept for its last event; above, the stream ends with an error.
    pub max_held_bytes: usize,
}

impl Default for StreamStyle {
    fn default() -> Self {
        StreamStyle {
            created_s: 0,
            echo: Echo::default(),
            max_held_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Writes a streamed answer. [`Event::End`] writes the last event, with the whole answer; after an [`Event::Error`] nothing
/// more is written.
#[derive(Debug)]
pub struct StreamEncoder {
    style: StreamStyle,
    frames: Frames,
    origin: crate::Dialect,
    id: String,
    model: String,
    created: Option<u64>,
    service_tier: Option<String>,
    /// Members of an answer of this dialect.
    members: Ext,
    started: bool,
    /// The finished items by their position; `None` while they are open.
    items: Vec<Option<Vec<u8>>>,
    parts: BTreeMap<usize, PartState>,
    /// The messages that are open, by their position.
    messages: BTreeMap<usize, MessageState>,
    /// The message that the next text joins.
    current: Option<usize>,
    /// Log probabilities that wait for their text.
    logprobs: Option<RawJson>,
    usage: Option<Usage>,
    stop: Option<Stop>,
    has_refusal: bool,
    held_bytes: usize,
    over: bool,
}

#[derive(Debug)]
enum PartState {
    /// A text of this dialect; its first delta says whether a message begins with it.
    Announced {
        refusal: bool,
    },
    Text(TextState),
    Reasoning(ReasoningState),
    Call(CallState),
    Opaque {
        output_index: usize,
        raw: RawJson,
    },
    Hidden,
}

impl StreamEncoder {
    /// An encoder at the beginning of a stream.
    pub fn new(style: StreamStyle) -> Self {
        StreamEncoder {
            style,
            frames: Frames::default(),
            origin: ORIGIN,
            id: String::new(),
            model: String::new(),
            created: None,
            service_tier: None,
            members: Ext::default(),
            started: false,
            items: Vec::new(),
            parts: BTreeMap::new(),
            messages: BTreeMap::new(),
            current: None,
            logprobs: None,
            usage: None,
            stop: None,
            has_refusal: false,
            held_bytes: 0,
            over: false,
        }
    }

    /// Writes one event; what it cannot express is added to `losses`, as dropped.
    pub fn encode(&mut self, event: &Event<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start {
                origin,
                id,
                model,
                created,
                service_tier,
                ext,
            } => {
                self.origin = *origin;
                self.id.clone_from(id);
                self.model.clone_from(model);
                self.created = *created;
                self.service_tier.clone_from(service_tier);
                if self.own() {
                    self.members = ext.clone();
                } else {
                    foreign::report(ext, foreign::Place::Answer, self.origin, "", losses);
                    report_tier(service_tier.as_deref(), losses);
                }
                self.start(out);
            }
            Event::PartStart {
                choice: 0,
                part,
                kind,
            } => {
                self.start(out);
                self.part_start(*part, kind, losses, out);
            }
            Event::PartDelta {
                choice: 0,
                part,
                delta,
            } => self.part_delta(*part, delta, losses, out),
            Event::PartStop { choice: 0, part } => self.part_stop(*part, out),
            Event::Stop { choice: 0, stop } => self.stop = Some(stop.clone()),
            Event::PartStart { .. }
            | Event::PartDelta { .. }
            | Event::PartStop { .. }
            | Event::Stop { .. } => {
                losses.dropped("choices", "an answer of this dialect is one answer");
            }
            Event::Usage(counts) => self.usage = Some(counts.clone()),
            Event::Opaque { field, raw } => self.opaque(field, raw, losses, out),
            Event::Ping => {}
            Event::Error(error) => self.fail(error, out),
            Event::End => self.end(losses, out),
        }
        if self.held_bytes > self.style.max_held_bytes {
            self.fail(&too_long(), out);
        }
    }

    fn own(&self) -> bool {
        self.origin == ORIGIN
    }

    /// The first events. An answer of this dialect has told the second one itself.
    fn start(&mut self, out: &mut Vec<u8>) {
        if self.started {
            return;
        }
        self.started = true;
        self.response_event(out, "response.created", "in_progress", None, None);
        if !self.own() {
            self.response_event(out, "response.in_progress", "in_progress", None, None);
        }
    }

    /// Writes an event that holds the answer as far as it is told.
    fn response_event(
        &mut self,
        out: &mut Vec<u8>,
        name: &str,
        status: &str,
        reason: Option<&str>,
        error: Option<&ProviderError>,
    ) {
        let mut output = Vec::new();
        for item in self.items.iter().flatten() {
            push_value(&mut output, item);
        }
        let output = array_of(&output);
        let StreamEncoder {
            style,
            frames,
            origin,
            id,
            model,
            created,
            service_tier,
            members,
            usage: counts,
            ..
        } = self;
        frames.event(out, name, |w| {
            w.key("response");
            if *origin == ORIGIN {
                write_own_answer(w, (id, model, *created, service_tier.as_deref()), |w| {
                    w.key("output").raw(&output);
                    let mut above = vec!["output"];
                    if let Some(counts) = counts {
                        w.key("usage");
                        usage::encode(w, counts, *origin);
                        above.push("usage");
                    }
                    if service_tier.is_some() {
                        above.push("service_tier");
                    }
                    if let Some(error) = error {
                        w.key("status").string(status);
                        w.key("error");
                        write_inner(w, error);
                        above.extend(["status", "error"]);
                    }
                    w.ext(&without(members, &above));
                });
                return;
            }
            let head = Head {
                id,
                model,
                created: created.unwrap_or(style.created_s),
                service_tier: service_tier.as_deref(),
                echo: &style.echo,
            };
            head.write(w, status, reason, |w| {
                w.key("error");
                match error {
                    Some(error) => write_inner(w, error),
                    None => w.null(),
                }
                w.key("output").raw(&output);
                w.key("usage");
                match counts {
                    Some(counts) => usage::encode(w, counts, *origin),
                    None => w.null(),
                }
            });
        });
    }

    /// The position of a new item.
    fn new_item(&mut self) -> usize {
        self.items.push(None);
        self.items.len() - 1
    }

    fn finish_item(&mut self, output_index: usize, item: Vec<u8>, out: &mut Vec<u8>) {
        self.frames.event(out, "response.output_item.done", |w| {
            w.key("output_index").number(output_index as u64);
            w.key("item").raw(&single(&item));
        });
        self.held_bytes += item.len();
        if let Some(place) = self.items.get_mut(output_index) {
            *place = Some(item);
        }
    }

    fn part_start(&mut self, part: usize, kind: &PartKind, losses: &mut Losses, out: &mut Vec<u8>) {
        let own = self.own();
        let refusal = matches!(kind, PartKind::Refusal);
        self.has_refusal |= refusal;
        let state = match kind {
            PartKind::Text | PartKind::Refusal if own => PartState::Announced { refusal },
            PartKind::Text | PartKind::Refusal => self.begin_text(refusal, None, Ext::default(), out),
            PartKind::Reasoning { member, of_call } => {
                self.leave_message(out);
                let reasoning = Reasoning {
                    origin: Some(self.origin),
                    member: member.clone(),
                    of_call: of_call.clone(),
                    ..Reasoning::default()
                };
                self.begin_reasoning(reasoning, out)
            }
            PartKind::RedactedReasoning { data } => {
                self.leave_message(out);
                let reasoning = Reasoning {
                    origin: Some(self.origin),
                    redacted: Some(data.clone()),
                    ..Reasoning::default()
                };
                self.begin_reasoning(reasoning, out)
            }
            PartKind::ToolCall { id, name, kind, ext } => {
                self.leave_message(out);
                if !own {
                    foreign::report(ext, foreign::Place::ToolCall, self.origin, "content[]", losses);
                }
                let call = ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    kind: *kind,
                    ext: if own { ext.clone() } else { Ext::default() },
                    ..ToolCall::default()
                };
                self.begin_call(call, out)
            }
            PartKind::Opaque { raw, .. } if own => {
                self.leave_message(out);
                let output_index = self.new_item();
                self.frames.event(out, "response.output_item.added", |w| {
                    w.key("output_index").number(output_index as u64);
                    w.key("item").raw(raw);
                });
                PartState::Opaque {
                    output_index,
                    raw: raw.clone(),
                }
            }
            PartKind::Opaque { kind, .. } => {
                losses.dropped(format!("content[].{kind}"), "belongs to another API");
                PartState::Hidden
            }
        };
        self.parts.insert(part, state);
    }

    /// Begins a text; in a message of its own if `meta` is said or there is none to join.
    fn begin_text(&mut self, refusal: bool, meta: Option<Ext>, ext: Ext, out: &mut Vec<u8>) -> PartState {
        if meta.is_some() {
            self.leave_message(out);
        }
        let output_index = match self.current {
            Some(index) => index,
            None => {
                let index = self.new_item();
                let made = ids::item(ids::MESSAGE, &self.id, index);
                let message = MessageState::begin(meta, made, index, &mut self.frames, out);
                self.messages.insert(index, message);
                self.current = Some(index);
                index
            }
        };
        let message = self.messages.entry(output_index).or_default();
        PartState::Text(TextState::begin(refusal, ext, message, &mut self.frames, out))
    }

    fn begin_reasoning(&mut self, reasoning: Reasoning, out: &mut Vec<u8>) -> PartState {
        let output_index = self.new_item();
        let place = Place {
            item_id: ids::item(ids::REASONING, &self.id, output_index),
            output_index,
        };
        let mut state = ReasoningState::new(reasoning, place);
        if !self.own() {
            state.open(&mut self.frames, out);
        }
        PartState::Reasoning(state)
    }

    fn begin_call(&mut self, mut call: ToolCall, out: &mut Vec<u8>) -> PartState {
        let output_index = self.new_item();
        let prefix = match call.kind {
            ToolCallKind::Custom => ids::CUSTOM_CALL,
            ToolCallKind::Function | ToolCallKind::LegacyFunction => ids::FUNCTION_CALL,
        };
        if !self.own() {
            call.id = ids::call(&call.id, &self.id, output_index).into_owned();
            call.ext = Ext(vec![(
                "id".to_owned(),
                RawJson::string(&ids::item(prefix, &self.id, output_index)),
            )]);
        }
        PartState::Call(CallState::begin(
            call,
            output_index,
            !self.own(),
            &mut self.frames,
            out,
        ))
    }

    /// Nothing more joins the message; it ends as soon as its texts have.
    fn leave_message(&mut self, out: &mut Vec<u8>) {
        if let Some(index) = self.current.take() {
            self.end_message_if_done(index, "completed", out);
        }
    }

    fn end_message_if_done(&mut self, index: usize, status: &str, out: &mut Vec<u8>) {
        let done = self
            .messages
            .get(&index)
            .is_some_and(|message| message.open_parts == 0);
        if done
            && self.current != Some(index)
            && let Some(message) = self.messages.remove(&index)
        {
            self.finish_item(index, message.finish(status), out);
        }
    }

    fn part_delta(&mut self, part: usize, delta: &Delta<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        let own = self.own();
        if let Some(PartState::Announced { refusal }) = self.parts.get(&part) {
            let (refusal, mut meta, mut ext) = (*refusal, None, Ext::default());
            if let Delta::Opaque(raw) = delta {
                (meta, ext) = split_item(raw);
            }
            let state = self.begin_text(refusal, meta, ext, out);
            self.parts.insert(part, state);
            if matches!(delta, Delta::Opaque(_)) {
                return;
            }
        }
        let StreamEncoder {
            parts,
            frames,
            messages,
            logprobs,
            held_bytes,
            origin,
            ..
        } = self;
        let Some(state) = parts.get_mut(&part) else { return };
        match (state, delta) {
            (PartState::Hidden | PartState::Announced { .. }, _) => {}
            (PartState::Text(text), Delta::Text(piece)) => {
                *held_bytes += piece.len();
                let logprobs = logprobs.take().as_ref().and_then(unwrap_logprobs);
                text.delta(piece, logprobs.as_ref(), frames, out);
            }
            (PartState::Text(text), Delta::Opaque(raw)) if own => {
                *held_bytes += raw.text().len();
                if let Some(message) = messages.get_mut(&text.place.output_index) {
                    text.members(raw, message, frames, out);
                }
            }
            (PartState::Reasoning(state), Delta::Reasoning(piece) | Delta::Text(piece)) => {
                *held_bytes += piece.len();
                state.delta(piece, own, frames, out);
            }
            (PartState::Reasoning(state), Delta::Signature(piece)) => {
                *held_bytes += piece.len();
                state.proof.push_str(piece);
            }
            (PartState::Reasoning(state), Delta::Opaque(raw)) if own => {
                *held_bytes += raw.text().len();
                state.members(raw, frames, out);
            }
            (PartState::Call(call), Delta::Arguments(piece)) => {
                *held_bytes += piece.len();
                call.delta(piece, frames, out);
            }
            (PartState::Call(call), Delta::Opaque(raw)) if own => call.members(raw, frames, out),
            (PartState::Opaque { raw, .. }, Delta::Opaque(new)) => *raw = new.clone(),
            (_, Delta::Opaque(raw)) => {
                let members = Object::parse(raw.text(), "")
                    .map(Object::into_ext)
                    .unwrap_or_default();
                let members = without(&members, &["reasoning_details"]);
                foreign::report(&members, foreign::Place::Answer, *origin, "content[]", losses);
            }
            _ => losses.dropped("content[].delta", "does not fit the part it belongs to"),
        }
    }

    fn part_stop(&mut self, part: usize, out: &mut Vec<u8>) {
        let own = self.own();
        let state = match self.parts.remove(&part) {
            Some(PartState::Announced { refusal }) => self.begin_text(refusal, None, Ext::default(), out),
            Some(state) => state,
            None => return,
        };
        match state {
            PartState::Hidden | PartState::Announced { .. } => {}
            PartState::Text(text) => {
                let index = text.place.output_index;
                if let Some(message) = self.messages.get_mut(&index) {
                    text.finish(message, own, &mut self.frames, out);
                }
                self.end_message_if_done(index, "completed", out);
            }
            PartState::Reasoning(mut state) => {
                state.open(&mut self.frames, out);
                let index = state.place.output_index;
                let item = state.finish(own, &self.model, &mut self.frames, out);
                self.finish_item(index, item, out);
            }
            PartState::Call(call) => {
                let index = call.place.output_index;
                let item = call.finish(!own, "completed", &mut self.frames, out);
                self.finish_item(index, item, out);
            }
            PartState::Opaque { output_index, raw } => {
                self.finish_item(output_index, raw.text().as_bytes().to_vec(), out);
            }
        }
    }

    fn opaque(&mut self, field: &str, raw: &RawJson, losses: &mut Losses, out: &mut Vec<u8>) {
        match split_choice(field) {
            Some((0, "logprobs")) => {
                self.logprobs = Some(raw.clone());
                return;
            }
            _ if self.own() => {}
            Some((_, member)) => {
                let member = member.strip_prefix("delta.").unwrap_or(member);
                return self.report(member, raw, losses);
            }
            None => return self.report(field, raw, losses),
        }
        match field {
            PROGRESS => {
                self.start(out);
                self.frames.repeat(out, raw);
            }
            "service_tier" => self.service_tier = raw.as_string(),
            field => {
                self.members.0.retain(|(name, _)| name != field);
                self.members.0.push((field.to_owned(), raw.clone()));
            }
        }
    }

    fn report(&self, name: &str, raw: &RawJson, losses: &mut Losses) {
        let members = Ext(vec![(name.to_owned(), raw.clone())]);
        foreign::report(&members, foreign::Place::Answer, self.origin, "", losses);
    }

    fn fail(&mut self, error: &ProviderError, out: &mut Vec<u8>) {
        self.over = true;
        let is_event = |raw: &&RawJson| {
            Object::parse(raw.text(), "").is_ok_and(|mut event| {
                matches!(
                    event.take_string("type").ok().flatten().as_deref(),
                    Some("error" | "response.failed" | "response.cancelled")
                )
            })
        };
        if let Some(raw) = error.raw.as_ref().filter(|_| self.own()).filter(is_event) {
            self.frames.repeat(out, raw);
        } else if self.started {
            self.response_event(out, "response.failed", "failed", None, Some(error));
        } else {
            let mut inner = Vec::new();
            write_inner(&mut Writer::new(&mut inner), error);
            let members = std::str::from_utf8(&inner)
                .ok()
                .and_then(|text| Object::parse(text, "").ok())
                .map(Object::into_ext)
                .unwrap_or_default();
            self.frames.event(out, "error", |w| {
                w.ext(&members);
                w.key("param");
                match &error.param {
                    Some(param) => w.string(param),
                    None => w.null(),
                }
            });
        }
    }

    fn end(&mut self, losses: &mut Losses, out: &mut Vec<u8>) {
        self.start(out);
        let stop = self.stop.take().unwrap_or_default();
        let own = self.own();
        let ending = if own {
            let incomplete = self
                .members
                .get("status")
                .is_some_and(|status| status.text() == "\"incomplete\"");
            stop::Ending {
                status: if incomplete { "incomplete" } else { "completed" },
                reason: None,
            }
        } else {
            stop::encode(&stop, self.has_refusal, losses)
        };
        let open: Vec<usize> = self.parts.keys().copied().collect();
        for part in open {
            self.part_stop(part, out);
        }
        self.current = None;
        let messages: Vec<usize> = self.messages.keys().copied().collect();
        for index in messages {
            self.end_message_if_done(index, ending.status, out);
        }
        let name = format!("response.{}", ending.status);
        self.response_event(out, &name, ending.status, ending.reason, None);
        self.over = true;
    }
}

/// Writes an answer of this dialect; `rest` writes what the canonical form has no own field for.
fn write_own_answer(
    w: &mut Writer<'_>,
    (id, model, created, service_tier): (&str, &str, Option<u64>, Option<&str>),
    rest: impl FnOnce(&mut Writer<'_>),
) {
    w.object(|w| {
        w.key("id").string(id);
        w.optional_number("created_at", created);
        if !model.is_empty() {
            w.key("model").string(model);
        }
        w.optional_string("service_tier", service_tier);
        rest(w);
    });
}

/// The members of a delta: what belongs to the item that begins, and what to the part.
fn split_item(raw: &RawJson) -> (Option<Ext>, Ext) {
    let mut members = Object::parse(raw.text(), "")
        .map(Object::into_ext)
        .unwrap_or_default();
    let item = members
        .get(super::ITEM)
        .and_then(|raw| Object::parse(raw.text(), "").ok())
        .map(Object::into_ext);
    members.0.retain(|(name, _)| name != super::ITEM);
    (item, members)
}

fn too_long() -> ProviderError {
    ProviderError {
        kind: ErrorKind::Server,
        status: 502,
        message: "the answer is too long to be told as a whole".to_owned(),
        native_type: None,
        code: None,
        param: None,
        raw: None,
    }
}
