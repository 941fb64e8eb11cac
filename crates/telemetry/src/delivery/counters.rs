//! The numbers of a queue, for Prometheus and for our own log.

use crate::metrics::{Counter, Gauge, Metrics};

/// Why an entry was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The queue held as much as it may.
    Full,
    /// It could not be sent as often as it may be tried, or was refused for good.
    Failed,
    /// It is larger than what the peer takes.
    TooLarge,
    /// The gateway stopped before it could be sent.
    Stopped,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 4] = [Reason::Full, Reason::Failed, Reason::TooLarge, Reason::Stopped];

    /// The value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Full => "full",
            Reason::Failed => "failed",
            Reason::TooLarge => "too_large",
            Reason::Stopped => "stopped",
        }
    }
}

/// What is known of the entries of a sink, all queues of its name together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries that were taken.
    pub queued: u64,
    /// Entries that were delivered.
    pub sent: u64,
    /// Entries that were dropped because a queue was full.
    pub full: u64,
    /// Entries that were dropped because they could not be sent.
    pub failed: u64,
    /// Entries that were dropped because they are too large.
    pub too_large: u64,
    /// Entries that were dropped because the gateway stopped.
    pub stopped: u64,
    /// Tries after the first ones.
    pub retries: u64,
    /// Tries that failed, wholly or in part.
    pub errors: u64,
}

/// The counters of a queue.
#[derive(Clone)]
pub(super) struct Counters {
    pub(super) queued: Counter,
    pub(super) sent: Counter,
    pub(super) retries: Counter,
    pub(super) errors: Counter,
    pub(super) pending: Gauge,
    pub(super) pending_bytes: Gauge,
    full: Counter,
    failed: Counter,
    too_large: Counter,
    stopped: Counter,
}

impl Counters {
    pub(super) fn new(metrics: &Metrics, sink: &str) -> Self {
        let counter = |name, help| metrics.counter(name, help, SINK, &[sink]);
        let gauge = |name, help| metrics.gauge(name, help, SINK, &[sink]);
        let dropped = |reason: Reason| {
            metrics.counter(
                "tollgate_delivery_dropped_total",
                DROPPED_HELP,
                SINK_AND_REASON,
                &[sink, reason.as_str()],
            )
        };
        Counters {
            queued: counter("tollgate_delivery_queued_total", "Entries taken to be sent."),
            sent: counter("tollgate_delivery_sent_total", "Entries delivered."),
            retries: counter("tollgate_delivery_retries_total", "Batches sent again."),
            errors: counter(
                "tollgate_delivery_errors_total",
                "Batches that could not be sent, or not wholly, each time.",
            ),
            pending: gauge(
                "tollgate_delivery_pending_entries",
                "Entries that wait or are being sent.",
            ),
            pending_bytes: gauge(
                "tollgate_delivery_pending_bytes",
                "Bytes of the entries that wait or are being sent.",
            ),
            full: dropped(Reason::Full),
            failed: dropped(Reason::Failed),
            too_large: dropped(Reason::TooLarge),
            stopped: dropped(Reason::Stopped),
        }
    }

    pub(super) fn dropped(&self, reason: Reason) -> &Counter {
        match reason {
            Reason::Full => &self.full,
            Reason::Failed => &self.failed,
            Reason::TooLarge => &self.too_large,
            Reason::Stopped => &self.stopped,
        }
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            queued: self.queued.value(),
            sent: self.sent.value(),
            full: self.full.value(),
            failed: self.failed.value(),
            too_large: self.too_large.value(),
            stopped: self.stopped.value(),
            retries: self.retries.value(),
            errors: self.errors.value(),
        }
    }
}

/// A number as counters take it.
pub(super) fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A number as gauges take it.
pub(super) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What `tollgate_delivery_dropped_total` is.
pub(crate) const DROPPED_HELP: &str = "Entries that were lost: the queue was full, they could not be sent, were too large, or the gateway stopped.";

const SINK: &[&str] = &["sink"];
const SINK_AND_REASON: &[&str] = &["sink", "reason"];
