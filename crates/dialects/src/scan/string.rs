//! Decodes JSON strings that the scanner has already checked.

use std::borrow::Cow;

use memchr::memchr;
use thiserror::Error;

/// Why the text of a member cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotText {
    /// The value is `null`, a number, a boolean, an array or an object.
    #[error("not a string")]
    OtherType,
    /// The string holds an escape such as `\ud800` without its other half, so it is no Unicode text.
    #[error("half of a surrogate pair in a string")]
    LoneSurrogate,
}

/// The text of a JSON value of a scanned document, if it is a string.
///
/// # Errors
/// It is of another type, or holds half of a surrogate pair.
pub fn decode(value: &str) -> Result<Cow<'_, str>, NotText> {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or(NotText::OtherType)?;
    match unescape(inner.as_bytes()) {
        Cow::Borrowed(_) => Ok(Cow::Borrowed(inner)),
        Cow::Owned(bytes) => String::from_utf8(bytes)
            .map(Cow::Owned)
            .map_err(|_| NotText::LoneSurrogate),
    }
}

/// Decodes the escapes between the quotes of a string. Borrowed if there are none.
///
/// The half of a surrogate pair becomes the three bytes that UTF-8 would give its code point (WTF-8): not valid UTF-8, but
/// different halves stay different, so that keys can be compared.
pub(super) fn unescape(inner: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', inner) else {
        return Cow::Borrowed(inner);
    };
    let (plain, mut rest) = inner.split_at(first);
    let mut out = Vec::with_capacity(inner.len());
    out.extend_from_slice(plain);
    while let [b'\\', kind, after @ ..] = rest {
        rest = after;
        match kind {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => rest = unescape_unicode(&mut out, rest),
            itself => out.push(*itself),
        }
        let (plain, escaped) = rest.split_at(memchr(b'\\', rest).unwrap_or(rest.len()));
        out.extend_from_slice(plain);
        rest = escaped;
    }
    Cow::Owned(out)
}

/// Decodes what follows `\u`, and the second half of a pair. Returns what is left of `rest`.
fn unescape_unicode<'a>(out: &mut Vec<u8>, rest: &'a [u8]) -> &'a [u8] {
    let Some((unit, rest)) = code_unit(rest) else {
        return rest;
    };
    if let 0xD800..0xDC00 = unit
        && let [b'\\', b'u', low @ ..] = rest
        && let Some((low @ 0xDC00..0xE000, rest)) = code_unit(low)
    {
        push_code_point(out, 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
        return rest;
    }
    push_code_point(out, unit);
    rest
}

/// Reads four hexadecimal digits.
fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    let unit = digits.iter().try_fold(0, |unit, &digit| {
        Some(unit << 4 | char::from(digit).to_digit(16)?)
    })?;
    Some((unit, rest))
}

fn push_code_point(out: &mut Vec<u8>, code_point: u32) {
    match char::from_u32(code_point) {
        Some(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        // Half of a pair: 16 bits, of which the first four are 1101.
        None => out.extend([
            0xED,
            0x80 | (code_point >> 6 & 0x3F) as u8,
            0x80 | (code_point & 0x3F) as u8,
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_without_escapes_are_borrowed() {
        assert!(matches!(decode("\"grüße\""), Ok(Cow::Borrowed("grüße"))));
        assert!(matches!(decode("\"\""), Ok(Cow::Borrowed(""))));
    }

    #[test]
    fn escapes_are_decoded() {
        let text = r#""\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\uDE00é\\u0041""#;
        assert_eq!(
            decode(text).unwrap(),
            "\"\\/\u{8}\u{c}\n\r\tA\u{e9}\u{20ac}\u{1f600}é\\u0041"
        );
        assert_eq!(decode(r#""a\nb""#).unwrap(), "a\nb");
        assert_eq!(decode(r#""\u0000""#).unwrap(), "\0");
        assert_eq!(decode(r#""\udbff\udfff""#).unwrap(), "\u{10ffff}");
    }

    #[test]
    fn other_types_are_told_from_strings() {
        for value in ["null", "1", "true", "{}", "[\"a\"]"] {
            assert_eq!(decode(value), Err(NotText::OtherType), "{value}");
        }
    }

    #[test]
    fn halves_of_surrogate_pairs_are_no_text_and_stay_different() {
        let halves = [
            r"\ud800",
            r"\ud801",
            r"\udfff",
            r"\ude00\ud83d",
            r"\ud83d\u0041",
            r"\ud83d\ud83d",
            r"\ud83dA",
            r"\ud83d\n",
        ];
        for half in halves {
            assert_eq!(
                decode(&format!("\"{half}\"")),
                Err(NotText::LoneSurrogate),
                "{half}"
            );
        }
        assert_ne!(unescape(halves[0].as_bytes()), unescape(halves[1].as_bytes()));
    }
}
