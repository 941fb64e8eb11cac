//! Passes the bytes of a stream of server-sent events on as they came, but never half an event, and without the one event
//! that the client did not ask for.
//!
//! A stream may break in the middle of an event. If the client had the first half, the error we then tell would be read
//! as its other half. It loses nothing by waiting: no client can use half an event.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;
use tollgate_dialects::sse::{Decoder, EventTooLarge, SseEvent};

/// A stream that is passed on in its own dialect.
pub struct Relayed {
    framing: Decoder,
    hide_usage: bool,
}

impl Relayed {
    /// The beginning of a stream. Events above `max_event_bytes` are refused; `hide_usage` takes out OpenAI's last chunk
    /// that holds nothing but usage.
    pub fn new(max_event_bytes: usize, hide_usage: bool) -> Self {
        Relayed {
            framing: Decoder::new(max_event_bytes),
            hide_usage,
        }
    }

    /// Takes the next bytes and gives those of all events that are complete. Each of them is shown to `read` first.
    /// Providers mostly write whole events; those are passed on without a copy.
    ///
    /// # Errors
    /// The event that has begun is larger than allowed.
    pub fn feed(
        &mut self,
        bytes: &Bytes,
        read: &mut dyn FnMut(&SseEvent<'_>),
    ) -> Result<Bytes, EventTooLarge> {
        let mut kept = Kept::new(bytes);
        let hide_usage = self.hide_usage;
        self.framing.feed(bytes, &mut |event| {
            read(&event);
            if !(hide_usage && event.data.as_deref().is_some_and(is_usage_chunk)) {
                kept.keep(&event);
            }
        })?;
        Ok(kept.into_bytes())
    }

    /// The stream has ended: gives what is left, since some providers leave out the last blank line.
    pub fn finish(&mut self, read: &mut dyn FnMut(&SseEvent<'_>)) -> Bytes {
        let nothing = Bytes::new();
        let mut kept = Kept::new(&nothing);
        let hide_usage = self.hide_usage;
        self.framing.finish(&mut |event| {
            read(&event);
            if !(hide_usage && event.data.as_deref().is_some_and(is_usage_chunk)) {
                kept.keep(&event);
            }
        });
        kept.into_bytes()
    }
}

/// The events of a chunk that stay. As long as nothing is taken out of a chunk and nothing began before it, the chunk is
/// passed on as it is.
struct Kept<'a> {
    chunk: &'a Bytes,
    /// The kept part of the chunk so far, if it is one piece.
    piece: Option<Range<usize>>,
    copied: Option<Vec<u8>>,
}

impl<'a> Kept<'a> {
    fn new(chunk: &'a Bytes) -> Self {
        Kept {
            chunk,
            piece: None,
            copied: None,
        }
    }

    fn keep(&mut self, event: &SseEvent<'_>) {
        if self.copied.is_none()
            && let Some(range) = self.place(event.raw)
        {
            match &mut self.piece {
                None => self.piece = Some(range),
                Some(piece) if piece.end == range.start => piece.end = range.end,
                Some(_) => self.copy(event.raw),
            }
        } else {
            self.copy(event.raw);
        }
    }

    fn copy(&mut self, raw: &[u8]) {
        let chunk = self.chunk;
        let piece = self.piece.take();
        let copied = self
            .copied
            .get_or_insert_with(|| piece.map(|range| chunk[range].to_vec()).unwrap_or_default());
        copied.extend_from_slice(raw);
    }

    /// Where `raw` stands in the chunk, if it is a part of it.
    fn place(&self, raw: &[u8]) -> Option<Range<usize>> {
        let start = (raw.as_ptr() as usize).checked_sub(self.chunk.as_ptr() as usize)?;
        let end = start.checked_add(raw.len())?;
        (end <= self.chunk.len()).then_some(start..end)
    }

    fn into_bytes(self) -> Bytes {
        match (self.copied, self.piece) {
            (Some(copied), _) => copied.into(),
            (None, Some(range)) => self.chunk.slice(range),
            (None, None) => Bytes::new(),
        }
    }
}

/// Whether an event is OpenAI's last chunk that holds nothing but usage.
fn is_usage_chunk(data: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        choices: Option<&'a serde_json::value::RawValue>,
        #[serde(borrow)]
        usage: Option<&'a serde_json::value::RawValue>,
    }
    if memmem::find(data, b"\"usage\"").is_none() {
        return false;
    }
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
        return false;
    };
    let no_choices = chunk.choices.is_none_or(|choices| {
        choices
            .get()
            .bytes()
            .filter(|b| !b.is_ascii_whitespace())
            .eq(*b"[]")
    });
    no_choices && chunk.usage.is_some_and(|usage| usage.get().starts_with('{'))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::Relayed;

    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";

    /// What passes of a stream cut into pieces of `size` bytes, and the most that was held back at once.
    fn relayed(stream: &str, size: usize, hide_usage: bool) -> (String, usize) {
        let mut relayed = Relayed::new(1 << 20, hide_usage);
        let (mut passed, mut fed, mut held) = (Vec::new(), 0, 0);
        let mut read = 0;
        for piece in stream.as_bytes().chunks(size) {
            fed += piece.len();
            let out = relayed
                .feed(&Bytes::copy_from_slice(piece), &mut |_| read += 1)
                .unwrap();
            passed.extend_from_slice(&out);
            held = held.max(fed - passed.len());
        }
        passed.extend_from_slice(&relayed.finish(&mut |_| read += 1));
        assert!(read > 0);
        (String::from_utf8(passed).unwrap(), held)
    }

    #[test]
    fn all_bytes_pass_however_the_stream_is_cut() {
        let stream = ": hello\n\ndata: {\"a\":1}\r\n\r\nevent: x\ndata: 2\n\ndata: [DONE]";
        for size in 1..stream.len() {
            assert_eq!(relayed(stream, size, false).0, stream, "in pieces of {size}");
        }
    }

    #[test]
    fn half_an_event_is_held_back() {
        let mut stream = Relayed::new(1 << 20, false);
        let out = stream
            .feed(&Bytes::from_static(b"data: 1\n\ndata: 2"), &mut |_| {})
            .unwrap();
        assert_eq!(&out[..], b"data: 1\n\n");
        let out = stream.feed(&Bytes::from_static(b"2\n\n"), &mut |_| {}).unwrap();
        assert_eq!(&out[..], b"data: 22\n\n");
    }

    #[test]
    fn only_the_chunk_of_usage_is_taken_out() {
        let (before, after) = ("data: {\"choices\":[{}]}\n\n", "data: [DONE]\n\n");
        let stream = format!("{before}{USAGE}{after}");
        for size in 1..=stream.len() {
            assert_eq!(
                relayed(&stream, size, true).0,
                format!("{before}{after}"),
                "in pieces of {size}"
            );
            assert_eq!(relayed(&stream, size, false).0, stream);
        }
    }

    #[test]
    fn whole_events_pass_without_a_copy() {
        let chunk = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
        let passed = Relayed::new(1 << 20, true).feed(&chunk, &mut |_| {}).unwrap();
        assert_eq!(passed.as_ptr(), chunk.as_ptr());
    }
}
