//! SIGTERM: open answers end normally, new connections are refused, the process ends with status 0.

use std::sync::mpsc::Sender;

use crate::harness::{Connection, Dialect, Gateway, PATIENCE, Request, Setup, Stream, Upstream, post};

/// A gateway with one open stream that has had its first content, and what lets it end.
fn streaming(server: &str) -> (Gateway, Stream, Upstream, Sender<()>) {
    let (upstream, proceed) = Upstream::paused("first", "last");
    let config = format!(
        "models: {{m: {{provider: p}}}}\nproviders:\n{}",
        Dialect::OpenAi.provider("p", &upstream)
    );
    let gateway = Setup::new(config).server(server).start();
    let mut stream = gateway
        .connect()
        .stream(&post("/v1/chat/completions", Dialect::OpenAi.request("m", true)));
    stream.until("first");
    (gateway, stream, upstream, proceed)
}

/// Waits until nobody listens any more.
#[track_caller]
fn refuses_connections(gateway: &Gateway) {
    let deadline = std::time::Instant::now() + PATIENCE;
    // The signal is noticed by each worker for itself; until then connections are accepted and closed.
    while let Ok(mut connection) = Connection::try_open(gateway.address) {
        assert!(
            std::time::Instant::now() < deadline,
            "connections are still accepted"
        );
        connection.write(
            &Request::new("GET", "/v1/models")
                .header("connection", "close")
                .bytes(),
        );
        connection.until_closed();
    }
}

#[test]
fn an_open_stream_ends_normally_and_new_connections_are_refused() {
    let (gateway, mut stream, _upstream, proceed) = streaming("drain: 1m");
    gateway.signal("TERM");
    gateway.stderr().with("stopping");
    refuses_connections(&gateway);
    proceed.send(()).expect("the provider waits");
    stream.until("last");
    stream.is_done();
    let finished = gateway.finish();
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert!(
        finished.stdout.contains(r#""outcome":"ok""#),
        "the call is logged before the end: {}",
        finished.stdout
    );
}

#[test]
fn an_interrupt_is_as_orderly() {
    let (gateway, mut stream, _upstream, proceed) = streaming("drain: 1m");
    gateway.signal("INT");
    gateway.stderr().with("stopping");
    proceed.send(()).expect("the provider waits");
    stream.is_done();
    assert_eq!(gateway.finish().status.code(), Some(0));
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let (gateway, mut stream, _upstream, proceed) = streaming("drain: 1m");
    let mut idle = gateway.connect();
    let mut used = gateway.connect();
    assert_eq!(used.send(&Request::new("GET", "/v1/models")).status(), 200);
    proceed.send(()).expect("the provider waits");
    stream.rest();
    gateway.signal("TERM");
    assert!(used.is_closed());
    assert!(idle.is_closed());
    assert_eq!(gateway.finish().status.code(), Some(0));
}

#[test]
fn what_does_not_end_in_the_drain_time_is_cut() {
    let (gateway, mut stream, upstream, _proceed) = streaming("drain: 200ms");
    gateway.signal("TERM");
    assert!(stream.is_cut());
    gateway.stderr().with("drain time is over");
    let finished = gateway.finish();
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    drop(upstream);
}

#[test]
fn a_second_signal_ends_at_once() {
    let (gateway, mut stream, _upstream, _proceed) = streaming("drain: 10m");
    gateway.signal("TERM");
    gateway.stderr().with("stopping");
    gateway.signal("TERM");
    assert!(stream.is_cut());
    let finished = gateway.finish();
    assert!(finished.stderr.contains("stopped at once"), "{}", finished.stderr);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}
