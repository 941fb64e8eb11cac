//! Numbers that many cores change at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

/// Parts of a counter. Threads are dealt out among them, so that two cores rarely write to the same one.
const PARTS: usize = 8;

/// Something that only grows. Cloning gives another handle to the same number.
#[derive(Clone, Default)]
pub struct Counter(Arc<[Part; PARTS]>);

/// Alone on its cache line.
#[derive(Default)]
#[repr(align(64))]
struct Part(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, number: u64) {
        if let Some(part) = PART.with(|part| self.0.get(*part)) {
            part.0.fetch_add(number, Ordering::Relaxed);
        }
    }

    /// Its value.
    pub fn value(&self) -> u64 {
        let values = self.0.iter().map(|part| part.0.load(Ordering::Relaxed));
        values.fold(0, u64::wrapping_add)
    }
}

/// Something that goes up and down. Cloning gives another handle to the same number.
#[derive(Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Makes it this number.
    pub fn set(&self, number: i64) {
        self.0.store(number, Ordering::Relaxed);
    }

    /// Adds to it; negative numbers take away.
    pub fn add(&self, number: i64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Its value.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether nobody but the family keeps it.
    pub(super) fn is_forsaken(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

static NEXT_PART: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// This thread's part.
    static PART: usize = NEXT_PART.fetch_add(1, Ordering::Relaxed) % PARTS;
}
