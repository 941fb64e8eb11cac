//! The grammar of RFC 8259, walked without recursion and without keeping values.

use super::{MAX_DEPTH, Member, ScanError};

/// A position in a text that is known to be UTF-8.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    /// Never beyond the end of `text`.
    at: usize,
}

/// The arrays and objects around the current value, below the top-level object: one bit each, 1 for an object.
#[derive(Default)]
struct Nesting {
    kinds: u128,
    depth: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Scanner { text, at: 0 }
    }

    /// Reads an object and reports its members.
    pub(super) fn object(
        &mut self,
        on_member: &mut dyn FnMut(Member) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        match self.peek() {
            Some(b'{') => self.at += 1,
            Some(_) => return Err(self.error("not a JSON object")),
            None => return Err(self.error("an empty document")),
        }
        self.white_space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.at;
            self.string()?;
            let key = key..self.at;
            self.colon()?;
            let value = self.at;
            self.value()?;
            on_member(Member {
                key,
                value: value..self.at,
            })?;
            self.white_space();
            if self.take(b'}') {
                return Ok(());
            }
            self.comma()?;
        }
    }

    /// Checks that nothing but white space follows.
    pub(super) fn end(&mut self) -> Result<(), ScanError> {
        self.white_space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(self.error("data after the end of the document"))
        }
    }

    pub(super) fn white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Reads one value of a member of the top-level object.
    fn value(&mut self) -> Result<(), ScanError> {
        let mut nesting = Nesting::default();
        loop {
            match self.peek() {
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b'{') => {
                    self.open(&mut nesting, true)?;
                    if !self.take(b'}') {
                        self.string()?;
                        self.colon()?;
                        continue;
                    }
                    nesting.leave();
                }
                Some(b'[') => {
                    self.open(&mut nesting, false)?;
                    if !self.take(b']') {
                        continue;
                    }
                    nesting.leave();
                }
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return Err(self.unexpected()),
            }
            // A value has ended, and with it perhaps the containers around it.
            loop {
                let Some(in_object) = nesting.in_object() else {
                    return Ok(());
                };
                self.white_space();
                if !self.take(if in_object { b'}' } else { b']' }) {
                    self.comma()?;
                    if in_object {
                        self.string()?;
                        self.colon()?;
                    }
                    break;
                }
                nesting.leave();
            }
        }
    }

    fn open(&mut self, nesting: &mut Nesting, object: bool) -> Result<(), ScanError> {
        // The top-level object is a level too.
        if nesting.depth + 1 == MAX_DEPTH {
            return Err(self.error("nested deeper than 128 levels"));
        }
        nesting.enter(object);
        self.at += 1;
        self.white_space();
        Ok(())
    }

    fn string(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        if !self.take(b'"') {
            return Err(self.unexpected());
        }
        loop {
            self.at += plain_length(&self.text[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.error("a raw control character in a string")),
                None => {
                    return Err(ScanError {
                        offset: start,
                        problem: "unterminated string",
                    });
                }
            }
        }
    }

    fn escape(&mut self) -> Result<(), ScanError> {
        let length = match &self.text[self.at..] {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [_, b'u', digits @ ..] => match digits.first_chunk::<4>() {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => 6,
                _ => return Err(self.error("an escape \\u without four hexadecimal digits")),
            },
            _ => return Err(self.error("an unknown escape in a string")),
        };
        self.at += length;
        Ok(())
    }

    fn number(&mut self) -> Result<(), ScanError> {
        self.take(b'-');
        // No other digit may follow a leading zero.
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            Err(self.unexpected())
        } else {
            Ok(())
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), ScanError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected());
        }
        self.at += word.len();
        Ok(())
    }

    fn colon(&mut self) -> Result<(), ScanError> {
        self.white_space();
        self.separator(b':')
    }

    fn comma(&mut self) -> Result<(), ScanError> {
        self.separator(b',')
    }

    fn separator(&mut self, byte: u8) -> Result<(), ScanError> {
        if !self.take(byte) {
            return Err(self.unexpected());
        }
        self.white_space();
        Ok(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn unexpected(&self) -> ScanError {
        self.error(if self.at == self.text.len() {
            "unexpected end"
        } else {
            "unexpected character"
        })
    }

    fn error(&self, problem: &'static str) -> ScanError {
        ScanError {
            offset: self.at,
            problem,
        }
    }
}

impl Nesting {
    fn enter(&mut self, object: bool) {
        self.kinds = self.kinds << 1 | u128::from(object);
        self.depth += 1;
    }

    fn leave(&mut self) {
        self.kinds >>= 1;
        self.depth -= 1;
    }

    /// Whether the innermost container is an object; `None` if there is no container.
    fn in_object(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.kinds & 1 == 1)
    }
}

/// How many bytes stand before the first quote, backslash or control character.
///
/// Eight bytes at a time: prompts are long strings, and this is where a scan spends its time. In each test a borrow of the
/// subtraction can only mark bytes above a byte that is rightly marked, so the lowest mark is exact.
fn plain_length(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = zero_bytes(word ^ (ONES * b'"' as u64));
        let backslash = zero_bytes(word ^ (ONES * b'\\' as u64));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let special = (quote | backslash | control) & (ONES * 0x80);
        if special != 0 {
            return i * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let plain = rest
        .iter()
        .position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\');
    words.len() * 8 + plain.unwrap_or(rest.len())
}

/// Sets the highest bit of each byte that is zero.
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

const ONES: u64 = 0x0101_0101_0101_0101;
