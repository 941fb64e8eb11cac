//! Tells plugins how a call has ended.

use super::Record;
use crate::plugins::Ended;

impl Record {
    /// Does what plugins have left for the end of the call.
    pub(super) fn tell_end(&mut self) {
        if self.at_end.is_empty() {
            return;
        }
        let at_end = std::mem::take(&mut self.at_end);
        let attempts = self.attempts.borrow();
        let last = attempts.last();
        let ended = Ended {
            request_id: &self.request_id,
            instance: last
                .filter(|attempt| attempt.asks.model().is_some())
                .map(|attempt| &**attempt.asks.name()),
            usage: last.and_then(|attempt| attempt.usage.as_ref()),
            estimated_input: self.estimated_input,
            status: self.status,
            error_code: self.error_code.as_deref(),
            complete: self.complete,
            duration: self.started.elapsed(),
            upstream_time: last.map(|attempt| attempt.duration),
        };
        for one in at_end {
            one.end(&ended);
        }
    }
}
