//! Limits that several gateways share in Redis, and calls at the same time: real servers that are slow, gone, or elsewhere.

use std::sync::Barrier;

use serde_json::{Value, json};

use super::node::{CHAT, chat_route};
use super::{Node, NodeSetup};
use crate::harness::port::Port;
use crate::harness::redis::{self, RedisServer};
use crate::harness::{Connection, Next, Request, Response, Upstream, answers, post};

/// A route to a provider, with this configuration of a plugin.
fn limited(node: &Node, upstream: &Upstream, plugin: &str, conf: &Value) {
    let mut route = chat_route("/chat", &upstream.base());
    route["plugins"][plugin] = conf.clone();
    node.put("/routes/1", &route);
}

fn in_redis(server: &RedisServer, more: &Value) -> Value {
    let mut conf = json!({
        "count": 1000, "time_window": 600, "policy": "redis", "redis_host": "127.0.0.1", "redis_port": server.port,
        "rejected_code": 429, "key": "all", "key_type": "constant",
    });
    for (name, value) in more.as_object().expect("an object") {
        conf[name] = value.clone();
    }
    conf
}

fn chat() -> Request {
    post("/chat", CHAT)
}

#[test]
fn four_gateways_on_one_redis_never_admit_more_than_the_limit() {
    let server = RedisServer::start(&[]);
    let upstream = Upstream::good("served");
    let nodes: Vec<Node> = (0..4).map(|_| NodeSetup::new().start()).collect();
    for node in &nodes {
        limited(
            node,
            &upstream,
            "limit-count",
            &in_redis(&server, &json!({"count": 37})),
        );
    }
    let together = Barrier::new(8);
    let served: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = nodes
            .iter()
            .flat_map(|node| [node, node])
            .map(|node| {
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    let mut connection = Connection::open(node.calls);
                    let statuses = (0..10).map(|_| connection.send(&chat()).status());
                    statuses.filter(|status| *status == 200).count()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a client"))
            .sum()
    });
    assert_eq!(served, 37);
    let refused = nodes[0].send(&chat());
    assert_eq!(
        (refused.status(), refused.header("x-ratelimit-remaining")),
        (429, Some("0"))
    );
}

/// Asks until the answer is as wanted, and asserts that meanwhile it is never anything but one of two.
#[track_caller]
fn turns_into(node: &Node, was: impl Fn(&Response) -> bool, wanted: impl Fn(&Response) -> bool) {
    node.until(&chat(), |response| {
        assert!(
            was(response) || wanted(response),
            "{} {}",
            response.status(),
            response.text()
        );
        wanted(response)
    });
}

fn counted(response: &Response) -> bool {
    response.status() == 200 && response.header("x-ratelimit-limit").is_some()
}

fn uncounted(response: &Response) -> bool {
    response.status() == 200 && response.header("x-ratelimit-limit").is_none()
}

fn failed(response: &Response) -> bool {
    response.status() == 500 && response.text().contains("failed to limit count")
}

#[test]
fn without_redis_calls_are_refused_or_let_through_as_configured_until_it_is_back() {
    let upstream = Upstream::good("served");
    for degrades in [false, true] {
        let mut server = RedisServer::start(&[]);
        let node = NodeSetup::new().start();
        let conf = in_redis(
            &server,
            &json!({"allow_degradation": degrades, "redis_timeout": 100}),
        );
        limited(&node, &upstream, "limit-count", &conf);
        let without = if degrades { uncounted } else { failed };
        turns_into(&node, without, counted);
        server.pause();
        // The first ones wait for the time limit, those after them not at all.
        for _ in 0..30 {
            let response = node.send(&chat());
            assert!(without(&response), "{} {}", response.status(), response.text());
        }
        server.resume();
        turns_into(&node, without, counted);
        server.kill();
        for _ in 0..30 {
            let response = node.send(&chat());
            assert!(without(&response), "{} {}", response.status(), response.text());
        }
        server.restart();
        turns_into(&node, without, counted);
        let told = node.stop().stderr;
        // A line for each change, none for each of the sixty calls; a loaded machine may see a change more.
        let times = |line: &str| told.matches(line).count();
        let gone = times("Redis does not answer");
        assert!((2..10).contains(&gone), "{told}");
        assert_eq!(times("Redis answers again"), gone, "{told}");
    }
}

