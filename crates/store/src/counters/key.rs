//! What is counted by: a text, and its hash, which is made once.
//!
//! Counts are kept under keyed hashes of 128 bits, so that a client who chooses texts can neither fill the memory with long
//! ones nor make them collide.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

/// Who or what is counted. Copies are cheap.
#[derive(Clone)]
pub struct Key {
    text: Arc<str>,
    hashed: Hashed,
}

impl Key {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its hash.
    pub fn hashed(&self) -> Hashed {
        self.hashed
    }
}

impl<T: Into<Arc<str>>> From<T> for Key {
    fn from(text: T) -> Self {
        let text = text.into();
        Key {
            hashed: Hashed::of(&text),
            text,
        }
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Self {
        key.clone()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text.fmt(formatter)
    }
}

/// The hash of a key, in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed([u64; 2]);

impl Hashed {
    /// Of a text.
    pub fn of(text: &str) -> Self {
        static HASHERS: LazyLock<[RandomState; 2]> =
            LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        let [first, second] = &*HASHERS;
        Hashed([first.hash_one(text), second.hash_one(text)])
    }

    /// Which of so many parts it belongs to.
    pub(super) fn part_of(self, parts: usize) -> usize {
        usize::try_from(self.0[0] >> 32).unwrap_or(0) % parts
    }
}

impl Hash for Hashed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[1]);
    }
}

/// Takes what is hashed already as it is.
#[derive(Clone, Copy, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
