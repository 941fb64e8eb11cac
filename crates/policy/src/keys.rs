//! Recognises keys of consumers without keeping the keys.

use aws_lc_rs::digest::{Context, SHA256, digest};
use foldhash::{HashMap, HashMapExt};

/// Bytes of pepper and key that are put together without memory of their own: keys are rarely longer.
const USUAL: usize = 256;

/// Keyed hashes of all client keys. A key is recognised by its hash under a secret of this process, so neither the time
/// of a look-up nor a dump of memory tells anything about a key.
pub struct KeyIndex {
    pepper: [u8; 32],
    owners: HashMap<[u8; 32], usize>,
}

impl KeyIndex {
    /// An empty index. `pepper` is random and made anew for each process.
    pub fn new(pepper: &[u8; 32]) -> Self {
        KeyIndex {
            pepper: *pepper,
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

    /// Nobody sees hashes, so that the pepper in front does what HMAC would.
    fn hash(&self, key: &str) -> [u8; 32] {
        let mut text = [0; USUAL];
        let whole = self.pepper.len() + key.len();
        let hashed = match text.get_mut(..whole) {
            Some(text) => {
                let (pepper, rest) = text.split_at_mut(self.pepper.len());
                pepper.copy_from_slice(&self.pepper);
                rest.copy_from_slice(key.as_bytes());
                digest(&SHA256, text)
            }
            None => {
                let mut context = Context::new(&SHA256);
                context.update(&self.pepper);
                context.update(key.as_bytes());
                context.finish()
            }
        };
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(hashed.as_ref()) {
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
    fn keys_of_any_length_are_recognised() {
        let mut keys = KeyIndex::new(&[7; 32]);
        let lengths = [0, 1, 23, 24, 31, 32, 223, 224, 225, 5000];
        for length in lengths {
            keys.insert(&"k".repeat(length), length);
        }
        for length in lengths {
            assert_eq!(keys.owner(&"k".repeat(length)), Some(length));
        }
        assert_eq!(keys.owner(&"k".repeat(226)), None);
    }

    #[test]
    fn a_key_of_two_owners_is_noticed() {
        let mut keys = KeyIndex::new(&[7; 32]);
        keys.insert("sk", 1);
        assert_eq!(keys.insert("sk", 2), Some(1));
    }
}
