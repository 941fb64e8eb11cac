//! What the handles of a queue and its senders share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turn, Notify};
use tokio::time::{Instant, timeout_at};

use super::counters::{Counters, Reason, number, signed};
use super::limits::Limits;
use super::report::Report;
use super::waiting::{Batch, Due, Taken, Waiting};

/// A queue without its handles: it goes on until it is closed and empty.
pub(super) struct Shared<T> {
    pub(super) limits: Limits,
    pub(super) counters: Counters,
    pub(super) report: Arc<Report>,
    waiting: Mutex<Waiting<T>>,
    /// Told when a sender should look at `waiting`.
    news: Notify,
    /// Only one sender at a time waits for a batch.
    turn: Turn<()>,
    /// The time of a shutdown is over.
    is_abandoned: AtomicBool,
}

impl<T> Shared<T> {
    pub(super) fn new(limits: Limits, counters: Counters, report: Arc<Report>) -> Self {
        Shared {
            limits,
            counters,
            report,
            waiting: Mutex::new(Waiting::new(Instant::now())),
            news: Notify::new(),
            turn: Turn::new(()),
            is_abandoned: AtomicBool::new(false),
        }
    }

    /// Takes an entry of a worker, or says why not.
    pub(super) fn push(&self, entry: T, bytes: usize) -> Result<(), Reason> {
        let now = Instant::now();
        let taken = self.waiting().push(entry, bytes, now, &self.limits);
        let reason = match taken {
            Taken::Waits { wakes } => {
                self.counters.queued.add(1);
                self.counters.pending.add(1);
                self.counters.pending_bytes.add(signed(bytes));
                if wakes {
                    self.news.notify_one();
                }
                return Ok(());
            }
            Taken::Full => Reason::Full,
            Taken::Closed => Reason::Stopped,
        };
        self.count_dropped(reason, 1);
        Err(reason)
    }

    /// Waits for a batch; `None` when the queue is closed and everything is taken.
    pub(super) async fn next_batch(&self) -> Option<Batch<T>> {
        let _turn = self.turn.lock().await;
        loop {
            let due = {
                let mut waiting = self.waiting();
                match waiting.due(Instant::now(), &self.limits) {
                    Due::Now => return Some(waiting.take(&self.limits)),
                    Due::Over => return None,
                    due => due,
                }
            };
            match due {
                // Whatever ends the wait, the next round looks anew.
                Due::At(at) => drop(timeout_at(at, self.news.notified()).await),
                _ => self.news.notified().await,
            }
        }
    }

    /// Counts entries of a batch as delivered and lets them go.
    pub(super) fn delivered(&self, entries: usize, bytes: usize) {
        self.counters.sent.add(number(entries));
        self.settle(entries, bytes);
    }

    /// Counts entries of a batch as dropped and lets them go.
    pub(super) fn dropped(&self, reason: Reason, entries: usize, bytes: usize) {
        if entries > 0 {
            self.count_dropped(reason, entries);
            self.settle(entries, bytes);
        }
    }

    /// Takes nothing more and sends at once what waits.
    pub(super) fn close(&self) {
        self.waiting().close(Instant::now());
        self.news.notify_one();
    }

    /// Gives up what waits.
    pub(super) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
        let (entries, bytes) = {
            let mut waiting = self.waiting();
            waiting.close(Instant::now());
            waiting.abandon()
        };
        if entries > 0 {
            self.count_dropped(Reason::Stopped, entries);
            self.counters.pending.add(-signed(entries));
            self.counters.pending_bytes.add(-signed(bytes));
        }
        self.news.notify_one();
    }

    /// Whether what is left is not tried any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.waiting().is_given_up(Instant::now())
    }

    /// Why a batch is lost whose sender ends in the middle.
    pub(super) fn reason_of_end(&self) -> Reason {
        match self.is_abandoned.load(Ordering::Relaxed) {
            true => Reason::Stopped,
            false => Reason::Failed,
        }
    }

    fn settle(&self, entries: usize, bytes: usize) {
        self.waiting().settle(entries, bytes);
        self.counters.pending.add(-signed(entries));
        self.counters.pending_bytes.add(-signed(bytes));
    }

    fn count_dropped(&self, reason: Reason, entries: usize) {
        self.counters.dropped(reason).add(number(entries));
        self.report.dropped(reason, number(entries));
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        // Nothing under the lock can leave it half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
