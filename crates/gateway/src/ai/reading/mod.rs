//! Reads answers that are passed on, for accounting, without changing them.
//!
//! Knows what the APIs say about tokens, models, ends and failures, and how answers are framed. Tolerant throughout: an
//! event or member that cannot be read is passed over, because the client gets it all the same. What an answer says does
//! not depend on how its bytes were cut.

mod failure;
mod frames;
mod notes;
pub(in crate::ai) mod pick;
mod usage;

#[cfg(test)]
mod tests;

use tollgate_dialects::canonical::{ProviderError, Usage};
use tollgate_dialects::sse::{Decoder, SseEvent};

use super::protocol::Protocol;
use frames::Frames;
pub use frames::{WholeFrames, exception};
use notes::Notes;

/// How an answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON document.
    Json,
    /// Server-sent events.
    Sse,
    /// Amazon's frames.
    AwsEventStream,
}

impl Framing {
    /// The framing that a `content-type` announces.
    pub fn of(content_type: &str) -> Framing {
        if content_type.contains("text/event-stream") {
            Framing::Sse
        } else if content_type.contains("application/vnd.amazon.eventstream") {
            Framing::AwsEventStream
        } else {
            Framing::Json
        }
    }
}

/// What an answer says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Tokens; `None` if the answer says nothing about them. Its `ext` holds what the vendor wrote, later events over
    /// earlier ones.
    pub usage: Option<Usage>,
    /// The model that answered.
    pub model: Option<String>,
    /// The tier at which it was served, by the vendor's word.
    pub service_tier: Option<String>,
    /// Whether the answer is complete: its last event was seen, or its document is whole.
    pub ended: bool,
    /// Whether a reason was given why the answer stops.
    pub stopped: bool,
    /// What the vendor says went wrong. Nothing of an API that is not known.
    pub failed: Option<ProviderError>,
    /// Whether any part of the answer itself was seen: text, thoughts, calls of tools, vectors.
    pub content_seen: bool,
    /// Whether something was no JSON where JSON has to be, before any content.
    pub unreadable: bool,
    /// Whether the answer is JSON of another kind than the API's. Nobody here can say whether it is a good one.
    pub foreign: bool,
    /// Our estimate of the output tokens of a stream so far.
    pub estimated_output: u64,
    /// Whether tools are called.
    pub tool_calls: bool,
    /// The text of the answer, as far as it is kept. Choices of a document are joined by a space, as in APISIX.
    pub text: Option<String>,
}

/// Reads one answer.
pub struct Reader {
    input: Input,
    notes: Notes,
}

enum Input {
    /// The document so far.
    Json(Vec<u8>),
    Sse(Decoder),
    Frames(Frames),
    /// Too large or broken: nothing more is read.
    Lost,
}

impl Reader {
    /// The beginning of an answer in `protocol`. `max_text_bytes` of its text are kept; 0 keeps none.
    pub fn new(protocol: Protocol, framing: Framing, max_text_bytes: usize) -> Self {
        let input = match framing {
            Framing::Json => Input::Json(Vec::new()),
            Framing::Sse => Input::Sse(Decoder::new(MAX_EVENT_BYTES)),
            Framing::AwsEventStream => Input::Frames(Frames::default()),
        };
        Reader {
            input,
            notes: Notes::new(protocol, max_text_bytes),
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        let notes = &mut self.notes;
        let readable = match &mut self.input {
            Input::Json(document) => {
                let fits = document.len() + bytes.len() <= MAX_DOCUMENT_BYTES;
                if fits {
                    document.extend_from_slice(bytes);
                }
                fits
            }
            Input::Sse(decoder) => decoder.feed(bytes, &mut |event| notes.event(&event)).is_ok(),
            Input::Frames(frames) => frames.feed(bytes, &mut |frame| notes.frame(frame)).is_ok(),
            Input::Lost => true,
        };
        if !readable {
            match self.input {
                Input::Json(_) => notes.unread(),
                _ => notes.lost(),
            }
            self.input = Input::Lost;
        }
    }

    /// Takes the next event of a stream that somebody else cuts into events. Not to be mixed with [`feed`](Self::feed).
    pub fn event(&mut self, event: &SseEvent<'_>) {
        self.notes.event(event);
    }

    /// What is known so far. A document is only read at its end.
    pub fn facts(&self) -> &Facts {
        self.notes.facts()
    }

    /// The answer has ended.
    pub fn finish(mut self) -> Facts {
        let notes = &mut self.notes;
        match &mut self.input {
            Input::Json(document) => match std::str::from_utf8(document) {
                Ok(json) => notes.document(json),
                Err(_) => notes.lost(),
            },
            Input::Sse(decoder) => decoder.finish(&mut |event| notes.event(&event)),
            Input::Frames(_) | Input::Lost => {}
        }
        self.notes.finish()
    }
}

/// Largest event that is read. Longer ones pass, but end the reading.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// Largest document that is read. Longer ones pass, but nothing is known of them.
const MAX_DOCUMENT_BYTES: usize = 32 * 1024 * 1024;
