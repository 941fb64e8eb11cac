//! A time at a glance: percentiles as far back as calls are kept, any time, and the time before.

use tollgate_telemetry::ledger::{Overview, Percentiles, Range, Timeline};

use super::server::PostgresServer;
use super::*;

const DAY_MS: i64 = 86_400_000;

fn check(place: &Place) {
    let (ledger, _) = open(place);
    let now = now_ms();
    let timed = |id: &str, consumer: &str, days: i64, latency: i64| {
        let mut row = call(id, consumer, "gpt-5", now - days * DAY_MS);
        row.number(Column::Latency, latency);
        row.number(Column::TimeToFirstToken, latency / 10);
        row.text(Column::Team, "search");
        ledger.append(&row);
    };
    for number in 0..20 {
        timed(&format!("fast{number}"), "quick", 3, 40);
        timed(&format!("slow{number}"), "lame", 4, 4_000);
    }
    timed("before", "quick", 10, 40);
    assert!(ledger.flush_and_stop(PATIENCE));

    let reader = Reader::new(place.clone());
    let ask = |range, by| -> Timeline {
        let overview = Overview {
            range,
            by,
            now: now / 1000,
            compares: true,
            teams: None,
        };
        reader.overview(&overview).unwrap()
    };
    let within = |found: Option<Percentiles>, low: i64, high: i64| {
        let found = found.unwrap();
        assert!((low..=high).contains(&found.p50), "{found:?}");
        assert!(found.p50 <= found.p95 && found.p95 <= found.p99, "{found:?}");
    };
    for range in [Range::Week, Range::between("7d", "now", now / 1000).unwrap()] {
        let week = ask(range, Column::Consumer);
        assert_eq!(week.total.sums.get(Measure::Calls), 40);
        assert_eq!(week.looked_at, 40);
        within(week.total.latency, 35, 50);
        assert!(week.total.latency.unwrap().p95 >= 3_000, "{:?}", week.total);
        let group = |name: &str| week.groups.iter().find(|(other, _)| other == name).unwrap().1;
        within(group("quick").latency, 35, 50);
        within(group("lame").latency, 3_000, 5_000);
        within(group("lame").first_token, 300, 500);
        let with_calls = week.points.iter().filter(|point| point.latency.is_some());
        assert_eq!(with_calls.count(), 2);
        assert_eq!(week.before.unwrap().get(Measure::Calls), 1);
    }
    let month = ask(Range::Month, Column::Team);
    assert_eq!(month.groups[0].0, "search");
    assert_eq!(month.looked_at, 41);
    within(month.groups[0].1.latency, 35, 50);

    // Two hours around the slow ones, in steps of a minute.
    let middle = now / 1000 - 4 * 86_400;
    let range = Range::Between {
        since: middle - 3_600,
        until: middle + 3_600,
    };
    let short = ask(range, Column::ModelServed);
    assert_eq!((short.step_s, short.total.sums.get(Measure::Calls)), (60, 20));
    assert_eq!(short.before.unwrap().get(Measure::Calls), 0);
    within(short.total.latency, 3_000, 5_000);
}

#[test]
fn percentiles_reach_as_far_back_as_calls_are_kept_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    check(&Place::File(folder.path().join("usage.db")));
}

#[test]
fn percentiles_reach_as_far_back_as_calls_are_kept_in_a_database() {
    let server = PostgresServer::start(&[]);
    check(&database(&server.url("?sslmode=disable"), RootCertStore::empty()));
}

#[test]
fn times_are_refused_that_end_before_they_begin_or_are_too_long() {
    for (since, until, told) in [
        ("1h", "2h", "until: must be after `since`"),
        ("500d", "now", "since: ask for 400 days at most"),
        ("yesterday", "now", "since: `yesterday` is no time"),
    ] {
        let error = Range::between(since, until, 1_800_000_000)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(told), "{error}");
    }
}
