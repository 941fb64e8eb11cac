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
    let digits = digits.format(milliseconds.div_ceil(1000)).as_bytes();
    let mut text = [b's'; 24];
    text.get_mut(..digits.len())?.copy_from_slice(digits);
    HeaderValue::from_bytes(text.get(..=digits.len())?).ok()
}

/// Millionths of a US dollar as `1.500000`, as [`usd_text`](tollgate_resources::governance::usd_text) writes them.
pub(super) fn in_usd(micro_usd: u64) -> Option<HeaderValue> {
    let (mut whole, mut part) = (itoa::Buffer::new(), itoa::Buffer::new());
    let whole = whole.format(micro_usd / 1_000_000).as_bytes();
    // With a digit before it, so that there are always six behind that.
    let part = part.format(1_000_000 + micro_usd % 1_000_000).as_bytes();
    let mut text = [b'.'; 24];
    text.get_mut(..whole.len())?.copy_from_slice(whole);
    let end = whole.len() + part.len();
    text.get_mut(whole.len() + 1..end)?
        .copy_from_slice(part.get(1..)?);
    HeaderValue::from_bytes(text.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use tollgate_resources::governance::usd_text;

    use super::{in_seconds, in_usd};

    #[test]
    fn headers_tell_the_same_as_texts() {
        for micro_usd in [0, 1, 999_999, 1_000_000, 1_500_000, 12_345_678_901, u64::MAX] {
            let told = in_usd(micro_usd).unwrap();
            assert_eq!(told.to_str().unwrap(), usd_text(micro_usd));
        }
        for (milliseconds, text) in [
            (0, "0s"),
            (1, "1s"),
            (59_001, "60s"),
            (u64::MAX, "18446744073709552s"),
        ] {
            assert_eq!(in_seconds(milliseconds).unwrap().to_str().unwrap(), text);
        }
    }
}
