//! Times in answers and parameters: RFC 3339, UTC, whole seconds.

use jiff::Timestamp;

/// A time in seconds since 1970, such as `2026-11-21T13:00:00Z`.
pub(crate) fn text(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::MAX)
        .to_string()
}

/// Reads a time, or how long ago it was. The error says how to write one.
pub(crate) fn parse(text: &str, now_s: u64) -> Result<u64, String> {
    let ago = text
        .char_indices()
        .last()
        .and_then(|(end, unit)| Some((text.get(..end)?.parse::<u64>().ok()?, unit)));
    let unit_s = match ago {
        Some((_, 's')) => 1,
        Some((_, 'm')) => 60,
        Some((_, 'h')) => 60 * 60,
        Some((_, 'd')) => 24 * 60 * 60,
        Some((_, 'w')) => 7 * 24 * 60 * 60,
        _ => 0,
    };
    if let Some((number, _)) = ago
        && unit_s > 0
    {
        return Ok(now_s.saturating_sub(number.saturating_mul(unit_s)));
    }
    text.parse::<Timestamp>()
        .ok()
        .and_then(|time| u64::try_from(time.as_second()).ok())
        .ok_or_else(|| "write a time such as 2026-11-21T13:00:00Z, or how long ago, such as 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_of_utc() {
        assert_eq!(text(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(parse("2023-11-14T22:13:20Z", 0), Ok(1_700_000_000));
        assert_eq!(parse("2023-11-14T23:13:20.5+01:00", 0), Ok(1_700_000_000));
        assert_eq!(parse("2h", 10_000), Ok(2800));
        assert!(parse("yesterday", 0).is_err());
    }
}
