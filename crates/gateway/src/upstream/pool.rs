//! Idle connections of one worker, by endpoint. Owned by one thread: no lock.
//!
//! A connection serves one request at a time. It goes back to the pool only when its answer was read to the end; a lease
//! that is dropped earlier closes its connection at once, which is how a client that leaves cancels the provider's work.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connect::connect;
use super::endpoint::Endpoint;
use super::{Outgoing, RequestBody};
use crate::error::AttemptError;

/// An idle connection is used again for this long. Below the idle timeouts that providers' load balancers commonly use
/// (60 s and more), so that we rarely meet a connection that is just being closed.
const MAX_IDLE: Duration = Duration::from_secs(50);

/// A connection that was closed while it was idle breaks within this time of being used again. One that breaks later had
/// taken the request: sending it again could be paid twice, and is for the attempts to decide.
const BREAKS_WITHIN: Duration = Duration::from_secs(1);

/// Idle connections kept per endpoint and worker.
const MAX_IDLE_PER_ENDPOINT: usize = 256;

/// Largest head of a provider's answer, in bytes; hyper's read buffer limit. A larger head fails the attempt.
const MAX_RESPONSE_HEAD: usize = 256 * 1024;

/// All idle connections of one worker.
#[derive(Clone, Default)]
pub struct Pools(Rc<RefCell<HashMap<Arc<str>, Vec<Idle>>>>);

struct Idle {
    connection: Connection,
    until: Instant,
}

/// How connections of an endpoint are kept for later requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Idle connections at most, per worker.
    pub size: usize,
    /// How long one is kept idle.
    pub idle: Duration,
    /// Requests over one connection, after which it is closed.
    pub requests: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Keep {
            size: MAX_IDLE_PER_ENDPOINT,
            idle: MAX_IDLE,
            requests: u64::MAX,
        }
    }
}

struct Connection {
    sender: http1::SendRequest<Outgoing>,
    address: SocketAddr,
    /// Requests sent over it.
    served: u64,
    /// Drives the connection; aborted when the connection is dropped, which closes the socket.
    _task: AbortOnDrop,
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

/// The head of an answer, with its body still to be read.
pub struct Received {
    /// Status, headers and body.
    pub response: Response<Incoming>,
    /// The connection it arrives on.
    pub lease: Lease,
    /// When the request began to be sent.
    pub sent: tokio::time::Instant,
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

impl Pools {
    /// Sends a request and waits for the head of the answer.
    ///
    /// A connection from the pool that turns out to be dead before it answered anything is replaced by a new one without
    /// the caller noticing: the provider closed it while it was idle.
    ///
    /// # Errors
    /// No connection could be made in `connect_timeout`, or the new one broke, or the answer did not begin within
    /// `answer_timeout` of the request being sent.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        request: impl Fn() -> Request<RequestBody>,
        connect_timeout: Duration,
        answer_timeout: Duration,
    ) -> Result<Received, SendError> {
        self.send_among(endpoint, None, request, connect_timeout, answer_timeout)
            .await
    }

    /// Sends a request as [`Pools::send`] does, but to one of these addresses, if any are given.
    ///
    /// # Errors
    /// As [`Pools::send`].
    pub async fn send_among(
        &self,
        endpoint: &Endpoint,
        among: Option<&[SocketAddr]>,
        request: impl Fn() -> Request<RequestBody>,
        connect_timeout: Duration,
        answer_timeout: Duration,
    ) -> Result<Received, SendError> {
        if let Some(connection) = self.take(&endpoint.pool_key, among) {
            let begun = Instant::now();
            match timeout(answer_timeout, self.exchange(endpoint, connection, request())).await {
                Err(_) => return Err(SendError::Late),
                Ok(Ok(received)) => return Ok(received),
                // The provider answered, but not HTTP: a second connection would not help.
                Ok(Err(error)) if error.is_parse() => return Err(SendError::Broken(describe(&error))),
                Ok(Err(error)) if !was_dead(error.is_canceled(), begun.elapsed()) => {
                    return Err(SendError::Broken(describe(&error)));
                }
                Ok(Err(_)) => {}
            }
        }
        let connection = open_within(endpoint, among, connect_timeout)
            .await
            .map_err(|error| SendError::Connect(Box::new(error)))?;
        match timeout(answer_timeout, self.exchange(endpoint, connection, request())).await {
            Err(_) => Err(SendError::Late),
            Ok(exchanged) => exchanged.map_err(|error| SendError::Broken(describe(&error))),
        }
    }

