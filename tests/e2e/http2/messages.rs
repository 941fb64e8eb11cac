//! RFC 9113, section 8: what a request is.

use super::Must::{Pass, Refuse};
use super::{Case, PROTOCOL_ERROR, check, simulated};
use crate::harness::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Http2, fields, frame, get, post, request,
};
use crate::harness::{Dialect, Setup, Upstream};

const CHAT: &str = "/v1/chat/completions";

fn head<'a>(list: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(list))
}

/// A good request with this field behind it.
fn with(name: &str, value: &str) -> Vec<u8> {
    let mut list = request("GET", "/v1/models");
    list.push((name, value));
    head(list)
}

/// A good request without this field.
fn without(name: &str) -> Vec<u8> {
    head(
        request("GET", "/v1/models")
            .into_iter()
            .filter(|(there, _)| *there != name),
    )
}

fn with_body(length: &str, pieces: &[&str]) -> Vec<u8> {
    let mut list = request("POST", CHAT);
    list.extend([("content-type", "application/json"), ("content-length", length)]);
    let mut bytes = frame(HEADERS, END_HEADERS, 1, fields(list));
    for (number, piece) in pieces.iter().enumerate() {
        let flags = if number + 1 == pieces.len() { END_STREAM } else { 0 };
        bytes.extend(frame(DATA, flags, 1, piece));
    }
    bytes
}

#[test]
fn requests_that_are_malformed() {
    let wrong: &[u32] = &[PROTOCOL_ERROR];
    let mut regular_first = vec![("x-first", "1")];
    regular_first.extend(request("GET", "/v1/models"));
    let cases: Vec<Case> = vec![
        (
            "8.1 a second head that does not end the request",
            [post(1, CHAT), post(1, CHAT)].concat(),
            Refuse(wrong),
        ),
        (
            "8.1 a trailer with a pseudo-header",
            [
                post(1, CHAT),
                frame(HEADERS, END_HEADERS | END_STREAM, 1, fields([(":method", "GET")])),
            ]
            .concat(),
            Refuse(wrong),
        ),
        (
            "8.2.1 a name with a capital letter",
            with("X-TEST", "ok"),
            Refuse(wrong),
        ),
        ("8.2.1 a name with a space", with("x test", "ok"), Refuse(wrong)),
        ("8.2.1 an empty name", with("", "ok"), Refuse(wrong)),
        (
            "8.2.1 a value with a line break",
            with("x-test", "a\r\nx-evil: 1"),
            Refuse(wrong),
        ),
        ("8.2.1 a value with NUL", with("x-test", "a\0b"), Refuse(wrong)),
        (
            "8.2.2 a field of the connection",
            with("connection", "keep-alive"),
            Refuse(wrong),
        ),
        (
            "8.2.2 a transfer coding",
            with("transfer-encoding", "chunked"),
            Refuse(wrong),
        ),
        ("8.2.2 an upgrade", with("upgrade", "websocket"), Refuse(wrong)),
        ("8.2.2 keep-alive", with("keep-alive", "1"), Refuse(wrong)),
        (
            "8.2.2 proxy-connection",
            with("proxy-connection", "close"),
            Refuse(wrong),
        ),
        (
            "8.2.2 TE other than trailers",
            with("te", "trailers, deflate"),
            Refuse(wrong),
        ),
        ("8.2.2 TE of trailers", with("te", "trailers"), Pass),
        (
            "8.3 a pseudo-header that is not defined",
            with(":test", "ok"),
            Refuse(wrong),
        ),
        (
            "8.3 a pseudo-header of answers",
            with(":status", "200"),
            Refuse(wrong),
        ),
        (
            "8.3 a pseudo-header behind a header",
            head(regular_first),
            Refuse(wrong),
        ),
        ("8.3.1 no method", without(":method"), Refuse(wrong)),
        ("8.3.1 no scheme", without(":scheme"), Refuse(wrong)),
        ("8.3.1 no path", without(":path"), Refuse(wrong)),
        ("8.3.1 a second method", with(":method", "GET"), Refuse(wrong)),
        ("8.3.1 a second scheme", with(":scheme", "http"), Refuse(wrong)),
        ("8.3.1 a second path", with(":path", "/"), Refuse(wrong)),
        (
            "8.3.1 a second authority",
            with(":authority", "other.test"),
            Refuse(wrong),
        ),
        ("8.3.1 an empty path", head(request("GET", "")), Refuse(wrong)),
        (
            "8.3.1 a path that is none",
            head(request("GET", "v1/models")),
            Refuse(wrong),
        ),
        (
            "8.3.1 an authority that is none",
            {
                let mut list = request("GET", "/v1/models");
                list[3] = (":authority", "a b");
                head(list)
            },
            Refuse(wrong),
        ),
        (
            "8.3.1 a host beside another authority",
            with("host", "other.test"),
            Refuse(wrong),
        ),
        (
            "8.3.1 the same host beside the authority",
            with("host", "gateway.test"),
            Pass,
        ),
        (
            "8.1.1 less than the length says",
            with_body("5", &["test"]),
            Refuse(wrong),
        ),
        (
            "8.1.1 more than the length says",
            with_body("3", &["test"]),
            Refuse(wrong),
        ),
        (
            "8.1.1 more in two pieces",
            with_body("5", &["test", "test"]),
            Refuse(wrong),
        ),
        (
            "8.1.1 a length that is no number",
            with_body("+4", &["test"]),
            Refuse(wrong),
        ),
        (
            "8.5 a tunnel",
            head([(":method", "CONNECT"), (":authority", "127.0.0.1:1")]),
            Refuse(wrong),
        ),
        (
            "an expectation that is not known",
            with("expect", "a-miracle"),
            Refuse(wrong),
        ),
    ];
    check(&cases);
}

