//! Limits of tokens: who answers while quotas last, what callers are told, and how little calls can use beyond a quota that
//! run at the same time.

use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use super::node::CHAT;
use super::{Node, NodeSetup};
use crate::harness::{Connection, Next, PATIENCE, Request, Response, Upstream, answers, post};

fn instance(name: &str, model: &str, priority: i64, upstream: &Upstream) -> Value {
    json!({
        "name": name, "provider": "openai-compatible", "priority": priority, "weight": 0,
        "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}}, "options": {"model": model},
        "override": {"endpoint": upstream.base()},
    })
}

/// The two instances of the manual's examples.
fn instances(priorities: [i64; 2], upstream: &Upstream) -> Value {
    json!([
        instance("openai-instance", "gpt-4", priorities[0], upstream),
        instance("deepseek-instance", "deepseek-chat", priorities[1], upstream),
    ])
}

fn one_instance(upstream: &Upstream) -> Value {
    let mut instance = instance("openai-instance", "gpt-4", 0, upstream);
    for key in ["name", "priority", "weight"] {
        instance.as_object_mut().expect("an object").remove(key);
    }
    instance
}

/// The model that answers a call, or the status of the refusal.
#[track_caller]
fn answered_by(node: &Node, upstream: &Upstream, call: &Request) -> String {
    let response = node.send(call);
    match response.status() {
        200 => upstream.asked().json()["model"]
            .as_str()
            .expect("a model")
            .to_owned(),
        status => status.to_string(),
    }
}

fn both(setup: impl Fn() -> NodeSetup, test: impl Fn(&Node)) {
    for setup in [setup(), setup().strict()] {
        let node = setup.start();
        test(&node);
        node.stop();
    }
}

#[test]
fn an_instance_of_lower_priority_answers_when_the_quota_of_the_preferred_one_is_used_up() {
    let upstream = Upstream::good("served");
    both(NodeSetup::new, |node| {
        node.put(
            "/routes/1",
            &json!({"uri": "/anything", "methods": ["POST"], "plugins": {
                "ai-proxy-multi": {
                    "fallback_strategy": ["rate_limiting"], "instances": instances([1, 0], &upstream),
                },
                "ai-rate-limiting": {
                    "instances": [{"name": "openai-instance", "limit": 10, "time_window": 60}],
                    "limit_strategy": "total_tokens",
                },
            }}),
        );
        let call = post("/anything", CHAT);
        let models: Vec<String> = (0..4).map(|_| answered_by(node, &upstream, &call)).collect();
        assert_eq!(
            models,
            ["gpt-4", "deepseek-chat", "deepseek-chat", "deepseek-chat"]
        );
    });
}

#[test]
fn each_consumer_uses_up_its_own_instance() {
    let upstream = Upstream::good("served");
    both(NodeSetup::new, |node| {
        for (name, key, limited) in [
            ("johndoe", "john-key", "openai-instance"),
            ("janedoe", "jane-key", "deepseek-instance"),
        ] {
            let limits = json!({
                "instances": [{"name": limited, "limit": 10, "time_window": 60}],
                "rejected_code": 429, "limit_strategy": "total_tokens",
            });
            node.put(
                "/consumers",
                &json!({"username": name, "plugins": {"ai-rate-limiting": limits}}),
            );
            let credential = json!({"id": format!("cred-{name}"), "plugins": {"key-auth": {"key": key}}});
            node.put(&format!("/consumers/{name}/credentials"), &credential);
        }
        node.put(
            "/routes/1",
            &json!({"uri": "/anything", "plugins": {
                "key-auth": {},
                "ai-proxy-multi": {
                    "fallback_strategy": ["rate_limiting"], "instances": instances([0, 0], &upstream),
                },
            }}),
        );
        let models_of = |key: &str| {
            let call = post("/anything", CHAT).header("apikey", key);
            (0..6)
                .map(|_| answered_by(node, &upstream, &call))
                .collect::<Vec<_>>()
        };
        for (key, limited, other) in [
            ("john-key", "gpt-4", "deepseek-chat"),
            ("jane-key", "deepseek-chat", "gpt-4"),
        ] {
            let models = models_of(key);
            let of_limited = models.iter().filter(|model| *model == limited).count();
            assert_eq!(of_limited, 1, "{key}: {models:?}");
            assert!(
                models[2..].iter().all(|model| model == other),
                "{key}: {models:?}"
            );
        }
    });
}

