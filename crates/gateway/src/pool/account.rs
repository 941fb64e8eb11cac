//! What an attempt tells its pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tollgate_policy::balance::InFlight;

use super::meters::{End, Meters};
use super::{PoolState, Signal};
use crate::health::{self, UnderWay};

/// The account of one attempt with its pool: as long as it is there, the attempt is under way. What is told through it
/// decides who gets the next calls. An attempt that tells nothing, because its client has left, counts for nobody.
pub struct Account {
    /// `None` where nothing is chosen by it.
    pub(super) in_flight: Option<InFlight>,
    /// What is known of the instance's health; `None` where nobody asks. Dropping it gives back what the attempt took.
    pub(super) health: Option<UnderWay>,
    /// Where times to the first token are kept, if anybody asks for them.
    pub(super) times: Option<Arc<PoolState>>,
    /// Whether the answer is a stream.
    pub(super) streams: bool,
    /// Where it is counted.
    pub(super) meters: Option<Arc<Meters>>,
    /// The instance's number in its pool.
    pub(super) instance: usize,
    /// How it has ended so far.
    pub(super) end: End,
}

impl Account {
    /// Tells how the attempt goes. May be told twice: an answer that has begun can break off. `after` is since it began.
    pub fn tell(&mut self, signal: Signal, after: Duration) {
        let now = Instant::now();
        if let Some(health) = &self.health
            && let Some(signal) = self.of_health(signal, after)
        {
            health.report(now, signal);
        }
        if let Some(in_flight) = &self.in_flight {
            match signal {
                Signal::Answered => in_flight.answered(now, after),
                // How fast somebody says no tells nothing about how fast it answers.
                Signal::Refused => {}
                Signal::Failed | Signal::RateLimited { .. } => in_flight.failed(now, after),
                // It would have taken longer than this.
                Signal::Outrun => in_flight.answered(now, after),
            }
        }
        if let (Signal::Answered, Some(state)) = (signal, &self.times) {
            state.times(self.streams).measured(now, after);
        }
        self.end = End::Told(signal);
    }

    /// What a signal says about the instance's health; `None` if nothing.
    fn of_health(&self, signal: Signal, after: Duration) -> Option<health::Signal> {
        Some(match signal {
            Signal::Answered => health::Signal::Answered {
                // The whole of an answer says nothing about its first token.
                first_token: self.streams.then_some(after),
            },
            Signal::Refused => health::Signal::Answered { first_token: None },
            Signal::Failed => health::Signal::Failed,
            Signal::RateLimited { retry_after } => health::Signal::RateLimited { retry_after },
            Signal::Outrun => return None,
        })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(meters) = &self.meters {
            meters.ended(self.instance, self.end);
        }
    }
}
