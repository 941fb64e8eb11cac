//! A client that leaves, in every phase of a call: the instance it waits for sees its connection closed, no other one is
//! asked, and the call is accounted for once.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::before::SENDING_BYTES;
use super::wire::Api;
use super::{ALL, LANES, Lane, Logged, UNSEEN, good, node};
use crate::apisix::Node;
use crate::harness::{Connection, Next, PATIENCE, Upstream, answers, post};

/// What the client waits for when it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connection,
    Sending,
    Head,
    WholeAnswer,
    FirstContent,
    NextContent,
}

use Phase::{Connection as ToConnect, FirstContent, Head, NextContent, Sending, WholeAnswer};

/// An instance that lets clients wait, and tells when it has been reached, and when it has been left.
struct Waiting {
    base: String,
    reached: Receiver<()>,
    left: Receiver<()>,
    _upstream: Option<Upstream>,
}

impl Waiting {
    fn new(phase: Phase) -> Waiting {
        let (reached_here, reached) = channel();
        let (left_here, left) = channel();
        if matches!(phase, ToConnect | Sending) {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address");
            thread::spawn(move || {
                for mut socket in listener.incoming().map_while(Result::ok) {
                    // The first bytes of a handshake, or of a request of which the rest is not taken until the client is gone.
                    let _ = socket.read(&mut [0; 512]);
                    let _ = reached_here.send(());
                    while socket.read(&mut [0; 65536]).is_ok_and(|length| length > 0) {}
                    let _ = left_here.send(());
                }
            });
            let scheme = if phase == ToConnect { "https" } else { "http" };
            return Waiting {
                base: format!("{scheme}://{address}"),
                reached,
                left,
                _upstream: None,
            };
        }
        let (reached_here, left_here) = (Mutex::new(reached_here), Mutex::new(left_here));
        let upstream = Upstream::start(move |asked, peer| {
            let api = Api::of(asked);
            let parts = api.parts("some words of the answer ");
            match phase {
                WholeAnswer => {
                    let answer = answers::json_answer(200, &api.whole(UNSEEN));
                    peer.send(&answer[..answer.len() / 2]);
                }
                FirstContent => peer.send(&[api.stream_head(), answers::chunk(parts.before)].concat()),
                NextContent => {
                    peer.send(&api.stream_head());
                    peer.send(&answers::chunk([parts.before, parts.content].concat()));
                }
                ToConnect | Sending | Head => {}
            }
            let _ = reached_here.lock().expect("one thread").send(());
            peer.wait_until_closed();
            let _ = left_here.lock().expect("one thread").send(());
            Next::Close
        });
        Waiting {
            base: format!("http://{}", upstream.address()),
            reached,
            left,
            _upstream: Some(upstream),
        }
    }

    #[track_caller]
    fn is_reached(&self, case: &str) {
        let reached = self.reached.recv_timeout(PATIENCE);
        reached.unwrap_or_else(|_| panic!("{case}: the instance is not asked"));
    }

    #[track_caller]
    fn is_left(&self, case: &str) {
        let left = self.left.recv_timeout(PATIENCE);
        left.unwrap_or_else(|_| panic!("{case}: the connection is not closed"));
    }
}

#[test]
fn the_instance_is_left_in_every_phase_and_the_call_is_accounted_once() {
    let node = node(None);
    let next = good();
    for phase in [ToConnect, Sending, Head, WholeAnswer, FirstContent, NextContent] {
        let lanes = if phase == Sending { &LANES[..1] } else { &LANES[..] };
        let waiting = Waiting::new(phase);
        for lane in lanes {
            let name = format!("left-{phase:?}");
            let rule: Value = serde_json::from_str(ALL).expect("JSON");
            lane.route(&node, &name, &waiting.base, &next, &rule);
            let streams: &[bool] = match phase {
                ToConnect | Sending | Head => &[false, true],
                WholeAnswer => &[false],
                FirstContent | NextContent => &[true],
            };
            for stream in streams {
                leave(&node, &waiting, phase, *lane, *stream);
            }
        }
    }
    next.was_not_asked();
    let stdout = node.stop().stdout;
    for line in stdout.lines().filter(|line| line.starts_with("/left-")) {
        let path = line.split('|').next().unwrap_or_default();
        assert_eq!(
            stdout.matches(&format!("{path}|")).count(),
            1,
            "{path} is told once:\n{stdout}"
        );
    }
}

#[track_caller]
fn leave(node: &Node, waiting: &Waiting, phase: Phase, lane: Lane, stream: bool) {
    let mode = if stream { "stream" } else { "whole" };
    let path = format!("/left-{phase:?}/{}/{mode}{}", lane.path, lane.client.path(stream));
    let case = format!("{phase:?}: {}, {mode}", lane.name);
    let prompt = match phase {
        Sending => "a".repeat(SENDING_BYTES),
        _ => "Hello".to_owned(),
    };
    let request = post(&path, lane.client.request(stream, &prompt));
    let mut client = Connection::open(node.calls);
    if phase == NextContent {
        let mut stream = client.stream(&request);
        stream.bytes_until(b"some words");
        waiting.is_reached(&case);
        drop(stream);
    } else {
        client.write(&request.bytes());
        waiting.is_reached(&case);
        drop(client);
    }
    waiting.is_left(&case);
    let line = Logged::of(&node.process.stdout, &path);
    let status = if phase == NextContent { "200" } else { "499" };
    assert_eq!(
        (&*line.status, &*line.outcome),
        (status, "client_gone"),
        "{case}: {line:?}"
    );
    assert_eq!(line.attempts, "failing=cancelled", "{case}: {line:?}");
    if phase == ToConnect {
        assert_eq!(line.usage, "-", "nothing was given to anybody, {case}: {line:?}");
        return;
    }
    assert_eq!(line.usage, "estimated", "{case}: {line:?}");
    assert!(line.prompt_tokens > 0, "{case}: {line:?}");
    let has_output = line.completion_tokens > 0;
    assert_eq!(has_output, phase == NextContent, "{case}: {line:?}");
}

