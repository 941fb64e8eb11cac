//! What plugins do when a call has ended: they charge what it used, or give back what it held.

use std::time::Duration;

use super::Used;

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
    /// The instances that were asked, in order.
    pub attempts: &'a [EndedAttempt<'a>],
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

/// An attempt of a call that has ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedAttempt<'a> {
    /// Name of the instance.
    pub instance: &'a str,
    /// What it used; `None` if nobody knows.
    pub used: Option<Used<'a>>,
    /// Whether the instance began to answer what it was asked. It may have billed that even if it does not tell what it used.
    pub answered: bool,
    /// Whether limits of tokens have charged it already.
    pub is_charged: bool,
}
