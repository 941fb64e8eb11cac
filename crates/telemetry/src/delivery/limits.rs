//! How a queue makes batches, how often it tries, and how much it holds.

use std::time::Duration;

/// The bounds of a queue. Names and defaults are those of APISIX's batch processor, where it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one batch at most. At least 1.
    pub batch_max_size: usize,
    /// Bytes of one batch at most, but for a batch of one entry.
    pub batch_max_bytes: usize,
    /// A batch is sent when no entry came for this long. Zero: whatever waits is sent as soon as a sender is free.
    pub inactive_timeout: Duration,
    /// A batch is sent this long after its first entry, whatever else comes.
    pub buffer_duration: Duration,
    /// How often a batch is sent again after the first time before what is left of it is dropped.
    pub max_retry_count: u32,
    /// The time between two tries of a batch.
    pub retry_delay: Duration,
    /// Entries that wait or are being sent at most; more are dropped.
    pub max_pending_entries: usize,
    /// Bytes of all those entries at most; more are dropped.
    pub max_pending_bytes: usize,
    /// Batches being sent at the same time at most. At least 1. With more than one, batches may overtake each other.
    pub senders: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            batch_max_size: 1000,
            batch_max_bytes: 8 * 1024 * 1024,
            inactive_timeout: Duration::from_secs(5),
            buffer_duration: Duration::from_secs(60),
            max_retry_count: 0,
            retry_delay: Duration::from_secs(1),
            max_pending_entries: 8192,
            max_pending_bytes: 128 * 1024 * 1024,
            senders: 1,
        }
    }
}
