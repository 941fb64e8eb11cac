//! Who is asked next when an attempt fails, for how long, and how often.

use std::time::{Duration, Instant};

use super::*;
use crate::apisix::node::chat_route;

#[test]
fn what_was_never_sent_is_asked_elsewhere_unless_nothing_is_to_be_repeated() {
    let node = node();
    let (down, good) = (Upstream::refusing(), Upstream::good("fine"));
    let tearing = Upstream::resetting();
    let unknown = with(
        preferred("unknown", &down),
        // A name that no server has to be asked for: its first part is too long to be one.
        &json!({"override": {"endpoint": format!("http://{}.test/v1", "x".repeat(64))}}),
    );
    let torn = with(
        preferred("torn", &down),
        &json!({"override": {"endpoint": format!("https://{}/v1", tearing.address())}}),
    );
    for (first, attempt) in [
        (preferred("refusing", &down), "refusing=connect_error"),
        (unknown, "unknown=dns_error"),
        // The network decides whether it is torn before the handshake or in it.
        (torn, "torn=tls_error|torn=connect_error"),
    ] {
        let instances = [first, instance("good", &good)];
        route(&node, &instances, &json!({}));
        let response = node.chat("/chat");
        assert_eq!(response.status(), 200, "{}", response.text());
        let told = attempts(&response);
        assert!(
            attempt
                .split('|')
                .any(|attempt| told == format!("{attempt}, good=ok")),
            "{told}"
        );
        route(&node, &instances, &json!({"max_retries": 0}));
        let response = node.chat("/chat");
        assert_eq!(response.status(), 502, "{}", response.text());
    }
    let node = strict();
    route(
        &node,
        &[preferred("refusing", &down), instance("good", &good)],
        &json!({}),
    );
    assert_eq!(
        node.chat("/chat").status(),
        500,
        "APISIX repeats nothing without being told"
    );
}

#[test]
fn another_instance_is_asked_for_the_reasons_that_are_named() {
    let node = node();
    let good = Upstream::good("fine");
    // More than the budget allows by itself.
    let plenty = json!({"retry_budget": {"percent": 100}});
    let all = [429, 500, 503, 529, 404];
    for (rules, repeated) in [
        (json!({}), vec![]),
        (json!({"fallback_strategy": "http_429"}), vec![429]),
        (json!({"fallback_strategy": "http_5xx"}), vec![500, 503, 529]),
        (
            json!({"fallback_strategy": ["http_429", "http_5xx"]}),
            vec![429, 500, 503, 529],
        ),
        (json!({"fallback_strategy": ["rate_limiting"]}), vec![]),
        (
            json!({"fallback_strategy": "instance_health_and_rate_limiting"}),
            vec![],
        ),
        (json!({"fallback_http_statuses": [404, 503]}), vec![503, 404]),
        (
            json!({"fallback_strategy": "http_429", "fallback_http_statuses": [404]}),
            vec![429, 404],
        ),
    ] {
        for status in all {
            let bad = failing(status);
            route(
                &node,
                &[preferred("bad", &bad), instance("good", &good)],
                &with(rules.clone(), &plenty),
            );
            let response = node.chat("/chat");
            let told = if repeated.contains(&status) { 200 } else { status };
            assert_eq!(response.status(), told, "{rules} {status}: {}", response.text());
        }
    }
}

#[test]
fn every_instance_is_asked_once_at_most() {
    let node = node();
    let upstreams = [failing(500), failing(503), failing(502)];
    let instances: Vec<Value> = ["a", "b", "c"]
        .iter()
        .zip(&upstreams)
        .map(|(name, upstream)| instance(name, upstream))
        .collect();
    route(&node, &instances, &json!({"fallback_strategy": ["http_5xx"]}));
    let response = node.chat("/chat");
    assert_eq!(attempts(&response), "a=500, b=503, c=502");
    assert_eq!(
        (response.status(), response.text()),
        (502, &*error("no")),
        "the last one's"
    );
    route(
        &node,
        &instances,
        &json!({"fallback_strategy": ["http_5xx"], "max_retries": 1}),
    );
    let response = node.chat("/chat");
    assert_eq!(
        attempts(&response).split(", ").count(),
        2,
        "{}",
        attempts(&response)
    );
    for upstream in &upstreams {
        upstream.asked();
    }
}

