//! The grammar of RFC 8259, walked without recursion and without keeping values.

use super::{Encoded, MAX_DEPTH, MIN_ENCODED, Member, ScanError};

/// A position in a text. Also a way to walk through a value of a scanned document in one pass, where whoever walks decides
/// what is looked into.
pub struct Scanner<'a> {
    text: &'a [u8],
    /// Never beyond the end of `text`.
    at: usize,
    /// The highest bits of all bytes of strings so far: outside of strings the grammar allows ASCII only.
    high_bits: u64,
    /// Long strings of base64.
    encoded: Encoded,
}

/// The arrays and objects around the current value, below the top-level object: one bit each, 1 for an object.
#[derive(Default)]
struct Nesting {
    kinds: u128,
    depth: usize,
}

impl<'a> Scanner<'a> {
    /// Begins at the first byte of a text.
    pub fn new(text: &'a [u8]) -> Self {
        Scanner {
            text,
            at: 0,
            high_bits: 0,
            encoded: Encoded::default(),
        }
    }

    /// Reads an object and reports its members.
    pub(super) fn object(
        &mut self,
        mut on_member: impl FnMut(Member) -> Result<(), ScanError>,
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
            let has_escapes = self.string_with_escapes()?;
            let key = key..self.at;
            self.colon()?;
            let value = self.at;
            self.value()?;
            on_member(Member {
                key,
                value: value..self.at,
                has_escapes,
            })?;
            self.white_space();
            if self.take(b'}') {
                return Ok(());
            }
            self.comma()?;
        }
    }

    /// Reads an object whose values `on_value` reads: it is given each name, without quotes and as it was written.
    ///
    /// # Errors
    /// It is no object, or `on_value` says so.
    pub fn walk_object(
        &mut self,
        mut on_value: impl FnMut(&mut Self, &'a [u8]) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        if !self.take(b'{') {
            return Err(self.unexpected());
        }
        self.white_space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.at + 1;
            self.string()?;
            let name = self.text.get(key..self.at - 1).unwrap_or_default();
            self.colon()?;
            on_value(self, name)?;
            self.white_space();
            if self.take(b'}') {
                return Ok(());
            }
            self.comma()?;
        }
    }

    /// Reads an array whose elements `on_value` reads.
    ///
    /// # Errors
    /// It is no array, or `on_value` says so.
    pub fn walk_array(
        &mut self,
        mut on_value: impl FnMut(&mut Self) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        if !self.take(b'[') {
            return Err(self.unexpected());
        }
        self.white_space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            on_value(self)?;
            self.white_space();
            if self.take(b']') {
                return Ok(());
            }
            self.comma()?;
        }
    }

    /// Reads a value and gives it as it was written.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn raw(&mut self) -> Result<&'a [u8], ScanError> {
        let start = self.at;
        self.value()?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Where it stands, for [`Scanner::since`].
    pub fn place(&self) -> usize {
        self.at
    }

    /// What was read since it stood there.
    pub fn since(&self, begin: usize) -> &'a [u8] {
        self.text.get(begin..self.at).unwrap_or_default()
    }

    /// The first byte of the value that comes next.
    pub fn first(&self) -> Option<u8> {
        self.peek()
    }

    /// Whether all that was read is ASCII.
    pub fn is_ascii(&self) -> bool {
        self.high_bits & (ONES * 0x80) == 0
    }

    /// What was read so far that is base64 instead of text.
    pub(super) fn encoded(&self) -> Encoded {
        self.encoded
    }

    /// Checks that nothing but white space follows.
    ///
    /// # Errors
    /// Something else does.
    pub fn end(&mut self) -> Result<(), ScanError> {
        self.white_space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(self.error("data after the end of the document"))
        }
    }

    /// Passes over white space.
    pub fn white_space(&mut self) {
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
        self.string_with_escapes().map(|_| ())
    }

    /// Reads a string; whether it has escapes.
    #[inline]
    fn string_with_escapes(&mut self) -> Result<bool, ScanError> {
        let start = self.at;
        if !self.take(b'"') {
            return Err(self.unexpected());
        }
        // Most strings are names and short words: they end within two words of eight bytes.
        for _ in 0..2 {
            let Some(word) = self.text.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) else {
                break;
            };
            let word = u64::from_le_bytes(*word);
            self.high_bits |= word;
            let special = special_bytes(word);
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                if self.take(b'"') {
                    return Ok(false);
                }
                break;
            }
            self.at += 8;
        }
        self.rest_of_string(start)
    }

    fn rest_of_string(&mut self, start: usize) -> Result<bool, ScanError> {
        let mut has_escapes = false;
        loop {
            self.at += plain_length(&self.text[self.at..], &mut self.high_bits);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    let length = self.at - start;
                    let inside = &self.text[start + 1..self.at - 1];
                    if length >= MIN_ENCODED && begins_as_base64(inside) {
                        self.encoded.strings += 1;
                        self.encoded.bytes += length;
                    }
                    return Ok(has_escapes);
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
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

    /// What is said of a value that is of another kind than it should be.
    pub fn unexpected(&self) -> ScanError {
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

/// How many bytes stand before the first quote, backslash or control character; all, if there is none.
///
/// Prompts are long strings, and this is where a scan spends its time: in a long stretch the end is searched for with the
/// machine's vectors, and what stands before it is looked at with them too. Short ones are looked at eight bytes at a time; in
/// each test a borrow of the subtraction can only mark bytes above a byte that is rightly marked, so the lowest mark is exact.
///
/// Adds the highest bits of what it looks at to `high_bits`, those of a few bytes behind the end perhaps included.
pub(crate) fn plain_length(text: &[u8], high_bits: &mut u64) -> usize {
    let mut plain = 0;
    if text.len() >= LONG {
        // Most strings are short.
        if let Some(length) = special_in_words(text.get(..BLOCK).unwrap_or_default(), high_bits) {
            return length;
        }
        // What is looked at in vain behind a control character is no more than what was plain before it, or some bytes.
        let mut size = LONG;
        while let Some(rest) = text.get(plain..).filter(|rest| !rest.is_empty()) {
            let window = rest.get(..size).unwrap_or(rest);
            size = (2 * size).min(WINDOW);
            let end = memchr::memchr2(b'"', b'\\', window);
            let before = window.get(..end.unwrap_or(window.len())).unwrap_or_default();
            let (lowest, all) = extremes(before);
            *high_bits |= u64::from(all);
            if lowest < b' ' {
                break;
            }
            plain += before.len();
            if end.is_some() {
                return plain;
            }
        }
    }
    let rest = text.get(plain..).unwrap_or_default();
    if let Some(length) = special_in_words(rest, high_bits) {
        return plain + length;
    }
    plain + rest.len() - rest.len() % 8 + plain_in_tail(rest, high_bits)
}

/// The lowest of some bytes, and all of them put together.
///
/// Each lane has its own, and there are more than a vector has: this the compiler writes with vectors at every level of optimising and
/// whatever the profile says. Of a plain loop the profile says that it is run a few times, because most strings are short, and it
/// stays one byte at a time; sixteen lanes become sixteen variables.
#[inline(never)]
fn extremes(bytes: &[u8]) -> (u8, u8) {
    let (mut lowest, mut high) = ([u8::MAX; LANES], [0; LANES]);
    let (parts, rest) = bytes.as_chunks::<LANES>();
    for part in parts {
        for i in 0..LANES {
            lowest[i] = lowest[i].min(part[i]);
            high[i] |= part[i];
        }
    }
    let all = lowest
        .iter()
        .zip(&high)
        .fold((u8::MAX, 0), |(low, all), (lane, bits)| {
            (low.min(*lane), all | bits)
        });
    rest.iter()
        .fold(all, |(low, all), byte| (low.min(*byte), all | byte))
}

/// The place of the first special byte within whole words of eight bytes; `None` if there is none.
fn special_in_words(text: &[u8], high_bits: &mut u64) -> Option<usize> {
    let (words, _) = text.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let special = special_bytes(word);
        *high_bits |= word;
        if special != 0 {
            return Some(i * 8 + special.trailing_zeros() as usize / 8);
        }
    }
    None
}

/// How many of the bytes behind the last whole word are plain, if all before them are.
fn plain_in_tail(text: &[u8], high_bits: &mut u64) -> usize {
    let length = text.len() % 8;
    let (word, first) = match (text.last_chunk::<8>(), length) {
        (_, 0) => return 0,
        // With the plain bytes before them.
        (Some(word), _) => (u64::from_le_bytes(*word), 8 - length),
        (None, _) => {
            let mut word = [b' '; 8];
            for (place, byte) in word.iter_mut().zip(text) {
                *place = *byte;
            }
            (u64::from_le_bytes(word), 0)
        }
    };
    *high_bits |= word;
    match special_bytes(word) {
        0 => length,
        special => (special.trailing_zeros() as usize / 8) - first,
    }
}

/// Marks the highest bit of the first quote, backslash or control character of eight bytes, and perhaps of later ones.
#[inline]
fn special_bytes(word: u64) -> u64 {
    let quote = zero_bytes(word ^ (ONES * b'"' as u64));
    let backslash = zero_bytes(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & (ONES * 0x80)
}

/// Bytes that are looked at together.
const LANES: usize = 64;

/// Bytes that are looked at before it is certain that a string is long.
const BLOCK: usize = 128;

/// From which length on it is worth its while to look.
const LONG: usize = 2 * BLOCK;

/// Bytes that are looked at twice, once for the end and once for all else, at most: as many as the first of the processor's caches
/// holds.
const WINDOW: usize = 16 * 1024;

/// From so many bytes of a long string it is told whether it is text: text has something within them that base64 has not.
const SAMPLE: usize = 1024;

/// Whether a long string begins as data in base64 does (RFC 4648, both alphabets, line breaks and slashes escaped or not), perhaps behind
/// the head of an address of data.
fn begins_as_base64(inside: &[u8]) -> bool {
    let sample = inside.get(..SAMPLE).unwrap_or(inside);
    let data = match sample.strip_prefix(b"data:") {
        Some(address) => match memchr::memchr(b',', address) {
            Some(comma) => address.get(comma + 1..).unwrap_or_default(),
            None => return false,
        },
        None => sample,
    };
    let mut bytes = data.iter();
    while let Some(byte) = bytes.next() {
        let is_base64 = match byte {
            b'\\' => matches!(bytes.next(), None | Some(b'/' | b'n' | b'r')),
            b'+' | b'/' | b'-' | b'_' | b'=' => true,
            byte => byte.is_ascii_alphanumeric(),
        };
        if !is_base64 {
            return false;
        }
    }
    true
}

/// Sets the highest bit of each byte that is zero.
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

const ONES: u64 = 0x0101_0101_0101_0101;
