//! What an answer tells its client of limits: how much of the scarcest is left.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Where a limit stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// What it allows in its time.
    pub(super) limit: u64,
    /// What is left of that.
    pub(super) left: u64,
    /// In how many milliseconds it begins anew.
    pub(super) reset_ms: u64,
}

/// The names of the headers of a kind of limit.
pub(super) struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

pub(super) const OF_REQUESTS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};

pub(super) const OF_TOKENS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
    reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
};

impl Rate {
    /// The one with the least left.
    pub(super) fn scarcer(self, other: Option<Rate>) -> Rate {
        match other {
            Some(other) if other.left <= self.left => other,
            _ => self,
        }
    }

    /// Sets its headers.
    pub(super) fn tell(self, names: &Names, headers: &mut HeaderMap) {
        headers.insert(names.limit.clone(), self.limit.into());
        headers.insert(names.remaining.clone(), self.left.into());
        if let Some(reset) = in_seconds(self.reset_ms) {
            headers.insert(names.reset.clone(), reset);
        }
    }
}

/// A time as `12s`, rounded up. Every answer has some.
fn in_seconds(milliseconds: u64) -> Option<HeaderValue> {
    let mut digits = itoa::Buffer::new();
    let text = [digits.format(milliseconds.div_ceil(1000)), "s"].concat();
    HeaderValue::try_from(text).ok()
}
