//! Requests whose bytes could mean two things to two readers are refused and the connection is closed; what follows them
//! is never taken for a request.

use crate::harness::{Connection, Dialect, Gateway, Setup, Upstream, post};

const CHAT: &str = "/v1/chat/completions";

struct Door {
    gateway: Gateway,
    upstream: Upstream,
}

/// A whole request that would be served if it were taken for one.
const SMUGGLED: &str = "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
                        content-length: 58\r\n\r\n{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"evil\"}]}";

impl Door {
    fn new() -> Door {
        let upstream = Upstream::good("served");
        let config = format!(
            "models: {{m: {{provider: p}}}}\nproviders:\n{}",
            Dialect::OpenAi.provider("p", &upstream)
        );
        Door {
            gateway: Setup::new(config).start(),
            upstream,
        }
    }

    /// Sends bytes, and behind them a request that asks for the end of the connection. Gives the statuses that come back.
    fn statuses(&self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        let mut connection = self.gateway.connect();
        connection.write(bytes.as_ref());
        connection.write(b"GET /end HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        let answers = String::from_utf8_lossy(&connection.until_closed()).into_owned();
        answers
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|answer| answer.chars().take(3).collect())
            .collect()
    }

    /// Asserts that bytes are refused with a 4xx or 501, or the connection is closed, and that nothing in them is taken
    /// for a request that could be served.
    #[track_caller]
    fn refuses(&self, bytes: impl AsRef<[u8]>) {
        let shown = String::from_utf8_lossy(&bytes.as_ref()[..bytes.as_ref().len().min(300)]).into_owned();
        let statuses = self.statuses(bytes);
        match statuses.as_slice() {
            [] => {}
            [refused] => assert!(
                matches!(refused.as_str(), "400" | "404" | "431" | "501" | "505"),
                "{shown:?}: {refused}"
            ),
            more => panic!("{shown:?}: {more:?}"),
        }
        self.upstream.was_not_asked();
    }

    /// Asserts that a request is refused for what it asks, that its body is not taken for another request, and that the
    /// connection goes on with the next one or is closed.
    #[track_caller]
    fn refuses_one(&self, request: &str) {
        let statuses = self.statuses(request);
        let (first, rest) = statuses.split_first().expect("an answer");
        assert!(first.starts_with('4'), "{request}: {statuses:?}");
        assert!(rest.is_empty() || rest == ["404"], "{request}: {statuses:?}");
        self.upstream.was_not_asked();
    }

    /// Asserts that a good request is served, and that nothing else has reached the provider.
    #[track_caller]
    fn still_serves(&self) {
        self.upstream.was_not_asked();
        let response = self
            .gateway
            .send(&post("/v1/chat/completions", Dialect::OpenAi.request("m", false)));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(self.upstream.asked().text(), Dialect::OpenAi.request("m", false));
    }
}

/// A chat call with these header lines, each ending in a line break, and this body.
fn call(headers: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n{headers}\r\n{body}"
    )
}

fn hello() -> String {
    Dialect::OpenAi.request("m", false)
}

#[test]
fn lengths_that_differ_or_are_no_numbers() {
    let door = Door::new();
    let body = hello();
    let length = body.len();
    for headers in [
        format!("content-length: {length}\r\ncontent-length: {}\r\n", length + 1),
        format!("content-length: {length}, {}\r\n", length + 1),
        format!("content-length: +{length}\r\n"),
        format!("content-length: -{length}\r\n"),
        format!("content-length: 0x{length:x}\r\n"),
        "content-length: \r\n".to_owned(),
        "content-length: many\r\n".to_owned(),
        format!("content-length: {length}_0\r\n"),
        format!("content-length: {length} {length}\r\n"),
        format!(
            "content-length: {}\r\n",
            u128::from(u64::MAX) + 1 + length as u128
        ),
        format!("content-length : {length}\r\n"),
    ] {
        door.refuses(call(&headers, &body));
    }
    door.still_serves();
}

