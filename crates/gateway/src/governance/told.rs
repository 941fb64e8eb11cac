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
        if let Ok(reset) = HeaderValue::try_from(format!("{}s", self.reset_ms.div_ceil(1000))) {
            headers.insert(names.reset.clone(), reset);
        }
    }
}
