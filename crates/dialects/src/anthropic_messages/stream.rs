//! A streamed answer, read: server-sent events in, [`Event`]s out, whatever the cuts.
//!
//! Tolerated, because providers and gateways in between do it: pings and comments anywhere, unknown events and members,
//! `[DONE]` after the end, padding, errors without an event name. Not tolerated: a stream that ends before `message_stop`.

use std::borrow::Cow;

use crate::json::Raw;
use serde::Deserialize;

use super::error::decode_stream_error;
use super::response::take_stop;
use super::{part, usage};
use crate::Dialect;
use crate::canonical::{DecodeError, Delta, Event, Ext, PartKind, Stop, ToolCallKind};
use crate::json::{Object, RawJson};
use crate::sse;

/// Reads a streamed answer.
#[derive(Debug)]
pub struct StreamDecoder {
    framing: sse::Decoder,
    answer: Answer,
}

impl StreamDecoder {
    /// A decoder that refuses single events above `max_event_bytes`.
    pub fn new(max_event_bytes: usize) -> Self {
        StreamDecoder {
            framing: sse::Decoder::new(max_event_bytes),
            answer: Answer::default(),
        }
    }

    /// Takes the next bytes of the stream, cut anywhere, and hands each event they complete to `sink`.
    ///
    /// # Errors
    /// The stream is not of this dialect, or one event is too large. The decoder must not be used any more.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let StreamDecoder { framing, answer } = self;
        let mut result = Ok(());
        framing
            .feed(bytes, &mut |event| {
                if result.is_ok() {
                    result = answer.take(&event, sink);
                }
            })
            .map_err(|too_large| DecodeError::new("", too_large.to_string()))?;
        result
    }

    /// Says that the bytes have ended.
    ///
    /// # Errors
    /// The answer was not complete: neither `message_stop` nor an error event has come.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let StreamDecoder { framing, answer } = self;
        let mut result = Ok(());
        framing.finish(&mut |event| {
            if result.is_ok() {
                result = answer.take(&event, sink);
            }
        });
        // The last event may be cut in the middle; that the end is missing says more than that it is no JSON.
        if answer.phase != Phase::Over {
            return Err(DecodeError::new(
                "",
                "the stream ended before the answer was complete",
            ));
        }
        result
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// `message_start` has not come.
    #[default]
    Waiting,
    /// In the answer.
    Running,
    /// `message_stop` or an error has come; the rest is ignored.
    Over,
}

/// The answer as far as it was read.
#[derive(Debug, Default)]
struct Answer {
    phase: Phase,
    /// The blocks that are open.
    open: Vec<Block>,
    /// How many blocks have begun.
    begun: usize,
    /// The members of the usage objects so far, the last of each.
    usage: Ext,
    stop: Stop,
}

#[derive(Debug)]
struct Block {
    /// The `index` the provider gave it.
    index: u64,
    /// Its number among the parts.
    part: usize,
    kind: BlockKind,
}

#[derive(Debug)]
enum BlockKind {
    Known,
    /// A tool call without arguments so far; `input` is what it began with.
    EmptyCall {
        input: String,
    },
    /// A block that is handed on without being understood.
    Opaque,
}

/// An event, read as far as the frequent ones need.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Borrowed<'a>>,
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow, default)]
    delta: Option<Raw<'a>>,
    #[serde(borrow, default)]
    content_block: Option<Raw<'a>>,
    #[serde(borrow, default)]
    message: Option<Raw<'a>>,
    #[serde(borrow, default)]
    error: Option<Raw<'a>>,
}

/// The delta of a block, read as far as the known ones need.
#[derive(Deserialize)]
struct BlockDelta<'a> {
    #[serde(borrow, rename = "type")]
    kind: Borrowed<'a>,
    #[serde(borrow, default)]
    text: Option<Borrowed<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Borrowed<'a>>,
    #[serde(borrow, default)]
    signature: Option<Borrowed<'a>>,
    #[serde(borrow, default)]
    partial_json: Option<Borrowed<'a>>,
}

/// A string that borrows from the event unless it contains escapes, also inside an `Option`.
#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

