//! What Prometheus is told about the ledger.

use std::time::Duration;

use crate::metrics::{Counter, Gauge, Metrics};

/// Counters of the writer.
pub(super) struct Numbers {
    /// Rows that were written.
    pub(super) rows: Counter,
    /// Rows that were lost.
    pub(super) dropped: Counter,
    /// Tries that failed.
    pub(super) errors: Counter,
    /// Rounds after which nothing was left.
    pub(super) rounds: Counter,
    waiting: Gauge,
    batches: Counter,
    batch_microseconds: Counter,
}

impl Numbers {
    pub(super) fn of(metrics: &Metrics) -> Numbers {
        let counter = |name, help| metrics.counter(name, help, &[], &[]);
        Numbers {
            rows: counter("tollgate_ledger_rows_total", "Calls written to the usage ledger."),
            dropped: counter(
                "tollgate_ledger_dropped_total",
                "Calls missing in the usage ledger, because too many waited or the store refused them.",
            ),
            errors: counter(
                "tollgate_ledger_write_errors_total",
                "Failed tries to write to the usage ledger; the calls are tried again.",
            ),
            rounds: counter(
                "tollgate_ledger_rounds_total",
                "Rounds of the usage ledger's writer after which every call that waited at its beginning was written.",
            ),
            waiting: metrics.gauge(
                "tollgate_ledger_waiting",
                "Calls that wait to be written to the usage ledger.",
                &[],
                &[],
            ),
            batches: counter(
                "tollgate_ledger_batches_total",
                "Transactions of the usage ledger.",
            ),
            batch_microseconds: counter(
                "tollgate_ledger_batch_microseconds_total",
                "Time that the transactions of the usage ledger took, in microseconds.",
            ),
        }
    }

    /// So many rows wait.
    pub(super) fn waiting(&self, rows: u64) {
        self.waiting.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// A transaction took so long.
    pub(super) fn took(&self, time: Duration) {
        self.batches.add(1);
        self.batch_microseconds
            .add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }
}
