//! What is old goes, and what it added up to stays.

use tollgate_telemetry::ledger::Keep;

use super::server::PostgresServer;
use super::*;

const DAY_MS: i64 = 86_400_000;
const DAY: Duration = Duration::from_secs(86_400);

fn check(place: &Place) {
    let (ledger, _) = open(place);
    let now = now_ms();
    for (id, days) in [("today", 0), ("old", 5), ("older", 50), ("oldest", 500)] {
        ledger.append(&call(id, "team-a", "gpt-5", now - days * DAY_MS));
    }
    assert!(ledger.flush_and_stop(PATIENCE));
    let settings = Settings {
        flush_interval: Duration::from_millis(1),
        keep: Keep {
            calls: DAY * 2,
            hours: DAY * 30,
            days: DAY * 100,
        },
        ..Settings::new(place.clone())
    };
    let (ledger, metrics) = start(&settings);
    // One hour and one day are removed in a round, and the last finds nothing: that is enough rounds for all of it.
    let rounds = number(&metrics, "tollgate_ledger_rounds_total");
    while number(&metrics, "tollgate_ledger_rounds_total") < rounds + 8 {
        std::thread::yield_now();
    }
    assert!(ledger.flush_and_stop(PATIENCE));

    let reader = Reader::new(place.clone());
    let kept = |id: &str| reader.call(id, None).unwrap().is_some();
    assert!(kept("today") && !kept("old") && !kept("older") && !kept("oldest"));
    assert_eq!(ask(place, "hour").rows.len(), 2);
    let days = ask(place, "day");
    assert_eq!(days.rows.len(), 3);
    assert_eq!(days.totals.get(Measure::Calls), 3);
    // Hours that are gone are told, and the days say what they added up to.
    let since = usage(&[("by", "hour"), ("since", "60d")]);
    let hours = reader.usage(&since).unwrap();
    assert!(
        hours.notes[0].starts_with("hours are kept since "),
        "{:?}",
        hours.notes
    );
    let since = usage(&[("by", "consumer"), ("since", "1440h")]);
    assert_eq!(reader.usage(&since).unwrap().totals.get(Measure::Calls), 3);
}

#[test]
fn old_calls_go_from_a_file_and_their_sums_stay() {
    let folder = tempfile::tempdir().unwrap();
    check(&Place::File(folder.path().join("usage.db")));
}

#[test]
fn old_calls_go_from_a_database_and_their_sums_stay() {
    let server = PostgresServer::start(&[]);
    check(&database(&server.url("?sslmode=disable"), RootCertStore::empty()));
}
