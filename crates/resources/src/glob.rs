//! Patterns for names of models: text in which `*` stands for any run of characters.

use std::fmt;

use serde::{Serialize, Serializer};

/// A pattern for names. `*` stands for any run of characters, also none; everything else stands for itself, with case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(String);

impl Glob {
    /// Makes a pattern from its text. Every text is a pattern.
    pub fn new(text: impl Into<String>) -> Glob {
        Glob(text.into())
    }

    /// Tells whether `name` fits the pattern. The time is at most the product of the two lengths.
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        // `split` yields at least one piece: the text before the first star.
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(mut piece) = pieces.next() else {
            return rest.is_empty();
        };
        // Each piece between two stars takes its leftmost place: that leaves the most for the pieces after it.
        for next in pieces {
            let Some((_, after)) = rest.split_once(piece) else {
                return false;
            };
            rest = after;
            piece = next;
        }
        rest.ends_with(piece)
    }

    /// Tells whether the pattern fits exactly one name: it has no `*`.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Number of bytes that are not `*`; the more, the more specific is the pattern.
    pub fn literal_length(&self) -> usize {
        self.0.bytes().filter(|byte| *byte != b'*').count()
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Glob::new(pattern).matches(name)
    }

    #[test]
    fn without_a_star_only_the_same_text_matches() {
        assert!(matches("gpt-5", "gpt-5"));
        assert!(!matches("gpt-5", "gpt-5-mini"));
        assert!(!matches("gpt-5", "GPT-5"));
        assert!(matches("", ""));
        assert!(!matches("", "a"));
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters_also_none() {
        assert!(matches("*", ""));
        assert!(matches("*", "anything/at:all"));
        assert!(matches("gpt-*", "gpt-"));
        assert!(matches("*-mini", "gpt-5-mini"));
        assert!(matches("gpt-*-mini", "gpt-5-mini"));
        assert!(!matches("gpt-*-mini", "gpt-mini"));
        assert!(matches("a*b*c", "aXbYbZc"));
        assert!(!matches("a*b*c", "aXcYb"));
        assert!(matches("**", "x"));
    }

    #[test]
    fn the_pieces_around_a_star_do_not_share_characters() {
        assert!(!matches("aa*aa", "aaa"));
        assert!(matches("aa*aa", "aaaa"));
    }

    /// The definition of a match, by trying every length for the star; slow and obvious.
    fn reference(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|skip| reference(rest, &name[skip..])),
            Some((byte, rest)) => name.first() == Some(byte) && reference(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), reference(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
