//! What clients cost that wait, and clients that are refused, and how long those wait that nobody can serve:
//! `cargo bench -p tollgate --bench costs`.
//!
//! The real binary between real sockets on this machine. Memory is what the system says is resident, processor time what it
//! says was spent, both of the gateway's process only. The numbers are told in `docs/reliability.md`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that is made of what tests are made of"
)]

#[expect(dead_code, unused_imports, reason = "tests need more of it")]
mod harness;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use harness::{Dialect, Gateway, Request, Setup, answers, post};

/// Streams that are open at once. Each takes two files of the gateway and two of this program: `ulimit -n 20000` is enough.
const STREAMS: usize = 9_900;

/// Connections over which wrong keys are sent.
const CONNECTIONS: usize = 32;

/// Wrong keys that are sent in all.
const KEYS: usize = 400_000;

/// Calls, one after the other, that no provider can answer.
const REFUSED: usize = 2_000;

/// Requests that are sent at once over a connection.
const AT_ONCE: usize = 50;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    println!("| what | how many | measured |\n|---|---|---|");
    runtime.block_on(async {
        idle_connections().await;
        idle_streams(Dialect::OpenAi, Dialect::OpenAi).await;
        idle_streams(Dialect::OpenAi, Dialect::Anthropic).await;
        // Each is answered with 401, or most of them with 429.
        for most in [0, 1000] {
            wrong_keys("off", most).await;
            wrong_keys("/dev/null", most).await;
        }
        nobody_is_well(
            "that checks know to be down",
            r#", "checks": {"active": {"type": "tcp", "unhealthy": {"tcp_failures": 1}}}"#,
        )
        .await;
        nobody_is_well("that refuse connections", "").await;
    });
}

/// Calls to two providers that are down, of which this is configured.
async fn nobody_is_well(what: &str, more: &str) {
    let instance = |name: &str| {
        // Nobody listens there.
        format!(
            r#"{{"name": "{name}", "provider": "openai-compatible", "weight": 1, "auth": {{"header": {{"Authorization": "Bearer k"}}}},
                "override": {{"endpoint": "http://127.0.0.1:9/v1"}}{more}}}"#
        )
    };
    let gateway = Setup::as_it_is(format!(
        r#"routes: [{{"id": "1", "uri": "/v1/chat/completions", "plugins": {{"ai-proxy-multi": {{"instances": [{}, {}]}}}}}}]
#END
"#,
        instance("a"),
        instance("b")
    ))
    .start();
    let mut socket = TcpStream::connect(gateway.address).await.expect("a connection");
    let request = post(Dialect::OpenAi.path(), Dialect::OpenAi.request("m", false)).bytes();
    let mut times = Vec::with_capacity(REFUSED);
    // The first ones are for checks and calls to find out.
    for number in 0..REFUSED + 200 {
        let begun = Instant::now();
        socket.write_all(&request).await.expect("a request");
        read_answer(&mut socket).await;
        if number >= 200 {
            times.push(begun.elapsed());
        }
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    println!(
        "| calls to providers {what} | {REFUSED} | refused after {:.2} ms, 99 of 100 within {:.2} ms, all within {:.2} ms |",
        at(50),
        at(99),
        at(100)
    );
}

/// Connections that have had an answer and wait.
async fn idle_connections() {
    let gateway =
        Setup::new("models: {m: {provider: simulated}}\nauth: none\nmetrics: {listen: \"127.0.0.1:0\"}")
            .start();
    let before = gateway.memory();
    let request = Request::new("GET", "/v1/models").bytes();
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        let mut socket = TcpStream::connect(gateway.address).await.expect("a connection");
        socket.write_all(&request).await.expect("a request");
        read_until(&mut socket, b"\"list\"").await;
        open.push(socket);
    }
    tell_memory("connections that wait for a request", before, gateway.memory());
}

/// Streams whose provider has begun and pauses.
async fn idle_streams(client: Dialect, provider: Dialect) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = listener.local_addr().expect("an address");
    tokio::spawn(pausing(listener, provider));
    let key = if provider == Dialect::Anthropic {
        "kind: anthropic, key: k"
    } else {
        "kind: openai-compatible"
    };
    let config = format!(
        "models: {{m: {{provider: p, timeouts: {{between_chunks: 10m}}}}}}\nproviders: {{p: {{{key}, endpoint: \"http://{upstream}/v1\"}}}}\n\
         auth: none\nmetrics: {{listen: \"127.0.0.1:0\"}}"
    );
    let gateway = Setup::new(config).server("keep_alive: 1h").start();
    let before = gateway.memory();
    let request = post(client.path(), client.request("m", true)).bytes();
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        let mut socket = TcpStream::connect(gateway.address).await.expect("a connection");
        socket.write_all(&request).await.expect("a request");
        read_until(&mut socket, b"begun").await;
        open.push(socket);
    }
    let what = if client == provider {
        "streams that pause"
    } else {
        "translated streams that pause"
    };
    tell_memory(what, before, gateway.memory());
}

