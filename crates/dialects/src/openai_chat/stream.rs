//! Streamed answers, read: frames, chunks, and when an answer is complete.
//!
//! Providers deviate a lot. Read as they are meant: chunks without choices, usage in the last or in every chunk, `message`
//! for `delta`, a whole answer in one event, comments, errors inside chunks, a missing `[DONE]` after a finish reason.
//! Never taken for complete: a stream that ends before every choice has told why it stopped.

use crate::json::Raw;

use super::error::{decode_error, decode_unnumbered};
use super::response::{take_created, take_finish_reason, take_usage};
use super::stream_choice::ChoiceDecoder;
use super::{plain, usage};
use crate::Dialect;
use crate::canonical::{DecodeError, Event, Ext, Usage};
use crate::json::{Object, RawJson};
use crate::sse::{self, SseEvent};

/// Reads a streamed answer, fed in pieces cut anywhere.
///
/// [`Event::End`] is reported only for the dialect's own end mark, `[DONE]`. A stream that closes after every finish
/// reason is complete too; then [`StreamDecoder::finish`] reports no error and no `End`.
#[derive(Debug)]
pub struct StreamDecoder {
    frames: sse::Decoder,
    answer: Answer,
}

impl StreamDecoder {
    /// A decoder that refuses events above `max_event_bytes` bytes.
    pub fn new(max_event_bytes: usize) -> Self {
        StreamDecoder {
            frames: sse::Decoder::new(max_event_bytes),
            answer: Answer::new(max_event_bytes),
        }
    }

    /// Takes the next bytes and reports what they tell. After an [`Event::Error`] or an [`Event::End`] the rest is ignored.
    ///
    /// # Errors
    /// An event is too large, or is not what this dialect says; the decoder must not be used any more.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let StreamDecoder { frames, answer } = self;
        let mut result = Ok(());
        let framed = frames.feed(bytes, &mut |event| {
            if result.is_ok() {
                result = answer.frame(&event, sink);
            }
        });
        result.and_then(|()| framed.map_err(|error| DecodeError::new("", error.to_string())))
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// It ended before the answer was complete, or its last event is wrong.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        let StreamDecoder { frames, answer } = self;
        let mut result = Ok(());
        frames.finish(&mut |event| {
            if result.is_ok() {
                result = answer.frame(&event, sink);
            }
        });
        result.and_then(|()| answer.close())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// More may come.
    Open,
    /// The end mark or an error was seen.
    Over,
}

#[derive(Debug)]
struct Answer {
    phase: Phase,
    started: bool,
    /// The last value of each member of the chunks that is not known here; repeated in each chunk, reported once.
    members: Ext,
    service_tier: Option<String>,
    /// By index. No map: most answers have one, and a map would have room for eleven of them as long as the stream lasts.
    choices: Vec<(u64, ChoiceDecoder)>,
    max_buffered: usize,
}

impl Answer {
    fn new(max_buffered: usize) -> Self {
        Answer {
            phase: Phase::Open,
            started: false,
            members: Ext::default(),
            service_tier: None,
            choices: Vec::new(),
            max_buffered,
        }
    }

