//! Finding what belongs to some label values again, on the thread that counts: without a lock, and without making anything
//! when it is there.
//!
//! Of a hundred thousand consumers each call finds what the processor has forgotten meanwhile. So a key is short, and lies where
//! that is which belongs to it.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;

use foldhash::fast::RandomState;

/// What a thread keeps at most. When it has more, it begins anew: it finds the same numbers again, but that costs more than the
/// rest of a call. As many as a gateway with a hundred thousand consumers needs; then some 50 MB.
const MOST_KEPT: usize = 131_072;

/// Values by label values.
pub(super) struct Kept<T> {
    /// They are looked up for every call: they are hashed by something quicker than what the standard library takes.
    by_key: HashSet<ByKey<T>, RandomState>,
    /// The epoch of the metrics that all of it is from.
    epoch: u64,
}

/// Something that is kept, with its key.
pub(super) struct Known<T> {
    key: Packed,
    value: T,
}

/// As it is looked up.
struct ByKey<T>(Rc<Known<T>>);

/// The bytes of a key.
enum Packed {
    /// So many of these.
    Short(u8, [u8; SHORT]),
    /// All of these.
    Long(Box<[u8]>),
}

/// Bytes of a key that need no memory of their own: those of usual names.
const SHORT: usize = 118;

/// Label values as one key. Each is written with its length, so that no two lists look the same.
#[derive(Default)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// Begins a key of what belongs to `owner`.
    pub(super) fn of(&mut self, owner: u64) -> &mut Self {
        self.0.clear();
        self.number(owner)
    }

    /// Adds a label value.
    pub(super) fn and(&mut self, value: &str) -> &mut Self {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// Adds a number: seven bits in each byte, of which all but the last have the eighth.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        let mut rest = number;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
        self
    }
}

impl Packed {
    fn new(key: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        match (u8::try_from(key.len()), bytes.get_mut(..key.len())) {
            (Ok(length), Some(place)) => {
                place.copy_from_slice(key);
                Packed::Short(length, bytes)
            }
            _ => Packed::Long(key.into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Packed::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Packed::Long(bytes) => bytes,
        }
    }
}

impl<T> Borrow<[u8]> for ByKey<T> {
    fn borrow(&self) -> &[u8] {
        self.0.key.bytes()
    }
}

impl<T> Hash for ByKey<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.bytes().hash(state);
    }
}

impl<T> PartialEq for ByKey<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.key.bytes() == other.0.key.bytes()
    }
}

impl<T> Eq for ByKey<T> {}

impl<T> Deref for Known<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Known<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(formatter)
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept {
            by_key: HashSet::default(),
            epoch: 0,
        }
    }
}

impl<T> Kept<T> {
    /// What is kept under a key, if it is of this epoch.
    pub(super) fn find(&mut self, key: &Key, epoch: u64) -> Option<Rc<Known<T>>> {
        if self.epoch != epoch {
            self.by_key.clear();
            self.epoch = epoch;
        }
        self.by_key.get(&*key.0).map(|known| known.0.clone())
    }

    /// Keeps something under a key under which nothing is kept.
    pub(super) fn keep(&mut self, key: &Key, value: T) -> Rc<Known<T>> {
        if self.by_key.len() >= MOST_KEPT {
            self.by_key.clear();
        }
        let known = Rc::new(Known {
            key: Packed::new(&key.0),
            value,
        });
        self.by_key.insert(ByKey(known.clone()));
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lists_of_values_are_taken_for_each_other() {
        let mut kept = Kept::default();
        let mut key = Key::default();
        key.of(1).and("ab").and("c");
        kept.keep(&key, "first");
        key.of(1).and("a").and("bc");
        assert!(kept.find(&key, 0).is_none());
        key.of(2).and("ab").and("c");
        assert!(kept.find(&key, 0).is_none());
        key.of(1).and("ab").and("c");
        assert_eq!(kept.find(&key, 0).as_deref().map(|known| **known), Some("first"));
        assert!(kept.find(&key, 1).is_none());
    }

    #[test]
    fn values_of_any_length_are_found_again() {
        let mut kept = Kept::default();
        let mut key = Key::default();
        for length in 0..400 {
            key.of(length).and(&"x".repeat(length as usize)).and("end");
            assert!(kept.find(&key, 0).is_none(), "{length}");
            kept.keep(&key, length);
        }
        for length in 0..400 {
            key.of(length).and(&"x".repeat(length as usize)).and("end");
            assert_eq!(kept.find(&key, 0).as_deref().map(|known| **known), Some(length));
        }
    }

    #[test]
    fn what_a_thread_keeps_is_bounded() {
        let mut kept = Kept::default();
        let mut key = Key::default();
        for number in 0..MOST_KEPT as u64 + 1_000 {
            key.of(number);
            kept.keep(&key, ());
            assert!(kept.by_key.len() <= MOST_KEPT);
        }
    }
}