/// A provider that begins each stream and then says nothing more.
async fn pausing(listener: TcpListener, dialect: Dialect) {
    let events = answers::events(dialect, &["begun"]);
    let head = answers::stream_head();
    let beginning = answers::chunk([events.before.concat(), events.content.concat()].concat());
    let beginning = [head.as_bytes(), &beginning].concat();
    loop {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let beginning = beginning.clone();
        tokio::spawn(async move {
            read_until(&mut socket, b"Hello").await;
            socket.write_all(&beginning).await.expect("the gateway listens");
            // Until the gateway leaves.
            let _ = socket.read(&mut [0; 64]).await;
        });
    }
}

/// Calls with keys that nobody has.
async fn wrong_keys(log: &str, most: u32) {
    let gateway = Setup::as_it_is(
        "models: {m: {provider: simulated}}\nconsumers: {c: {key: the-right-key, models: [\"*\"]}}\nmetrics: {listen: \"127.0.0.1:0\"}",
    )
    .server(&format!("access_log: {{path: {log}}}"))
    .server(&format!("max_wrong_keys: {most}"))
    .start();
    let before = cpu(&gateway);
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS {
        clients.spawn(guess(gateway.address, number));
    }
    while let Some(done) = clients.join_next().await {
        done.expect("a client");
    }
    let (took, spent) = (begun.elapsed(), cpu(&gateway) - before);
    let share = spent.as_secs_f64() * 50_000.0 / KEYS as f64;
    println!(
        "| wrong keys, access log `{log}`, `max_wrong_keys: {most}` | {KEYS} | {:.0} per second; 50,000 per second take {share:.2} of a core |",
        KEYS as f64 / took.as_secs_f64()
    );
}

async fn guess(gateway: SocketAddr, number: usize) {
    let mut socket = TcpStream::connect(gateway).await.expect("a connection");
    let body = Dialect::OpenAi.request("m", false);
    let request =
        post(Dialect::OpenAi.path(), body).header("authorization", &format!("Bearer wrong-{number}"));
    let requests = request.bytes().repeat(AT_ONCE);
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..KEYS / CONNECTIONS / AT_ONCE {
        socket.write_all(&requests).await.expect("requests");
        let mut answers = 0;
        let mut read = Vec::new();
        while answers < AT_ONCE {
            let length = socket.read(&mut buffer).await.expect("answers");
            assert!(length > 0, "the connection was closed");
            read.extend_from_slice(&buffer[..length]);
            answers = count(&read, b"HTTP/1.1 4");
        }
        // The last body may still be on its way; it is read with the next answers.
    }
}

fn count(bytes: &[u8], word: &[u8]) -> usize {
    bytes.windows(word.len()).filter(|window| *window == word).count()
}

/// Reads until the bytes hold a word.
async fn read_until(socket: &mut TcpStream, word: &[u8]) {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    while count(&read, word) == 0 {
        let length = socket.read(&mut buffer).await.expect("bytes");
        assert!(length > 0, "closed: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..length]);
    }
}

/// Reads an answer that says how long it is.
async fn read_answer(socket: &mut TcpStream) {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = socket.read(&mut buffer).await.expect("bytes");
        assert!(length > 0, "closed: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&read);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let announced = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let announced: usize = announced.expect("a length").parse().expect("a number");
        if body.len() >= announced {
            return;
        }
    }
}

fn cpu(gateway: &Gateway) -> Duration {
    Duration::from_secs_f64(
        gateway
            .told("process_cpu_seconds_total")
            .parse()
            .expect("seconds"),
    )
}

fn tell_memory(what: &str, before: u64, after: u64) {
    let grown = after.saturating_sub(before) as f64;
    println!(
        "| {what} | {STREAMS} | {:.0} MiB in all, {:.1} KiB each |",
        after as f64 / 1024.0 / 1024.0,
        grown / 1024.0 / STREAMS as f64
    );
}
