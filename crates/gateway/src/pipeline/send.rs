//! Sends one request to one instance and waits for the head of the answer.

use std::borrow::Cow;

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::Instant;
use tollgate_dialects::canonical::ErrorKind;

use super::attempt::Common;
use super::authorize::authorize;
use super::choose::Candidate;
use super::encode::{Encoded, refused};
use super::explain;
use super::record::Attempt;
use crate::error::{AttemptError, CallError};
use crate::providers::{Credentials, OUR_NAME, UnusableName, add_headers, simulated};
use crate::upstream::{CallRequest, Endpoint, Scheme, SendError, UpstreamBody, Within};

/// The head of an answer, with its body still to be read.
pub struct UpstreamAnswer {
    /// The provider's status.
    pub status: StatusCode,
    /// The provider's headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: UpstreamBody,
    /// When the request was sent.
    pub sent: Instant,
}

/// Sends a request. Cancel-safe: dropping the future closes the connection.
///
/// # Errors
/// No connection, no answer in time, or the connection broke.
pub async fn send(
    call: &Common<'_>,
    candidate: &Candidate,
    encoded: &Encoded,
    attempt: &mut Attempt,
) -> Result<UpstreamAnswer, AttemptError> {
    let instance = &candidate.instance;
    let endpoint = &instance.endpoint;
    let (method, mut headers) = match &encoded.target {
        Some(target) => {
            attempt.uri.clone_from(&target.path_and_query);
            (target.method.clone(), Cow::Borrowed(&target.headers))
        }
        None => {
            let mut headers = Cow::Borrowed(&instance.headers);
            add_headers(
                encoded.operation,
                call.head.dialect,
                &call.record.request.headers,
                &mut headers,
            );
            let path = encoded
                .operation
                .path(candidate.upstream_model(), call.asked.stream)
                .map_err(|error| refused(unusable_name(&error)))?;
            attempt.uri = address(endpoint, &path);
            if call.asked.stream {
                let accept = encoded.operation.stream_type();
                headers.to_mut().insert(ACCEPT, HeaderValue::from_static(accept));
            }
            (Method::POST, headers)
        }
    };
    if let Some(explanation) = call.record.explains() {
        if encoded.target.is_none() && !matches!(instance.credentials, Credentials::Headers) {
            explanation.note("a token or signature is added when the request is sent");
        }
        explanation.request(candidate, encoded, &method, &attempt.uri, &headers);
        return Err(explain::not_sent());
    }
    if let Scheme::Simulated { query } = &endpoint.scheme {
        attempt.handed_over.set(true);
        return Ok(simulated::answer(
            query,
            &simulated::Asked {
                operation: encoded.operation,
                model: candidate.upstream_model(),
                stream: call.asked.stream,
                headers: &headers,
                body: &encoded.body.to_bytes(),
            },
        ));
    }
    if encoded.target.is_none() && !matches!(instance.credentials, Credentials::Headers) {
        // Boxed: few calls pay for its size.
        Box::pin(authorize(call, candidate, encoded, attempt, headers.to_mut())).await?;
    }
    // After signing, which leaves them out: servers on the way change them.
    if attempt.is_traced() {
        attempt.write_trace(call.record, headers.to_mut());
    }
    if encoded.target.is_some() && !headers.contains_key(USER_AGENT) {
        headers.to_mut().insert(USER_AGENT, OUR_NAME);
    }
    let asked = CallRequest {
        method: &method,
        target: &attempt.uri,
        headers: &headers,
        body: &encoded.body,
    };
    if !asked.is_sound() {
        let detail = format!("{} cannot stand in an address", attempt.uri.escape_debug());
        return Err(AttemptError::connect("connect_error", detail));
    }
    let limits = candidate.model.timeouts;
    let within = Within {
        connect: limits.connect,
        answer: limits.first_byte,
    };
    let addresses = instance
        .health
        .as_ref()
        .and_then(|on_duty| on_duty.health.addresses());
    let begins = || attempt.handed_over.set(true);
    let sent = call
        .pools
        .send(endpoint, addresses.as_deref(), &asked, within, begins);
    match sent.await {
        Err(SendError::Late) => Err(AttemptError::timeout("first_byte_timeout", limits.first_byte)),
        Err(SendError::Connect(error)) => Err(*error),
        Err(SendError::Broken(detail)) => Err(AttemptError::broken("connection_lost", detail)),
        Ok(received) => {
            attempt.connected_to = Some(received.address);
            Ok(UpstreamAnswer {
                status: received.status,
                headers: received.headers,
                body: received.body,
                sent: received.sent,
            })
        }
    }
}

/// Path and query of a call at an endpoint.
fn address(endpoint: &Endpoint, path: &str) -> String {
    let query_length = endpoint.query.as_ref().map_or(0, |query| query.len() + 1);
    let mut uri = String::with_capacity(endpoint.base_path.len() + path.len() + query_length);
    uri.push_str(&endpoint.base_path);
    uri.push_str(path);
    if let Some(query) = &endpoint.query {
        uri.push(if path.contains('?') { '&' } else { '?' });
        uri.push_str(query);
    }
    uri
}

fn unusable_name(error: &UnusableName) -> CallError {
    CallError::client(
        StatusCode::BAD_REQUEST,
        ErrorKind::BadRequest,
        "model_unusable",
        error.to_string(),
    )
    .at("model")
}
