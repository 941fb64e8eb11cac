//! Routes with an upstream and no AI plugin: calls are passed on as they are, both ways, as they stream.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use crate::harness::{Connection, Next, PATIENCE, Process, Request, Upstream, answers, post};

/// A gateway that runs a standalone file.
struct Gateway {
    process: Process,
    address: SocketAddr,
    _directory: TempDir,
}

impl Gateway {
    #[track_caller]
    fn start(objects: &str) -> Gateway {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("apisix.yaml");
        fs::write(&path, format!("{objects}\n#END\n")).expect("a file can be written");
        let path = path.to_str().expect("text");
        let process = Process::start(&["run", "--listen", "127.0.0.1:0", "--config", path], &[]);
        let line = process.stderr.with("listening on");
        let address = line.rsplit("http://").next().map(str::trim);
        let address = address.and_then(|address| address.parse().ok());
        Gateway {
            process,
            address: address.unwrap_or_else(|| panic!("no address in `{line}`")),
            _directory: directory,
        }
    }

    /// One route for everything, with these fields of its upstream.
    #[track_caller]
    fn passing(upstream: &str) -> Gateway {
        Gateway::start(&format!(
            "routes:\n  - id: r\n    uri: /*\n    upstream: {{{upstream}}}"
        ))
    }

    fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    fn socket(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address).expect("the gateway listens"))
    }
}

fn node(address: SocketAddr) -> String {
    format!("nodes: {{\"{address}\": 1}}")
}

fn address(upstream: &Upstream) -> SocketAddr {
    let base = upstream.base();
    let text = base.trim_start_matches("http://").trim_end_matches("/v1");
    text.parse().expect("an address")
}

/// A socket that is read byte for byte.
struct Wire {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    fn new(socket: TcpStream) -> Wire {
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Wire {
            socket,
            read: Vec::new(),
        }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket
            .write_all(bytes.as_ref())
            .expect("the other side reads");
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(length) => {
                self.read.extend_from_slice(&buffer[..length]);
                length > 0
            }
            Err(_) => false,
        }
    }

    /// Everything up to and with `end`.
    #[track_caller]
    fn until(&mut self, end: &str) -> String {
        loop {
            let found = self
                .read
                .windows(end.len())
                .position(|window| window == end.as_bytes());
            if let Some(found) = found {
                let taken = self.read.drain(..found + end.len()).collect();
                return String::from_utf8(taken).expect("text");
            }
            assert!(
                self.fill(),
                "ended before {end:?}: {:?}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    /// The head of a message.
    #[track_caller]
    fn head(&mut self) -> String {
        self.until("\r\n\r\n")
    }

    #[track_caller]
    fn chunk(&mut self) -> Vec<u8> {
        let line = self.until("\r\n");
        let length = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
        while self.read.len() < length + 2 {
            assert!(self.fill(), "a chunk was cut");
        }
        let chunk = self.read.drain(..length).collect();
        self.read.drain(..2);
        chunk
    }
}

/// A server that gives each connection to `serve`; with its address and the heads that `serve` tells.
fn server(serve: impl Fn(Wire) -> Option<String> + Send + Sync + 'static) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, told) = channel();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let (serve, tell) = (serve.clone(), tell.clone());
            std::thread::spawn(move || {
                if let Some(text) = serve(Wire::new(socket)) {
                    let _ = tell.send(text);
                }
            });
        }
    });
    (address, told)
}

