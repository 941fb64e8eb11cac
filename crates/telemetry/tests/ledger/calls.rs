//! Questions about single calls, and about groups of them.

use serde_json::{Value, json};
use tollgate_telemetry::ledger::{Call, Calls};

use super::server::PostgresServer;
use super::*;

fn calls(parameters: &[(&str, &str)]) -> Calls {
    Calls::of(parameters.iter().copied(), now_ms() / 1000).unwrap()
}

fn ids(calls: &[Call]) -> Vec<&str> {
    calls
        .iter()
        .filter_map(|call| call.text(Column::RequestId))
        .collect()
}

fn check(place: &Place) {
    let (ledger, _) = open(place);
    let now = now_ms();
    let mut first = call("one", "team-a", "gpt-5", now - 3000);
    first.text(Column::Usage, r#"{"prompt_tokens":10,"b":[1]}"#);
    first.text(Column::EndUser, "alice");
    ledger.append(&first);
    let mut failed = call("two", "team-b", "claude-sonnet-4-5", now - 2000);
    failed.text(Column::Outcome, "timeout");
    failed.text(Column::CostState, "unknown");
    failed.clear(Column::CostMicroUsd);
    ledger.append(&failed);
    ledger.append(&call("three", "team-a", "claude-sonnet-4-5", now - 1000));
    assert!(ledger.flush(PATIENCE));

    let reader = Reader::new(place.clone());
    let listed = reader.calls(&calls(&[])).unwrap();
    assert_eq!(ids(&listed), ["three", "two", "one"]);
    let chosen = |parameters: &[(&str, &str)]| {
        let found = reader.calls(&calls(parameters)).unwrap();
        ids(&found).join(" ")
    };
    assert_eq!(chosen(&[("consumer", "team-a")]), "three one");
    assert_eq!(
        chosen(&[("model", "claude-sonnet-4-5"), ("outcome", "timeout")]),
        "two"
    );
    assert_eq!(chosen(&[("end_user", "alice")]), "one");

    let page = calls(&[("limit", "2")]);
    let found = reader.calls(&page).unwrap();
    assert_eq!(ids(&found), ["three", "two"]);
    let next = page.next(&found).unwrap();
    assert_eq!(chosen(&[("limit", "2"), ("after", &next)]), "one");

    let one = reader.call("one", None).unwrap().unwrap();
    let told: Value = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
    assert_eq!(told["usage"], json!({"prompt_tokens": 10, "b": [1]}));
    assert_eq!(told["attempts"], json!([]));
    assert_eq!(told["cost_usd"], "0.001500");
    assert_eq!(told["losses"], Value::Null);
    assert!(told["time"].as_str().unwrap().ends_with('Z'));
    assert!(reader.call("nobody", None).unwrap().is_none());

    let report = reader
        .usage(&usage(&[("by", "consumer,model"), ("since", "1h")]))
        .unwrap();
    assert_eq!(report.rows.len(), 3);
    let unknown = sums(&report, &["team-b", "claude-sonnet-4-5"]);
    assert_eq!(unknown.get(Measure::UnpricedCalls), 1);
    assert_eq!(unknown.get(Measure::Failed), 1);
    assert_eq!(report.totals.get(Measure::CostMicroUsd), 3000);
    let only = usage(&[
        ("by", "model"),
        ("consumer", "team-a"),
        ("model", "gpt-5"),
        ("since", "1h"),
    ]);
    assert_eq!(reader.usage(&only).unwrap().totals.get(Measure::Calls), 1);
    let month = reader.usage(&usage(&[("by", "month"), ("since", "1h")])).unwrap();
    assert_eq!(month.rows[0].group[0].len(), 7);
}

#[test]
fn calls_and_sums_are_found_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    check(&Place::File(folder.path().join("usage.db")));
}

#[test]
fn calls_and_sums_are_found_in_a_database() {
    let server = PostgresServer::start(&[]);
    check(&database(&server.url("?sslmode=disable"), RootCertStore::empty()));
}

#[test]
fn a_wrong_question_names_the_parameter_and_what_is_allowed() {
    let refusal = |name, value| Calls::of([(name, value)], 0).unwrap_err().to_string();
    assert_eq!(
        refusal("limit", "5000"),
        "limit: `5000` is not a number from 1 to 1000"
    );
    assert!(refusal("colour", "red").starts_with("colour: unknown parameter; allowed: since, until, limit"));
    assert!(refusal("after", "x").starts_with("after: write what"));
}
