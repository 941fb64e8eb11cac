//! Amazon's event-stream frames, however they are cut.
//!
//! ```text
//! u32 length of all │ u32 length of the headers │ u32 CRC-32 of these 8 bytes │ headers │ payload │ u32 CRC-32 of all before
//! header: u8 length of the name │ name │ u8 type │ value; type 7 is a string: u16 length │ text
//! ```
//!
//! All numbers are big-endian. Both checksums are checked. After a wrong one nothing can be read any more, because where the
//! next frame begins is not known.

use crate::canonical::DecodeError;

/// The two lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
/// The least a frame has: its prelude and the checksum at its end.
const LEAST_BYTES: usize = PRELUDE_BYTES + CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 4;

/// A frame that has passed its checks.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Frame<'a> {
    /// `:message-type`: `event`, `exception` or `error`.
    pub(super) message_type: Option<&'a str>,
    /// `:event-type`, which names the event.
    pub(super) event_type: Option<&'a str>,
    /// `:exception-type`, which names the error.
    pub(super) exception_type: Option<&'a str>,
    /// `:error-code` of a frame of type `error`.
    pub(super) error_code: Option<&'a str>,
    /// `:error-message` of a frame of type `error`.
    pub(super) error_message: Option<&'a str>,
    /// The document.
    pub(super) payload: &'a [u8],
}

/// Cuts bytes into frames. Holds a frame that has begun, and nothing else.
#[derive(Debug)]
pub(super) struct Frames {
    limit: usize,
    begun: Vec<u8>,
}

impl Frames {
    /// Framing that refuses frames above `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Frames {
            limit,
            begun: Vec::new(),
        }
    }

    /// Takes the next bytes and reports every frame they complete. A frame that comes in one piece is not copied.
    ///
    /// # Errors
    /// A checksum or length is wrong, a frame is too large, or `on_frame` has failed.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        on_frame: &mut dyn FnMut(&Frame<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        while !self.begun.is_empty() && !bytes.is_empty() {
            let wanted = self.length(&self.begun)?.unwrap_or(PRELUDE_BYTES);
            let missing = wanted.saturating_sub(self.begun.len());
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.begun.extend_from_slice(now);
            bytes = later;
            if self.length(&self.begun)? == Some(self.begun.len()) {
                on_frame(&read(&self.begun)?)?;
                self.begun.clear();
            }
        }
        while let Some(length) = self.length(bytes)? {
            let Some((frame, rest)) = bytes.split_at_checked(length) else {
                break;
            };
            on_frame(&read(frame)?)?;
            bytes = rest;
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether the bytes so far end with a frame.
    pub(super) fn at_end_of_frame(&self) -> bool {
        self.begun.is_empty()
    }

    /// The length that a frame says it has; `None` if its prelude has not arrived.
    fn length(&self, frame: &[u8]) -> Result<Option<usize>, DecodeError> {
        let Some(prelude) = frame.first_chunk::<PRELUDE_BYTES>() else {
            return Ok(None);
        };
        let (lengths, checksum) = prelude.split_at(PRELUDE_BYTES - CHECKSUM_BYTES);
        if number(checksum) != Some(crc32fast::hash(lengths)) {
            return Err(broken("the checksum of its lengths is wrong"));
        }
        let length = number(lengths)
            .and_then(|length| usize::try_from(length).ok())
            .filter(|length| *length >= LEAST_BYTES)
            .ok_or_else(|| broken("it is shorter than a frame can be"))?;
        if length > self.limit {
            return Err(DecodeError::new(
                "",
                format!("a frame has {length} bytes; at most {} are taken", self.limit),
            ));
        }
        Ok(Some(length))
    }
}

/// Reads a whole frame whose lengths have been checked.
fn read(frame: &[u8]) -> Result<Frame<'_>, DecodeError> {
    let (checked, checksum) = frame
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or_else(|| broken("it is cut"))?;
    if number(checksum) != Some(crc32fast::hash(checked)) {
        return Err(broken("its checksum is wrong"));
    }
    let header_bytes = checked
        .get(4..8)
        .and_then(number)
        .and_then(|length| usize::try_from(length).ok());
    let (mut headers, payload) = checked
        .get(PRELUDE_BYTES..)
        .zip(header_bytes)
        .and_then(|(rest, length)| rest.split_at_checked(length))
        .ok_or_else(|| broken("its headers are longer than the frame"))?;
    let mut found = Frame {
        payload,
        ..Frame::default()
    };
    while !headers.is_empty() {
        let (name, value) = take_header(&mut headers).ok_or_else(|| broken("a header is cut"))?;
        let place = match name {
            b":message-type" => &mut found.message_type,
            b":event-type" => &mut found.event_type,
            b":exception-type" => &mut found.exception_type,
            b":error-code" => &mut found.error_code,
            b":error-message" => &mut found.error_message,
            _ => continue,
        };
        let value = value.and_then(|value| std::str::from_utf8(value).ok());
        *place = Some(value.ok_or_else(|| broken("a header is no text"))?);
    }
    Ok(found)
}