    /// An idle connection, if one is kept; to one of these addresses, if any are given.
    pub fn idle(&self, endpoint: &Endpoint, among: Option<&[SocketAddr]>, keep: Keep) -> Option<Lease> {
        let connection = self.take(&endpoint.pool_key, among)?;
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
        let connection = open_within(endpoint, among, within).await?;
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

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        mut connection: Connection,
        request: Request<RequestBody>,
    ) -> Result<Received, hyper::Error> {
        let sent = tokio::time::Instant::now();
        connection.sender.ready().await?;
        connection.served += 1;
        let response = connection
            .sender
            .send_request(request.map(Outgoing::from))
            .await?;
        let lease = self.lease(endpoint, connection, endpoint.keep);
        Ok(Received {
            response,
            lease,
            sent,
        })
    }

    /// An idle connection, to one of these addresses if any are given. Those that nobody can use any more are closed.
    fn take(&self, key: &str, among: Option<&[SocketAddr]>) -> Option<Connection> {
        let mut pools = self.0.borrow_mut();
        let idle = pools.get_mut(key)?;
        while let Some(Idle { connection, until }) = idle.pop() {
            let fits = among.is_none_or(|among| among.contains(&connection.address));
            if fits && !connection.sender.is_closed() && Instant::now() < until {
                return Some(connection);
            }
        }
        None
    }

    /// Closes connections that have been idle too long; called from time to time by the worker.
    pub fn close_idle(&self) {
        let now = Instant::now();
        self.0.borrow_mut().retain(|_, idle| {
            idle.retain(|idle| !idle.connection.sender.is_closed() && now < idle.until);
            !idle.is_empty()
        });
    }
}

impl Lease {
    /// The provider's address.
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
        let Lease {
            connection,
            pools,
            key,
            keep,
        } = self;
        if connection.sender.is_closed() || connection.served >= keep.requests {
            return;
        }
        let mut pools = pools.0.borrow_mut();
        let idle = pools.entry(key).or_default();
        if idle.len() < keep.size {
            idle.push(Idle {
                connection,
                until: Instant::now() + keep.idle,
            });
        }
    }
}

async fn open_within(
    endpoint: &Endpoint,
    among: Option<&[SocketAddr]>,
    within: Duration,
) -> Result<Connection, AttemptError> {
    // Boxed: most requests find a connection, and shall not pay for the size of what makes one.
    match timeout(within, Box::pin(open(endpoint, among))).await {
        Ok(opened) => opened,
        Err(_) => {
            let detail = format!("no connection to {} in {} ms", endpoint.host, within.as_millis());
            Err(AttemptError::connect("connect_timeout", detail))
        }
    }
}

async fn open(endpoint: &Endpoint, among: Option<&[SocketAddr]>) -> Result<Connection, AttemptError> {
    let (stream, address) = connect(endpoint, among).await?;
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_RESPONSE_HEAD)
        .handshake(stream)
        .await
        .map_err(|error| {
            AttemptError::connect("connect_error", format!("{address}: {}", describe(&error)))
        })?;
    let task = tokio::task::spawn_local(async move {
        // The error also reaches whoever waits for the answer; here there is nobody left to tell.
        let _ = connection.with_upgrades().await;
    });
    Ok(Connection {
        sender,
        address,
        served: 0,
        _task: AbortOnDrop(task),
    })
}

/// Whether a connection of the pool that broke was dead before it was used. `unsent`: nothing of the request was written.
fn was_dead(unsent: bool, waited: Duration) -> bool {
    unsent || waited < BREAKS_WITHIN
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BREAKS_WITHIN, was_dead};

    #[test]
    fn a_request_that_the_provider_worked_on_is_not_sent_twice() {
        assert!(was_dead(false, Duration::ZERO));
        assert!(!was_dead(false, BREAKS_WITHIN));
        assert!(was_dead(true, BREAKS_WITHIN));
    }
}
