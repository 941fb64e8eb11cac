//! Which instance of `ai-proxy-multi` a call is given to.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};

use super::node::CHAT;
use super::{Node, NodeSetup};
use crate::harness::{Connection, Next, Request, Upstream, answers, post};

/// Instances that answer with their names.
struct Pool {
    node: Node,
    instances: Vec<(&'static str, Upstream)>,
}

impl Pool {
    fn of(names: &[&'static str]) -> Pool {
        let instances = names.iter().map(|name| (*name, Upstream::good(name)));
        Pool {
            node: NodeSetup::new().start(),
            instances: instances.collect(),
        }
    }

    /// Sets the route up. `more` is written over what each instance has by default.
    fn route(&self, balancer: &Value, more: &[Value]) {
        let instances = self.instances.iter().enumerate().map(|(at, (name, upstream))| {
            let mut instance = json!({
                "name": name, "provider": "openai", "weight": 1, "auth": {"header": {"Authorization": "Bearer k"}},
                "override": {"endpoint": format!("http://{}", upstream.address())},
            });
            for (member, value) in more.get(at).and_then(Value::as_object).into_iter().flatten() {
                instance[member] = value.clone();
            }
            instance
        });
        let multi = json!({
            "balancer": balancer, "instances": instances.collect::<Vec<_>>(), "fallback_strategy": ["http_5xx"],
        });
        self.node.put(
            "/routes/1",
            &json!({"uri": "/chat", "plugins": {"ai-proxy-multi": multi}}),
        );
    }

    /// Who answers a call.
    #[track_caller]
    fn asks(&self, request: &Request) -> String {
        let response = self.node.send(request);
        assert_eq!(response.status(), 200, "{}", response.text());
        content(&response.json())
    }

    /// Who answers each of so many calls, one after the other.
    #[track_caller]
    fn calls(&self, count: usize) -> String {
        let answers: Vec<String> = (0..count).map(|_| self.asks(&post("/chat", CHAT))).collect();
        answers.join(" ")
    }
}

fn content(answer: &Value) -> String {
    answer["choices"][0]["message"]["content"]
        .as_str()
        .expect("content")
        .to_owned()
}

/// An instance that answers when it is let, and at once when the sender is gone.
fn held(name: &'static str) -> (Upstream, Sender<()>) {
    let (release, released) = channel();
    let released = Mutex::new(released);
    let upstream = Upstream::start(move |asked, peer| {
        let _ = released.lock().expect("one at a time").recv();
        peer.send(&answers::good(asked, name));
        Next::Keep
    });
    (upstream, release)
}

#[test]
fn turns_are_exact_and_survive_a_change_of_the_route() {
    let pool = Pool::of(&["a", "b"]);
    let weights = [json!({"weight": 8}), json!({"weight": 2})];
    pool.route(&json!({"algorithm": "roundrobin"}), &weights);
    for _ in 0..3 {
        let ten = pool.calls(10);
        assert_eq!(
            (ten.matches('a').count(), ten.matches('b').count()),
            (8, 2),
            "{ten}"
        );
    }
    let begun = pool.calls(4);
    pool.route(&json!({"algorithm": "roundrobin"}), &weights);
    let ten = format!("{begun} {}", pool.calls(6));
    assert_eq!(
        (ten.matches('a').count(), ten.matches('b').count()),
        (8, 2),
        "{ten}"
    );
}

#[test]
fn a_key_stays_with_its_instance() {
    let pool = Pool::of(&["a", "b", "c"]);
    pool.route(
        &json!({"algorithm": "chash", "hash_on": "header", "key": "x-session"}),
        &[],
    );
    let of_session = |session: u32| pool.asks(&post("/chat", CHAT).header("x-session", &session.to_string()));
    let owners: Vec<String> = (0..30).map(of_session).collect();
    let again: Vec<String> = (0..30).map(of_session).collect();
    assert_eq!(owners, again);
    for name in ["a", "b", "c"] {
        assert!(owners.iter().any(|owner| owner == name), "{owners:?}");
    }
}

#[test]
fn the_least_busy_instance_is_given_the_call_and_streams_count_until_they_end() {
    let streaming = |name: &'static str| {
        Upstream::start(move |asked, peer| {
            if !asked.stream() {
                peer.send(&answers::good(asked, name));
                return Next::Keep;
            }
            let events = answers::events(asked.dialect(), &[name]);
            let begun = [events.before.concat(), events.content.concat()].concat();
            peer.send(answers::stream_head().as_bytes());
            peer.send(&answers::chunk(begun));
            peer.wait_until_closed();
            Next::Keep
        })
    };
    let pool = Pool {
        node: NodeSetup::new().start(),
        instances: vec![("a", streaming("a")), ("b", streaming("b"))],
    };
    pool.route(
        &json!({"algorithm": "least_busy"}),
        &[json!({"weight": 1}), json!({"weight": 2})],
    );
    let streamed = CHAT.replacen('{', r#"{"stream":true,"#, 1);
    let mut open = Vec::new();
    for _ in 0..6 {
        let mut stream = Connection::open(pool.node.calls).stream(&post("/chat", streamed.as_str()));
        let event = std::iter::from_fn(|| stream.event())
            .map(|event| event.json()["choices"][0]["delta"]["content"].clone())
            .find(|content| content.as_str().is_some_and(|text| !text.is_empty()));
        open.push((event.expect("content"), stream));
    }
    let of = |name: &str| open.iter().filter(|(by, _)| by == name).count();
    assert_eq!((of("a"), of("b")), (2, 4), "by weight");
    open.retain(|(by, _)| by != "a");
    pool.instances[0].1.was_left();
    pool.instances[0].1.was_left();
    assert_eq!(
        pool.calls(5),
        "a a a a a",
        "its streams have ended, the others' have not"
    );
}

#[test]
fn the_instance_that_answers_sooner_is_given_the_calls() {
    let (slow, release) = held("slow");
    let pool = Pool {
        node: NodeSetup::new().start(),
        instances: vec![("slow", slow), ("fast", Upstream::good("fast"))],
    };
    pool.route(&json!({"algorithm": "least_latency"}), &[]);
    let mut waiting = Connection::open(pool.node.calls);
    waiting.write(&post("/chat", CHAT).bytes());
    pool.instances[0].1.asked();
    assert!(
        !pool.calls(20).contains("slow"),
        "nothing is known but that it takes its time"
    );
    drop(release);
    let answer = waiting.response().expect("an answer");
    assert_eq!(content(&answer.json()), "slow");
    assert!(
        !pool.calls(20).contains("slow"),
        "it took longer than each of the others"
    );
}

#[test]
fn the_cheapest_instance_is_given_the_call_and_the_next_one_when_it_fails() {
    let failing = Mutex::new(false);
    let (fail, fails) = channel();
    let fails = Mutex::new(fails);
    let cheap = Upstream::start(move |asked, peer| {
        let mut failing = failing.lock().unwrap();
        while let Ok(now) = fails.lock().unwrap().try_recv() {
            *failing = now;
        }
        peer.send(&match *failing {
            true => answers::json_answer(503, &answers::error(asked.dialect(), "busy")),
            false => answers::good(asked, "cheap"),
        });
        Next::Keep
    });
    let pool = Pool {
        node: NodeSetup::new().start(),
        instances: vec![
            ("unknown", Upstream::good("unknown")),
            ("dear", Upstream::good("dear")),
            ("cheap", cheap),
        ],
    };
    let model = |name: &str| json!({"options": {"model": name}});
    let listed = [model("nobody-s"), model("gpt-4o"), model("gpt-4o-mini")];
    pool.route(&json!({"algorithm": "least_cost"}), &listed);
    assert_eq!(pool.calls(3), "cheap cheap cheap");
    fail.send(true).unwrap();
    assert_eq!(pool.calls(2), "dear dear", "before the one of unknown price");
    fail.send(false).unwrap();
    let mut written = listed;
    written[0]["price"] = json!({"input": 0.01, "output": 0.02});
    pool.route(&json!({"algorithm": "least_cost"}), &written);
    assert_eq!(pool.calls(3), "unknown unknown unknown", "its price is known now");
}

#[test]
fn calls_with_the_same_beginning_go_where_it_is_known() {
    let pool = Pool::of(&["a", "b"]);
    pool.route(&json!({"algorithm": "prefix_affinity"}), &[]);
    let turn = |subject: &str, turns: usize| {
        let system = subject.repeat(3_000 / subject.len());
        let mut messages = vec![json!({"role": "system", "content": system})];
        messages.extend((0..turns).map(|turn| json!({"role": "user", "content": format!("turn {turn}")})));
        pool.asks(&post("/chat", json!({"messages": messages}).to_string()))
    };
    let (law, art) = (turn("law", 1), turn("art", 1));
    assert_ne!(law, art, "nothing is known of either, so that they are spread");
    for turns in 2..10 {
        assert_eq!(turn("law", turns), law);
        assert_eq!(turn("art", turns), art);
        assert_eq!(turn("art", turns), art);
    }
    let short = pool.calls(10);
    assert_eq!(
        short.matches('a').count(),
        5,
        "too short to be remembered: {short}"
    );
}
