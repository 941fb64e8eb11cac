//! The two clocks: what time it is, and how much time has passed.
//!
//! The time of day can be set: an operator corrects it, a virtual machine wakes up, a server of time steps it. What it says is
//! for signatures and for texts. Whatever lasts for a while (windows of limits, tokens, times to live) is measured by the
//! steady clock, which nobody can set: otherwise a step back would keep a used-up limit used up for as long, and a step
//! forward would end everything at once.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Since some fixed moment; never goes back. What lasts is measured by it.
    pub running: Duration,
    /// The time of day, for signatures.
    pub wall: SystemTime,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Moment {
            running: START.instant.elapsed(),
            wall: SystemTime::now(),
        }
    }
}

/// The time at which the process first asked, and what has passed since: a time of day that runs evenly. It differs from what
/// the time of day is now by how far that was set meanwhile.
pub fn steady() -> SystemTime {
    START.wall + START.instant.elapsed()
}

/// The same in seconds since 1970.
pub fn steady_s() -> u64 {
    steady()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

struct Start {
    instant: Instant,
    wall: SystemTime,
}

static START: LazyLock<Start> = LazyLock::new(|| Start {
    instant: Instant::now(),
    wall: SystemTime::now(),
});