#[test]
fn a_call_arrives_as_it_was_sent_with_who_sent_it() {
    let upstream = Upstream::saying(answers::answer(
        201,
        "x-own: 1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n",
        b"made",
    ));
    let gateway = Gateway::passing(&node(address(&upstream)));
    let mut client = gateway.socket();
    client.send(
        "PUT /a%20b/c?d=%2F&e HTTP/1.1\r\nhost: shop.example:8080\r\nx-mine: 1\r\nx-forwarded-for: 192.0.2.1\r\n\
         x-forwarded-proto: https\r\nx-forwarded-host: evil.example\r\nx-real-ip: 192.0.2.9\r\nforwarded: for=evil\r\n\
         content-length: 4\r\n\r\nbody",
    );
    let asked = upstream.asked();
    assert_eq!((asked.path.as_str(), asked.text()), ("/a%20b/c?d=%2F&e", "body"));
    for (name, value) in [
        ("host", Some("shop.example:8080")),
        ("x-mine", Some("1")),
        ("content-length", Some("4")),
        // A proxy on this machine may say who the client is, as in APISIX.
        ("x-forwarded-for", Some("192.0.2.1, 192.0.2.9")),
        ("x-real-ip", Some("192.0.2.9")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("shop.example:8080")),
        ("x-forwarded-port", Some("8080")),
        ("forwarded", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    assert!(
        head.contains("x-own: 1\r\n") && head.contains("set-cookie: a=1\r\nset-cookie: b=2\r\n"),
        "{head}"
    );
    assert!(head.contains("content-length: 4\r\n"), "{head}");
    assert!(
        !head.contains(&address(&upstream).to_string()),
        "no address is told: {head}"
    );
    assert_eq!(client.until("made"), "made");
}

#[test]
fn headers_of_one_connection_do_not_reach_the_other() {
    let upstream = Upstream::saying(answers::answer(
        200,
        "connection: keep-alive, x-secret\r\nkeep-alive: timeout=5\r\nx-secret: 1\r\nx-kept: 1\r\n",
        b"ok",
    ));
    let gateway = Gateway::passing(&node(address(&upstream)));
    let request = Request::new("GET", "/")
        .header("connection", "keep-alive, x-hop, upgrade")
        .header("upgrade", "websocket")
        .header("keep-alive", "300")
        .header("te", "trailers")
        .header("proxy-connection", "keep-alive")
        .header("x-hop", "1")
        .header("x-kept", "1");
    let response = gateway.connect().send(&request);
    assert_eq!((response.status(), response.text()), (200, "ok"));
    for name in ["keep-alive", "x-secret"] {
        assert_eq!(response.header(name), None, "{name}");
    }
    assert_eq!(response.header("x-kept"), Some("1"));
    let asked = upstream.asked();
    for name in [
        "connection",
        "keep-alive",
        "te",
        "proxy-connection",
        "x-hop",
        "upgrade",
    ] {
        assert_eq!(asked.header(name), None, "{name}");
    }
    assert_eq!(asked.header("x-kept"), Some("1"));
}

#[test]
fn both_bodies_stream_at_the_same_time() {
    let (address, _) = server(|mut wire| {
        let head = wire.head();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        loop {
            let chunk = wire.chunk();
            wire.send(answers::chunk(&chunk));
            if chunk.is_empty() {
                return None;
            }
        }
    });
    let gateway = Gateway::passing(&node(address));
    // Searches are often sent as the body of a GET.
    for method in ["POST", "GET"] {
        let mut client = gateway.socket();
        client.send(format!(
            "{method} / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
        ));
        client.head();
        // Each part is answered before the next one is sent.
        for part in ["first", "second", "third"] {
            client.send(answers::chunk(part));
            assert_eq!(client.chunk(), part.as_bytes());
        }
        client.send(answers::END_OF_CHUNKS);
        assert_eq!(client.chunk(), b"");
    }
}

#[test]
fn bodies_of_any_size_pass() {
    const SIZE: usize = 24 * 1024 * 1024;
    let upstream = Upstream::start(|asked, peer| {
        peer.send(&answers::answer(200, "", &asked.body));
        Next::Keep
    });
    let gateway = Gateway::passing(&node(address(&upstream)));
    let body: Vec<u8> = (0..SIZE).map(|place| (place / 7 % 251) as u8).collect();
    let response = gateway.connect().send(&post("/", body.clone()));
    assert_eq!(response.status(), 200);
    assert!(response.body == body, "the bytes come back as they were");
}

#[test]
fn a_node_that_refuses_is_passed_over_and_all_that_refuse_are_a_502() {
    let (refusing, good) = (
        Upstream::refusing(),
        Upstream::saying(answers::answer(200, "", b"second")),
    );
    let gateway = Gateway::passing(&format!(
        "nodes: [{{host: \"{}\", weight: 1, priority: 1}}, {{host: \"{}\", weight: 1}}]",
        address(&refusing),
        address(&good)
    ));
    for _ in 0..3 {
        let response = gateway.connect().send(&post("/", "to be sent again"));
        assert_eq!((response.status(), response.text()), (200, "second"));
        assert_eq!(response.header("x-apisix-upstream-status"), None);
        assert_eq!(good.asked().text(), "to be sent again");
    }
    let line = gateway.process.stdout.next();
    assert!(line.contains(&address(&good).to_string()), "{line}");
    let other = Upstream::refusing();
    let gateway = Gateway::passing(&format!(
        "nodes: {{\"{}\": 1, \"{}\": 1}}",
        address(&refusing),
        address(&other)
    ));
    let response = gateway.connect().send(&Request::new("GET", "/"));
    assert_eq!(response.status(), 502);
    assert_eq!(response.header("x-apisix-upstream-status"), Some("502, 502"));
    assert!(!response.text().contains("127.0.0.1"), "{}", response.text());
}

#[test]
fn a_request_that_may_change_something_is_not_sent_twice() {
    for (method, status) in [("GET", 200), ("POST", 502)] {
        let broken = Upstream::start(|_, _| Next::Reset);
        let good = Upstream::saying(answers::answer(200, "", b"ok"));
        let gateway = Gateway::passing(&format!(
            "nodes: [{{host: \"{}\", weight: 1, priority: 1}}, {{host: \"{}\", weight: 1}}]",
            address(&broken),
            address(&good)
        ));
        let response = gateway.connect().send(&Request::new(method, "/"));
        assert_eq!(response.status(), status, "{method}");
        broken.asked();
        if method == "POST" {
            good.was_not_asked();
        }
    }
}

#[test]
fn a_server_that_is_silent_is_a_504() {
    let upstream = Upstream::start(|_, peer| {
        peer.wait_until_closed();
        Next::Keep
    });
    let gateway = Gateway::passing(&format!(
        "{}, timeout: {{connect: 5, send: 5, read: 0.2}}",
        node(address(&upstream))
    ));
    let response = gateway.connect().send(&Request::new("GET", "/"));
    assert_eq!(response.status(), 504);
    assert_eq!(response.header("x-apisix-upstream-status"), Some("504"));
    upstream.was_left();
}

#[test]
fn an_upstream_without_nodes_is_a_503() {
    let response = Gateway::passing("nodes: {\"127.0.0.1:1\": 0}")
        .connect()
        .send(&Request::new("GET", "/"));
    assert_eq!(response.status(), 503);
}

#[test]
fn errors_of_the_server_are_passed_on_and_marked() {
    let upstream = Upstream::saying(answers::answer(503, "x-request-id: its-own\r\n", b"busy"));
    let gateway = Gateway::passing(&node(address(&upstream)));
    let response = gateway.connect().send(&Request::new("GET", "/"));
    assert_eq!((response.status(), response.text()), (503, "busy"));
    assert_eq!(response.header("x-apisix-upstream-status"), Some("503"));
    assert_eq!(response.header("x-request-id"), Some("its-own"));
}

#[test]
fn the_host_is_the_clients_the_nodes_or_a_given_one() {
    let upstream = Upstream::saying(answers::answer(200, "", b"ok"));
    let address = address(&upstream);
    for (pass_host, host) in [
        ("pass".to_owned(), "gateway.test".to_owned()),
        ("node".to_owned(), address.to_string()),
        (
            "rewrite, upstream_host: given.example".to_owned(),
            "given.example".to_owned(),
        ),
    ] {
        let gateway = Gateway::passing(&format!("{}, pass_host: {pass_host}", node(address)));
        assert_eq!(gateway.connect().send(&Request::new("GET", "/")).status(), 200);
        let asked = upstream.asked();
        assert_eq!(asked.header("host"), Some(host.as_str()), "{pass_host}");
        assert_eq!(asked.header("x-forwarded-host"), Some("gateway.test"));
        let port = gateway.address.port().to_string();
        assert_eq!(asked.header("x-forwarded-port"), Some(port.as_str()));
    }
}

#[test]
fn a_connection_to_the_server_serves_many_calls_but_no_more_than_configured() {
    let upstream = Upstream::saying(answers::answer(200, "", b"ok"));
    let gateway = Gateway::passing(&format!(
        "{}, keepalive_pool: {{size: 4, idle_timeout: 60, requests: 3}}",
        node(address(&upstream))
    ));
    // One connection, so that one worker serves all.
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.send(&Request::new("GET", "/")).status(), 200);
    }
    upstream.was_left();
    assert_eq!(client.send(&Request::new("GET", "/")).status(), 200);
}