#[test]
fn transfer_codings_that_are_not_chunked() {
    let door = Door::new();
    let body = hello();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for headers in [
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding:\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding: \u{b}chunked\r\n",
        "transfer-encoding: chunked\0\r\n",
        "transfer-encoding:\r\n chunked\r\n",
        " transfer-encoding: chunked\r\n",
        "x: y\rtransfer-encoding: chunked\r\n",
    ] {
        door.refuses(call(headers, &chunked));
    }
    door.refuses(call("transfer-encoding: chunked\r\n", &chunked).replace("HTTP/1.1", "HTTP/1.0"));
    door.still_serves();
}

#[test]
fn a_length_beside_chunks_never_makes_two_requests_of_one() {
    let door = Door::new();
    let body = hello();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for headers in [
        format!(
            "content-length: {}\r\ntransfer-encoding: chunked\r\n",
            chunked.len()
        ),
        format!(
            "transfer-encoding: chunked\r\ncontent-length: {}\r\n",
            chunked.len()
        ),
        "content-length: 4\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n".to_owned(),
    ] {
        let statuses = door.statuses(call(&headers, &chunked) + SMUGGLED);
        assert_eq!(statuses.len(), 1, "{headers}: {statuses:?}");
        match statuses[0].as_str() {
            "200" => assert_eq!(door.upstream.asked().text(), body),
            status => assert_eq!(status, "400"),
        }
        door.upstream.was_not_asked();
    }
    door.still_serves();
}

