//! Whether instances have room left for a call, by the limits of tokens that hold for it; and what the call has cost, when it
//! has ended.
//!
//! Where instances are chosen, [`Admission::has_room`] tells whether an instance may be taken, and [`Admission::admit`]
//! whether the one that was taken may be asked. With limits that reserve, a yes holds tokens until the instance has failed or
//! the call has ended. Then each attempt is charged what it used, to the limits of its own instance.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use tollgate_store::counters::Reservation;

use crate::ai::output::OutputLimit;
use crate::clock;
use crate::error::CallError;
use crate::http1::told::Headers;
use crate::plugins::{CallLimits, Ended, EndedAttempt, Refusal};
use crate::snapshot::Model;

/// What limits say about the instances a call may use. Without limits there is always room.
// Boxed: calls without limits shall not pay for its size.
#[derive(Default)]
pub struct Admission(Option<Box<Limited>>);

/// The same for a call that has limits.
struct Limited {
    limits: Vec<CallLimits>,
    /// Needed only where limits reserve.
    expected: Option<Expected>,
    asked: RefCell<Vec<Asked>>,
    headers: RefCell<HeaderMap>,
    /// Whether differences from APISIX are switched off.
    strict: bool,
    /// Whether the call is only explained: nothing is reserved or counted.
    peeks: bool,
}

/// What a call may use, as far as it can be told before.
pub struct Expected {
    /// Our estimate of the tokens of the request.
    pub input: u64,
    /// What the request says about the length of its answer.
    pub output: OutputLimit,
    /// Whose instances may say otherwise.
    pub model: Option<Arc<Model>>,
}

/// One of the limits, which has been asked.
struct Asked {
    /// Which one.
    number: usize,
    /// For which instance; `None` if its answer is the same for all.
    instance: Option<Box<str>>,
    refusal: Option<Refusal>,
    /// What is held of it for the call, one for each of its windows.
    reservations: Vec<Reservation>,
}

impl Asked {
    fn answers(&self, number: usize, instance: &str) -> bool {
        self.number == number && self.instance.as_deref().is_none_or(|asked| asked == instance)
    }
}

impl Admission {
    /// By these limits.
    pub fn new(limits: Vec<CallLimits>, expected: Option<Expected>, strict: bool) -> Self {
        if limits.is_empty() {
            return Admission::default();
        }
        Admission(Some(Box::new(Limited {
            limits,
            expected,
            asked: RefCell::default(),
            headers: RefCell::default(),
            strict,
            peeks: false,
        })))
    }

    /// The same for a call that is only explained.
    #[must_use]
    pub fn that_peeks(mut self, peeks: bool) -> Self {
        if let Some(limited) = &mut self.0 {
            limited.peeks = peeks;
        }
        self
    }

    /// Whether there are no limits at all.
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// Whether an instance has room for the call by its own limit. Each instance is asked once; later calls repeat the
    /// verdict.
    ///
    /// # Errors
    /// It cannot be told, and the configuration says to refuse such calls.
    pub async fn has_room(&self, instance: &str) -> Result<bool, CallError> {
        match &self.0 {
            Some(limited) => limited.has_room(instance).await,
            None => Ok(true),
        }
    }

    /// Whether an instance is known to have no room, without asking anybody.
    pub fn is_known_full(&self, instance: &str) -> bool {
        self.0
            .as_ref()
            .is_some_and(|limited| limited.is_known_full(instance))
    }

    /// Whether the call may go to the instance that was chosen for it.
    ///
    /// # Errors
    /// What the client is told otherwise.
    pub async fn admit(&self, instance: &str) -> Result<(), CallError> {
        match &self.0 {
            Some(limited) => limited.admit(instance).await,
            None => Ok(()),
        }
    }

    /// What the client is told when no instance is left, if that is because instances had no room: the refusal of the one
    /// that has room again first. APISIX has a word of its own for that.
    pub fn nobody_left(&self) -> Option<CallError> {
        self.0.as_ref()?.nobody_left()
    }

    /// Tells the client what is left.
    pub fn tell(&self, headers: &mut dyn Headers) {
        if let Some(limited) = &self.0 {
            limited.tell(headers);
        }
    }

    /// An instance has failed, or is not asked after all: what is held for it is given back. What it has used all the same is charged in the end.
    pub fn release(&self, instance: &str) {
        if let Some(limited) = &self.0 {
            limited.release(instance);
        }
    }

    /// An attempt is over, but the call goes on: it is charged now, and what is held for it beyond that is given back.
    pub fn charge(&self, attempt: &EndedAttempt<'_>, request_id: &str) {
        if let Some(limited) = &self.0 {
            limited.charge_all(attempt, request_id, clock::steady());
        }
    }

    /// The call has ended: its attempts are charged that are not yet, and what is still held is given back.
    pub fn end(&self, call: &Ended<'_>) {
        if let Some(limited) = &self.0 {
            limited.end(call);
        }
    }
}

impl Limited {
    async fn has_room(&self, instance: &str) -> Result<bool, CallError> {
        for (number, limits) in self.limits.iter().enumerate() {
            if !limits.is_by_instance() {
                continue;
            }
            match self.refusal(number, limits, instance).await {
                None => {}
                Some(Refusal::Full { .. }) => return Ok(false),
                // In APISIX an instance of which nothing is known is one without room.
                Some(_) if self.strict => return Ok(false),
                Some(refusal) => return Err(limits.error(&refusal)),
            }
        }
        Ok(true)
    }