#[test]
fn a_connection_that_the_server_closed_while_idle_fails_no_call() {
    let upstream = Upstream::start(|_, peer| {
        peer.send(&answers::answer(200, "", b"ok"));
        Next::Close
    });
    let gateway = Gateway::passing(&node(address(&upstream)));
    let mut client = gateway.connect();
    for _ in 0..20 {
        assert_eq!(client.send(&Request::new("GET", "/")).status(), 200);
    }
}

#[test]
fn clients_of_http_2_are_served_by_servers_of_http_1() {
    let upstream = Upstream::saying(answers::answer(200, "connection: keep-alive\r\n", b"answered"));
    let gateway = Gateway::passing(&node(address(&upstream)));
    let output = Command::new("curl")
        .args([
            "-s",
            "--http2-prior-knowledge",
            "-H",
            "cookie: a=1",
            "-d",
            "some words",
        ])
        .args(["-w", " %{http_code} %{http_version}"])
        .arg(format!("http://{}/path?query", gateway.address))
        .output()
        .expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "answered 200 2");
    let asked = upstream.asked();
    assert_eq!((asked.path.as_str(), asked.text()), ("/path?query", "some words"));
    let authority = gateway.address.to_string();
    assert_eq!(asked.header("host"), Some(authority.as_str()));
    assert_eq!(asked.header("cookie"), Some("a=1"));
}

