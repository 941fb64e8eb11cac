//! Frames a stream into its documents: server-sent events (`alt=sse`), or a JSON array whose elements come one by one.
//!
//! Which of the two it is, the first byte tells. A stream that is one object (an error with a status of success) is read as
//! an array of one.

use std::borrow::Cow;

use crate::sse;

/// Cuts a byte stream into JSON documents.
#[derive(Debug)]
pub(super) struct Documents {
    limit: usize,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Nothing but white space has come.
    Unknown,
    Events(sse::Decoder),
    Array(Elements),
}

/// What framing reports.
pub(super) enum Document<'a> {
    /// A document as it was received.
    Json(Cow<'a, [u8]>),
    /// A sign of life: a comment, or an event without data.
    Nothing,
}

impl Documents {
    /// Framing that refuses documents above `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Documents {
            limit,
            form: Form::Unknown,
        }
    }

    /// Takes the next bytes and reports the documents they complete.
    ///
    /// # Errors
    /// A document is larger than the limit.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        on_document: &mut dyn FnMut(Document<'_>),
    ) -> Result<(), sse::EventTooLarge> {
        if matches!(self.form, Form::Unknown) {
            bytes = bytes.trim_ascii_start();
            match bytes.first() {
                None => return Ok(()),
                Some(b'[' | b'{') => self.form = Form::Array(Elements::default()),
                Some(_) => self.form = Form::Events(sse::Decoder::new(self.limit)),
            }
        }
        match &mut self.form {
            Form::Unknown => Ok(()),
            Form::Events(decoder) => decoder.feed(bytes, &mut |event| on_document(document(&event))),
            Form::Array(elements) => elements.feed(bytes, self.limit, on_document),
        }
    }

    /// The bytes have ended: reports an event that lacks its blank line.
    pub(super) fn finish(&mut self, on_document: &mut dyn FnMut(Document<'_>)) {
        if let Form::Events(decoder) = &mut self.form {
            decoder.finish(&mut |event| on_document(document(&event)));
        }
    }
}

fn document<'a>(event: &'a sse::SseEvent<'_>) -> Document<'a> {
    match event.data.as_deref() {
        Some(data) => Document::Json(Cow::Borrowed(data)),
        None => Document::Nothing,
    }
}

/// Finds the objects of an array by counting brackets outside strings.
#[derive(Debug, Default)]
struct Elements {
    /// The object that has not ended.
    open: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    failed: bool,
}

impl Elements {
    fn feed(
        &mut self,
        bytes: &[u8],
        limit: usize,
        on_document: &mut dyn FnMut(Document<'_>),
    ) -> Result<(), sse::EventTooLarge> {
        let mut start = 0;
        for (i, byte) in bytes.iter().enumerate() {
            if self.failed {
                break;
            }
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' if self.depth > 0 => self.in_string = true,
                b'{' | b'[' if self.depth > 0 => self.depth += 1,
                b'{' => {
                    self.depth = 1;
                    start = i;
                }
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        let whole = bytes.get(start..=i).unwrap_or_default();
                        self.end(whole, limit, on_document)?;
                    }
                }
                // Between the objects of the array.
                _ => {}
            }
        }
        if self.depth > 0 && !self.failed {
            let rest = bytes.get(start..).unwrap_or_default();
            self.check(rest.len(), limit)?;
            self.open.extend_from_slice(rest);
        }
        if self.failed {
            return Err(sse::EventTooLarge { limit });
        }
        Ok(())
    }

    fn end(
        &mut self,
        last: &[u8],
        limit: usize,
        on_document: &mut dyn FnMut(Document<'_>),
    ) -> Result<(), sse::EventTooLarge> {
        self.check(last.len(), limit)?;
        if self.open.is_empty() {
            on_document(Document::Json(Cow::Borrowed(last)));
        } else {
            self.open.extend_from_slice(last);
            on_document(Document::Json(Cow::Borrowed(&self.open)));
            self.open.clear();
        }
        Ok(())
    }

    fn check(&mut self, more: usize, limit: usize) -> Result<(), sse::EventTooLarge> {
        if self.open.len().saturating_add(more) > limit {
            self.failed = true;
            self.open = Vec::new();
            return Err(sse::EventTooLarge { limit });
        }
        Ok(())
    }
}
