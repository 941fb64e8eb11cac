//! What calls spend that the old process finishes counts for the budgets of the new one.

use std::time::Instant;

use serde_json::{Value, json};

use super::Rig;
use super::rig::ADMIN_KEY;
use crate::harness::{Connection, Dialect, PATIENCE, Request, Upstream, post};

fn admin(rig: &Rig, method: &str, path: &str, body: &Value) -> Value {
    let request = Request::new(method, &format!("/tollgate/v1/{path}"))
        .header("x-api-key", ADMIN_KEY)
        .body(body.to_string());
    Connection::open(rig.admin).send(&request).json()
}

fn spent(rig: &Rig) -> Value {
    admin(rig, "GET", "budgets/team.search.usd.month", &json!({}))["state"]["spent_usd"].clone()
}

#[test]
fn what_the_old_process_spends_at_last_counts_in_the_new_one_and_once() {
    let (upstream, proceed) = Upstream::paused("first", "last");
    let rig = Rig::start(&format!(
        "models:\n  held: {{provider: p}}\n  cent: {{provider: simulated}}\nprices:\n  models:\n    \
         held: {{input: 0, output: 0, per_request: 0.05}}\n    cent: {{input: 0, output: 0, per_request: 0.01}}\n\
         metrics: {{listen: \"127.0.0.1:0\"}}\nusage: {{flush_interval: 10ms}}\nteams:\n  search: {{budget: {{usd: 1, per: month}}}}\n\
         auth: key\nserver: {{access_log: {{format: json}}}}\nproviders:\n{}",
        Dialect::OpenAi.provider("p", &upstream)
    ));
    let made = admin(&rig, "POST", "keys", &json!({"team": "search"}));
    let bearer = format!("Bearer {}", made["key"].as_str().expect("a secret"));
    let chat = |model: &str, stream: bool| {
        post("/v1/chat/completions", Dialect::OpenAi.request(model, stream)).header("authorization", &bearer)
    };
    let cent = || {
        assert_eq!(
            Connection::open(rig.calls).send(&chat("cent", false)).status(),
            200
        )
    };
    cent();
    let mut stream = Connection::open(rig.calls).stream(&chat("held", true));
    stream.until("first");
    rig.upgrade();
    cent();
    let before = spent(&rig);
    assert!(before == "0.020000" || before == "0.010000", "{before}");
    proceed.send(()).expect("the provider waits");
    stream.until("last");
    stream.is_done();
    rig.stderr().with("the process before has finished its calls");
    let begun = Instant::now();
    while spent(&rig) != "0.070000" {
        assert!(begun.elapsed() < PATIENCE, "{}", spent(&rig));
    }
    cent();
    assert_eq!(spent(&rig), "0.080000");
}