#[test]
fn chunks_that_are_malformed() {
    let door = Door::new();
    let body = hello();
    let length = body.len();
    for chunks in [
        format!("0x{length:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("+{length:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("-{length:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("0_{length:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("1{:016x}\r\n{body}\r\n0\r\n\r\n", length),
        format!("fffffffffffffffff\r\n{body}\r\n0\r\n\r\n"),
        format!("\r\n{body}\r\n0\r\n\r\n"),
        format!("{length:x}\r\n{body}0\r\n\r\n"),
        format!("{length:x}\n{body}\r\n0\r\n\r\n"),
        format!("{length:x};{}\r\n{body}\r\n0\r\n\r\n", "x".repeat(300 * 1024)),
        format!("{length:x};a\nb\r\n{body}\r\n0\r\n\r\n"),
        format!("{length:x}\r\n{body}\r\n0\r\nno trailer\r\n\r\n"),
    ] {
        door.refuses(call("transfer-encoding: chunked\r\n", &chunks));
    }
    door.still_serves();
}

#[test]
fn bodies_that_end_before_their_announced_end() {
    let door = Door::new();
    let body = hello();
    let length = body.len();
    for (headers, body) in [
        (
            "transfer-encoding: chunked\r\n".to_owned(),
            format!("{length:x}\r\n{body}\r\n"),
        ),
        (
            "transfer-encoding: chunked\r\n".to_owned(),
            format!("{length:x}\r\n{body}"),
        ),
        (
            "transfer-encoding: chunked\r\n".to_owned(),
            format!("ffffffffffffffff\r\n{body}\r\n0\r\n\r\n"),
        ),
        (format!("content-length: {}\r\n", length + 1), body),
    ] {
        let mut connection = door.gateway.connect();
        connection.write(call(&headers, &body).as_bytes());
        connection.end_writing();
        let answer = String::from_utf8_lossy(&connection.until_closed()).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{headers}{body}: {answer}"
        );
        door.upstream.was_not_asked();
    }
    door.still_serves();
}

#[test]
fn header_lines_that_are_malformed() {
    let door = Door::new();
    let body = hello();
    let length = format!("content-length: {}\r\n", body.len());
    for line in [
        "no colon\r\n",
        ": no name\r\n",
        "na me: 1\r\n",
        "n\0me: 1\r\n",
        "n\u{e9}me: 1\r\n",
        "name: a\rb\r\n",
        "name: a\0b\r\n",
        "name: 1\r\n folded\r\n",
    ] {
        door.refuses(call(&format!("{line}{length}"), &body));
    }
    door.still_serves();
}

#[test]
fn hosts_that_are_missing_doubled_or_malformed() {
    let door = Door::new();
    let body = hello();
    let with_hosts = |hosts: &str| {
        let length = body.len();
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\n{hosts}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    for hosts in [
        "",
        "host: a\r\nhost: b\r\n",
        "host: a\r\nhost: a\r\n",
        "host: a b\r\n",
        "host: a/b\r\n",
        "host: user@a\r\n",
        "host: a?b\r\n",
        "host: a, b\r\n",
    ] {
        door.refuses_one(&with_hosts(hosts));
    }
    for hosts in [
        "host: h\r\n",
        "Host: [::1]:8080\r\n",
        "host: gateway.example:443\r\n",
        "host: under_score\r\n",
    ] {
        let mut connection = door.gateway.connect();
        connection.write(with_hosts(hosts).as_bytes());
        assert_eq!(connection.response().expect("an answer").status(), 200, "{hosts}");
        door.upstream.asked();
    }
    door.still_serves();
}

#[test]
fn request_lines_that_are_malformed() {
    let door = Door::new();
    for line in [
        "POST /v1/chat/completions\r\n",
        "POST /v1/chat/completions HTTP/0.9\r\n",
        "POST /v1/chat/completions HTTP/1.9x\r\n",
        "POST /v1/chat/completions HTTP/2.0\r\n",
        "POST /v1/chat/completions HTTP/11\r\n",
        "POST /v1/chat completions HTTP/1.1\r\n",
        "POST\t/v1/chat/completions HTTP/1.1\r\n",
        "PO ST /v1/chat/completions HTTP/1.1\r\n",
        "/v1/chat/completions HTTP/1.1\r\n",
        "POST v1/chat/completions HTTP/1.1\r\n",
        "garbage\r\n",
    ] {
        let body = hello();
        door.refuses(format!(
            "{line}host: h\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
    }
    door.refuses(b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03hello over TLS\r\n\r\n");
    door.refuses([0u8; 64]);
    door.refuses([0xffu8; 64 * 1024]);
    door.still_serves();
}

#[test]
fn the_body_of_a_refused_request_is_not_the_next_request() {
    let door = Door::new();
    let length = SMUGGLED.len();
    for (path, headers) in [
        ("/nowhere", ""),
        (CHAT, "content-encoding: gzip\r\n"),
        (CHAT, "content-type: text/plain\r\n"),
    ] {
        door.refuses_one(&format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\n{headers}content-length: {length}\r\n\r\n{SMUGGLED}"
        ));
    }
    door.refuses_one(&format!(
        "GET {CHAT} HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{SMUGGLED}"
    ));
    door.still_serves();
}

#[test]
fn the_body_of_a_list_request_is_not_the_next_request() {
    let door = Door::new();
    let length = SMUGGLED.len();
    let list = format!("GET /v1/models HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{SMUGGLED}");
    let statuses = door.statuses(list);
    assert!(statuses == ["200"] || statuses == ["200", "404"], "{statuses:?}");
    door.still_serves();
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    let door = Door::new();
    let models = "GET /v1/models HTTP/1.1\r\nhost: h\r\n\r\n";
    let unknown = "GET /nowhere HTTP/1.1\r\nhost: h\r\n\r\n";
    let chat = call(&format!("content-length: {}\r\n", hello().len()), &hello());
    let mut connection: Connection = door.gateway.connect();
    connection.write([models, &chat, unknown, &chat, models].concat().as_bytes());
    let statuses: Vec<u16> = (0..5)
        .map(|_| connection.response().expect("an answer").status())
        .collect();
    assert_eq!(statuses, [200, 200, 404, 200, 200]);
}

#[test]
fn a_client_that_asks_before_it_sends_is_told_to_go_on_or_why_not() {
    let door = Door::new();
    let body = hello();
    let head = |length: usize| {
        call(
            &format!("expect: 100-continue\r\ncontent-length: {length}\r\n"),
            "",
        )
    };
    let mut connection = door.gateway.connect();
    connection.write(head(body.len()).as_bytes());
    assert_eq!(connection.response().expect("an answer").status(), 100);
    connection.write(body.as_bytes());
    assert_eq!(connection.response().expect("an answer").status(), 200);
    door.upstream.asked();

    let mut connection = door.gateway.connect();
    connection.write(head(100_000_000_000).as_bytes());
    assert_eq!(connection.response().expect("an answer").status(), 413);
    door.still_serves();
}

#[test]
fn an_old_client_is_served_and_its_connection_closed() {
    let door = Door::new();
    let body = hello();
    let length = body.len();
    let mut connection = door.gateway.connect();
    connection.write(format!("POST {CHAT} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes());
    let answer = String::from_utf8_lossy(&connection.until_closed()).into_owned();
    assert!(
        answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"),
        "{answer}"
    );
    assert!(
        !answer.to_ascii_lowercase().contains("transfer-encoding"),
        "{answer}"
    );
    assert_eq!(door.upstream.asked().text(), body);

    // A stream without a length and without chunks: it ends with the connection.
    let body = Dialect::OpenAi.request("m", true);
    let length = body.len();
    let mut connection = door.gateway.connect();
    connection.write(
        format!("POST {CHAT} HTTP/1.0\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes(),
    );
    let answer = String::from_utf8_lossy(&connection.until_closed()).into_owned();
    assert!(
        !answer.to_ascii_lowercase().contains("transfer-encoding"),
        "{answer}"
    );
    assert!(answer.ends_with("data: [DONE]\n\n"), "{answer}");
}

#[test]
fn two_codings_of_chunks_are_refused() {
    let door = Door::new();
    let body = hello();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for headers in [
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    ] {
        door.refuses(call(headers, &chunked));
    }
    door.still_serves();
}

#[test]
fn the_gateway_is_no_open_proxy() {
    let elsewhere = Upstream::good("never asked");
    let door = Door::new();
    let target = elsewhere.base().replace("http://", "").replace("/v1", "");
    door.refuses_one(&format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n"));
    door.refuses_one(&format!(
        "GET http://{target}/ HTTP/1.1\r\nhost: {target}\r\n\r\n"
    ));
    let body = hello();
    let mut connection = door.gateway.connect();
    let length = body.len();
    connection.write(
        format!("POST http://{target}/v1/chat/completions HTTP/1.1\r\nhost: {target}\r\ncontent-length: {length}\r\n\r\n{body}")
            .as_bytes(),
    );
    if connection
        .response()
        .is_some_and(|response| response.status() == 200)
    {
        // RFC 9112, 3.2.2: a server takes the absolute form as its own.
        door.upstream.asked();
    }
    elsewhere.was_not_asked();
    door.still_serves();
}

#[test]
fn an_expectation_that_nobody_can_meet_is_refused() {
    let door = Door::new();
    let body = hello();
    for expected in ["a-miracle", "100-continue, a-miracle", "200-ok"] {
        let request = call(
            &format!("expect: {expected}\r\ncontent-length: {}\r\n", body.len()),
            &body,
        );
        let statuses = door.statuses(request);
        assert_eq!(statuses.first().map(String::as_str), Some("417"), "{expected}");
        assert!(
            statuses.len() == 1 || statuses[1] == "404",
            "{expected}: {statuses:?}"
        );
        door.upstream.was_not_asked();
    }
    door.still_serves();
}

#[test]
fn what_follows_an_upgrade_that_is_ignored_is_a_request_like_any_other() {
    let upstream = Upstream::good("served");
    let config = format!(
        "models: {{m: {{provider: p}}}}\nconsumers: {{caller: {{key: consumer-key-0001, models: [m]}}}}\nproviders:\n{}",
        Dialect::OpenAi.provider("p", &upstream)
    );
    let door = Door {
        gateway: Setup::new(config).start(),
        upstream,
    };
    for protocol in ["websocket", "h2c", "TLS/1.0", "anything"] {
        let models = format!(
            "GET /v1/models HTTP/1.1\r\nhost: h\r\nauthorization: Bearer consumer-key-0001\r\n\
             connection: upgrade\r\nupgrade: {protocol}\r\n\r\n"
        );
        // Who was let in once is not let in for what follows.
        let statuses = door.statuses(models + SMUGGLED);
        assert_eq!(statuses[..2], ["200", "401"], "{protocol}");
        assert!(
            !statuses[2..].contains(&"200".to_owned()),
            "{protocol}: {statuses:?}"
        );
        door.upstream.was_not_asked();
    }
}

#[test]
fn a_client_cannot_name_our_headers_as_the_connections_own() {
    let upstream = Upstream::good("served");
    let config = format!(
        "models: {{m: {{provider: p}}}}\nproviders:\n  p: {{kind: openai-compatible, endpoint: \"{}\", key: provider-key, headers: {{x-tenant: ours}}}}\n",
        upstream.base()
    );
    let gateway = Setup::new(config).start();
    let body = hello();
    let request = call(
        &format!(
            "connection: authorization, x-tenant, content-type, host, content-length\r\nx-tenant: theirs\r\ncontent-length: {}\r\n",
            body.len()
        ),
        &body,
    );
    let mut connection = gateway.connect();
    connection.write(request.as_bytes());
    assert_eq!(connection.response().expect("an answer").status(), 200);
    let asked = upstream.asked();
    assert_eq!(asked.header("authorization"), Some("Bearer provider-key"));
    assert_eq!(asked.header("x-tenant"), Some("ours"));
    assert_eq!(asked.text(), body);
}

#[test]
fn a_trace_is_not_echoed() {
    let door = Door::new();
    for path in ["/", CHAT, "*"] {
        let mut connection = door.gateway.connect();
        let line = format!("TRACE {path} HTTP/1.1\r\nhost: h\r\nx-secret: not-to-be-echoed\r\n\r\n");
        connection.write(line.as_bytes());
        let answer = connection.response().expect("an answer");
        assert!(
            (400..500).contains(&answer.status()),
            "{path}: {}",
            answer.status()
        );
        assert!(!answer.text().contains("not-to-be-echoed"), "{path}");
    }
    door.still_serves();
}

#[test]
fn numbers_of_lengths_that_are_hard_to_read_are_refused() {
    let door = Door::new();
    let body = hello();
    let length = body.len();
    for value in [
        format!("{length},{length}"),
        format!("{length}, {length}"),
        format!("{length}."),
        format!("{length}e0"),
        format!("\u{b}{length}"),
        "18446744073709551615".to_owned(),
        "18446744073709551616".to_owned(),
        "9".repeat(4_000),
        "\u{661}".to_owned(),
    ] {
        let statuses = door.statuses(call(&format!("content-length: {value}\r\n"), &body));
        let shown = &value[..value.len().min(30)];
        assert!(
            statuses.is_empty() || statuses[0].starts_with('4') && statuses.len() <= 2,
            "{shown}: {statuses:?}"
        );
        door.upstream.was_not_asked();
    }
    door.still_serves();
}

#[test]
fn a_head_that_is_no_request_is_told_why() {
    let door = Door::new();
    for (head, status, code) in [
        ("GET / HTTP/1.1\r\nx y: z\r\n\r\n", 400, "malformed_request"),
        ("GET / HTTP/3.0\r\n\r\n", 505, "unknown_http_version"),
        (
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            400,
            "malformed_request",
        ),
    ] {
        let mut connection = door.gateway.connect();
        connection.write(head.as_bytes());
        let response = connection.response().expect("an answer");
        assert_eq!(response.status(), status, "{head:?}");
        assert_eq!(response.json()["error"]["code"], code, "{head:?}");
        assert!(connection.is_closed(), "{head:?}");
    }
    door.still_serves();
}

#[test]
fn a_client_that_is_still_sending_can_read_why_it_is_refused() {
    let door = Door::new();
    let mut connection = door.gateway.connect();
    // More than may come, so none of it is read.
    connection.write(call("content-length: 100000000\r\n", "").as_bytes());
    connection.write(&vec![b' '; 4 * 1024 * 1024]);
    let response = connection.response().expect("an answer");
    assert_eq!(response.status(), 413);
    assert_eq!(response.header("connection"), Some("close"));
    door.still_serves();
}