#[test]
fn a_client_that_waits_to_continue_is_told_to() {
    let upstream = Upstream::saying(answers::answer(200, "", b"ok"));
    let gateway = Gateway::passing(&node(address(&upstream)));
    let mut client = gateway.socket();
    client.send("POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send("body");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    let asked = upstream.asked();
    assert_eq!((asked.text(), asked.header("expect")), ("body", None));
}

#[test]
fn a_request_that_breaks_off_is_the_clients_mistake() {
    let upstream = Upstream::saying(answers::answer(200, "", b"ok"));
    let gateway = Gateway::passing(&node(address(&upstream)));
    let mut client = gateway.connect();
    client.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nhalf");
    client.end_writing();
    if let Some(response) = client.response() {
        assert_eq!(response.status(), 400, "{}", response.text());
        assert_eq!(response.header("x-apisix-upstream-status"), None);
    }
    upstream.was_not_asked();
}

#[test]
fn methods_that_open_tunnels_or_echo_are_refused() {
    let upstream = Upstream::saying(answers::answer(200, "", b"ok"));
    let gateway = Gateway::passing(&node(address(&upstream)));
    let response = gateway.connect().send(&Request::new("TRACE", "/"));
    assert_eq!(response.status(), 405);
    let mut client = gateway.socket();
    client.send("CONNECT elsewhere.example:443 HTTP/1.1\r\nhost: elsewhere.example:443\r\n\r\n");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 4"), "{head}");
    upstream.was_not_asked();
}

#[test]
fn calls_of_the_same_key_go_to_the_same_node() {
    let servers = [b"a", b"b", b"c"].map(|name| Upstream::saying(answers::answer(200, "", name)));
    let nodes: Vec<String> = servers
        .iter()
        .map(|server| format!("\"{}\": 1", address(server)))
        .collect();
    let gateway = Gateway::passing(&format!(
        "nodes: {{{}}}, type: chash, hash_on: header, key: X-User",
        nodes.join(", ")
    ));
    let ask = |user: &str| {
        let response = gateway
            .connect()
            .send(&Request::new("GET", "/").header("x-user", user));
        response.text().to_owned()
    };
    let mut used = std::collections::BTreeSet::new();
    for user in 0..40 {
        let user = format!("user-{user}");
        let node = ask(&user);
        assert_eq!(ask(&user), node);
        used.insert(node);
    }
    assert_eq!(used.len(), 3, "all nodes are used");
}

#[test]
fn nodes_take_turns_by_weight() {
    let servers = [b"a", b"b"].map(|name| Upstream::saying(answers::answer(200, "", name)));
    let gateway = Gateway::passing(&format!(
        "nodes: [{{host: \"{}\", weight: 3}}, {{host: \"{}\", weight: 1}}]",
        address(&servers[0]),
        address(&servers[1])
    ));
    let answers: String = (0..16)
        .map(|_| {
            gateway
                .connect()
                .send(&Request::new("GET", "/"))
                .text()
                .to_owned()
        })
        .collect();
    assert_eq!(answers.matches('a').count(), 12, "{answers}");
}

#[test]
fn answers_without_body_end_at_their_head() {
    for (method, answer, told) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n",
            "content-length: 1000\r\n",
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", "204 No Content"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n",
            "etag: \"1\"",
        ),
    ] {
        let upstream = Upstream::saying(answer);
        let gateway = Gateway::passing(&node(address(&upstream)));
        let mut client = gateway.socket();
        for _ in 0..2 {
            client.send(format!("{method} / HTTP/1.1\r\nhost: h\r\n\r\n"));
            let head = client.head();
            assert!(head.contains(told), "{head}");
        }
    }
}

