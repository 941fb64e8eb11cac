//! The time of day is set forward and back by an hour: what lasts for a while lasts as long as it should.

use serde_json::{Value, json};

use super::wait_until;
use crate::apisix::{Node, NodeSetup};
use crate::harness::{Connection, Dialect, Request, SettableClock, Upstream, answers, post};

/// What the clock is set to, one after the other.
const SET: [&str; 4] = ["-1h", "+1h", "+0", "+1h"];

fn route(uri: &str, plugin: &str, conf: &Value, upstream: &Upstream) -> Value {
    json!({"uri": uri, "plugins": {plugin: conf}, "upstream": {"nodes": {upstream.address().to_string(): 1}}})
}

/// A server that answers everything.
fn server() -> Upstream {
    Upstream::saying(answers::json_answer(200, "{}"))
}

fn get(node: &Node, path: &str) -> u16 {
    node.send(&Request::new("GET", path)).status()
}

#[test]
fn a_limit_that_is_used_up_is_free_again_when_its_time_has_passed_and_not_before() {
    let (clock, upstream) = (SettableClock::new(), server());
    let node = NodeSetup::new().clock(&clock).start();
    for kind in ["fixed", "sliding"] {
        let conf = json!({"count": 2, "time_window": 600, "rejected_code": 429, "window_type": kind});
        let path = format!("/{kind}");
        node.put(
            &format!("/routes/{kind}"),
            &route(&path, "limit-count", &conf, &upstream),
        );
        clock.set("+0");
        assert_eq!([(); 3].map(|()| get(&node, &path)), [200, 200, 429], "{kind}");
        for set in SET {
            clock.set(set);
            let refused = node.send(&Request::new("GET", &path));
            assert_eq!(refused.status(), 429, "{kind} {set}");
            let reset = refused
                .header("x-ratelimit-reset")
                .and_then(|reset| reset.parse::<f64>().ok());
            assert!(
                reset.is_some_and(|reset| (0.0..=600.0).contains(&reset)),
                "{kind} {set}: {reset:?}"
            );
        }
    }
    // A limit that is short ends also while the clock stands back.
    let conf = json!({"count": 1, "time_window": 1, "rejected_code": 429});
    node.put("/routes/short", &route("/short", "limit-count", &conf, &upstream));
    clock.set("+1h");
    assert_eq!(get(&node, "/short"), 200);
    clock.set("-1h");
    wait_until("there is room again after a second", || {
        get(&node, "/short") == 200
    });
    // The same with a rate, whose memory is shorter still.
    let conf = json!({"rate": 1, "burst": 0, "key": "remote_addr", "rejected_code": 429});
    node.put("/routes/rate", &route("/rate", "limit-req", &conf, &upstream));
    clock.set("+1h");
    assert_eq!(get(&node, "/rate"), 200);
    clock.set("-1h");
    wait_until("there is room again after a second", || {
        get(&node, "/rate") == 200
    });
    node.stop();
}

#[test]
fn objects_with_a_time_to_live_stay_as_long_as_was_said() {
    let (clock, upstream) = (SettableClock::new(), server());
    let node = NodeSetup::new().clock(&clock).start();
    let body = route(
        "/long",
        "ip-restriction",
        &json!({"blacklist": ["192.0.2.1"]}),
        &upstream,
    );
    let put = |path: &str, uri: &str| {
        let mut body = body.clone();
        body["uri"] = uri.into();
        assert_eq!(node.ask("PUT", path, Some(&body)).status(), 201);
    };
    put("/routes/long?ttl=600", "/long");
    for (number, set) in SET.into_iter().enumerate() {
        clock.set(set);
        // When this one has gone, the gateway has looked for what has to go since the clock was set.
        let short = format!("/short{number}");
        put(&format!("/routes/short{number}?ttl=1"), &short);
        wait_until("the short one is gone", || get(&node, &short) == 404);
        assert_eq!(get(&node, "/long"), 200, "{set}");
    }
    node.stop();
}

#[test]
fn a_stream_and_the_calls_beside_it_do_not_notice() {
    let (upstream, proceed) = Upstream::paused("first", "last");
    let clock = SettableClock::new();
    let node = NodeSetup::new().clock(&clock).start();
    node.put(
        "/routes/1",
        &json!({"uri": "/chat", "plugins": {"ai-proxy": {
            "provider": "openai-compatible",
            "auth": {"header": {"authorization": "Bearer k"}},
            "override": {"endpoint": format!("http://{}/v1/chat/completions", upstream.address())},
        }}}),
    );
    let mut stream = Connection::open(node.calls).stream(&post("/chat", Dialect::OpenAi.request("m", true)));
    stream.until("first");
    for set in SET {
        clock.set(set);
        let call = post("/chat", Dialect::OpenAi.request("m", false));
        assert_eq!(node.send(&call).status(), 200, "{set}");
    }
    proceed.send(()).expect("the provider waits");
    stream.is_done();
    node.stop();
}
