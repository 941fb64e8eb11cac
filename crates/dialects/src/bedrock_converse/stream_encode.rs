//! A streamed answer, written as event-stream frames for a client of this dialect.
//!
//! One block is open at a time, with indexes that count up. `messageStop` and `metadata` go out together at the end, because
//! other dialects tell the usage after the stop. Frames have no padding: what it hides is visible on the provider's side of us
//! anyway.

use super::answer::{self, ONE_ANSWER};
use super::error::{name_in_stream, write_error};
use super::part::ORIGIN;
use super::response::{write_no_metrics, write_tier};
use super::stream::UNKNOWN_EVENT;
use super::{event_stream, stop, usage};
use crate::Dialect;
use crate::canonical::{
    Delta, ErrorKind, Event, Ext, PartKind, ProviderError, Reasoning, Stop, StopReason, ToolCallKind, Usage,
};
use crate::envelope;
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::one_at_a_time::OneAtATime;

/// Most bytes held back for parts that wait for the open one; above, the stream ends with an exception.
const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;

/// Writes a streamed answer.
#[derive(Debug)]
pub struct StreamEncoder {
    order: OneAtATime,
    blocks: Blocks,
    stop: Option<Stop>,
    usage: Option<Usage>,
    service_tier: Option<String>,
    /// Members of the answer that this dialect tells at the end.
    closing: Ext,
    started: bool,
    over: bool,
}

/// The blocks of the answer.
#[derive(Debug)]
struct Blocks {
    origin: Dialect,
    id: String,
    model: String,
    /// The index of the next block.
    next: u64,
    open: Option<Block>,
    calls: usize,
    /// Whether a call had arguments that are no JSON object.
    broken_call: bool,
}

#[derive(Debug)]
enum Block {
    /// Text of which nothing has been written: it has no index yet.
    EmptyText,
    /// Text, or any block of a provider that speaks this dialect.
    Plain,
    /// Reasoning that only its maker can read, written at once.
    Sealed,
    /// Reasoning of another maker, sealed at its end.
    ForeignReasoning {
        member: Option<String>,
        proof: Option<String>,
    },
    /// A tool call of another dialect with its arguments so far.
    ForeignCall { arguments: String },
    /// Not written at all.
    LeftOut,
}

impl Block {
    /// Whether a piece of another dialect can be part of it. Providers that mix them are not believed: a block has one kind.
    fn takes(&self, delta: &Delta<'_>) -> bool {
        match (self, delta) {
            (Block::LeftOut, _) | (_, Delta::Opaque(_)) => true,
            (Block::ForeignReasoning { .. }, delta) => {
                matches!(delta, Delta::Reasoning(_) | Delta::Signature(_))
            }
            (Block::ForeignCall { .. }, delta) => matches!(delta, Delta::Arguments(_)),
            (Block::EmptyText | Block::Plain, delta) => matches!(delta, Delta::Text(_)),
            (Block::Sealed, _) => false,
        }
    }
}

