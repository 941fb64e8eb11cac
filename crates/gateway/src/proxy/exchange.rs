//! One try: a connection to one server, the request over it, and the head of the answer.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use rustls_pki_types::ServerName;
use tokio::time::{Instant, sleep_until};
use tollgate_dialects::canonical::ErrorKind;
use tollgate_resources::egress::Origin;

use super::headers;
use super::node::Node;
use super::upstream::{Limits, Upstream};
use crate::error::{CallError, Fault};
use crate::pipeline::{Worker, in_step};
use crate::upstream::{ClientStream, Endpoint, Keep, Lease, Outgoing, RequestBody, Scheme, WaitsFor};

/// A request as every server of the upstream would get it.
pub struct Prepared {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// Its headers, without `Host`.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Passable,
}

/// A body that can be given to a server.
pub enum Passable {
    /// Read.
    Bytes(Bytes),
    /// Still with the client.
    Stream(ClientStream),
}

impl Passable {
    /// Whether it can still be sent from its beginning.
    fn is_whole(&self) -> bool {
        match self {
            Passable::Bytes(_) => true,
            Passable::Stream(stream) => !stream.has_begun(),
        }
    }

    fn outgoing(&self) -> Outgoing {
        match self {
            Passable::Bytes(bytes) => Outgoing::Buffered(RequestBody::from(bytes.clone())),
            Passable::Stream(stream) => Outgoing::Streamed(stream.clone()),
        }
    }
}

/// Why a try failed.
pub struct Failure {
    /// The word for the log.
    pub outcome: &'static str,
    /// What nginx counts it as: 502 or 504.
    pub counted_as: StatusCode,
    /// What the client is told if no other try succeeds.
    pub error: CallError,
    /// Whether the server may have begun to work on the request.
    pub handed_over: bool,
}

/// The client's body is not all there.
pub fn incomplete_body() -> CallError {
    CallError::client(
        StatusCode::BAD_REQUEST,
        ErrorKind::BadRequest,
        "incomplete_body",
        "the request body broke off before it was complete",
    )
}

/// An answer whose head has come.
pub struct Answered {
    /// Status, headers and body.
    pub response: Response<Incoming>,
    /// The connection it comes on.
    pub lease: Lease,
    /// For how long the rest of it is waited for.
    pub patience: Patience,
}

/// How long a server is waited for, while the client may still be sending.
pub struct Patience {
    limits: Limits,
    /// How long a client may send nothing of a body that it has announced (nginx's `client_body_timeout`).
    client: Duration,
    sending: Option<ClientStream>,
}

impl Patience {
    /// Whether the whole request is sent.
    pub fn request_is_sent(&self) -> bool {
        self.sending
            .as_ref()
            .is_none_or(|stream| stream.waits().0 == WaitsFor::Nothing)
    }

    /// Until when the next byte of the answer is waited for, when that has begun at `since`.
    pub fn until(&self, since: Instant) -> Instant {
        match self.sending.as_ref().map(ClientStream::waits) {
            Some((WaitsFor::Client, moved)) => moved.max(since) + self.client,
            Some((WaitsFor::Server, moved)) => moved.max(since) + self.limits.send,
            Some((WaitsFor::Nothing, moved)) => moved.max(since) + self.limits.read,
            None => since + self.limits.read,
        }
    }

    /// When to look again whether that is over. As long as the client is sending, what is waited for may change.
    pub fn look_again(&self, since: Instant) -> Instant {
        let until = self.until(since);
        match self.request_is_sent() {
            true => until,
            false => until.min(Instant::now() + self.client),
        }
    }

    fn is_broken_by_client(&self) -> bool {
        self.sending.as_ref().is_some_and(ClientStream::is_broken)
    }

    fn exceeded(&self) -> Option<u64> {
        self.sending.as_ref().and_then(ClientStream::exceeded)
    }

    fn failure(&self) -> Failure {
        match self.sending.as_ref().map(ClientStream::waits) {
            Some((WaitsFor::Client, _)) => Failure {
                outcome: "client_timeout",
                counted_as: StatusCode::REQUEST_TIMEOUT,
                error: CallError::body_is_late(),
                handed_over: true,
            },
            Some((WaitsFor::Server, _)) => Failure::late("the request was not taken in time"),
            _ => Failure::late("no answer in time"),
        }
    }
}

impl Failure {
    /// The client broke its own request off.
    fn incomplete(detail: String) -> Self {
        let mut error = incomplete_body();
        error.detail = Some(detail);
        Failure {
            outcome: "client_gone",
            counted_as: error.status,
            error,
            handed_over: true,
        }
    }

    /// The client's body is longer than `limit` bytes.
    fn too_large(limit: u64) -> Self {
        let error = CallError::too_large(limit);
        Failure {
            outcome: "client_gone",
            counted_as: error.status,
            error,
            handed_over: true,
        }
    }

    /// Whether this says something about the server.
    pub fn is_servers(&self) -> bool {
        self.error.fault != Fault::Client
    }

    /// A connection could not be made.
    fn unreachable(late: bool, detail: String) -> Self {
        if late {
            return Failure {
                outcome: "connect_timeout",
                handed_over: false,
                ..Failure::late(detail)
            };
        }
        Failure {
            outcome: "connect_error",
            counted_as: StatusCode::BAD_GATEWAY,
            error: CallError::upstream(
                StatusCode::BAD_GATEWAY,
                ErrorKind::Server,
                "upstream_unreachable",
                "the upstream could not be reached",
                detail,
            ),
            handed_over: false,
        }
    }

