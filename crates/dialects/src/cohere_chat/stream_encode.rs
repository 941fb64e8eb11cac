//! A streamed answer, written for a client of this dialect.
//!
//! Clients of this dialect read one content, or one call, after the other, as Cohere writes them; other dialects interleave.
//! So pieces of a later part wait until the open one ends. Why the answer ended and what it used stand in the last event.

use std::collections::BTreeMap;

use super::content::{OF_CALL, SIGNATURE};
use super::wire::{
    write_arguments, write_call, write_content, write_content_piece, write_indexed, write_text,
};
use super::{THINKING, TOOL_PLAN, error, ids, logprobs, stop, stream, tools, usage};
use crate::anthropic_messages::{write_event, write_frame};
use crate::canonical::{
    Delta, ErrorKind, Event, Ext, PartKind, ProviderError, Reasoning, Stop, StopReason, ToolCallKind, Usage,
    split_choice,
};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::{Dialect, envelope};

/// Most bytes held back for parts that wait for the open one; above, the stream fails.
const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;

/// Writes a streamed answer as server-sent events.
#[derive(Debug)]
pub struct StreamEncoder {
    origin: Dialect,
    id: String,
    model: String,
    /// How many contents were written; the index of the next.
    contents: u64,
    /// How many calls were written; the index of the next.
    calls: u64,
    /// How many citations were written; the index of the next.
    citations: u64,
    open: Option<Open>,
    /// Parts that began while another was open, by number.
    waiting: BTreeMap<usize, Waiting>,
    held_bytes: usize,
    /// Log probabilities of the next piece of text.
    logprobs: Option<RawJson>,
    stop: Option<Stop>,
    usage: Option<Usage>,
    /// Members of the end's `delta`, and of the end itself.
    closing: Ext,
    closing_event: Ext,
    over: bool,
}

/// The part that is being written.
#[derive(Debug)]
struct Open {
    part: usize,
    kind: OpenKind,
}

#[derive(Debug)]
enum OpenKind {
    /// A content; its index.
    Content(u64),
    /// Reasoning of another maker, sealed at its end.
    Sealed {
        index: u64,
        /// What is sealed; its text is not kept.
        reasoning: Reasoning,
    },
    /// A call; its index, and whether anything was written of its arguments.
    Call { index: u64, begun: bool },
    /// What the model means to do with its tools.
    Plan,
    /// Cannot be told in this dialect.
    Hidden,
}

/// A part that waits.
#[derive(Debug)]
struct Waiting {
    kind: PartKind,
    deltas: Vec<Delta<'static>>,
    stopped: bool,
}

impl Default for StreamEncoder {
    fn default() -> Self {
        StreamEncoder {
            origin: Dialect::CohereChat,
            id: String::new(),
            model: String::new(),
            contents: 0,
            calls: 0,
            citations: 0,
            open: None,
            waiting: BTreeMap::new(),
            held_bytes: 0,
            logprobs: None,
            stop: None,
            usage: None,
            closing: Ext::default(),
            closing_event: Ext::default(),
            over: false,
        }
    }
}

impl StreamEncoder {
    /// An encoder at the beginning of a stream.
    pub fn new() -> Self {
        StreamEncoder::default()
    }

