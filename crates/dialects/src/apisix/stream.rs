//! A streamed answer for an Anthropic client, as APISIX writes it: every event at once, except that the end waits for the
//! usage, or for the end mark where none comes.

use std::collections::HashMap;

use super::answer::{stop_reason, write_usage};
use crate::anthropic_messages::{encode_error, write_delta, write_event, write_frame};
use crate::canonical::{Delta, Event, PartKind, Usage};
use crate::json::Writer;

/// Writes a streamed answer as server-sent events.
#[derive(Debug, Default)]
pub(crate) struct StreamEncoder {
    request_id: Option<String>,
    started: bool,
    /// The index of the next block.
    next: u64,
    open: Option<Block>,
    /// The block of each tool call, by the number of its part.
    calls: HashMap<usize, u64>,
    usage: Option<Usage>,
    /// The stop reason, until it has been written.
    stop: Option<&'static str>,
    over: bool,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    index: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Thinking,
    Text,
    /// The call of this part.
    Call(usize),
}

impl StreamEncoder {
    /// An encoder for one answer; `request_id` is told in error events.
    pub(crate) fn new(request_id: Option<String>) -> Self {
        StreamEncoder {
            request_id,
            ..StreamEncoder::default()
        }
    }

    /// Appends to `out` what the client is to get for `event`.
    pub(crate) fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, .. } => self.start(id, model, out),
            Event::PartStart {
                choice: 0,
                part,
                kind: PartKind::ToolCall { id, name, .. },
            } => self.open(Kind::Call(*part), out, |w| {
                w.key("type").string("tool_use");
                w.key("id").string(id);
                w.key("name").string(name);
                w.key("input").object(|_| {});
            }),
            Event::PartDelta {
                choice: 0,
                part,
                delta,
            } => self.delta(*part, delta, out),
            Event::PartStop { choice: 0, part } => {
                if self.open.is_some_and(|open| open.kind == Kind::Call(*part)) {
                    self.close(out);
                }
            }
            Event::Stop { choice: 0, stop } => {
                self.close(out);
                self.stop = Some(stop_reason(stop));
            }
            Event::Usage(usage) => {
                self.usage = Some(usage.clone());
                if self.stop.is_some() {
                    self.end(out);
                }
            }
            Event::End => self.end(out),
            Event::Error(error) => {
                self.over = true;
                let body = encode_error(error, self.request_id.as_deref());
                write_frame(out, "error", |out| out.extend_from_slice(&body));
            }
            Event::Ping => write_event(out, "ping", |_| {}),
            Event::PartStart { .. }
            | Event::PartDelta { .. }
            | Event::PartStop { .. }
            | Event::Stop { .. }
            | Event::Opaque { .. } => {}
        }
    }

    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        self.started = true;
        write_event(out, "message_start", |w| {
            w.key("message").object(|w| {
                w.key("id").string(id);
                w.key("type").string("message");
                w.key("role").string("assistant");
                w.key("model").string(model);
                w.key("content").array(|_| {});
                w.key("stop_reason").null();
                w.key("stop_sequence").null();
                w.key("usage");
                write_usage(w, None);
            });
        });
    }

    /// Writes a piece; a text or a thought begins its own block, because another one may have come between.
    fn delta(&mut self, part: usize, delta: &Delta<'_>, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) => {
                let index = self.block(Kind::Text, out, |w| {
                    w.key("type").string("text");
                    w.key("text").string("");
                });
                write_delta(out, index, "text_delta", "text", text);
            }
            Delta::Reasoning(text) => {
                let index = self.block(Kind::Thinking, out, |w| {
                    w.key("type").string("thinking");
                    w.key("thinking").string("");
                });
                write_delta(out, index, "thinking_delta", "thinking", text);
            }
            Delta::Arguments(text) => {
                if let Some(index) = self.calls.get(&part) {
                    write_delta(out, *index, "input_json_delta", "partial_json", text);
                }
            }
            Delta::Signature(_) | Delta::Opaque(_) => {}
        }
    }

    /// The index of the open block of this kind, opened if there is none.
    fn block(&mut self, kind: Kind, out: &mut Vec<u8>, content: impl FnOnce(&mut Writer<'_>)) -> u64 {
        if let Some(open) = self.open.filter(|open| open.kind == kind) {
            return open.index;
        }
        self.open(kind, out, content);
        self.next.saturating_sub(1)
    }

    fn open(&mut self, kind: Kind, out: &mut Vec<u8>, content: impl FnOnce(&mut Writer<'_>)) {
        self.close(out);
        let index = self.next;
        self.next += 1;
        if let Kind::Call(part) = kind {
            self.calls.insert(part, index);
        }
        self.open = Some(Block { index, kind });
        write_event(out, "content_block_start", |w| {
            w.key("index").number(index);
            w.key("content_block").object(content);
        });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(open) = self.open.take() {
            write_event(out, "content_block_stop", |w| w.key("index").number(open.index));
        }
    }

    /// Writes the end; a stream that never began has none.
    fn end(&mut self, out: &mut Vec<u8>) {
        self.over = true;
        if !self.started {
            return;
        }
        self.close(out);
        write_event(out, "message_delta", |w| {
            w.key("delta").object(|w| {
                w.key("stop_reason").string(self.stop.unwrap_or("end_turn"));
                w.key("stop_sequence").null();
            });
            w.key("usage");
            write_usage(w, self.usage.as_ref());
        });
        write_event(out, "message_stop", |_| {});
    }
}
