//! Servers of plain upstreams that fail and recover: who gets calls, and what is told about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::{ADMIN_KEY, Node, NodeSetup};
use crate::harness::{Connection, Next, PATIENCE, Request, Upstream};

/// A server that answers calls with its name, and `/health` and calls with a status that a test sets.
fn server(name: &'static str) -> (Upstream, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let answered = status.clone();
    let upstream = Upstream::start(move |_, peer| {
        let status = answered.load(Ordering::SeqCst);
        let head = format!("HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n\r\n", name.len());
        peer.send(format!("{head}{name}").as_bytes());
        Next::Keep
    });
    (upstream, status)
}

fn health(node: &Node, path: &str) -> Value {
    let request = Request::new("GET", &format!("/v1/healthcheck/{path}")).header("x-api-key", ADMIN_KEY);
    let told = Connection::open(node.admin()).send(&request);
    assert_eq!(told.status(), 200, "{}", told.text());
    serde_json::from_slice(&told.body).expect("JSON")
}

/// The status of a server as it is told.
fn standing(told: &Value, server: &Upstream) -> String {
    let nodes = told["nodes"].as_array().expect("a list");
    let port = server.address().port();
    let node = nodes.iter().find(|node| node["port"] == port);
    node.and_then(|node| node["status"].as_str())
        .unwrap_or("unknown")
        .to_owned()
}

#[track_caller]
fn wait_for(node: &Node, path: &str, server: &Upstream, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    while standing(&health(node, path), server) != wanted {
        assert!(Instant::now() < deadline, "{}", health(node, path));
    }
}

/// Waits until so many addresses of an object have passed a check.
#[track_caller]
fn wait_for_checks(node: &Node, owner: &str, addresses: usize) {
    let series = format!("tollgate_instance_probes_total{{owner=\"{owner}\",");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = Connection::open(node.admin()).send(&Request::new("GET", "/metrics"));
        let passed = told
            .text()
            .lines()
            .filter(|line| line.starts_with(&series) && line.ends_with("result=\"success\"} 1"));
        if passed.count() == addresses {
            return;
        }
        assert!(Instant::now() < deadline, "{}", told.text());
    }
}

fn names(node: &Node, calls: usize) -> Vec<String> {
    (0..calls)
        .map(|_| node.send(&Request::new("GET", "/call")).text().to_owned())
        .collect()
}

fn both(a: &Upstream, b: &Upstream) -> Value {
    json!({a.address().to_string(): 1, b.address().to_string(): 1})
}

#[test]
fn a_server_that_fails_its_checks_gets_no_calls_until_it_passes_them_again() {
    let node = NodeSetup::new().start();
    let ((a, of_a), (b, _)) = (server("a"), server("b"));
    let checks = json!({"active": {
        "http_path": "/health", "healthy": {"successes": 1}, "unhealthy": {"http_failures": 1},
    }});
    node.put("/upstreams/1", &json!({"nodes": both(&a, &b), "checks": checks}));
    node.put("/routes/1", &json!({"uri": "/call", "upstream_id": "1"}));
    wait_for(&node, "upstreams/1", &a, "healthy");
    let mut asked = names(&node, 2);
    asked.sort();
    assert_eq!(asked, ["a", "b"]);
    of_a.store(500, Ordering::SeqCst);
    wait_for(&node, "upstreams/1", &a, "unhealthy");
    assert_eq!(names(&node, 4), ["b"; 4]);
    // It is still known after a change of something else.
    node.put(
        "/upstreams/1",
        &json!({"nodes": both(&a, &b), "checks": checks, "retries": 0}),
    );
    assert_eq!(names(&node, 4), ["b"; 4]);
    let told = health(&node, "upstreams/1");
    assert_eq!(
        (&told["name"], &told["type"]),
        (&json!("/apisix/upstreams/1"), &json!("http"))
    );
    of_a.store(200, Ordering::SeqCst);
    wait_for(&node, "upstreams/1", &a, "healthy");
    assert!(names(&node, 2).contains(&"a".to_owned()));
    node.stop();
}

#[test]
fn calls_that_fail_count_where_passive_checks_are_wanted() {
    let node = NodeSetup::new().start();
    let ((a, of_a), (b, of_b)) = (server("a"), server("b"));
    let checks = json!({
        // Asked once at the beginning, and not again while this test runs.
        "active": {"http_path": "/health", "healthy": {"interval": 3600}, "unhealthy": {"interval": 3600}},
        "passive": {"unhealthy": {"http_statuses": [500], "http_failures": 2}},
    });
    let upstream = json!({"nodes": both(&a, &b), "checks": checks});
    node.put("/services/s", &json!({"upstream": upstream}));
    node.put("/routes/1", &json!({"uri": "/call", "service_id": "s"}));
    for server in [&a, &b] {
        assert_eq!(server.asked().path, "/health");
    }
    // A check that ends later would make up for the first failed call.
    wait_for_checks(&node, "service/s", 2);
    of_a.store(500, Ordering::SeqCst);
    names(&node, 4);
    assert_eq!(standing(&health(&node, "services/s"), &a), "unhealthy");
    assert_eq!(names(&node, 4), ["b"; 4]);
    // When nobody is well, all get calls.
    of_b.store(500, Ordering::SeqCst);
    names(&node, 2);
    let mut asked = names(&node, 2);
    asked.sort();
    assert_eq!(asked, ["a", "b"]);
    node.stop();
}
