//! The lines that wait to be written: several buffers, so that threads do not wait for each other.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

/// Bytes one shard holds at most; a line that would exceed it is dropped. About 10,000 lines.
pub(super) const SHARD_LIMIT: usize = 4 * 1024 * 1024;

/// Bytes at which a shard should be written without waiting for the next round.
pub(super) const SHARD_FULL_ENOUGH: usize = 64 * 1024;

/// Bytes of memory a shard keeps between rounds.
const KEPT_CAPACITY: usize = 256 * 1024;

/// All waiting lines.
#[derive(Debug)]
pub(super) struct Shards {
    shards: Box<[Shard]>,
    /// Lines that were not taken.
    dropped: AtomicU64,
}

/// Aligned so that two shards never share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    /// Whole lines, each with its line break.
    bytes: Vec<u8>,
    /// Whether the log is stopping and takes no more lines.
    is_closed: bool,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    /// It waits for the next round.
    Waits,
    /// It waits, and with it the shard became worth writing now.
    FullEnough,
    /// It was dropped and counted.
    Dropped,
}

impl Shards {
    /// Shards for all threads of this machine.
    pub(super) fn new() -> Shards {
        let threads = available_parallelism().map_or(1, |threads| threads.get());
        Shards {
            shards: (0..threads).map(|_| Shard::default()).collect(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Appends a whole line to the calling thread's shard.
    pub(super) fn append(&self, line: &[u8]) -> Appended {
        let Some(shard) = self.shards.get(thread_number() % self.shards.len().max(1)) else {
            return self.drop_line();
        };
        let mut lines = shard.lock();
        let before = lines.bytes.len();
        let after = before.saturating_add(line.len());
        if lines.is_closed || after > SHARD_LIMIT {
            return self.drop_line();
        }
        lines.bytes.extend_from_slice(line);
        match before < SHARD_FULL_ENOUGH && after >= SHARD_FULL_ENOUGH {
            true => Appended::FullEnough,
            false => Appended::Waits,
        }
    }

    /// How many shards there are.
    pub(super) fn count(&self) -> usize {
        self.shards.len()
    }

    /// Moves the lines of shard `index` into `batch`, whose own content is thrown away.
    pub(super) fn take(&self, index: usize, batch: &mut Vec<u8>) {
        batch.clear();
        // The shard goes on with the batch's memory; what one burst needed is not kept for ever.
        batch.shrink_to(KEPT_CAPACITY);
        if let Some(shard) = self.shards.get(index) {
            std::mem::swap(&mut shard.lock().bytes, batch);
        }
    }

    /// Whether no line waits.
    pub(super) fn are_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().bytes.is_empty())
    }

    /// Refuses lines from now on; those that wait can still be taken.
    pub(super) fn close(&self) {
        for shard in &self.shards {
            shard.lock().is_closed = true;
        }
    }

    /// Counts the lines in `bytes` as dropped.
    pub(super) fn count_dropped(&self, bytes: &[u8]) {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        self.dropped
            .fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Lines dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_line(&self) -> Appended {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        Appended::Dropped
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        // Nothing that happens under the lock leaves half a line behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number of the calling thread: 0, 1, 2, ... in the order the threads first log.
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
