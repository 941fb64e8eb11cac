//! Times as people write them: `7d`, `2026-11-01`, `2026-11-01T12:00:00Z`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::error::QueryError;
use super::rollup::{DAY_S, HOUR_S};

/// What may be written for a time.
const ALLOWED: &str = "write how long ago (30m, 24h, 7d, 4w), a day (2026-11-01) or a time (2026-11-01T12:00:00Z); days are UTC";

/// Reads a time, in seconds since 1970. `now` is in seconds since 1970 too.
///
/// # Errors
/// It is none; the text says what is allowed.
pub fn parse_time(parameter: &str, text: &str, now: i64) -> Result<i64, QueryError> {
    let refused = || QueryError::asked(parameter, format!("`{}` is no time; {ALLOWED}", shown(text)));
    if text == "now" {
        return Ok(now);
    }
    let last = text.chars().last().ok_or_else(refused)?;
    let unit = match last {
        'm' => 60,
        'h' => HOUR_S,
        'd' => DAY_S,
        'w' => 7 * DAY_S,
        _ => 0,
    };
    if unit > 0 {
        let count = text
            .get(..text.len() - 1)
            .and_then(|count| count.parse::<u32>().ok());
        let count = count.ok_or_else(refused)?;
        return Ok(now.saturating_sub(unit.saturating_mul(i64::from(count))).max(0));
    }
    if let Ok(date) = text.parse::<Date>()
        && text.len() == 10
    {
        let midnight = date.to_zoned(TimeZone::UTC).map_err(|_| refused())?;
        return Ok(midnight.timestamp().as_second().max(0));
    }
    let time: Timestamp = text.parse().map_err(|_| refused())?;
    Ok(time.as_second().max(0))
}

/// What a client wrote, short and without what may confuse a terminal.
pub(super) fn shown(text: &str) -> String {
    let clean = |character: char| if character.is_control() { '?' } else { character };
    text.chars().take(60).map(clean).collect()
}

/// A time for people and programs, `2026-11-01T12:00:00Z`.
pub fn time_text(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// The same with milliseconds.
pub fn millis_text(milliseconds: i64) -> String {
    let time = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    format!("{time:.3}")
}

/// The day, `2026-11-01`.
pub(super) fn day_text(seconds: i64) -> String {
    date(seconds).to_string()
}

/// The month, `2026-11`.
pub(super) fn month_text(seconds: i64) -> String {
    let date = date(seconds);
    format!("{:04}-{:02}", date.year(), date.month())
}

/// The hour, `2026-11-01T12:00Z`.
pub(super) fn hour_text(seconds: i64) -> String {
    let hour = seconds.rem_euclid(DAY_S) / HOUR_S;
    format!("{}T{hour:02}:00Z", day_text(seconds))
}

fn date(seconds: i64) -> Date {
    Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_zoned(TimeZone::UTC)
        .date()
}

/// The beginning of the next day after this time, or the time itself if it is one.
pub(super) fn next_day(seconds: i64) -> i64 {
    super::rollup::floor(seconds.saturating_add(DAY_S - 1), DAY_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now = 1_795_221_039;
        for (text, seconds) in [
            ("now", now),
            ("30m", now - 1800),
            ("24h", now - 86_400),
            ("7d", now - 604_800),
            ("2w", now - 1_209_600),
            ("2026-11-21", 1_795_219_200),
            ("2026-11-21T00:30:39Z", now),
            ("2026-11-21T01:30:39+01:00", now),
        ] {
            assert_eq!(parse_time("since", text, now).unwrap(), seconds, "{text}");
        }
        for text in ["", "d", "7x", "-7d", "2026-13-01", "yesterday", "7.5d", "ü"] {
            let error = parse_time("since", text, now).unwrap_err().to_string();
            assert!(error.starts_with("since: `") && error.contains("7d"), "{error}");
        }
    }

    #[test]
    fn times_are_shown_in_utc() {
        let time = 1_795_221_039;
        assert_eq!(time_text(time), "2026-11-21T00:30:39Z");
        assert_eq!(hour_text(time), "2026-11-21T00:00Z");
        assert_eq!(
            (day_text(time), month_text(time)),
            ("2026-11-21".to_owned(), "2026-11".to_owned())
        );
        assert_eq!(millis_text(time * 1000 + 7), "2026-11-21T00:30:39.007Z");
    }
}