#[test]
fn a_group_s_limit_holds_for_its_members_and_a_service_s_for_its_routes() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new().start();
    let limits = json!({"limit": 30, "time_window": 60, "rejected_code": 429});
    node.put(
        "/consumer_groups/team",
        &json!({"plugins": {"ai-rate-limiting": limits}}),
    );
    node.put(
        "/consumers",
        &json!({"username": "ann", "group_id": "team", "plugins": {"key-auth": {"key": "ann-key"}}}),
    );
    node.put("/services/1", &json!({"plugins": {"ai-rate-limiting": limits}}));
    let plugins = json!({"ai-proxy": one_instance(&upstream)});
    node.put(
        "/routes/1",
        &json!({"uri": "/a", "service_id": "1", "plugins": plugins}),
    );
    node.put(
        "/routes/2",
        &json!({"uri": "/b", "service_id": "1", "plugins": plugins}),
    );
    let mut authenticated = plugins;
    authenticated["key-auth"] = json!({});
    node.put("/routes/3", &json!({"uri": "/c", "plugins": authenticated}));

    let status = |path: &str| node.send(&post(path, CHAT).header("apikey", "ann-key")).status();
    assert_eq!(["/a", "/b", "/a", "/b"].map(status), [200, 200, 429, 429]);
    assert_eq!(["/c"; 3].map(status), [200, 200, 429]);
    node.stop();
}

#[test]
fn callers_are_told_what_is_left_and_when_to_come_back() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new().start();
    node.put(
        "/routes/1",
        &json!({"uri": "/*", "plugins": {
            "ai-proxy": one_instance(&upstream),
            "ai-rate-limiting": {
                "limit": 30, "time_window": 60, "rejected_code": 429, "rejected_msg": "no tokens left",
            },
            // It must not count what is refused before it.
            "limit-count": {"count": 3, "time_window": 60, "rejected_code": 500},
        }}),
    );
    let told = |response: &Response, name: &str| {
        let name = format!("x-ai-ratelimit-{name}-ai-proxy-openai-compatible");
        response.header(&name).map(str::to_owned)
    };
    for left in ["30", "12"] {
        let response = node.chat("/v1/chat/completions");
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(told(&response, "limit").as_deref(), Some("30"));
        assert_eq!(told(&response, "remaining").as_deref(), Some(left));
    }
    for _ in 0..4 {
        let refused = node.chat("/v1/chat/completions");
        assert_eq!(refused.status(), 429);
        assert_eq!(told(&refused, "remaining").as_deref(), Some("0"));
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait));
        assert_eq!(refused.json()["error_msg"], "no tokens left");
        assert_eq!(refused.json()["error"]["message"], "no tokens left");
    }
    // Each of the manual's clients is told in its own dialect.
    let refused = node.send(&post("/v1/messages", CHAT));
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    node.stop();
}