#[test]
fn a_redis_that_is_paused_and_killed_under_load_brings_nobody_a_wrong_answer() {
    let upstream = Upstream::good("served");
    let mut server = RedisServer::start(&[]);
    let node = NodeSetup::new().start();
    let conf = in_redis(&server, &json!({"count": 1_000_000, "redis_timeout": 100}));
    limited(&node, &upstream, "limit-count", &conf);
    turns_into(&node, failed, counted);
    let calls = node.calls;
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut connection = Connection::open(calls);
                    let mut served = 0_usize;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let response = connection.send(&chat());
                        assert!(
                            counted(&response) || failed(&response),
                            "{} {}",
                            response.status(),
                            response.text()
                        );
                        served += usize::from(counted(&response));
                    }
                    served
                })
            })
            .collect();
        server.pause();
        turns_into(&node, counted, failed);
        server.resume();
        turns_into(&node, failed, counted);
        server.kill();
        turns_into(&node, counted, failed);
        server.restart();
        turns_into(&node, failed, counted);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for client in clients {
            assert!(client.join().expect("a client") > 0);
        }
    });
    node.stop();
}

#[test]
fn tokens_used_at_one_gateway_are_gone_at_the_others_even_if_it_ends() {
    let server = RedisServer::start(&[]);
    let upstream = Upstream::good("served");
    let mut nodes: Vec<Node> = (0..2).map(|_| NodeSetup::new().start()).collect();
    for node in &nodes {
        let conf = json!({
            "limit": 10, "time_window": 600, "rejected_code": 429, "policy": "redis", "redis_host": "127.0.0.1",
            "redis_port": server.port,
        });
        limited(node, &upstream, "ai-rate-limiting", &conf);
    }
    let first = nodes.remove(0);
    assert_eq!(first.send(&chat()).status(), 200);
    // What is not written yet is written at the end.
    first.stop();
    assert_eq!(nodes[0].send(&chat()).status(), 429);
}

#[test]
fn clusters_sentinels_and_encrypted_servers_count() {
    let upstream = Upstream::good("served");
    let cluster = redis::cluster();
    let sentinels = redis::sentinels();
    let folder = tempfile::tempdir().expect("a folder");
    let (port, encrypted) = encrypted(folder.path());
    let nodes: Vec<String> = cluster
        .iter()
        .map(|node| format!("127.0.0.1:{}", node.port))
        .collect();
    for policy in [
        json!({"policy": "redis-cluster", "redis_cluster_name": "c", "redis_cluster_nodes": nodes}),
        json!({"policy": "redis-sentinel", "redis_master_name": "counters",
            "redis_sentinels": [{"host": "127.0.0.1", "port": sentinels.sentinel.port}]}),
        json!({"policy": "redis", "redis_host": "127.0.0.1", "redis_port": port, "redis_ssl": true,
            "redis_username": "limits", "redis_password": "s3cret", "redis_database": 2}),
    ] {
        let node = NodeSetup::new().start();
        let mut conf = json!({"rejected_code": 429, "rules": [
            {"count": 2, "time_window": 600, "key": "$remote_addr"},
            {"count": 5, "time_window": 600, "key": "$uri"},
        ]});
        for (name, value) in policy.as_object().expect("an object") {
            conf[name] = value.clone();
        }
        limited(&node, &upstream, "limit-count", &conf);
        let statuses: Vec<u16> = (0..4).map(|_| node.send(&chat()).status()).collect();
        assert_eq!(
            statuses,
            [200, 200, 429, 429],
            "{policy} {}",
            node.process.stderr.so_far()
        );
    }
    drop(encrypted);
}

