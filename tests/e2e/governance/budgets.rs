//! Budgets: nothing is spent beyond them, everything is counted, and nothing is forgotten.

use serde_json::{Value, json};
use tempfile::tempdir;

use super::{chat, cost_in_ledger, micro, start};
use crate::harness::{Connection, Dialect, Request, post};

const CONSUMERS: &str = "consumers:\n  alice: {key: alices-key, models: [\"*\"], budget: {usd: 0.03, per: day}}\n  \
                         bob: {key: bobs-key, models: [\"*\"]}\n";

#[test]
fn an_exhausted_budget_refuses_in_the_client_s_dialect_and_says_when_it_begins_anew() {
    let data = tempdir().expect("a directory");
    let node = start(CONSUMERS, &data);
    for left in ["0.020000", "0.010000", "0.000000"] {
        let answer = node.call("alices-key", "cent");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("x-tollgate-budget-remaining-usd"), Some(left));
        assert!(
            answer
                .header("x-tollgate-budget-reset")
                .is_some_and(|at| at.ends_with("T00:00:00Z"))
        );
    }
    let refused = node.call("alices-key", "cent");
    assert_eq!(refused.status(), 429);
    let error = &refused.json()["error"];
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("insufficient_quota"), &json!("budget_exceeded"))
    );
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("T00:00:00Z")),
        "{error}"
    );
    let seconds: u64 = refused
        .header("retry-after")
        .and_then(|text| text.parse().ok())
        .expect("seconds");
    assert!((1..=86_400).contains(&seconds));

    let body = Dialect::Anthropic.request("cent", false);
    let refused = node
        .gateway
        .send(&post("/v1/messages", body).header("x-api-key", "alices-key"));
    assert_eq!(refused.status(), 429);
    let message = Dialect::Anthropic.error_message(refused.text().as_bytes());
    assert!(message.contains("the consumer `alice`"), "{message}");
    // Nobody else's.
    assert_eq!(node.call("bobs-key", "cent").status(), 200);

    let budget = node.read("budgets/consumer.alice.usd.day");
    assert_eq!(
        (&budget["origin"], &budget["state"]["level"]),
        (&json!("file"), &json!("exhausted"))
    );
    assert_eq!(budget["state"]["spent_usd"], "0.030000");
    let changed = node.admin("PATCH", "budgets/consumer.alice.usd.day", &json!({"usd": "5"}));
    assert_eq!(
        (changed.status(), &changed.json()["error"]["code"]),
        (409, &json!("in_file"))
    );
    node.gateway.stop();
}

#[test]
fn what_was_spent_survives_a_restart_and_a_kill() {
    let data = tempdir().expect("a directory");
    let node = start(CONSUMERS, &data);
    assert_eq!(node.call("alices-key", "cent").status(), 200);
    node.gateway.stop();
    let node = start(CONSUMERS, &data);
    assert_eq!(node.spent("consumer.alice.usd.day"), "0.010000");
    assert_eq!(node.call("alices-key", "cent").status(), 200);
    // Once the ledger has the call, nothing takes it away.
    let begun = std::time::Instant::now();
    while cost_in_ledger(&data) < 20_000 {
        assert!(
            begun.elapsed() < crate::harness::PATIENCE,
            "the ledger does not know the call"
        );
    }
    node.gateway.kill();
    let node = start(CONSUMERS, &data);
    assert_eq!(node.spent("consumer.alice.usd.day"), "0.020000");
    assert_eq!(node.call("alices-key", "cent").status(), 200);
    assert_eq!(node.call("alices-key", "cent").status(), 429);
    node.gateway.stop();
    assert_eq!(cost_in_ledger(&data), 30_000);
}

/// So many streamed calls at once; returns how many were served.
fn streams_at_once(node: &super::Governed, key: &str, model: &str, count: usize) -> usize {
    let together = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|_| {
                let together = &together;
                std::thread::Builder::new()
                    .stack_size(256 * 1024)
                    .spawn_scoped(scope, move || {
                        let mut connection = node.gateway.connect();
                        together.wait();
                        let answer = connection.send(&chat(key, model, true));
                        assert!(matches!(answer.status(), 200 | 429), "{}", answer.text());
                        usize::from(answer.status() == 200)
                    })
                    .expect("a thread")
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a client"))
            .sum()
    })
}

#[test]
fn five_hundred_streams_at_once_on_a_budget_for_a_hundred_spend_no_more_and_the_ledger_agrees() {
    let data = tempdir().expect("a directory");
    let consumers = "consumers:\n  alice: {key: alices-key, models: [\"*\"], budget: {usd: 1, per: total}}\n  \
                     bob: {key: bobs-key, models: [\"*\"], budget: {usd: 0.8, per: total}}\n";
    let node = start(consumers, &data);
    // A cent each: exactly a hundred.
    assert_eq!(streams_at_once(&node, "alices-key", "cent", 500), 100);
    assert_eq!(node.spent("consumer.alice.usd.total"), "1.000000");
    // By the token, of which each may write eight: the bound is what they use beyond that, which is nothing.
    let served = streams_at_once(&node, "bobs-key", "word", 500);
    let spent = micro(&node.spent("consumer.bob.usd.total"));
    assert!(served >= 100, "{served}");
    assert!(spent > 0 && spent <= 800_000, "{spent}");
    node.gateway.stop();
    assert_eq!(cost_in_ledger(&data), 1_000_000 + spent);
    // The next process counts the same.
    let node = start(consumers, &data);
    assert_eq!(micro(&node.spent("consumer.bob.usd.total")), spent);
    node.gateway.stop();
}

