//! How long it takes until a provider sees that the client has left: `cargo bench -p tollgate --bench leaving`.
//!
//! The real binary between real sockets on this machine. The time begins before the client closes its connection, and ends
//! when the provider, which waits for nothing else, reads the end of its own. The numbers are told in `docs/reliability.md`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that is made of what tests are made of"
)]

#[expect(dead_code, unused_imports, reason = "tests need more of it")]
mod harness;
#[expect(dead_code, reason = "tests need more of it")]
#[path = "apisix/node.rs"]
mod node;

use std::io::Read;
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::json;

use harness::{Asked, Connection, Dialect, Next, PATIENCE, Peer, Upstream, answers, post};
use node::{Node, NodeSetup};

/// Calls that are left in each phase.
const TIMES: usize = 200;

/// More than the buffers of both sides of a connection on this machine take.
const SENDING_BYTES: usize = 12 * 1024 * 1024;

/// What a provider sends before the client leaves.
type Begins = fn(&Asked, &mut Peer);

/// A phase in which the client leaves.
struct Phase {
    what: &'static str,
    /// Whether a stream is asked for.
    stream: bool,
    begins: Begins,
    /// Whether the provider goes on sending until nobody takes it any more.
    never_pauses: bool,
}

const PHASES: [Phase; 5] = [
    Phase {
        what: "the head of the answer is waited for",
        stream: false,
        begins: |_, _| {},
        never_pauses: false,
    },
    Phase {
        what: "a whole answer is being read",
        stream: false,
        begins: |asked, peer| {
            let answer = answers::good(asked, "half of this");
            peer.send(&answer[..answer.len() / 2]);
        },
        never_pauses: false,
    },
    Phase {
        what: "the first content of a stream is waited for",
        stream: true,
        begins: |asked, peer| {
            let events = answers::events(asked.dialect(), &[]);
            peer.send(answers::stream_head().as_bytes());
            peer.send(&answers::chunk(events.before.concat()));
        },
        never_pauses: false,
    },
    Phase {
        what: "a stream is silent",
        stream: true,
        begins: begin_stream,
        never_pauses: false,
    },
    Phase {
        what: "a stream never pauses",
        stream: true,
        begins: begin_stream,
        never_pauses: true,
    },
];

fn begin_stream(asked: &Asked, peer: &mut Peer) {
    let events = answers::events(asked.dialect(), &["first "]);
    peer.send(answers::stream_head().as_bytes());
    peer.send(&answers::chunk(
        [events.before.concat(), events.content.concat()].concat(),
    ));
}

fn main() {
    let node = NodeSetup::new().start();
    println!("| the client leaves while | median | 99th percentile | longest |\n|---|---|---|---|");
    tell(
        "the handshake of TLS is waited for",
        &mut unanswered(&node, "https", 0),
    );
    tell(
        "the request is being sent",
        &mut unanswered(&node, "http", SENDING_BYTES),
    );
    for phase in PHASES {
        tell(phase.what, &mut times(&node, &phase));
    }
    node.stop();
}

/// The times for a provider that speaks HTTP.
fn times(node: &Node, phase: &Phase) -> Vec<Duration> {
    let (sent_here, sent) = signal();
    let (left_here, left) = signal();
    let Phase {
        begins, never_pauses, ..
    } = *phase;
    let upstream = Upstream::start(move |asked, peer| {
        begins(asked, peer);
        let _ = sent_here.lock().expect("one thread").send(Instant::now());
        let content = answers::events(asked.dialect(), &["word "]).content.concat();
        while never_pauses && peer.try_send(&answers::chunk(&content)) {}
        peer.wait_until_closed();
        let _ = left_here.lock().expect("one thread").send(Instant::now());
        Next::Close
    });
    route(node, &format!("http://{}", upstream.address()));
    let call = post("/chat", Dialect::OpenAi.request("m", phase.stream)).bytes();
    let times = (0..TIMES).map(|_| {
        let mut client = Connection::open(node.calls);
        client.write(&call);
        sent.recv_timeout(PATIENCE).expect("the provider is asked");
        leave(client, &left)
    });
    times.collect()
}

/// The times for a provider that accepts connections, reads a little and takes the rest when the client has left: of the
/// handshake of TLS there is none, of a large request as much as was on its way.
fn unanswered(node: &Node, scheme: &str, prompt: usize) -> Vec<Duration> {
    let (begun_here, begun) = channel();
    let (left_here, left) = channel();
    let (go_on, told_to_go_on) = channel::<()>();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let _ = socket.read(&mut [0; 4096]);
            if begun_here.send(()).is_err() || told_to_go_on.recv().is_err() {
                return;
            }
            while socket.read(&mut [0; 65536]).is_ok_and(|length| length > 0) {}
            let _ = left_here.send(Instant::now());
        }
    });
    route(node, &format!("{scheme}://{address}"));
    let prompt = "a".repeat(prompt);
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{prompt}"}}]}}"#);
    let call = post("/chat", body).bytes();
    let times = (0..TIMES).map(|_| {
        let mut client = Connection::open(node.calls);
        client.write(&call);
        begun.recv_timeout(PATIENCE).expect("the provider is asked");
        go_on.send(()).expect("the provider goes on");
        leave(client, &left)
    });
    times.collect()
}

fn leave(client: Connection, left: &Receiver<Instant>) -> Duration {
    let begun = Instant::now();
    drop(client);
    let seen = left
        .recv_timeout(PATIENCE)
        .expect("the gateway closes the connection");
    seen.checked_duration_since(begun)
        .expect("the connection is closed because the client leaves, and not before")
}

fn signal() -> (Mutex<Sender<Instant>>, Receiver<Instant>) {
    let (here, there) = channel();
    (Mutex::new(here), there)
}

fn route(node: &Node, endpoint: &str) {
    let plugin = json!({
        "provider": "openai", "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}},
        "override": {"endpoint": endpoint},
    });
    node.put(
        "/routes/1",
        &json!({"uri": "/chat", "plugins": {"ai-proxy": plugin}}),
    );
}

fn tell(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| {
        let place = (times.len() * share / 100).min(times.len().saturating_sub(1));
        times.get(place).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    println!(
        "| {what} | {:.2} ms | {:.2} ms | {:.2} ms |",
        at(50),
        at(99),
        at(100)
    );
}
