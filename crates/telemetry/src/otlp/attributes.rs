//! Attributes: names with values of a few types, as spans, log records and resources carry them.
//! Field numbers are those of `opentelemetry/proto/common/v1/common.proto`.

use super::protobuf::Writer;

/// Longest text of an attribute, in bytes. Texts of clients and servers get into attributes.
pub(crate) const MAX_TEXT: usize = 4096;

/// Writes attributes as a repeated field of the message that is being written.
pub(crate) struct Attributes<'w> {
    writer: &'w mut Writer,
    field: u32,
}

impl<'w> Attributes<'w> {
    /// Attributes go into this field of the message.
    pub(crate) fn new(writer: &'w mut Writer, field: u32) -> Self {
        Attributes { writer, field }
    }

    /// A text; one that is empty is left out, one that is too long is cut.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.whole_text(name, cut(value, MAX_TEXT));
    }

    /// A text that may be long; one that is empty is left out.
    pub(crate) fn whole_text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.attribute(name, |any| any.present_bytes(STRING, value.as_bytes()));
        }
    }

    /// A text, where there is one.
    pub(crate) fn maybe_text(&mut self, name: &str, value: Option<&str>) {
        self.text(name, value.unwrap_or_default());
    }

    /// A number.
    pub(crate) fn number(&mut self, name: &str, value: u64) {
        // The type is signed; nothing that is counted here comes near its end.
        let value = value.min(i64::MAX.unsigned_abs());
        self.attribute(name, |any| any.present_number(INT, value));
    }

    /// A fraction.
    pub(crate) fn fraction(&mut self, name: &str, value: f64) {
        self.attribute(name, |any| any.double(DOUBLE, value));
    }

    /// Something that is so. What is not so is left out.
    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.attribute(name, |any| any.present_number(BOOL, 1));
        }
    }

    /// A list of texts; an empty one is left out.
    pub(crate) fn texts<'t>(&mut self, name: &str, values: impl Iterator<Item = &'t str>) {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return;
        }
        self.attribute(name, |any| {
            any.message(ARRAY, |array| {
                for value in values {
                    array.message(ARRAY_VALUES, |any| {
                        any.present_bytes(STRING, cut(value, MAX_TEXT).as_bytes())
                    });
                }
            });
        });
    }

    fn attribute(&mut self, name: &str, value: impl FnOnce(&mut Writer)) {
        self.writer.message(self.field, |attribute| {
            attribute.bytes(KEY, name.as_bytes());
            attribute.message(VALUE, value);
        });
    }
}

/// A text as a value of its own, such as the body of a log record.
pub(crate) fn text_value(writer: &mut Writer, field: u32, text: &str) {
    writer.message(field, |any| any.present_bytes(STRING, text.as_bytes()));
}

/// The beginning of a text, at most so many bytes, cut between characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Of `KeyValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;

/// Of `AnyValue`.
const STRING: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;
const DOUBLE: u32 = 4;
const ARRAY: u32 = 5;

/// Of `ArrayValue`.
const ARRAY_VALUES: u32 = 1;
