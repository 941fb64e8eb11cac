//! Percent-encoding of parts of addresses (RFC 3986, section 2).

use std::borrow::Cow;
use std::fmt::Write;

/// Appends a text with everything but letters, digits and `-._~` encoded.
pub(crate) fn encode(out: &mut String, text: &str) {
    encode_bytes(out, text.as_bytes());
}

/// Appends bytes as [`encode`] does.
pub(super) fn encode_bytes(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Decodes what is encoded; a `%` without two hexadecimal digits stays.
pub(super) fn decode(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(out)
}

/// Decodes a part of a query, where `+` is a space too. What is not UTF-8 is replaced.
pub(super) fn decode_form(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(String::from_utf8_lossy(&decode(&text.replace('+', " "))).into_owned())
}

fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => (hex | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, decode_form, encode};

    #[test]
    fn what_was_encoded_decodes_to_itself() {
        let text = "a-._~/:% +é\n";
        let mut encoded = String::new();
        encode(&mut encoded, text);
        assert_eq!(encoded, "a-._~%2F%3A%25%20%2B%C3%A9%0A");
        assert_eq!(&*decode(&encoded), text.as_bytes());
    }

    #[test]
    fn a_stray_percent_sign_stays() {
        for text in ["%", "%4", "%zz", "100%"] {
            assert_eq!(&*decode(text), text.as_bytes());
        }
        assert_eq!(decode_form("a+b%2bc"), "a b+c");
    }
}