    fn late(detail: impl Into<String>) -> Self {
        Failure {
            outcome: "timeout",
            counted_as: StatusCode::GATEWAY_TIMEOUT,
            error: CallError::upstream(
                StatusCode::GATEWAY_TIMEOUT,
                ErrorKind::Timeout,
                "upstream_timeout",
                "the upstream did not answer in time",
                detail,
            ),
            handed_over: true,
        }
    }

    /// The connection broke, or what came is not an answer.
    pub fn broken(outcome: &'static str, detail: String, handed_over: bool) -> Self {
        Failure {
            outcome,
            counted_as: StatusCode::BAD_GATEWAY,
            error: CallError::upstream(
                StatusCode::BAD_GATEWAY,
                ErrorKind::Server,
                "upstream_connection_lost",
                "the upstream closed the connection before it answered",
                detail,
            ),
            handed_over,
        }
    }

    /// Whether the request may be sent to another server. Like nginx: what may change something is never sent twice.
    pub fn allows_another(&self, request: &Prepared) -> bool {
        let repeatable = !matches!(request.method.as_str(), "POST" | "LOCK" | "PATCH");
        self.is_servers() && request.body.is_whole() && (repeatable || !self.handed_over)
    }
}

/// Sends a request to a node. Cancel-safe: dropping the future closes the connection.
///
/// # Errors
/// No connection, no answer in time, or the connection broke.
pub async fn exchange(
    worker: &Worker,
    upstream: &Upstream,
    node: &Node,
    host: &HeaderValue,
    request: &Prepared,
) -> Result<Answered, Failure> {
    let endpoint = endpoint(upstream, node, host).map_err(|detail| Failure::unreachable(false, detail))?;
    let limits = upstream.limits;
    let client = worker.gateway.snapshot().native.body_timeout;
    let addresses = node
        .checked
        .as_ref()
        .and_then(|on_duty| on_duty.health.addresses());
    let among = addresses.as_deref();
    in_step().await;
    let mut kept = worker.pools.idle(&endpoint, among, upstream.keep);
    loop {
        let was_kept = kept.is_some();
        let lease = match kept.take() {
            Some(lease) => lease,
            None => worker
                .pools
                .open(&endpoint, among, upstream.keep, limits.connect)
                .await
                .map_err(|mut error| {
                    let detail = error.error.detail.take().unwrap_or_default();
                    Failure::unreachable(error.outcome == "connect_timeout", detail)
                })?,
        };
        match send(lease, host, request, limits, client).await {
            // It was closed while it was idle; that says nothing about the server.
            Err(failure)
                if was_kept && failure.outcome == "connection_lost" && failure.allows_another(request) => {}
            done => return done,
        }
    }
}

async fn send(
    mut lease: Lease,
    host: &HeaderValue,
    prepared: &Prepared,
    limits: Limits,
    client: Duration,
) -> Result<Answered, Failure> {
    let mut request = Request::new(prepared.body.outgoing());
    *request.method_mut() = prepared.method.clone();
    *request.uri_mut() = prepared.uri.clone();
    *request.headers_mut() = prepared.headers.clone();
    request.headers_mut().insert(HOST, host.clone());
    match &prepared.body {
        Passable::Bytes(bytes) => {
            headers::set_length(request.headers_mut(), &prepared.method, bytes.len());
        }
        Passable::Stream(_) => headers::announce_stream(request.headers_mut()),
    }
    let patience = Patience {
        limits,
        client,
        sending: match &prepared.body {
            Passable::Bytes(_) => None,
            Passable::Stream(stream) => Some(stream.clone()),
        },
    };
    let begun = Instant::now();
    let response = {
        let mut answer = pin!(lease.send(request));
        loop {
            tokio::select! {
                biased;
                answered = &mut answer => break answered,
                () = sleep_until(patience.look_again(begun)) => {
                    if Instant::now() >= patience.until(begun) {
                        return Err(patience.failure());
                    }
                }
            }
        }
    };
    if response.is_err()
        && let Some(limit) = patience.exceeded()
    {
        return Err(Failure::too_large(limit));
    }
    match response {
        Err(unanswered) if patience.is_broken_by_client() => Err(Failure::incomplete(unanswered.detail)),
        Ok(response) => Ok(Answered {
            response,
            lease,
            patience,
        }),
        Err(unanswered) if unanswered.garbled => Err(Failure::broken("garbled", unanswered.detail, true)),
        Err(unanswered) => Err(Failure::broken(
            "connection_lost",
            unanswered.detail,
            !unanswered.unsent,
        )),
    }
}

/// Where a node is. Connections with different names for the certificate are different connections.
fn endpoint(upstream: &Upstream, node: &Node, host: &HeaderValue) -> Result<Endpoint, String> {
    let (scheme, pool_key) = match &upstream.tls {
        None => (Scheme::Http, format!("passed|{}", node.name)),
        Some(tls) => {
            let name = headers::name_of(host).unwrap_or(&node.host);
            let server_name = ServerName::try_from(name.to_owned())
                .or_else(|_| ServerName::try_from(node.host.clone()))
                .map_err(|_| format!("`{name}` is not a host name"))?;
            let key = format!("passed|{}|{}|{name}", node.name, tls.identity);
            (
                Scheme::Https {
                    config: tls.config.clone(),
                    server_name,
                },
                key,
            )
        }
    };
    Ok(Endpoint {
        scheme,
        host: node.host.clone(),
        port: node.port,
        authority: node.authority.clone(),
        base_path: String::new(),
        query: None,
        pool_key: pool_key.into(),
        keep: Keep::default(),
        origin: Origin::Object,
        offers_http2: false,
    })
}