/// A server that speaks TLS on the port, with a certificate of nobody, and knows a user.
fn encrypted(folder: &std::path::Path) -> (u16, RedisServer) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .and_then(|parameters| parameters.self_signed(&key))
        .expect("a certificate");
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (certificate, key) = (
        file("server.crt", certificate.pem()),
        file("server.key", key.serialize_pem()),
    );
    let reserved = Port::reserve();
    let port = reserved.number;
    let lines = [
        format!("tls-port {port}"),
        format!("tls-cert-file {certificate}"),
        format!("tls-key-file {key}"),
        format!("tls-ca-cert-file {certificate}"),
        "tls-auth-clients no".to_owned(),
        "user limits on >s3cret ~plugin-* ~tollgate:* +@all".to_owned(),
    ];
    let server = RedisServer::start(&lines.each_ref().map(String::as_str));
    (port, server.holding(reserved))
}

/// An upstream that answers only when its client has left or the word is given.
fn calls_at_the_same_time(conf: &Value) {
    let (go_here, go) = std::sync::mpsc::channel::<()>();
    let go = std::sync::Mutex::new(go);
    let upstream = Upstream::start(move |asked, peer| {
        if asked.header("x-wait") == Some("for the client") {
            peer.wait_until_closed();
            return Next::Close;
        }
        if asked.header("x-wait").is_some() {
            let _ = go.lock().expect("one at a time").recv();
        }
        peer.send(&answers::good(asked, "served"));
        Next::Keep
    });
    let node = NodeSetup::new().start();
    limited(&node, &upstream, "limit-conn", conf);
    // Each part has a key of its own: a place is given back a moment after its answer.
    let ended = chat().header("x-key", "ended");
    let mut first = Connection::open(node.calls);
    first.write(&ended.clone().header("x-wait", "for the word").bytes());
    upstream.asked();
    assert_eq!(node.send(&ended).status(), 429);
    go_here.send(()).expect("the provider waits");
    assert_eq!(first.response().map(|response| response.status()), Some(200));
    node.until(&ended, |response| response.status() == 200);
    upstream.asked();

    let left = chat().header("x-key", "left");
    let mut leaving = Connection::open(node.calls);
    leaving.write(&left.clone().header("x-wait", "for the client").bytes());
    upstream.asked();
    assert_eq!(node.send(&left).status(), 429);
    drop(leaving);
    node.until(&left, |response| response.status() == 200);
    node.stop();
}

#[test]
fn a_place_is_free_again_when_its_call_has_ended_or_its_client_has_left() {
    let conf = json!({
        "conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "http_x_key", "rejected_code": 429,
    });
    calls_at_the_same_time(&conf);
    let server = RedisServer::start(&[]);
    let mut shared = conf.clone();
    shared["policy"] = json!("redis");
    shared["redis_host"] = json!("127.0.0.1");
    shared["redis_port"] = json!(server.port);
    calls_at_the_same_time(&shared);
    let cluster = redis::cluster();
    let mut shared = conf;
    shared["policy"] = json!("redis-cluster");
    shared["redis_cluster_name"] = json!("c");
    shared["redis_cluster_nodes"] = json!([format!("127.0.0.1:{}", cluster[2].port)]);
    calls_at_the_same_time(&shared);
}

#[test]
fn a_place_of_one_gateway_is_taken_for_the_others_too() {
    let server = RedisServer::start(&[]);
    let upstream = Upstream::start(|asked, peer| {
        if asked.header("x-wait").is_some() {
            peer.wait_until_closed();
            return Next::Close;
        }
        peer.send(&answers::good(asked, "served"));
        Next::Keep
    });
    let conf = json!({
        "conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "uri", "rejected_code": 429,
        "policy": "redis", "redis_host": "127.0.0.1", "redis_port": server.port,
    });
    let nodes = [NodeSetup::new().start(), NodeSetup::new().start()];
    for node in &nodes {
        limited(node, &upstream, "limit-conn", &conf);
    }
    let mut first = Connection::open(nodes[0].calls);
    first.write(&chat().header("x-wait", "for the client").bytes());
    upstream.asked();
    assert_eq!(nodes[1].send(&chat()).status(), 429);
    drop(first);
    nodes[1].until(&chat(), |response| response.status() == 200);
}
