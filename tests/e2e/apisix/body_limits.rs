//! `client_max_body_size` and the times of `nginx_config.http` hold for calls that are passed on while they come, too.

use serde_json::json;

use super::NodeSetup;
use crate::harness::{Connection, Next, Request, Upstream, answers, post};

const CONFIG: &str = "nginx_config:\n  http:\n    client_max_body_size: 4k\n    client_body_timeout: 300ms\n";

#[test]
fn a_body_of_the_limit_is_passed_on_and_one_byte_more_is_not() {
    let upstream = Upstream::start(|asked, peer| {
        // It would answer before it has read a body whose end is not told.
        if asked.header("transfer-encoding").is_some() {
            peer.wait_until_closed();
            return Next::Close;
        }
        peer.send(&answers::answer(200, "", b"ok"));
        Next::Keep
    });
    let node = NodeSetup::new().and(CONFIG).start();
    let place = upstream.address().to_string();
    node.put(
        "/routes/1",
        &json!({"uri": "/*", "upstream": {"nodes": {place: 1}}}),
    );
    for (length, status) in [(4_095, 200), (4_096, 200), (4_097, 413)] {
        let response = node.send(&post("/", "x".repeat(length)));
        assert_eq!(response.status(), status, "{length} bytes: {}", response.text());
        match status {
            200 => assert_eq!(upstream.asked().body.len(), length),
            _ => upstream.was_not_asked(),
        }
    }
    let mut announced = Connection::open(node.calls);
    announced.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 107374182400\r\n\r\n");
    assert_eq!(announced.response().expect("an answer").status(), 413);
    let mut endless = Connection::open(node.calls);
    endless.write(b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n");
    for _ in 0..64 {
        endless.write(&answers::chunk([b'x'; 1024]));
    }
    assert_eq!(endless.response().expect("an answer").status(), 413);
    let told = Connection::open(node.admin()).send(&Request::new("GET", "/metrics"));
    let reached = "tollgate_limits_reached_total{limit=\"max_body\"} 3";
    assert!(told.text().contains(reached), "{}", told.text());
    node.stop();
}

#[test]
fn a_client_that_stops_sending_is_told_so_and_its_upstream_is_left() {
    let upstream = Upstream::saying(answers::answer(200, "", b"ok"));
    let node = NodeSetup::new().and(CONFIG).start();
    let place = upstream.address().to_string();
    node.put(
        "/routes/1",
        &json!({"uri": "/*", "upstream": {"nodes": {place: 1}}}),
    );
    let mut slow = Connection::open(node.calls);
    slow.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nhalf");
    assert_eq!(slow.response().expect("an answer").status(), 408);
    upstream.was_not_asked();
    node.stop();
}