    /// Appends to `out` what the client is to get for `event`; what it cannot express is added to `losses`.
    pub fn encode(&mut self, event: &Event<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start {
                origin,
                id,
                model,
                ext,
                service_tier: _,
                created: _,
            } => {
                self.origin = *origin;
                self.id.clone_from(id);
                self.model.clone_from(model);
                if !self.own() {
                    foreign::report(ext, Place::Answer, self.origin, "", losses);
                }
                self.write_start(ext, out);
            }
            Event::Usage(usage) => {
                if !self.own() {
                    usage::report_losses(usage, losses);
                }
                self.usage = Some(usage.clone());
            }
            Event::Error(error) => self.fail(error, out),
            Event::End => self.end(losses, out),
            Event::Stop { choice: 0, stop } => self.stop = Some(stop.clone()),
            Event::Opaque { field, raw } => self.opaque(field, raw, losses, out),
            Event::PartStart {
                choice: 0,
                part,
                kind,
            } => self.part_start(*part, kind, losses, out),
            Event::PartDelta {
                choice: 0,
                part,
                delta,
            } => self.part_delta(*part, delta, losses, out),
            Event::PartStop { choice: 0, part } => self.part_stop(*part, losses, out),
            Event::PartStart { choice, .. } => {
                losses.dropped(
                    crate::path::item("choices", *choice),
                    "the dialect has one answer; only the first is written",
                );
            }
            Event::Ping | Event::PartDelta { .. } | Event::PartStop { .. } | Event::Stop { .. } => {}
        }
    }

    /// Whether the answer comes from a provider of this dialect.
    fn own(&self) -> bool {
        self.origin == Dialect::CohereChat
    }

    fn write_start(&self, ext: &Ext, out: &mut Vec<u8>) {
        write_event(out, "message-start", |w| {
            if !(self.own() && self.id.is_empty()) {
                w.key("id").string(&self.id);
            }
            if !self.own() || ext.get("delta").is_none() {
                w.key("delta").object(|w| {
                    w.key("message").object(|w| {
                        w.key("role").string("assistant");
                        w.key("content").array(|_| {});
                        w.key(TOOL_PLAN).string("");
                        w.key("tool_calls").array(|_| {});
                        w.key("citations").array(|_| {});
                    });
                });
            }
            if self.own() {
                w.ext(ext);
            }
        });
    }

    fn part_start(&mut self, part: usize, kind: &PartKind, losses: &mut Losses, out: &mut Vec<u8>) {
        if self.open.is_some() {
            let waiting = Waiting {
                kind: kind.clone(),
                deltas: Vec::new(),
                stopped: false,
            };
            self.waiting.insert(part, waiting);
        } else {
            self.begin(part, kind, losses, out);
        }
    }

    fn part_delta(&mut self, part: usize, delta: &Delta<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        if self.open.as_ref().is_some_and(|open| open.part == part) {
            return self.write_piece(delta, losses, out);
        }
        let Some(waiting) = self.waiting.get_mut(&part) else {
            return;
        };
        let owned = own_delta(delta);
        self.held_bytes = self.held_bytes.saturating_add(size_of_delta(&owned));
        waiting.deltas.push(owned);
        if self.held_bytes > MAX_HELD_BYTES {
            let message = "the provider interleaves more than can be held back".to_owned();
            self.fail(&own_error(message), out);
        }
    }

    fn part_stop(&mut self, part: usize, losses: &mut Losses, out: &mut Vec<u8>) {
        if self.open.as_ref().is_some_and(|open| open.part == part) {
            self.close(out);
            self.release(losses, out);
        } else if let Some(waiting) = self.waiting.get_mut(&part) {
            waiting.stopped = true;
        }
    }

    /// Writes parts that waited, in order, up to one that still goes on.
    fn release(&mut self, losses: &mut Losses, out: &mut Vec<u8>) {
        while self.open.is_none()
            && let Some((part, waiting)) = self.waiting.pop_first()
        {
            self.begin(part, &waiting.kind, losses, out);
            for delta in &waiting.deltas {
                self.held_bytes = self.held_bytes.saturating_sub(size_of_delta(delta));
                self.write_piece(delta, losses, out);
            }
            if waiting.stopped {
                self.close(out);
            }
        }
    }

    fn begin(&mut self, part: usize, kind: &PartKind, losses: &mut Losses, out: &mut Vec<u8>) {
        let kind = match kind {
            PartKind::Text | PartKind::Refusal => {
                if self.calls > 0 && !self.own() {
                    losses.approximated(
                        "choices[0].delta.content",
                        "text after a tool call stands with the other text",
                    );
                }
                OpenKind::Content(self.begin_content("text", &Ext::default(), out))
            }
            PartKind::Reasoning { member, of_call } => self.begin_reasoning(member, of_call, out),
            PartKind::RedactedReasoning { data } => {
                let reasoning = Reasoning {
                    redacted: Some(data.clone()),
                    ..Reasoning::default()
                };
                OpenKind::Sealed {
                    index: self.begin_content(THINKING, &Ext::default(), out),
                    reasoning,
                }
            }
            PartKind::ToolCall { id, name, kind, ext } => {
                self.begin_call((id.as_str(), name.as_str()), *kind, ext, losses, out)
            }
            PartKind::Opaque { raw, .. } if self.own() => {
                let index = self.contents;
                self.contents += 1;
                write_content(out, "content-start", index, |w| w.raw(raw));
                OpenKind::Content(index)
            }
            PartKind::Opaque { kind, .. } => {
                losses.dropped(
                    format!("choices[0].delta.{kind}"),
                    "only the provider's own dialect has this kind of content",
                );
                OpenKind::Hidden
            }
        };
        self.open = Some(Open { part, kind });
    }

    fn begin_reasoning(
        &mut self,
        member: &Option<String>,
        of_call: &Option<String>,
        out: &mut Vec<u8>,
    ) -> OpenKind {
        if self.own() && member.as_deref() == Some(TOOL_PLAN) {
            return OpenKind::Plan;
        }
        let mut ext = Ext::default();
        if let (false, Some(call)) = (self.own(), of_call) {
            ext.0.push((OF_CALL.to_owned(), RawJson::string(call)));
        }
        let index = self.begin_content(THINKING, &ext, out);
        if self.own() {
            return OpenKind::Content(index);
        }
        OpenKind::Sealed {
            index,
            reasoning: Reasoning {
                member: member.clone(),
                ..Reasoning::default()
            },
        }
    }

    /// Begins a content and returns its index.
    fn begin_content(&mut self, kind: &str, ext: &Ext, out: &mut Vec<u8>) -> u64 {
        let index = self.contents;
        self.contents += 1;
        write_content(out, "content-start", index, |w| {
            w.object(|w| {
                w.key("type").string(kind);
                w.key(kind).string("");
                w.ext(ext);
            });
        });
        index
    }

    fn begin_call(
        &mut self,
        (id, name): (&str, &str),
        kind: ToolCallKind,
        ext: &Ext,
        losses: &mut Losses,
        out: &mut Vec<u8>,
    ) -> OpenKind {
        let index = self.calls;
        self.calls += 1;
        let path = format!("choices[0].delta.tool_calls[{index}]");
        if kind == ToolCallKind::Custom {
            losses.rejected(path.clone(), "calls of free-text tools cannot be expressed");
        }
        if !self.own() {
            foreign::report(ext, Place::Answer, self.origin, &path, losses);
        }
        let made;
        let id = if id.is_empty() {
            made = ids::made(&self.id, usize::try_from(index).unwrap_or_default(), name);
            &made
        } else {
            id
        };
        write_call(out, "tool-call-start", index, |w| {
            tools::write_call_as(w, id, name, "", self.own().then_some(ext));
        });
        OpenKind::Call { index, begun: false }
    }

    fn write_piece(&mut self, delta: &Delta<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        let own = self.own();
        let Some(open) = &mut self.open else { return };
        match (&mut open.kind, delta) {
            (OpenKind::Hidden, _) => {}
            (OpenKind::Plan, Delta::Reasoning(text)) => write_event(out, "tool-plan-delta", |w| {
                w.key("delta").object(|w| {
                    w.key("message").object(|w| w.key(TOOL_PLAN).string(text));
                });
            }),
            (OpenKind::Content(index), Delta::Text(text)) => {
                let logprobs = self.logprobs.take();
                write_text(out, *index, text, logprobs.as_ref());
            }
            (OpenKind::Content(index) | OpenKind::Sealed { index, .. }, Delta::Reasoning(text)) => {
                write_content_piece(out, *index, THINKING, text);
            }
            (OpenKind::Sealed { reasoning, .. }, Delta::Signature(text)) => {
                reasoning.signature.get_or_insert_default().push_str(text);
            }
            (OpenKind::Content(index), Delta::Opaque(raw)) if own => {
                write_content(out, "content-delta", *index, |w| w.raw(raw));
            }
            (OpenKind::Call { index, begun }, Delta::Arguments(text)) => {
                *begun |= !text.is_empty();
                write_call(out, "tool-call-delta", *index, |w| write_arguments(w, text));
            }
            (OpenKind::Call { index, .. }, Delta::Opaque(raw)) if own => {
                write_call(out, "tool-call-delta", *index, |w| w.raw(raw));
            }
            // The whole block as its maker writes it; the text and the proof are told already.
            (OpenKind::Sealed { .. }, Delta::Opaque(_)) => {}
            (_, Delta::Opaque(raw)) => {
                let members = Object::parse(raw.text(), "").map(Object::into_ext);
                let mut members = members.unwrap_or_default();
                // Of the piece itself, not of the part.
                members.0.retain(|(name, _)| name != "type");
                foreign::report(&members, Place::Answer, self.origin, "choices[0].delta", losses);
            }
            (_, Delta::Signature(_)) if own => {}
            _ => losses.dropped("choices[0].delta", "does not fit the part it belongs to"),
        }
    }

    /// Ends the part that is open.
    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open.take() else { return };
        match open.kind {
            OpenKind::Content(index) => write_indexed(out, "content-end", index),
            OpenKind::Sealed { index, reasoning } => {
                let sealed = envelope::seal(&reasoning, self.origin, &self.model);
                write_content_piece(out, index, SIGNATURE, &sealed);
                write_indexed(out, "content-end", index);
            }
            OpenKind::Call { index, begun } => {
                // A call without arguments is an empty object here.
                if !begun && !self.own() {
                    write_call(out, "tool-call-delta", index, |w| write_arguments(w, "{}"));
                }
                write_indexed(out, "tool-call-end", index);
            }
            OpenKind::Plan | OpenKind::Hidden => {}
        }
    }

    fn opaque(&mut self, field: &str, raw: &RawJson, losses: &mut Losses, out: &mut Vec<u8>) {
        let in_choice = split_choice(field);
        if let Some((0, "logprobs")) = in_choice {
            if !logprobs::is_empty(raw) {
                self.write_logprobs(out);
                self.logprobs = Some(raw.clone());
            }
            return;
        }
        if !self.own() {
            return foreign::report_streamed(field, raw, self.origin, losses);
        }
        match in_choice {
            Some((_, "delta.citations")) => self.write_citations(raw, out),
            Some((_, "delta.logprobs")) => {
                let index = self.contents.saturating_sub(1);
                write_event(out, "content-delta", |w| {
                    w.key("index").number(index);
                    w.key("logprobs").raw(raw);
                });
            }
            _ if field == stream::END => {
                if let Ok(members) = Object::parse(raw.text(), "") {
                    self.closing_event = members.into_ext();
                }
            }
            _ if is_event(field, raw) => write_frame(out, field, |out| Writer::new(out).raw(raw)),
            _ => self.closing.0.push((field.to_owned(), raw.clone())),
        }
    }

    fn write_citations(&mut self, list: &RawJson, out: &mut Vec<u8>) {
        let citations: Vec<crate::json::Raw<'_>> = serde_json::from_str(list.text()).unwrap_or_default();
        for citation in citations {
            let index = self.citations;
            self.citations += 1;
            write_event(out, "citation-start", |w| {
                w.key("index").number(index);
                w.key("delta").object(|w| {
                    w.key("message").object(|w| {
                        w.key("citations").raw(&RawJson::from(citation));
                    });
                });
            });
            write_indexed(out, "citation-end", index);
        }
    }

    /// Writes log probabilities whose piece of text has not come.
    fn write_logprobs(&mut self, out: &mut Vec<u8>) {
        if let Some(raw) = self.logprobs.take()
            && let Some(Open {
                kind: OpenKind::Content(index),
                ..
            }) = self.open
        {
            write_text(out, index, "", Some(&raw));
        }
    }

    /// The last event of an answer that failed. Nothing follows it, so that it never looks finished.
    fn fail(&mut self, error: &ProviderError, out: &mut Vec<u8>) {
        self.over = true;
        let (counts, origin) = (self.usage.take(), self.origin);
        error::write_end(out, error, |w| {
            if let Some(counts) = counts {
                w.key("usage");
                usage::encode(w, &counts, origin);
            }
        });
    }

    fn end(&mut self, losses: &mut Losses, out: &mut Vec<u8>) {
        self.write_logprobs(out);
        self.close(out);
        // Parts that were never ended.
        while !self.waiting.is_empty() {
            self.release(losses, out);
            self.close(out);
        }
        self.over = true;
        let stop = self.stop.take().unwrap_or(Stop {
            reason: StopReason::End,
            ..Stop::default()
        });
        let word = stop::word(&stop, self.calls > 0, self.origin, losses);
        write_event(out, "message-end", |w| {
            w.key("delta").object(|w| {
                w.optional_string("finish_reason", word);
                if let Some(counts) = &self.usage {
                    w.key("usage");
                    usage::encode(w, counts, self.origin);
                }
                w.ext(&self.closing);
            });
            w.ext(&self.closing_event);
        });
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// Whether an opaque value is an event of its own and not a member of the last one.
fn is_event(field: &str, raw: &RawJson) -> bool {
    Object::parse(raw.text(), "").is_ok_and(|object| {
        let kind = object.peek("type").map(RawJson::from);
        kind.and_then(|kind| kind.as_string()).as_deref() == Some(field)
    })
}

fn own_delta(delta: &Delta<'_>) -> Delta<'static> {
    match delta {
        Delta::Text(text) => Delta::Text(text.clone().into_owned().into()),
        Delta::Reasoning(text) => Delta::Reasoning(text.clone().into_owned().into()),
        Delta::Signature(text) => Delta::Signature(text.clone().into_owned().into()),
        Delta::Arguments(text) => Delta::Arguments(text.clone().into_owned().into()),
        Delta::Opaque(raw) => Delta::Opaque(raw.clone()),
    }
}

/// Bytes a held piece takes, its bookkeeping included.
fn size_of_delta(delta: &Delta<'_>) -> usize {
    let text = match delta {
        Delta::Text(text) | Delta::Reasoning(text) | Delta::Signature(text) | Delta::Arguments(text) => {
            text.len()
        }
        Delta::Opaque(raw) => raw.text().len(),
    };
    text + size_of::<Delta<'_>>()
}

fn own_error(message: String) -> ProviderError {
    ProviderError {
        kind: ErrorKind::Server,
        status: 502,
        message,
        native_type: None,
        code: None,
        param: None,
        raw: None,
    }
}
