//! A streamed answer, read: server-sent events in, [`Event`]s out, whatever the cuts.
//!
//! Tolerated, because providers and gateways in between do it: comments anywhere, unknown events and members, no `[DONE]`
//! after the end, pieces of a part that was not begun, parts that are not ended. Not tolerated: a stream that ends before
//! `message-end`. A `message-end` that tells a failure is one.

use std::borrow::Cow;

use crate::json::Raw;

use super::bag::{leftover, open};
use super::error::decode_error_inside;
use super::stream_events::{Borrowed, CallPiece, DeltaOf, Frame, MessageOf, Piece, begins_as_usual};
use super::{THINKING, TOOL_PLAN, ids, logprobs, stop, tools, usage};
use crate::Dialect;
use crate::canonical::{DecodeError, Delta, Event, PartKind, ToolCallKind};
use crate::json::{Object, RawJson};
use crate::sse;

/// Reads a streamed answer.
#[derive(Debug)]
pub struct StreamDecoder {
    framing: sse::Decoder,
    answer: Answer,
}

impl StreamDecoder {
    /// A decoder at the beginning of a stream. Events above `max_event_bytes` are refused.
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
    /// The answer was not complete: `message-end` has not come.
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
    /// `message-start` has not come.
    #[default]
    Waiting,
    /// In the answer.
    Running,
    /// `message-end` or an error has come; the rest is ignored.
    Over,
}

/// The answer as far as it was read.
#[derive(Debug, Default)]
struct Answer {
    phase: Phase,
    id: String,
    /// The parts that are open.
    open: Vec<OpenPart>,
    /// How many parts have begun.
    begun: usize,
    /// How many of them are calls.
    calls: usize,
}

#[derive(Debug)]
struct OpenPart {
    place: Place,
    /// Its number among the parts.
    part: usize,
    kind: Kind,
}

/// What a part is, as far as its pieces need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Call,
    /// A content that is handed on without being understood.
    Opaque,
}

