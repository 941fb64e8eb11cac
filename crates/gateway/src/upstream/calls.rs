//! Calls: a request that is at hand is sent over a connection that waits, or over a new one.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::error::Elapsed;
use tokio::time::{timeout, timeout_at};
use tollgate_telemetry::outbound::Stream;

use super::connect::connect_within;
use super::endpoint::{Endpoint, Scheme};
use super::http1::{self, Answered, Broken, CallRequest};
use super::http2;
use super::shelf::Waiting;
use super::{Keep, Pools, UpstreamBody};
use crate::error::AttemptError;

/// A connection that was closed while it was idle breaks within this time of being used again. One that breaks later had
/// taken the request: sending it again could be paid twice, and is for the attempts to decide.
const BREAKS_WITHIN: Duration = Duration::from_secs(1);

/// Boxed, because it is passed on several times in each call.
pub(super) struct Connection(Box<Inner>);

struct Inner {
    http: http1::Connection<Stream>,
    address: SocketAddr,
    /// The address as a text, for the log.
    shown: Arc<str>,
    opened: Instant,
    /// Requests sent over it.
    served: u64,
}

impl Connection {
    fn new(stream: Stream, address: SocketAddr) -> Self {
        Connection(Box::new(Inner {
            http: http1::Connection::new(stream),
            address,
            shown: address.to_string().into(),
            opened: Instant::now(),
            served: 0,
        }))
    }
}

/// A connection for a call.
enum Either {
    /// Over HTTP/2.
    Shared(Rc<http2::Connection>),
    /// Over HTTP/1.1, for this call only.
    Alone(Connection),
}

impl Waiting for Connection {
    fn address(&self) -> SocketAddr {
        self.0.address
    }

    fn opened(&self) -> Instant {
        self.0.opened
    }

    fn served(&self) -> u64 {
        self.0.served
    }

    fn is_alive(&mut self) -> bool {
        self.0.http.is_quiet()
    }
}

/// The head of an answer, with its body still to be read.
pub struct Received {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: UpstreamBody,
    /// Address and port of who answered.
    pub address: Arc<str>,
    /// When the request began to be sent.
    pub sent: tokio::time::Instant,
}

/// Why no answer head arrived.
pub enum SendError {
    /// A new connection could not be made.
    Connect(Box<AttemptError>),
    /// The connection was made, but broke before the head was complete.
    Broken(String),
    /// The connection was made, but the head of the answer did not come in time.
    Late,
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SendError::Connect(error) => {
                f.write_str(error.error.detail.as_deref().unwrap_or("no connection"))
            }
            SendError::Broken(detail) => f.write_str(detail),
            SendError::Late => f.write_str("no answer in time"),
        }
    }
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub struct Within {
    /// To make a connection.
    pub connect: Duration,
    /// From sending the request to the head of the answer.
    pub answer: Duration,
}