/// Only one call at a time, and tokens for the reservation of one.
fn for_one_call() -> Value {
    json!({
        "limit-conn": {"conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr", "rejected_code": 429},
        "ai-rate-limiting": {"limit": 1500, "time_window": 3600, "admission": "reserve", "rejected_code": 429},
    })
}

#[test]
fn what_a_call_held_is_given_back_when_its_client_leaves() {
    let node = node(None);
    for phase in [ToConnect, Head, WholeAnswer, FirstContent, NextContent] {
        let waiting = Waiting::new(phase);
        let mut plugins = for_one_call();
        plugins["ai-proxy"] = LANES[0].instance("alone", &waiting.base, 0);
        let uri = format!("/held-{phase:?}/v1/chat/completions");
        node.put(
            &format!("/routes/held-{phase:?}"),
            &json!({"uri": uri, "plugins": plugins}),
        );
        let stream = matches!(phase, FirstContent | NextContent);
        let call = json!({
            "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1000, "stream": stream,
        });
        let request = post(&uri, call.to_string());
        let case = format!("{phase:?}");
        let mut client = Connection::open(node.calls);
        client.write(&request.bytes());
        waiting.is_reached(&case);
        let second = node.send(&request);
        assert_eq!(second.status(), 429, "all is held, {case}: {}", second.text());
        drop(client);
        waiting.is_left(&case);
        let next = admitted(&node, &waiting, &request.bytes(), &case);
        let further = node.send(&request);
        assert_eq!(
            further.status(),
            429,
            "it was given back once, {case}: {}",
            further.text()
        );
        drop(next);
        waiting.is_left(&case);
    }
    node.stop();
}

/// A call that has reached the instance. What the one before it held may be given back a moment after the instance was left.
#[track_caller]
fn admitted(node: &Node, waiting: &Waiting, call: &[u8], case: &str) -> Connection {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = Connection::open(node.calls);
        client.write(call);
        if waiting.reached.recv_timeout(Duration::from_millis(500)).is_ok() {
            return client;
        }
        assert!(
            Instant::now() < deadline,
            "{case}: what the first call held is still held"
        );
        // If it is late and not refused, it reaches the instance now.
        drop(client);
    }
}

#[test]
fn a_client_that_leaves_within_its_own_request_reaches_no_instance() {
    let node = node(None);
    let next = good();
    for lane in LANES {
        let rule: Value = serde_json::from_str(ALL).expect("JSON");
        lane.route(&node, "own", &format!("http://{}", next.address()), &next, &rule);
        let path = format!("/own/{}{}", lane.path, lane.client.path(false));
        let whole = post(&path, lane.client.request(false, "Hello")).bytes();
        let mut client = Connection::open(node.calls);
        client.write(&whole[..whole.len() - 10]);
        drop(client);
        let line = Logged::of(&node.process.stdout, &path);
        assert_eq!((&*line.attempts, &*line.usage), ("-", "-"), "{line:?}");
    }
    next.was_not_asked();
    node.stop();
}

#[test]
fn a_server_that_gets_the_body_as_it_comes_is_left_too() {
    let (reached_here, reached) = channel();
    let (left_here, left) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            while socket.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
                let _ = reached_here.send(());
            }
            let _ = left_here.send(());
        }
    });
    let node = node(None);
    let upstream = json!({"type": "roundrobin", "nodes": {address.to_string(): 1}});
    node.put("/routes/1", &json!({"uri": "/upload", "upstream": upstream}));
    let mut client = TcpStream::connect(node.calls).expect("a connection");
    let head = "POST /upload HTTP/1.1\r\nhost: gateway.test\r\ncontent-length: 1000000\r\n\r\nthe beginning";
    client.write_all(head.as_bytes()).expect("a connection");
    reached.recv_timeout(PATIENCE).expect("the server is asked");
    drop(client);
    left.recv_timeout(PATIENCE)
        .expect("the gateway closes the connection");
    let line = Logged::of(&node.process.stdout, "/upload");
    assert_eq!(line.outcome, "client_gone", "{line:?}");
    node.stop();
}

#[test]
fn a_client_of_http_2_that_leaves_one_call_stops_it() {
    let node = node(None);
    let next = good();
    for phase in [Head, FirstContent, NextContent] {
        let waiting = Waiting::new(phase);
        let lane = LANES[0];
        let name = format!("two-{phase:?}");
        let rule: Value = serde_json::from_str(ALL).expect("JSON");
        lane.route(&node, &name, &waiting.base, &next, &rule);
        let path = format!("/{name}/{}{}", lane.path, lane.client.path(true));
        let mut curl = Command::new("curl")
            .args([
                "-sN",
                "--http2-prior-knowledge",
                "-H",
                "content-type: application/json",
            ])
            .args(["-d", &lane.client.request(true, "Hello")])
            .arg(format!("http://{}{path}", node.calls))
            .stdout(Stdio::null())
            .spawn()
            .expect("curl runs");
        waiting.is_reached(&name);
        curl.kill().expect("a child can be ended");
        curl.wait().expect("a child can be waited for");
        waiting.is_left(&name);
        let line = Logged::of(&node.process.stdout, &path);
        assert_eq!(line.outcome, "client_gone", "{line:?}");
    }
    next.was_not_asked();
    node.stop();
}
