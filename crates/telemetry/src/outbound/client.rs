//! HTTP requests on connections that are kept for the next.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::ClientConfig;
use super::address::Address;
use super::connect::{Place, connect};
use super::error::{AddressError, OutboundError, with_causes};

/// Largest head of an answer, in bytes.
const MAX_ANSWER_HEAD: usize = 64 * 1024;

/// HTTP/1.1 connections kept for later requests. There are seldom two batches under way to one server.
const MAX_IDLE: usize = 4;

/// How long an unused connection is kept, shorter than what servers usually allow (60 s and more).
const MAX_IDLE_TIME: Duration = Duration::from_secs(50);

/// The version of HTTP, known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1: one request at a time on a connection.
    Http1,
    /// HTTP/2 without negotiation, as gRPC wants it: many requests on one connection.
    Http2,
}

/// How long and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a new connection, name and TLS included.
    pub connect: Duration,
    /// For everything: connection, request and whole answer.
    pub total: Duration,
    /// Bytes of an answer's body; what is beyond is not read.
    pub answer: usize,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most as long as allowed.
    pub body: Bytes,
    /// What came after the body, such as gRPC's status.
    pub trailers: Option<HeaderMap>,
    /// Whether the body is whole. If not, it was cut at the limit and trailers are unknown.
    pub is_whole: bool,
}

/// Makes requests to one server. Lives on one runtime; ends its connections when it is dropped.
pub struct Client {
    place: Place,
    address: Address,
    host: Option<HeaderValue>,
    limits: Limits,
    kept: Kept,
}

enum Kept {
    /// Connections that nobody uses, and since when.
    Http1(Mutex<Vec<(Connection, Instant)>>),
    /// The one that all use.
    Http2(Mutex<Option<Connection>>),
}

/// Something that a request can be sent on.
pub(super) enum Connection {
    Http1 {
        sender: http1::SendRequest<Full<Bytes>>,
        _driver: Driver,
    },
    Http2 {
        sender: http2::SendRequest<Full<Bytes>>,
        driver: Arc<Driver>,
    },
}

/// What reads and writes a connection. It ends with the last who holds it.
pub(super) struct Driver(JoinHandle<()>);

