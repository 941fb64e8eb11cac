//! How many clients may be connected at once, all workers together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tollgate_telemetry::metrics::OpenConnection;

use crate::overload::Overload;

/// The places there are for connections. Touched when a connection comes and goes, never by calls.
pub struct Places {
    free: AtomicUsize,
    /// If so many are free when one is taken, it is crowded; if so many are when one is given back, it is no longer.
    few: usize,
    enough: usize,
    overload: Arc<Overload>,
    /// Whether it was told that there are none left.
    told: AtomicBool,
}

/// Fewer places than these are meant to be filled: no connection ends to make room.
const MANY: usize = 100;

/// A place that is taken as long as this is there.
pub struct Place(Arc<Places>);

/// What a socket holds as long as it is open, also as a tunnel.
pub(super) struct Held {
    /// Its place.
    pub(super) _place: Place,
    /// What counts it.
    pub(super) _open: OpenConnection,
}

impl Places {
    /// So many places.
    pub fn new(number: usize, overload: Arc<Overload>) -> Arc<Self> {
        Arc::new(Places {
            few: if number < MANY { 0 } else { number / 10 + 1 },
            enough: number / 5,
            overload,
            free: AtomicUsize::new(number),
            told: AtomicBool::new(false),
        })
    }

    /// Takes a place; `None` if there is none left. That is told in the log once, until there is one again.
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        let take = |free: usize| free.checked_sub(1);
        match self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(before) => {
                // One of them is taken now.
                if before <= self.few {
                    self.overload.crowded(true);
                }
                if self.told.load(Ordering::Relaxed) && self.told.swap(false, Ordering::Relaxed) {
                    tracing::info!("connections are taken again");
                }
                Some(Place(self.clone()))
            }
            Err(_) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "there are as many connections as `max_connections` allows, further ones are closed"
                    );
                }
                None
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.free.fetch_add(1, Ordering::Relaxed) >= self.0.enough {
            self.0.overload.crowded(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_so_many() {
        let places = Places::new(2, Overload::shown(&tollgate_telemetry::Metrics::default()));
        let first = places.take();
        let second = places.take();
        assert!(first.is_some() && second.is_some() && places.take().is_none());
        drop(first);
        let third = places.take();
        assert!(third.is_some() && places.take().is_none());
        drop((second, third));
        assert!(places.take().is_some());
    }
}