impl StreamEncoder {
    #[allow(
        clippy::new_without_default,
        reason = "an encoder of one answer is begun on purpose"
    )]
    /// An encoder at the beginning of a stream.
    pub fn new() -> Self {
        StreamEncoder {
            order: OneAtATime::new(MAX_HELD_BYTES),
            blocks: Blocks {
                origin: ORIGIN,
                id: String::new(),
                model: String::new(),
                next: 0,
                open: None,
                calls: 0,
                broken_call: false,
            },
            stop: None,
            usage: None,
            service_tier: None,
            closing: Ext::default(),
            started: false,
            over: false,
        }
    }

    /// Writes one event; what it cannot express is added to `losses`.
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
                self.blocks.origin = *origin;
                self.blocks.id.clone_from(id);
                self.blocks.model.clone_from(model);
                self.service_tier.clone_from(service_tier);
                self.start(ext, losses, out);
            }
            Event::PartStart { choice: 0, .. }
            | Event::PartDelta { choice: 0, .. }
            | Event::PartStop { choice: 0, .. } => {
                let StreamEncoder { order, blocks, .. } = self;
                let fits = order.push(event, &mut |event| blocks.write(event, losses, out));
                if fits.is_err() {
                    self.error(
                        &own_error("the provider interleaves more than can be held back"),
                        out,
                    );
                }
            }
            Event::PartStart { choice, .. } => {
                losses.dropped(crate::path::item("choices", *choice), ONE_ANSWER)
            }
            Event::PartDelta { .. } | Event::PartStop { .. } => {}
            Event::Stop { choice: 0, stop } => self.stop = Some(stop.clone()),
            Event::Stop { .. } => {}
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Error(error) => self.error(error, out),
            // There is no frame without content.
            Event::Ping => {}
            Event::Opaque { field, raw } => self.opaque(field, raw, losses, out),
            Event::End => self.end(losses, out),
        }
    }

    fn native(&self) -> bool {
        self.blocks.origin == ORIGIN
    }

    fn start(&mut self, ext: &Ext, losses: &mut Losses, out: &mut Vec<u8>) {
        self.started = true;
        if !self.native() {
            foreign::report(ext, Place::Answer, self.blocks.origin, "", losses);
        }
        write_event(out, "messageStart", |w| {
            w.key("role").string("assistant");
            if self.native() {
                w.ext(ext);
            }
        });
    }

    fn opaque(&mut self, field: &str, raw: &RawJson, losses: &mut Losses, out: &mut Vec<u8>) {
        if field == "service_tier" {
            self.service_tier = raw.as_string();
        } else if !self.native() {
            foreign::report(
                &Ext(vec![(field.to_owned(), raw.clone())]),
                Place::Answer,
                self.blocks.origin,
                "",
                losses,
            );
        } else if let Some(event) = field.strip_prefix(UNKNOWN_EVENT) {
            let members = Object::parse(raw.text(), "").map(Object::into_ext);
            write_event(out, event, |w| w.ext(&members.unwrap_or_default()));
        } else {
            match self.closing.0.iter_mut().find(|(name, _)| name == field) {
                Some((_, value)) => *value = raw.clone(),
                None => self.closing.0.push((field.to_owned(), raw.clone())),
            }
        }
    }

    fn error(&mut self, error: &ProviderError, out: &mut Vec<u8>) {
        self.over = true;
        let headers = [
            (":exception-type", name_in_stream(error)),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ];
        event_stream::write(out, headers, |out| write_error(out, error));
    }

    fn end(&mut self, losses: &mut Losses, out: &mut Vec<u8>) {
        let StreamEncoder { order, blocks, .. } = self;
        order.finish(&mut |event| blocks.write(event, losses, out));
        self.over = true;
        if !self.started {
            // Nothing was told that could end.
            return;
        }
        let stop = self.stop.take().unwrap_or_default();
        if self.blocks.broken_call && stop.reason != StopReason::Length {
            // Pieces of it have been sent; a stop reason now would say that the call may be run.
            losses.rejected(
                "choices[0].delta.tool_calls",
                "the arguments are not a JSON object",
            );
            let message = "the model called a tool with arguments that are not a JSON object";
            return self.error(&own_error(message), out);
        }
        let native = self.native();
        let reason = stop::word(&stop, self.blocks.origin, self.blocks.calls > 0, losses);
        const OF_STOP: &str = "additionalModelResponseFields";
        write_event(out, "messageStop", |w| {
            w.optional_string("stopReason", reason.as_deref());
            w.optional_raw(OF_STOP, self.closing.get(OF_STOP));
        });
        if native && self.usage.is_none() && self.closing.is_empty() {
            return;
        }
        let counts = self.usage.take().unwrap_or_default();
        if !native {
            usage::report_losses(&counts, losses);
        }
        write_event(out, "metadata", |w| {
            w.key("usage");
            usage::encode(w, &counts, self.blocks.origin);
            if !native {
                write_no_metrics(w);
            }
            write_tier(w, self.service_tier.as_deref(), native, &Ext::default(), losses);
            for (name, raw) in self.closing.iter().filter(|(name, _)| *name != OF_STOP) {
                w.key(name).raw(raw);
            }
        });
    }
}

impl Blocks {
    fn write(&mut self, event: &Event<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        match event {
            Event::PartStart { kind, .. } => self.begin(kind, losses, out),
            Event::PartDelta { delta, .. } => self.delta(delta, losses, out),
            Event::PartStop { .. } => self.close(out),
            _ => {}
        }
    }

    fn native(&self) -> bool {
        self.origin == ORIGIN
    }

    fn begin(&mut self, kind: &PartKind, losses: &mut Losses, out: &mut Vec<u8>) {
        let index = self.next;
        let block = match kind {
            PartKind::Text | PartKind::Refusal => Block::EmptyText,
            PartKind::Reasoning { .. } if self.native() => Block::Plain,
            PartKind::Reasoning { member, .. } => Block::ForeignReasoning {
                member: member.clone(),
                proof: None,
            },
            PartKind::RedactedReasoning { data } if self.native() => {
                write_piece(out, index, "reasoningContent", |w| {
                    w.object(|w| w.key("redactedContent").string(data));
                });
                Block::Plain
            }
            PartKind::RedactedReasoning { data } => {
                let sealed = Reasoning {
                    redacted: Some(data.clone()),
                    ..Reasoning::default()
                };
                write_reasoning(out, index, "text", "");
                let envelope = envelope::seal(&sealed, self.origin, &self.model);
                write_reasoning(out, index, "signature", &envelope);
                Block::Sealed
            }
            PartKind::ToolCall { id, name, kind, ext } => {
                let path = format!("choices[0].delta.tool_calls[{}]", self.calls);
                if *kind == ToolCallKind::Custom {
                    losses.rejected(path.clone(), "calls of free-text tools cannot be expressed");
                }
                let id = if self.native() {
                    id.clone()
                } else {
                    foreign::report(ext, Place::Answer, self.origin, &path, losses);
                    answer::call_id(id, &self.id, self.calls, name)
                };
                self.calls += 1;
                write_event(out, "contentBlockStart", |w| {
                    w.key("contentBlockIndex").number(index);
                    w.key("start").object(|w| {
                        w.key("toolUse").object(|w| {
                            w.key("toolUseId").string(&id);
                            w.key("name").string(name);
                            if self.native() {
                                w.ext(ext);
                            }
                        });
                    });
                });
                if self.native() {
                    Block::Plain
                } else {
                    Block::ForeignCall {
                        arguments: String::new(),
                    }
                }
            }
            PartKind::Opaque { raw, .. } if self.native() => {
                write_event(out, "contentBlockStart", |w| {
                    w.key("contentBlockIndex").number(index);
                    w.key("start").raw(raw);
                });
                Block::Plain
            }
            PartKind::Opaque { kind, .. } => {
                losses.dropped(
                    format!("choices[0].delta.{kind}"),
                    "only the provider's own dialect has this kind of content",
                );
                Block::LeftOut
            }
        };
        if !matches!(block, Block::EmptyText | Block::LeftOut) {
            self.next += 1;
        }
        self.open = Some(block);
    }

