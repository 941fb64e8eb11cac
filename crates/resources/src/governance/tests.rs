use proptest::prelude::*;

use super::*;
use crate::model::{Period, Subject};

fn members(value: Value) -> Map<String, Value> {
    object(value)
}

#[test]
fn budgets_are_read_exactly_and_written_as_they_were_read() {
    let read = budget(&members(
        json!({"id": "b", "for": "team/search", "usd": "12.345678", "per": "month", "warn_at": [1, 0.5], "hard": false}),
    ))
    .unwrap();
    assert_eq!(read.amount, Amount::MicroUsd(12_345_678));
    assert_eq!(read.subject, Subject::Team("search".to_owned()));
    assert_eq!((read.warn_at.as_slice(), read.hard), (&[500, 1000][..], false));
    assert_eq!(budget(&budget_json(&read)), Ok(read));
}

#[test]
fn mistakes_name_the_member_and_what_to_write() {
    for (value, field, told) in [
        (
            json!({"id": "b", "for": "all", "per": "day"}),
            "usd",
            "give `usd` or `tokens`",
        ),
        (
            json!({"id": "b", "for": "all", "usd": 1.5, "per": "day"}),
            "usd",
            "as text",
        ),
        (
            json!({"id": "b", "for": "all", "usd": "1.0000001", "per": "day"}),
            "usd",
            "as text",
        ),
        (
            json!({"id": "b", "for": "all", "usd": "1", "tokens": 1, "per": "day"}),
            "tokens",
            "a budget for each",
        ),
        (
            json!({"id": "b", "for": "group/x", "usd": "1", "per": "day"}),
            "for",
            "team/ID",
        ),
        (
            json!({"id": "b", "for": "all", "usd": "1", "per": "year"}),
            "per",
            "month",
        ),
        (
            json!({"id": "b", "for": "all", "usd": "1", "per": "day", "warn_at": [2]}),
            "warn_at",
            "up to 1",
        ),
        (
            json!({"id": "b", "for": "all", "usd": "1", "per": "day", "soft": true}),
            "soft",
            "`hard`",
        ),
        (
            json!({"id": "a/b", "for": "all", "usd": "1", "per": "day"}),
            "id",
            "letters",
        ),
    ] {
        let wrong = budget(&members(value.clone())).unwrap_err();
        assert_eq!(wrong.field, field, "{value}");
        assert!(wrong.text.contains(told), "{value}: {wrong}");
    }
    let limits = [
        (json!({"id": "l", "for": "all", "requests": 5}), "per"),
        (
            json!({"id": "l", "for": "all", "concurrent": 5, "per": "day"}),
            "per",
        ),
        (
            json!({"id": "l", "for": "all", "requests": 5, "tokens": 5, "per": "day"}),
            "requests",
        ),
        (
            json!({"id": "l", "for": "all", "requests": 0, "per": "day"}),
            "requests",
        ),
    ];
    for (value, field) in limits {
        assert_eq!(
            limit(&members(value.clone())).unwrap_err().field,
            field,
            "{value}"
        );
    }
}

#[test]
fn periods_are_those_of_the_calendar() {
    let at = |text: &str| read_time(text).unwrap();
    for (period, now, begin, end) in [
        (
            Period::Hour,
            "2026-11-21T22:33:44Z",
            "2026-11-21T22:00:00Z",
            "2026-11-21T23:00:00Z",
        ),
        (
            Period::Day,
            "2026-12-31T23:59:59Z",
            "2026-12-31T00:00:00Z",
            "2027-01-01T00:00:00Z",
        ),
        // A Saturday; weeks begin on Monday.
        (
            Period::Week,
            "2026-11-21T12:00:00Z",
            "2026-11-16T00:00:00Z",
            "2026-11-23T00:00:00Z",
        ),
        (
            Period::Week,
            "2026-11-23T00:00:00Z",
            "2026-11-23T00:00:00Z",
            "2026-11-30T00:00:00Z",
        ),
        (
            Period::Month,
            "2028-02-29T12:00:00Z",
            "2028-02-01T00:00:00Z",
            "2028-03-01T00:00:00Z",
        ),
        (
            Period::Month,
            "2026-12-01T00:00:00Z",
            "2026-12-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
        ),
    ] {
        assert_eq!(
            period.around(at(now)),
            (at(begin), Some(at(end))),
            "{period:?} {now}"
        );
    }
    assert_eq!(Period::Total.around(at("2026-12-01T00:00:00Z")), (0, None));
}

proptest! {
    #[test]
    fn times_are_read_as_they_are_written_and_lie_in_their_periods(seconds in 0..250_000_000_000_u64) {
        prop_assert_eq!(read_time(&time_text(seconds)), Some(seconds));
        for period in [Period::Hour, Period::Day, Period::Week, Period::Month] {
            let (begin, end) = period.around(seconds);
            prop_assert!(begin <= seconds && end.is_some_and(|end| seconds < end));
            prop_assert_eq!(period.around(end.unwrap()).0, end.unwrap());
        }
    }
}

#[test]
fn teams_are_a_tree() {
    let mistake = |teams: &[(&'static str, Option<&'static str>)]| tree_mistake(teams.iter().copied());
    assert_eq!(mistake(&[("a", None), ("b", Some("a")), ("c", Some("b"))]), None);
    let (team, text) = mistake(&[("a", Some("b")), ("b", Some("a"))]).unwrap();
    assert_eq!(team, "a");
    assert!(text.contains("below itself"));
    assert!(mistake(&[("a", Some("z"))]).unwrap().1.contains("no team `z`"));
}

#[test]
fn dollars_have_six_digits_behind_the_point() {
    for (micro_usd, text) in [
        (0, "0.000000"),
        (1, "0.000001"),
        (999_999, "0.999999"),
        (1_500_000, "1.500000"),
        (12_345_678_901, "12345.678901"),
    ] {
        assert_eq!(usd_text(micro_usd), text);
    }
}
