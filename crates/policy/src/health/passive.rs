//! What calls tell about an instance: healthy, ejected for a while, probing with a few trial calls, healthy again.

use super::window::Window;

/// When an instance is ejected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// So many failures in a row eject.
    pub consecutive_failures: u32,
    /// This share of failed calls within the window ejects, 0 to 1.
    pub error_rate: f64,
    /// Calls that the window must hold before the share counts.
    pub min_calls: u32,
    /// Length of the window, in milliseconds.
    pub window_ms: u64,
    /// An answer whose first token took longer counts as a failure; in milliseconds.
    pub slow_first_token_ms: Option<u64>,
    /// Length of the first ejection, in milliseconds. Each one that follows without a recovery between is twice as long.
    pub ejection_ms: u64,
    /// No ejection is longer, in milliseconds.
    pub max_ejection_ms: u64,
    /// After an ejection so many calls may run at once, and so many have to be answered.
    pub trial_calls: u32,
    /// So large a share of a pool may be ejected because of failures, in percent; one always may. When those that are left
    /// fail too, taking their calls away from them would only give more to the others.
    pub max_ejected_percent: u32,
}

impl Settings {
    /// How many instances of a pool of `size` may be ejected because of failures.
    pub fn most_ejected(&self, size: usize) -> usize {
        let share = size.saturating_mul(usize::try_from(self.max_ejected_percent).unwrap_or(100));
        (share / 100).max(1)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            consecutive_failures: 5,
            error_rate: 0.5,
            min_calls: 20,
            window_ms: 30_000,
            slow_first_token_ms: None,
            ejection_ms: 10_000,
            max_ejection_ms: 300_000,
            trial_calls: 1,
            max_ejected_percent: 50,
        }
    }
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered {
        /// Time to the first token, if it was measured, in milliseconds.
        first_token_ms: Option<u64>,
    },
    /// There was no answer, or one that says that the instance is not well.
    Failed,
    /// The provider refused it because of a rate limit.
    RateLimited {
        /// How long the provider wants to be left alone, if it told, in milliseconds.
        retry_after_ms: Option<u64>,
    },
}

/// Why an instance was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Too many failures in a row.
    ConsecutiveFailures,
    /// Too large a share of failures.
    ErrorRate,
    /// Too many slow answers in a row.
    SlowFirstToken,
    /// The provider asked for it, or refused too often.
    RateLimited,
    /// A trial call failed.
    FailedTrial,
}

impl Reason {
    /// All there are.
    pub const ALL: [Reason; 5] = [
        Reason::ConsecutiveFailures,
        Reason::ErrorRate,
        Reason::SlowFirstToken,
        Reason::RateLimited,
        Reason::FailedTrial,
    ];

    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Reason::ConsecutiveFailures => "consecutive_failures",
            Reason::ErrorRate => "error_rate",
            Reason::SlowFirstToken => "slow_first_token",
            Reason::RateLimited => "rate_limited",
            Reason::FailedTrial => "failed_trial",
        }
    }
}

/// What an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes calls.
    Healthy,
    /// It takes none.
    Ejected {
        /// When it will take trial calls, in milliseconds.
        until: u64,
        /// Why.
        reason: Reason,
    },
    /// It takes trial calls.
    Probing,
}

/// A state that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The instance takes no calls for a while.
    Ejected {
        /// Why.
        reason: Reason,
        /// For so many milliseconds.
        for_ms: u64,
    },
    /// It would be ejected for this, but takes calls on, because enough of its pool are ejected. The state is as before.
    Withheld {
        /// Why it would be.
        reason: Reason,
    },
    /// It takes trial calls.
    Probing,
    /// It takes calls again.
    Recovered,
}

/// A call that has begun. What is reported with it counts only as long as the instance's state is the one in which the
/// call began: calls that were under way when their instance was ejected say nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    epoch: u64,
    is_trial: bool,
}

impl Ticket {
    /// The ticket of a call that is no trial, in a state of this number ([`Passive::epoch`]).
    pub fn of_epoch(epoch: u64) -> Self {
        Ticket {
            epoch,
            is_trial: false,
        }
    }

    /// Whether the call has a trial slot, which has to be given back ([`Passive::end`]).
    pub fn is_trial(&self) -> bool {
        self.is_trial
    }
}

