//! Who is asked first.

use super::*;

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
    // Whether it was given back just before that call or just after it: one of the next two.
    let _held = [(); 2].map(|()| {
        let mut held = Connection::open(node.calls);
        held.write(&post("/chat", CHAT).bytes());
        held
    });
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
