//! Records in this process' memory: nothing is left of them when it ends.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::{Key, Place, Record, key_at, place, places_before};
use super::totals::Totals;

/// How often expired records are looked for, in seconds.
const SWEEP_INTERVAL_S: u64 = 10;

/// Records in memory, of at most so many bytes.
pub(super) struct Memory {
    max_bytes: u64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    records: HashMap<Key, Entry>,
    order: BTreeSet<Place>,
    totals: Totals,
    swept_s: u64,
}

struct Entry {
    record: Arc<Record>,
    expires_s: u64,
    bytes: u64,
}

/// What putting a record has cost others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) expired: u64,
    pub(super) evicted: u64,
    /// Bytes that are kept now.
    pub(super) kept_bytes: u64,
}

impl Memory {
    pub(super) fn new(max_bytes: u64) -> Self {
        Memory {
            max_bytes,
            kept: Mutex::default(),
        }
    }

    pub(super) fn get(&self, key: &Key, now_s: u64) -> Option<Arc<Record>> {
        let kept = self.kept();
        let entry = kept.records.get(key)?;
        (entry.expires_s > now_s).then(|| entry.record.clone())
    }

    /// Keeps a record; the oldest of whoever has most make room for it.
    pub(super) fn put(&self, key: Key, record: Arc<Record>, expires_s: u64, now_s: u64) -> Cost {
        let mut kept = self.kept();
        let mut cost = Cost::default();
        if now_s >= kept.swept_s.saturating_add(SWEEP_INTERVAL_S) {
            kept.swept_s = now_s;
            cost.expired = kept.sweep(now_s);
        }
        kept.remove(&key);
        let bytes = record.size() as u64;
        while kept.totals.all().saturating_add(bytes) > self.max_bytes
            && let Some(owner) = kept.totals.biggest()
        {
            let first = kept.order.range(places_before(owner, u64::MAX)).next().copied();
            match first {
                Some(first) => {
                    kept.remove(&key_at(&first));
                    cost.evicted += 1;
                }
                None => kept.totals.forget(owner),
            }
        }
        kept.totals.add(key.owner(), bytes);
        kept.order.insert(place(&key, expires_s));
        let entry = Entry {
            record,
            expires_s,
            bytes,
        };
        kept.records.insert(key, entry);
        cost.kept_bytes = kept.totals.all();
        cost
    }

    /// Keeps a record for longer.
    pub(super) fn renew(&self, key: &Key, expires_s: u64, now_s: u64) {
        let mut kept = self.kept();
        let Some(entry) = kept.records.get_mut(key) else {
            return;
        };
        let before = entry.expires_s;
        if before > now_s && before < expires_s {
            entry.expires_s = expires_s;
            kept.order.remove(&place(key, before));
            kept.order.insert(place(key, expires_s));
        }
    }

    /// Whether there was one.
    pub(super) fn delete(&self, key: &Key, now_s: u64) -> bool {
        let removed = self.kept().remove(key);
        removed.is_some_and(|entry| entry.expires_s > now_s)
    }

    // No code that holds the lock can panic half way through a change, so what a poisoned lock guards is whole.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.records.remove(key)?;
        self.order.remove(&place(key, entry.expires_s));
        self.totals.remove(key.owner(), entry.bytes);
        Some(entry)
    }

    fn sweep(&mut self, now_s: u64) -> u64 {
        let owners: Vec<_> = self.totals.owners().collect();
        let mut expired = Vec::new();
        for owner in owners {
            let places = self.order.range(places_before(owner, now_s.saturating_add(1)));
            expired.extend(places.map(key_at));
        }
        for key in &expired {
            self.remove(key);
        }
        expired.len() as u64
    }
}
