//! Tells the operator that entries are lost, but not so often that this becomes the next problem.

use std::borrow::Cow;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::counters::Reason;

/// Time between two reports of one queue.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// What was not told yet.
pub(super) struct Report {
    sink: String,
    untold: Mutex<Untold>,
    /// Whether `untold` holds something, so that a worker wakes the reporter once and not for every entry.
    owes: AtomicBool,
    news: Notify,
}

/// What happened since the last report.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Untold {
    pub(super) full: u64,
    pub(super) failed: u64,
    pub(super) too_large: u64,
    pub(super) stopped: u64,
    pub(super) errors: u64,
    /// The text of the last error.
    pub(super) cause: Option<Cow<'static, str>>,
}

impl Report {
    pub(super) fn new(sink: &str) -> Self {
        Report {
            sink: sink.to_owned(),
            untold: Mutex::default(),
            owes: AtomicBool::new(false),
            news: Notify::new(),
        }
    }

    pub(super) fn dropped(&self, reason: Reason, entries: u64) {
        let mut untold = self.untold();
        let number = match reason {
            Reason::Full => &mut untold.full,
            Reason::Failed => &mut untold.failed,
            Reason::TooLarge => &mut untold.too_large,
            Reason::Stopped => &mut untold.stopped,
        };
        *number += entries;
        drop(untold);
        self.owe();
    }

    pub(super) fn failed(&self, cause: Cow<'static, str>) {
        let mut untold = self.untold();
        untold.errors += 1;
        untold.cause = Some(cause);
        drop(untold);
        self.owe();
    }

    /// Tells at once what is untold, if anything.
    pub(super) fn tell(&self) {
        if !self.owes.swap(false, Ordering::Relaxed) {
            return;
        }
        let untold = mem::take(&mut *self.untold());
        if untold == Untold::default() {
            return;
        }
        let lost = untold.full + untold.failed + untold.too_large + untold.stopped;
        let error = untold.cause.as_deref();
        match lost {
            0 => tracing::warn!(
                sink = self.sink,
                send_errors = untold.errors,
                error,
                "entries could not be delivered, trying again"
            ),
            _ => tracing::error!(
                sink = self.sink,
                dropped_full = untold.full,
                dropped_failed = untold.failed,
                dropped_too_large = untold.too_large,
                dropped_stopped = untold.stopped,
                send_errors = untold.errors,
                error,
                "entries are lost"
            ),
        }
    }

    #[cfg(test)]
    pub(super) fn take(&self) -> Untold {
        mem::take(&mut *self.untold())
    }

    fn owe(&self) {
        if !self.owes.swap(true, Ordering::Relaxed) {
            self.news.notify_one();
        }
    }

    fn untold(&self) -> MutexGuard<'_, Untold> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what happens to a queue: the first time at once, then at most every [`REPORT_INTERVAL`]. Whoever ends it tells
/// what is left.
pub(super) async fn run(report: Arc<Report>) {
    loop {
        report.news.notified().await;
        report.tell();
        sleep(REPORT_INTERVAL).await;
    }
}
