//! What is counted of a pool.

use std::sync::Arc;

use tollgate_telemetry::Metrics;
use tollgate_telemetry::metrics::Counter;

use super::{Reason, Signal};

/// The numbers of one pool.
pub(super) struct Meters {
    /// By instance, in the order of [`ENDS`].
    attempts: Vec<[Counter; ENDS.len()]>,
    /// In the order of [`Reason::ALL`].
    fallbacks: [Counter; Reason::ALL.len()],
    /// In the order of [`HEDGES`].
    hedges: [Counter; HEDGES.len()],
    exhausted: Counter,
}

/// How attempts end.
const ENDS: [&str; 6] = ["answered", "refused", "failed", "rate_limited", "outrun", "left"];

/// Who wins when two attempts are made.
const HEDGES: [&str; 3] = ["first", "second", "neither"];

/// How an attempt has ended, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has said something about the instance.
    Told(Signal),
    /// The client has left, or nothing was sent.
    Left,
}

/// Which of two attempts was the first to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// The first.
    First,
    /// The second.
    Second,
    /// None.
    Neither,
}

impl Meters {
    pub(super) fn new(metrics: &Metrics, owner: &str, instances: &[Arc<str>]) -> Self {
        let attempts = |instance: &Arc<str>| {
            ENDS.map(|end| {
                metrics.counter(
                    "tollgate_pool_attempts_total",
                    "Attempts at the instances of pools, by how they ended.",
                    &["owner", "instance_name", "end"],
                    &[owner, instance, end],
                )
            })
        };
        Meters {
            attempts: instances.iter().map(attempts).collect(),
            fallbacks: Reason::ALL.map(|reason| {
                metrics.counter(
                    "tollgate_pool_fallbacks_total",
                    "Attempts that were made because another instance had failed, by the reason.",
                    &["owner", "reason"],
                    &[owner, reason.name()],
                )
            }),
            hedges: HEDGES.map(|winner| {
                metrics.counter(
                    "tollgate_pool_hedges_total",
                    "Calls with two attempts at once because the first took unusually long, by which of them won.",
                    &["owner", "winner"],
                    &[owner, winner],
                )
            }),
            exhausted: metrics.counter(
                "tollgate_pool_retry_budget_exhausted_total",
                "Calls that were not tried again because the retry budget was used up.",
                &["owner"],
                &[owner],
            ),
        }
    }

    pub(super) fn ended(&self, instance: usize, end: End) {
        let number = match end {
            End::Told(Signal::Answered) => 0,
            End::Told(Signal::Refused) => 1,
            End::Told(Signal::Failed) => 2,
            End::Told(Signal::RateLimited { .. }) => 3,
            End::Told(Signal::Outrun) => 4,
            End::Left => 5,
        };
        if let Some(counters) = self.attempts.get(instance) {
            counters[number].add(1);
        }
    }

    pub(super) fn fell_back(&self, reason: Reason) {
        let counters = Reason::ALL.iter().zip(&self.fallbacks);
        for (_, counter) in counters.filter(|(of, _)| **of == reason) {
            counter.add(1);
        }
    }

    pub(super) fn hedged(&self, winner: Winner) {
        let number = match winner {
            Winner::First => 0,
            Winner::Second => 1,
            Winner::Neither => 2,
        };
        self.hedges[number].add(1);
    }

    pub(super) fn exhausted(&self) {
        self.exhausted.add(1);
    }
}
