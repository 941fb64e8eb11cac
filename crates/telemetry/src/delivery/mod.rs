//! Delivery: entries go from workers to peers over the network, in batches, on a thread of their own.
//!
//! A worker pushes an entry into a [`Queue`], which takes a moment and never waits. Tasks on the thread `telemetry` make
//! batches and give them to a [`Sink`], which knows a protocol. A peer that is slow or away fills its queue up to the
//! queue's limits; what comes then is dropped, counted and told in our own log. Every entry that was pushed is counted
//! exactly once: as sent, as dropped for a [`Reason`], or as waiting.
//!
//! This module does not know what an entry is, nor how it is sent.

mod counters;
mod hub;
mod limits;
mod queue;
mod report;
mod sender;
mod shared;
mod sink;
mod waiting;

pub(crate) use counters::DROPPED_HELP;
pub use counters::{Reason, Tally};
pub use hub::Hub;
pub use limits::Limits;
pub use queue::{Pushed, Queue};
pub use sink::{Fate, SendError, Sent, Sink};

#[cfg(test)]
mod tests;
