//! Reads `retry-after`.

use std::time::{Duration, SystemTime};

use http::HeaderValue;

/// How long the sender of a `retry-after` wants to be left alone: seconds, which some send with a fraction, or a date.
/// `None` for what is neither.
pub fn wait_of(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_everything_else_is_not() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wait = |text: &'static str| wait_of(&HeaderValue::from_static(text), now);
        assert_eq!(wait("20"), Some(Duration::from_secs(20)));
        assert_eq!(wait("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(
            wait("Sun, 06 Nov 1994 08:49:47 GMT"),
            Some(Duration::from_secs(10))
        );
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:07 GMT"), Some(Duration::ZERO));
        for odd in ["", "soon", "-1", "nan", "inf", "1e400"] {
            assert_eq!(wait(odd), None, "{odd}");
        }
    }
}
