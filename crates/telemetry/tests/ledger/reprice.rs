//! Costs of past calls that are computed anew, and their roll-ups with them.

use tollgate_telemetry::ledger::{Change, Repriced, Repricer};

use super::server::PostgresServer;
use super::*;

fn check(place: &Place) {
    let (ledger, _) = open(place);
    let now = now_ms();
    // More than one transaction, and one call before the time.
    for number in 0..1500 {
        ledger.append(&call(&format!("call-{number}"), "team-a", "gpt-5", now - number));
    }
    let mut unknown = call("unknown", "team-b", "new-model", now);
    unknown.clear(Column::CostMicroUsd);
    unknown.text(Column::CostState, "unknown");
    ledger.append(&unknown);
    ledger.append(&call("before", "team-a", "gpt-5", now - 10_000_000));
    assert!(ledger.flush(PATIENCE));

    let mut price = |call: &tollgate_telemetry::ledger::Call| {
        let is_known = call.text(Column::ModelServed) == Some("new-model");
        Some(Change {
            cost_micro_usd: Some(if is_known { 77 } else { 2000 }),
            cost_state: "known",
            price_pack: "next".to_owned(),
            attempts: Some("[]".to_owned()),
        })
    };
    let time = (now - 5_000_000, now + 1);
    let wanted = Repriced {
        calls: 1501,
        changed: 1501,
        before_micro_usd: 1500 * 1500,
        after_micro_usd: 1500 * 2000 + 77,
        unpriced_before: 1,
        unpriced_after: 0,
    };
    let repricer = Repricer::new(place.clone());
    let mut told = 0;
    let dry = repricer.run(time, true, &mut price, &mut |_| told += 1).unwrap();
    assert_eq!((dry, told), (wanted, 1501));
    assert_eq!(ask(place, "").totals.get(Measure::CostMicroUsd), 1501 * 1500);

    let done = repricer.run(time, false, &mut price, &mut |_| ()).unwrap();
    assert_eq!(done, wanted);
    let report = ask(place, "consumer");
    assert_eq!(report.totals.get(Measure::CostMicroUsd), 1500 * 2000 + 77 + 1500);
    assert_eq!(report.totals.get(Measure::Calls), 1502);
    assert_eq!(report.totals.get(Measure::UnpricedCalls), 0);
    assert_eq!(sums(&report, &["team-b"]).get(Measure::CostMicroUsd), 77);
    let kept = Reader::new(place.clone()).call("unknown", None).unwrap().unwrap();
    assert_eq!(kept.number(Column::CostMicroUsd), Some(77));
    assert_eq!(kept.text(Column::PricePack), Some("next"));

    // The same again changes nothing.
    let again = repricer.run(time, false, &mut price, &mut |_| ()).unwrap();
    assert_eq!((again.calls, again.changed), (1501, 0));
    assert_eq!(ask(place, "").totals, report.totals);
}

#[test]
fn costs_of_past_calls_change_in_a_file_with_their_sums() {
    let folder = tempfile::tempdir().unwrap();
    check(&Place::File(folder.path().join("usage.db")));
}

#[test]
fn costs_of_past_calls_change_in_a_database_with_their_sums() {
    let server = PostgresServer::start(&[]);
    check(&database(&server.url("?sslmode=disable"), RootCertStore::empty()));
}
