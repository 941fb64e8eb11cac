//! One sender of a queue: takes a batch, tries it as often as it may, takes the next.

use std::borrow::Cow;
use std::mem;
use std::sync::Arc;

use tokio::time::sleep;

use super::counters::Reason;
use super::shared::Shared;
use super::sink::{Fate, Sent, Sink};
use super::waiting::Batch;

/// Sends until the queue is closed and empty.
pub(super) async fn run<T: Send + Sync, S: Sink<T>>(shared: Arc<Shared<T>>, mut sink: S) {
    while let Some(batch) = shared.next_batch().await {
        let mut held = Held {
            shared: &shared,
            batch,
        };
        held.deliver(&mut sink).await;
    }
}

/// A batch that is counted whatever happens to its sender.
struct Held<'a, T> {
    shared: &'a Shared<T>,
    batch: Batch<T>,
}

impl<T: Send + Sync> Held<'_, T> {
    async fn deliver<S: Sink<T>>(&mut self, sink: &mut S) {
        let mut retries = 0;
        loop {
            let (cause, may_retry) = match sink.send(&self.batch.entries).await {
                Ok(Sent::All) => {
                    let (entries, bytes) = self.release();
                    self.shared.delivered(entries, bytes);
                    return;
                }
                Ok(Sent::Each { fates, cause }) => (self.sort_out(&fates).then_some(cause), true),
                Err(error) => (Some(error.cause), error.may_retry),
            };
            // Told each entry's fate, and all of them were good.
            let Some(cause) = cause else { return };
            self.failed(cause);
            if self.batch.entries.is_empty() {
                return;
            }
            let may_retry = may_retry && retries < self.shared.limits.max_retry_count;
            if !may_retry || self.shared.is_given_up() {
                self.drop_rest(Reason::Failed);
                return;
            }
            retries += 1;
            sleep(self.shared.limits.retry_delay).await;
            self.shared.counters.retries.add(1);
        }
    }

    fn failed(&self, cause: Cow<'static, str>) {
        self.shared.counters.errors.add(1);
        self.shared.report.failed(cause);
    }

    /// Keeps the entries that are to be sent again. Returns whether anything was not delivered.
    fn sort_out(&mut self, fates: &[Fate]) -> bool {
        let fates = fates.iter().copied().chain(std::iter::repeat(Fate::Again));
        let entries = mem::take(&mut self.batch.entries);
        let bytes = mem::take(&mut self.batch.bytes);
        let mut sums = [(0usize, 0usize); 3];
        for ((entry, bytes), fate) in entries.into_iter().zip(bytes).zip(fates) {
            let [delivered, too_large, refused] = &mut sums;
            let sum = match fate {
                Fate::Again => {
                    self.batch.entries.push(entry);
                    self.batch.bytes.push(bytes);
                    continue;
                }
                Fate::Delivered => delivered,
                Fate::TooLarge => too_large,
                Fate::Refused => refused,
            };
            sum.0 += 1;
            sum.1 += bytes;
        }
        let [delivered, too_large, refused] = sums;
        self.shared.delivered(delivered.0, delivered.1);
        self.shared.dropped(Reason::TooLarge, too_large.0, too_large.1);
        self.shared.dropped(Reason::Failed, refused.0, refused.1);
        too_large.0 + refused.0 + self.batch.entries.len() > 0
    }

    fn drop_rest(&mut self, reason: Reason) {
        let (entries, bytes) = self.release();
        self.shared.dropped(reason, entries, bytes);
    }

    /// Gives up the entries and says how many they were, and their bytes.
    fn release(&mut self) -> (usize, usize) {
        let entries = mem::take(&mut self.batch.entries).len();
        let bytes = mem::take(&mut self.batch.bytes).iter().sum();
        (entries, bytes)
    }
}

impl<T> Drop for Held<'_, T> {
    /// A sender that is stopped in the middle, or panics, loses what it held.
    fn drop(&mut self) {
        let entries = mem::take(&mut self.batch.entries).len();
        let bytes = mem::take(&mut self.batch.bytes).iter().sum();
        let reason = self.shared.reason_of_end();
        self.shared.dropped(reason, entries, bytes);
    }
}
