//! A stream of Gemini's events for a client that did not ask for events: the same documents, byte by byte, as the elements of
//! one JSON array.

use bytes::Bytes;
use tollgate_dialects::sse::{Decoder, EventTooLarge, SseEvent};

/// A stream that becomes an array.
pub struct AsArray {
    framing: Decoder,
    has_begun: bool,
}

impl AsArray {
    /// The beginning of a stream. Events above `max_event_bytes` are refused.
    pub fn new(max_event_bytes: usize) -> Self {
        AsArray {
            framing: Decoder::new(max_event_bytes),
            has_begun: false,
        }
    }

    /// Takes the next bytes and gives the elements that they complete. Each event is shown to `read` first.
    ///
    /// # Errors
    /// The event that has begun is larger than allowed.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        read: &mut dyn FnMut(&SseEvent<'_>),
    ) -> Result<Bytes, EventTooLarge> {
        let mut out = Vec::with_capacity(bytes.len());
        let has_begun = &mut self.has_begun;
        self.framing.feed(bytes, &mut |event| {
            read(&event);
            write(&event, has_begun, &mut out);
        })?;
        Ok(out.into())
    }

    /// The stream has ended: gives what is left. The array is still to be closed.
    pub fn finish(&mut self, read: &mut dyn FnMut(&SseEvent<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        let has_begun = &mut self.has_begun;
        self.framing.finish(&mut |event| {
            read(&event);
            write(&event, has_begun, &mut out);
        });
        out
    }

    /// The end of the array.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.push(b'[');
        }
        out.extend_from_slice(b"]\n");
    }

    /// A last element, and the end of the array.
    pub fn end_with(&mut self, document: &[u8], out: &mut Vec<u8>) {
        separate(&mut self.has_begun, out);
        out.extend_from_slice(document);
        self.close(out);
    }
}

fn write(event: &SseEvent<'_>, has_begun: &mut bool, out: &mut Vec<u8>) {
    // Comments have no data and no place in an array.
    if let Some(data) = event.data.as_deref().filter(|data| !data.is_empty()) {
        separate(has_begun, out);
        out.extend_from_slice(data);
    }
}

fn separate(has_begun: &mut bool, out: &mut Vec<u8>) {
    if std::mem::replace(has_begun, true) {
        out.extend_from_slice(b",\n");
    } else {
        out.push(b'[');
    }
}

#[cfg(test)]
mod tests {
    use super::AsArray;

    fn array(stream: &str, size: usize, failure: Option<&str>) -> String {
        let mut array = AsArray::new(1 << 20);
        let mut out = Vec::new();
        for piece in stream.as_bytes().chunks(size) {
            out.extend_from_slice(&array.feed(piece, &mut |_| ()).unwrap());
        }
        match failure {
            Some(document) => array.end_with(document.as_bytes(), &mut out),
            None => {
                out.extend_from_slice(&array.finish(&mut |_| ()));
                array.close(&mut out);
            }
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn documents_become_elements_however_the_stream_is_cut() {
        let stream = ": hello\r\n\r\ndata: {\"a\": 1.50}\r\n\r\ndata: {\"b\":2}\n\ndata: {\"c\":3}";
        for size in 1..=stream.len() {
            assert_eq!(
                array(stream, size, None),
                "[{\"a\": 1.50},\n{\"b\":2},\n{\"c\":3}]\n",
                "in pieces of {size}"
            );
        }
        assert_eq!(array("", 1, None), "[]\n");
    }

    #[test]
    fn a_failure_is_the_last_element() {
        assert_eq!(
            array("data: {}\n\ndata: {\"ha", 3, Some("{\"error\":{}}")),
            "[{},\n{\"error\":{}}]\n"
        );
        assert_eq!(array("", 1, Some("{}")), "[{}]\n");
    }
}