#[test]
fn an_answer_that_breaks_off_is_seen_to_break_off() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let upstream = Upstream::start(move |_, peer| {
            peer.send(answer.as_bytes());
            Next::Close
        });
        let gateway = Gateway::passing(&node(address(&upstream)));
        let mut client = gateway.connect();
        client.write(&Request::new("GET", "/").bytes());
        let all = String::from_utf8(client.until_closed()).expect("text");
        assert!(all.contains("half") && !all.ends_with("0\r\n\r\n"), "{all}");
    }
}

#[test]
fn a_client_that_leaves_ends_the_servers_work() {
    let (begun_here, begun) = channel();
    let begun_here = std::sync::Mutex::new(begun_here);
    let upstream = Upstream::start(move |asked, peer| {
        if asked.path == "/begun" {
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun");
        }
        begun_here
            .lock()
            .expect("one thread")
            .send(())
            .expect("the test waits");
        peer.wait_until_closed();
        Next::Keep
    });
    let gateway = Gateway::passing(&node(address(&upstream)));
    for path in ["/waiting", "/begun"] {
        let mut client = gateway.connect();
        client.write(&Request::new("GET", path).bytes());
        begun.recv_timeout(PATIENCE).expect("the server is asked");
        drop(client);
        upstream.was_left();
    }
}

/// A server that agrees to every upgrade and says back what it hears.
fn parrot() -> (SocketAddr, Receiver<String>) {
    server(|mut wire| {
        let head = wire.head();
        wire.send("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: yes\r\n\r\nhello");
        loop {
            if !wire.read.is_empty() {
                let heard = std::mem::take(&mut wire.read);
                wire.send(&heard);
            }
            if !wire.fill() {
                wire.send("bye");
                return Some(head);
            }
        }
    })
}

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n";

