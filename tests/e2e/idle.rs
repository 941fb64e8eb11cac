//! Connections on which nothing happens, or too slowly.

use crate::harness::{Dialect, Gateway, Setup, post};

fn gateway(server: &str) -> Gateway {
    Setup::new("models: {m: {provider: simulated}}\nauth: none\n")
        .server(server)
        .start()
}

#[test]
fn a_begun_head_is_given_its_time_and_an_idle_connection_more() {
    let gateway = gateway("header_timeout: 300ms, idle_timeout: 60s");
    let request = post("/v1/chat/completions", Dialect::OpenAi.request("m", false));
    let mut idle = gateway.connect();
    assert_eq!(idle.send(&request).status(), 200);
    // Begins after the other has become idle, and is closed first.
    let mut slow = gateway.connect();
    slow.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n");
    assert!(slow.is_closed());
    let mut slow_second = gateway.connect();
    assert_eq!(slow_second.send(&request).status(), 200);
    slow_second.write(b"POST /v1");
    assert!(
        slow_second.is_closed(),
        "also when it is not the first request of its connection"
    );
    assert_eq!(idle.send(&request).status(), 200);
    gateway.stop();
}

#[test]
fn a_connection_that_stays_idle_is_closed() {
    let gateway = gateway("header_timeout: 100ms, idle_timeout: 300ms");
    let mut fresh = gateway.connect();
    let mut used = gateway.connect();
    let request = post("/v1/chat/completions", Dialect::OpenAi.request("m", false));
    assert_eq!(used.send(&request).status(), 200);
    assert!(fresh.is_closed());
    assert!(used.is_closed());
    gateway.stop();
}

#[test]
fn a_stream_is_not_disturbed_by_a_request_that_comes_before_it_has_ended() {
    let gateway = Setup::new(
        "models: {m: {provider: slow}}\nproviders: {slow: {kind: simulated, endpoint: \"simulated:?chunk_ms=40\"}}\nauth: none\n",
    )
    .server("header_timeout: 100ms, idle_timeout: 60s")
    .start();
    let mut connection = gateway.connect();
    connection.write(&post("/v1/chat/completions", Dialect::OpenAi.request("m", true)).bytes());
    connection.write(b"GET /v1/mod");
    let first = connection.response().expect("an answer");
    assert!(first.text().ends_with("data: [DONE]\n\n"), "{}", first.text());
    gateway.stop();
}
