//! A streamed answer, read: event-stream frames in, [`Event`]s out, whatever the cuts.
//!
//! Tolerated, because it is seen: blocks of text and reasoning without a start, `metadata` before `messageStop` or not at all,
//! an answer without `messageStart`, padding, unknown events. Not tolerated: a wrong checksum, and a stream that ends before
//! `messageStop`.

use std::borrow::Cow;

use crate::json::Raw;
use serde::Deserialize;

use super::error::decode_exception;
use super::event_stream::{Frame, Frames};
use super::part::{ORIGIN, rest};
use super::{stop, usage};
use crate::canonical::{DecodeError, Delta, Event, Ext, PartKind, Stop, ToolCallKind};
use crate::json::{Object, RawJson};

/// First part of the field of an event that we do not know.
pub(super) const UNKNOWN_EVENT: &str = "event.";

/// Reads a streamed answer from chunks cut anywhere.
#[derive(Debug)]
pub struct StreamDecoder {
    frames: Frames,
    answer: Answer,
}

impl StreamDecoder {
    /// A decoder at the beginning of a stream. Frames above `max_event_bytes` are refused.
    pub fn new(max_event_bytes: usize) -> Self {
        StreamDecoder {
            frames: Frames::new(max_event_bytes),
            answer: Answer::default(),
        }
    }

    /// Takes the next bytes of the stream, cut anywhere, and hands each event they complete to `sink`.
    ///
    /// # Errors
    /// A frame is broken or too large, or the stream is not of this dialect. The decoder must not be used any more.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let StreamDecoder { frames, answer } = self;
        frames.feed(bytes, &mut |frame| answer.take(frame, sink))
    }

    /// Says that the bytes have ended.
    ///
    /// # Errors
    /// The answer was not complete: neither `messageStop` nor an exception has come, or a frame was cut.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        if self.answer.phase != Phase::Over && !self.frames.at_end_of_frame() {
            return Err(DecodeError::new(
                "",
                "the stream was cut in the middle of a frame",
            ));
        }
        match self.answer.phase {
            Phase::Over => Ok(()),
            // Complete, though what it used was not told.
            Phase::Stopped => {
                self.answer.phase = Phase::Over;
                sink(Event::End);
                Ok(())
            }
            Phase::Waiting | Phase::Running => Err(DecodeError::new(
                "",
                "the stream ended before the answer was complete",
            )),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing has come.
    #[default]
    Waiting,
    /// In the answer.
    Running,
    /// `messageStop` has come; `metadata` is to come.
    Stopped,
    /// Both, or an error; the rest is ignored.
    Over,
}

/// The answer as far as it was read.
#[derive(Debug, Default)]
struct Answer {
    phase: Phase,
    /// The blocks that are open.
    open: Vec<Block>,
    /// How many parts have begun.
    begun: usize,
    /// Whether `metadata` has come.
    metadata: bool,
}

#[derive(Debug)]
struct Block {
    /// The index the provider gave it.
    index: u64,
    /// Its number among the parts.
    part: usize,
    kind: BlockKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockKind {
    Text,
    Reasoning,
    /// Sealed reasoning, which came whole.
    Redacted,
    /// A tool call, and whether it has arguments.
    Call {
        begun: bool,
    },
    /// A block that is handed on without being understood.
    Opaque,
}

/// A piece of a block.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta<'a> {
    #[serde(borrow)]
    content_block_index: Number<'a>,
    #[serde(borrow)]
    delta: Piece<'a>,
}

/// Which block it is; 0 is what Amazon's own clients take for a missing number.
type Number<'a> = Option<Raw<'a>>;

/// The kinds of pieces, one of which is there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece<'a> {
    #[serde(borrow, default)]
    text: Option<Borrowed<'a>>,
    #[serde(borrow, default)]
    tool_use: Option<ToolUsePiece<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<ReasoningPiece<'a>>,
}

