//! Connections that wait for their next request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Keep;

/// A connection that can wait.
pub(super) trait Waiting {
    /// What it is connected to.
    fn address(&self) -> SocketAddr;

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
    pub(super) fn take(&self, key: &str, among: Option<&[SocketAddr]>) -> Option<C> {
        let mut shelf = self.0.borrow_mut();
        let idle = shelf.get_mut(key)?;
        while let Some(Idle {
            mut connection,
            until,
        }) = idle.pop()
        {
            let fits = among.is_none_or(|among| among.contains(&connection.address()));
            if fits && Instant::now() < until && connection.is_alive() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request, if it may be kept.
    pub(super) fn keep(&self, key: Arc<str>, connection: C, keep: Keep) {
        if connection.served() >= keep.requests {
            return;
        }
        let mut shelf = self.0.borrow_mut();
        let idle = shelf.entry(key).or_default();
        if idle.len() < keep.size {
            idle.push(Idle {
                connection,
                until: Instant::now() + keep.idle,
            });
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
