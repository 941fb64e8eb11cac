//! Finding what belongs to some label values again, on the thread that counts: without a lock, and without making anything
//! when it is there.

use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::RandomState;

/// What a thread keeps at most. When it has more, it begins anew: it finds the same numbers again, but that costs more than the
/// rest of a call. As many as a gateway with a hundred thousand consumers needs; then some 40 MB.
const MOST_KEPT: usize = 131_072;

/// Values by label values.
pub(super) struct Kept<T> {
    /// Keys are long, and looked up for every call: they are hashed by something quicker than what the standard library takes.
    by_key: HashMap<Box<[u8]>, Rc<T>, RandomState>,
    /// The epoch of the metrics that all of it is from.
    epoch: u64,
}

/// Label values as one key. Each is written with its length, so that no two lists look the same.
#[derive(Default)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// Begins a key of what belongs to `owner`.
    pub(super) fn of(&mut self, owner: u64) -> &mut Self {
        self.0.clear();
        self.0.extend_from_slice(&owner.to_ne_bytes());
        self
    }

    /// Adds a label value.
    pub(super) fn and(&mut self, value: &str) -> &mut Self {
        self.0.extend_from_slice(&value.len().to_ne_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// Adds a number.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_ne_bytes());
        self
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept {
            by_key: HashMap::default(),
            epoch: 0,
        }
    }
}

impl<T> Kept<T> {
    /// What is kept under a key, if it is of this epoch.
    pub(super) fn find(&mut self, key: &Key, epoch: u64) -> Option<Rc<T>> {
        if self.epoch != epoch {
            self.by_key.clear();
            self.epoch = epoch;
        }
        self.by_key.get(&*key.0).cloned()
    }

    /// Keeps something under a key.
    pub(super) fn keep(&mut self, key: &Key, value: T) -> Rc<T> {
        if self.by_key.len() >= MOST_KEPT {
            self.by_key.clear();
        }
        let value = Rc::new(value);
        self.by_key.insert(key.0.as_slice().into(), value.clone());
        value
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
        assert_eq!(kept.find(&key, 0).as_deref(), Some(&"first"));
        assert!(kept.find(&key, 1).is_none());
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