impl Driver {
    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends with the connection that owns it"
    )]
    pub(super) fn start<E>(connection: impl Future<Output = Result<(), E>> + Send + 'static) -> Self {
        // What breaks it is told to whoever waits for an answer; here there is nobody left to tell.
        Driver(tokio::spawn(async move { drop(connection.await) }))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An attempt on one connection that came to nothing. With the request, if nothing of it was sent.
struct Unanswered {
    request: Option<Request<Full<Bytes>>>,
    reason: String,
    is_unsendable: bool,
}

impl Client {
    /// Prepares requests; connects only when one is made. `tls` is trust for addresses of `https`.
    ///
    /// # Errors
    /// The address's host cannot stand in a certificate.
    pub fn new(
        address: Address,
        version: Version,
        tls: &Arc<ClientConfig>,
        limits: Limits,
    ) -> Result<Self, AddressError> {
        let (host, kept) = match version {
            Version::Http1 => {
                let host = HeaderValue::from_str(address.authority().as_str());
                let unusable = |_| AddressError::NotAnAddress(address.to_string());
                (Some(host.map_err(unusable)?), Kept::Http1(Mutex::default()))
            }
            Version::Http2 => (None, Kept::Http2(Mutex::default())),
        };
        Ok(Client {
            place: address.place(tls, version)?,
            address,
            host,
            limits,
            kept,
        })
    }

    /// The server.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a request and reads the whole answer. Of the request's address only path and query are used; `host` and
    /// `content-length` are added.
    ///
    /// A kept connection that the server has closed meanwhile is replaced by a new one, if nothing of the request was sent
    /// on it. Dropping the future gives up the request.
    ///
    /// # Errors
    /// There is no answer; [`OutboundError::handed_over`] says whether the server may have the request all the same.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Answer, OutboundError> {
        let request = self.complete(request)?;
        match timeout(self.limits.total, self.exchange(request)).await {
            Ok(answered) => answered,
            Err(_) => {
                // Whatever other requests see: this connection has not answered in time and may be dead.
                self.forget();
                Err(OutboundError::Late {
                    place: self.place.to_string(),
                    within: self.limits.total,
                })
            }
        }
    }

    /// Adds what HTTP wants: the server's name, and for HTTP/2 the whole address.
    fn complete(&self, request: Request<Bytes>) -> Result<Request<Full<Bytes>>, OutboundError> {
        let mut request = request.map(Full::new);
        match &self.host {
            Some(host) => {
                request.headers_mut().insert(HOST, host.clone());
            }
            None => {
                let mut parts = request.uri().clone().into_parts();
                parts.scheme = Some(match self.address.is_https() {
                    true => http::uri::Scheme::HTTPS,
                    false => http::uri::Scheme::HTTP,
                });
                parts.authority = Some(self.address.authority().clone());
                let whole = Uri::from_parts(parts);
                *request.uri_mut() = whole.map_err(|error| self.unsendable(error.to_string()))?;
            }
        }
        Ok(request)
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, OutboundError> {
        if let Some(connection) = self.take() {
            match self.exchange_on(connection, request).await? {
                Ok(answer) => return Ok(answer),
                Err(unsent) => request = unsent,
            }
        }
        let connection = self.open().await?;
        match self.exchange_on(connection, request).await? {
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.broken("the server closes it at once".to_owned(), false)),
        }
    }

    /// Sends a request on a connection. Gives it back if the connection was dead already.
    async fn exchange_on(
        &self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
    ) -> Result<Result<Answer, Request<Full<Bytes>>>, OutboundError> {
        let response = match connection.send(request).await {
            Ok(response) => response,
            Err(Unanswered {
                reason,
                is_unsendable: true,
                ..
            }) => return Err(self.unsendable(reason)),
            Err(Unanswered {
                request: Some(request),
                ..
            }) => {
                self.forget();
                return Ok(Err(request));
            }
            Err(Unanswered { reason, .. }) => {
                self.forget();
                return Err(self.broken(reason, true));
            }
        };
        let (head, mut body) = response.into_parts();
        let mut answer = Answer {
            status: head.status,
            headers: head.headers,
            body: Bytes::new(),
            trailers: None,
            is_whole: true,
        };
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken(with_causes(&error), true))?;
            match frame.into_data() {
                Ok(data) => {
                    let room = self.limits.answer.saturating_sub(read.len());
                    read.extend_from_slice(data.get(..room).unwrap_or(&data));
                    if data.len() > room {
                        answer.is_whole = false;
                        break;
                    }
                }
                Err(frame) => answer.trailers = frame.into_trailers().ok(),
            }
        }
        answer.body = read.freeze();
        if answer.is_whole {
            self.keep(connection);
        }
        Ok(Ok(answer))
    }

    async fn open(&self) -> Result<Connection, OutboundError> {
        let stream = connect(&self.place, self.limits.connect).await?;
        let broken = |error: hyper::Error| self.broken(with_causes(&error), false);
        match &self.kept {
            Kept::Http1(_) => {
                let (sender, connection) = http1::Builder::new()
                    .max_buf_size(MAX_ANSWER_HEAD)
                    .handshake(TokioIo::new(stream))
                    .await
                    .map_err(broken)?;
                Ok(Connection::Http1 {
                    sender,
                    _driver: Driver::start(connection),
                })
            }
            Kept::Http2(_) => {
                if self.place.tls.is_some() && stream.protocol() != Some(b"h2") {
                    return Err(OutboundError::Tls {
                        place: self.place.to_string(),
                        reason: "the server does not offer HTTP/2, which gRPC needs".to_owned(),
                    });
                }
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .max_header_list_size(u32::try_from(MAX_ANSWER_HEAD).unwrap_or(u32::MAX))
                    .handshake(TokioIo::new(stream))
                    .await
                    .map_err(broken)?;
                let driver = Arc::new(Driver::start(connection));
                Ok(Connection::Http2 { sender, driver })
            }
        }
    }

    /// A kept connection that still works, as far as is known.
    pub(super) fn take(&self) -> Option<Connection> {
        match &self.kept {
            Kept::Http1(idle) => {
                let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
                while let Some((connection, since)) = idle.pop() {
                    if !connection.is_closed() && since.elapsed() < MAX_IDLE_TIME {
                        return Some(connection);
                    }
                }
                None
            }
            Kept::Http2(shared) => {
                let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                match shared.as_ref()? {
                    Connection::Http2 { sender, driver } if !sender.is_closed() => Some(Connection::Http2 {
                        sender: sender.clone(),
                        driver: driver.clone(),
                    }),
                    Connection::Http2 { .. } | Connection::Http1 { .. } => None,
                }
            }
        }
    }

    fn keep(&self, connection: Connection) {
        match &self.kept {
            Kept::Http1(idle) => {
                let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
                if !connection.is_closed() && idle.len() < MAX_IDLE {
                    idle.push((connection, Instant::now()));
                }
            }
            Kept::Http2(shared) => {
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
            }
        }
    }

    /// Makes the next request connect anew.
    fn forget(&self) {
        match &self.kept {
            Kept::Http1(idle) => idle.lock().unwrap_or_else(PoisonError::into_inner).clear(),
            Kept::Http2(shared) => *shared.lock().unwrap_or_else(PoisonError::into_inner) = None,
        }
    }

    fn broken(&self, reason: String, handed_over: bool) -> OutboundError {
        OutboundError::Broken {
            place: self.place.to_string(),
            reason,
            handed_over,
        }
    }

    fn unsendable(&self, reason: String) -> OutboundError {
        OutboundError::Request {
            place: self.place.to_string(),
            reason,
        }
    }
}

impl Connection {
    fn is_closed(&self) -> bool {
        match self {
            Connection::Http1 { sender, .. } => sender.is_closed(),
            Connection::Http2 { sender, .. } => sender.is_closed(),
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<http::Response<Incoming>, Unanswered> {
        let sent = match self {
            Connection::Http1 { sender, .. } => {
                if let Err(error) = sender.ready().await {
                    return Err(Unanswered::dead(request, &error));
                }
                sender.try_send_request(request).await
            }
            Connection::Http2 { sender, .. } => {
                if let Err(error) = sender.ready().await {
                    return Err(Unanswered::dead(request, &error));
                }
                sender.try_send_request(request).await
            }
        };
        sent.map_err(Unanswered::from)
    }
}

impl Unanswered {
    fn dead(request: Request<Full<Bytes>>, error: &hyper::Error) -> Self {
        Unanswered {
            request: Some(request),
            reason: with_causes(error),
            is_unsendable: false,
        }
    }
}

impl From<TrySendError<Request<Full<Bytes>>>> for Unanswered {
    fn from(mut error: TrySendError<Request<Full<Bytes>>>) -> Self {
        Unanswered {
            request: error.take_message(),
            reason: with_causes(error.error()),
            is_unsendable: error.error().is_user(),
        }
    }
}
