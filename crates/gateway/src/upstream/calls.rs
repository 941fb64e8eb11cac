//! Calls: a request that is at hand is sent over a connection that waits, or over a new one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::timeout;
use tollgate_telemetry::outbound::Stream;

use super::connect::connect_within;
use super::endpoint::Endpoint;
use super::http1::{self, Answered, Broken, CallRequest};
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
        if let Some(connection) = self.0.calls.take(&endpoint.pool_key, among) {
            begins();
            let begun = Instant::now();
            match timeout(within.answer, self.exchange(endpoint, connection, asked)).await {
                Err(_) => return Err(SendError::Late),
                Ok(Ok(received)) => return Ok(received),
                Ok(Err(error)) if !error.is_silent() || begun.elapsed() >= BREAKS_WITHIN => {
                    return Err(SendError::Broken(error.to_string()));
                }
                Ok(Err(_)) => {}
            }
        }
        let (stream, address) = connect_within(endpoint, among, within.connect)
            .await
            .map_err(|error| SendError::Connect(Box::new(error)))?;
        let connection = Connection(Box::new(Inner {
            http: http1::Connection::new(stream),
            address,
            shown: address.to_string().into(),
            opened: Instant::now(),
            served: 0,
        }));
        begins();
        match timeout(within.answer, self.exchange(endpoint, connection, asked)).await {
            Err(_) => Err(SendError::Late),
            Ok(exchanged) => exchanged.map_err(|error| SendError::Broken(error.to_string())),
        }
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        mut connection: Connection,
        asked: &CallRequest<'_>,
    ) -> Result<Received, Broken> {
        let sent = tokio::time::Instant::now();
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
