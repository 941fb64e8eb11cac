//! What an attempt tells its pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tollgate_policy::balance::InFlight;

use super::{PoolState, Signal};

/// The account of one attempt with its pool: as long as it is there, the attempt is under way. What is told through it
/// decides who gets the next calls. An attempt that tells nothing, because its client has left, counts for nobody.
pub struct Account {
    in_flight: InFlight,
    /// Where times to the first token are kept, if anybody asks for them.
    times: Option<Arc<PoolState>>,
    /// Whether the answer is a stream.
    streams: bool,
}

impl Account {
    pub(super) fn open(in_flight: InFlight, times: Option<Arc<PoolState>>, streams: bool) -> Self {
        Account {
            in_flight,
            times,
            streams,
        }
    }

    /// Tells how the attempt goes. May be told twice: an answer that has begun can break off. `after` is since it began.
    pub fn tell(&self, signal: Signal, after: Duration) {
        let now = Instant::now();
        match signal {
            Signal::Answered => {
                self.in_flight.answered(now, after);
                if let Some(state) = &self.times {
                    state.times(self.streams).measured(now, after);
                }
            }
            // How fast somebody says no tells nothing about how fast it answers.
            Signal::Refused => {}
            Signal::Failed | Signal::RateLimited { .. } => self.in_flight.failed(now, after),
            // It would have taken longer than this.
            Signal::Outrun => self.in_flight.answered(now, after),
        }
    }
}
