//! The entries that wait for a batch, and when the next batch is due.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::limits::Limits;

/// What waits and what is counted with it.
pub(super) struct Waiting<T> {
    /// Oldest first.
    entries: VecDeque<Weighed<T>>,
    /// Bytes of `entries`.
    bytes: usize,
    /// When the newest came.
    last: Instant,
    /// Entries that wait or are being sent.
    pending: usize,
    /// Bytes of those.
    pending_bytes: usize,
    /// Since when nothing more is taken.
    closed: Option<Instant>,
}

struct Weighed<T> {
    entry: T,
    bytes: usize,
    came: Instant,
}

/// When to make a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// At once.
    Now,
    /// At this time, if nothing comes before.
    At(Instant),
    /// Not before something comes.
    Open,
    /// Never again.
    Over,
}

/// Entries that are being sent.
pub(super) struct Batch<T> {
    /// Never empty when it is taken.
    pub(super) entries: Vec<T>,
    /// The bytes of each of them.
    pub(super) bytes: Vec<usize>,
}

/// What came of taking an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits. `wakes`: a sender that sleeps should look now.
    Waits { wakes: bool },
    /// There is no room.
    Full,
    /// The queue is closed.
    Closed,
}

impl<T> Waiting<T> {
    pub(super) fn new(now: Instant) -> Self {
        Waiting {
            entries: VecDeque::new(),
            bytes: 0,
            last: now,
            pending: 0,
            pending_bytes: 0,
            closed: None,
        }
    }

    /// Takes an entry if there is room.
    pub(super) fn push(&mut self, entry: T, bytes: usize, now: Instant, limits: &Limits) -> Taken {
        if self.closed.is_some() {
            return Taken::Closed;
        }
        let pending_bytes = self.pending_bytes.saturating_add(bytes);
        if self.pending >= limits.max_pending_entries || pending_bytes > limits.max_pending_bytes {
            return Taken::Full;
        }
        let was_due = self.is_full_batch(limits);
        let was_empty = self.entries.is_empty();
        self.entries.push_back(Weighed {
            entry,
            bytes,
            came: now,
        });
        self.bytes += bytes;
        self.last = now;
        self.pending += 1;
        self.pending_bytes = pending_bytes;
        Taken::Waits {
            wakes: was_empty || (!was_due && self.is_full_batch(limits)),
        }
    }

    /// When the next batch is to be made.
    pub(super) fn due(&self, now: Instant, limits: &Limits) -> Due {
        let Some(first) = self.entries.front() else {
            return if self.closed.is_some() {
                Due::Over
            } else {
                Due::Open
            };
        };
        if self.closed.is_some() || self.is_full_batch(limits) {
            return Due::Now;
        }
        let inactive = self.last.checked_add(limits.inactive_timeout);
        let oldest = first.came.checked_add(limits.buffer_duration);
        match inactive.into_iter().chain(oldest).min() {
            Some(at) if at <= now => Due::Now,
            Some(at) => Due::At(at),
            None => Due::Open,
        }
    }

    /// Moves the oldest entries into a batch. They stay pending.
    pub(super) fn take(&mut self, limits: &Limits) -> Batch<T> {
        let mut batch = Batch {
            entries: Vec::new(),
            bytes: Vec::new(),
        };
        let mut sum = 0usize;
        while batch.entries.len() < limits.batch_max_size.max(1) {
            let Some(next) = self.entries.front() else { break };
            let with_next = sum.saturating_add(next.bytes);
            if !batch.entries.is_empty() && with_next > limits.batch_max_bytes {
                break;
            }
            let Some(next) = self.entries.pop_front() else {
                break;
            };
            sum = with_next;
            self.bytes = self.bytes.saturating_sub(next.bytes);
            batch.entries.push(next.entry);
            batch.bytes.push(next.bytes);
        }
        if self.entries.is_empty() {
            // What one burst needed is not kept for ever.
            self.entries.shrink_to(KEPT);
        }
        batch
    }

    /// Lets entries go that were being sent.
    pub(super) fn settle(&mut self, entries: usize, bytes: usize) {
        self.pending = self.pending.saturating_sub(entries);
        self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
    }

    /// Takes nothing more; what waits is due now.
    pub(super) fn close(&mut self, now: Instant) {
        self.closed.get_or_insert(now);
    }

    /// Whether what is left is not tried any more: nobody keeps the queue, and it had its time.
    pub(super) fn is_given_up(&self, now: Instant) -> bool {
        self.closed
            .is_some_and(|closed| now.saturating_duration_since(closed) > LAST_TRIES)
    }

    /// Throws away what waits and says how many entries and bytes that were.
    pub(super) fn abandon(&mut self) -> (usize, usize) {
        let abandoned = (self.entries.len(), self.bytes);
        self.entries = VecDeque::new();
        self.bytes = 0;
        self.settle(abandoned.0, abandoned.1);
        abandoned
    }

    fn is_full_batch(&self, limits: &Limits) -> bool {
        self.entries.len() >= limits.batch_max_size.max(1) || self.bytes >= limits.batch_max_bytes
    }
}

/// How long what is left in a queue that nobody keeps is tried again.
const LAST_TRIES: Duration = Duration::from_secs(30);

/// Entries for which an idle queue keeps room.
const KEPT: usize = 256;
