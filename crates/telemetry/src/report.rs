//! Tells the operator that records are lost, but not so often that this becomes the next problem.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Time between two reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// What was told and what is still to be told.
#[derive(Debug)]
pub(crate) struct Reporter {
    /// What is written, such as `access log`.
    what: &'static str,
    last_report: Option<Instant>,
    errors_told: u64,
    dropped_told: u64,
    last_error: Option<String>,
    owes: bool,
}

/// What happened since the last report.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    errors: u64,
    dropped: u64,
}

impl Reporter {
    /// A reporter that has told nothing yet.
    pub(crate) fn new(what: &'static str) -> Reporter {
        Reporter {
            what,
            last_report: None,
            errors_told: 0,
            dropped_told: 0,
            last_error: None,
            owes: false,
        }
    }

    /// Keeps the text of the error for the next report.
    pub(crate) fn remember(&mut self, error: &impl Display) {
        self.last_error = Some(error.to_string());
    }

    /// Reports what is new in the totals, if the last report is long enough ago.
    pub(crate) fn report(&mut self, errors: u64, dropped: u64, now: Instant) {
        if let Some(report) = self.due(errors, dropped, now) {
            self.tell(&report);
        }
    }

    /// Reports what is new in the totals at once, for the last time.
    pub(crate) fn report_all(&mut self, errors: u64, dropped: u64) {
        let report = self.since_told(errors, dropped);
        if report.errors > 0 || report.dropped > 0 {
            self.tell(&report);
        }
    }

    /// Whether something waits to be told.
    pub(crate) fn owes(&self) -> bool {
        self.owes
    }

    fn due(&mut self, errors: u64, dropped: u64, now: Instant) -> Option<Report> {
        let report = self.since_told(errors, dropped);
        if report.errors == 0 && report.dropped == 0 {
            return None;
        }
        self.owes = self
            .last_report
            .is_some_and(|last| now.saturating_duration_since(last) < REPORT_INTERVAL);
        if self.owes {
            return None;
        }
        self.last_report = Some(now);
        self.errors_told = errors;
        self.dropped_told = dropped;
        Some(report)
    }

    fn since_told(&self, errors: u64, dropped: u64) -> Report {
        Report {
            errors: errors.saturating_sub(self.errors_told),
            dropped: dropped.saturating_sub(self.dropped_told),
        }
    }

    fn tell(&mut self, report: &Report) {
        let error = self.last_error.take();
        tracing::error!(
            write_errors = report.errors,
            dropped = report.dropped,
            error = error.as_deref(),
            "the {} is not written completely",
            self.what
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_problem_is_told_at_once_and_the_next_ones_every_ten_seconds() {
        let mut reporter = Reporter::new("log");
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(reporter.due(0, 0, start), None);
        assert_eq!(
            reporter.due(1, 0, start),
            Some(Report {
                errors: 1,
                dropped: 0
            })
        );
        assert_eq!(reporter.due(1, 0, after(20)), None);
        assert!(!reporter.owes());
        assert_eq!(
            reporter.due(5, 2, after(20)),
            Some(Report {
                errors: 4,
                dropped: 2
            })
        );
        assert_eq!(reporter.due(6, 2, after(29)), None);
        assert!(reporter.owes());
        assert_eq!(
            reporter.due(7, 3, after(30)),
            Some(Report {
                errors: 2,
                dropped: 1
            })
        );
        assert!(!reporter.owes());
    }
}
