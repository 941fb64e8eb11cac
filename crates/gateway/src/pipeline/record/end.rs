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
        let last = self
            .attempts
            .last()
            .filter(|attempt| attempt.asks.model().is_some());
        let ended = Ended {
            request_id: &self.request_id,
            instance: last.map(|attempt| &**attempt.asks.name()),
            usage: self.usage.as_ref(),
            estimated_input: self.estimated_input,
            status: self.status,
            error_code: self.error_code.as_deref(),
            complete: self.complete,
            duration: self.started.elapsed(),
            upstream_time: self.upstream_time,
        };
        for one in at_end {
            one.end(&ended);
        }
    }
}
