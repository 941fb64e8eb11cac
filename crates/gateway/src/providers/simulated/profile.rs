//! How the built-in provider behaves, from the query of its address.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;

/// How the built-in provider behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Wait before the first byte (`latency_ms`).
    pub latency: Duration,
    /// Wait before each further chunk of a stream (`chunk_ms`).
    pub pace: Duration,
    /// Length of text answers in words (`words`); `None` is as long as the text needs.
    pub words: Option<usize>,
    /// What goes wrong (`fail`).
    pub fault: Option<Fault>,
    /// The fault happens in every n-th call (`fail_every`); 0 and 1 mean every call.
    pub every: u64,
    /// Decided once per call from `every`.
    hit: bool,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error answer with this status (`fail=503`).
    Status(u16),
    /// The connection breaks in the middle of the answer (`fail=cut`).
    Cut,
    /// The connection breaks before the first byte of the body (`fail=cut_start`).
    CutStart,
    /// The answer stops in the middle, the connection stays (`fail=stall`).
    Stall,
    /// Nothing ever comes after the head (`fail=stall_start`).
    StallStart,
    /// Bytes that are not the dialect (`fail=garbage`).
    Garbage,
    /// A body of no bytes (`fail=empty`).
    Empty,
    /// An error inside a 200, before any content (`fail=error_event`).
    ErrorEvent,
    /// An error event after half of the stream (`fail=error_midway`).
    ErrorMidway,
}

/// A query that means nothing to the built-in provider.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "simulated provider: `{0}` is not understood; known are latency_ms, chunk_ms, words, fail_every (numbers) and fail (a status, cut, cut_start, stall, stall_start, garbage, empty, error_event, error_midway)"
)]
pub struct ProfileError(String);

/// Longest answer in words: callers of the provider's own server choose it.
const MAX_WORDS: usize = 100_000;

static CALLS: AtomicU64 = AtomicU64::new(0);

impl Profile {
    /// Reads a query.
    ///
    /// # Errors
    /// An unknown name or value.
    pub fn parse(query: &str) -> Result<Self, ProfileError> {
        let mut profile = Profile::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let not_understood = || ProfileError(pair.to_owned());
            let (name, value) = pair.split_once('=').ok_or_else(not_understood)?;
            let number = || value.parse::<u64>().map_err(|_| not_understood());
            match name {
                "latency_ms" => profile.latency = Duration::from_millis(number()?),
                "chunk_ms" => profile.pace = Duration::from_millis(number()?),
                "words" => {
                    let words = usize::try_from(number()?)
                        .ok()
                        .filter(|words| *words <= MAX_WORDS);
                    profile.words = Some(words.ok_or_else(not_understood)?);
                }
                "fail_every" => profile.every = number()?,
                "fail" => profile.fault = Some(fault(value).ok_or_else(not_understood)?),
                _ => return Err(not_understood()),
            }
        }
        Ok(profile)
    }

    /// The profile of one call: decides whether this one meets the fault.
    #[must_use]
    pub fn of_call(mut self) -> Self {
        self.hit = self.fault.is_some()
            && (self.every <= 1 || (CALLS.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.every));
        self
    }

    /// The fault that this call meets.
    pub fn fault_now(&self) -> Option<Fault> {
        self.fault.filter(|_| self.hit)
    }
}

fn fault(value: &str) -> Option<Fault> {
    Some(match value {
        "cut" => Fault::Cut,
        "cut_start" => Fault::CutStart,
        "stall" => Fault::Stall,
        "stall_start" => Fault::StallStart,
        "garbage" => Fault::Garbage,
        "empty" => Fault::Empty,
        "error_event" => Fault::ErrorEvent,
        "error_midway" => Fault::ErrorMidway,
        status => Fault::Status(status.parse().ok().filter(|status| (400..600).contains(status))?),
    })
}

#[cfg(test)]
mod tests {
    use super::{Fault, Profile};
    use std::time::Duration;

    #[test]
    fn a_query_sets_latency_pace_and_fault() {
        let profile = Profile::parse("latency_ms=5&chunk_ms=2&words=9&fail=503")
            .unwrap()
            .of_call();
        assert_eq!(
            (profile.latency, profile.pace),
            (Duration::from_millis(5), Duration::from_millis(2))
        );
        assert_eq!(
            (profile.words, profile.fault_now()),
            (Some(9), Some(Fault::Status(503)))
        );
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for wrong in [
            "latency=5",
            "latency_ms=x",
            "fail=200",
            "fail=maybe",
            "fail",
            "words=100001",
        ] {
            assert!(
                Profile::parse(wrong).unwrap_err().to_string().contains(wrong),
                "{wrong}"
            );
        }
    }
}
