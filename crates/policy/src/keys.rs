//! Recognises keys of consumers without keeping the keys.

use std::collections::HashMap;

use aws_lc_rs::hmac;

/// Keyed hashes of all client keys. A key is recognised by its hash under a secret of this process, so neither the time
/// of a look-up nor a dump of memory tells anything about a key.
pub struct KeyIndex {
    pepper: hmac::Key,
    owners: HashMap<[u8; 32], usize>,
}

impl KeyIndex {
    /// An empty index. `pepper` is random and made anew for each process.
    pub fn new(pepper: &[u8; 32]) -> Self {
        KeyIndex {
            pepper: hmac::Key::new(hmac::HMAC_SHA256, pepper),
            owners: HashMap::new(),
        }
    }

    /// Adds a key of `owner`. Returns the earlier owner if the key was already known.
    pub fn insert(&mut self, key: &str, owner: usize) -> Option<usize> {
        let hash = self.hash(key);
        self.owners.insert(hash, owner)
    }

    /// The owner of a key.
    pub fn owner(&self, key: &str) -> Option<usize> {
        self.owners.get(&self.hash(key)).copied()
    }

    fn hash(&self, key: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.pepper, key.as_bytes());
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        hash
    }
}

impl std::fmt::Debug for KeyIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyIndex({} keys)", self.owners.len())
    }
}

#[cfg(test)]
mod tests {
    use super::KeyIndex;

    #[test]
    fn only_the_whole_key_is_recognised() {
        let mut keys = KeyIndex::new(&[7; 32]);
        assert_eq!(keys.insert("sk-alice", 1), None);
        assert_eq!(keys.owner("sk-alice"), Some(1));
        for wrong in ["", "sk-alic", "sk-alicee", "SK-ALICE", " sk-alice"] {
            assert_eq!(keys.owner(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_key_of_two_owners_is_noticed() {
        let mut keys = KeyIndex::new(&[7; 32]);
        keys.insert("sk", 1);
        assert_eq!(keys.insert("sk", 2), Some(1));
    }
}
