//! Where the headers go that every answer carries.
//!
//! Of a client of HTTP/1 straight into the head that it is sent: making a map of a dozen headers and reading it again would cost more than
//! all that they tell.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Takes headers, each name once.
pub trait Headers {
    /// Takes one. A text that cannot stand in a header is left out.
    fn put(&mut self, name: &HeaderName, text: &str);
}

impl Headers for HeaderMap {
    fn put(&mut self, name: &HeaderName, text: &str) {
        if let Ok(value) = HeaderValue::from_str(text) {
            self.insert(name.clone(), value);
        }
    }
}

/// The lines of a head of HTTP/1.
pub struct Lines<'a>(pub &'a mut Vec<u8>);

impl Lines<'_> {
    /// Adds one with what is known to be a value.
    pub fn line(&mut self, name: &HeaderName, value: &[u8]) {
        for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
            self.0.extend_from_slice(part);
        }
    }
}

impl Headers for Lines<'_> {
    fn put(&mut self, name: &HeaderName, text: &str) {
        // As `HeaderValue` has it.
        let is_value = |byte: u8| (byte >= b' ') & (byte != 0x7f) | (byte == b'\t');
        if text.bytes().fold(true, |so_far, byte| so_far & is_value(byte)) {
            self.line(name, text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_is_what_a_map_would_have_become(text in prop_oneof!["\\PC*", "[ -~\t]*", ".*"]) {
            let name = HeaderName::from_static("x-name");
            let (mut map, mut lines) = (HeaderMap::new(), Vec::new());
            map.put(&name, &text);
            Lines(&mut lines).put(&name, &text);
            let mut of_map = Vec::new();
            for (name, value) in &map {
                Lines(&mut of_map).line(name, value.as_bytes());
            }
            prop_assert_eq!(lines, of_map);
        }
    }
}