#[test]
fn an_attempt_that_failed_late_is_not_repeated() {
    let node = node();
    let good = Upstream::good("fine");
    let late = Upstream::start(|_, peer| {
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_millis(5) {
            std::thread::yield_now();
        }
        peer.send(&answers::json_answer(500, &error("late")));
        Next::Keep
    });
    let instances = [preferred("late", &late), instance("good", &good)];
    let rules = json!({"fallback_strategy": "http_5xx"});
    route(&node, &instances, &rules);
    assert_eq!(attempts(&node.chat("/chat")), "late=500, good=ok");
    route(
        &node,
        &instances,
        &with(rules, &json!({"retry_on_failure_within_ms": 1})),
    );
    let response = node.chat("/chat");
    assert_eq!((response.status(), attempts(&response)), (500, "late=500"));
}

#[test]
fn the_deadline_holds_for_all_attempts_together() {
    let node = node();
    let (broken, slow, never) = (failing(500), hanging(), Upstream::good("never"));
    route(
        &node,
        &[
            with(preferred("broken", &broken), &json!({"priority": 2})),
            preferred("slow", &slow),
            instance("never", &never),
        ],
        &json!({"fallback_strategy": "http_5xx", "deadline_ms": 1000}),
    );
    let response = node.chat("/chat");
    assert_eq!(response.status(), 504, "{}", response.text());
    assert_eq!(response.json()["error"]["code"], "deadline_exceeded");
    assert_eq!(attempts(&response), "broken=500, slow=deadline");
    slow.was_left();
    never.was_not_asked();
}

#[test]
fn a_stream_that_has_begun_outlives_the_deadline() {
    let node = node();
    let gate = Gate::default();
    let closed = gate.clone();
    let upstream = Upstream::start(move |asked, peer| {
        if !asked.stream() {
            peer.wait_until_closed();
            return Next::Keep;
        }
        let events = answers::events(asked.dialect(), &["first", "second"]);
        peer.send(answers::stream_head().as_bytes());
        let all = events.text();
        let (begun, rest) = all.split_at(
            all.find("first")
                .map_or(0, |at| at + all[at..].find("\n\n").unwrap_or(0))
                + 2,
        );
        peer.send(&answers::chunk(begun));
        closed.wait();
        peer.send(&answers::chunk(rest));
        peer.send(&answers::chunk(""));
        Next::Keep
    });
    route(&node, &[instance("a", &upstream)], &json!({"deadline_ms": 1000}));
    let mut stream = Connection::open(node.calls).stream(&chat(true));
    assert!(stream.event().is_some());
    // By the time that another call has reached the deadline, this one has too.
    assert_eq!(node.send(&chat(false)).status(), 504);
    gate.open();
    let events = stream.rest();
    assert_eq!(events.last().map(|event| event.data.as_str()), Some("[DONE]"));
}

#[test]
fn the_client_is_told_when_the_first_of_them_is_ready_again() {
    let node = node();
    let limited = |wait: &str| {
        let headers = format!("content-type: application/json\r\nretry-after: {wait}\r\n");
        Upstream::saying(answers::answer(429, &headers, error("slow down").as_bytes()))
    };
    let (late, soon, later) = (limited("60"), limited("7"), limited("3600"));
    let rules = json!({"fallback_strategy": ["http_429"]});
    route(
        &node,
        &[
            with(instance("late", &late), &json!({"priority": 2})),
            with(instance("soon", &soon), &json!({"priority": 1})),
            instance("later", &later),
        ],
        &rules,
    );
    let response = node.chat("/chat");
    assert_eq!(
        (response.status(), response.header("retry-after")),
        (429, Some("7"))
    );
}

