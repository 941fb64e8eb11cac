//! What an answer tells its client of limits: how much of the scarcest is left.

use http::HeaderName;
use smallvec::SmallVec;

use crate::http1::told::Headers;

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

pub(super) static OF_REQUESTS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};

pub(super) static OF_TOKENS: Names = Names {
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

    /// Tells it under these names. A time is told as `12s`, rounded up.
    pub(super) fn tell(self, names: &Names, headers: &mut dyn Headers) {
        let mut digits = itoa::Buffer::new();
        headers.put(&names.limit, digits.format(self.limit));
        headers.put(&names.remaining, digits.format(self.left));
        let mut seconds = SmallVec::<[u8; 24]>::new();
        seconds.extend_from_slice(digits.format(self.reset_ms.div_ceil(1000)).as_bytes());
        seconds.push(b's');
        headers.put(&names.reset, str::from_utf8(&seconds).unwrap_or_default());
    }
}