#[derive(Deserialize)]
struct ToolUsePiece<'a> {
    #[serde(borrow, default)]
    input: Option<Borrowed<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningPiece<'a> {
    #[serde(borrow, default)]
    text: Option<Borrowed<'a>>,
    #[serde(borrow, default)]
    signature: Option<Borrowed<'a>>,
    #[serde(borrow, default)]
    redacted_content: Option<Borrowed<'a>>,
}

/// A string that borrows from the frame unless it contains escapes, also inside an `Option`.
#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

impl Answer {
    fn take(&mut self, frame: &Frame<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        if self.phase == Phase::Over {
            return Ok(());
        }
        let text = std::str::from_utf8(frame.payload)
            .map_err(|_| DecodeError::new("", "the payload of a frame is not UTF-8"))?;
        match (frame.message_type, frame.event_type) {
            (Some("exception"), _) => self.fail(frame.exception_type, text, sink),
            (Some("error"), _) => {
                let document = RawJson::object(&Ext(vec![(
                    "message".to_owned(),
                    RawJson::string(frame.error_message.unwrap_or(text)),
                )]));
                self.fail(frame.error_code, document.text(), sink);
            }
            (Some("event") | None, Some(kind)) => self.event(kind, text, sink)?,
            _ => return Err(DecodeError::new("", "a frame of the stream is no event")),
        }
        Ok(())
    }

