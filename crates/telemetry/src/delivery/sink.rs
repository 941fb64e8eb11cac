//! What a queue asks of those who send.

use std::borrow::Cow;
use std::future::Future;

/// A peer that takes entries. Every sender of a queue has one of its own, and with it its own connection.
pub trait Sink<T>: Send + 'static {
    /// Sends a batch, which is never empty, in its order, and says what became of it. Has a time limit of its own.
    ///
    /// It runs on the thread `telemetry` beside all others and must not block it. It is dropped in the middle where
    /// the time for a shutdown is over.
    ///
    /// # Errors
    /// Nothing of the batch was delivered as far as is known.
    fn send(&mut self, batch: &[T]) -> impl Future<Output = Result<Sent, SendError>> + Send;
}

/// What became of a batch of which something was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All entries were delivered.
    All,
    /// Each entry has a fate of its own.
    Each {
        /// In the order of the batch. An entry without a fate is as [`Fate::Again`].
        fates: Vec<Fate>,
        /// Why not all were delivered, for our own log. Holds no secrets.
        cause: Cow<'static, str>,
    },
}

/// What became of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The peer has it.
    Delivered,
    /// The peer does not have it, and might take it another time.
    Again,
    /// It is larger than what the peer ever takes.
    TooLarge,
    /// The peer will never take it.
    Refused,
}

/// Nothing of a batch was delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct SendError {
    /// What happened, for our own log. Holds no secrets.
    pub cause: Cow<'static, str>,
    /// Whether the same batch may succeed another time.
    pub may_retry: bool,
}

impl SendError {
    /// An error that may pass.
    pub fn passing(cause: impl Into<Cow<'static, str>>) -> Self {
        SendError {
            cause: cause.into(),
            may_retry: true,
        }
    }

    /// An error that comes with the batch and will come again.
    pub fn lasting(cause: impl Into<Cow<'static, str>>) -> Self {
        SendError {
            cause: cause.into(),
            may_retry: false,
        }
    }
}
