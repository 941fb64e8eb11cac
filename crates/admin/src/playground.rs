//! `/tollgate/v1/playground/{path}`: calls of people who try something, for whom no key is made: nothing could leak that lives on.
//!
//! A call goes the way of every other, within the process. Who is signed in calls under a name of their own, which no consumer
//! has, if their role may; or with the key of a consumer, to see what that one would. It counts, and it is in the ledger.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tollgate_gateway::Guest;
use tollgate_gateway::server::{InsideBody, InsideCall, InsideError};

use crate::actor::Actor;
use crate::answer::Answer;
use crate::node::Node;
use crate::settings::Role;
use crate::v1::Problem;

/// The largest body, in bytes: prompts with pictures are large.
pub(crate) const BODY_LIMIT: usize = 20 * 1024 * 1024;

/// How long after an entry of the audit log about somebody there is no other, in seconds. The ledger has every call.
const TOLD_EVERY_S: u64 = 15 * 60;

/// People of whom it is remembered that the audit log was told of them.
const REMEMBERED: usize = 10_000;

/// The header that holds the key that the call is made with.
const KEY: HeaderName = HeaderName::from_static("x-playground-key");

/// The header that says whose key that was: `yours` or `none`.
const USED: HeaderName = HeaderName::from_static("x-tollgate-playground-key");

/// Headers that mean something to the call.
const PASSED: [&str; 6] = [
    "content-type",
    "accept",
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
    "x-goog-api-client",
];

/// Where this is.
const PREFIX: &str = "/tollgate/v1/playground";

/// The path whose answer costs nothing: whoever may read may know which models there are.
const MODELS: &str = "/v1/models";

/// Of whom the audit log has said lately that they use the playground.
#[derive(Default)]
pub(crate) struct Told(Mutex<HashMap<(String, &'static str), u64>>);

impl Told {
    /// Whether the audit log is to be told of somebody now.
    pub(crate) fn is_new(&self, actor: &Actor, now_s: u64) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| now_s < at.saturating_add(TOLD_EVERY_S));
        let who = (actor.name.clone(), actor.via.word());
        if told.contains_key(&who) {
            return false;
        }
        if told.len() < REMEMBERED {
            told.insert(who, now_s);
        }
        true
    }
}

/// As whom a call is made; `None` with a key of one's own.
///
/// # Errors
/// The role may not call models.
pub(crate) fn guest(actor: &Actor, parts: &Parts, roles: &[Role]) -> Result<Option<Arc<Guest>>, Problem> {
    if parts.headers.get(KEY).is_some_and(|key| !key.is_empty()) {
        return Ok(None);
    }
    let lists = parts.method == Method::GET && path(parts).is_some_and(|path| path == MODELS);
    if !lists && !roles.contains(&actor.role) {
        let role = actor.role.word();
        return Err(Problem::forbidden(format!(
            "the role {role} calls no models here without a key, because calls cost money; add it to admin.playground, or use \
             the key of a consumer"
        )));
    }
    Ok(Some(Arc::new(person(actor))))
}

/// Somebody who is signed in, as a caller. Who may change everything is let in everywhere; who is of teams calls for the first.
pub(crate) fn person(actor: &Actor) -> Guest {
    let team = actor.scope().and_then(|teams| teams.first());
    Guest::new(&actor.name, team.map(String::as_str), actor.writes_all())
}

/// The call that a request asks for.
///
/// # Errors
/// Nobody serves calls here, or it is no call.
pub(crate) fn call(
    node: &Node,
    actor: &Actor,
    guest: Option<Arc<Guest>>,
    parts: &Parts,
    body: Vec<u8>,
) -> Result<InsideCall, Problem> {
    let (tls, server) = node
        .front_door()
        .ok_or_else(|| unavailable("this gateway serves no calls; give it an address in server.listen"))?;
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = path(parts)
        .ok_or_else(|| Problem::unknown("write the path of a call after playground/"))?
        .parse()
        .map_err(|_| Problem::unknown("this is no path of a call"))?;
    let headers = request.headers_mut();
    for name in PASSED {
        if let Some(value) = parts.headers.get(name) {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    headers
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    let host = HeaderValue::try_from(server.to_string()).map_err(|error| unavailable(error.to_string()))?;
    headers.insert(HOST, host);
    if let Some(key) = parts.headers.get(KEY).filter(|_| guest.is_none()) {
        let bearer = [b"Bearer ", key.as_bytes()].concat();
        let mut bearer = HeaderValue::from_bytes(&bearer)
            .map_err(|_| Problem::invalid("x-playground-key", "write the key of a consumer"))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(InsideCall {
        request,
        client: SocketAddr::new(actor.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), 0),
        server: Some(server),
        tls,
        guest,
    })
}

/// What the person is told.
///
/// # Errors
/// There is no answer.
pub(crate) fn answer(
    answered: Result<Response<InsideBody>, InsideError>,
    used: &'static str,
) -> Result<Answer, Problem> {
    let answered = answered.map_err(|error| match error {
        InsideError::Busy => Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", error.to_string()),
        error => unavailable(error.to_string()),
    })?;
    let (mut head, body) = answered.into_parts();
    for hop in [
        CONNECTION,
        TRANSFER_ENCODING,
        HeaderName::from_static("keep-alive"),
    ] {
        head.headers.remove(hop);
    }
    // A page of the data port must not act as one of the Admin API.
    head.headers.remove("set-cookie");
    let mut answer = Answer::streamed(head.status, Body::new(body));
    answer.headers = head.headers;
    answer
        .headers
        .insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
        .headers
        .insert("content-security-policy", HeaderValue::from_static("sandbox"));
    Ok(answer.with(USED, HeaderValue::from_static(used)))
}

/// The path and query of the call.
fn path(parts: &Parts) -> Option<&str> {
    let whole = parts.uri.path_and_query()?.as_str();
    whole.strip_prefix(PREFIX).filter(|path| path.starts_with('/'))
}

fn unavailable(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
}
