//! Calls of some teams only, and what others have charged: in both stores.

use tollgate_telemetry::ledger::{Calls, Overview, Range};

use super::server::PostgresServer;
use super::*;

fn of_team<'a>(id: &'a str, team: &'a str, budget: &'a str, time_ms: i64) -> Row<'a> {
    let mut row = call(id, "somebody", "gpt-5", time_ms);
    row.text(Column::Team, team);
    row.text(Column::Credential, team);
    row.text(Column::Charges, budget);
    row
}

const SEVEN: &str = r#"[{"budget":"b:usd:total","start":0,"amount":7}]"#;

fn in_both(check: impl Fn(&Place)) {
    let folder = tempfile::tempdir().unwrap();
    check(&Place::File(folder.path().join("usage.db")));
    let server = PostgresServer::start(&[]);
    check(&database(&server.url("?sslmode=disable"), RootCertStore::empty()));
}

#[test]
fn who_may_see_some_teams_is_told_of_their_calls_only() {
    in_both(|place| {
        let (ledger, _) = open(place);
        let now = now_ms();
        let rows = [("one", "search"), ("two", "ranking"), ("three", "ads")];
        for (id, team) in rows {
            ledger.append(&of_team(id, team, SEVEN, now));
        }
        ledger.append(&call("nobodys", "somebody", "gpt-5", now));
        assert!(ledger.flush(PATIENCE));
        let reader = Reader::new(place.clone());
        for (teams, seen) in [
            (Some(vec!["search".to_owned(), "ranking".to_owned()]), 2),
            (Some(vec!["ads".to_owned()]), 1),
            (Some(Vec::new()), 0),
            (Some(vec!["' OR '1' = '1".to_owned()]), 0),
            (None, 4),
        ] {
            let mut report = usage(&[("by", "day"), ("since", "1h")]);
            report.teams.clone_from(&teams);
            let told = reader.usage(&report).unwrap().totals.get(Measure::Calls);
            assert_eq!(told, seen, "{teams:?}");
            report = usage(&[("by", ""), ("since", "1h"), ("consumer", "somebody")]);
            report.teams.clone_from(&teams);
            let told = reader.usage(&report).unwrap().totals.get(Measure::Calls);
            assert_eq!(told, seen, "{teams:?}");
            let mut calls = Calls::of([], now / 1000 + 1).unwrap();
            calls.teams.clone_from(&teams);
            assert_eq!(i64::try_from(reader.calls(&calls).unwrap().len()), Ok(seen));
            for range in [Range::Hour, Range::Week] {
                let timeline = reader.overview(&Overview {
                    range,
                    by: Column::Consumer,
                    now: now / 1000,
                    compares: true,
                    teams: teams.clone(),
                });
                let timeline = timeline.unwrap();
                let calls = |sums: &Sums| sums.get(Measure::Calls);
                assert_eq!(calls(&timeline.total.sums), seen, "{range:?}");
                assert_eq!(timeline.looked_at, seen, "{range:?}");
                let named: i64 = timeline.groups.iter().map(|(_, point)| calls(&point.sums)).sum();
                assert_eq!(named, seen, "{range:?}");
            }
            let one = reader.call("three", teams.as_deref()).unwrap();
            let is_of_these = teams
                .as_ref()
                .is_none_or(|teams| teams.contains(&"ads".to_owned()));
            assert_eq!(one.is_some(), is_of_these);
        }
        assert!(reader.knows_team("ads").unwrap() && !reader.knows_team("sales").unwrap());
        let used = reader.used(0, 0).unwrap();
        assert_eq!(used.len(), 3, "{used:?}");
        assert!(used.iter().all(|(_, at_ms)| i64::try_from(*at_ms) == Ok(now)));
    });
}

#[test]
fn what_others_have_charged_is_all_but_what_was_charged_here() {
    in_both(|place| {
        let told = |charged: u64| vec![("b:usd:total".to_owned(), 0, charged)];
        let (before, _) = open(place);
        before.append(&of_team("one", "search", SEVEN, now_ms()));
        assert!(before.flush(PATIENCE));

        let (ledger, _) = open(place);
        assert_eq!(ledger.charged_by_others(PATIENCE).unwrap(), told(7));
        ledger.append(&of_team("two", "search", SEVEN, now_ms()));
        // Written or not: it is not of others.
        assert_eq!(ledger.charged_by_others(PATIENCE).unwrap(), told(7));
        assert!(ledger.flush(PATIENCE));
        before.append(&of_team("three", "search", SEVEN, now_ms()));
        assert!(before.flush_and_stop(PATIENCE));
        assert_eq!(ledger.charged_by_others(PATIENCE).unwrap(), told(14));
        assert!(ledger.flush_and_stop(PATIENCE));
        assert!(ledger.charged_by_others(PATIENCE).is_err());
    });
}
