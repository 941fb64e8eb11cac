//! A stream that is passed on as it came, read only for accounting.

use bytes::Bytes;
use tollgate_dialects::canonical::{DecodeError, Event};
use tollgate_dialects::codec::{AnswerStyle, StreamEncoder};
use tollgate_dialects::{Dialect, Losses};

use super::{MAX_EVENT_BYTES, Seen};
use crate::ai::reading::Reader;
use crate::error::CallError;
use crate::pipeline::relayed::Relayed;

/// A stream that is passed on as it came.
pub struct Passing {
    reader: Reader,
    /// Holds half events back; `None` passes every byte at once.
    framing: Option<Relayed>,
    client: Dialect,
    seen: Seen,
}

impl Passing {
    /// The beginning of a stream.
    pub fn new(reader: Reader, client: Dialect, whole_events: bool, hide_usage: bool) -> Self {
        Passing {
            reader,
            framing: whole_events.then(|| Relayed::new(MAX_EVENT_BYTES, hide_usage)),
            client,
            seen: Seen::default(),
        }
    }

    /// What the stream has said so far.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Whether only whole events are passed on.
    pub fn passes_events(&self) -> bool {
        self.framing.is_some()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// One event is larger than can be held.
    pub fn feed(&mut self, bytes: &Bytes) -> Result<Bytes, DecodeError> {
        self.reader.feed(bytes);
        self.note();
        match &mut self.framing {
            None => Ok(bytes.clone()),
            Some(framing) => framing
                .feed(bytes, &mut |_| {})
                .map_err(|error| DecodeError::new("", error.to_string())),
        }
    }

    /// The bytes have ended.
    pub fn finish(&mut self) -> Bytes {
        self.note();
        match &mut self.framing {
            None => Bytes::new(),
            Some(framing) => framing.finish(&mut |_| {}),
        }
    }

    /// Tells the client that the stream has failed; where half an event may be under way, by nothing but the end.
    pub fn fail(&mut self, error: &CallError) -> Bytes {
        if self.framing.is_none() {
            return Bytes::new();
        }
        let mut out = Vec::new();
        StreamEncoder::new(self.client, &AnswerStyle::default()).encode(
            &Event::Error(error.to_provider_error()),
            &mut Losses::new(),
            &mut out,
        );
        out.into()
    }

    fn note(&mut self) {
        let facts = self.reader.facts();
        self.seen.content = facts.content_seen;
        self.seen.ended = facts.ended;
        self.seen.finished = facts.ended;
        self.seen.tool_calls = facts.tool_calls;
        if self.seen.usage != facts.usage {
            self.seen.usage.clone_from(&facts.usage);
        }
        if self.seen.model.is_none() {
            self.seen.model.clone_from(&facts.model);
        }
    }
}