    fn frame(&mut self, frame: &SseEvent<'_>, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        if self.phase == Phase::Over {
            return Ok(());
        }
        let Some(data) = &frame.data else {
            if frame
                .raw
                .split(|byte| matches!(byte, b'\n' | b'\r'))
                .any(|line| line.starts_with(b":"))
            {
                sink(Event::Ping);
            }
            return Ok(());
        };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            return self.end(sink);
        }
        let named_error = frame.name == Some(b"error".as_slice());
        let text = match std::str::from_utf8(data) {
            Ok(text) => text,
            Err(_) if named_error => "",
            Err(_) => return Err(DecodeError::new("", "an event of the stream is not UTF-8")),
        };
        if named_error {
            self.fail(text, sink);
            return Ok(());
        }
        if text.is_empty() {
            Ok(())
        } else {
            self.chunk(text, sink)
        }
    }

    fn chunk(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        if self.piece(text, sink) {
            return Ok(());
        }
        let mut chunk = Object::parse(text, "")?;
        chunk.take_nulls();
        if chunk.has("error") {
            self.fail(text, sink);
            return Ok(());
        }
        for padding in ["object", "obfuscation", "p"] {
            chunk.take(padding);
        }
        // Servers written in Lua write an empty list as `{}`.
        let is_none = |raw: Raw<'_>| RawJson::from(raw).is_blank();
        let choices = match chunk.peek("choices").is_some_and(is_none) {
            true => chunk.take("choices").map(|_| Vec::new()),
            false => chunk.take_array("choices")?,
        }
        .unwrap_or_default();
        let usage = take_usage(&mut chunk).or_else(|| groq_usage(&chunk));
        if !self.start(chunk, choices.is_empty() && usage.is_none(), sink)? {
            return Ok(());
        }
        // Before the choices, so that a stop in the same chunk is known to have its usage.
        if let Some(usage) = usage {
            sink(Event::Usage(usage));
        }
        for (position, raw) in (0..).zip(choices) {
            self.choice(raw, position, sink)?;
            if self.phase == Phase::Over {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reports a chunk that is nothing but the next piece of a text; says `false` for any other, of which it reports nothing.
    fn piece(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) -> bool {
        let Some(piece) = plain::read(text).filter(|_| self.started) else {
            return false;
        };
        let same_tier = piece.service_tier.is_none() || piece.service_tier == self.service_tier.as_deref();
        let same_server = piece.system_fingerprint.is_none_or(|raw| {
            let known = self.members.get("system_fingerprint");
            known.is_some_and(|known| known.text() == raw.get())
        });
        let place = self.place(piece.index).ok();
        let choice = place.and_then(|place| self.choices.get_mut(place));
        match choice {
            Some((_, choice)) if same_tier && same_server && !choice.is_stopped() => {
                choice.text(piece.text, sink);
                true
            }
            _ => false,
        }
    }

    /// Reports the start, or what changed since. A first chunk that tells neither who answers nor anything of the answer
    /// (Azure's prompt filter results) waits for the next one; then the result is `false`.
    fn start(
        &mut self,
        mut chunk: Object<'_>,
        says_nothing: bool,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<bool, DecodeError> {
        let id = chunk.take_string("id")?.unwrap_or_default();
        let model = chunk.take_string("model")?.unwrap_or_default();
        let created = take_created(&mut chunk);
        let service_tier = chunk.take_string("service_tier")?;
        let members = chunk.into_ext();
        if !self.started {
            for (name, raw) in members.0 {
                self.remember(name, raw);
            }
            if says_nothing && id.is_empty() {
                return Ok(false);
            }
            self.started = true;
            self.service_tier.clone_from(&service_tier);
            sink(Event::Start {
                origin: Dialect::OpenaiChat,
                id,
                model,
                created,
                service_tier,
                ext: self.members.clone(),
            });
            return Ok(true);
        }
        if let Some(tier) = service_tier.filter(|tier| self.service_tier.as_ref() != Some(tier)) {
            sink(Event::Opaque {
                field: "service_tier".to_owned(),
                raw: RawJson::string(&tier),
            });
            self.service_tier = Some(tier);
        }
        for (name, raw) in members.0 {
            if self.members.get(&name) != Some(&raw) {
                sink(Event::Opaque {
                    field: name.clone(),
                    raw: raw.clone(),
                });
                self.remember(name, raw);
            }
        }
        Ok(true)
    }

    fn remember(&mut self, name: String, raw: RawJson) {
        match self.members.0.iter_mut().find(|(key, _)| *key == name) {
            Some((_, value)) => *value = raw,
            None => self.members.0.push((name, raw)),
        }
    }

    /// Where the choice of this index is, or else where it belongs.
    fn place(&self, index: u64) -> Result<usize, usize> {
        self.choices.binary_search_by_key(&index, |(known, _)| *known)
    }

    fn choice(
        &mut self,
        raw: Raw<'_>,
        position: u64,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let mut object = Object::parse(raw.get(), crate::path::item("choices", position))?;
        object.take_nulls();
        if let Some(error) = object.take("error") {
            self.fail(&format!("{{\"error\":{}}}", error.get()), sink);
            return Ok(());
        }
        let index = object.take_u64("index")?.unwrap_or(position);
        let place = match self.place(index) {
            Ok(place) => place,
            Err(_) if self.choices.len() >= MAX_CHOICES => {
                return Err(DecodeError::new(
                    "choices",
                    format!("more than {MAX_CHOICES} choices"),
                ));
            }
            Err(place) => {
                if self.choices.is_empty() {
                    self.choices.reserve_exact(1);
                }
                let choice = ChoiceDecoder::new(index, self.max_buffered);
                self.choices.insert(place, (index, choice));
                place
            }
        };
        // It was there, or is now.
        let (_, choice) = &mut self.choices[place];
        // Some providers write an empty one, or the word "null", into every chunk before the last.
        let finish_reason =
            take_finish_reason(&mut object).filter(|word| !matches!(word.trim(), "" | "null"));
        let delta = object.take_object("delta")?;
        let message = object.take_object("message")?;
        for (name, raw) in object.into_ext().0 {
            choice.opaque(&name, raw, sink);
        }
        match (delta, message) {
            // Perplexity repeats the whole message in every chunk, and says it only there when it does not stream.
            (Some(delta), Some(message))
                if finish_reason.is_some() && choice.is_empty() && is_empty_delta(&delta) =>
            {
                choice.delta(message, sink)?;
            }
            (Some(delta), _) => choice.delta(delta, sink)?,
            (None, Some(message)) => choice.delta(message, sink)?,
            (None, None) => {}
        }
        if finish_reason.is_some() {
            choice.stop(finish_reason, sink);
        }
        Ok(())
    }

    fn fail(&mut self, text: &str, sink: &mut dyn FnMut(Event<'_>)) {
        self.phase = Phase::Over;
        let error = if text.starts_with('{') {
            decode_unnumbered(text)
        } else {
            decode_error(500, text.as_bytes())
        };
        sink(Event::Error(error));
    }

    /// `[DONE]`. Choices that did not tell why they stopped have come to their natural end.
    fn end(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        if !self.started {
            return Err(incomplete());
        }
        self.phase = Phase::Over;
        for (_, choice) in &mut self.choices {
            choice.stop(None, sink);
        }
        sink(Event::End);
        Ok(())
    }

    fn close(&self) -> Result<(), DecodeError> {
        let complete = !self.choices.is_empty() && self.choices.iter().all(|(_, choice)| choice.is_stopped());
        if self.phase == Phase::Over || complete {
            Ok(())
        } else {
            Err(incomplete())
        }
    }
}

fn incomplete() -> DecodeError {
    DecodeError::new("", "the stream ended before the answer was complete")
}

fn is_empty_delta(delta: &Object<'_>) -> bool {
    delta
        .peek("content")
        .is_none_or(|raw| RawJson::from(raw).is_blank())
        && !delta.has("tool_calls")
}

/// Groq tells the usage in `x_groq` too; there it counts only if it is told nowhere else in the chunk.
fn groq_usage(chunk: &Object<'_>) -> Option<Usage> {
    let mut groq = Object::parse(chunk.peek("x_groq")?.get(), "").ok()?;
    groq.take_some("usage")
        .map(|raw| usage::decode(&RawJson::from(raw)))
}

/// How many choices an answer may have; OpenAI's own limit of `n`.
const MAX_CHOICES: usize = 128;
