//! Providers of which some or all are down, or half broken: who is asked then, how often, and how soon the client knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::Reply;
use crate::apisix::{Node, NodeSetup};
use crate::harness::{Dialect, Next, Upstream, answers, post};

fn instance(name: &str, upstream: &Upstream, more: &Value) -> Value {
    let mut instance = json!({
        "name": name, "provider": "openai-compatible", "weight": 1,
        "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}},
        "options": {"model": "gpt-4"}, "override": {"endpoint": upstream.base()},
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        instance[name] = value.clone();
    }
    instance
}

fn route(node: &Node, instances: &[Value], more: &Value) {
    let mut plugin = json!({"instances": instances});
    for (name, value) in more.as_object().into_iter().flatten() {
        plugin[name] = value.clone();
    }
    node.put(
        "/routes/1",
        &json!({"uri": "/chat", "plugins": {"ai-proxy-multi": plugin}}),
    );
}

fn call(node: &Node, stream: bool) -> Reply {
    Reply::to(node.calls, post("/chat", Dialect::OpenAi.request("m", stream)))
}

/// The instance that has answered.
fn answered_by(reply: &Reply) -> String {
    let line = reply
        .head
        .lines()
        .find_map(|line| line.strip_prefix("x-tollgate-instance: "));
    line.unwrap_or_else(|| panic!("nobody: {} {}", reply.head, reply.text()))
        .to_owned()
}

#[test]
fn when_checks_find_nobody_well_calls_are_refused_at_once_and_served_as_soon_as_one_is() {
    let down = Arc::new(AtomicBool::new(false));
    let (calls, probes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let start = || {
        let (down, calls, probes) = (down.clone(), calls.clone(), probes.clone());
        Upstream::start(move |asked, peer| {
            let probe = asked.method == "GET";
            if probe { &probes } else { &calls }.fetch_add(1, Ordering::SeqCst);
            if down.load(Ordering::SeqCst) {
                if !probe {
                    // Whoever waits for it waits for long.
                    peer.wait_until_closed();
                }
                peer.send(&answers::answer(503, "", b""));
            } else if probe {
                peer.send(&answers::answer(200, "", b""));
            } else {
                peer.send(&answers::good(asked, "served"));
            }
            Next::Keep
        })
    };
    let (a, b) = (start(), start());
    let node = NodeSetup::new().start();
    let checks = json!({"checks": {"active": {
        "http_path": "/health",
        "healthy": {"interval": 1, "successes": 1}, "unhealthy": {"interval": 1, "http_failures": 1},
    }}});
    route(
        &node,
        &[instance("a", &a, &checks), instance("b", &b, &checks)],
        &json!({}),
    );
    assert_eq!(call(&node, false).status, 200);

    down.store(true, Ordering::SeqCst);
    let request = post("/chat", Dialect::OpenAi.request("m", false));
    // Until checks have noticed, calls are for the time limits; nobody is asked here.
    node.process.stderr.times("an address is found ill", 2);
    let before = calls.load(Ordering::SeqCst);
    for stream in [false, true] {
        let reply = call(&node, stream);
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert!(reply.head.contains("retry-after: 1"), "{}", reply.head);
        assert!(reply.text().contains("no_healthy_instance"), "{}", reply.text());
    }
    assert_eq!(calls.load(Ordering::SeqCst), before, "nobody is asked");

    let before = probes.load(Ordering::SeqCst);
    down.store(false, Ordering::SeqCst);
    node.until(&request, |response| response.status() == 200);
    let probed = probes.load(Ordering::SeqCst) - before;
    // One check of each, and those that had begun or followed while a call was on its way.
    assert!(probed <= 6, "{probed} checks until the first call was served");
    node.stop();
}

#[test]
fn an_instance_that_fails_every_second_call_is_ejected_and_the_others_are_not() {
    let turn = Arc::new(AtomicUsize::new(0));
    let counter = turn.clone();
    let half_broken = Upstream::start(move |asked, peer| {
        if counter.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            peer.send(&answers::json_answer(
                500,
                &answers::error(Dialect::OpenAi, "broken"),
            ));
        } else {
            peer.send(&answers::good(asked, "served"));
        }
        Next::Keep
    });
    let good = [
        Upstream::good("served"),
        Upstream::good("served"),
        Upstream::good("served"),
    ];
    let node = NodeSetup::new().start();
    let mut instances = vec![instance("half-broken", &half_broken, &json!({}))];
    for (number, upstream) in good.iter().enumerate() {
        instances.push(instance(&format!("good-{number}"), upstream, &json!({})));
    }
    route(&node, &instances, &json!({"fallback_strategy": ["http_5xx"]}));
    // The share of failures counts when there are 20 calls.
    let mut made = 0;
    while turn.load(Ordering::SeqCst) < 21 {
        assert_eq!(call(&node, false).status, 200);
        made += 1;
        assert!(made < 200, "it gets its share");
    }
    let asked = turn.load(Ordering::SeqCst);
    let mut by = std::collections::BTreeSet::new();
    for _ in 0..30 {
        by.insert(answered_by(&call(&node, false)));
    }
    assert_eq!(turn.load(Ordering::SeqCst), asked, "it is left alone");
    assert_eq!(by.into_iter().collect::<Vec<_>>(), ["good-0", "good-1", "good-2"]);
    let ejections = node
        .process
        .stderr
        .so_far()
        .matches("an instance takes no calls for a while")
        .count();
    assert_eq!(ejections, 1);
    node.stop();
}

#[test]
fn an_instance_that_is_slow_but_alive_is_ejected_where_that_counts_as_a_failure() {
    let (gate, open) = std::sync::mpsc::channel::<()>();
    let open = std::sync::Mutex::new(open);
    let slow = Upstream::start(move |asked, peer| {
        let events = answers::events(asked.dialect(), &["served"]);
        peer.send(answers::stream_head().as_bytes());
        // Longer than an instance may take here.
        let _ = open
            .lock()
            .expect("one thread")
            .recv_timeout(std::time::Duration::from_millis(60));
        peer.send(&answers::chunk(events.text()));
        peer.send(answers::END_OF_CHUNKS);
        Next::Keep
    });
    let good = Upstream::good("served");
    let node = NodeSetup::new().start();
    let slowness =
        json!({"priority": 1, "checks": {"passive": {"slow_first_token_ms": 20, "consecutive_failures": 3}}});
    route(
        &node,
        &[
            instance("slow", &slow, &slowness),
            instance("good", &good, &json!({})),
        ],
        &json!({}),
    );
    let by: Vec<String> = (0..6).map(|_| answered_by(&call(&node, true))).collect();
    assert_eq!(by, ["slow", "slow", "slow", "good", "good", "good"]);
    drop(gate);
    node.stop();
}

#[test]
fn an_outage_costs_at_most_a_fifth_more_calls_whichever_way_it_is_configured() {
    const CALLS: usize = 200;
    let asked = Arc::new(AtomicUsize::new(0));
    let start = || {
        let asked = asked.clone();
        Upstream::start(move |_, peer| {
            asked.fetch_add(1, Ordering::SeqCst);
            peer.send(&answers::json_answer(
                503,
                &answers::error(Dialect::OpenAi, "down"),
            ));
            Next::Keep
        })
    };
    let upstreams = [start(), start(), start(), start(), start()];
    let node = NodeSetup::new().start();
    let instances: Vec<Value> = upstreams
        .iter()
        .enumerate()
        .map(|(number, upstream)| instance(&format!("i{number}"), upstream, &json!({})))
        .collect();
    route(
        &node,
        &instances,
        &json!({"fallback_strategy": ["http_5xx"], "retry_budget": {"min_per_second": 0}}),
    );
    for _ in 0..CALLS {
        assert_eq!(call(&node, false).status, 503);
    }
    let further = asked.load(Ordering::SeqCst) - CALLS;
    assert!(
        (1..=CALLS / 5).contains(&further),
        "{further} further attempts for {CALLS} calls"
    );
    node.stop();
}
