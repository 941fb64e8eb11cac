//! Records that wait to be written: several buffers, so that threads do not wait for each other.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

/// Bytes of memory a shard keeps between rounds at least; at most four times as many while nothing is going on.
const KEPT_CAPACITY: usize = 256 * 1024;

/// All waiting records.
#[derive(Debug)]
pub(crate) struct Shards {
    shards: Box<[Shard]>,
    /// Bytes one shard holds at most; a record that would exceed it is dropped.
    limit: usize,
    /// Bytes at which a shard should be written without waiting for the next round.
    full_enough: usize,
    /// Records that were not taken.
    dropped: AtomicU64,
}

/// Aligned so that two shards never share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    /// Whole records; where one ends, they say themselves.
    bytes: Vec<u8>,
    /// How many they are.
    count: u64,
    /// Whether no more records are taken, because an end is near.
    is_closed: bool,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It waits for the next round.
    Waits,
    /// It waits, and with it the shard became worth writing now.
    FullEnough,
    /// It was dropped and counted.
    Dropped,
}

impl Shards {
    /// Shards for all threads of this machine. `limit` and `full_enough` are bytes of one shard.
    pub(crate) fn new(limit: usize, full_enough: usize) -> Shards {
        Shards {
            shards: (0..threads()).map(|_| Shard::default()).collect(),
            limit,
            full_enough,
            dropped: AtomicU64::new(0),
        }
    }

    /// Shards that hold so many bytes together. On a machine with many threads each holds little, and is worth writing
    /// earlier.
    pub(crate) fn with_total(total: usize, full_enough: usize) -> Shards {
        let limit = total / threads();
        Shards::new(limit, full_enough.min(limit / 4))
    }

    /// Appends a whole record to the calling thread's shard.
    pub(crate) fn append(&self, record: &[u8]) -> Appended {
        let Some(shard) = self.shards.get(thread_number() % self.shards.len().max(1)) else {
            return self.drop_one();
        };
        let mut records = shard.lock();
        let before = records.bytes.len();
        let after = before.saturating_add(record.len());
        if records.is_closed || after > self.limit {
            return self.drop_one();
        }
        records.bytes.extend_from_slice(record);
        records.count += 1;
        match before < self.full_enough && after >= self.full_enough {
            true => Appended::FullEnough,
            false => Appended::Waits,
        }
    }

    /// How many shards there are.
    pub(crate) fn count(&self) -> usize {
        self.shards.len()
    }

    /// Moves the records of shard `index` into `batch`, whose own content is thrown away.
    pub(crate) fn take(&self, index: usize, batch: &mut Vec<u8>) {
        batch.clear();
        if let Some(shard) = self.shards.get(index) {
            let mut records = shard.lock();
            // The shard goes on with the batch's memory. Under load it would only grow again; what one burst needed is not kept for
            // ever.
            let usual = records.bytes.len().max(KEPT_CAPACITY);
            if batch.capacity() > 4 * usual {
                batch.shrink_to(usual);
            }
            std::mem::swap(&mut records.bytes, batch);
            records.count = 0;
        }
    }

    /// Whether no record waits.
    pub(crate) fn are_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().bytes.is_empty())
    }

    /// How many records wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().count).sum()
    }

    /// Refuses records from now on; those that wait can still be taken.
    pub(crate) fn close(&self) {
        for shard in &self.shards {
            shard.lock().is_closed = true;
        }
    }

    /// Counts records as dropped that were taken and could not be written.
    pub(crate) fn count_dropped(&self, records: u64) {
        self.dropped.fetch_add(records, Ordering::Relaxed);
    }

    /// Records dropped since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_one(&self) -> Appended {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        Appended::Dropped
    }
}

/// How many threads this machine runs at once.
fn threads() -> usize {
    available_parallelism().map_or(1, |threads| threads.get())
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Records> {
        // Nothing that happens under the lock leaves half a record behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number of the calling thread: 0, 1, 2, ... in the order in which threads first append something.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.get().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(Some(number));
        number
    })
}
