//! Calls that are tried twice at the same time: what the slower attempt held is given back, once and at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::multi::{Gate, attempts, counted, instance, node, preferred, route, with};
use super::{Node, NodeSetup};
use crate::harness::{Connection, Next, PATIENCE, Request, Response, Stream, Upstream, answers, post};

/// A route to two instances, of which one is asked first, and the other one beside it when that hangs.
struct Pair {
    node: Node,
    first: Upstream,
    /// Whether the first one hangs.
    hangs: Arc<AtomicBool>,
    second: Upstream,
    /// Holds back the ends of the second one's streams.
    gate: Gate,
}

impl Pair {
    /// It is known how long streams usually take.
    fn start() -> Pair {
        let node = NodeSetup::new()
            .and(
                "nginx_config: {http: {access_log_format: \"$status [$tollgate_attempts] $tollgate_instance $llm_total_tokens\"}}",
            )
            .start();
        let (first, hangs) = moody();
        let gate = Gate::default();
        let end = gate.clone();
        let second = Upstream::start(move |asked, peer| {
            if !asked.stream() {
                peer.send(&answers::good(asked, "some words"));
                return Next::Keep;
            }
            let events = answers::events(asked.dialect(), &["some words"]);
            peer.send(answers::stream_head().as_bytes());
            peer.send(&answers::chunk(
                [events.before.concat(), events.content.concat()].concat(),
            ));
            end.wait();
            peer.send(&answers::chunk(events.after.concat()));
            peer.send(b"0\r\n\r\n");
            Next::Keep
        });
        let pair = Pair {
            node,
            first,
            hangs,
            second,
            gate,
        };
        pair.prefers_first(true, &json!({}));
        // On a busy machine the second one may be asked here already.
        pair.gate.open();
        for _ in 0..40 {
            assert_eq!(pair.node.send(&chat(true)).status(), 200);
        }
        pair.gate.close();
        pair
    }

    fn prefers_first(&self, first: bool, limits: &Value) {
        let instances = match first {
            true => [preferred("first", &self.first), instance("second", &self.second)],
            false => [instance("first", &self.first), preferred("second", &self.second)],
        };
        let multi = json!({"instances": instances, "hedge": {"max_percent": 50, "min_ms": 1}});
        let plugins = with(json!({"ai-proxy-multi": multi}), limits);
        self.node
            .put("/routes/1", &json!({"uri": "/chat", "plugins": plugins}));
    }

    /// Begins a stream while the first instance hangs.
    fn stream(&self) -> Stream {
        self.hangs.store(true, Ordering::SeqCst);
        Connection::open(self.node.calls).stream(&chat(true))
    }

    /// Asserts that the second instance answers a stream that the first one was asked for too.
    #[track_caller]
    fn is_hedged(&self, stream: &mut Stream) {
        assert_eq!(
            stream.head.header("x-tollgate-attempts"),
            Some("first=outrun, second=ok")
        );
        stream.bytes_until(b"some words");
        self.first.was_left();
    }

    /// Lets a stream end.
    fn end(&self, mut stream: Stream) {
        self.gate.open();
        stream.rest();
        self.gate.close();
    }

    /// A whole answer, which is not waited for elsewhere, with what it was told to be left for its instance.
    #[track_caller]
    fn left_of(&self, name: &str) -> u64 {
        self.hangs.store(false, Ordering::SeqCst);
        let response = self.node.send(&chat(false));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(response.header("x-tollgate-instance"), Some(name));
        remaining(&response, name)
    }

    /// Tokens that were charged for the route, as the provider has told or as they were estimated.
    fn charged(&self, usage: &str) -> u64 {
        let told = Connection::open(self.node.admin()).send(&Request::new("GET", "/metrics"));
        let series = format!("tollgate_limit_tokens_charged_total{{object=\"route/1\",usage=\"{usage}\"}} ");
        let line = told.text().lines().find_map(|line| line.strip_prefix(&series));
        line.map_or(0, |value| value.parse().expect("a number"))
    }
}

fn chat(stream: bool) -> Request {
    let body = json!({
        "messages": [{"role": "user", "content": "What is 1+1?"}], "max_tokens": 1000, "stream": stream,
    });
    post("/chat", body.to_string())
}

fn remaining(response: &Response, instance: &str) -> u64 {
    let told = response.header(&format!("x-ai-ratelimit-remaining-{instance}"));
    told.and_then(|left| left.parse().ok())
        .unwrap_or_else(|| panic!("nothing is told of {instance}: {response:?}"))
}

/// What an answer of the peers uses.
const USED: u64 = 18;

#[test]
fn the_slower_attempt_is_charged_once_and_holds_no_tokens_while_the_other_one_answers() {
    let pair = Pair::start();
    // Tokens for the reservation of one call of each instance, not of two.
    let limits = json!({"ai-rate-limiting": {
        "limit": 1500, "time_window": 3600, "admission": "reserve", "rejected_code": 429,
    }});
    pair.prefers_first(true, &limits);
    let at_first = pair.left_of("first");
    assert!(at_first < 500, "a call reserves its longest answer: {at_first}");

    let mut stream = pair.stream();
    pair.is_hedged(&mut stream);
    let estimated = pair.charged("estimated");
    assert!(estimated > 0, "the first one has been given the request");
    assert_eq!(pair.left_of("first"), at_first - USED - estimated);
    pair.end(stream);

    // The end of the call changes nothing for the first one, and the second one is charged what it used.
    pair.prefers_first(false, &limits);
    assert_eq!(pair.left_of("second"), at_first - USED);
    pair.prefers_first(true, &limits);
    assert_eq!(pair.left_of("first"), at_first - 2 * USED - estimated);
    assert_eq!(pair.charged("estimated"), estimated);
    assert_eq!(pair.charged("stated"), 5 * USED);
    let stdout = pair.node.stop().stdout;
    let hedged = format!("200 [first=outrun, second=ok] second {USED}");
    assert_eq!(
        stdout.lines().filter(|line| *line == hedged).count(),
        1,
        "{stdout}"
    );
}

#[test]
fn two_attempts_take_one_place_which_is_given_back_once() {
    let pair = Pair::start();
    let limits = json!({"limit-conn": {
        "conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr", "rejected_code": 429,
    }});
    pair.prefers_first(true, &limits);
    for _ in 0..2 {
        // The place of the call before is given back a moment after its end.
        let deadline = Instant::now() + PATIENCE;
        let mut stream = loop {
            let stream = pair.stream();
            match stream.head.status {
                200 => break stream,
                status => assert_eq!(status, 429),
            }
            assert!(Instant::now() < deadline, "it is still held");
        };
        pair.is_hedged(&mut stream);
        for _ in 0..2 {
            assert_eq!(pair.node.send(&chat(false)).status(), 429, "it is held");
        }
        pair.end(stream);
    }
    pair.node.stop();
}

/// A provider that answers at once, as long as it is not told to hang.
fn moody() -> (Upstream, Arc<AtomicBool>) {
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