#[test]
fn trailers_never_become_headers() {
    let upstream = Upstream::good("served");
    let gateway = Setup::new(format!(
        "models: {{m: {{provider: p}}}}\nproviders:\n{}consumers: {{caller: {{key: consumer-key-0001, models: [m]}}}}\n",
        Dialect::OpenAi.provider("p", &upstream)
    ))
    .start();
    let body = Dialect::OpenAi.request("m", false);
    let trailers = fields([("authorization", "Bearer consumer-key-0001"), ("x-late", "1")]);
    let mut connection = Http2::open(gateway.address, &[]);
    connection.write(&[post(1, CHAT), frame(DATA, 0, 1, &body)].concat());
    connection.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers));
    assert_eq!(connection.answer(1).0, 401);
    upstream.was_not_asked();
    let mut list = request("POST", CHAT);
    list.push(("x-api-key", "consumer-key-0001"));
    connection.write(&frame(HEADERS, END_HEADERS, 3, fields(list)));
    connection.write(&frame(DATA, 0, 3, &body));
    connection.write(&frame(HEADERS, END_HEADERS | END_STREAM, 3, trailers));
    assert_eq!(connection.answer(3).0, 200);
    let asked = upstream.asked();
    assert_eq!(asked.text(), body);
    assert!(asked.header("x-late").is_none() && asked.header("authorization").is_none());
}

#[test]
fn a_head_of_the_limit_is_taken_and_more_is_not() {
    let gateway =
        Setup::new("models: {m: {provider: simulated}}\nauth: none\nmetrics: {listen: \"127.0.0.1:0\"}")
            .server("max_header: 8KiB, max_headers: 4, max_uri: 512B")
            .start();
    let path = |length: usize| format!("/v1/models?{}", "q".repeat(length - 11));
    let long = |length: usize| "v".repeat(length);
    let status = |path: &str, values: &[String]| {
        let names = ["x-a", "x-b", "x-c", "x-d", "x-e"];
        let mut list = request("GET", path);
        list.extend(names.into_iter().zip(values.iter().map(String::as_str)));
        let mut connection = Http2::open(gateway.address, &[]);
        connection.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(list)));
        connection.status(1)
    };
    for (length, expected) in [(511, 200), (512, 200), (513, 414)] {
        assert_eq!(status(&path(length), &[]), expected, "a target of {length} bytes");
    }
    gateway.counts("tollgate_limits_reached_total{limit=\"max_uri\"}", 1);
    for (count, expected) in [(3, 200), (4, 200), (5, 431)] {
        let values = vec!["1".to_owned(); count];
        assert_eq!(status("/v1/models", &values), expected, "{count} lines");
    }
    gateway.counts("tollgate_limits_reached_total{limit=\"max_headers\"}", 1);
    // `GET /v1/models HTTP/1.1` with its line breaks is 27 bytes, `x-a: ` with its own 7. HTTP/2 counts 32 bytes for each field
    // beside its name and value, and its limit is the same number.
    assert_eq!(status("/v1/models", &[long(7_800)]), 200);
    assert_eq!(status("/v1/models", &[long(8_192)]), 431);
    still_in_order(&gateway);
}

fn still_in_order(gateway: &crate::harness::Gateway) {
    let mut connection = Http2::open(gateway.address, &[]);
    connection.write(&get(1, "/v1/models"));
    assert_eq!(connection.answer(1).0, 200);
}

#[test]
fn a_body_that_is_not_read_does_not_disturb_the_next_call() {
    let gateway = simulated();
    let mut connection = Http2::open(gateway.address, &[]);
    connection.write(&[post(1, "/nowhere"), frame(DATA, 0, 1, [b'x'; 16 * 1024])].concat());
    assert_eq!(connection.answer(1).0, 404);
    connection.write(&get(3, "/v1/models"));
    assert_eq!(connection.answer(3).0, 200);
}