#[test]
fn a_websocket_carries_bytes_both_ways_until_its_sides_end() {
    let (address, heads) = parrot();
    let gateway = Gateway::start(&format!(
        "routes:\n  - id: r\n    uri: /*\n    enable_websocket: true\n    upstream: {{{}}}",
        node(address)
    ));
    let mut client = gateway.socket();
    // What follows the request at once belongs to the tunnel.
    client.send(format!("{UPGRADE}early "));
    let head = client.head();
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.contains("sec-websocket-accept: yes"),
        "{head}"
    );
    assert!(
        head.to_ascii_lowercase().contains("upgrade: websocket\r\n"),
        "{head}"
    );
    assert_eq!(client.until("early "), "helloearly ");
    for word in ["one ", "two ", "three "] {
        client.send(word);
        assert_eq!(client.until(word), word);
    }
    client.socket.shutdown(Shutdown::Write).expect("an open socket");
    assert_eq!(client.until("bye"), "bye", "the other direction stays open");
    assert!(!client.fill(), "then it ends");
    let head = heads
        .recv_timeout(PATIENCE)
        .expect("the server ends")
        .to_ascii_lowercase();
    assert!(
        head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"),
        "{head}"
    );
    assert!(head.contains("sec-websocket-key: k\r\n"), "{head}");
    let line = gateway.process.stdout.next();
    assert!(line.contains(" 101 "), "{line}");
}

#[test]
fn an_upgrade_nobody_allowed_is_no_tunnel() {
    let (address, _) = parrot();
    let gateway = Gateway::passing(&node(address));
    let mut client = gateway.socket();
    client.send(UPGRADE);
    assert!(client.head().starts_with("HTTP/1.1 502 "));
}

#[test]
fn a_server_that_hangs_up_ends_the_tunnel() {
    let (address, _) = server(|mut wire| {
        wire.head();
        wire.send("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nlast words");
        None
    });
    let gateway = Gateway::start(&format!(
        "routes:\n  - id: r\n    uri: /*\n    enable_websocket: true\n    upstream: {{{}}}",
        node(address)
    ));
    let mut client = gateway.socket();
    client.send(UPGRADE.replace("websocket", "x"));
    client.head();
    assert_eq!(client.until("last words"), "last words");
    assert!(!client.fill(), "the end reaches the client");
}

#[test]
fn an_open_tunnel_does_not_outlast_the_drain() {
    let (address, _) = parrot();
    let gateway = Gateway::start(&format!(
        "routes:\n  - id: r\n    uri: /*\n    enable_websocket: true\n    upstream: {{{}}}",
        node(address)
    ));
    let mut client = gateway.socket();
    client.send(UPGRADE);
    client.until("hello");
    gateway.process.signal("TERM");
    client.send("still here ");
    assert_eq!(client.until("still here "), "still here ");
    client.socket.shutdown(Shutdown::Both).expect("an open socket");
    assert_eq!(gateway.process.finish().status.code(), Some(0));
}

#[test]
fn servers_are_reached_over_tls_and_verified_only_when_asked() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: String| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("a file can be written");
        path.to_str().expect("text").to_owned()
    };
    let certificate = file("cert.pem", cert.pem());
    let key = file("key.pem", signing_key.serialize_pem());
    let config = file(
        "tollgate.yaml",
        format!(
            "models:\n  far-away: {{provider: simulated}}\nauth: none\nserver:\n  tls: {{cert_file: {certificate}, key_file: {key}}}\n"
        ),
    );
    let server = Process::start(&["run", "--listen", "127.0.0.1:0", "--config", &config], &[]);
    let line = server.stderr.with("listening on");
    let port = line.rsplit(':').next().expect("a port").trim();
    for (tls, status) in [
        ("", 200),
        (", tls: {verify: false}", 200),
        (", tls: {verify: true}", 502),
    ] {
        let gateway = Gateway::passing(&format!(
            "nodes: {{\"127.0.0.1:{port}\": 1}}, scheme: https, pass_host: rewrite, upstream_host: localhost{tls}"
        ));
        let response = gateway.connect().send(&Request::new("GET", "/v1/models"));
        assert_eq!(response.status(), status, "{tls}: {}", response.text());
        assert_eq!(response.text().contains("far-away"), status == 200);
    }
}
