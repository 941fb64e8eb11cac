//! What is handed over to Kafka.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::wire::RECORD_OVERHEAD;

/// A record (message) for the producer's topic.
#[derive(Clone, Debug)]
pub struct Record {
    /// Decides about the partition; without one, any partition will do.
    pub key: Option<Bytes>,
    /// The message.
    pub value: Bytes,
    /// When it was made, in milliseconds since 1970.
    pub timestamp: i64,
    /// Tells it from all others, however often it is sent.
    pub(super) number: u64,
}

impl Record {
    /// A record of this moment.
    pub fn new(key: Option<Bytes>, value: Bytes) -> Record {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Record {
            key,
            value,
            timestamp: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// About how many bytes it takes on the way, at least those of its key and value.
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len) + self.value.len() + RECORD_OVERHEAD
    }
}