#[test]
fn a_prompt_that_does_not_fit_goes_to_a_larger_model() {
    let node = node();
    let large = Upstream::good("a large model");
    for (status, said) in [
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 128000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
        ),
        (400, r#"{"message":"Input is too long for requested model."}"#),
    ] {
        let small = Upstream::saying(answers::json_answer(status, said));
        let instances = [preferred("small", &small), instance("large", &large)];
        route(
            &node,
            &instances,
            &json!({"fallback_strategy": ["context_window"]}),
        );
        let response = node.chat("/chat");
        assert_eq!(
            (response.status(), attempts(&response)),
            (200, "small=400, large=ok"),
            "{said}"
        );
        for other in [json!(["content_policy"]), json!(["http_5xx", "http_429"])] {
            route(&node, &instances, &json!({"fallback_strategy": other}));
            let response = node.chat("/chat");
            assert_eq!(
                (response.status(), response.text()),
                (status, said),
                "passed on as it is"
            );
        }
    }
}

#[test]
fn a_prompt_that_one_vendor_refuses_goes_to_another() {
    let node = node();
    let other = Upstream::good("another vendor");
    let said = r#"{"error":{"message":"The response was filtered due to the prompt triggering content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#;
    let picky = Upstream::saying(answers::json_answer(400, said));
    let instances = [preferred("picky", &picky), instance("other", &other)];
    route(
        &node,
        &instances,
        &json!({"fallback_strategy": ["content_policy"]}),
    );
    for stream in [false, true] {
        let response = node.send(&chat(stream));
        assert_eq!(
            (response.status(), attempts(&response)),
            (200, "picky=400, other=ok")
        );
    }
    let plain = Upstream::saying(answers::json_answer(400, &error("messages is missing")));
    route(
        &node,
        &[preferred("plain", &plain), instance("other", &other)],
        &json!({"fallback_strategy": ["content_policy", "context_window"]}),
    );
    let response = node.chat("/chat");
    assert_eq!(
        (response.status(), response.text()),
        (400, &*error("messages is missing"))
    );
}

#[test]
fn an_outage_is_not_doubled() {
    const CALLS: usize = 120;
    let node = node();
    let (a, asked_a) = counted(|_| answers::json_answer(503, &error("down")));
    let (b, asked_b) = counted(|_| answers::json_answer(503, &error("down")));
    let asked = || asked_a.load(Ordering::SeqCst) + asked_b.load(Ordering::SeqCst);
    let instances = [instance("a", &a), instance("b", &b)];
    route(
        &node,
        &instances,
        &json!({"fallback_strategy": ["http_5xx"], "retry_budget": {"percent": 20, "min_per_second": 0}}),
    );
    for _ in 0..CALLS {
        let response = node.chat("/chat");
        assert_eq!((response.status(), response.text()), (503, &*error("down")));
    }
    let further = asked() - CALLS;
    assert!((1..=CALLS / 5).contains(&further), "{further} further attempts");
    // The budget is the route's, whatever happens to its configuration.
    route(
        &node,
        &instances,
        &json!({"fallback_strategy": ["http_5xx"], "retry_budget": {"percent": 0, "min_per_second": 0}}),
    );
    let before = asked();
    node.chat("/chat");
    assert_eq!(asked() - before, 1);
}

#[test]
fn one_instance_alone_is_asked_once() {
    let node = node();
    let (upstream, asked) = counted(|_| answers::json_answer(503, &error("down")));
    node.put("/routes/1", &chat_route("/single", &upstream.base()));
    assert_eq!(node.chat("/single").status(), 503);
    route(
        &node,
        &[instance("only", &upstream)],
        &json!({"fallback_strategy": ["http_5xx"]}),
    );
    assert_eq!(node.chat("/chat").status(), 503);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
