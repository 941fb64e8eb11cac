//! The side of a queue that workers see.

use std::sync::Arc;

use super::counters::{Reason, Tally};
use super::shared::Shared;

/// A queue of entries that wait to be sent. Clones are cheap and push into the same queue from any thread.
///
/// When the last clone is dropped, what waits is sent and the queue is over.
pub struct Queue<T> {
    handle: Arc<Handle<T>>,
}

/// What became of a pushed entry.
pub type Pushed = Result<(), Reason>;

/// What keeps a queue open.
pub(super) struct Handle<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Queue<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Queue {
            handle: Arc::new(Handle { shared }),
        }
    }

    /// A clone of a queue of which only this is left.
    pub(super) fn of(handle: Arc<Handle<T>>) -> Self {
        Queue { handle }
    }

    pub(super) fn handle(&self) -> &Arc<Handle<T>> {
        &self.handle
    }

    /// Adds an entry of about this many bytes. Never waits for anybody who sends.
    ///
    /// # Errors
    /// The queue is full or its hub was stopped. The entry is dropped, counted, and told in our own log.
    pub fn push(&self, entry: T, bytes: usize) -> Pushed {
        self.handle.shared.push(entry, bytes)
    }

    /// What the counters of this queue's name say, those of other queues of the same name included.
    pub fn tally(&self) -> Tally {
        self.handle.shared.counters.tally()
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue {
            handle: Arc::clone(&self.handle),
        }
    }
}

impl<T> std::fmt::Debug for Queue<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        self.shared.close();
    }
}
