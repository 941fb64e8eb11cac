//! Whether a server is asked at all. One that does not answer is left alone until it does again, so that calls do not pile up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::{Observer, Purpose};

/// Failures in a row after which a server is left alone.
const FAILURES: u32 = 3;

/// What is known of one server, by all workers.
pub(super) struct Circuit {
    /// The server, as the log names it.
    name: String,
    purpose: Purpose,
    observer: Arc<dyn Observer>,
    /// Failures since the last answer.
    failures: AtomicU32,
    is_open: AtomicBool,
    /// Whether the server answers with errors, so that the log is told only once.
    is_erring: AtomicBool,
    /// Whether somebody looks when the server is back.
    is_watched: AtomicBool,
}

/// The right to look when a server is back, which only one has.
pub(super) struct Watch(Arc<Circuit>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.is_watched.store(false, Ordering::Release);
    }
}

impl Circuit {
    pub(super) fn new(name: String, purpose: Purpose, observer: Arc<dyn Observer>) -> Self {
        observer.answering(&name, true);
        Circuit {
            name,
            purpose,
            observer,
            failures: AtomicU32::new(0),
            is_open: AtomicBool::new(false),
            is_erring: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
        }
    }

    /// Whether the server is left alone.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Whether the server does what it is told, as far as is known.
    pub(super) fn is_well(&self) -> bool {
        !self.is_open() && !self.is_erring.load(Ordering::Relaxed)
    }

    /// The server has done what it was told.
    pub(super) fn succeeded(&self) {
        // Read first: it is written by few and read by all.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.is_erring.load(Ordering::Relaxed) && self.is_erring.swap(false, Ordering::Relaxed) {
            tracing::info!(redis = %self.name, "Redis does what it is told again");
            self.observer.answering(&self.name, true);
        }
    }

    /// The server has answered that it cannot do what it was told.
    pub(super) fn erred(&self, error: &str) {
        self.failures.store(0, Ordering::Relaxed);
        if !self.is_erring.swap(true, Ordering::Relaxed) {
            let meanwhile = self.purpose.without_redis();
            tracing::error!(redis = %self.name, error, "Redis refuses to do what it is told; {meanwhile}");
            self.observer.answering(&self.name, false);
        }
    }

    /// The server has not answered.
    pub(super) fn failed(&self, error: &str) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= FAILURES && !self.is_open.swap(true, Ordering::AcqRel) {
            let meanwhile = self.purpose.without_redis();
            tracing::error!(redis = %self.name, error, "Redis does not answer; {meanwhile}");
            self.observer.answering(&self.name, false);
        }
    }

    /// The server answers again.
    pub(super) fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
        if self.is_open.swap(false, Ordering::AcqRel) {
            tracing::info!(redis = %self.name, "Redis answers again");
            self.observer.answering(&self.name, true);
        }
    }

    /// The right to look when the server is back, if nobody has it.
    pub(super) fn watch(self: &Arc<Self>) -> Option<Watch> {
        let is_first = !self.is_watched.swap(true, Ordering::AcqRel);
        is_first.then(|| Watch(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_left_alone_after_failures_in_a_row_until_it_answers() {
        let circuit = Circuit::new("a".to_owned(), Purpose::Limits, Arc::new(()));
        circuit.failed("refused");
        circuit.failed("refused");
        circuit.succeeded();
        circuit.failed("refused");
        circuit.failed("refused");
        // It has answered, though badly: nobody waits for such answers.
        circuit.erred("OOM");
        circuit.failed("refused");
        assert!(!circuit.is_open());
        circuit.failed("refused");
        circuit.failed("refused");
        assert!(circuit.is_open());
        circuit.close();
        assert!(!circuit.is_open());
    }

    #[test]
    fn only_one_looks_when_a_server_is_back() {
        let circuit = Arc::new(Circuit::new("a".to_owned(), Purpose::Limits, Arc::new(())));
        let first = circuit.watch();
        assert!(first.is_some());
        assert!(circuit.watch().is_none());
        drop(first);
        assert!(circuit.watch().is_some());
    }
}
