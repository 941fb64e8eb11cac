//! Amazon's event-stream frames, however they are cut.
//!
//! A frame says its own length, has headers and a payload, and two checksums; both are checked. After a broken frame nothing
//! can be read any more, because its length cannot be trusted.

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use thiserror::Error;

/// Cuts bytes into frames. Holds only a frame that has begun.
#[derive(Default)]
pub(super) struct Frames {
    begun: Vec<u8>,
}

/// A frame that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this is not one of Amazon's frames")]
pub struct Broken;

/// Passes frames on as they came, but never half of one: behind a half nothing can be told any more.
#[derive(Default)]
pub struct WholeFrames {
    begun: Vec<u8>,
}

impl WholeFrames {
    /// Takes the next bytes and gives those of all frames that are complete; without a copy where whole frames came.
    ///
    /// # Errors
    /// A length is none.
    pub fn feed(&mut self, bytes: &Bytes) -> Result<Bytes, Broken> {
        let joined = if self.begun.is_empty() {
            bytes.clone()
        } else {
            self.begun.extend_from_slice(bytes);
            match length(&self.begun)? {
                Some(length) if length <= self.begun.len() => std::mem::take(&mut self.begun).into(),
                _ => return Ok(Bytes::new()),
            }
        };
        let mut end = 0;
        while let Some(rest) = joined.get(end..)
            && let Some(length) = length(rest)?
            && length <= rest.len()
        {
            end += length;
        }
        self.begun
            .extend_from_slice(joined.get(end..).unwrap_or_default());
        Ok(joined.slice(..end))
    }
}

/// A frame that ends a stream with an exception of this kind. Empty if it cannot be written, which takes a kind or message
/// of many kilobytes.
pub fn exception(kind: &'static str, message: &str) -> Bytes {
    let header =
        |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let payload = serde_json::json!({ "message": message }).to_string();
    let frame = Message::new(payload.into_bytes())
        .add_header(header(":message-type", "exception"))
        .add_header(header(":exception-type", kind))
        .add_header(header(":content-type", "application/json"));
    let mut out = Vec::new();
    match write_message_to(&frame, &mut out) {
        Ok(()) => out.into(),
        Err(_) => Bytes::new(),
    }
}

impl Frames {
    /// Takes the next bytes and reports every frame they complete.
    ///
    /// # Errors
    /// A length or checksum is wrong, or a frame is too large.
    pub(super) fn feed(&mut self, mut bytes: &[u8], report: &mut dyn FnMut(&Message)) -> Result<(), Broken> {
        while !self.begun.is_empty() && !bytes.is_empty() {
            let missing = match length(&self.begun)? {
                Some(length) => length.saturating_sub(self.begun.len()),
                None => LENGTH_BYTES - self.begun.len(),
            };
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.begun.extend_from_slice(now);
            bytes = later;
            if length(&self.begun)? == Some(self.begun.len()) {
                report(&read(&self.begun)?);
                self.begun.clear();
            }
        }
        while let Some(length) = length(bytes)? {
            let Some((frame, rest)) = bytes.split_at_checked(length) else {
                break;
            };
            report(&read(frame)?);
            bytes = rest;
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }
}

/// The length that a frame says it has; `None` if that has not arrived.
fn length(frame: &[u8]) -> Result<Option<usize>, Broken> {
    let Some(length) = frame.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Broken)?;
    if (MIN_FRAME_BYTES..=MAX_FRAME_BYTES).contains(&length) {
        Ok(Some(length))
    } else {
        Err(Broken)
    }
}

fn read(frame: &[u8]) -> Result<Message, Broken> {
    read_message_from(frame).map_err(|_| Broken)
}

const LENGTH_BYTES: usize = 4;

/// Two lengths and two checksums.
const MIN_FRAME_BYTES: usize = 16;

/// Amazon allows 16 MiB of payload and 128 KiB of headers.
const MAX_FRAME_BYTES: usize = 17 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Frames, WholeFrames, exception};

    #[test]
    fn whole_frames_pass_however_they_are_cut_and_half_ones_wait() {
        let one = exception("throttlingException", "slow down");
        let stream = [&one[..], &one, &one].concat();
        for size in 1..stream.len() {
            let mut whole = WholeFrames::default();
            let mut passed = Vec::new();
            for piece in stream.chunks(size) {
                passed.extend_from_slice(&whole.feed(&Bytes::copy_from_slice(piece)).unwrap());
                assert_eq!(
                    passed.len() % one.len(),
                    0,
                    "half a frame passes, in pieces of {size}"
                );
            }
            assert_eq!(passed, stream, "in pieces of {size}");
        }
        let mut whole = WholeFrames::default();
        assert_eq!(whole.feed(&one.slice(..20)).unwrap().len(), 0);
    }

    #[test]
    fn frames_in_one_piece_pass_without_a_copy() {
        let frame = exception("internalServerException", "x");
        assert_eq!(
            WholeFrames::default().feed(&frame).unwrap().as_ptr(),
            frame.as_ptr()
        );
    }

    #[test]
    fn what_is_no_frame_is_told() {
        assert!(
            WholeFrames::default()
                .feed(&Bytes::from_static(b"<html>"))
                .is_err()
        );
    }

    #[test]
    fn an_exception_of_ours_is_a_frame_that_can_be_read() {
        let mut kinds = Vec::new();
        Frames::default()
            .feed(&exception("modelStreamErrorException", "cut"), &mut |frame| {
                kinds.push(String::from_utf8(frame.payload().to_vec()).unwrap());
            })
            .unwrap();
        assert_eq!(kinds, [r#"{"message":"cut"}"#]);
    }
}