/// Where a part stands: contents and calls are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Content(u64),
    Call(u64),
    Plan,
}

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
            Some("message-start") => self.start(text, sink),
            Some("message-end") => self.end(text, sink),
            Some("error") => self.fail(text, sink),
            None if is_error(text) => self.fail(text, sink),
            None => Err(DecodeError::new("type", "is missing; a string is required")),
            Some(
                known @ ("content-start" | "content-delta" | "content-end" | "tool-plan-delta"
                | "tool-call-start" | "tool-call-delta" | "tool-call-end" | "citation-start"),
            ) => {
                if self.phase == Phase::Waiting {
                    return Err(DecodeError::new(known, "came before message-start"));
                }
                self.running(known, &frame, sink)
            }
            // Each citation comes whole.
            Some("citation-end") => Ok(()),
            Some(other) => {
                sink(Event::Opaque {
                    field: other.to_owned(),
                    raw: raw(text)?,
                });
                Ok(())
            }
        }
    }

    fn running(
        &mut self,
        kind: &str,
        frame: &Frame<'_>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let message = match frame.delta {
            Some(delta) => serde_json::from_str::<DeltaOf<'_>>(delta.get())
                .map_err(|error| {
                    DecodeError::new(
                        format!("{kind}.delta"),
                        format!("is not a delta of this dialect: {error}"),
                    )
                })?
                .message
                .unwrap_or_default(),
            None => MessageOf::default(),
        };
        let index = frame.index.unwrap_or(0);
        match kind {
            "content-start" => self.content_start(index, message.content, sink),
            "content-delta" => self.content_delta(index, message.content, frame.logprobs, sink),
            "content-end" => {
                self.stop_part(Place::Content(index), sink);
                Ok(())
            }
            "tool-plan-delta" => {
                self.plan(message.tool_plan, sink);
                Ok(())
            }
            "tool-call-start" => self.call_start(index, message.tool_calls, sink),
            "tool-call-delta" => self.call_delta(index, message.tool_calls, sink),
            "tool-call-end" => {
                self.stop_part(Place::Call(index), sink);
                Ok(())
            }
            _ => {
                if let Some(citation) = message.citations {
                    let list = match citation.get().starts_with('[') {
                        true => RawJson::from(citation),
                        false => RawJson::array([citation.get()]),
                    };
                    sink(Event::Opaque {
                        field: "choices[0].delta.citations".to_owned(),
                        raw: list,
                    });
                }
                Ok(())
            }
        }
    }

    fn fail(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        self.phase = Phase::Over;
        sink(Event::Error(decode_error_inside(text)));
        Ok(())
    }

    fn start(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        if self.phase != Phase::Waiting {
            return Err(DecodeError::new("message-start", "came twice"));
        }
        self.phase = Phase::Running;
        let (mut object, nulls) = open(text, "message-start")?;
        object.take("type");
        self.id = object.take_string("id")?.unwrap_or_default();
        if object.peek("delta").is_some_and(|raw| begins_as_usual(raw.get())) {
            object.take("delta");
        }
        sink(Event::Start {
            origin: Dialect::CohereChat,
            id: self.id.clone(),
            // The answer does not name it.
            model: String::new(),
            created: None,
            service_tier: None,
            ext: leftover(object, nulls),
        });
        Ok(())
    }

    fn content_start(
        &mut self,
        index: u64,
        content: Option<Raw<'_>>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        self.stop_part(Place::Plan, sink);
        let place = Place::Content(index);
        if self.open.iter().any(|part| part.place == place) {
            return Err(DecodeError::new(
                "content-start.index",
                format!("content {index} is open already"),
            ));
        }
        let Some(content) = content else {
            return Err(DecodeError::new(
                "content-start.delta.message.content",
                "is missing; an object is required",
            ));
        };
        let (mut object, nulls) = open(content.get(), "content-start.delta.message.content")?;
        let kind = object.take_string("type")?.unwrap_or_else(|| "text".to_owned());
        if kind != "text" && kind != THINKING {
            let kind = PartKind::Opaque {
                kind,
                raw: RawJson::from(content),
            };
            self.begin(place, kind, sink);
            return Ok(());
        }
        let text = object.take_string(&kind)?.unwrap_or_default();
        let thinking = kind == THINKING;
        let part = self.begin(place, content_kind(thinking), sink);
        if !text.is_empty() {
            let piece = if thinking { Delta::Reasoning } else { Delta::Text };
            sink(delta(part, piece(Cow::Owned(text))));
        }
        let rest = leftover(object, nulls);
        if rest.iter().any(|(_, raw)| !raw.is_blank()) {
            sink(delta(part, Delta::Opaque(RawJson::object(&rest))));
        }
        Ok(())
    }

    fn content_delta(
        &mut self,
        index: u64,
        content: Option<Raw<'_>>,
        probabilities: Option<Raw<'_>>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        if let Some(item) = probabilities.filter(|raw| raw.get() != "null") {
            match logprobs::decode(&[item]) {
                Some(raw) => sink(Event::Opaque {
                    field: "choices[0].logprobs".to_owned(),
                    raw,
                }),
                None => sink(Event::Opaque {
                    field: "choices[0].delta.logprobs".to_owned(),
                    raw: RawJson::from(item),
                }),
            }
        }
        let Some(content) = content else { return Ok(()) };
        let place = Place::Content(index);
        let open = self.open.iter().find(|open| open.place == place);
        let open = open.map(|open| (open.part, open.kind));
        if let Some((part, Kind::Opaque)) = open {
            sink(delta(part, Delta::Opaque(RawJson::from(content))));
            return Ok(());
        }
        // Nearly every event of a long answer is a piece of one text.
        let (text, thinking, rest) = match serde_json::from_str::<Piece<'_>>(content.get()) {
            Ok(piece) => (
                piece.text.map(|text| text.0),
                piece.thinking.map(|text| text.0),
                None,
            ),
            Err(_) => {
                let mut object = Object::parse(content.get(), CONTENT)?;
                let text = object.take_string("text")?.map(Cow::Owned);
                let thinking = object.take_string(THINKING)?.map(Cow::Owned);
                (text, thinking, Some(object.into_ext()))
            }
        };
        let is_thinking = thinking.is_some();
        let part = match open {
            Some((part, kind)) => {
                if text.is_some() && kind != Kind::Text || is_thinking && kind != Kind::Thinking {
                    return Err(DecodeError::new(
                        CONTENT,
                        "is not a piece of the content it belongs to",
                    ));
                }
                part
            }
            None if text.is_some() && is_thinking => {
                return Err(DecodeError::new(
                    CONTENT,
                    "is a piece of text and of thinking at once",
                ));
            }
            None => self.begin(place, content_kind(is_thinking), sink),
        };
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            sink(delta(part, Delta::Text(text)));
        }
        if let Some(text) = thinking.filter(|text| !text.is_empty()) {
            sink(delta(part, Delta::Reasoning(text)));
        }
        if let Some(rest) = rest.filter(|rest| rest.iter().any(|(_, raw)| !raw.is_blank())) {
            sink(delta(part, Delta::Opaque(RawJson::object(&rest))));
        }
        Ok(())
    }

    fn plan(&mut self, piece: Option<Borrowed<'_>>, sink: &mut dyn FnMut(Event<'_>)) {
        let Some(piece) = piece.filter(|piece| !piece.0.is_empty()) else {
            return;
        };
        let open = self.open.iter().find(|open| open.place == Place::Plan);
        let part = match open.map(|open| open.part) {
            Some(part) => part,
            None => {
                let kind = PartKind::Reasoning {
                    member: Some(TOOL_PLAN.to_owned()),
                    of_call: None,
                };
                self.begin(Place::Plan, kind, sink)
            }
        };
        sink(delta(part, Delta::Reasoning(piece.0)));
    }

    fn call_start(
        &mut self,
        index: u64,
        call: Option<Raw<'_>>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        self.stop_part(Place::Plan, sink);
        const PATH: &str = "tool-call-start.delta.message.tool_calls";
        let place = Place::Call(index);
        if self.open.iter().any(|part| part.place == place) {
            return Err(DecodeError::new(
                "tool-call-start.index",
                format!("call {index} is open already"),
            ));
        }
        let Some(call) = call else {
            return Err(DecodeError::new(PATH, "is missing; an object is required"));
        };
        let call = tools::decode_call(call, PATH)?;
        let id = if call.id.is_empty() {
            ids::made(&self.id, self.calls, &call.name)
        } else {
            call.id
        };
        self.calls += 1;
        let kind = PartKind::ToolCall {
            id,
            name: call.name,
            kind: ToolCallKind::Function,
            ext: call.ext,
        };
        let part = self.begin(place, kind, sink);
        if !call.arguments.is_empty() {
            sink(delta(part, Delta::Arguments(Cow::Owned(call.arguments))));
        }
        Ok(())
    }

    fn call_delta(
        &mut self,
        index: u64,
        call: Option<Raw<'_>>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let open = self.open.iter().find(|open| open.place == Place::Call(index));
        let Some(part) = open.map(|open| open.part) else {
            return Err(DecodeError::new(
                "tool-call-delta.index",
                format!("call {index} is not open"),
            ));
        };
        let Some(call) = call else { return Ok(()) };
        if let Ok(piece) = serde_json::from_str::<CallPiece<'_>>(call.get()) {
            let text = piece.function.arguments.0;
            if !text.is_empty() {
                sink(delta(part, Delta::Arguments(text)));
            }
            return Ok(());
        }
        let call = tools::decode_call(call, "tool-call-delta.delta.message.tool_calls")?;
        if !call.arguments.is_empty() {
            sink(delta(part, Delta::Arguments(Cow::Owned(call.arguments))));
        }
        if call.ext.iter().any(|(_, raw)| !raw.is_blank()) {
            sink(delta(part, Delta::Opaque(RawJson::object(&call.ext))));
        }
        Ok(())
    }

    fn end(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let (mut object, nulls) = open(text, "message-end")?;
        let (mut end, end_nulls) = match object.take("delta") {
            Some(delta) => open(delta.get(), "message-end.delta")?,
            None => open("{}", "message-end.delta")?,
        };
        let native = end.take_string("finish_reason")?;
        let counts = match end.take("usage") {
            Some(raw) => usage::read(&RawJson::from(raw)),
            None => None,
        };
        let says_error = end.peek("error").is_some_and(|raw| raw.get() != "\"\"");
        if stop::failure(native.as_deref()).is_some() || says_error {
            if self.phase == Phase::Running
                && let Some(usage) = counts
            {
                sink(Event::Usage(usage));
            }
            return self.fail(text, sink);
        }
        if self.phase == Phase::Waiting {
            return Err(DecodeError::new("message-end", "came before message-start"));
        }
        for open in std::mem::take(&mut self.open) {
            sink(Event::PartStop {
                choice: 0,
                part: open.part,
            });
        }
        self.phase = Phase::Over;
        object.take("type");
        let rest = leftover(object, nulls);
        if !rest.is_empty() {
            sink(Event::Opaque {
                field: END.to_owned(),
                raw: RawJson::object(&rest),
            });
        }
        for (field, raw) in leftover(end, end_nulls).0 {
            sink(Event::Opaque { field, raw });
        }
        if let Some(usage) = counts {
            sink(Event::Usage(usage));
        }
        sink(Event::Stop {
            choice: 0,
            stop: stop::decode(native, self.calls > 0),
        });
        sink(Event::End);
        Ok(())
    }

    /// Begins a part and returns its number.
    fn begin(&mut self, place: Place, kind: PartKind, sink: &mut dyn FnMut(Event<'_>)) -> usize {
        let part = self.begun;
        self.begun += 1;
        self.open.push(OpenPart {
            place,
            part,
            kind: match kind {
                PartKind::Text | PartKind::Refusal => Kind::Text,
                PartKind::Reasoning { .. } | PartKind::RedactedReasoning { .. } => Kind::Thinking,
                PartKind::ToolCall { .. } => Kind::Call,
                PartKind::Opaque { .. } => Kind::Opaque,
            },
        });
        sink(Event::PartStart {
            choice: 0,
            part,
            kind,
        });
        part
    }

    /// Ends a part; one that is not open has ended already.
    fn stop_part(&mut self, place: Place, sink: &mut dyn FnMut(Event<'_>)) {
        if let Some(position) = self.open.iter().position(|open| open.place == place) {
            let part = self.open.remove(position).part;
            sink(Event::PartStop { choice: 0, part });
        }
    }
}

/// What is left of the event `message-end` itself.
pub(super) const END: &str = "message-end";

/// Where a piece of content stands.
const CONTENT: &str = "content-delta.delta.message.content";

fn content_kind(thinking: bool) -> PartKind {
    if thinking {
        PartKind::Reasoning {
            member: Some(THINKING.to_owned()),
            of_call: None,
        }
    } else {
        PartKind::Text
    }
}

/// Whether a document without a `type` tells an error.
fn is_error(text: &str) -> bool {
    Object::parse(text, "").is_ok_and(|object| object.has("message") || object.has("error"))
}

fn delta(part: usize, delta: Delta<'_>) -> Event<'_> {
    Event::PartDelta {
        choice: 0,
        part,
        delta,
    }
}

fn raw(text: &str) -> Result<RawJson, DecodeError> {
    RawJson::parse(text).map_err(|error| DecodeError::new("", error.to_string()))
}
