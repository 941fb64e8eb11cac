//! Connections that wait for their next request.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::HashMap;

use super::Keep;

/// A connection takes no new request after this time, however busy it is: names may point elsewhere by then, and a server
/// that is to be left would keep those who ask it most.
pub(super) const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// A connection that can wait.
pub(super) trait Waiting {
    /// What it is connected to.
    fn address(&self) -> SocketAddr;

    /// When it was made.
    fn opened(&self) -> Instant;

    /// Requests that were sent over it.
    fn served(&self) -> u64;

    /// Whether it can still be used.
    fn is_alive(&mut self) -> bool;
}

/// Waiting connections of one kind and one worker, by endpoint.
pub(super) struct Shelf<C>(RefCell<HashMap<Arc<str>, Vec<Idle<C>>>>);

struct Idle<C> {
    connection: C,
    until: Instant,
}

impl<C> Default for Shelf<C> {
    fn default() -> Self {
        Shelf(RefCell::default())
    }
}

impl<C: Waiting> Shelf<C> {
    /// A connection, to one of these addresses if any are given. Those that nobody can use any more are closed.
    pub(super) fn take(&self, key: &str, among: Option<&[SocketAddr]>, now: Instant) -> Option<C> {
        let mut shelf = self.0.borrow_mut();
        let idle = shelf.get_mut(key)?;
        while let Some(Idle {
            mut connection,
            until,
        }) = idle.pop()
        {
            let fits = among.is_none_or(|among| among.contains(&connection.address()));
            if fits && now < until && connection.is_alive() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request, if it may be kept.
    pub(super) fn keep(&self, key: Arc<str>, connection: C, keep: Keep) {
        let now = Instant::now();
        let until = (now + keep.idle).min(connection.opened() + MAX_AGE);
        if connection.served() >= keep.requests || until <= now {
            return;
        }
        let mut shelf = self.0.borrow_mut();
        let idle = shelf.entry(key).or_default();
        if idle.len() < keep.size {
            idle.push(Idle { connection, until });
        }
    }

    /// Closes connections that have been idle too long, or were closed by the other side.
    pub(super) fn close_idle(&self) {
        let now = Instant::now();
        self.0.borrow_mut().retain(|_, idle| {
            idle.retain_mut(|idle| now < idle.until && idle.connection.is_alive());
            !idle.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::{Duration, Instant};

    use super::{Keep, MAX_AGE, Shelf, Waiting};

    struct Fake {
        opened: Instant,
        served: u64,
    }

    impl Waiting for Fake {
        fn address(&self) -> SocketAddr {
            ([127, 0, 0, 1], 80).into()
        }

        fn opened(&self) -> Instant {
            self.opened
        }

        fn served(&self) -> u64 {
            self.served
        }

        fn is_alive(&mut self) -> bool {
            true
        }
    }

    #[test]
    fn a_connection_is_left_after_five_minutes_however_busy_it_is() {
        let is_kept = |age: Duration| {
            let shelf = Shelf::default();
            // The clock of a machine that has just been started cannot say so long ago.
            let Some(opened) = Instant::now().checked_sub(age) else {
                return age < MAX_AGE;
            };
            shelf.keep("there".into(), Fake { opened, served: 1 }, Keep::default());
            shelf.take("there", None, Instant::now()).is_some()
        };
        assert!(is_kept(Duration::ZERO));
        assert!(is_kept(MAX_AGE - Duration::from_secs(60)));
        assert!(!is_kept(MAX_AGE));
    }
}
