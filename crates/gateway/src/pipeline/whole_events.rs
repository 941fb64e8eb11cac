//! Passes the bytes of a stream of server-sent events on as they came, but never half an event.
//!
//! A stream may break in the middle of an event. If the client had the first half, the error we then tell would be read
//! as its other half. It loses nothing by waiting: no client can use half an event.

use bytes::Bytes;
use memchr::memmem;
use thiserror::Error;

/// A stream that is cut only where events end.
#[derive(Debug)]
pub struct WholeEvents {
    held: Vec<u8>,
    max_event_bytes: usize,
}

/// An event is longer than may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an event is longer than {0} bytes")]
pub struct EventTooLong(usize);

impl WholeEvents {
    /// The beginning of a stream. Events above `max_event_bytes` are refused.
    pub fn new(max_event_bytes: usize) -> Self {
        WholeEvents {
            held: Vec::new(),
            max_event_bytes,
        }
    }

    /// Takes the next bytes and gives those up to the end of the last event. Providers mostly write whole events; those
    /// are passed on without a copy.
    ///
    /// # Errors
    /// The event that has begun is longer than allowed.
    pub fn feed(&mut self, bytes: &Bytes) -> Result<Bytes, EventTooLong> {
        let ready = if self.held.is_empty() {
            let end = end_of_last_event(bytes);
            self.held.extend_from_slice(&bytes[end..]);
            bytes.slice(..end)
        } else {
            // The end of an event may lie across the two parts.
            let searched = self.held.len().saturating_sub(LONGEST_BLANK_LINE - 1);
            self.held.extend_from_slice(bytes);
            match end_of_last_event(&self.held[searched..]) {
                0 => Bytes::new(),
                end => {
                    let rest = self.held.split_off(searched + end);
                    std::mem::replace(&mut self.held, rest).into()
                }
            }
        };
        if self.held.len() > self.max_event_bytes {
            return Err(EventTooLong(self.max_event_bytes));
        }
        Ok(ready)
    }

    /// What is left when the stream has ended: some providers leave out the last blank line.
    pub fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.held).into()
    }
}

/// Length in bytes of the longest of [`BLANK_LINES`].
const LONGEST_BLANK_LINE: usize = 3;

/// The end of a line and an empty line after it. Streams that mix `LF` and a lone `CR` are only passed on later.
const BLANK_LINES: [&[u8]; 3] = [b"\n\n", b"\n\r\n", b"\r\r"];

/// The position behind the last blank line; 0 if there is none.
fn end_of_last_event(bytes: &[u8]) -> usize {
    if BLANK_LINES.iter().any(|blank| bytes.ends_with(blank)) {
        return bytes.len();
    }
    BLANK_LINES
        .iter()
        .filter_map(|blank| Some(memmem::rfind(bytes, blank)? + blank.len()))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{EventTooLong, WholeEvents, end_of_last_event};

    #[test]
    fn only_whole_events_pass_however_the_stream_is_cut() {
        for line_end in ["\n", "\r\n", "\r"] {
            let stream =
                ": hi\n\nevent: a\ndata: 1\ndata: ä\n\ndata: 2\n\ndata: half".replace('\n', line_end);
            let whole = stream.rfind("data: half").unwrap();
            for first in 0..=stream.len() {
                for second in first..=stream.len() {
                    let mut events = WholeEvents::new(1000);
                    let mut passed = Vec::new();
                    for part in [
                        &stream.as_bytes()[..first],
                        &stream.as_bytes()[first..second],
                        &stream.as_bytes()[second..],
                    ] {
                        passed.extend_from_slice(&events.feed(&Bytes::copy_from_slice(part)).unwrap());
                        assert_eq!(end_of_last_event(&passed), passed.len(), "half an event passed");
                    }
                    assert_eq!(passed, stream.as_bytes()[..whole]);
                    assert_eq!(events.rest(), &stream.as_bytes()[whole..]);
                }
            }
        }
    }

    #[test]
    fn whole_events_pass_without_a_copy() {
        let bytes = Bytes::from_static(b"data: 1\n\n");
        assert_eq!(
            WholeEvents::new(1000).feed(&bytes).unwrap().as_ptr(),
            bytes.as_ptr()
        );
    }

    #[test]
    fn an_event_may_be_as_long_as_the_limit_and_no_longer() {
        let mut events = WholeEvents::new(10);
        assert_eq!(events.feed(&Bytes::from_static(b"data: 0123")).unwrap(), "");
        assert_eq!(events.feed(&Bytes::from_static(b"\n")), Err(EventTooLong(10)));
    }
}
