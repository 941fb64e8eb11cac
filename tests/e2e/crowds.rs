//! Many clients at once, slow ones, and too little of what connections are made of.

use std::net::TcpStream;

use socket2::SockRef;

use crate::harness::{Connection, Dialect, Gateway, Next, Request, Setup, Upstream, answers, post};

const LIMITS: &str = "tollgate_limits_reached_total";

fn simulated() -> Setup {
    Setup::new("models: {m: {provider: simulated}}\nauth: none\nmetrics: {listen: \"127.0.0.1:0\"}")
}

fn models() -> Request {
    Request::new("GET", "/v1/models")
}

/// Connections that have had an answer and wait.
fn waiting(gateway: &Gateway, count: usize) -> Vec<Connection> {
    (0..count)
        .map(|_| {
            let mut connection = gateway.connect();
            assert_eq!(connection.send(&models()).status(), 200);
            connection
        })
        .collect()
}

/// Tries new connections until one is served: the gateway sees a moment later that others were closed.
#[track_caller]
fn is_served_soon(gateway: &Gateway) -> Connection {
    let begun = std::time::Instant::now();
    loop {
        let mut connection = gateway.connect();
        connection.write(&models().bytes());
        if let Some(answer) = connection.response() {
            assert_eq!(answer.status(), 200);
            return connection;
        }
        assert!(
            begun.elapsed() < crate::harness::PATIENCE,
            "nobody is served any more"
        );
    }
}

fn limit(name: &str) -> String {
    format!("{LIMITS}{{limit=\"{name}\"}}")
}

#[test]
fn connections_beyond_the_limit_are_closed_and_counted_and_others_go_on() {
    let gateway = simulated().server("max_connections: 4").start();
    let mut first = waiting(&gateway, 3);
    first.extend(waiting(&gateway, 1));
    gateway.counts(&limit("max_connections"), 0);
    for refused in 1..=3 {
        assert!(gateway.connect().is_closed());
        // What tells the numbers is not one of them.
        gateway.counts(&limit("max_connections"), refused);
    }
    for connection in &mut first {
        assert_eq!(connection.send(&models()).status(), 200);
    }
    gateway.stderr().times("max_connections", 1);
    drop(first.pop());
    drop(is_served_soon(&gateway));
    let finished = gateway.stop();
    assert_eq!(finished.stderr.matches("`max_connections` allows").count(), 1);
}

#[test]
fn without_descriptors_nothing_is_accepted_and_open_streams_go_on() {
    let (upstream, proceed) = Upstream::paused("first words", "last words");
    let gateway = Setup::new(format!(
        "models: {{m: {{provider: p}}}}\nproviders:\n{}auth: none\n",
        Dialect::OpenAi.provider("p", &upstream)
    ))
    .server("max_connections: 1000, workers: 1")
    .open_files(64)
    .start();
    gateway.stderr().with("ulimit -n");
    let mut stream = gateway
        .connect()
        .stream(&post(Dialect::OpenAi.path(), Dialect::OpenAi.request("m", true)));
    stream.until("first words");
    let crowd: Vec<Connection> = (0..100).map(|_| gateway.connect()).collect();
    gateway.stderr().with("no connection can be accepted");
    proceed.send(()).expect("the provider waits");
    let rest = stream.rest();
    assert!(rest.iter().any(|event| event.data.contains("last words")));
    assert_eq!(rest.last().map(|event| &*event.data), Some("[DONE]"));
    drop(crowd);
    assert_eq!(gateway.send(&models()).status(), 200);
    gateway.stderr().with("connections are accepted again");
    let finished = gateway.stop();
    // It pauses and tells so, instead of trying again and again.
    assert_eq!(
        finished.stderr.matches("no connection can be accepted").count(),
        finished.stderr.matches("connections are accepted again").count(),
        "{}",
        finished.stderr
    );
}

#[test]
fn as_many_connections_are_taken_as_there_are_descriptors_for() {
    let gateway = simulated().open_files(64).start();
    let first = waiting(&gateway, 16);
    assert!(gateway.connect().is_closed());
    gateway.counts(&limit("max_connections"), 1);
    drop(first);
    is_served_soon(&gateway);
    gateway.stop();
}

#[test]
fn idle_sockets_resets_and_hanging_providers_do_not_disturb_others() {
    let hanging = Upstream::start(|_, peer| {
        peer.wait_until_closed();
        Next::Keep
    });
    let gateway = Setup::new(format!(
        "models: {{m: {{provider: simulated}}, hanging: {{provider: p}}}}\nproviders:\n{}auth: none\n",
        Dialect::OpenAi.provider("p", &hanging)
    ))
    .start();
    let idle: Vec<Connection> = (0..300).map(|_| gateway.connect()).collect();
    let waiting: Vec<Connection> = (0..80)
        .map(|_| {
            let mut connection = gateway.connect();
            let body = Dialect::OpenAi.request("hanging", false);
            connection.write(&post(Dialect::OpenAi.path(), body).bytes());
            connection
        })
        .collect();
    for _ in 0..80 {
        hanging.asked();
    }
    for _ in 0..200 {
        let socket = TcpStream::connect(gateway.address).expect("a connection");
        SockRef::from(&socket)
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("a socket");
    }
    for dialect in Dialect::BOTH {
        for stream in [false, true] {
            let response = gateway.send(&post(dialect.path(), dialect.request("m", stream)));
            assert_eq!(response.status(), 200);
        }
    }
    drop((idle, waiting));
    for _ in 0..80 {
        hanging.was_left();
    }
    gateway.stop();
}

