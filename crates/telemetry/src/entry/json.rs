//! Writes JSON objects member by member.

/// An object that is being written.
pub(super) struct Members<'o> {
    out: &'o mut Vec<u8>,
    has_some: bool,
}

impl<'o> Members<'o> {
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Members { out, has_some: false }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    /// Begins a member; its value comes next, and must be one whole value.
    pub(super) fn key(&mut self, name: &str) -> &mut Vec<u8> {
        if self.has_some {
            self.out.push(b',');
        }
        self.has_some = true;
        text(name, self.out);
        self.out.push(b':');
        self.out
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        text(value, self.key(name));
    }

    pub(super) fn text_if(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        number(value, self.key(name));
    }

    /// A time in milliseconds with microseconds as decimals.
    pub(super) fn millis(&mut self, name: &str, value: std::time::Duration) {
        millis(value, self.key(name));
    }

    pub(super) fn object(&mut self, name: &str, write: impl FnOnce(&mut Members<'_>)) {
        let mut members = Members::begin(self.key(name));
        write(&mut members);
        members.end();
    }

    /// A member that may turn out to have no value: then nothing of it stays.
    pub(super) fn maybe(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let (start, had_some) = (self.out.len(), self.has_some);
        if !write(self.key(name)) {
            self.out.truncate(start);
            self.has_some = had_some;
        }
    }
}

pub(super) fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(super) fn millis(value: std::time::Duration, out: &mut Vec<u8>) {
    let micros = value.as_micros();
    out.extend_from_slice(itoa::Buffer::new().format(micros / 1000).as_bytes());
    let rest = micros % 1000;
    if rest > 0 {
        let digits = format!(".{rest:03}");
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
}

/// Appends a JSON string.
pub(super) fn text(value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(value, out);
    out.push(b'"');
}

/// Appends bytes as a JSON string. What is no UTF-8 becomes U+FFFD.
pub(super) fn bytes(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in value.utf8_chunks() {
        escape(chunk.valid(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn escape(value: &str, out: &mut Vec<u8>) {
    let mut rest = value.as_bytes();
    while let Some(length) = rest.iter().position(|byte| is_escaped(*byte)) {
        let (plain, from_special) = rest.split_at(length);
        out.extend_from_slice(plain);
        let Some((special, after)) = from_special.split_first() else {
            return;
        };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(hex_digit(special >> 4));
                out.push(hex_digit(special & 0xf));
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f)
}

fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + (nibble - 10),
    }
}