    fn is_known_full(&self, instance: &str) -> bool {
        let now = clock::steady();
        let mut by_instance = self.limits.iter().filter(|limits| limits.is_by_instance());
        by_instance.any(|limits| limits.is_known_full(instance, now))
    }

    async fn admit(&self, instance: &str) -> Result<(), CallError> {
        for (number, limits) in self.limits.iter().enumerate() {
            if let Some(refusal) = self.refusal(number, limits, instance).await {
                return Err(limits.error(&refusal));
            }
        }
        Ok(())
    }

    fn nobody_left(&self) -> Option<CallError> {
        let asked = self.asked.borrow();
        let full = asked.iter().filter_map(|asked| match asked.refusal? {
            Refusal::Full { reset_ms } => Some((reset_ms, asked.number)),
            Refusal::Unclear | Refusal::Unavailable => None,
        });
        let (reset_ms, number) = full.min()?;
        if self.strict {
            let mut error = CallError::gateway("quota_exceeded", "all servers tried").told_as_text();
            error.status = StatusCode::SERVICE_UNAVAILABLE;
            return Some(error);
        }
        Some(self.limits.get(number)?.error(&Refusal::Full { reset_ms }))
    }

    fn tell(&self, headers: &mut dyn Headers) {
        for (name, value) in self.headers.borrow().iter() {
            if let Ok(text) = value.to_str() {
                headers.put(name, text);
            }
        }
    }

    fn release(&self, instance: &str) {
        let mut asked = self.asked.borrow_mut();
        // What has been refused stays so.
        asked.retain(|asked| asked.instance.as_deref() != Some(instance) || asked.refusal.is_some());
    }

    fn end(&self, call: &Ended<'_>) {
        let now = clock::steady();
        // APISIX knows only the last attempt.
        let unknown = if self.strict {
            call.attempts.len().saturating_sub(1)
        } else {
            0
        };
        for attempt in call
            .attempts
            .iter()
            .skip(unknown)
            .filter(|attempt| !attempt.is_charged)
        {
            self.charge_all(attempt, call.request_id, now);
        }
        self.asked.borrow_mut().clear();
    }

    fn charge_all(&self, attempt: &EndedAttempt<'_>, request_id: &str, now: SystemTime) {
        for (number, limits) in self.limits.iter().enumerate() {
            self.charge_by(number, limits, attempt, request_id, now);
        }
    }

    fn charge_by(
        &self,
        number: usize,
        limits: &CallLimits,
        attempt: &EndedAttempt<'_>,
        request_id: &str,
        now: SystemTime,
    ) {
        let cost = attempt.used.and_then(|used| {
            limits.cost(&used).unwrap_or_else(|error| {
                tracing::warn!(request_id, %error, "cost_expr gives no cost for an answer");
                (!self.strict).then_some(used.tokens.total)
            })
        });
        let instance = attempt.instance;
        let is_estimate = attempt.used.is_none_or(|used| used.usage.estimated);
        let held = self.take_held(number, instance);
        if held.is_empty() {
            match cost {
                Some(0) => {}
                Some(cost) => limits.charge(instance, cost, is_estimate, now),
                None if attempt.answered => {
                    tracing::warn!(
                        request_id,
                        instance,
                        "an answer is not charged: its usage is not known"
                    );
                }
                None => {}
            }
            return;
        }
        // An answer without a word about usage may have been billed, and nobody says how much.
        let reserved = held.iter().map(Reservation::amount).max();
        let Some(cost) = cost.or_else(|| reserved.filter(|_| attempt.answered)) else {
            return;
        };
        limits.note_charge(cost, is_estimate);
        for reservation in held {
            reservation.settle(cost, now);
        }
    }

    fn take_held(&self, number: usize, instance: &str) -> Vec<Reservation> {
        let mut asked = self.asked.borrow_mut();
        let known = asked.iter_mut().find(|asked| asked.answers(number, instance));
        known.map_or_else(Vec::new, |asked| std::mem::take(&mut asked.reservations))
    }

    /// Why one of the limits refuses the call an instance; `None` if it does not.
    async fn refusal(&self, number: usize, limits: &CallLimits, instance: &str) -> Option<Refusal> {
        {
            let asked = self.asked.borrow();
            if let Some(known) = asked.iter().find(|asked| asked.answers(number, instance)) {
                return known.refusal;
            }
        }
        let estimate = self.estimate(limits, instance);
        let answer = if self.peeks {
            limits.peek(instance, estimate, clock::steady()).await
        } else {
            limits.ask(instance, estimate, clock::steady()).await
        };
        self.headers.borrow_mut().extend(answer.headers);
        self.asked.borrow_mut().push(Asked {
            number,
            instance: (limits.is_by_instance() || estimate.is_some()).then(|| instance.into()),
            refusal: answer.refusal,
            reservations: answer.reservations,
        });
        answer.refusal
    }

    /// What is to be reserved for an instance; `None` if limits do not reserve.
    fn estimate(&self, limits: &CallLimits, instance: &str) -> Option<u64> {
        let otherwise = limits.reserved_output()?;
        let expected = self.expected.as_ref()?;
        let mut instances = expected.model.iter().flat_map(|model| model.pool.instances());
        let conf = instances
            .find(|known| *known.name == *instance)
            .and_then(|known| known.ai.as_ref());
        let conf = conf.map(|ai| &ai.conf);
        let output = expected.output.tokens(conf, self.strict, || otherwise);
        Some(limits.estimate(expected.input, output))
    }
}

#[cfg(test)]
mod tests;
