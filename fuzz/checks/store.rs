//! What must hold for any bytes that are found in the files of the store, or come from Redis.

use tollgate_store::{StoreKey, fuzzing};

/// A name, and what must hold for any bytes given to a parser.
pub(crate) type FuzzTarget = (&'static str, fn(&[u8]));

/// All targets of this crate.
pub(crate) const TARGETS: &[FuzzTarget] = &[("stored", stored), ("redis_answer", fuzzing::redis_answer)];

/// What can be read of a file says the same when it is written and read again.
fn stored(bytes: &[u8]) {
    if let Some(object) = fuzzing::object(bytes) {
        assert_eq!(fuzzing::object(&object), Some(object));
    }
    if let Some(turn) = fuzzing::turn(bytes) {
        assert_eq!(turn, bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Some(name) = fuzzing::name(text) {
        assert_eq!(name, text);
    }
    if let Err(error) = StoreKey::parse(text) {
        let is_like_one = text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(
            !is_like_one || !error.to_string().contains(text),
            "an error shows a key"
        );
    }
}
