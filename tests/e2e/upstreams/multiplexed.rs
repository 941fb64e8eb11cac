//! Providers that speak HTTP/2: calls share connections, and what happens to one of them is no matter of the others.

#![expect(clippy::disallowed_methods, reason = "a provider of tests drains nothing")]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::harness::{Connection, Dialect, Gateway, Setup, Upstream, answers, post, proving};

/// How long what has to happen may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A provider of HTTP/2.
struct Provider {
    address: SocketAddr,
    certificate: Option<CertifiedKey<KeyPair>>,
    shared: Arc<Shared>,
    /// The word of each call, as they come.
    came: Receiver<String>,
    /// The word of each stream that was reset, with the reason.
    left: Receiver<(String, Option<Reason>)>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    /// Streams that are refused before they are looked at.
    refuse: AtomicUsize,
    /// Connections that are ended (GOAWAY) after their first call was accepted.
    end: AtomicUsize,
}

/// How it is set up.
#[derive(Clone, Copy)]
struct Terms {
    tls: bool,
    streams: u32,
}

impl Provider {
    /// Answers each call with its own words; the end of every stream waits for `gate`.
    fn start(terms: Terms, gate: watch::Receiver<bool>) -> Provider {
        let certificate = terms
            .tls
            .then(|| generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate"));
        let tls = certificate.as_ref().map(|certificate| {
            let mut tls = (*proving(certificate)).clone();
            tls.alpn_protocols = vec![b"h2".to_vec()];
            TlsAcceptor::from(Arc::new(tls))
        });
        let shared = Arc::new(Shared::default());
        let (came_here, came) = channel();
        let (left_here, left) = channel();
        let (bound_here, bound) = channel();
        let here = shared.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                bound_here
                    .send(listener.local_addr().expect("an address"))
                    .expect("a test that waits");
                loop {
                    let (socket, _) = listener.accept().await.expect("a connection");
                    let (tls, shared, gate) = (tls.clone(), here.clone(), gate.clone());
                    let tell = (came_here.clone(), left_here.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => serve(socket, terms, &shared, gate, tell).await,
                            Some(tls) => {
                                if let Ok(socket) = tls.accept(socket).await {
                                    serve(socket, terms, &shared, gate, tell).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        Provider {
            address: bound.recv_timeout(PATIENCE).expect("an address"),
            certificate,
            shared,
            came,
            left,
        }
    }

    /// A gateway with one worker in front of it.
    fn gateway(&self) -> (Gateway, tempfile::TempDir) {
        gateway(self.address, self.certificate.as_ref())
    }

    fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    #[track_caller]
    fn next(&self) -> String {
        self.came.recv_timeout(PATIENCE).expect("a call")
    }
}

fn gateway(address: SocketAddr, certificate: Option<&CertifiedKey<KeyPair>>) -> (Gateway, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    let (scheme, tls) = match certificate {
        None => ("http", String::new()),
        Some(certificate) => {
            fs::write(&file, certificate.cert.pem()).expect("a file can be written");
            ("https", format!(", tls: {{ca_file: \"{}\"}}", file.display()))
        }
    };
    let config = format!(
        "models: {{m: {{provider: p}}}}\nproviders: {{p: {{kind: openai-compatible, http2: true, key: k, \
         endpoint: \"{scheme}://localhost:{}/v1\"{tls}}}}}\nauth: none\n",
        address.port()
    );
    (Setup::new(config).single().start(), directory)
}

async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    terms: Terms,
    shared: &Arc<Shared>,
    gate: watch::Receiver<bool>,
    (came, left): (
        std::sync::mpsc::Sender<String>,
        std::sync::mpsc::Sender<(String, Option<Reason>)>,
    ),
) {
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(terms.streams)
        .handshake::<_, Bytes>(socket);
    let Ok(mut connection) = handshake.await else {
        return;
    };
    shared.connections.fetch_add(1, Ordering::SeqCst);
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if take(&shared.refuse) {
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        if take(&shared.end) {
            connection.graceful_shutdown();
        }
        tokio::spawn(answer(request, respond, gate.clone(), came.clone(), left.clone()));
    }
}

fn take(counter: &AtomicUsize) -> bool {
    let less = |count: usize| count.checked_sub(1);
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        .is_ok()
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    mut gate: watch::Receiver<bool>,
    came: std::sync::mpsc::Sender<String>,
    left: std::sync::mpsc::Sender<(String, Option<Reason>)>,
) {
    assert_eq!(request.uri().path(), "/v1/chat/completions");
    let authority = request
        .uri()
        .authority()
        .expect("an authority")
        .as_str()
        .to_owned();
    assert!(authority.starts_with("localhost:"), "{authority}");
    assert_eq!(request.headers()["authorization"], "Bearer k");
    assert!(!request.headers().contains_key("host"));
    let body = read(request.into_body()).await;
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let text = asked["messages"][0]["content"].as_str().expect("text").to_owned();
    let word = text.split(' ').next().expect("a word").to_owned();
    // Whoever tests may have seen enough.
    let _ = came.send(word.clone());
    if asked["stream"] == true {
        let events = answers::events(Dialect::OpenAi, &[&word]);
        let head = Response::builder()
            .header("content-type", "text/event-stream")
            .body(());
        let mut stream = respond
            .send_response(head.expect("a head"), false)
            .expect("an open stream");
        let begin = [events.before.concat(), events.content.concat()].concat();
        stream.send_data(begin.into(), false).expect("an open stream");
        tokio::select! {
            _ = gate.wait_for(|open| *open) => {
                let end = events.after.concat();
                stream.send_data(end.into(), true).expect("an open stream");
            }
            reason = std::future::poll_fn(|cx| stream.poll_reset(cx)) => {
                let _ = left.send((word, reason.ok()));
            }
        }
        return;
    }
    let _ = gate.wait_for(|open| *open).await;
    let answer = answers::whole(Dialect::OpenAi, &text);
    let head = Response::builder()
        .header("content-type", "application/json")
        .body(());
    let stream = respond
        .send_response(head.expect("a head"), false)
        .expect("an open stream");
    write(stream, answer.into()).await;
}

async fn read(mut body: RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("a body");
        body.flow_control().release_capacity(piece.len()).expect("room");
        all.extend_from_slice(&piece);
    }
    all
}

async fn write(mut stream: SendStream<Bytes>, mut bytes: Bytes) {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let part = bytes.split_to(room.expect("a stream").expect("room").min(bytes.len()));
        stream.send_data(part, bytes.is_empty()).expect("an open stream");
    }
}

fn call(word: &str, stream: bool) -> crate::harness::Request {
    let body = json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": word}]});
    post(Dialect::OpenAi.path(), body.to_string())
}

fn open() -> (watch::Sender<bool>, watch::Receiver<bool>) {
    watch::channel(true)
}

const MANY: Terms = Terms {
    tls: true,
    streams: 100,
};

#[test]
fn calls_at_the_same_time_share_a_connection_and_each_gets_its_own_answer() {
    for tls in [true, false] {
        let (gate, opened) = watch::channel(false);
        let provider = Provider::start(Terms { tls, ..MANY }, opened);
        let (gateway, _directory) = provider.gateway();
        std::thread::scope(|scope| {
            let gateway = &gateway;
            let calls: Vec<_> = (0..20)
                .map(|number| {
                    scope.spawn(move || {
                        let word = format!("word-{number}");
                        let response = gateway.send(&call(&word, false));
                        assert_eq!(response.status(), 200, "{}", response.text());
                        assert_eq!(response.json()["choices"][0]["message"]["content"], word.as_str());
                    })
                })
                .collect();
            (0..20).for_each(|_| drop(provider.next()));
            gate.send(true).expect("a provider");
            calls.into_iter().for_each(|call| call.join().expect("an answer"));
        });
        assert_eq!(provider.connections(), 1, "TLS: {tls}");
    }
}

#[test]
fn a_client_that_leaves_ends_its_own_stream_only() {
    let (gate, opened) = watch::channel(false);
    let provider = Provider::start(MANY, opened);
    let (gateway, _directory) = provider.gateway();
    let mut stays = Connection::open(gateway.address).stream(&call("stays", true));
    stays.until("stays");
    let mut leaves = Connection::open(gateway.address).stream(&call("leaves", true));
    leaves.until("leaves");
    drop(leaves);
    let (word, reason) = provider.left.recv_timeout(PATIENCE).expect("a reset stream");
    assert_eq!((word.as_str(), reason), ("leaves", Some(Reason::CANCEL)));
    gate.send(true).expect("a provider");
    stays.is_done();
    assert_eq!(provider.connections(), 1);
}

#[test]
fn a_stream_that_is_refused_unseen_is_sent_again_and_one_that_keeps_being_refused_is_told() {
    let (_gate, opened) = open();
    let provider = Provider::start(MANY, opened);
    let (gateway, _directory) = provider.gateway();
    provider.shared.refuse.store(1, Ordering::SeqCst);
    let response = gateway.send(&call("again", false));
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(provider.next(), "again");
    provider.shared.refuse.store(2, Ordering::SeqCst);
    let response = gateway.send(&call("never", false));
    assert_eq!(response.status(), 502, "{}", response.text());
    assert_eq!(gateway.send(&call("afterwards", false)).status(), 200);
}

#[test]
fn a_connection_that_the_provider_ends_finishes_its_calls_and_the_next_goes_over_a_new_one() {
    let (gate, opened) = watch::channel(false);
    let provider = Provider::start(MANY, opened);
    let (gateway, _directory) = provider.gateway();
    provider.shared.end.store(1, Ordering::SeqCst);
    let mut before = Connection::open(gateway.address).stream(&call("before", true));
    before.until("before");
    let mut after = Connection::open(gateway.address).stream(&call("after", true));
    after.until("after");
    gate.send(true).expect("a provider");
    before.is_done();
    after.is_done();
    assert_eq!(gateway.send(&call("later", false)).status(), 200);
    assert_eq!(provider.connections(), 2);
}

#[test]
fn where_a_provider_allows_few_streams_more_connections_are_made_and_used_again() {
    let (gate, opened) = watch::channel(false);
    let provider = Provider::start(Terms { streams: 3, ..MANY }, opened);
    let (gateway, _directory) = provider.gateway();
    // Its limit is known when it has answered.
    gate.send(true).expect("a provider");
    assert_eq!(gateway.send(&call("first", false)).status(), 200);
    gate.send(false).expect("a provider");
    let mut streams = Vec::new();
    for number in 0..7 {
        let word = format!("word-{number}");
        let mut stream = Connection::open(gateway.address).stream(&call(&word, true));
        stream.until(&word);
        streams.push(stream);
    }
    assert_eq!(provider.connections(), 3);
    gate.send(true).expect("a provider");
    for mut stream in streams {
        stream.is_done();
    }
    assert_eq!(gateway.send(&call("again", false)).status(), 200);
    assert_eq!(provider.connections(), 3);
}

#[test]
fn bodies_larger_than_what_either_side_takes_at_once_go_through_whole() {
    let (_gate, opened) = open();
    let provider = Provider::start(MANY, opened);
    let (gateway, _directory) = provider.gateway();
    let text = format!("large {}", "x".repeat(1_500_000));
    let response = gateway.send(&call(&text, false));
    assert_eq!(response.status(), 200);
    assert!(response.json()["choices"][0]["message"]["content"] == text.as_str());
}

#[test]
fn a_provider_that_does_not_agree_to_http2_is_asked_over_http1() {
    let certificate = generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let upstream = Upstream::start_tls(proving(&certificate), |asked, peer| {
        peer.send(&answers::good(asked, "over HTTP/1.1"));
        crate::harness::Next::Keep
    });
    let (gateway, _directory) = gateway(upstream.address(), Some(&certificate));
    for _ in 0..3 {
        let response = gateway.send(&call("hello", false));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(upstream.asked().connection, 0, "the connection is kept");
    }
}
