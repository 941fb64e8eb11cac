//! The connections of one worker that wait, by endpoint. Owned by one thread: no lock.
//!
//! A connection serves one request at a time. It goes back only when its answer was read to the end; one that is dropped
//! earlier is closed at once, which is how a client that leaves cancels the provider's work.

use std::rc::Rc;
use std::time::Duration;

use super::calls;
use super::http2;
use super::passed;
use super::shelf::Shelf;

/// An idle connection is used again for this long. Below the idle timeouts that providers' load balancers commonly use
/// (60 s and more), so that we rarely meet a connection that is just being closed.
const MAX_IDLE: Duration = Duration::from_secs(50);

/// Idle connections kept per endpoint and worker. One costs a descriptor and a kilobyte, a new one a handshake: fewer than are
/// used at the same time would be made anew for each call.
const MAX_IDLE_PER_ENDPOINT: usize = 8_192;

/// All idle connections of one worker.
#[derive(Clone, Default)]
pub struct Pools(pub(super) Rc<Shelves>);

/// Idle connections by what they are used for.
#[derive(Default)]
pub(super) struct Shelves {
    /// For calls, whose requests are at hand.
    pub(super) calls: Shelf<calls::Connection>,
    /// Connections of HTTP/2, which calls share.
    pub(super) shared: http2::Shared,
    /// For requests that are passed on as they come.
    pub(super) passed: Shelf<passed::Connection>,
}

/// How connections of an endpoint are kept for later requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Idle connections at most, per worker.
    pub size: usize,
    /// How long one is kept idle.
    pub idle: Duration,
    /// Requests over one connection, after which it is closed.
    pub requests: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Keep {
            size: MAX_IDLE_PER_ENDPOINT,
            idle: MAX_IDLE,
            requests: u64::MAX,
        }
    }
}

impl Pools {
    /// Closes connections that have been idle too long; called from time to time by the worker.
    pub fn close_idle(&self) {
        self.0.calls.close_idle();
        self.0.passed.close_idle();
        self.0.shared.close_idle(Keep::default());
    }
}