/// The health of one instance, as calls tell it.
#[derive(Debug)]
pub struct Passive {
    settings: Settings,
    phase: Phase,
    /// Number of changes of the phase.
    epoch: u64,
    /// Ejections since the instance was last well for longer than an ejection.
    ejections: u32,
    /// Length of the last of them, in milliseconds.
    last_ms: u64,
    recovered_at: u64,
}

#[derive(Debug)]
enum Phase {
    Healthy { in_a_row: u32, window: Window },
    Ejected { until: u64, reason: Reason },
    Probing { under_way: u32, answered: u32 },
}

impl Phase {
    fn well() -> Self {
        Phase::Healthy {
            in_a_row: 0,
            window: Window::default(),
        }
    }
}

impl Passive {
    /// An instance that is well.
    pub fn new(settings: Settings) -> Self {
        Passive {
            settings,
            phase: Phase::well(),
            epoch: 0,
            ejections: 0,
            last_ms: 0,
            recovered_at: 0,
        }
    }

    /// Changes the rules. An ejection that is under way becomes no longer than the new rules allow; what was counted stays.
    pub fn configure(&mut self, now: u64, settings: Settings) {
        self.settings = settings;
        if let Phase::Ejected { until, .. } = &mut self.phase {
            *until = (*until).min(now.saturating_add(settings.max_ejection_ms));
        }
    }

    /// Whether a call can begin now.
    pub fn is_usable(&self, now: u64) -> bool {
        match &self.phase {
            Phase::Healthy { .. } => true,
            Phase::Ejected { until, .. } => now >= *until,
            Phase::Probing { under_way, .. } => *under_way < self.trials(),
        }
    }

    /// Begins a call, if one can begin. While probing it takes a trial slot. The change, if it brings one, comes with it.
    pub fn begin(&mut self, now: u64) -> Option<(Ticket, Option<Change>)> {
        if !self.is_usable(now) {
            return None;
        }
        let mut change = None;
        if let Phase::Ejected { .. } = self.phase {
            self.probe();
            change = Some(Change::Probing);
        }
        let is_trial = match &mut self.phase {
            Phase::Probing { under_way, .. } => {
                *under_way += 1;
                true
            }
            Phase::Healthy { .. } | Phase::Ejected { .. } => false,
        };
        let epoch = self.epoch;
        Some((Ticket { epoch, is_trial }, change))
    }

    /// Begins a call whatever the state is, without a trial slot: for calls that have nowhere else to go.
    pub fn begin_anyway(&self) -> Ticket {
        Ticket::of_epoch(self.epoch)
    }

    /// Gives the trial slot of a call back, if it has one. Once per call.
    pub fn end(&mut self, ticket: Ticket) {
        if ticket.is_trial
            && ticket.epoch == self.epoch
            && let Phase::Probing { under_way, .. } = &mut self.phase
        {
            *under_way = under_way.saturating_sub(1);
        }
    }

    /// Tells how a call went. It may be told more than once: an answer that began well can break.
    ///
    /// A rate limit with a time to wait ejects for that time (at most `max_ejection_ms`), whenever the call began. One
    /// without a time counts as a failure in a row, because a provider that refuses everything serves nobody; but it is
    /// not part of the error rate, because a provider that refuses every other call still serves the rest.
    ///
    /// `may_be_ejected` tells whether its pool can do without it; it is asked only if it has failed too often. What the provider
    /// asks for is done in any case.
    pub fn report(
        &mut self,
        ticket: Ticket,
        now: u64,
        outcome: Outcome,
        may_be_ejected: impl FnOnce(&Settings) -> bool,
    ) -> Option<Change> {
        if let Outcome::RateLimited {
            retry_after_ms: Some(wait @ 1..),
        } = outcome
        {
            return self.leave_alone(now, wait);
        }
        if ticket.epoch != self.epoch {
            return None;
        }
        let settings = self.settings;
        let slow = self.is_slow(outcome);
        let failed = slow || !matches!(outcome, Outcome::Answered { .. });
        match &mut self.phase {
            Phase::Healthy { in_a_row, window } => {
                *in_a_row = if failed { in_a_row.saturating_add(1) } else { 0 };
                if !matches!(outcome, Outcome::RateLimited { .. }) {
                    window.add(now, settings.window_ms, failed);
                }
                if !failed {
                    return None;
                }
                let too_many = |share: f64| share >= settings.error_rate;
                let reason = if *in_a_row >= settings.consecutive_failures {
                    match outcome {
                        Outcome::RateLimited { .. } => Reason::RateLimited,
                        Outcome::Answered { .. } => Reason::SlowFirstToken,
                        Outcome::Failed => Reason::ConsecutiveFailures,
                    }
                } else if window.failed_share(settings.min_calls).is_some_and(too_many) {
                    Reason::ErrorRate
                } else {
                    return None;
                };
                if !may_be_ejected(&settings) {
                    return Some(Change::Withheld { reason });
                }
                Some(self.eject(now, reason))
            }
            Phase::Ejected { .. } if failed => None,
            // A call that had nowhere else to go was answered: that is as good as a trial.
            Phase::Ejected { .. } => {
                self.probe();
                Some(self.answered(now).unwrap_or(Change::Probing))
            }
            Phase::Probing { .. } if failed => Some(self.eject(now, Reason::FailedTrial)),
            Phase::Probing { .. } => self.answered(now),
        }
    }

