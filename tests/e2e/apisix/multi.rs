//! Many instances behind one route: who is asked, who is asked next, for how long, and how often.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::node::{CHAT, chat_route};
use super::{Node, NodeSetup};
use crate::harness::{Asked, Connection, Next, PATIENCE, Request, Response, Upstream, answers, post};

/// A node whose access log says who was asked.
fn node() -> Node {
    NodeSetup::new().start()
}

fn strict() -> Node {
    NodeSetup::new().strict().start()
}

/// An instance at an address of its own.
pub(super) fn instance(name: &str, upstream: &Upstream) -> Value {
    json!({
        "name": name, "provider": "openai-compatible", "weight": 1,
        "auth": {"header": {"Authorization": "Bearer k"}}, "override": {"endpoint": upstream.base()},
    })
}

/// An instance that is asked first.
pub(super) fn preferred(name: &str, upstream: &Upstream) -> Value {
    with(instance(name, upstream), &json!({"priority": 1}))
}

pub(super) fn with(mut object: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().expect("an object") {
        object[name] = value.clone();
    }
    object
}

/// Puts the route `/chat` to these instances, with these rules.
#[track_caller]
fn route(node: &Node, instances: &[Value], rules: &Value) {
    let multi = with(json!({"instances": instances}), rules);
    node.put(
        "/routes/1",
        &json!({"uris": ["/chat", "/v1/*", "/model/*"], "plugins": {"ai-proxy-multi": multi}}),
    );
}

/// Who was asked and how that ended.
pub(super) fn attempts(response: &Response) -> &str {
    response.header("x-tollgate-attempts").unwrap_or_default()
}

/// A provider that refuses with this status.
fn failing(status: u16) -> Upstream {
    Upstream::saying(answers::json_answer(status, &error("no")))
}

fn error(message: &str) -> String {
    json!({"error": {"message": message, "type": "x", "param": null, "code": null}}).to_string()
}

/// A provider that never answers.
fn hanging() -> Upstream {
    Upstream::start(|_, peer| {
        peer.wait_until_closed();
        Next::Keep
    })
}

/// A provider that counts the calls it gets, and says what `answer` says.
fn counted(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> (Upstream, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let upstream = Upstream::start(move |asked, peer| {
        counter.fetch_add(1, Ordering::SeqCst);
        peer.send(&answer(asked));
        Next::Keep
    });
    (upstream, count)
}

/// Holds providers back until it is opened.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(super) fn open(&self) {
        *self.0.0.lock().expect("no test has failed") = true;
        self.0.1.notify_all();
    }

    pub(super) fn close(&self) {
        *self.0.0.lock().expect("no test has failed") = false;
    }

    pub(super) fn wait(&self) {
        let is_open = self.0.0.lock().expect("no test has failed");
        drop(self.0.1.wait_while(is_open, |is_open| !*is_open));
    }
}

