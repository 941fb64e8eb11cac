//! Server-sent events by the WHATWG rules: frames a byte stream into events, whatever the cuts.

use std::borrow::Cow;

use thiserror::Error;

/// One event of the stream. Everything borrows from the decoder's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The `event` field, if there was one.
    pub name: Option<&'a [u8]>,
    /// The `data` lines joined with LF; `None` if there was no `data` field (comments, keep-alives).
    pub data: Option<Cow<'a, [u8]>>,
    /// The event as it was received, with the blank line that ends it.
    pub raw: &'a [u8],
}

/// An event exceeds the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a server-sent event is larger than {limit} bytes")]
pub struct EventTooLarge {
    /// The limit in bytes.
    pub limit: usize,
}

/// Cuts a byte stream into events.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
}

impl Decoder {
    /// A decoder that refuses events above `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Decoder { limit }
    }

    /// Takes the next bytes of the stream and reports each event they complete.
    ///
    /// # Errors
    /// An event is larger than the limit; the decoder must not be used any more.
    pub fn feed(
        &mut self,
        _bytes: &[u8],
        _on_event: &mut dyn FnMut(SseEvent<'_>),
    ) -> Result<(), EventTooLarge> {
        Err(EventTooLarge { limit: self.limit })
    }

    /// The stream has ended: reports a last event that lacks its blank line.
    pub fn finish(&mut self, _on_event: &mut dyn FnMut(SseEvent<'_>)) {}
}