    /// Whether it is out of service other than by its provider's wish, or on trial.
    pub fn is_set_aside(&self) -> bool {
        match self.phase {
            Phase::Healthy { .. } => false,
            Phase::Ejected { reason, .. } => reason != Reason::RateLimited,
            Phase::Probing { .. } => true,
        }
    }

    /// The state. An ejection whose time is over is told as probing.
    pub fn state(&self, now: u64) -> State {
        match self.phase {
            Phase::Healthy { .. } => State::Healthy,
            Phase::Ejected { until, reason } if now < until => State::Ejected { until, reason },
            Phase::Ejected { .. } | Phase::Probing { .. } => State::Probing,
        }
    }

    /// Number of the state: another one after every change.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Trial calls under way.
    pub fn trials_under_way(&self) -> u32 {
        match self.phase {
            Phase::Probing { under_way, .. } => under_way,
            Phase::Healthy { .. } | Phase::Ejected { .. } => 0,
        }
    }

    fn trials(&self) -> u32 {
        self.settings.trial_calls.max(1)
    }

    fn is_slow(&self, outcome: Outcome) -> bool {
        match (outcome, self.settings.slow_first_token_ms) {
            (
                Outcome::Answered {
                    first_token_ms: Some(took),
                },
                Some(limit),
            ) => took > limit,
            _ => false,
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch += 1;
    }

    fn probe(&mut self) {
        self.enter(Phase::Probing {
            under_way: 0,
            answered: 0,
        });
    }

    /// Notes that a trial was answered.
    fn answered(&mut self, now: u64) -> Option<Change> {
        let needed = self.trials();
        if let Phase::Probing { answered, .. } = &mut self.phase {
            *answered += 1;
            if *answered < needed {
                return None;
            }
        }
        self.recovered_at = now;
        self.enter(Phase::well());
        Some(Change::Recovered)
    }

    /// Ejects because of failures.
    fn eject(&mut self, now: u64, reason: Reason) -> Change {
        let was_well = matches!(self.phase, Phase::Healthy { .. });
        // An instance that fails again as soon as it is back has not recovered.
        if was_well && now.saturating_sub(self.recovered_at) >= self.last_ms {
            self.ejections = 0;
        }
        let factor = 1u64.checked_shl(self.ejections).unwrap_or(u64::MAX);
        let for_ms = self
            .settings
            .ejection_ms
            .saturating_mul(factor)
            .min(self.settings.max_ejection_ms);
        self.ejections = self.ejections.saturating_add(1);
        self.last_ms = for_ms;
        self.enter(Phase::Ejected {
            until: now.saturating_add(for_ms),
            reason,
        });
        Change::Ejected { reason, for_ms }
    }

    /// Ejects for the time that the provider asked for.
    fn leave_alone(&mut self, now: u64, wait: u64) -> Option<Change> {
        let for_ms = wait.min(self.settings.max_ejection_ms);
        let end = now.saturating_add(for_ms);
        if let Phase::Ejected { until, .. } = &mut self.phase
            && now < *until
        {
            *until = end.max(*until);
            return None;
        }
        let reason = Reason::RateLimited;
        self.enter(Phase::Ejected { until: end, reason });
        Some(Change::Ejected { reason, for_ms })
    }
}

#[cfg(test)]
mod tests;