/// A chat call.
fn chat(stream: bool) -> Request {
    post(
        "/chat",
        if stream {
            CHAT.replacen('{', r#"{"stream":true,"#, 1)
        } else {
            CHAT.to_owned()
        },
    )
}

#[test]
fn ten_calls_are_shared_eight_to_two() {
    let node = node();
    let (a, b) = (Upstream::good("a"), Upstream::good("b"));
    let heavy = with(instance("a", &a), &json!({"weight": 8}));
    let light = with(instance("b", &b), &json!({"weight": 2}));
    route(&node, &[heavy, light], &json!({}));
    let sequence: String = (0..10)
        .map(|_| {
            node.chat("/chat")
                .header("x-tollgate-instance")
                .unwrap_or("?")
                .to_owned()
        })
        .collect();
    assert_eq!(sequence, "aabaaaabaa");
}

#[test]
fn weights_count_in_lower_priorities_too() {
    let node = node();
    let (down, a, b) = (Upstream::refusing(), Upstream::good("a"), Upstream::good("b"));
    let a = with(instance("a", &a), &json!({"weight": 3}));
    route(
        &node,
        &[a, instance("b", &b), preferred("down", &down)],
        &json!({}),
    );
    let answered: Vec<String> = (0..4).map(|_| node.chat("/chat").text().to_owned()).collect();
    let of_a = answers::whole(crate::harness::Dialect::OpenAi, "a");
    assert_eq!(answered.iter().filter(|text| **text == of_a).count(), 3);
}

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

/// A provider that answers at once, as long as it is not told to hang.
pub(super) fn moody() -> (Upstream, Arc<AtomicBool>) {
    let hangs = Arc::new(AtomicBool::new(false));
    let mood = hangs.clone();
    let upstream = Upstream::start(move |asked, peer| {
        if mood.load(Ordering::SeqCst) {
            peer.wait_until_closed();
            return Next::Keep;
        }
        peer.send(&answers::good(asked, "at once"));
        Next::Keep
    });
    (upstream, hangs)
}

#[test]
fn a_call_that_takes_unusually_long_is_tried_elsewhere_beside_it() {
    let node = NodeSetup::new()
        .and("nginx_config: {http: {access_log_format: \"$status [$upstream_status] $llm_total_tokens\"}}")
        .start();
    let (first, hangs) = moody();
    let second = Upstream::good("the second");
    let (first_name, second_name) = (preferred("first", &first), instance("second", &second));
    route(
        &node,
        &[first_name, second_name],
        &json!({"hedge": {"max_percent": 50, "min_ms": 1}}),
    );
    for stream in [false, true] {
        let request = chat(stream);
        hangs.store(false, Ordering::SeqCst);
        for _ in 0..40 {
            assert_eq!(node.send(&request).status(), 200);
            node.process.stdout.next();
        }
        hangs.store(true, Ordering::SeqCst);
        let response = node.send(&request);
        assert_eq!(
            (response.status(), attempts(&response)),
            (200, "first=outrun, second=ok")
        );
        assert!(response.text().contains("the second"));
        first.was_left();
        let line = node.process.stdout.next();
        assert!(line.starts_with("200 ") && line.ends_with(" 18"), "{line}");
    }
}

#[test]
fn few_calls_are_tried_twice_even_if_all_are_slow() {
    let node = node();
    let gate = Gate::default();
    gate.open();
    let provider = || {
        let gate = gate.clone();
        counted(move |asked| {
            gate.wait();
            answers::good(asked, "fine")
        })
    };
    let ((a, asked_a), (b, asked_b)) = (provider(), provider());
    route(
        &node,
        &[instance("a", &a), instance("b", &b)],
        &json!({"hedge": {"max_percent": 5, "min_ms": 1}}),
    );
    for _ in 0..40 {
        assert_eq!(node.send(&chat(false)).status(), 200);
    }
    gate.close();
    let mut waiting: Vec<_> = (0..10)
        .map(|_| {
            let mut connection = Connection::open(node.calls);
            connection.write(&chat(false).bytes());
            connection
        })
        .collect();
    // All of them, and 5 % of the fifty.
    let expected = 40 + 10 + 2;
    let deadline = Instant::now() + PATIENCE;
    let asked = || asked_a.load(Ordering::SeqCst) + asked_b.load(Ordering::SeqCst);
    while asked() < expected && Instant::now() < deadline {
        std::thread::yield_now();
    }
    gate.open();
    for connection in &mut waiting {
        assert_eq!(connection.response().map(|response| response.status()), Some(200));
    }
    assert_eq!(asked(), expected);
}

#[test]
fn a_key_of_the_call_decides_who_answers() {
    let node = node();
    let upstreams = [Upstream::good("a"), Upstream::good("b"), Upstream::good("c")];
    let instances: Vec<Value> = ["a", "b", "c"]
        .iter()
        .zip(&upstreams)
        .map(|(name, upstream)| instance(name, upstream))
        .collect();
    let who = |node: &Node, user: usize| {
        let request = post("/chat", CHAT)
            .header("x-user", &format!("user-{user}"))
            .header("cookie", &format!("session=user-{user}"));
        let response = node.send(&request);
        response.header("x-tollgate-instance").unwrap_or("?").to_owned()
    };
    for balancer in [
        json!({"algorithm": "chash", "hash_on": "header", "key": "x-user"}),
        json!({"algorithm": "chash", "hash_on": "cookie", "key": "session"}),
        json!({"algorithm": "chash", "hash_on": "vars_combinations", "key": "$uri-$http_x_user"}),
    ] {
        route(&node, &instances, &json!({"balancer": balancer}));
        let first: Vec<String> = (0..30).map(|user| who(&node, user)).collect();
        let again: Vec<String> = (0..30).map(|user| who(&node, user)).collect();
        assert_eq!(first, again, "{balancer}");
        for name in ["a", "b", "c"] {
            assert!(
                first.iter().filter(|who| *who == name).count() > 2,
                "{balancer} {first:?}"
            );
        }
        // Who leaves takes only its own callers along.
        route(&node, &instances[..2], &json!({"balancer": balancer}));
        for (user, before) in first.iter().enumerate().filter(|(_, before)| *before != "c") {
            assert_eq!(who(&node, user), *before, "{balancer}");
        }
    }
}

#[test]
fn the_cheapest_and_the_least_busy_are_preferred() {
    let node = node();
    let (dear, cheap) = (Upstream::good("dear"), Upstream::good("cheap"));
    let price = |input: f64| json!({"price": {"input": input, "output": input}});
    let instances = [
        with(instance("dear", &dear), &price(10.0)),
        with(instance("cheap", &cheap), &price(1.0)),
    ];
    route(
        &node,
        &instances,
        &json!({"balancer": {"algorithm": "least_cost"}}),
    );
    for _ in 0..4 {
        assert_eq!(node.chat("/chat").header("x-tollgate-instance"), Some("cheap"));
    }
    let (slow, quick) = (hanging(), Upstream::good("quick"));
    let instances = [instance("slow", &slow), instance("quick", &quick)];
    route(
        &node,
        &instances,
        &json!({"balancer": {"algorithm": "least_busy"}}),
    );
    let mut held = Connection::open(node.calls);
    held.write(&post("/chat", CHAT).bytes());
    slow.asked();
    for _ in 0..4 {
        assert_eq!(
            node.chat("/chat").header("x-tollgate-instance"),
            Some("quick"),
            "the other one is answering a call"
        );
    }
    drop(held);
    slow.was_left();
    // Given back: as busy as the other one again, and the turns go on.
    assert_eq!(node.chat("/chat").header("x-tollgate-instance"), Some("quick"));
    let mut held = Connection::open(node.calls);
    held.write(&post("/chat", CHAT).bytes());
    slow.asked();
}

#[test]
fn prompts_that_begin_alike_stay_together() {
    let node = node();
    let upstreams = [Upstream::good("a"), Upstream::good("b"), Upstream::good("c")];
    let instances: Vec<Value> = ["a", "b", "c"]
        .iter()
        .zip(&upstreams)
        .map(|(name, upstream)| instance(name, upstream))
        .collect();
    route(
        &node,
        &instances,
        &json!({"balancer": {"algorithm": "prefix_affinity"}}),
    );
    let who = |topic: usize, question: usize| {
        let system = format!("Topic {topic}. ").repeat(400);
        let body = json!({"messages": [
            {"role": "system", "content": system}, {"role": "user", "content": format!("question {question}")},
        ]});
        let response = node.send(&post("/chat", body.to_string()));
        response.header("x-tollgate-instance").unwrap_or("?").to_owned()
    };
    for topic in 0..5 {
        let first = who(topic, 0);
        for question in 1..5 {
            assert_eq!(who(topic, question), first, "topic {topic}");
        }
    }
}

#[test]
fn each_instance_gets_the_request_in_its_own_way() {
    let node = node();
    let (small, large) = (failing(503), Upstream::good("large"));
    let own = |name: &str, upstream: &Upstream, model: &str, most: u64| {
        with(
            instance(name, upstream),
            &json!({
                "options": {"model": model, "temperature": 0.5},
                "override": {"endpoint": upstream.base(), "llm_options": {"max_tokens": most}},
            }),
        )
    };
    let instances = [
        with(own("small", &small, "model-s", 10), &json!({"priority": 1})),
        own("large", &large, "model-l", 2000),
    ];
    route(&node, &instances, &json!({"fallback_strategy": ["http_5xx"]}));
    let body = json!({"model": "any", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
    let response = node.send(&post("/chat", body.to_string()));
    assert_eq!(
        (response.status(), response.header("x-tollgate-model")),
        (200, Some("model-l"))
    );
    for (upstream, model, most) in [(&small, "model-s", 10), (&large, "model-l", 2000)] {
        let asked = upstream.asked().json();
        assert_eq!(
            (&asked["model"], &asked["max_tokens"], &asked["temperature"]),
            (&json!(model), &json!(most), &json!(0.5)),
            "{asked}"
        );
    }
}

#[test]
fn embeddings_are_balanced_and_repeated_like_everything_else() {
    let node = node();
    let vectors = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"e","usage":{"prompt_tokens":4,"total_tokens":4}}"#;
    let good = Upstream::saying(answers::json_answer(200, vectors));
    let bad = failing(500);
    let embedding =
        |name: &str, upstream: &Upstream| with(instance(name, upstream), &json!({"options": {"model": "e"}}));
    route(
        &node,
        &[
            with(embedding("bad", &bad), &json!({"priority": 1})),
            embedding("good", &good),
        ],
        &json!({"fallback_strategy": ["http_5xx"]}),
    );
    let response = node.send(&post("/v1/embeddings", r#"{"input":"hello"}"#));
    assert_eq!((response.status(), response.text()), (200, vectors));
    assert_eq!(attempts(&response), "bad=500, good=ok");
    assert_eq!(bad.asked().json(), json!({"input": "hello", "model": "e"}));
    assert_eq!(good.asked().json(), json!({"input": "hello", "model": "e"}));
}

#[test]
fn instances_of_bedrock_are_signed_each_with_its_own_key() {
    let node = node();
    let answer = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": "of Bedrock"}]}},
        "stopReason": "end_turn", "usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18},
    })
    .to_string();
    let (throttled, good) = (
        Upstream::saying(answers::json_answer(429, r#"{"message":"Too many requests"}"#)),
        Upstream::saying(answers::json_answer(200, &answer)),
    );
    let bedrock = |name: &str, key: &str, upstream: &Upstream| {
        json!({
            "name": name, "provider": "bedrock", "weight": 1, "provider_conf": {"region": "us-east-1"},
            "auth": {"aws": {"access_key_id": key, "secret_access_key": "s"}},
            "options": {"model": format!("model-of-{name}")},
            "override": {"endpoint": format!("http://{}", upstream.address())},
        })
    };
    route(
        &node,
        &[
            with(bedrock("one", "AKIDONE", &throttled), &json!({"priority": 1})),
            bedrock("two", "AKIDTWO", &good),
        ],
        &json!({"fallback_strategy": ["http_429"]}),
    );
    let body = r#"{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}"#;
    let response = node.send(&post("/model/any/converse", body));
    assert_eq!((response.status(), response.text()), (200, &*answer));
    assert_eq!(attempts(&response), "one=429, two=ok");
    for (upstream, key, path) in [
        (&throttled, "AKIDONE", "/model/model-of-one/converse"),
        (&good, "AKIDTWO", "/model/model-of-two/converse"),
    ] {
        let asked = upstream.asked();
        assert_eq!(asked.path, path);
        let signed = asked.header("authorization").unwrap_or_default();
        assert!(signed.contains(&format!("Credential={key}/")), "{signed}");
    }
}

#[test]
fn a_client_of_anthropic_gets_the_next_instance_s_answer_in_its_own_dialect() {
    let node = node();
    let (bad, good) = (failing(500), Upstream::good("translated"));
    route(
        &node,
        &[preferred("bad", &bad), instance("good", &good)],
        &json!({"fallback_strategy": ["http_5xx"]}),
    );
    let body = CHAT.replacen('{', r#"{"max_tokens":9,"model":"m","#, 1);
    let response = node.send(&post("/v1/messages", body));
    assert_eq!(response.status(), 200, "{}", response.text());
    let answer = response.json();
    assert_eq!(answer["type"], "message");
    assert_eq!(answer["content"][0]["text"], "translated");
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

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let node = node();
    let upstream = Upstream::refusing();
    for (rules, place) in [
        (json!({"deadline_ms": 0}), "deadline_ms"),
        (json!({"retry_budget": {"percent": -1}}), "retry_budget"),
        (json!({"hedge": {"percentile": 100}}), "hedge"),
        (json!({"fallback_strategy": ["context"]}), "fallback_strategy"),
        (json!({"balancer": {"algorithm": "fastest"}}), "algorithm"),
    ] {
        let multi = with(json!({"instances": [instance("a", &upstream)]}), &rules);
        let route = json!({"uri": "/x", "plugins": {"ai-proxy-multi": multi}});
        let response = node.ask("PUT", "/routes/x", Some(&route));
        assert_eq!(response.status(), 400);
        assert!(response.text().contains(place), "{place}: {}", response.text());
    }
}
