//! Ids of tool calls that the provider takes: 1 to 64 of letters, digits, `_`, `.`, `:` and `-`.
//!
//! Everything here is a pure function of its input, so that the same history always gets the same ids.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};

/// Longest id that the provider takes.
const MAX_BYTES: usize = 64;
/// How many bytes of a hash an id gets.
const HASH_BYTES: usize = 16;

/// The id of a call in this dialect: the same if it fits, else one that is made of its hash.
pub(super) fn tool_call_id(id: &str) -> Cow<'_, str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if (1..=MAX_BYTES).contains(&id.len()) && id.bytes().all(fits) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(hashed(id))
}

/// The id of a call whose provider gave none: made of where it stands (`seed` is the answer's id, or the place of the
/// message) and of the tool it names.
pub(super) fn made(seed: &str, number: usize, name: &str) -> String {
    hashed(&format!("{seed}\n{number}\n{name}"))
}

fn hashed(seed: &str) -> String {
    let mut id = "tooluse_".to_owned();
    for byte in digest(&SHA256, seed.as_bytes()).as_ref().iter().take(HASH_BYTES) {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_fit_stay_and_others_fit_afterwards() {
        for id in ["toolu_01A", "call-1", "a.b:c", &"x".repeat(64)] {
            assert_eq!(tool_call_id(id), id);
        }
        for id in ["a b", "ä", "fc_1|call_2", &"x".repeat(65), ""] {
            let made = tool_call_id(id);
            assert_eq!(tool_call_id(&made), made, "{id}");
            assert_ne!(tool_call_id(&format!("{id}!")), made);
        }
        assert_ne!(made("a", 0, "f"), made("a", 1, "f"));
    }
}
