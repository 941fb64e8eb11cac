//! Instances that fail and recover: who is asked, and what is told about it.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Instant;

use rcgen::generate_simple_self_signed;
use rustls::ServerConfig;
use serde_json::{Value, json};

use super::node::CHAT;
use super::{ADMIN_KEY, Node, NodeSetup};
use crate::harness::{
    Asked, Connection, Next, PATIENCE, Peer, Request, Response, Upstream, answers, post, proving,
};

/// A provider whose status a test sets, and which counts the calls and the checks it gets.
struct Provider {
    upstream: Upstream,
    /// Of answers to calls and to checks.
    status: Arc<AtomicU16>,
    calls: Arc<AtomicUsize>,
}

impl Provider {
    fn start(name: &'static str) -> Provider {
        Provider::saying(name, "")
    }

    /// `headers` are those of failures, each with its line end.
    fn saying(name: &'static str, headers: &'static str) -> Provider {
        Provider::over(None, name, headers)
    }

    /// Over TLS, if it can prove itself.
    fn over(tls: Option<Arc<ServerConfig>>, name: &'static str, headers: &'static str) -> Provider {
        let status = Arc::new(AtomicU16::new(200));
        let calls = Arc::new(AtomicUsize::new(0));
        let (answered, counted) = (status.clone(), calls.clone());
        let answer = move |asked: &Asked, peer: &mut Peer| {
            let status = answered.load(Ordering::SeqCst);
            let is_call = asked.method == "POST";
            counted.fetch_add(usize::from(is_call), Ordering::SeqCst);
            if is_call && status == 200 {
                peer.send(&answers::good(asked, name));
            } else {
                let head = format!("HTTP/1.1 {status} Told\r\n{headers}content-type: application/json\r\n");
                let body = r#"{"error":{"message":"no","type":"x","param":null,"code":null}}"#;
                peer.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
            }
            Next::Keep
        };
        Provider {
            upstream: match tls {
                Some(tls) => Upstream::start_tls(tls, answer),
                None => Upstream::start(answer),
            },
            status,
            calls,
        }
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn instance(&self, name: &str, priority: i64, checks: &Value) -> Value {
        let mut instance = json!({
            "name": name, "provider": "openai-compatible", "weight": 1, "priority": priority,
            "auth": {"header": {"Authorization": "Bearer k"}}, "override": {"endpoint": self.upstream.base()},
        });
        if !checks.is_null() {
            instance["checks"] = checks.clone();
        }
        instance
    }
}

/// Puts a route that prefers the first of two providers and goes to the second when that fails.
fn route(node: &Node, first: &Provider, second: &Provider, checks: &Value, more: &Value) {
    let mut multi = json!({
        "instances": [first.instance("first", 1, checks), second.instance("second", 0, checks)],
        "fallback_strategy": ["http_5xx", "http_429"],
        // Every call may be repeated here.
        "retry_budget": {"percent": 100, "min_per_second": 1000},
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        multi[name] = value.clone();
    }
    node.put(
        "/routes/1",
        &json!({"uri": "/chat", "plugins": {"ai-proxy-multi": multi}}),
    );
}

fn answered_by(response: &Response) -> &str {
    assert_eq!(response.status(), 200, "{}", response.text());
    response.header("x-tollgate-instance").unwrap_or_default()
}

fn get(address: SocketAddr, path: &str, key: Option<&str>) -> Response {
    let mut request = Request::new("GET", path);
    if let Some(key) = key {
        request = request.header("x-api-key", key);
    }
    Connection::open(address).send(&request)
}

/// What `GET /v1/healthcheck` tells of the route.
#[track_caller]
fn health(node: &Node) -> Value {
    let told = get(node.admin(), "/v1/healthcheck/routes/1", Some(ADMIN_KEY));
    assert_eq!(told.status(), 200, "{}", told.text());
    serde_json::from_slice(&told.body).expect("JSON")
}

/// Waits until checks say this of the route's first instance.
#[track_caller]
fn standing(node: &Node, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    while health(node)["nodes"][0]["status"] != wanted {
        assert!(Instant::now() < deadline, "{}", health(node));
    }
}

/// Waits until a check of the route's first instance has ended like this.
#[track_caller]
fn probed(node: &Node, result: &str) {
    let deadline = Instant::now() + PATIENCE;
    let label = format!(",result=\"{result}\"");
    while metric(node, "tollgate_instance_probes_total", &label).unwrap_or(0) == 0 {
        assert!(Instant::now() < deadline, "{}", health(node));
    }
}

/// The value of a metric of the route's first instance.
fn metric(node: &Node, name: &str, more: &str) -> Option<u64> {
    let told = get(node.admin(), "/metrics", None);
    let series = format!("{name}{{owner=\"route/1\",instance_name=\"first\"{more}}} ");
    let line = told
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(&series).map(str::to_owned));
    line.map(|value| value.parse().expect("a number"))
}

#[test]
fn an_instance_that_keeps_failing_is_left_alone_and_tried_again() {
    let node = NodeSetup::new().start();
    let (first, second) = (Provider::start("first"), Provider::start("second"));
    let checks = json!({"passive": {"ejection_ms": 300, "consecutive_failures": 3}});
    route(&node, &first, &second, &checks, &json!({}));
    first.answers(500);
    for _ in 0..3 {
        assert_eq!(answered_by(&node.chat("/chat")), "second");
    }
    assert_eq!(first.calls(), 3);
    assert_eq!(metric(&node, "tollgate_instance_healthy", ""), Some(0));
    let ejections = |node: &Node| {
        metric(
            node,
            "tollgate_instance_ejections_total",
            ",cause=\"consecutive_failures\"",
        )
    };
    assert_eq!(ejections(&node), Some(1));
    first.answers(200);
    // No call fails or waits meanwhile.
    node.until(&post("/chat", CHAT), |response| answered_by(response) == "first");
    assert_eq!(answered_by(&node.chat("/chat")), "first");
    assert_eq!(metric(&node, "tollgate_instance_healthy", ""), Some(1));
    assert_eq!(health(&node)["instances"][0]["state"], "healthy");
    node.stop();
}

#[test]
fn an_instance_that_asks_for_patience_gets_it_also_over_changes_of_the_route() {
    let node = NodeSetup::new().start();
    let (first, second) = (
        Provider::saying("first", "retry-after: 120\r\n"),
        Provider::start("second"),
    );
    route(&node, &first, &second, &json!(null), &json!({}));
    first.answers(429);
    assert_eq!(answered_by(&node.chat("/chat")), "second");
    first.answers(200);
    route(&node, &first, &second, &json!(null), &json!({"timeout": 10_000}));
    for _ in 0..3 {
        assert_eq!(answered_by(&node.chat("/chat")), "second");
    }
    assert_eq!(first.calls(), 1);
    let told = health(&node);
    let instance = &told["instances"][0];
    assert_eq!(
        (&instance["state"], &instance["cause"], &instance["usable"]),
        (&json!("ejected"), &json!("rate_limited"), &json!(false))
    );
    let left = instance["ejected_for_ms"].as_u64().expect("a number");
    assert!((1..=120_000).contains(&left), "{left}");
    assert_eq!(told["name"], "/apisix/routes/1");
    node.stop();
}

#[test]
fn when_no_instance_is_left_all_are_used() {
    let node = NodeSetup::new().start();
    let (first, second) = (Provider::start("first"), Provider::start("second"));
    let checks = |most: u32| json!({"passive": {"ejection_ms": 300_000, "consecutive_failures": 2, "max_ejected_percent": most}});
    route(&node, &first, &second, &checks(50), &json!({}));
    for provider in [&first, &second] {
        provider.answers(503);
    }
    for _ in 0..4 {
        assert_eq!(node.chat("/chat").status(), 503);
    }
    let is_usable = |number: usize| health(&node)["instances"][number]["usable"] == true;
    assert!(is_usable(0) != is_usable(1), "half of them, and not more");
    route(&node, &first, &second, &checks(100), &json!({}));
    for _ in 0..2 {
        assert_eq!(node.chat("/chat").status(), 503);
    }
    assert!(!is_usable(0) && !is_usable(1));
    for provider in [&first, &second] {
        provider.answers(200);
    }
    assert_eq!(answered_by(&node.chat("/chat")), "first");
    // What was answered is well again, whatever time was left.
    assert!(is_usable(0) && !is_usable(1));
    node.stop();
}

#[test]
fn in_strict_mode_calls_have_no_say() {
    let node = NodeSetup::new().strict().start();
    let (first, second) = (Provider::start("first"), Provider::start("second"));
    route(&node, &first, &second, &json!(null), &json!({"retry_budget": {}}));
    first.answers(500);
    for _ in 0..10 {
        assert_eq!(node.chat("/chat").status(), 200);
    }
    assert_eq!(first.calls(), 10);
    node.stop();
}

#[test]
fn an_instance_that_fails_its_checks_gets_no_calls_until_it_passes_them_again() {
    let node = NodeSetup::new().start();
    let (first, second) = (Provider::start("first"), Provider::start("second"));
    let checks = json!({"active": {
        "http_path": "/health", "req_headers": ["X-Probe: yes"],
        "healthy": {"successes": 1}, "unhealthy": {"http_failures": 1},
    }});
    route(&node, &first, &second, &checks, &json!({}));
    let asked = first.upstream.asked();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", "/health"));
    assert_eq!(asked.header("x-probe"), Some("yes"));
    assert_eq!(
        asked.header("authorization"),
        Some("Bearer k"),
        "as calls have it"
    );
    assert_eq!(answered_by(&node.chat("/chat")), "first");
    first.answers(500);
    standing(&node, "unhealthy");
    let before = first.calls();
    for _ in 0..3 {
        assert_eq!(answered_by(&node.chat("/chat")), "second");
    }
    assert_eq!(first.calls(), before, "nobody had to find out by a call");
    let told = health(&node);
    assert_eq!(told["type"], "http");
    let node_of_first = &told["nodes"][0];
    assert_eq!(
        (&node_of_first["instance"], &node_of_first["ip"]),
        (&json!("first"), &json!("127.0.0.1"))
    );
    assert_eq!(node_of_first["counter"]["http_failure"], 1);
    first.answers(200);
    standing(&node, "healthy");
    assert_eq!(answered_by(&node.chat("/chat")), "first");
    assert!(metric(&node, "tollgate_instance_probes_total", ",result=\"bad_status\"") > Some(0));
    node.stop();
}

#[test]
fn a_port_that_is_closed_is_found_by_a_connection_check() {
    let node = NodeSetup::new().start();
    let second = Provider::start("second");
    let first = Provider {
        upstream: Upstream::refusing(),
        status: Arc::default(),
        calls: Arc::default(),
    };
    let checks = json!({"active": {"type": "tcp", "unhealthy": {"tcp_failures": 1}}});
    route(&node, &first, &second, &checks, &json!({}));
    node.until(&post("/chat", CHAT), |response| {
        response.header("x-tollgate-attempts") == Some("second=ok")
    });
    // What was not sent is tried elsewhere, so that no call has failed before either.
    node.stop();
}

#[test]
fn a_connection_check_asks_for_nothing_but_a_connection() {
    let node = NodeSetup::new().start();
    // It refuses whatever else it is asked.
    let (first, second) = (Provider::start("first"), Provider::start("second"));
    first.answers(500);
    let checks = json!({"active": {
        "type": "tcp", "unhealthy": {"tcp_failures": 1, "http_failures": 1, "timeouts": 1},
    }});
    route(&node, &first, &second, &checks, &json!({}));
    probed(&node, "success");
    assert_eq!(health(&node)["nodes"][0]["status"], "healthy");
    first.upstream.was_not_asked();
    first.answers(200);
    assert_eq!(answered_by(&node.chat("/chat")), "first");
    assert_eq!(health(&node)["type"], "tcp");
    node.stop();
}

/// A check over TLS, which one failure makes ill and one success well.
fn over_tls(verified: bool) -> Value {
    json!({"active": {
        "type": "https", "http_path": "/health", "https_verify_certificate": verified,
        "healthy": {"successes": 1}, "unhealthy": {"tcp_failures": 1, "timeouts": 1, "http_failures": 1},
        // A loaded machine is not what this is about.
        "timeout": 10,
    }})
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_ill_where_checks_verify_it() {
    let proof = generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let node = NodeSetup::new().start();
    let first = Provider::over(Some(proving(&proof)), "first", "");
    let second = Provider::start("second");
    // Calls would take it.
    let unverified_calls = json!({"ssl_verify": false});
    route(&node, &first, &second, &over_tls(true), &unverified_calls);
    probed(&node, "connection");
    standing(&node, "unhealthy");
    for _ in 0..3 {
        assert_eq!(answered_by(&node.chat("/chat")), "second");
    }
    assert_eq!(first.calls(), 0);
    first.upstream.was_not_asked();

    route(&node, &first, &second, &over_tls(false), &unverified_calls);
    standing(&node, "healthy");
    let asked = first.upstream.asked();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", "/health"));
    probed(&node, "success");
    assert_eq!(answered_by(&node.chat("/chat")), "first");
    assert_eq!(health(&node)["type"], "https");
    // Behind the handshake it is the status that counts.
    first.answers(500);
    standing(&node, "unhealthy");
    assert_eq!(answered_by(&node.chat("/chat")), "second");
    node.stop();
}

#[test]
fn checks_verify_the_name_and_trust_whom_calls_trust() {
    for (name, result, answers) in [
        ("127.0.0.1", "success", "first"),
        ("elsewhere.test", "connection", "second"),
    ] {
        let proof = generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        let authority = directory.path().join("ca.pem");
        fs::write(&authority, proof.cert.pem()).expect("a file can be written");
        let node = NodeSetup::new()
            .tollgate(&format!("ca_file: {}", authority.display()))
            .start();
        let first = Provider::over(Some(proving(&proof)), "first", "");
        let second = Provider::start("second");
        route(&node, &first, &second, &over_tls(true), &json!({}));
        probed(&node, result);
        assert_eq!(answered_by(&node.chat("/chat")), answers);
        node.stop();
    }
}

#[test]
fn apisix_s_control_and_metrics_listeners_tell_without_a_key() {
    let node = NodeSetup::new()
        .and("apisix: {control: {ip: 127.0.0.1, port: 0}}")
        .and("plugin_attr: {prometheus: {export_addr: {ip: 127.0.0.1, port: 0}}}")
        .start();
    let told = node.process.stderr.so_far();
    let address = |name: &str| -> SocketAddr {
        let line = told.lines().find(|line| line.contains(name)).expect("a line");
        line.split("http://")
            .nth(1)
            .and_then(|address| address.trim().parse().ok())
            .expect("an address")
    };
    let (first, second) = (Provider::start("first"), Provider::start("second"));
    route(&node, &first, &second, &json!(null), &json!({}));
    let control = address("control API");
    let one = get(control, "/v1/healthcheck/routes/1", None);
    assert_eq!(
        serde_json::from_slice::<Value>(&one.body).expect("JSON"),
        health(&node)
    );
    assert_eq!(get(control, "/apisix/admin/routes", None).status(), 404);
    let metrics = get(address("metrics"), "/apisix/prometheus/metrics", None);
    assert!(
        metrics
            .text()
            .contains("tollgate_instance_healthy{owner=\"route/1\",instance_name=\"second\"} 1\n"),
        "{}",
        metrics.text()
    );
    assert_eq!(get(address("metrics"), "/v1/healthcheck", None).status(), 404);
    node.ask("DELETE", "/routes/1", None);
    assert_eq!(get(control, "/v1/healthcheck", None).text().trim(), "[]");
    node.stop();
}
