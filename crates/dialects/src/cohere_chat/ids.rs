//! Ids of tool calls where a provider gives none.

use aws_lc_rs::digest::{SHA256, digest};

/// How many bytes of a hash a made id has, as hex digits; with its first part it stays below the 40 characters that some
/// providers take.
const HASH_BYTES: usize = 12;

/// The id of a call that has none: a pure function of where the call stands (`seed` is the answer's id, or the place of the
/// message) and of the tool it names, so the same history, and a streamed answer read in any pieces, always gets the same id.
pub(super) fn made(seed: &str, number: usize, name: &str) -> String {
    let mut id = "call_co".to_owned();
    let place = format!("{seed}\n{number}\n{name}");
    for byte in digest(&SHA256, place.as_bytes()).as_ref().iter().take(HASH_BYTES) {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::made;

    #[test]
    fn made_ids_are_stable_and_distinct() {
        assert_eq!(made("a", 0, "f"), made("a", 0, "f"));
        assert_ne!(made("a", 0, "f"), made("a", 1, "f"));
        assert_ne!(made("a", 0, "f"), made("b", 0, "f"));
        assert!(made("a", 0, "f").len() <= 40);
    }
}
