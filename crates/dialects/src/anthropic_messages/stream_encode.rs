//! A streamed answer, written for a client of this dialect.
//!
//! This dialect has one block open at a time, with indexes that count up; other dialects interleave. So pieces of a later
//! part wait until the open one ends. The stop reason and the usage go out together at the end, because other dialects tell
//! the usage after the stop.

use std::collections::{BTreeMap, HashSet};

use super::error::encode_error;
use super::frame::{write_delta, write_event, write_frame};
use super::response::{Contents, service_tier, stop_reason, write_stop};
use super::{ids, usage};
use crate::Dialect;
use crate::canonical::{
    Delta, ErrorKind, Event, Ext, PartKind, ProviderError, Reasoning, Stop, StopReason, ToolCallKind, Usage,
};
use crate::envelope;
use crate::foreign::{self, NOT_MALFORMED, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;

const FOREIGN_PROOF: &str = "proofs of other makers for their reasoning cannot be carried";

/// How a stream is written.
#[derive(Clone, Debug)]
pub struct StreamStyle {
    /// The gateway's id of the call, told in error events.
    pub request_id: Option<String>,
    /// Most bytes held back for parts that wait for the open one; above, the stream ends with an error event.
    pub max_held_bytes: usize,
}

impl Default for StreamStyle {
    fn default() -> Self {
        StreamStyle {
            request_id: None,
            max_held_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Writes a streamed answer as server-sent events.
#[derive(Debug)]
pub struct StreamEncoder {
    style: StreamStyle,
    /// `message_start`, until it is known whether the usage comes right behind.
    pending_start: Option<Start>,
    /// Whether `message_start` was written.
    started: bool,
    native: bool,
    origin: Dialect,
    model: String,
    id: String,
    service_tier: Option<String>,
    /// How many blocks were written; the index of the next.
    blocks: usize,
    open: Option<OpenBlock>,
    /// Parts that began while another was open, by number.
    waiting: BTreeMap<usize, Waiting>,
    held_bytes: usize,
    /// Parts that are not written at all.
    left_out: HashSet<usize>,
    calls: usize,
    contents: Contents,
    /// Whether the last tool call's arguments were a JSON object.
    broken_call: bool,
    stop: Option<Stop>,
    usage: Option<Usage>,
    /// Members of the answer that this dialect tells at the end.
    closing: Ext,
    over: bool,
}

#[derive(Debug)]
struct Start {
    ext: Ext,
}

#[derive(Debug)]
struct OpenBlock {
    part: usize,
    kind: OpenKind,
}

#[derive(Debug)]
enum OpenKind {
    Plain,
    /// Reasoning of another maker, sealed at its end.
    ForeignReasoning {
        member: Option<String>,
        /// Whether the provider says that it only passes on reasoning of this dialect's makers.
        passed_on: bool,
        /// Whether a signature was passed on.
        signed: bool,
        /// The maker's own signature, for the envelope.
        proof: Option<String>,
    },
    /// A tool call of another dialect with its arguments so far.
    ForeignCall {
        arguments: String,
    },
}

/// A part that waits.
#[derive(Debug)]
struct Waiting {
    kind: PartKind,
    deltas: Vec<Delta<'static>>,
    stopped: bool,
}

impl StreamEncoder {
    /// An encoder for one answer.
    pub fn new(style: StreamStyle) -> Self {
        StreamEncoder {
            style,
            pending_start: None,
            started: false,
            native: false,
            origin: Dialect::AnthropicMessages,
            model: String::new(),
            id: String::new(),
            service_tier: None,
            blocks: 0,
            open: None,
            waiting: BTreeMap::new(),
            held_bytes: 0,
            left_out: HashSet::new(),
            calls: 0,
            contents: Contents::default(),
            broken_call: false,
            stop: None,
            usage: None,
            closing: Ext::default(),
            over: false,
        }
    }

    /// Appends to `out` what the client is to get for `event`; often nothing yet.
    pub fn encode(&mut self, event: &Event<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start {
                origin,
                id,
                model,
                service_tier,
                ext,
                created: _,
            } => {
                self.origin = *origin;
                self.native = *origin == Dialect::AnthropicMessages;
                self.id = if self.native {
                    id.clone()
                } else {
                    ids::message_id(id).into_owned()
                };
                self.model.clone_from(model);
                self.service_tier.clone_from(service_tier);
                self.pending_start = Some(Start {
                    ext: self.keep(ext, "", losses),
                });
            }
            Event::Usage(usage) => {
                if !self.native {
                    usage::report_losses(usage, losses);
                }
                self.usage = Some(usage.clone());
                self.start(out);
            }
            Event::Error(error) => self.error(error, out),
            Event::End => self.end(losses, out),
            Event::Stop { choice: 0, stop } => {
                if !self.native && stop.reason == StopReason::Malformed {
                    losses.approximated("choices[0].finish_reason", NOT_MALFORMED);
                }
                self.stop = Some(stop.clone());
            }
            Event::Opaque { field, raw } => self.opaque(field, raw, losses, out),
            // The first event must be `message_start`.
            Event::Ping => {
                self.start(out);
                if self.started {
                    write_event(out, "ping", |_| {});
                }
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
            Event::PartStop { choice: 0, part } => self.part_stop(*part, losses, out),
            Event::PartStart { choice, .. } => {
                losses.dropped(
                    crate::path::item("choices", *choice),
                    "the dialect has one answer; only the first is written",
                );
            }
            Event::PartDelta { .. } | Event::PartStop { .. } | Event::Stop { .. } => {}
        }
    }

    /// Ends the stream of a source that has no end mark of its own. Does nothing if the end was written already.
    pub fn finish(&mut self, losses: &mut Losses, out: &mut Vec<u8>) {
        if !self.over {
            self.end(losses, out);
        }
    }

    /// Writes `message_start` if that has not been done.
    fn start(&mut self, out: &mut Vec<u8>) {
        let Some(start) = self.pending_start.take() else {
            return;
        };
        self.started = true;
        let mut counts = self.usage.clone().unwrap_or_default();
        if !self.native {
            // The output is counted at the end.
            counts = Usage {
                input: counts.input,
                cache_read: counts.cache_read,
                cache_write: counts.cache_write,
                ..Usage::default()
            };
        }
        write_event(out, "message_start", |w| {
            w.key("message").object(|w| {
                w.key("id").string(&self.id);
                w.key("type").string("message");
                w.key("role").string("assistant");
                w.key("model").string(&self.model);
                w.key("content").array(|_| {});
                w.key("stop_reason").null();
                w.key("stop_sequence").null();
                w.key("usage");
                usage::encode(
                    w,
                    &counts,
                    service_tier(self.service_tier.as_deref(), self.native),
                    self.native,
                );
                w.ext(&start.ext);
            });
        });
    }

    fn part_start(&mut self, part: usize, kind: &PartKind, losses: &mut Losses, out: &mut Vec<u8>) {
        if let PartKind::Opaque { kind, .. } = kind
            && !self.native
        {
            losses.dropped(
                format!("choices[0].delta.{kind}"),
                "only the provider's own dialect has this kind of content",
            );
            self.left_out.insert(part);
            return;
        }
        if matches!(kind, PartKind::RedactedReasoning { .. }) && !self.native {
            losses.dropped("choices[0].delta.reasoning_details", FOREIGN_PROOF);
            self.left_out.insert(part);
            return;
        }
        if self.open.is_some() {
            self.waiting.insert(
                part,
                Waiting {
                    kind: kind.clone(),
                    deltas: Vec::new(),
                    stopped: false,
                },
            );
        } else {
            self.open_block(part, kind, losses, out);
        }
    }

    fn part_delta(&mut self, part: usize, delta: &Delta<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        if self.left_out.contains(&part) {
            return;
        }
        if self.open.as_ref().is_some_and(|open| open.part == part) {
            self.write_delta(delta, losses, out);
            return;
        }
        let Some(waiting) = self.waiting.get_mut(&part) else {
            return;
        };
        let (owned, size) = own(delta);
        waiting.deltas.push(owned);
        self.held_bytes = self.held_bytes.saturating_add(size);
        if self.held_bytes > self.style.max_held_bytes {
            let message = "the provider interleaves more than can be held back".to_owned();
            self.error(&own_error(message), out);
        }
    }

    fn part_stop(&mut self, part: usize, losses: &mut Losses, out: &mut Vec<u8>) {
        if self.open.as_ref().is_some_and(|open| open.part == part) {
            self.close_block(out);
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
            self.open_block(part, &waiting.kind, losses, out);
            for delta in &waiting.deltas {
                self.held_bytes = self.held_bytes.saturating_sub(own_size(delta));
                self.write_delta(delta, losses, out);
            }
            if waiting.stopped {
                self.close_block(out);
            }
        }
    }

    fn open_block(&mut self, part: usize, kind: &PartKind, losses: &mut Losses, out: &mut Vec<u8>) {
        let mut open = OpenKind::Plain;
        let index = self.blocks;
        let block = |out: &mut Vec<u8>, content: &dyn Fn(&mut Writer<'_>)| {
            write_event(out, "content_block_start", |w| {
                w.key("index").number(index as u64);
                w.key("content_block");
                content(w);
            });
        };
        match kind {
            PartKind::Text | PartKind::Refusal => {
                self.contents.refusal |= matches!(kind, PartKind::Refusal);
                block(out, &|w| {
                    w.object(|w| {
                        w.key("type").string("text");
                        w.key("text").string("");
                    });
                });
            }
            PartKind::Reasoning { member, .. } => {
                if !self.native {
                    open = OpenKind::ForeignReasoning {
                        member: member.clone(),
                        passed_on: false,
                        signed: false,
                        proof: None,
                    };
                }
                block(out, &|w| {
                    w.object(|w| {
                        w.key("type").string("thinking");
                        w.key("thinking").string("");
                        w.key("signature").string("");
                    });
                });
            }
            PartKind::RedactedReasoning { data } => block(out, &|w| {
                w.object(|w| {
                    w.key("type").string("redacted_thinking");
                    w.key("data").string(data);
                });
            }),
            PartKind::ToolCall { id, name, kind, ext } => {
                let path = format!("choices[0].delta.tool_calls[{}]", self.calls);
                if *kind == ToolCallKind::Custom {
                    losses.rejected(path.clone(), "calls of free-text tools cannot be expressed");
                }
                let ext = self.keep(ext, &path, losses);
                let id = match id.as_str() {
                    "" => ids::invented_tool_call_id(&self.id, self.calls),
                    id if self.native => id.to_owned(),
                    id => ids::tool_call_id(id).into_owned(),
                };
                if !self.native {
                    open = OpenKind::ForeignCall {
                        arguments: String::new(),
                    };
                }
                self.calls += 1;
                self.contents.tool_calls = true;
                block(out, &|w| {
                    w.object(|w| {
                        w.key("type").string("tool_use");
                        w.key("id").string(&id);
                        w.key("name").string(name);
                        w.key("input").object(|_| {});
                        w.ext(&ext);
                    });
                });
            }
            PartKind::Opaque { raw, .. } => block(out, &|w| w.raw(raw)),
        }
        self.blocks += 1;
        self.open = Some(OpenBlock { part, kind: open });
    }

    fn write_delta(&mut self, delta: &Delta<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        let index = self.index();
        let Some(open) = &mut self.open else { return };
        match delta {
            Delta::Text(text) => write_delta(out, index, "text_delta", "text", text),
            Delta::Reasoning(text) => write_delta(out, index, "thinking_delta", "thinking", text),
            Delta::Signature(text) => {
                if let OpenKind::ForeignReasoning {
                    passed_on,
                    signed,
                    proof,
                    ..
                } = &mut open.kind
                {
                    if self.origin != Dialect::OpenaiChat {
                        return proof.get_or_insert_default().push_str(text);
                    }
                    if !*passed_on {
                        return losses.dropped("choices[0].delta.signature", FOREIGN_PROOF);
                    }
                    *signed = true;
                }
                write_delta(out, index, "signature_delta", "signature", text);
            }
            Delta::Arguments(text) => {
                if let OpenKind::ForeignCall { arguments } = &mut open.kind {
                    // Some models write `null` when a tool takes nothing.
                    if arguments.is_empty() && text.trim() == "null" {
                        return;
                    }
                    arguments.push_str(text);
                }
                write_delta(out, index, "input_json_delta", "partial_json", text);
            }
            Delta::Opaque(raw) if self.native => self.write_opaque_delta(raw, index, out),
            Delta::Opaque(raw) => {
                if let OpenKind::ForeignReasoning { passed_on, .. } = &mut open.kind {
                    *passed_on |= is_passed_on(raw);
                }
                let members = Object::parse(raw.text(), "")
                    .map(Object::into_ext)
                    .unwrap_or_default();
                self.keep(&members, "choices[0].delta", losses);
            }
        }
    }

    /// Deltas are written as they were; members a block began with have no delta of their own and are left out.
    fn write_opaque_delta(&self, raw: &RawJson, index: u64, out: &mut Vec<u8>) {
        let is_delta = Object::parse(raw.text(), "").is_ok_and(|object| object.has("type"));
        if is_delta {
            write_event(out, "content_block_delta", |w| {
                w.key("index").number(index);
                w.key("delta").raw(raw);
            });
        }
    }

    fn close_block(&mut self, out: &mut Vec<u8>) {
        let index = self.index();
        let Some(open) = self.open.take() else { return };
        match open.kind {
            OpenKind::Plain => {}
            OpenKind::ForeignReasoning { signed: true, .. } => {}
            OpenKind::ForeignReasoning { member, proof, .. } => {
                let reasoning = Reasoning {
                    member,
                    signature: proof,
                    ..Reasoning::default()
                };
                let envelope = envelope::seal(&reasoning, self.origin, &self.model);
                write_delta(out, index, "signature_delta", "signature", &envelope);
            }
            OpenKind::ForeignCall { arguments } => {
                let whole = arguments.trim().is_empty() || Object::parse(&arguments, "").is_ok();
                self.broken_call |= !whole;
            }
        }
        write_event(out, "content_block_stop", |w| w.key("index").number(index));
    }

    fn opaque(&mut self, field: &str, raw: &RawJson, losses: &mut Losses, out: &mut Vec<u8>) {
        if !self.native {
            foreign::report_streamed(field, raw, self.origin, losses);
            return;
        }
        self.start(out);
        let is_event = Object::parse(raw.text(), "")
            .ok()
            .and_then(|mut object| object.take_string("type").ok().flatten())
            .is_some_and(|kind| kind == field);
        if is_event {
            write_frame(out, field, |out| out.extend_from_slice(raw.text().as_bytes()));
        } else {
            self.closing.0.push((field.to_owned(), raw.clone()));
        }
    }

    fn error(&mut self, error: &ProviderError, out: &mut Vec<u8>) {
        self.over = true;
        let body = encode_error(error, self.style.request_id.as_deref());
        write_frame(out, "error", |out| out.extend_from_slice(&body));
    }

    fn end(&mut self, losses: &mut Losses, out: &mut Vec<u8>) {
        self.start(out);
        while self.open.is_some() {
            self.close_block(out);
            self.release(losses, out);
        }
        self.over = true;
        if !self.started {
            // Nothing was told that could end.
            return;
        }
        let stop = self.stop.take().unwrap_or_default();
        if self.broken_call && stop.reason != StopReason::Length {
            // Pieces of it have been sent; a stop reason now would say that the call may be run.
            losses.rejected(
                "choices[0].delta.tool_calls",
                "the arguments are not a JSON object",
            );
            let message = "the model called a tool with arguments that are not a JSON object".to_owned();
            return self.error(&own_error(message), out);
        }
        let reason = stop_reason(&stop, self.native, self.contents);
        let counts = self.usage.take().unwrap_or_default();
        write_event(out, "message_delta", |w| {
            w.key("delta").object(|w| {
                write_stop(w, &stop, reason);
                if let Some(container) = self.closing.get("container") {
                    w.key("container").raw(container);
                }
            });
            for (key, raw) in self.closing.iter().filter(|(key, _)| *key != "container") {
                w.key(key).raw(raw);
            }
            w.key("usage");
            usage::encode(w, &counts, None, self.native);
        });
        write_event(out, "message_stop", |_| {});
    }

    /// The bag to write: as it is in its own dialect, else empty and reported.
    fn keep(&self, ext: &Ext, path: &str, losses: &mut Losses) -> Ext {
        if self.native {
            return ext.clone();
        }
        foreign::report(ext, Place::Answer, self.origin, path, losses);
        Ext::default()
    }

    /// The index of the open block.
    fn index(&self) -> u64 {
        self.blocks.saturating_sub(1) as u64
    }
}

/// Whether entries of `reasoning_details` say that this dialect's makers wrote them (OpenRouter's `format`).
fn is_passed_on(raw: &RawJson) -> bool {
    let entries = Object::parse(raw.text(), "")
        .ok()
        .and_then(|mut object| object.take_array("reasoning_details").ok()?);
    entries.is_some_and(|entries| {
        entries.iter().any(|entry| {
            let format = Object::parse(entry.get(), "")
                .ok()
                .and_then(|mut entry| entry.take_string("format").ok()?);
            format.is_some_and(|format| format.starts_with("anthropic"))
        })
    })
}

fn own(delta: &Delta<'_>) -> (Delta<'static>, usize) {
    let owned = match delta {
        Delta::Text(text) => Delta::Text(text.clone().into_owned().into()),
        Delta::Reasoning(text) => Delta::Reasoning(text.clone().into_owned().into()),
        Delta::Signature(text) => Delta::Signature(text.clone().into_owned().into()),
        Delta::Arguments(text) => Delta::Arguments(text.clone().into_owned().into()),
        Delta::Opaque(raw) => Delta::Opaque(raw.clone()),
    };
    let size = own_size(&owned);
    (owned, size)
}

/// Bytes a held piece takes, its bookkeeping included.
fn own_size(delta: &Delta<'_>) -> usize {
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
