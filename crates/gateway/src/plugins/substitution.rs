//! Replacing what a regular expression finds in a path, as nginx writes it: `^/v1/(.*)` by `/v2/$1`.

use regex::{Captures, Regex};

use super::Unusable;

/// A regular expression and what stands in place of its first match.
pub(super) struct Substitution {
    regex: Regex,
    replacement: Vec<Part>,
}

enum Part {
    Text(String),
    Group(usize),
}

impl Substitution {
    /// Reads an expression and its replacement, in which `$1` and `${1}` are groups and `$$` is a dollar.
    pub(super) fn new(pattern: &str, replacement: &str) -> Result<Self, Unusable> {
        let refused =
            |reason: String| Unusable(format!("invalid regex_uri({pattern}, {replacement}): {reason}"));
        Ok(Substitution {
            regex: Regex::new(pattern).map_err(|error| refused(error.to_string()))?,
            replacement: parts(replacement)
                .ok_or_else(|| refused("a group is written $1 or ${1}, a dollar $$".to_owned()))?,
        })
    }

    /// The text with the first match replaced, and the groups of the match; nothing when nothing matches.
    pub(super) fn apply<'t>(&self, text: &'t str) -> Option<(String, Captures<'t>)> {
        let captures = self.regex.captures(text)?;
        let found = captures.get(0)?;
        let (before, _) = text.split_at(found.start());
        let (_, after) = text.split_at(found.end());
        let mut replaced = before.to_owned();
        for part in &self.replacement {
            match part {
                Part::Text(text) => replaced.push_str(text),
                Part::Group(number) => {
                    replaced.push_str(captures.get(*number).map_or("", |group| group.as_str()));
                }
            }
        }
        replaced.push_str(after);
        Some((replaced, captures))
    }
}

fn parts(replacement: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('$') {
        parts.push(Part::Text(before.to_owned()));
        if let Some(tail) = after.strip_prefix('$') {
            parts.push(Part::Text("$".to_owned()));
            rest = tail;
            continue;
        }
        let (number, tail) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len())),
        };
        parts.push(Part::Group(number.parse().ok()?));
        rest = tail;
    }
    parts.push(Part::Text(rest.to_owned()));
    Some(parts)
}

/// Writes a decoded path so that it can stand in a URI.
pub(super) fn encode_path(text: &str) -> String {
    encode(text, |byte| {
        matches!(
            byte,
            b'"' | b'#' | b'%' | b'<' | b'>' | b'?' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
        )
    })
}

/// Writes a query so that it can stand in a URI; what is encoded already stays.
pub(super) fn encode_query(text: &str) -> String {
    encode(text, |byte| matches!(byte, b'"' | b'#' | b'<' | b'>'))
}

fn encode(text: &str, is_special: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !is_special(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, replacement: &str, text: &str) -> Option<String> {
        let substitution = Substitution::new(pattern, replacement).unwrap_or_else(|error| panic!("{error}"));
        substitution.apply(text).map(|(replaced, _)| replaced)
    }

    #[test]
    fn groups_are_put_where_they_are_named() {
        let three = "^/test/(.*)/(.*)/(.*)";
        assert_eq!(
            replaced(three, "/$1_$2_$3", "/test/a/b/c").as_deref(),
            Some("/a_b_c")
        );
        assert_eq!(
            replaced("^/test/(.*)", "/${1}1", "/test/x").as_deref(),
            Some("/x1")
        );
        assert_eq!(replaced("b(x)?", "$1$$", "abcb").as_deref(), Some("a$cb"));
        assert_eq!(replaced("^/no", "/", "/test"), None);
    }

    #[test]
    fn replacements_that_name_no_group_are_refused() {
        for (pattern, replacement) in [("[^/test", "/$1"), ("^/(.*)", "/$`1"), ("^/(.*)", "/${1")] {
            let refused = Substitution::new(pattern, replacement).err().unwrap();
            assert!(refused.0.starts_with("invalid regex_uri("), "{refused}");
        }
    }

    #[test]
    fn what_cannot_stand_in_a_uri_is_encoded() {
        assert_eq!(encode_path("/a b\r\n%/ä?"), "/a%20b%0D%0A%25/%C3%A4%3F");
        assert_eq!(encode_query("a=1&b=%20 \n"), "a=1&b=%20%20%0A");
    }
}