/// Takes the name of a header and its value, if that is a string.
fn take_header<'a>(headers: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let name_bytes = take(headers, 1)?.first().copied()?;
    let name = take(headers, usize::from(name_bytes))?;
    let kind = take(headers, 1)?.first().copied()?;
    let fixed = match kind {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        9 => 16,
        6 | 7 => {
            let length = take(headers, 2)?.first_chunk().copied().map(u16::from_be_bytes)?;
            let value = take(headers, usize::from(length))?;
            return Some((name, (kind == 7).then_some(value)));
        }
        _ => return None,
    };
    take(headers, fixed)?;
    Some((name, None))
}

fn take<'a>(from: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(bytes)?;
    *from = rest;
    Some(taken)
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_be_bytes)
}

fn broken(how: &str) -> DecodeError {
    DecodeError::new("", format!("a frame of the stream is broken: {how}"))
}

/// Writes a frame behind what is already in `out`. Names and values of headers are our own and short.
pub(super) fn write(out: &mut Vec<u8>, headers: [(&str, &str); 3], payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; PRELUDE_BYTES]);
    for (name, value) in headers {
        out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(name.as_bytes());
        out.push(7);
        out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    let header_bytes = out.len() - start - PRELUDE_BYTES;
    payload(out);
    let length = out.len() - start + CHECKSUM_BYTES;
    let lengths = [length, header_bytes].map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes());
    if let Some(prelude) = out.get_mut(start..start + PRELUDE_BYTES) {
        let (place, checksum) = prelude.split_at_mut(PRELUDE_BYTES - CHECKSUM_BYTES);
        place.copy_from_slice(lengths.as_flattened());
        checksum.copy_from_slice(&crc32fast::hash(place).to_be_bytes());
    }
    let checksum = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of Amazon's own test vectors: no headers, a JSON payload.
    const VECTOR: &[u8] = b"\0\0\0\x1d\0\0\0\0\xfd\x52\x8c\x5a{'foo':'bar'}\xc3\x65\x39\x36";

    fn frames(bytes: &[u8], limit: usize) -> (Vec<Vec<u8>>, Result<(), DecodeError>) {
        let mut seen = Vec::new();
        let mut frames = Frames::new(limit);
        let result = frames.feed(bytes, &mut |frame| {
            seen.push(frame.payload.to_vec());
            Ok(())
        });
        (seen, result)
    }

    #[test]
    fn a_frame_of_the_specification_is_read() {
        assert_eq!(frames(VECTOR, 1 << 20), (vec![b"{'foo':'bar'}".to_vec()], Ok(())));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = b"before".to_vec();
        let headers = [
            (":event-type", "metadata"),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ];
        write(&mut out, headers, |out| out.extend_from_slice(b"{}"));
        let frame = read(&out[6..]).unwrap();
        assert_eq!(frame.event_type, Some("metadata"));
        assert_eq!(frame.message_type, Some("event"));
        assert_eq!(frame.payload, b"{}");
    }

    #[test]
    fn headers_of_every_type_are_passed_over() {
        let mut headers = Vec::new();
        for (kind, bytes) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)] {
            headers.extend_from_slice(b"\x01x");
            headers.push(kind);
            headers.extend(std::iter::repeat_n(7, bytes));
        }
        headers.extend_from_slice(b"\x01y\x06\0\x03abc\x0b:event-type\x07\0\x01e");
        let mut rest = headers.as_slice();
        let mut last = None;
        while !rest.is_empty() {
            last = take_header(&mut rest);
            assert!(last.is_some());
        }
        assert_eq!(last, Some((b":event-type".as_slice(), Some(b"e".as_slice()))));
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_at_its_beginning() {
        let (seen, result) = frames(&VECTOR[..PRELUDE_BYTES], VECTOR.len() - 1);
        assert!(seen.is_empty() && result.is_err());
        assert!(frames(VECTOR, VECTOR.len()).1.is_ok());
    }
}
