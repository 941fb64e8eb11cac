//! Amazon's event-stream frames, however they are cut.
//!
//! A frame says its own length, has headers and a payload, and two checksums; both are checked. After a broken frame nothing
//! can be read any more, because its length cannot be trusted.

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;

/// Cuts bytes into frames. Holds only a frame that has begun.
#[derive(Default)]
pub(super) struct Frames {
    begun: Vec<u8>,
}

/// A frame that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

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