    fn delta(&mut self, delta: &Delta<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        let native = self.native();
        let Some(block) = &mut self.open else { return };
        if !native && !block.takes(delta) {
            let reason = "a piece of another kind than what it is part of";
            return losses.dropped("choices[0].delta", reason);
        }
        match (&mut *block, delta) {
            (Block::LeftOut, _) => return,
            (Block::EmptyText, Delta::Opaque(_)) if !native => {}
            (Block::EmptyText, _) => {
                *block = Block::Plain;
                self.next += 1;
            }
            (Block::ForeignReasoning { proof, .. }, Delta::Signature(text)) => {
                return proof.get_or_insert_default().push_str(text);
            }
            (Block::ForeignCall { arguments }, Delta::Arguments(text)) => {
                // Some models write `null` when a tool takes nothing.
                if arguments.is_empty() && matches!(text.trim(), "null" | "") {
                    return;
                }
                arguments.push_str(text);
            }
            _ => {}
        }
        let index = self.next.saturating_sub(1);
        match delta {
            Delta::Text(text) => write_piece(out, index, "text", |w| w.string(text)),
            Delta::Reasoning(text) => write_reasoning(out, index, "text", text),
            Delta::Signature(text) => write_reasoning(out, index, "signature", text),
            Delta::Arguments(text) => write_arguments(out, index, text),
            Delta::Opaque(raw) if native => write_event(out, "contentBlockDelta", |w| {
                w.key("contentBlockIndex").number(index);
                w.key("delta").raw(raw);
            }),
            Delta::Opaque(raw) => {
                let members = Object::parse(raw.text(), "").map(Object::into_ext);
                let members = members.unwrap_or_default();
                foreign::report(&members, Place::Answer, self.origin, "choices[0].delta", losses);
            }
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let index = self.next.saturating_sub(1);
        match self.open.take() {
            None | Some(Block::EmptyText | Block::LeftOut) => return,
            Some(Block::Plain | Block::Sealed) => {}
            Some(Block::ForeignReasoning { member, proof }) => {
                let reasoning = Reasoning {
                    member,
                    signature: proof,
                    ..Reasoning::default()
                };
                let envelope = envelope::seal(&reasoning, self.origin, &self.model);
                write_reasoning(out, index, "signature", &envelope);
            }
            Some(Block::ForeignCall { arguments }) => {
                if arguments.trim().is_empty() {
                    write_arguments(out, index, "{}");
                } else {
                    self.broken_call |= Object::parse(&arguments, "").is_err();
                }
            }
        }
        write_event(out, "contentBlockStop", |w| {
            w.key("contentBlockIndex").number(index)
        });
    }
}

/// Writes a frame with an event of this kind.
fn write_event(out: &mut Vec<u8>, kind: &str, members: impl FnOnce(&mut Writer<'_>)) {
    let headers = [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    event_stream::write(out, headers, |out| Writer::new(out).object(members));
}

fn write_piece(out: &mut Vec<u8>, index: u64, kind: &str, value: impl FnOnce(&mut Writer<'_>)) {
    write_event(out, "contentBlockDelta", |w| {
        w.key("contentBlockIndex").number(index);
        w.key("delta").object(|w| value(w.key(kind)));
    });
}

fn write_reasoning(out: &mut Vec<u8>, index: u64, member: &str, text: &str) {
    write_piece(out, index, "reasoningContent", |w| {
        w.object(|w| w.key(member).string(text));
    });
}

fn write_arguments(out: &mut Vec<u8>, index: u64, text: &str) {
    write_piece(out, index, "toolUse", |w| {
        w.object(|w| w.key("input").string(text));
    });
}

fn own_error(message: &str) -> ProviderError {
    ProviderError {
        kind: ErrorKind::Server,
        status: 502,
        message: message.to_owned(),
        native_type: None,
        code: None,
        param: None,
        raw: None,
    }
}
