//! Who was last given which prefix of a prompt.

use std::collections::HashMap;
use std::mem;

/// Prefixes of one generation; two generations are kept, about 4 MB.
const GENERATION: usize = 65_536;

/// Owners of prefixes by hash. When it is full, those that were used longest ago are forgotten.
#[derive(Default)]
pub struct Prefixes {
    recent: HashMap<u64, u64>,
    /// What was recent before; it is forgotten when `recent` is full.
    older: HashMap<u64, u64>,
}

impl Prefixes {
    /// The number of the member that was last given a prefix.
    pub fn owner(&self, prefix: u64) -> Option<u64> {
        self.recent
            .get(&prefix)
            .or_else(|| self.older.get(&prefix))
            .copied()
    }

    /// Remembers who is given a prefix.
    pub fn remember(&mut self, prefix: u64, owner: u64) {
        if self.recent.len() >= GENERATION && !self.recent.contains_key(&prefix) {
            self.older = mem::take(&mut self.recent);
        }
        self.recent.insert(prefix, owner);
    }
}

#[cfg(test)]
mod tests {
    use super::{GENERATION, Prefixes};

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let mut prefixes = Prefixes::default();
        for prefix in 0..10 * GENERATION as u64 {
            prefixes.remember(prefix, prefix % 3);
            prefixes.remember(0, 7);
            assert!(prefixes.recent.len() + prefixes.older.len() <= 2 * GENERATION);
        }
        assert_eq!(prefixes.owner(0), Some(7), "used again and again");
        assert_eq!(prefixes.owner(1), None, "used once, long ago");
        let last = 10 * GENERATION as u64 - 1;
        assert_eq!(prefixes.owner(last), Some(last % 3));
    }

    #[test]
    fn the_last_owner_counts() {
        let mut prefixes = Prefixes::default();
        prefixes.remember(5, 1);
        prefixes.remember(5, 2);
        assert_eq!(prefixes.owner(5), Some(2));
    }
}