impl Answer {
    fn take(
        &mut self,
        event: &sse::SseEvent<'_>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        if self.phase == Phase::Over {
            return Ok(());
        }
        let Some(data) = &event.data else {
            sink(Event::Ping);
            return Ok(());
        };
        let text = std::str::from_utf8(data)
            .map_err(|_| DecodeError::new("", "an event is not UTF-8"))?
            .trim();
        if text.is_empty() || text == "[DONE]" {
            return Ok(());
        }
        let frame: Frame<'_> = serde_json::from_str(text).map_err(|error| {
            DecodeError::new("", format!("an event is not an object of this dialect: {error}"))
        })?;
        let kind = frame.kind.as_ref().map(|kind| kind.0.as_ref());
        match kind {
            Some("ping") => sink(Event::Ping),
            Some("error") => self.fail(text, sink),
            None if frame.error.is_some() => self.fail(text, sink),
            Some("message_start") => self.start(frame.message, sink)?,
            Some(
                known @ ("content_block_start"
                | "content_block_delta"
                | "content_block_stop"
                | "message_delta"
                | "message_stop"),
            ) if self.phase == Phase::Waiting => {
                return Err(DecodeError::new(known, "came before message_start"));
            }
            Some("content_block_start") => self.block_start(&frame, sink)?,
            Some("content_block_delta") => self.block_delta(&frame, sink)?,
            Some("content_block_stop") => self.block_stop(&frame, sink)?,
            Some("message_delta") => self.message_delta(text, sink)?,
            Some("message_stop") => self.end(sink),
            Some(other) => sink(Event::Opaque {
                field: other.to_owned(),
                raw: raw(text)?,
            }),
            None => return Err(DecodeError::new("type", "is missing; a string is required")),
        }
        Ok(())
    }

    fn fail(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) {
        self.phase = Phase::Over;
        sink(Event::Error(decode_stream_error(text)));
    }

    fn start(
        &mut self,
        message: Option<Raw<'_>>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        if self.phase != Phase::Waiting {
            return Err(DecodeError::new("message_start", "came twice"));
        }
        let Some(message) = message else {
            return Err(DecodeError::new(
                "message_start.message",
                "is missing; an object is required",
            ));
        };
        self.phase = Phase::Running;
        let mut object = Object::parse(message.get(), "message_start.message")?;
        let nulls = object.take_nulls();
        object.take("type");
        object.take("role");
        let content = object.take_array("content")?.unwrap_or_default();
        self.stop = take_stop(&mut object)?;
        let counts = object.take_object("usage")?.map(Object::into_ext);
        let id = object.take_string("id")?.unwrap_or_default();
        let model = object.take_string("model")?.unwrap_or_default();
        let (usage, service_tier) = match counts {
            Some(counts) => {
                usage::merge(&mut self.usage, counts.clone());
                let (usage, tier) = usage::decode(counts);
                (Some(usage), tier)
            }
            None => (None, None),
        };
        let mut ext = part::rest(object, nulls);
        ext.0
            .retain(|(key, _)| key != "stop_reason" && key != "stop_sequence");
        sink(Event::Start {
            origin: Dialect::AnthropicMessages,
            id,
            model,
            created: None,
            service_tier,
            ext,
        });
        if let Some(usage) = usage {
            sink(Event::Usage(usage));
        }
        // An answer that was known before it was streamed comes whole.
        for (index, block) in (0..).zip(content) {
            self.begin_block(index, block, "message_start.message.content[]", sink)?;
            self.end_block(index, sink);
        }
        Ok(())
    }

    fn block_start(&mut self, frame: &Frame<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let Some(raw_block) = frame.content_block else {
            return Err(DecodeError::new(
                "content_block_start.content_block",
                "is missing; an object is required",
            ));
        };
        let index = index(frame)?;
        if self.open.iter().any(|block| block.index == index) {
            return Err(DecodeError::new(
                "content_block_start.index",
                format!("block {index} is open already"),
            ));
        }
        self.begin_block(index, raw_block, "content_block_start.content_block", sink)
    }

    fn begin_block(
        &mut self,
        index: u64,
        raw_block: Raw<'_>,
        path: &str,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let mut block = Object::parse(raw_block.get(), path)?;
        let part = self.begun;
        self.begun += 1;
        let mut begin = |kind| {
            sink(Event::PartStart {
                choice: 0,
                part,
                kind,
            })
        };
        let kind = block.require_string("type")?;
        let mut state = BlockKind::Known;
        match kind.as_str() {
            "text" => {
                begin(PartKind::Text);
                let text = block.take_string("text")?.unwrap_or_default();
                if !text.is_empty() {
                    sink(delta(part, Delta::Text(Cow::Owned(text))));
                }
                let mut rest = block.into_ext();
                rest.0.retain(|(_, raw)| !raw.is_blank());
                if !rest.is_empty() {
                    sink(delta(part, Delta::Opaque(RawJson::object(&rest))));
                }
            }
            "thinking" => {
                begin(PartKind::Reasoning {
                    member: None,
                    of_call: None,
                });
                let text = block.take_string("thinking")?.unwrap_or_default();
                if !text.is_empty() {
                    sink(delta(part, Delta::Reasoning(Cow::Owned(text))));
                }
                let signature = block.take_string("signature")?.unwrap_or_default();
                if !signature.is_empty() {
                    sink(delta(part, Delta::Signature(Cow::Owned(signature))));
                }
            }
            "redacted_thinking" => begin(PartKind::RedactedReasoning {
                data: block.require_string("data")?,
            }),
            "tool_use" => {
                let nulls = block.take_nulls();
                let id = block.require_string("id")?;
                let name = block.require_string("name")?;
                let input = block.take("input").map_or("{}", Raw::get).to_owned();
                let ext = part::rest(block, nulls);
                begin(PartKind::ToolCall {
                    id,
                    name,
                    kind: ToolCallKind::Function,
                    ext,
                });
                state = BlockKind::EmptyCall { input };
            }
            _ => {
                begin(PartKind::Opaque {
                    kind,
                    raw: RawJson::from(raw_block),
                });
                state = BlockKind::Opaque;
            }
        }
        self.open.push(Block {
            index,
            part,
            kind: state,
        });
        Ok(())
    }

    fn block_delta(&mut self, frame: &Frame<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        const PATH: &str = "content_block_delta.delta";
        let Some(raw_delta) = frame.delta else {
            return Err(DecodeError::new(PATH, "is missing; an object is required"));
        };
        let block = self.open_block("content_block_delta", frame)?;
        let part = block.part;
        if matches!(block.kind, BlockKind::Opaque) {
            sink(delta(part, Delta::Opaque(RawJson::from(raw_delta))));
            return Ok(());
        }
        let known: BlockDelta<'_> = serde_json::from_str(raw_delta.get())
            .map_err(|error| DecodeError::new(PATH, format!("is not a delta of this dialect: {error}")))?;
        let piece = match known.kind.0.as_ref() {
            "text_delta" => known.text.map(|text| Delta::Text(text.0)),
            "thinking_delta" => known.thinking.map(|text| Delta::Reasoning(text.0)),
            "signature_delta" => known.signature.map(|text| Delta::Signature(text.0)),
            "input_json_delta" => known.partial_json.map(|text| Delta::Arguments(text.0)),
            _ => Some(Delta::Opaque(RawJson::from(raw_delta))),
        };
        let Some(piece) = piece else {
            return Err(DecodeError::new(
                PATH,
                format!("a {} without its piece", known.kind.0),
            ));
        };
        if let Delta::Arguments(text) = &piece
            && !text.is_empty()
        {
            block.kind = BlockKind::Known;
        }
        sink(delta(part, piece));
        Ok(())
    }

    fn block_stop(&mut self, frame: &Frame<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let index = self.open_block("content_block_stop", frame)?.index;
        self.end_block(index, sink);
        Ok(())
    }

    fn end_block(&mut self, index: u64, sink: &mut dyn FnMut(Event<'_>)) {
        let Some(position) = self.open.iter().position(|block| block.index == index) else {
            return;
        };
        let Block { part, kind, .. } = self.open.remove(position);
        // A call that got no pieces has the arguments it began with.
        if let BlockKind::EmptyCall { input } = kind {
            sink(delta(part, Delta::Arguments(Cow::Owned(input))));
        }
        sink(Event::PartStop { choice: 0, part });
    }

    fn message_delta(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let mut object = Object::parse(text, "message_delta")?;
        object.take_nulls();
        object.take("type");
        if let Some(mut change) = object.take_object("delta")? {
            change.take_nulls();
            let stop = take_stop(&mut change)?;
            if stop.native.is_some() {
                self.stop.reason = stop.reason;
                self.stop.native = stop.native;
            }
            self.stop.sequence = stop.sequence.or(self.stop.sequence.take());
            self.stop.details = stop.details.or(self.stop.details.take());
            report_members(change.into_ext(), sink);
        }
        if let Some(counts) = object.take_object("usage")? {
            usage::merge(&mut self.usage, counts.into_ext());
            sink(Event::Usage(usage::decode(self.usage.clone()).0));
        }
        report_members(object.into_ext(), sink);
        Ok(())
    }

    fn end(&mut self, sink: &mut dyn FnMut(Event<'_>)) {
        self.phase = Phase::Over;
        sink(Event::Stop {
            choice: 0,
            stop: std::mem::take(&mut self.stop),
        });
        sink(Event::End);
    }

    fn open_block(&mut self, event: &str, frame: &Frame<'_>) -> Result<&mut Block, DecodeError> {
        let index = index(frame)?;
        self.open
            .iter_mut()
            .find(|block| block.index == index)
            .ok_or_else(|| DecodeError::new(format!("{event}.index"), format!("block {index} is not open")))
    }
}

/// Members of the answer that come at its end.
fn report_members(members: Ext, sink: &mut dyn FnMut(Event<'_>)) {
    for (field, raw) in members.0 {
        sink(Event::Opaque { field, raw });
    }
}

fn delta(part: usize, delta: Delta<'_>) -> Event<'_> {
    Event::PartDelta {
        choice: 0,
        part,
        delta,
    }
}

fn index(frame: &Frame<'_>) -> Result<u64, DecodeError> {
    frame
        .index
        .ok_or_else(|| DecodeError::new("index", "is missing; a number is required"))
}

fn raw(text: &str) -> Result<RawJson, DecodeError> {
    RawJson::parse(text).map_err(|error| DecodeError::new("", error.to_string()))
}