#[test]
fn a_client_that_is_slow_to_ask_is_left_and_counted() {
    let gateway = simulated()
        .server("header_timeout: 300ms, body_timeout: 300ms, idle_timeout: 300ms")
        .start();
    assert!(gateway.connect().is_closed());
    gateway.counts(&limit("idle_timeout"), 1);
    let mut head = gateway.connect();
    head.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nx-slow");
    assert!(head.is_closed());
    gateway.counts(&limit("header_timeout"), 1);
    for dialect in Dialect::BOTH {
        let mut body = gateway.connect();
        let whole = post(dialect.path(), dialect.request("m", false)).bytes();
        body.write(&whole[..whole.len() - 1]);
        let answer = body.response().expect("an answer");
        assert_eq!(answer.status(), 408, "{}", answer.text());
        dialect.error_message(&answer.body);
    }
    gateway.counts(&limit("body_timeout"), 2);
    assert_eq!(gateway.send(&models()).status(), 200);
    gateway.stop();
}

#[test]
fn a_client_that_reads_nothing_stops_its_provider_and_is_left() {
    let upstream = Upstream::start(|asked, peer| {
        let events = answers::events(asked.dialect(), &["word "]);
        peer.send(answers::stream_head().as_bytes());
        peer.send(&answers::chunk(events.before.concat()));
        let many = answers::chunk(events.content.concat().repeat(100));
        // Ends because the gateway takes nothing more for a client that takes nothing, and then leaves.
        while peer.try_send(&many) {}
        Next::Close
    });
    let gateway = Setup::new(format!(
        "models: {{m: {{provider: p}}}}\nproviders:\n{}auth: none\nmetrics: {{listen: \"127.0.0.1:0\"}}",
        Dialect::OpenAi.provider("p", &upstream)
    ))
    .server("send_timeout: 300ms")
    .start();
    let before = gateway.memory();
    let mut connection = gateway.connect();
    connection.write(&post(Dialect::OpenAi.path(), Dialect::OpenAi.request("m", true)).bytes());
    let line = gateway.logged();
    assert_eq!(line["outcome"], "client_gone", "{line}");
    gateway.counts(&limit("send_timeout"), 1);
    assert!(gateway.memory() < before + 16 * 1024 * 1024);
    gateway.stop();
}

#[test]
fn heads_are_refused_from_the_first_byte_beyond_the_limit_and_counted() {
    let gateway = simulated()
        .server("max_header: 8KiB, max_headers: 5, max_uri: 512B")
        .start();
    let target = |length: usize| Request::new("GET", &format!("/v1/models?{}", "q".repeat(length - 11)));
    for (length, status) in [(511, 200), (512, 200), (513, 414), (5_000, 414)] {
        assert_eq!(
            gateway.send(&target(length)).status(),
            status,
            "a target of {length} bytes"
        );
    }
    gateway.counts(&limit("max_uri"), 2);
    let lines = |count: usize| {
        // `Host` and `Content-Length` are lines too.
        (2..count).fold(models(), |request, number| {
            request.header(&format!("x-{number}"), "1")
        })
    };
    for (count, status) in [(4, 200), (5, 200), (6, 431), (200, 431)] {
        assert_eq!(gateway.send(&lines(count)).status(), status, "{count} lines");
    }
    gateway.counts(&limit("max_headers"), 2);
    let head = |length: usize| {
        let rest = models().header("x-long", "").bytes().len();
        models().header("x-long", &"v".repeat(length - rest))
    };
    for (length, status) in [(8_191, 200), (8_192, 200), (8_193, 431), (100_000, 431)] {
        assert_eq!(head(length).bytes().len(), length);
        assert_eq!(
            gateway.send(&head(length)).status(),
            status,
            "a head of {length} bytes"
        );
    }
    gateway.counts(&limit("max_header"), 2);
    gateway.counts("tollgate_connections_broken_total{reason=\"malformed\"}", 0);
    gateway.connect().write(b"garbage\r\n\r\n");
    gateway.counts("tollgate_connections_broken_total{reason=\"malformed\"}", 1);
    gateway.stop();
}

#[test]
fn a_client_that_has_ended_its_side_has_left_unless_it_is_said_otherwise() {
    for half_close in [false, true] {
        let (asked_here, asked) = std::sync::mpsc::channel();
        let (proceed, told) = std::sync::mpsc::channel::<()>();
        let both = std::sync::Mutex::new((asked_here, told));
        let upstream = Upstream::start(move |asked, peer| {
            let both = both.lock().expect("one thread");
            both.0.send(()).expect("the test waits");
            if half_close {
                both.1
                    .recv_timeout(crate::harness::PATIENCE)
                    .expect("the test goes on");
                peer.send(&answers::good(asked, "served"));
            } else {
                peer.wait_until_closed();
            }
            Next::Keep
        });
        let gateway = Setup::new(format!(
            "models: {{m: {{provider: p}}}}\nproviders:\n{}auth: none\n",
            Dialect::OpenAi.provider("p", &upstream)
        ))
        .server(&format!("half_close: {half_close}"))
        .start();
        let mut connection = gateway.connect();
        connection.write(&post(Dialect::OpenAi.path(), Dialect::OpenAi.request("m", false)).bytes());
        asked.recv().expect("the provider is asked");
        connection.end_writing();
        if half_close {
            proceed.send(()).expect("the provider waits");
            assert_eq!(connection.response().expect("an answer").status(), 200);
        } else {
            upstream.was_left();
            assert!(connection.is_closed());
        }
        let line = gateway.logged();
        let outcome = if half_close { "ok" } else { "client_gone" };
        assert_eq!(line["outcome"], outcome, "{line}");
        gateway.stop();
    }
}
