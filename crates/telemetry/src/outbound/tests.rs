//! Against real listeners on this machine, well-behaved and not.
#![expect(clippy::disallowed_methods, reason = "the peers end with the test")]

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};
use tollgate_resources::egress::Origin;

use super::{
    Address, AddressError, Answer, Client, ClientConfig, Limits, OutboundError, Place, Tls, Version, connect,
};

/// Far longer than any of these exchanges takes.
const PATIENT: Limits = Limits {
    connect: Duration::from_secs(30),
    total: Duration::from_secs(30),
    answer: 1024,
};

const HASTY: Limits = Limits {
    total: Duration::from_millis(200),
    ..PATIENT
};

#[test]
fn requests_are_answered_on_one_kept_connection() {
    run(async {
        let server = Server::start(Version::Http1, None).await;
        let client = server.client(PATIENT);
        for _ in 0..3 {
            let answer = client.send(post("/v1/logs?x=1", "hello")).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(
                text(&answer),
                format!("POST {} /v1/logs?x=1 hello", server.address)
            );
            assert!(answer.is_whole);
        }
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn http2_shares_a_connection_and_gives_trailers() {
    run(async {
        let server = Server::start(Version::Http2, None).await;
        let client = server.client(PATIENT);
        client.send(post("/first", "")).await.unwrap();
        let (one, two) = tokio::join!(client.send(post("/a", "1")), client.send(post("/b", "2")));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(text(&one), format!("POST {} /a 1", server.address));
        assert_eq!(text(&two), format!("POST {} /b 2", server.address));
        assert_eq!(one.trailers.unwrap()["grpc-status"], "0");
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn both_versions_travel_over_tls() {
    for version in [Version::Http1, Version::Http2] {
        run(async {
            let certificate = Certificate::new();
            let server = Server::start(version, Some(certificate.server(&[b"h2", b"http/1.1"]))).await;
            let client = Client::new(server.https(), version, &certificate.trusted(), PATIENT).unwrap();
            let answer = client.send(post("/x", "secret")).await.unwrap();
            let authority = server.https().authority().clone();
            assert_eq!(text(&answer), format!("POST {authority} /x secret"));
        });
    }
}

#[test]
fn a_server_with_an_unknown_certificate_is_not_told_anything() {
    run(async {
        let server = Server::start(Version::Http1, Some(Certificate::new().server(&[b"http/1.1"]))).await;
        let others = Certificate::new().trusted();
        let client = Client::new(server.https(), Version::Http1, &others, PATIENT).unwrap();
        let error = client.send(post("/x", "secret")).await.unwrap_err();
        assert!(matches!(error, OutboundError::Tls { .. }), "{error}");
        assert!(!error.handed_over());
    });
}

#[test]
fn a_tls_server_without_http2_is_told_so() {
    run(async {
        let certificate = Certificate::new();
        let server = Server::start(Version::Http1, Some(certificate.server(&[]))).await;
        let client = Client::new(server.https(), Version::Http2, &certificate.trusted(), PATIENT).unwrap();
        let error = client.send(post("/x", "")).await.unwrap_err();
        assert!(error.to_string().contains("HTTP/2"), "{error}");
    });
}

#[test]
fn a_protocol_of_its_own_speaks_through_tls_without_naming_itself() {
    run(async {
        let certificate = Certificate::new();
        let acceptor = certificate.server(&[]);
        let (listener, address) = listen().await;
        let server = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(tcp).await.unwrap();
            let mut question = [0; 4];
            stream.read_exact(&mut question).await.unwrap();
            stream.write_all(b"pong").await.unwrap();
            stream.shutdown().await.unwrap();
            question
        });
        let place = Place {
            host: "localhost".to_owned(),
            port: address.port(),
            tls: Some(Tls::new(&certificate.trusted(), "localhost", &[]).unwrap()),
            origin: Origin::Operator,
        };
        let mut stream = connect(&place, PATIENT.connect).await.unwrap();
        assert_eq!(stream.protocol(), None);
        stream.write_all(b"ping").await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "pong");
        assert_eq!(&server.await.unwrap(), b"ping");
    });
}

#[test]
fn nobody_listening_is_told_with_the_place() {
    run(async {
        let (listener, address) = listen().await;
        drop(listener);
        let client = plain_client(address, HASTY);
        let error = client.send(post("/", "")).await.unwrap_err();
        assert!(matches!(error, OutboundError::Connect { .. }), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(!error.handed_over());
    });
}

#[test]
fn a_name_without_address_is_told() {
    run(async {
        let place = Place {
            host: "nowhere.invalid".to_owned(),
            port: 1,
            tls: None,
            origin: Origin::Operator,
        };
        let Err(error) = connect(&place, PATIENT.connect).await else {
            panic!("a reserved name has an address")
        };
        assert!(matches!(error, OutboundError::Resolve { .. }), "{error}");
    });
}

#[test]
fn a_server_that_says_nothing_in_the_handshake_is_left() {
    run(async {
        let (_listener, address) = listen().await;
        let place = Place {
            host: address.ip().to_string(),
            port: address.port(),
            tls: Some(Tls::new(&Certificate::new().trusted(), "localhost", &[]).unwrap()),
            origin: Origin::Operator,
        };
        let Err(error) = connect(&place, HASTY.total).await else {
            panic!("there is no TLS")
        };
        assert!(matches!(error, OutboundError::ConnectLate { .. }), "{error}");
    });
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for_and_its_connection_is_left() {
    run(async {
        let (listener, address) = listen().await;
        let client = plain_client(address, HASTY);
        let silent = async {
            let (mut first, _) = listener.accept().await.unwrap();
            let request = read_request(&mut first).await;
            // The client gives up and closes.
            let mut rest = Vec::new();
            first.read_to_end(&mut rest).await.unwrap();
            let (mut second, _) = listener.accept().await.unwrap();
            read_request(&mut second).await;
            second.write_all(EMPTY_ANSWER).await.unwrap();
            (request, second)
        };
        let asking = async {
            let error = client.send(post("/first", "")).await.unwrap_err();
            assert!(matches!(error, OutboundError::Late { .. }), "{error}");
            assert!(error.handed_over());
            client.send(post("/second", "")).await.unwrap()
        };
        let ((request, _open), answer) = tokio::join!(silent, asking);
        assert!(request.starts_with("POST /first"), "{request}");
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    });
}

#[test]
fn a_connection_closed_between_two_requests_is_replaced() {
    run(async {
        let (listener, address) = listen().await;
        let client = plain_client(address, PATIENT);
        let server = async {
            let mut seen = Vec::new();
            for _ in 0..3 {
                let (mut tcp, _) = listener.accept().await.unwrap();
                seen.push(read_request(&mut tcp).await);
                tcp.write_all(EMPTY_ANSWER).await.unwrap();
                // And closes, without having said so.
            }
            seen
        };
        let asking = async {
            for path in ["/1", "/2", "/3"] {
                client.send(post(path, "body")).await.unwrap();
            }
        };
        let (seen, ()) = tokio::join!(server, asking);
        let paths: Vec<_> = seen.iter().map(|request| request.get(5..7).unwrap()).collect();
        assert_eq!(paths, ["/1", "/2", "/3"]);
    });
}

#[test]
fn a_closed_http2_connection_is_replaced() {
    run(async {
        let (listener, address) = listen().await;
        let client = Client::new(http_address(address), Version::Http2, &no_trust(), PATIENT).unwrap();
        let leave = Notify::new();
        let server = async {
            for _ in 0..2 {
                let (tcp, _) = listener.accept().await.unwrap();
                let connection = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(tcp), service_fn(tell));
                let mut connection = std::pin::pin!(connection);
                // One request, then GOAWAY.
                tokio::select! {
                    _ = connection.as_mut() => continue,
                    () = leave.notified() => connection.as_mut().graceful_shutdown(),
                }
                drop(connection.await);
            }
        };
        let asking = async {
            for path in ["/1", "/2"] {
                let answer = client.send(post(path, "")).await.unwrap();
                assert_eq!(answer.status, StatusCode::OK);
                leave.notify_one();
                // The server's farewell is read before the next request is made.
                while client.take().is_some() {
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::join!(server, asking);
    });
}

#[test]
fn a_request_that_the_server_had_is_not_sent_twice() {
    run(async {
        let (listener, address) = listen().await;
        let client = plain_client(address, PATIENT);
        let server = async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            read_request(&mut tcp).await;
            drop(tcp);
            // Whoever comes next is somebody else.
            let (mut tcp, _) = listener.accept().await.unwrap();
            let request = read_request(&mut tcp).await;
            tcp.write_all(EMPTY_ANSWER).await.unwrap();
            request
        };
        let asking = async {
            let error = client.send(post("/once", "")).await.unwrap_err();
            assert!(error.handed_over(), "{error}");
            client.send(post("/next", "")).await.unwrap();
        };
        let (request, ()) = tokio::join!(server, asking);
        assert!(request.starts_with("POST /next"), "{request}");
    });
}

#[test]
fn a_long_answer_is_cut() {
    run(async {
        let server = Server::start(Version::Http1, None).await;
        let limits = Limits {
            answer: 10,
            ..PATIENT
        };
        let client = server.client(limits);
        let answer = client.send(post("/", &"x".repeat(100_000))).await.unwrap();
        assert_eq!(answer.body.len(), 10);
        assert!(!answer.is_whole);
        // Its connection has the rest of the answer on it.
        client.send(post("/", "")).await.unwrap();
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn addresses_are_read_with_their_ports_and_paths() {
    let plain = Address::parse("http://collector:4318/v1/traces?x=1").unwrap();
    assert_eq!(plain.path().as_str(), "/v1/traces?x=1");
    let place = plain.place(&no_trust(), Version::Http1).unwrap();
    assert_eq!(place.to_string(), "collector:4318");
    assert!(place.tls.is_none());
    let secure = Address::parse("https://[::1]").unwrap();
    assert_eq!(secure.path().as_str(), "/");
    let place = secure.place(&no_trust(), Version::Http2).unwrap();
    assert_eq!(place.to_string(), "[::1]:443");
    assert!(place.tls.is_some());
}

#[test]
fn what_is_no_address_is_refused() {
    for text in [
        "",
        "collector:4317",
        "ftp://x",
        "/v1/traces",
        "http://",
        "http://a b",
    ] {
        assert!(
            matches!(Address::parse(text), Err(AddressError::NotAnAddress(_))),
            "{text}"
        );
    }
    let error = Address::parse("https://user:hunter2@collector").unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

const EMPTY_ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

fn post(path: &str, body: &str) -> Request<Bytes> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Request::post(path).body(body).unwrap()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn http_address(address: SocketAddr) -> Address {
    Address::parse(&format!("http://{address}")).unwrap()
}

fn plain_client(address: SocketAddr, limits: Limits) -> Client {
    Client::new(http_address(address), Version::Http1, &no_trust(), limits).unwrap()
}

/// Up to the end of the head; these requests have no bodies that matter.
async fn read_request(tcp: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut chunk = [0; 1024];
    while !read.windows(4).any(|four| four == b"\r\n\r\n") {
        let length = tcp.read(&mut chunk).await.unwrap();
        assert!(length > 0, "the client left within its request");
        read.extend_from_slice(&chunk[..length]);
    }
    String::from_utf8(read).unwrap()
}

/// Answers what it was asked, on every connection.
struct Server {
    version: Version,
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    async fn start(version: Version, tls: Option<TlsAcceptor>) -> Server {
        let (listener, address) = listen().await;
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = accepted.clone();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
                match &tls {
                    None => drop(tokio::spawn(serve(version, tcp))),
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(tcp).await {
                            tokio::spawn(serve(version, stream));
                        }
                    }
                }
            }
        });
        Server {
            version,
            address,
            accepted,
        }
    }

    fn client(&self, limits: Limits) -> Client {
        Client::new(http_address(self.address), self.version, &no_trust(), limits).unwrap()
    }

    fn https(&self) -> Address {
        Address::parse(&format!("https://localhost:{}", self.address.port())).unwrap()
    }

    fn connections(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn serve(version: Version, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let io = TokioIo::new(stream);
    let ended = match version {
        Version::Http1 => http1::Builder::new().serve_connection(io, service_fn(tell)).await,
        Version::Http2 => {
            http2::Builder::new(TokioExecutor::new())
                .serve_connection(io, service_fn(tell))
                .await
        }
    };
    drop(ended);
}

/// Method, host, path and body of the request; over HTTP/2 also a trailer.
async fn tell(
    request: Request<Incoming>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("the whole body").to_bytes();
    let host = match head.headers.get(http::header::HOST) {
        Some(host) => host.to_str().unwrap().to_owned(),
        None => head.uri.authority().unwrap().to_string(),
    };
    let path = head.uri.path_and_query().unwrap();
    let told = format!("{} {host} {path} {}", head.method, String::from_utf8_lossy(&body));
    let trailers = HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let body = Full::new(Bytes::from(told));
    let body = match head.version {
        http::Version::HTTP_2 => body.with_trailers(async { Some(Ok(trailers)) }).boxed(),
        _ => body.boxed(),
    };
    Ok(Response::new(body))
}

/// A certificate of its own authority.
struct Certificate {
    pem: String,
    key: String,
}

impl Certificate {
    fn new() -> Certificate {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Certificate {
            pem: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    fn server(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let chain = vec![CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    fn trusted(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap())
            .unwrap();
        client_config(roots)
    }
}

fn no_trust() -> Arc<ClientConfig> {
    client_config(RootCertStore::empty())
}

fn client_config(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
