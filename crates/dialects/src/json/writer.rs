//! Writes JSON straight into a buffer.

use super::RawJson;
use crate::canonical::Ext;
use crate::scan::plain_length;

/// Bytes that a document is given room for: short ones are no longer.
const ROOM: usize = 512;

/// Writes one JSON document. The caller opens and closes objects and arrays; commas are placed here.
///
/// ```
/// use tollgate_dialects::json::Writer;
/// let mut out = Vec::new();
/// let mut w = Writer::new(&mut out);
/// w.object(|w| {
///     w.key("role").string("user");
///     w.key("content").array(|w| w.string("a\n"));
/// });
/// assert_eq!(out, br#"{"role":"user","content":["a\n"]}"#);
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Whether the next value in the open array or object needs a comma before it.
    comma: bool,
}

impl<'a> Writer<'a> {
    /// Writes behind what is already in `out`. One without any room gets some, instead of growing step by step.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        if out.capacity() == 0 {
            out.reserve(ROOM);
        }
        Writer { out, comma: false }
    }

    /// Writes an object; `members` writes its members with [`Writer::key`].
    pub fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.open(b'{');
        members(self);
        self.close(b'}');
    }

    /// Writes an array; `elements` writes its elements.
    pub fn array(&mut self, elements: impl FnOnce(&mut Self)) {
        self.open(b'[');
        elements(self);
        self.close(b']');
    }

    /// Writes the key of a member; its value must follow.
    pub fn key(&mut self, key: &str) -> &mut Self {
        self.out.reserve(key.len() + 4);
        self.separate();
        write_string(self.out, key);
        self.out.push(b':');
        self
    }

    /// Writes a string.
    pub fn string(&mut self, text: &str) {
        self.separate();
        write_string(self.out, text);
        self.comma = true;
    }

    /// Writes a whole number.
    pub fn number(&mut self, number: u64) {
        self.literal(itoa::Buffer::new().format(number));
    }

    /// Writes `true` or `false`.
    pub fn bool(&mut self, value: bool) {
        self.literal(if value { "true" } else { "false" });
    }

    /// Writes `null`.
    pub fn null(&mut self) {
        self.literal("null");
    }

    /// Writes a value that is already JSON.
    pub fn raw(&mut self, raw: &RawJson) {
        self.literal(raw.text());
    }

    /// Writes a member only if there is a value.
    pub fn optional<T: ?Sized>(&mut self, key: &str, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        if let Some(value) = value {
            self.key(key);
            write(self, value);
        }
    }

    /// Writes a string member only if there is a value.
    pub fn optional_string(&mut self, key: &str, value: Option<&str>) {
        self.optional(key, value, Writer::string);
    }

    /// Writes a number member only if there is a value.
    pub fn optional_number(&mut self, key: &str, value: Option<u64>) {
        self.optional(key, value.as_ref(), |w, number| w.number(*number));
    }

    /// Writes a raw member only if there is a value.
    pub fn optional_raw(&mut self, key: &str, value: Option<&RawJson>) {
        self.optional(key, value, Writer::raw);
    }

    /// Writes a boolean member only if there is a value.
    pub fn optional_bool(&mut self, key: &str, value: Option<bool>) {
        self.optional(key, value.as_ref(), |w, value| w.bool(*value));
    }

    /// Writes the members of a bag as they were.
    pub fn ext(&mut self, ext: &Ext) {
        for (key, raw) in ext.iter() {
            self.key(key).raw(raw);
        }
    }

    fn literal(&mut self, text: &str) {
        self.separate();
        self.out.extend_from_slice(text.as_bytes());
        self.comma = true;
    }

    fn open(&mut self, bracket: u8) {
        self.separate();
        self.out.push(bracket);
        self.comma = false;
    }

    fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.comma = true;
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = false;
    }
}

/// Writes a JSON string with its quotes.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, behind) = rest.split_at(plain_length(rest, &mut 0));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = behind.split_first() else {
            break;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = behind;
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::write_string;

    proptest! {
        #[test]
        fn strings_are_written_as_any_json_writer_does(
            before in "[a-z\u{e9}漢]{0,80}",
            odd in "[\\x00-\\x22\\\\\u{7f}\u{2028}]{0,3}",
            behind in "[a-z\u{e9}😀]{0,80}",
        ) {
            let text = format!("{before}{odd}{behind}{odd}");
            let mut out = Vec::new();
            write_string(&mut out, &text);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }
}
