//! What plugins do when a call has ended: they charge what it used, or give back what it held.

use std::time::Duration;

use tollgate_dialects::canonical::Usage;

/// Something to do when a call has ended.
///
/// It happens exactly once, however the call ends: answered, refused by a plugin, failed, left by the client, or cut off by
/// the end of the process. It runs on the worker's thread and must not block.
pub trait AtEnd {
    /// Does it.
    fn end(self: Box<Self>, call: &Ended<'_>);
}

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The gateway's id of the call.
    pub request_id: &'a str,
    /// The instance that was asked last, of calls that asked one.
    pub instance: Option<&'a str>,
    /// What the last attempt used. Its `ext` holds what the provider wrote; `estimated` tells that the numbers are ours. `None`
    /// if nobody knows.
    pub usage: Option<&'a Usage>,
    /// Our estimate of the tokens of the request; 0 where none are billed.
    pub estimated_input: u64,
    /// Status told to the client; 499 if it left before that.
    pub status: u16,
    /// The stable code of the error the client was told, also in the middle of a stream.
    pub error_code: Option<&'a str>,
    /// Whether the whole answer was handed to the client's connection. Otherwise the client left.
    pub complete: bool,
    /// From the first byte of the request until now.
    pub duration: Duration,
    /// How long the last attempt took, of calls that asked somebody.
    pub upstream_time: Option<Duration>,
}
