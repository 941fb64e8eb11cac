//! Times as nginx writes them. Formatting a second costs more than the rest of a line, so each thread keeps the last one.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The zone of the times in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// The machine's.
    Local,
    /// Fixed, so that tests know what to expect.
    #[cfg(test)]
    Utc,
}

/// One second's texts.
struct Second {
    zone: Zone,
    unix: u64,
    /// `21/Nov/2026:00:30:39 +0000`
    local: String,
    /// `2026-11-21T00:30:39+00:00`
    iso8601: String,
}

thread_local! {
    static LAST: RefCell<Option<Second>> = const { RefCell::new(None) };
}

/// Time since the epoch; a clock before 1970 counts as 1970.
pub(crate) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Appends nginx's `$time_local`.
pub(super) fn write_local(time: SystemTime, zone: Zone, out: &mut Vec<u8>) {
    with_second(time, zone, |second| {
        out.extend_from_slice(second.local.as_bytes())
    });
}

/// Appends nginx's `$time_iso8601`.
pub(super) fn write_iso8601(time: SystemTime, zone: Zone, out: &mut Vec<u8>) {
    with_second(time, zone, |second| {
        out.extend_from_slice(second.iso8601.as_bytes())
    });
}

/// Appends `2.858`: whole seconds and three digits of milliseconds, cut, not rounded.
pub(super) fn write_seconds(duration: Duration, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(duration.as_secs()).as_bytes());
    let millis = duration.subsec_millis();
    out.push(b'.');
    if millis < 100 {
        out.push(b'0');
    }
    if millis < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(millis).as_bytes());
}

fn with_second(time: SystemTime, zone: Zone, write: impl FnOnce(&Second)) {
    let unix = since_epoch(time).as_secs();
    LAST.with_borrow_mut(|last| {
        let fresh = match last.take() {
            Some(second) if second.unix == unix && second.zone == zone => second,
            _ => Second::of(unix, zone),
        };
        write(last.insert(fresh));
    });
}

impl Second {
    fn of(unix: u64, zone: Zone) -> Second {
        let timestamp = i64::try_from(unix)
            .ok()
            .and_then(|unix| Timestamp::from_second(unix).ok())
            .unwrap_or_default();
        let time_zone = match zone {
            Zone::Local => TimeZone::system(),
            #[cfg(test)]
            Zone::Utc => TimeZone::UTC,
        };
        Second::in_zone(timestamp, &time_zone, zone)
    }

    fn in_zone(timestamp: Timestamp, time_zone: &TimeZone, zone: Zone) -> Second {
        let civil = timestamp.to_zoned(time_zone.clone());
        let offset = civil.offset().seconds();
        let (sign, minutes) = if offset < 0 {
            ('-', offset / -60)
        } else {
            ('+', offset / 60)
        };
        let (hours, minutes) = (minutes / 60, minutes % 60);
        let month = usize::try_from(civil.month())
            .ok()
            .and_then(|month| MONTHS.get(month - 1))
            .unwrap_or(&"-");
        let (year, day) = (civil.year(), civil.day());
        let (hour, minute, second) = (civil.hour(), civil.minute(), civil.second());
        Second {
            zone,
            unix: timestamp.as_second().unsigned_abs(),
            local: format!(
                "{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} {sign}{hours:02}{minutes:02}"
            ),
            iso8601: format!(
                "{year:04}-{number:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{hours:02}:{minutes:02}",
                number = civil.month(),
            ),
        }
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(unix: i64, offset_hours: i8, extra_minutes: i32) -> (String, String) {
        let offset =
            jiff::tz::Offset::from_seconds(i32::from(offset_hours) * 3600 + extra_minutes * 60).unwrap();
        let zone = TimeZone::fixed(offset);
        let second = Second::in_zone(Timestamp::from_second(unix).unwrap(), &zone, Zone::Utc);
        (second.local, second.iso8601)
    }

    #[test]
    fn times_look_as_in_nginx_in_every_zone() {
        let second = 1_795_221_039;
        assert_eq!(
            texts(second, 0, 0),
            (
                "21/Nov/2026:00:30:39 +0000".to_owned(),
                "2026-11-21T00:30:39+00:00".to_owned()
            )
        );
        assert_eq!(
            texts(second, 5, 30),
            (
                "21/Nov/2026:06:00:39 +0530".to_owned(),
                "2026-11-21T06:00:39+05:30".to_owned()
            )
        );
        assert_eq!(
            texts(second, -3, -30),
            (
                "20/Nov/2026:21:00:39 -0330".to_owned(),
                "2026-11-20T21:00:39-03:30".to_owned()
            )
        );
    }

    #[test]
    fn the_kept_second_is_not_used_for_another_second() {
        let mut out = Vec::new();
        for unix in [1_795_221_039, 1_795_221_040, 1_795_221_039] {
            write_local(UNIX_EPOCH + Duration::from_secs(unix), Zone::Utc, &mut out);
            out.push(b'\n');
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "21/Nov/2026:00:30:39 +0000\n21/Nov/2026:00:30:40 +0000\n21/Nov/2026:00:30:39 +0000\n"
        );
    }

    #[test]
    fn times_no_calendar_can_hold_do_not_stop_the_log() {
        let mut out = Vec::new();
        write_local(UNIX_EPOCH - Duration::from_secs(5), Zone::Utc, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "01/Jan/1970:00:00:00 +0000");
        let second = Second::of(u64::MAX, Zone::Utc);
        assert_eq!(second.local, "01/Jan/1970:00:00:00 +0000");
    }

    #[test]
    fn seconds_have_three_digits_of_milliseconds() {
        for (micros, expected) in [
            (0, "0.000"),
            (999, "0.000"),
            (7_000, "0.007"),
            (45_999, "0.045"),
            (2_858_000, "2.858"),
            (60_100_000, "60.100"),
        ] {
            let mut out = Vec::new();
            write_seconds(Duration::from_micros(micros), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
