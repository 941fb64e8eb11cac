//! What the usage ledger knows beyond one process: what was spent, and when keys were used, before it and beside it.

use std::time::Instant;

use serde_json::{Value, json};
use tempfile::tempdir;

use super::{Governed, chat, start, start_with};
use crate::harness::postgres::PostgresServer;
use crate::harness::{Connection, Dialect, PATIENCE, Upstream};

const TEAM: &str =
    "auth: key\nmetrics: {listen: \"127.0.0.1:0\"}\nteams:\n  search: {budget: {usd: 1, per: month}}\n";

const BUDGET: &str = "team.search.usd.month";

/// Makes a key of the team, and gives its secret.
#[track_caller]
fn key(node: &Governed) -> String {
    let made = node.make("keys", &json!({"id": "k1", "team": "search"}));
    made["key"].as_str().expect("a secret").to_owned()
}

/// Waits until something is true.
#[track_caller]
fn until(what: &str, is_true: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
    }
}

#[test]
fn when_a_key_was_used_last_is_known_after_a_restart_and_by_gateways_with_the_same_ledger() {
    let (data, other_data) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
    let config = format!(
        "{TEAM}usage: {{flush_interval: 10ms, store: \"{}/usage.db\"}}\n",
        data.path().display()
    );
    let (node, other) = (start(&config, &data), start(&config, &other_data));
    let used = |node: &Governed| node.read("keys/k1")["last_used_at"].clone();
    let secret = key(&node);
    key(&other);
    assert_eq!((used(&node), used(&other)), (Value::Null, Value::Null));
    assert_eq!(node.call(&secret, "cent").status(), 200);
    let at = used(&node);
    assert!(at.is_string(), "{at}");
    until("the other gateway is told", || used(&other) == at);
    node.gateway.stop();
    let node = start(&config, &data);
    assert_eq!(used(&node), at);
    node.gateway.kill();
    other.gateway.stop();
}

#[test]
fn what_was_spent_before_counts_as_soon_as_the_ledger_answers_and_exactly_once() {
    let mut server = PostgresServer::start(&[]);
    let data = tempdir().expect("a directory");
    let config = |more: &str| {
        let usage = format!(
            "usage: {{flush_interval: 10ms, store: \"{}\"}}\n",
            server.url("?sslmode=disable")
        );
        format!("{TEAM}{usage}{more}")
    };
    let (allowing, refusing) = (config(""), config("governance: {on_ledger_down: refuse}\n"));
    let node = start(&allowing, &data);
    let secret = key(&node);
    for _ in 0..2 {
        assert_eq!(node.call(&secret, "cent").status(), 200);
    }
    assert_eq!(node.spent(BUDGET), "0.020000");
    node.gateway.stop();

    // The operator wants calls to wait.
    server.kill();
    let node = start(&refusing, &data);
    let refused = node.call(&secret, "cent");
    assert_eq!(refused.status(), 503, "{}", refused.text());
    assert_eq!(
        refused.json()["error"]["code"],
        "budget_undecided",
        "{}",
        refused.text()
    );
    server.restart();
    until("calls are let in", || node.call(&secret, "cent").status() == 200);
    assert_eq!(node.spent(BUDGET), "0.030000");
    node.gateway.stop();

    // The usual way: they are let in, and counted.
    server.kill();
    let node = start(&allowing, &data);
    node.gateway.counts("tollgate_governance_spending_unknown", 1);
    assert_eq!(node.call(&secret, "cent").status(), 200);
    assert_eq!(node.spent(BUDGET), "0.010000");
    assert_eq!(node.gateway.counted("tollgate_governance_unaware_total"), 1);
    server.restart();
    node.gateway.stderr().with("has told what was spent");
    node.gateway.counts("tollgate_governance_spending_unknown", 0);
    assert_eq!(node.spent(BUDGET), "0.040000");
    until("the call is kept", || {
        server.sql("SELECT COUNT(*) FROM tollgate_calls WHERE cost_micro_usd > 0") == "4"
    });
    assert_eq!(node.call(&secret, "cent").status(), 200);
    assert_eq!(node.spent(BUDGET), "0.050000");
    node.gateway.stop();
    let node = start(&allowing, &data);
    assert_eq!(node.spent(BUDGET), "0.050000");
    node.gateway.stop();
}

#[test]
fn how_many_calls_are_in_at_the_same_time_is_told() {
    let (upstream, proceed) = Upstream::paused("first", "last");
    let data = tempdir().expect("a directory");
    let config = format!(
        "models:\n  held: {{provider: p}}\nproviders:\n{}auth: key\nteams:\n  search: {{limits: {{concurrent: 3}}}}\n",
        Dialect::OpenAi.provider("p", &upstream)
    );
    let node = start_with(&config, &data);
    let secret = key(&node);
    let state = || node.read("limits")["items"][0]["state"].clone();
    assert_eq!(state(), json!({"used": 0, "remaining": 3, "resets_at": null}));
    let mut stream = Connection::open(node.gateway.address).stream(&chat(&secret, "held", true));
    stream.until("first");
    assert_eq!(state(), json!({"used": 1, "remaining": 2, "resets_at": null}));
    let me = crate::harness::Request::new("GET", "/tollgate/v1/me").header("x-api-key", &secret);
    assert_eq!(node.gateway.send(&me).json()["limits"][0]["state"]["used"], 1);
    proceed.send(()).expect("the provider waits");
    stream.rest();
    until("the place is free", || state()["used"] == 0);
    node.gateway.stop();
}
