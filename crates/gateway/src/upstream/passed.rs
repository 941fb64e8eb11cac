//! Connections for requests that are passed on as they come: with bodies that the client still sends, with upgrades.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::connect::connect_within;
use super::endpoint::Endpoint;
use super::shelf::Waiting;
use super::{Keep, Outgoing, Pools};
use crate::error::AttemptError;

/// Largest head of an answer, in bytes; hyper's read buffer limit. A larger head fails the attempt.
const MAX_RESPONSE_HEAD: usize = 256 * 1024;

pub(super) struct Connection {
    sender: http1::SendRequest<Outgoing>,
    address: SocketAddr,
    opened: Instant,
    /// Requests sent over it.
    served: u64,
    /// Drives the connection; aborted when the connection is dropped, which closes the socket.
    _task: AbortOnDrop,
}

impl Waiting for Connection {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn opened(&self) -> Instant {
        self.opened
    }

    fn served(&self) -> u64 {
        self.served
    }

    fn is_alive(&mut self) -> bool {
        // One whose request is still being sent, because its answer did not wait for all of it, is open but not ready.
        self.sender.is_ready()
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection in use. Dropping it closes the connection; [`Lease::give_back`] keeps it.
pub struct Lease {
    connection: Connection,
    pools: Pools,
    key: Arc<str>,
    keep: Keep,
}

/// A request that got no answer over a connection.
pub struct Unanswered {
    /// Whether nothing of it was sent.
    pub unsent: bool,
    /// Whether the server answered something that is not HTTP.
    pub garbled: bool,
    /// What happened, for the log.
    pub detail: String,
}

impl Pools {
    /// An idle connection, if one is kept; to one of these addresses, if any are given.
    pub fn idle(&self, endpoint: &Endpoint, among: Option<&[SocketAddr]>, keep: Keep) -> Option<Lease> {
        let connection = self.0.passed.take(&endpoint.pool_key, among, Instant::now())?;
        Some(self.lease(endpoint, connection, keep))
    }

    /// A new connection; to one of these addresses, if any are given.
    ///
    /// # Errors
    /// It could not be made in `within`.
    pub async fn open(
        &self,
        endpoint: &Endpoint,
        among: Option<&[SocketAddr]>,
        keep: Keep,
        within: Duration,
    ) -> Result<Lease, AttemptError> {
        let (stream, address) = connect_within(endpoint, among, within).await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_RESPONSE_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| {
                AttemptError::connect("connect_error", format!("{address}: {}", describe(&error)))
            })?;
        let task = tokio::task::spawn_local(async move {
            // The error also reaches whoever waits for the answer; here there is nobody left to tell.
            let _ = connection.with_upgrades().await;
        });
        let connection = Connection {
            sender,
            address,
            opened: Instant::now(),
            served: 0,
            _task: AbortOnDrop(task),
        };
        Ok(self.lease(endpoint, connection, keep))
    }

    fn lease(&self, endpoint: &Endpoint, connection: Connection, keep: Keep) -> Lease {
        Lease {
            connection,
            pools: self.clone(),
            key: endpoint.pool_key.clone(),
            keep,
        }
    }
}

impl Lease {
    /// The server's address.
    pub fn address(&self) -> SocketAddr {
        self.connection.address
    }

    /// Sends a request and waits for the head of the answer, however long that takes.
    ///
    /// # Errors
    /// The connection broke before that.
    pub async fn send(&mut self, request: Request<Outgoing>) -> Result<Response<Incoming>, Unanswered> {
        let broken = |error: &hyper::Error, unsent: bool| Unanswered {
            unsent,
            garbled: error.is_parse(),
            detail: describe(error),
        };
        let connection = &mut self.connection;
        connection
            .sender
            .ready()
            .await
            .map_err(|error| broken(&error, true))?;
        connection.served += 1;
        connection
            .sender
            .try_send_request(request)
            .await
            .map_err(|mut error| {
                let unsent = error.take_message().is_some();
                broken(error.error(), unsent)
            })
    }

    /// Keeps the connection for the next request. Call only after the whole answer was read.
    pub fn give_back(self) {
        if !self.connection.sender.is_closed() {
            self.pools.0.passed.keep(self.key, self.connection, self.keep);
        }
    }
}

fn describe(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
