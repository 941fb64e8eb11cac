//! Names of providers and servers that cannot be found, have many addresses of which some are dead, or change: a call is
//! served as long as one address serves, and what nobody can find is told at once, and found again as soon as it is there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::{Reply, Way};
use crate::apisix::{Node, NodeSetup};
use crate::harness::{Asked, Known, Names, Next, Peer, Upstream, answers};

/// Answers any call with this text.
fn saying(text: &'static str, next: Next) -> impl Fn(&Asked, &mut Peer) -> Next + Send + Sync + 'static {
    move |asked, peer| {
        let whole = answers::whole(crate::harness::Dialect::OpenAi, text);
        peer.send(&if asked.stream() {
            answers::good(asked, text)
        } else {
            answers::json_answer(200, &whole)
        });
        next
    }
}

/// A server at two or more addresses with the same port; each says its own text.
fn servers(places: &[(&str, &'static str)], next: Next) -> (u16, Vec<Upstream>) {
    let mut upstreams: Vec<Upstream> = Vec::new();
    for (address, text) in places {
        let address: IpAddr = address.parse().expect("an address");
        let port = upstreams.first().map_or(0, |first| first.address().port());
        upstreams.push(Upstream::start_at(
            SocketAddr::from((address, port)),
            saying(text, next),
        ));
    }
    (upstreams[0].address().port(), upstreams)
}

fn node(names: &Arc<Names>) -> Node {
    NodeSetup::new()
        .and("nginx_config: {worker_processes: 1}")
        .names(names)
        .start()
}

/// Routes to a name for calls of both ways, below `/chat/<name>` and `/passed/<name>`.
fn route(node: &Node, name: &str, port: u16, timeout_ms: u64) {
    let chat = json!({
        "uri": format!("/chat/{name}"),
        "plugins": {"ai-proxy": {
            "provider": "openai-compatible",
            "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}},
            "options": {"model": "gpt-4"},
            "override": {"endpoint": format!("http://{name}:{port}/v1")},
            "timeout": timeout_ms,
        }},
    });
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let seconds = timeout_ms as f64 / 1000.0;
    let passed = json!({
        "uri": format!("/passed/{name}"),
        "upstream": {
            "nodes": {format!("{name}:{port}"): 1}, "retries": 0,
            "timeout": {"connect": seconds, "send": seconds, "read": seconds},
        },
    });
    node.put(&format!("/routes/chat-{name}"), &chat);
    node.put(&format!("/routes/passed-{name}"), &passed);
}

#[track_caller]
fn call(node: &Node, way: Way, name: &str) -> Reply {
    let request = match way {
        Way::Passed => crate::harness::Request::new("GET", &format!("/passed/{name}")),
        _ => crate::harness::post(
            &format!("/chat/{name}"),
            crate::harness::Dialect::OpenAi.request("m", way == Way::Stream),
        ),
    };
    Reply::to(node.calls, request)
}

#[test]
fn a_name_that_cannot_be_found_is_told_and_found_as_soon_as_it_is_there() {
    let names = Arc::new(Names::start());
    let (port, _servers) = servers(&[("127.0.0.1", "served")], Next::Keep);
    let node = node(&names);
    for (name, known, statuses) in [
        ("nowhere.test", Known::Error(3), [502, 502]),
        ("broken.test", Known::Error(2), [502, 502]),
        ("refused.test", Known::Error(5), [502, 502]),
        ("empty.test", Known::Addresses(Vec::new()), [502, 502]),
        // The resolver of the machine gives up after a second.
        ("silent.test", Known::Silence, [502, 504]),
        ("garbage.test", Known::Garbage, [502, 504]),
    ] {
        route(&node, name, port, 10_000);
        names.know(name, known);
        for way in [Way::Whole, Way::Stream, Way::Passed] {
            let reply = call(&node, way, name);
            assert!(
                statuses.contains(&reply.status),
                "{name}, {way:?}: {}",
                reply.head
            );
            let told = format!("{}{}", reply.head, reply.text());
            assert!(
                !told.contains(name),
                "the client is told where the provider is: {told}"
            );
            let id = reply
                .head
                .lines()
                .find_map(|line| line.strip_prefix("x-tollgate-request-id: "));
            let line = node.process.stderr.with(id.expect("every answer has an id"));
            assert!(line.contains(name), "{line}");
        }
        names.points(name, &["127.0.0.1"]);
        for way in [Way::Whole, Way::Stream, Way::Passed] {
            let reply = call(&node, way, name);
            assert!(
                way.has_answered(&reply, "served"),
                "{name}, {way:?}: {} {}",
                reply.head,
                reply.text()
            );
        }
    }
    node.stop();
}

#[test]
fn whoever_looks_a_name_up_for_too_long_is_not_waited_for() {
    let names = Arc::new(Names::start());
    names.know("silent.test", Known::Silence);
    let node = node(&names);
    route(&node, "silent.test", 80, 200);
    for way in [Way::Whole, Way::Stream, Way::Passed] {
        let reply = call(&node, way, "silent.test");
        assert_eq!(reply.status, 504, "{way:?}: {}", reply.text());
    }
    node.stop();
}

#[test]
fn a_name_with_several_addresses_is_served_by_those_that_are_alive() {
    let names = Arc::new(Names::start());
    let (port, _servers) = servers(
        &[("127.0.0.1", "served"), ("::1", "served over version 6")],
        Next::Close,
    );
    let (only_v4, _server) = servers(&[("127.0.0.1", "served")], Next::Close);
    // Its queue is full: attempts to connect get no answer.
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    silent
        .bind(&SocketAddr::from(([127, 0, 0, 3], only_v4)).into())
        .expect("a port");
    silent.listen(0).expect("a socket can listen");
    let waiting: Vec<Socket> = (0..4)
        .map(|_| {
            let next = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            next.set_nonblocking(true).expect("a socket");
            // They fill the queue, or wait before it.
            let _ = next.connect(&SocketAddr::from(([127, 0, 0, 3], only_v4)).into());
            next
        })
        .collect();
    let crowd: Vec<String> = (10..60).map(|number| format!("127.0.1.{number}")).collect();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).chain(["127.0.0.1"]).collect();
    let node = node(&names);
    for (name, addresses, port, text) in [
        ("one.test", &["127.0.0.1"][..], port, "served"),
        ("six.test", &["::1"], port, "served over version 6"),
        ("refused-first.test", &["127.0.0.2", "127.0.0.1"], port, "served"),
        ("refused-last.test", &["127.0.0.1", "127.0.0.2"], port, "served"),
        ("no-six.test", &["::1", "127.0.0.1"], only_v4, "served"),
        (
            "silent-first.test",
            &["127.0.0.3", "127.0.0.1"],
            only_v4,
            "served",
        ),
        ("crowd.test", &crowd, port, "served"),
    ] {
        names.points(name, addresses);
        route(&node, name, port, 10_000);
        for way in [Way::Whole, Way::Stream, Way::Passed] {
            let reply = call(&node, way, name);
            assert!(
                way.has_answered(&reply, text),
                "{name}, {way:?}: {} {}",
                reply.head,
                reply.text()
            );
        }
    }
    let addresses = crowd.iter().map(|address| address.parse().expect("an address"));
    names.know("long.test", Known::Truncated(addresses.collect()));
    route(&node, "long.test", port, 10_000);
    assert!(Way::Whole.has_answered(&call(&node, Way::Whole, "long.test"), "served"));
    names.points("dead.test", &["127.0.0.2", "127.0.0.4", "127.0.0.5"]);
    route(&node, "dead.test", port, 10_000);
    for way in [Way::Whole, Way::Passed] {
        assert_eq!(call(&node, way, "dead.test").status, 502, "{way:?}");
    }
    drop(waiting);
    node.stop();
}

#[test]
fn each_new_connection_goes_where_the_name_points_then() {
    let names = Arc::new(Names::start());
    let (port, _servers) = servers(
        &[("127.0.0.1", "the first"), ("127.0.0.6", "the second")],
        Next::Close,
    );
    let node = node(&names);
    route(&node, "moving.test", port, 10_000);
    for (address, text) in [
        ("127.0.0.1", "the first"),
        ("127.0.0.6", "the second"),
        ("127.0.0.1", "the first"),
    ] {
        names.points("moving.test", &[address]);
        for way in [Way::Whole, Way::Stream, Way::Passed] {
            let reply = call(&node, way, "moving.test");
            assert!(
                way.has_answered(&reply, text),
                "{way:?}: {} {}",
                reply.head,
                reply.text()
            );
        }
    }
    node.stop();
}

#[test]
fn connections_that_are_kept_are_left_when_a_checked_name_points_elsewhere() {
    let names = Arc::new(Names::start());
    let (port, _servers) = servers(
        &[("127.0.0.1", "the first"), ("127.0.0.6", "the second")],
        Next::Keep,
    );
    names.points("moving.test", &["127.0.0.1"]);
    let node = node(&names);
    let checks = json!({"active": {
        "type": "http", "http_path": "/health",
        "healthy": {"interval": 1, "successes": 1}, "unhealthy": {"interval": 1, "http_failures": 1},
    }});
    node.put(
        "/routes/1",
        &json!({"uri": "/chat", "plugins": {"ai-proxy-multi": {"instances": [{
            "name": "moving", "provider": "openai-compatible", "weight": 1,
            "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}},
            "options": {"model": "gpt-4"},
            "override": {"endpoint": format!("http://moving.test:{port}/v1")},
            "checks": checks,
        }]}}}),
    );
    let request = crate::harness::post("/chat", crate::harness::Dialect::OpenAi.request("m", false));
    assert!(node.send(&request).text().contains("the first"));
    names.points("moving.test", &["127.0.0.6"]);
    node.until(&request, |response| response.text().contains("the second"));
    node.stop();
}

#[test]
fn calls_at_the_same_time_look_a_name_up_together() {
    const CALLS: usize = 40;
    let names = Arc::new(Names::start());
    names.know("silent.test", Known::Silence);
    let node = node(&names);
    route(&node, "silent.test", 80, 10_000);
    std::thread::scope(|scope| {
        for _ in 0..CALLS {
            scope.spawn(|| assert!(call(&node, Way::Whole, "silent.test").status >= 502));
        }
    });
    // For addresses of both versions, and for those that came late once or twice more.
    let asked = names.asked_for("silent.test");
    assert!(
        (1..CALLS / 2).contains(&asked),
        "{asked} questions for {CALLS} calls"
    );
    node.stop();
}
