//! Where usage of calls is kept.

use serde::Serialize;

use crate::secret::SecretRef;

/// Where usage of calls is kept, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// Where.
    pub store: UsageStore,
    /// PEM file of the authorities that PostgreSQL's certificate is checked with; `None` for the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// How long a call waits for others before it is written, in milliseconds.
    pub flush_interval_ms: u64,
    /// Bytes of calls that wait at most while the store takes none.
    pub max_waiting_bytes: u64,
    /// How long calls are kept, in seconds.
    pub keep_calls_s: u64,
    /// How long hourly sums are kept, in seconds.
    pub keep_hours_s: u64,
    /// How long daily sums are kept, in seconds.
    pub keep_days_s: u64,
}

/// Where usage is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageStore {
    /// In the file `usage.db` of the data directory.
    Embedded,
    /// In this file.
    File(String),
    /// In the database of PostgreSQL at this address.
    Postgres(SecretRef),
    /// Nowhere.
    Off,
}

impl Usage {
    /// The name of the file in the data directory.
    pub const FILE: &str = "usage.db";
    /// A crash loses at most what it answers in so long, and one transaction a second is nothing to a disk.
    pub const DEFAULT_FLUSH_INTERVAL_MS: u64 = 1000;
    /// Some 60,000 calls.
    pub const DEFAULT_WAITING_BYTES: u64 = 64 * 1024 * 1024;
    /// A month of single calls.
    pub const DEFAULT_KEEP_CALLS_S: u64 = 30 * DAY_S;
    /// A quarter by the hour.
    pub const DEFAULT_KEEP_HOURS_S: u64 = 90 * DAY_S;
    /// A year and a month by the day, so that a month can be held against that of the year before.
    pub const DEFAULT_KEEP_DAYS_S: u64 = 400 * DAY_S;

    /// Whether nothing was said about it.
    pub fn is_default(&self) -> bool {
        *self == Usage::default()
    }
}

const DAY_S: u64 = 24 * 3600;

impl Default for Usage {
    fn default() -> Self {
        Usage {
            store: UsageStore::Embedded,
            ca_file: None,
            flush_interval_ms: Usage::DEFAULT_FLUSH_INTERVAL_MS,
            max_waiting_bytes: Usage::DEFAULT_WAITING_BYTES,
            keep_calls_s: Usage::DEFAULT_KEEP_CALLS_S,
            keep_hours_s: Usage::DEFAULT_KEEP_HOURS_S,
            keep_days_s: Usage::DEFAULT_KEEP_DAYS_S,
        }
    }
}
