//! Passes one call on: prepares the request, tries nodes until one answers, and begins the answer to the client.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body::Body;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;
use tollgate_dialects::canonical::ErrorKind;

use super::exchange::{Answered, Failure, Passable, Prepared, exchange, incomplete_body};
use super::upstream::{Host, Upstream};
use super::{Passed, Tunnel, headers};
use crate::clock;
use crate::error::CallError;
use crate::objects::ObjectRoute;
use crate::pipeline::explain;
use crate::pipeline::{Answer, ClientBody, Content, Passing, Record, Worker};
use crate::plugins::Call;
use crate::server::ClientUpgrade;
use crate::upstream::ClientStream;

/// Tells the statuses of all tries when the last one is a failure of the server, as APISIX does.
static UPSTREAM_STATUS: HeaderName = HeaderName::from_static("x-apisix-upstream-status");

/// Passes a call to a server of an upstream and its answer back, both as they stream.
///
/// Cancel-safe: dropping the future closes the connection to the server.
///
/// # Errors
/// No server could be reached, or none answered in time.
pub async fn pass(
    worker: &Worker,
    upstream: &Upstream,
    route: &ObjectRoute,
    passing: &Passing,
    body: ClientBody,
    record: &mut Record,
) -> Result<Answer, CallError> {
    if matches!(record.request.method, Method::CONNECT | Method::TRACE) {
        return Err(not_allowed());
    }
    let key = if upstream.balancer.needs_key() {
        hash_key(worker, upstream, route, passing, &body, record)
    } else {
        String::new()
    };
    let upgrade = if route.websocket {
        headers::upgrade(&record.request)
    } else {
        None
    };
    let mut request = Prepared {
        method: record.request.method.clone(),
        uri: path_and_query(&record.request.uri),
        headers: headers::for_server(record, upgrade.as_ref()),
        body: passable(worker, body, record)?,
    };
    let until = upstream.retry_within.map(|within| Instant::now() + within);
    let mut statuses = Vec::new();
    let mut tried = Vec::new();
    let mut last = None;
    for number in 0..=upstream.retries {
        if number > 0 && until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        let Some(index) = upstream.pick(&tried, key.as_bytes()) else {
            break;
        };
        tried.push(index);
        if let Some(explanation) = record.explains() {
            let node = &upstream.nodes[index];
            let scheme = if upstream.tls.is_some() { "https" } else { "http" };
            let host = host_for(upstream, index, record);
            let host = host.to_str().unwrap_or_default();
            let target = request.uri.to_string();
            explanation.passed(
                &node.name,
                scheme,
                host,
                &request.method,
                &target,
                &request.headers,
            );
            return Err(explain::ended());
        }
        let failure = match one(worker, upstream, index, &mut request, upgrade.is_some(), record).await {
            Ok(answer) => {
                statuses.push(answer.status.as_u16());
                tell_statuses(&statuses, record);
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        record.end_attempt(failure.outcome, None, failure.error.detail.as_deref());
        if failure.is_servers() {
            statuses.push(failure.counted_as.as_u16());
        }
        let goes_on = failure.allows_another(&request);
        last = Some(failure.error);
        if !goes_on {
            break;
        }
    }
    tell_statuses(&statuses, record);
    Err(last.unwrap_or_else(no_node))
}

/// One try of one node, up to the head of its answer.
async fn one(
    worker: &Worker,
    upstream: &Upstream,
    index: usize,
    request: &mut Prepared,
    upgrades: bool,
    record: &mut Record,
) -> Result<Answer, Failure> {
    let node = &upstream.nodes[index];
    let host = host_for(upstream, index, record);
    let scheme = if upstream.tls.is_some() { "https" } else { "http" };
    record.begin_passing(&node.name, scheme, host.clone(), request.uri.to_string());
    record.write_trace(&mut request.headers);
    let in_flight = upstream.balancer.begin(index, false);
    let begun = Instant::now();
    let result = exchange(worker, upstream, node, &host, request).await;
    if let Some(checks) = &upstream.checks {
        let ended = result.as_ref();
        checks.call_ended(
            node,
            ended.map(|answered| (answered.response.status(), answered.lease.address())),
        );
    }
    match &result {
        Ok(_) => in_flight.answered(Instant::now().into_std(), begun.elapsed()),
        Err(failure) if failure.is_servers() => {
            in_flight.failed(Instant::now().into_std(), begun.elapsed());
        }
        Err(_) => {}
    }
    let Answered {
        response,
        lease,
        patience,
    } = result?;
    record.connected_to(lease.address());
    let (mut parts, body) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let sides = (
            record
                .request
                .extensions
                .remove::<ClientUpgrade>()
                .filter(|_| upgrades),
            parts.extensions.remove::<OnUpgrade>(),
        );
        let (Some(client), Some(server)) = sides else {
            let detail = "an upgrade that nobody asked for".to_owned();
            return Err(Failure::broken("garbled", detail, true));
        };
        let mut answer_headers = parts.headers;
        let protocol = answer_headers.get(UPGRADE).cloned();
        headers::for_client(&mut answer_headers);
        answer_headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(protocol) = protocol {
            answer_headers.insert(UPGRADE, protocol);
        }
        return Ok(answer(
            parts.status,
            answer_headers,
            Content::Tunnel(Box::new(Tunnel {
                client,
                server,
                lease,
                silence: upstream.limits.read,
                in_flight,
                tunnels: worker.tunnels.clone(),
            })),
        ));
    }
    headers::for_client(&mut parts.headers);
    let passed = Passed::new(parts.status, body, lease, patience, in_flight);
    Ok(answer(
        parts.status,
        parts.headers,
        Content::Passed(Box::new(passed)),
    ))
}

fn answer(status: StatusCode, headers: HeaderMap, content: Content) -> Answer {
    Answer {
        status,
        headers,
        content,
    }
}

/// The `Host` that a node is sent.
fn host_for(upstream: &Upstream, index: usize, record: &Record) -> HeaderValue {
    let node = &upstream.nodes[index];
    match &upstream.host {
        Host::Client => headers::client_host(&record.request).unwrap_or_else(|| node.authority.clone()),
        Host::Node => node.authority.clone(),
        Host::Fixed(host) => host.clone(),
    }
}

/// The body as it can be given to a server.
fn passable(worker: &Worker, body: ClientBody, record: &mut Record) -> Result<Passable, CallError> {
    Ok(match body {
        ClientBody::Read(bytes) => {
            record.read_body(&bytes);
            Passable::Bytes(bytes)
        }
        // Nothing to stream, and nothing that could not be sent again.
        ClientBody::Unread(incoming) if incoming.is_end_stream() => Passable::Bytes(bytes::Bytes::new()),
        ClientBody::Unread(incoming) => {
            let limit = worker.gateway.snapshot().native.max_body_bytes;
            if incoming.size_hint().lower() > limit {
                return Err(CallError::too_large(limit));
            }
            let stream = ClientStream::new(incoming, limit);
            record.watch_body(&stream);
            Passable::Stream(stream)
        }
        ClientBody::Lost => return Err(incomplete_body()),
    })
}

/// What the server is asked for: the address in the form that servers expect.
fn path_and_query(uri: &Uri) -> Uri {
    uri.path_and_query()
        .cloned()
        .map_or_else(|| Uri::from_static("/"), Uri::from)
}

/// What the consistent hash of a call is made of; the client's address if that is empty.
fn hash_key(
    worker: &Worker,
    upstream: &Upstream,
    route: &ObjectRoute,
    passing: &Passing,
    body: &ClientBody,
    record: &mut Record,
) -> String {
    let (client, tls) = (record.client(), record.is_encrypted());
    let snapshot = worker.gateway.snapshot();
    let call = Call {
        request: &mut record.request,
        client,
        tls,
        request_id: &record.request_id,
        route_id: &route.id,
        service_id: route.service_id.as_deref(),
        path_parameters: &passing.path_parameters,
        directory: &snapshot.plane.directory,
        consumer: passing.consumer.clone(),
        body: body.bytes(),
        now: clock::steady(),
        wall: None,
        answer_headers: HeaderMap::new(),
        at_end: Vec::new(),
    };
    upstream.hash_key.of(&call)
}

fn tell_statuses(statuses: &[u16], record: &mut Record) {
    if statuses.last().is_none_or(|last| *last < 500) {
        return;
    }
    let all: Vec<String> = statuses.iter().map(u16::to_string).collect();
    if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
        record.answer_headers.insert(&UPSTREAM_STATUS, value);
    }
}

/// Tunnels to anywhere and echoes of requests are for nobody, like in nginx.
fn not_allowed() -> CallError {
    CallError::client(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::BadRequest,
        "method_not_allowed",
        "this method is not passed on",
    )
}

fn no_node() -> CallError {
    CallError::upstream(
        StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Overloaded,
        "no_upstream_node",
        "no valid upstream node",
        "the upstream has no node that takes calls",
    )
}
