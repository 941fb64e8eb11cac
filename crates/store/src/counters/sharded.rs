//! Counts in memory, in parts that cores rarely share locks of, and with a bound.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::key::{AsItIs, Hashed};

/// Parts with a lock each: several times the cores of a large machine, so that two rarely meet.
const SHARDS: usize = 64;

/// Keys per part before those whose counts expire soonest are forgotten: half a million in all, some 30 MB.
const MAX_PER_SHARD: usize = 8192;

/// Keys per part below which looking for expired ones is not worth it.
const MIN_SWEEP: usize = 64;

/// Something counted that is worth nothing after a while.
pub trait Expires {
    /// Milliseconds since 1970 from which on a fresh count says the same.
    fn expires_ms(&self) -> u64;
}

/// Counts by key.
pub struct Sharded<V> {
    /// The key that came first, which is never forgotten: of ten thousand limits most have one key only, and nothing else is
    /// made for those.
    first: OnceLock<First<V>>,
    shards: OnceLock<Box<[Place<V>]>>,
}

struct First<V> {
    key: Hashed,
    count: Mutex<V>,
}

/// The place of a part, which is made when it is used.
type Place<V> = OnceLock<Box<Mutex<Shard<V>>>>;

struct Shard<V> {
    counts: HashMap<Hashed, V, BuildHasherDefault<AsItIs>>,
    /// Number of keys at which expired ones are looked for.
    sweep_at: usize,
}

impl<V> Default for Sharded<V> {
    fn default() -> Self {
        Sharded {
            first: OnceLock::new(),
            shards: OnceLock::new(),
        }
    }
}

impl<V> Default for Shard<V> {
    fn default() -> Self {
        Shard {
            counts: HashMap::default(),
            sweep_at: MIN_SWEEP,
        }
    }
}

impl<V: Default + Expires> Sharded<V> {
    /// Changes the count of a key, which nobody else does meanwhile.
    pub fn update<R>(&self, key: Hashed, now_ms: u64, change: impl FnOnce(&mut V) -> R) -> R {
        let first = self.first.get_or_init(|| First {
            key,
            count: Mutex::default(),
        });
        if first.key == key {
            return change(&mut first.lock());
        }
        let Some(mut shard) = self.shard(key) else {
            // There are SHARDS of them.
            return change(&mut V::default());
        };
        if shard.counts.len() >= shard.sweep_at && !shard.counts.contains_key(&key) {
            shard.sweep(now_ms);
        }
        change(shard.counts.entry(key).or_default())
    }

    /// Changes the count of a key if there is one.
    pub fn update_known<R>(&self, key: Hashed, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        let first = self.first.get()?;
        if first.key == key {
            return Some(change(&mut first.lock()));
        }
        self.shard(key)?.counts.get_mut(&key).map(change)
    }

    fn shard(&self, key: Hashed) -> Option<MutexGuard<'_, Shard<V>>> {
        let shards = self
            .shards
            .get_or_init(|| (0..SHARDS).map(|_| OnceLock::new()).collect());
        let shard = shards.get(key.part_of(SHARDS))?.get_or_init(Box::default);
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let shards = self.shards.get().into_iter().flatten();
        let in_shards: usize = shards
            .filter_map(OnceLock::get)
            .map(|shard| shard.lock().unwrap().counts.len())
            .sum();
        in_shards + usize::from(self.first.get().is_some())
    }
}

impl<V> First<V> {
    fn lock(&self) -> MutexGuard<'_, V> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Expires> Shard<V> {
    fn sweep(&mut self, now_ms: u64) {
        self.counts.retain(|_, count| count.expires_ms() > now_ms);
        if self.counts.len() >= MAX_PER_SHARD {
            let mut ends: Vec<u64> = self.counts.values().map(Expires::expires_ms).collect();
            let (_, end, _) = ends.select_nth_unstable(MAX_PER_SHARD / 4);
            let end = *end;
            // Of many that expire together no more go than have to.
            let mut excess = MAX_PER_SHARD / 4;
            self.counts.retain(|_, count| {
                let goes = excess > 0 && count.expires_ms() <= end;
                excess -= usize::from(goes);
                !goes
            });
        }
        self.sweep_at = (self.counts.len() * 2).clamp(MIN_SWEEP, MAX_PER_SHARD);
    }
}

/// Milliseconds since 1970.
pub fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Count {
        number: u64,
        expires_ms: u64,
    }

    impl Expires for Count {
        fn expires_ms(&self) -> u64 {
            self.expires_ms
        }
    }

    fn add(counters: &Sharded<Count>, key: &str, now_ms: u64, expires_ms: u64) -> u64 {
        counters.update(Hashed::of(key), now_ms, |count| {
            count.expires_ms = expires_ms;
            count.number += 1;
            count.number
        })
    }

    #[test]
    fn counts_are_exact_when_many_threads_count() {
        let counters = Sharded::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for number in 0..1000 {
                        add(&counters, if number % 2 == 0 { "a" } else { "b" }, 0, 1);
                    }
                });
            }
        });
        assert_eq!(add(&counters, "a", 0, 1), 4001);
        assert_eq!(add(&counters, "b", 0, 1), 4001);
    }

    #[test]
    fn expired_counts_are_forgotten_before_there_are_twice_as_many() {
        let counters = Sharded::default();
        for number in 0..100_000_u64 {
            add(&counters, &number.to_string(), number, number + 1000);
        }
        assert!(counters.len() < SHARDS * MIN_SWEEP * 2, "{}", counters.len());
    }

    #[test]
    fn counts_that_live_long_are_bounded_and_the_last_ones_stay() {
        let counters = Sharded::default();
        let many = 600_000_u64;
        for number in 0..many {
            add(&counters, &number.to_string(), 0, 1_000_000 + number);
        }
        assert!(counters.len() <= SHARDS * MAX_PER_SHARD + 1);
        assert_eq!(add(&counters, &(many - 1).to_string(), 0, 1), 2);
    }
}
