//! nginx's default escaping of log values.

/// Appends `text`; `"`, `\` and every byte outside printable ASCII become `\xHH`, as nginx writes them.
///
/// Bytes of UTF-8 sequences are escaped as well: they may carry line separators and direction marks.
pub(super) fn write(text: &str, out: &mut Vec<u8>) {
    write_bytes(text.as_bytes(), out);
}

/// As [`write`], of bytes that may be no text.
pub(super) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    // Nearly always nothing is to be escaped; a check without early exit is one the compiler can vectorise.
    if !rest.iter().fold(false, |found, byte| found | is_escaped(*byte)) {
        out.extend_from_slice(rest);
        return;
    }
    while let Some(length) = rest.iter().position(|byte| is_escaped(*byte)) {
        let (plain, from_special) = rest.split_at(length);
        out.extend_from_slice(plain);
        let Some((special, after)) = from_special.split_first() else {
            return;
        };
        out.extend_from_slice(b"\\x");
        out.push(hex_digit(special >> 4));
        out.push(hex_digit(special & 0xf));
        rest = after;
    }
    out.extend_from_slice(rest);
}

fn is_escaped(byte: u8) -> bool {
    !(0x20..0x7f).contains(&byte) | (byte == b'"') | (byte == b'\\')
}

fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'A' + (nibble - 10),
    }
}

#[cfg(test)]
mod tests {
    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        super::write(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn printable_ascii_but_quote_and_backslash_is_left_alone() {
        for byte in 0x20..0x7fu8 {
            let text = (byte as char).to_string();
            let expected = match byte {
                b'"' => r"\x22".to_owned(),
                b'\\' => r"\x5C".to_owned(),
                _ => text.clone(),
            };
            assert_eq!(escaped(&text), expected);
        }
    }

    #[test]
    fn control_bytes_and_everything_beyond_ascii_are_escaped() {
        assert_eq!(escaped("a\r\nb\0\x1f\x7f"), r"a\x0D\x0Ab\x00\x1F\x7F");
        assert_eq!(escaped("é\u{2028}"), r"\xC3\xA9\xE2\x80\xA8");
        assert_eq!(escaped(""), "");
    }
}
