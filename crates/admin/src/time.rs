//! Times in answers and parameters: RFC 3339, UTC, whole seconds.

use jiff::Timestamp;

/// A time in seconds since 1970, such as `2026-11-21T13:00:00Z`.
pub(crate) fn text(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::MAX)
        .to_string()
}

/// Reads a time. The error says how to write one.
#[allow(dead_code, reason = "parameters of lists use it")]
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    text.parse::<Timestamp>()
        .ok()
        .and_then(|time| u64::try_from(time.as_second()).ok())
        .ok_or_else(|| "write a time such as 2026-11-21T13:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_of_utc() {
        assert_eq!(text(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(parse("2023-11-14T22:13:20Z"), Ok(1_700_000_000));
        assert_eq!(parse("2023-11-14T23:13:20.5+01:00"), Ok(1_700_000_000));
        assert!(parse("yesterday").is_err());
    }
}
