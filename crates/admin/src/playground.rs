//! `/tollgate/v1/playground/{path}`: a call through the gateway's own front door, for people who try something.
//!
//! The call is one like any other: it needs a key where calls need one, it counts, and it is in the ledger. Nothing of who is
//! signed in goes along.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use tollgate_resources::egress::Origin;
use tollgate_telemetry::outbound::{Place, relay};

use crate::answer::Answer;
use crate::node::Node;
use crate::v1::Problem;

/// The largest body, in bytes: prompts with pictures are large.
pub(crate) const BODY_LIMIT: usize = 20 * 1024 * 1024;

/// How long connecting to ourselves may take.
const CONNECT: Duration = Duration::from_secs(5);

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

/// Makes the call.
pub(crate) async fn answer(node: &Node, parts: &Parts, body: Vec<u8>) -> Result<Answer, Problem> {
    let address = node.front_door().ok_or_else(|| {
        unavailable(
            "the playground needs a listener without TLS on this machine; add one to server.listen, such as 127.0.0.1:8080",
        )
    })?;
    let path = parts
        .uri
        .path_and_query()
        .and_then(|path| path.as_str().strip_prefix(PREFIX))
        .filter(|path| path.starts_with('/'))
        .ok_or_else(|| Problem::unknown("write the path of a call after playground/"))?;
    let (request, used) = request(address, path, parts, body)?;
    let place = Place {
        host: address.ip().to_string(),
        port: address.port(),
        tls: None,
        origin: Origin::Operator,
    };
    let answered = relay(&place, CONNECT, request)
        .await
        .map_err(|error| unavailable(format!("the call did not get through: {error}")))?;
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

fn request(
    address: SocketAddr,
    path: &str,
    parts: &Parts,
    body: Vec<u8>,
) -> Result<(Request<Full<Bytes>>, &'static str), Problem> {
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = path
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
    let host = HeaderValue::try_from(address.to_string()).map_err(|error| unavailable(error.to_string()))?;
    headers.insert(HOST, host);
    let Some(key) = parts.headers.get(KEY).filter(|key| !key.is_empty()) else {
        return Ok((request, "none"));
    };
    let bearer = [b"Bearer ", key.as_bytes()].concat();
    let mut bearer = HeaderValue::from_bytes(&bearer)
        .map_err(|_| Problem::invalid("x-playground-key", "write the key of a consumer"))?;
    bearer.set_sensitive(true);
    headers.insert(AUTHORIZATION, bearer);
    Ok((request, "yours"))
}

fn unavailable(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
}