    fn fail(&mut self, name: Option<&str>, document: &str, sink: &mut dyn FnMut(Event<'_>)) {
        self.phase = Phase::Over;
        sink(Event::Error(decode_exception(name, document)));
    }

    fn event(&mut self, kind: &str, text: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        match kind {
            "contentBlockDelta" => self.block_delta(text, sink),
            "contentBlockStart" => self.block_start(text, sink),
            "contentBlockStop" => self.block_stop(text, sink),
            "messageStart" if self.phase == Phase::Waiting => {
                let mut object = open(text, kind)?;
                object.take("role");
                self.start(object.into_ext(), sink);
                Ok(())
            }
            "messageStart" => Err(DecodeError::new(kind, "came twice")),
            "messageStop" => self.message_stop(text, sink),
            "metadata" => self.metadata(text, sink),
            other => {
                self.begin(sink);
                let raw = RawJson::object(&open(text, other)?.into_ext());
                let field = format!("{UNKNOWN_EVENT}{other}");
                sink(Event::Opaque { field, raw });
                Ok(())
            }
        }
    }

    fn start(&mut self, ext: Ext, sink: &mut dyn FnMut(Event<'_>)) {
        self.phase = Phase::Running;
        sink(Event::Start {
            origin: ORIGIN,
            id: String::new(),
            model: String::new(),
            created: None,
            service_tier: None,
            ext,
        });
    }

    /// Some streams lack `messageStart`.
    fn begin(&mut self, sink: &mut dyn FnMut(Event<'_>)) {
        if self.phase == Phase::Waiting {
            self.start(Ext::default(), sink);
        }
    }

    /// Before something of a block: nothing of one may come after the end.
    fn in_answer(&mut self, event: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        self.begin(sink);
        match self.phase {
            Phase::Running => Ok(()),
            _ => Err(DecodeError::new(event, "came after messageStop")),
        }
    }

    fn block_start(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        const EVENT: &str = "contentBlockStart";
        self.in_answer(EVENT, sink)?;
        let mut object = open(text, EVENT)?;
        let index = object.take_u64("contentBlockIndex")?.unwrap_or(0);
        if self.open.iter().any(|block| block.index == index) {
            return Err(DecodeError::new(
                format!("{EVENT}.contentBlockIndex"),
                format!("block {index} is open already"),
            ));
        }
        let Some(raw) = object.take_some("start") else {
            return Err(DecodeError::new(
                format!("{EVENT}.start"),
                "is missing; an object is required",
            ));
        };
        let mut start = Object::parse(raw.get(), format!("{EVENT}.start"))?;
        start.take_nulls();
        let call = match start.only() {
            Some(("toolUse", call)) => Some(Object::parse(call.get(), format!("{EVENT}.start.toolUse"))?),
            _ => None,
        };
        let own_tool = |call: &Object<'_>| {
            let kind = call.peek("type").map(Raw::get);
            matches!(kind, None | Some("null" | "\"tool_use\""))
        };
        let (kind, state) = match call.filter(own_tool) {
            Some(mut call) => {
                let nulls = call.take_nulls();
                let kind = PartKind::ToolCall {
                    id: call.require_string("toolUseId")?,
                    name: call.require_string("name")?,
                    kind: ToolCallKind::Function,
                    ext: rest(call, nulls),
                };
                (kind, BlockKind::Call { begun: false })
            }
            None => {
                let kind = start.only().map_or("block", |(name, _)| name).to_owned();
                let raw = RawJson::from(raw);
                (PartKind::Opaque { kind, raw }, BlockKind::Opaque)
            }
        };
        self.open(index, kind, state, sink);
        Ok(())
    }

    /// Begins a part and gives its number.
    fn open(
        &mut self,
        index: u64,
        kind: PartKind,
        state: BlockKind,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> usize {
        let part = self.begun;
        self.begun += 1;
        self.open.push(Block {
            index,
            part,
            kind: state,
        });
        sink(Event::PartStart {
            choice: 0,
            part,
            kind,
        });
        part
    }

    fn block_delta(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        const EVENT: &str = "contentBlockDelta";
        self.in_answer(EVENT, sink)?;
        let known: BlockDelta<'_> = serde_json::from_str(text)
            .map_err(|error| DecodeError::new(EVENT, format!("is not one of this dialect: {error}")))?;
        let index = match known.content_block_index {
            None => 0,
            Some(raw) => serde_json::from_str(raw.get()).map_err(|_| {
                DecodeError::new(
                    format!("{EVENT}.contentBlockIndex"),
                    "expected a whole number that is not negative",
                )
            })?,
        };
        let piece = known.delta;
        if let Some(text) = piece.text {
            self.piece(index, BlockKind::Text, Delta::Text(text.0), sink)
        } else if let Some(call) = piece.tool_use {
            let input = call.input.map(|input| input.0).unwrap_or_default();
            self.arguments(index, input, sink)
        } else if let Some(reasoning) = piece.reasoning_content {
            self.reasoning(index, reasoning, sink)
        } else {
            self.other_piece(index, text, sink)
        }
    }

    fn reasoning(
        &mut self,
        index: u64,
        piece: ReasoningPiece<'_>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        if let Some(sealed) = piece.redacted_content {
            // Each piece is whole: bytes in base64 cannot be joined as text.
            if let Some(position) = self.open.iter().position(|block| block.index == index) {
                self.close(position, sink);
            }
            let kind = PartKind::RedactedReasoning {
                data: sealed.0.into_owned(),
            };
            self.open(index, kind, BlockKind::Redacted, sink);
        }
        if let Some(text) = piece.text {
            self.piece(index, BlockKind::Reasoning, Delta::Reasoning(text.0), sink)?;
        }
        if let Some(signature) = piece.signature {
            self.piece(index, BlockKind::Reasoning, Delta::Signature(signature.0), sink)?;
        }
        Ok(())
    }

    fn arguments(
        &mut self,
        index: u64,
        input: Cow<'_, str>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let block = self.open.iter_mut().find(|block| block.index == index);
        match block {
            Some(block) => match &mut block.kind {
                BlockKind::Call { begun } => {
                    if !input.is_empty() {
                        *begun = true;
                        sink(delta(block.part, Delta::Arguments(input)));
                    }
                    Ok(())
                }
                // A call that the provider runs.
                BlockKind::Opaque => {
                    if !input.is_empty() {
                        sink(delta(block.part, Delta::Arguments(input)));
                    }
                    Ok(())
                }
                _ => Err(mixed(index)),
            },
            None => Err(DecodeError::new(
                "contentBlockDelta",
                format!("block {index} has not begun"),
            )),
        }
    }

    /// A piece of a block that begins with its first one.
    fn piece(
        &mut self,
        index: u64,
        kind: BlockKind,
        piece: Delta<'_>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let part = match self.open.iter().find(|block| block.index == index) {
            Some(block) if block.kind == kind => block.part,
            Some(_) => return Err(mixed(index)),
            None => {
                let begun = if kind == BlockKind::Text {
                    PartKind::Text
                } else {
                    PartKind::Reasoning {
                        member: None,
                        of_call: None,
                    }
                };
                self.open(index, begun, kind, sink)
            }
        };
        let (Delta::Text(text) | Delta::Reasoning(text) | Delta::Signature(text)) = &piece else {
            return Ok(());
        };
        if !text.is_empty() {
            sink(delta(part, piece));
        }
        Ok(())
    }

    /// A citation of a text, a piece of a block that we do not understand, or of a kind we do not know.
    fn other_piece(
        &mut self,
        index: u64,
        text: &str,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let mut object = open(text, "contentBlockDelta")?;
        let raw = object.take("delta").map_or_else(RawJson::null, RawJson::from);
        let part = match self.open.iter().find(|block| block.index == index) {
            Some(block) => block.part,
            None => self.open(index, PartKind::Text, BlockKind::Text, sink),
        };
        sink(delta(part, Delta::Opaque(raw)));
        Ok(())
    }

    fn block_stop(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        const EVENT: &str = "contentBlockStop";
        self.in_answer(EVENT, sink)?;
        let index = open(text, EVENT)?.take_u64("contentBlockIndex")?.unwrap_or(0);
        // A text without pieces has no beginning.
        if let Some(position) = self.open.iter().position(|block| block.index == index) {
            self.close(position, sink);
        }
        Ok(())
    }

    fn close(&mut self, position: usize, sink: &mut dyn FnMut(Event<'_>)) {
        let Block { part, kind, .. } = self.open.remove(position);
        if kind == (BlockKind::Call { begun: false }) {
            sink(delta(part, Delta::Arguments("{}".into())));
        }
        sink(Event::PartStop { choice: 0, part });
    }

    fn message_stop(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        const EVENT: &str = "messageStop";
        self.in_answer(EVENT, sink)?;
        let mut object = open(text, EVENT)?;
        let native = object.take_string("stopReason")?;
        while !self.open.is_empty() {
            self.close(0, sink);
        }
        let members = object.into_ext();
        let stop: Stop = stop::decode(native, &members);
        report_members(members, sink);
        sink(Event::Stop { choice: 0, stop });
        self.phase = Phase::Stopped;
        self.end(sink);
        Ok(())
    }

    fn metadata(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        const EVENT: &str = "metadata";
        self.begin(sink);
        let mut object = open(text, EVENT)?;
        if let Some(counts) = object.take_object("usage")? {
            sink(Event::Usage(usage::decode(counts.into_ext())));
        }
        if let Some(mut tier) = object.take_object("serviceTier")?
            && let Some(kind) = tier.take("type")
        {
            sink(Event::Opaque {
                field: "service_tier".to_owned(),
                raw: RawJson::from(kind),
            });
        }
        report_members(object.into_ext(), sink);
        self.metadata = true;
        self.end(sink);
        Ok(())
    }

    /// Ends the answer once everything is in.
    fn end(&mut self, sink: &mut dyn FnMut(Event<'_>)) {
        if self.phase == Phase::Stopped && self.metadata {
            self.phase = Phase::Over;
            sink(Event::End);
        }
    }
}

/// Opens the document of an event, without its padding.
fn open<'a>(text: &'a str, event: &str) -> Result<Object<'a>, DecodeError> {
    let mut object = Object::parse(text, event)?;
    object.take_nulls();
    object.take("p");
    Ok(object)
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

fn mixed(index: u64) -> DecodeError {
    DecodeError::new(
        "contentBlockDelta",
        format!("a piece of block {index} is of another kind than the block"),
    )
}