impl Pools {
    /// Sends a request and waits for the head of the answer; to one of these addresses, if any are given. `begins` is called
    /// each time before it is sent.
    ///
    /// A connection that waited and turns out to be dead before it answered anything is replaced by a new one without
    /// the caller noticing: the provider closed it while it was idle.
    ///
    /// # Errors
    /// No connection could be made in time, or the new one broke, or the answer did not begin in time.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        among: Option<&[SocketAddr]>,
        asked: &CallRequest<'_>,
        within: Within,
        begins: impl Fn(),
    ) -> Result<Received, SendError> {
        if endpoint.offers_http2 {
            // Boxed: calls over HTTP/1.1 shall not pay for its size.
            return Box::pin(self.send_shared(endpoint, among, asked, within, &begins)).await;
        }
        let now = tokio::time::Instant::now();
        if let Some(connection) = self.0.calls.take(&endpoint.pool_key, among, now.into_std()) {
            begins();
            match self
                .exchange_within(endpoint, connection, asked, within.answer, now)
                .await
            {
                Err(_) => return Err(SendError::Late),
                Ok(Ok(received)) => return Ok(received),
                Ok(Err(error)) if !error.is_silent() || now.elapsed() >= BREAKS_WITHIN => {
                    return Err(SendError::Broken(error.to_string()));
                }
                Ok(Err(_)) => {}
            }
        }
        let (stream, address) = connect_within(endpoint, among, within.connect)
            .await
            .map_err(|error| SendError::Connect(Box::new(error)))?;
        let connection = Connection::new(stream, address);
        begins();
        let now = tokio::time::Instant::now();
        match self
            .exchange_within(endpoint, connection, asked, within.answer, now)
            .await
        {
            Err(_) => Err(SendError::Late),
            Ok(exchanged) => exchanged.map_err(|error| SendError::Broken(error.to_string())),
        }
    }

    /// Sends a request over HTTP/2, over a connection that others use too; over HTTP/1.1 if that is what the server speaks.
    async fn send_shared(
        &self,
        endpoint: &Endpoint,
        among: Option<&[SocketAddr]>,
        asked: &CallRequest<'_>,
        within: Within,
        begins: &dyn Fn(),
    ) -> Result<Received, SendError> {
        let place = self.0.shared.place(&endpoint.pool_key);
        let mut may_repeat = true;
        loop {
            let connection = match self.connection(&place, endpoint, among, within.connect).await? {
                Either::Shared(connection) => connection,
                Either::Alone(connection) => {
                    begins();
                    let now = tokio::time::Instant::now();
                    return match self
                        .exchange_within(endpoint, connection, asked, within.answer, now)
                        .await
                    {
                        Err(_) => Err(SendError::Late),
                        Ok(exchanged) => exchanged.map_err(|error| SendError::Broken(error.to_string())),
                    };
                }
            };
            let sent = tokio::time::Instant::now();
            begins();
            let scheme = match endpoint.scheme {
                Scheme::Https { .. } => "https",
                Scheme::Http | Scheme::Simulated { .. } => "http",
            };
            match timeout(within.answer, connection.clone().send(scheme, asked)).await {
                Err(_) => {
                    // Others shall not wait there too.
                    connection.leave();
                    return Err(SendError::Late);
                }
                Ok(Err(broken)) => {
                    connection.leave();
                    if !broken.is_unprocessed || !may_repeat {
                        return Err(SendError::Broken(broken.detail));
                    }
                    may_repeat = false;
                }
                Ok(Ok(answer)) => {
                    return Ok(Received {
                        status: answer.head.status,
                        headers: answer.head.headers,
                        body: UpstreamBody::Shared(Box::new(answer.body)),
                        address: connection.shown.clone(),
                        sent,
                    });
                }
            }
        }
    }

    /// A connection for a call: one with room, or a new one.
    async fn connection(
        &self,
        place: &http2::Place,
        endpoint: &Endpoint,
        among: Option<&[SocketAddr]>,
        within: Duration,
    ) -> Result<Either, SendError> {
        let failed = |error: AttemptError| SendError::Connect(Box::new(error));
        if let Some(connection) = place.free(among, endpoint.keep) {
            return Ok(Either::Shared(connection));
        }
        if place.speaks.get() == Some(false)
            && let Some(connection) = self.0.calls.take(&endpoint.pool_key, among, Instant::now())
        {
            return Ok(Either::Alone(connection));
        }
        let making = match place.speaks.get() {
            // Each call needs one of its own.
            Some(false) => None,
            None | Some(true) => {
                let making = timeout(within, place.making.lock()).await.map_err(|_| {
                    let detail = format!("no connection to {} in {} ms", endpoint.host, within.as_millis());
                    failed(AttemptError::connect("connect_timeout", detail))
                })?;
                if let Some(connection) = place.free(among, endpoint.keep) {
                    return Ok(Either::Shared(connection));
                }
                Some(making)
            }
        };
        let (stream, address) = connect_within(endpoint, among, within).await.map_err(failed)?;
        let is_agreed = stream.protocol() == Some(b"h2") || matches!(stream, Stream::Plain(_));
        place.speaks.set(Some(is_agreed));
        if !is_agreed {
            return Ok(Either::Alone(Connection::new(stream, address)));
        }
        let added = timeout(within, place.add(stream, address)).await;
        drop(making);
        let added = added.map_err(|_| {
            let detail = format!("{address}: no HTTP/2 in {} ms", within.as_millis());
            failed(AttemptError::connect("connect_timeout", detail))
        })?;
        added.map(Either::Shared).map_err(|broken| {
            failed(AttemptError::connect(
                "connect_error",
                format!("{address}: {}", broken.detail),
            ))
        })
    }

    /// Sends a request at the time `sent`, which is now, and waits so long for the head of the answer.
    async fn exchange_within(
        &self,
        endpoint: &Endpoint,
        connection: Connection,
        asked: &CallRequest<'_>,
        within: Duration,
        sent: tokio::time::Instant,
    ) -> Result<Result<Received, Broken>, Elapsed> {
        let exchange = self.exchange(endpoint, connection, asked, sent);
        match sent.checked_add(within) {
            Some(until) => timeout_at(until, exchange).await,
            None => Ok(exchange.await),
        }
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        mut connection: Connection,
        asked: &CallRequest<'_>,
        sent: tokio::time::Instant,
    ) -> Result<Received, Broken> {
        connection.0.served += 1;
        let Answered { status, headers } = connection.0.http.send(asked).await?;
        let address = connection.0.shown.clone();
        let body = CallBody {
            connection: Some(connection),
            pools: self.clone(),
            key: endpoint.pool_key.clone(),
            keep: endpoint.keep,
        };
        Ok(Received {
            status,
            headers,
            body: UpstreamBody::Call(body),
            address,
            sent,
        })
    }
}

/// The body of the answer to a call. At its end the connection goes back to its pool; dropped before, it is closed.
pub struct CallBody {
    /// `None` behind the end.
    connection: Option<Connection>,
    pools: Pools,
    key: Arc<str>,
    keep: Keep,
}

impl CallBody {
    /// The next bytes; `None` at the end.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(None);
        };
        match connection.0.http.poll_body(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(bytes))) => Poll::Ready(Some(Ok(bytes))),
            Poll::Ready(Some(Err(error))) => {
                self.connection = None;
                Poll::Ready(Some(Err(error.to_string())))
            }
            Poll::Ready(None) => {
                if let Some(mut connection) =
                    self.connection.take_if(|connection| connection.0.http.is_free())
                {
                    connection.0.http.rest();
                    self.pools.0.calls.keep(self.key.clone(), connection, self.keep);
                }
                self.connection = None;
                Poll::Ready(None)
            }
        }
    }
}