#[test]
fn streams_that_their_clients_leave_are_charged_and_hold_nothing() {
    let data = tempdir().expect("a directory");
    let config = format!(
        "{}\nconsumers:\n  alice: {{key: alices-key, models: [\"*\"], budget: {{usd: 1, per: total}}}}\nproviders:\n  \
         slow: {{kind: simulated, endpoint: \"simulated:?words=500&chunk_ms=20\"}}\n",
        super::MODELS.replace("word: {provider: simulated}", "word: {provider: slow}")
    );
    let node = super::start_with(&config, &data);
    let body = json!({"model": "word", "stream": true, "max_tokens": 900, "messages": [{"role": "user", "content": "Hello"}]});
    let request = post("/v1/chat/completions", body.to_string()).header("authorization", "Bearer alices-key");
    let mut stream = node.gateway.connect().stream(&request);
    for _ in 0..5 {
        stream.event().expect("an event");
    }
    let reserved = node.read("budgets/consumer.alice.usd.total")["state"]["reserved_usd"].clone();
    assert_eq!(reserved, "0.900000");
    drop(stream);
    let spent = micro(&node.spent("consumer.alice.usd.total"));
    assert!(spent > 0 && spent < 900_000, "{spent}");
    node.gateway.stop();
    assert_eq!(cost_in_ledger(&data), spent);
}

#[test]
fn a_call_that_might_not_fit_is_told_what_is_left() {
    let data = tempdir().expect("a directory");
    let node = start(CONSUMERS, &data);
    let ask = |tokens: u64| {
        let body = json!({"model": "word", "max_tokens": tokens, "messages": [{"role": "user", "content": "Hello"}]});
        node.gateway.send(
            &post("/v1/chat/completions", body.to_string()).header("authorization", "Bearer alices-key"),
        )
    };
    let refused = ask(31);
    assert_eq!(refused.status(), 429);
    let text = refused.text();
    assert!(
        text.contains("has 0.030000 US dollars left") && text.contains("may take 0.031000"),
        "{text}"
    );
    assert_eq!(ask(20).status(), 200);
    node.gateway.stop();
}

#[test]
fn soft_budgets_warn_once_and_refuse_nobody() {
    let data = tempdir().expect("a directory");
    let hook = crate::harness::Upstream::saying(crate::harness::answers::answer(200, "", b"ok"));
    let more = format!(
        "{}governance:\n  webhook: {{url: \"http://{}/hook\"}}\n",
        CONSUMERS.replace(
            "budget: {usd: 0.03, per: day}",
            "budget: {usd: 0.03, per: day, hard: false, warn_at: [0.5, 1.0]}"
        ),
        hook.address()
    );
    let node = start(&more, &data);
    for _ in 0..5 {
        assert_eq!(node.call("alices-key", "cent").status(), 200);
    }
    let told: Vec<Value> = (0..2).map(|_| hook.asked().json()).collect();
    let shares: Vec<&Value> = told.iter().map(|event| &event["share"]).collect();
    assert!(
        shares.contains(&&json!(0.5)) && shares.contains(&&json!(1.0)),
        "{told:?}"
    );
    assert!(
        told.iter()
            .all(|event| event["for"] == "consumer/alice" && event["amount"] == "0.030000"),
        "{told:?}"
    );
    let finished = node.gateway.stop();
    assert_eq!(
        finished.stderr.matches("a budget is used up to a share").count(),
        2
    );
}

#[test]
fn limits_count_calls_tokens_and_calls_at_the_same_time() {
    let data = tempdir().expect("a directory");
    let consumers = "consumers:\n  alice: {key: alices-key, models: [\"*\"], limits: {requests: 2, per: day}}\n  \
                     bob: {key: bobs-key, models: [\"*\"], limits: [{tokens: 40, per: day}]}\n";
    let node = start(consumers, &data);
    let first = node.call("alices-key", "cent");
    assert_eq!(
        (first.status(), first.header("x-ratelimit-remaining-requests")),
        (200, Some("1"))
    );
    assert_eq!(node.call("alices-key", "cent").status(), 200);
    let refused = node.call("alices-key", "cent");
    assert_eq!(
        (refused.status(), &refused.json()["error"]["type"]),
        (429, &json!("rate_limit_error"))
    );
    assert!(refused.header("retry-after").is_some());
    let mut served = 0;
    while node.call("bobs-key", "cent").status() == 200 {
        served += 1;
        assert!(served < 10, "a limit of tokens refuses at some time");
    }
    assert!(served > 0);
    assert_eq!(node.read("limits")["items"][0]["state"]["used"], 2);
    let _ = Connection::open(node.admin).send(&Request::new("GET", "/status"));
    node.gateway.stop();
}
