//! Tells those who wait for it how a call has ended.

use super::line::token_usage;
use super::{Asks, Attempt, Record};
use crate::plugins::{Ended, EndedAttempt, Used};

impl Record {
    /// Charges what the last attempt has used, whose answer is complete. Later calls change nothing.
    pub fn charge(&self) {
        if let Some(last) = self.attempts.borrow_mut().last_mut() {
            self.charge_attempt(last, true);
            self.settle_attempt(last);
        }
    }

    /// Charges what an attempt has used, before the call has ended. `answered` is whether its answer has come. Later calls
    /// change nothing.
    pub(super) fn charge_attempt(&self, attempt: &mut Attempt, answered: bool) {
        if attempt.is_charged || self.admission.is_open() {
            return;
        }
        if let Some(mut told) = ended(attempt) {
            told.answered |= answered;
            self.admission.charge(&told, &self.request_id);
            attempt.is_charged = true;
        }
    }

    /// Does what limits and plugins have left for the end of the call.
    pub(super) fn tell_end(&mut self) {
        if self.at_end.is_empty() && self.admission.is_open() {
            return;
        }
        let at_end = std::mem::take(&mut self.at_end);
        let attempts = self.attempts.borrow();
        let told: Vec<EndedAttempt<'_>> = attempts.iter().filter_map(|attempt| ended(attempt)).collect();
        let ended = Ended {
            request_id: &self.request_id,
            attempts: &told,
            status: self.status,
            error_code: self.error_code.as_deref(),
            complete: self.complete,
            duration: self.started.elapsed(),
            upstream_time: attempts.last().map(|attempt| attempt.duration),
        };
        self.admission.end(&ended);
        for one in at_end {
            one.end(&ended);
        }
    }
}

/// An attempt that asked an instance, as others are told of it.
fn ended(attempt: &Attempt) -> Option<EndedAttempt<'_>> {
    let Asks::Instance { instance, .. } = &attempt.asks else {
        return None;
    };
    Some(EndedAttempt {
        instance: &instance.name,
        used: attempt.usage.as_ref().map(|usage| Used {
            tokens: attempt.llm_tokens().of(token_usage(usage)),
            usage,
            api: attempt.passed_as,
        }),
        answered: attempt.status.is_some_and(|status| (200..300).contains(&status)),
        is_charged: attempt.is_charged,
    })
}