#[test]
fn streams_are_charged_before_their_end_is_passed_on() {
    for at_once in [true, false] {
        let upstream = Upstream::start(move |asked, peer| {
            let events = answers::events(asked.dialect(), &["served"]);
            let begin = [events.before.concat(), events.content.concat()].concat();
            let end = events.after.concat();
            peer.send(answers::stream_head().as_bytes());
            if at_once {
                peer.send(&answers::chunk(begin + &end));
            } else {
                peer.send(&answers::chunk(begin));
                peer.send(&answers::chunk(end));
            }
            // The end of the stream has come, but not that of its body.
            peer.wait_until_closed();
            Next::Close
        });
        let node = NodeSetup::new().start();
        node.put(
            "/routes/1",
            &json!({"uri": "/*", "plugins": {
                "ai-proxy": one_instance(&upstream),
                "ai-rate-limiting": {"limit": 10, "time_window": 60, "rejected_code": 429},
            }}),
        );
        let call = post(
            "/v1/chat/completions",
            CHAT.replacen('{', r#"{"stream":true,"#, 1),
        );
        let mut stream = Connection::open(node.calls).stream(&call);
        while stream.event().expect("an end").data != "[DONE]" {}
        assert_eq!(node.send(&call).status(), 429);
        node.stop();
    }
}

#[test]
fn a_reservation_is_given_back_when_nobody_answers() {
    let upstream = Upstream::saying(answers::json_answer(503, "{}"));
    let good = Upstream::good("served");
    let node = NodeSetup::new().start();
    let limits = json!({"limit": 300, "time_window": 60, "rejected_code": 429, "admission": "reserve"});
    for (uri, upstream) in [("/a/*", &upstream), ("/b/*", &good)] {
        let plugins = json!({"ai-proxy": one_instance(upstream), "ai-rate-limiting": limits});
        node.put(
            &format!("/routes/{}", &uri[1..2]),
            &json!({"uri": uri, "plugins": plugins}),
        );
    }
    let body = CHAT.replacen('{', r#"{"max_tokens":200,"#, 1);
    let status = |path: &str| node.send(&post(path, body.clone())).status();
    assert_eq!(["/a/chat/completions"; 5].map(status), [503; 5]);
    // Each reserves more than 200 and uses 18.
    assert_eq!(["/b/chat/completions"; 4].map(status), [200; 4]);
    node.stop();
}

#[test]
fn what_is_reserved_for_the_answer_is_the_limit_that_the_instance_is_sent() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new().start();
    let limits = json!({"limit": 10_000, "time_window": 60, "admission": "reserve"});
    let body = CHAT.replacen('{', r#"{"max_tokens":200,"#, 1);
    let mut left = Vec::new();
    for (forced, sent) in [(false, 200), (true, 4000)] {
        let mut proxy = one_instance(&upstream);
        proxy["override"]["request_body"] = json!({"openai-chat": {"max_tokens": 4000}});
        proxy["override"]["request_body_force_override"] = json!(forced);
        let plugins = json!({"ai-proxy": proxy, "ai-rate-limiting": limits});
        // Each object has a quota of its own.
        let uri = format!("/{sent}/chat/completions");
        node.put(
            &format!("/routes/{sent}"),
            &json!({"uri": uri, "plugins": plugins}),
        );
        let response = node.send(&post(&uri, body.clone()));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(upstream.asked().json()["max_tokens"], sent);
        let told = response.header("x-ai-ratelimit-remaining-ai-proxy-openai-compatible");
        left.push(told.and_then(|left| left.parse::<u64>().ok()).expect("a number"));
    }
    assert_eq!(left[0] - left[1], 4000 - 200);
    node.stop();
}

/// Opens when so many have arrived.
struct Gate {
    missing: Mutex<usize>,
    opens: Condvar,
}

impl Gate {
    fn arrive(&self) {
        let mut missing = self.missing.lock().expect("a gate");
        *missing -= 1;
        if *missing == 0 {
            self.opens.notify_all();
        }
    }

    fn pass(&self) {
        let missing = self.missing.lock().expect("a gate");
        let passed = self
            .opens
            .wait_timeout_while(missing, PATIENCE, |missing| *missing > 0)
            .expect("a gate");
        assert!(!passed.1.timed_out(), "{} are missing", passed.0);
    }
}

const CALLS: usize = 200;
const QUOTA: u64 = 1000;

/// What was left for each of the calls that were answered, of 200 that run at the same time on a quota of 1000 tokens: nobody
/// is answered before everybody has been admitted or refused.
fn answered_of_200(admission: &str, answer: &'static [u8]) -> Vec<u64> {
    let gate = Arc::new(Gate {
        missing: Mutex::new(CALLS),
        opens: Condvar::new(),
    });
    let at_peer = gate.clone();
    let upstream = Upstream::start(move |_, peer| {
        at_peer.arrive();
        at_peer.pass();
        peer.send(answer);
        Next::Keep
    });
    let node = NodeSetup::new().start();
    node.put(
        "/routes/1",
        &json!({"uri": "/*", "plugins": {
            "ai-proxy": one_instance(&upstream),
            "ai-rate-limiting": {
                "limit": QUOTA, "time_window": 600, "rejected_code": 429, "admission": admission,
            },
        }}),
    );
    let body = CHAT.replacen('{', r#"{"max_tokens":80,"#, 1);
    let call = post("/v1/chat/completions", body);
    let left = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..CALLS)
            .map(|_| {
                scope.spawn(|| {
                    let response = Connection::open(node.calls).send(&call);
                    if response.status() == 200 {
                        let left = response.header("x-ai-ratelimit-remaining-ai-proxy-openai-compatible");
                        return left.map(|left| left.parse().expect("a number"));
                    }
                    assert_eq!(response.status(), 429, "{}", response.text());
                    gate.arrive();
                    None
                })
            })
            .collect();
        calls
            .into_iter()
            .filter_map(|call| call.join().expect("an answer"))
            .collect()
    });
    node.stop();
    left
}

#[test]
fn calls_at_the_same_time_use_no_more_than_the_quota_and_what_they_use_beyond_their_estimates() {
    // More than is estimated: the answer has its full length, and the request is larger than it looks.
    let body = json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "served"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 60, "completion_tokens": 80, "total_tokens": 140},
    });
    let answer: &'static [u8] = answers::json_answer(200, &body.to_string()).leak();
    let used = 140;

    let left = answered_of_200("reserve", answer);
    let answered = left.len() as u64;
    let estimated = QUOTA - left.iter().max().unwrap();
    assert!((81..used).contains(&estimated), "{estimated}");
    assert_eq!(answered, QUOTA / estimated, "as many as fit");
    assert!(answered * used <= QUOTA + answered * (used - estimated));

    // Without reservations nobody is refused: the quota is overrun by all that run at the same time.
    assert_eq!(answered_of_200("charge_after", answer).len(), CALLS);
}
