//! A map that is cheap to copy and change: a copy shares everything, a change copies one small part.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

/// Parts of a map. With 100,000 entries a change copies about 400.
const SHARDS: usize = 256;

/// A map whose clones share their entries until they are changed.
#[derive(Clone)]
pub struct ShardedMap<K, V> {
    hasher: RandomState,
    shards: Arc<[Arc<HashMap<K, V>>]>,
    len: usize,
}

impl<K, V> Default for ShardedMap<K, V> {
    fn default() -> Self {
        let empty = Arc::new(HashMap::new());
        ShardedMap {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| empty.clone()).collect(),
            len: 0,
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> ShardedMap<K, V> {
    /// The value of a key.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.shards.get(self.shard(key))?.get(key)
    }

    /// Sets the value of a key; returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let number = self.shard(&key);
        let before = Arc::make_mut(Arc::make_mut(&mut self.shards).get_mut(number)?).insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes a key away; returns its value.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let number = self.shard(key);
        self.shards.get(number)?.get(key)?;
        let before = Arc::make_mut(Arc::make_mut(&mut self.shards).get_mut(number)?).remove(key);
        self.len -= usize::from(before.is_some());
        before
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // The upper bits, because the maps inside use the lower ones of their own hashes.
        usize::try_from(self.hasher.hash_one(key) >> 56).unwrap_or(0) % SHARDS
    }
}

#[cfg(test)]
mod tests {
    use super::ShardedMap;

    #[test]
    fn a_change_of_a_copy_is_not_seen_in_the_original() {
        let mut original = ShardedMap::default();
        for number in 0..1000 {
            original.insert(number, number);
        }
        let mut copy = original.clone();
        copy.insert(1, 2);
        copy.remove(&2);
        assert_eq!((original.get(&1), original.get(&2)), (Some(&1), Some(&2)));
        assert_eq!((copy.get(&1), copy.get(&2)), (Some(&2), None));
        assert_eq!((original.len(), copy.len()), (1000, 999));
        assert_eq!(copy.iter().count(), 999);
    }
}
