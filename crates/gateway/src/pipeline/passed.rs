//! Answers that are passed on as they came, read only for accounting: what AI plugins do where both sides speak the same API.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::answer::{self, Answer, Content};
use super::attempt::Common;
use super::choose::Candidate;
use super::encode::Encoded;
use super::mask::{masked, may_tell_error};
use super::record::{Attempt, Record};
use super::relay::Streaming;
use super::send::UpstreamAnswer;
use super::transform::Transform;
use crate::ai::protocol::Protocol;
use crate::ai::reading::{Framing, Reader};
use crate::ai::vertex;
use crate::error::AttemptError;
use crate::manners::Manners;
use crate::plugins::Key;

/// Passes an answer on.
///
/// # Errors
/// The answer is late, cut, or larger than allowed, and nothing of it has been passed on.
pub async fn pass(
    call: &Common<'_>,
    protocol: Protocol,
    candidate: &Candidate,
    encoded: &Encoded,
    mut upstream: UpstreamAnswer,
    attempt: &mut Attempt,
) -> Result<Answer, AttemptError> {
    attempt.passed_as = Some(protocol);
    let limit = candidate
        .instance
        .ai
        .as_ref()
        .and_then(|ai| ai.max_response_bytes);
    let mut headers = answer::passed_headers(&upstream.headers);
    for name in [CONTENT_TYPE, CONTENT_ENCODING] {
        if let Some(value) = upstream.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    // What is no success is read as a whole, however it is framed: it may quote a key, which can stand anywhere in it.
    let framing = if upstream.status.is_success() {
        framing(&upstream.headers)
    } else {
        Framing::Json
    };
    match framing {
        Framing::Json => {
            let body = answer::collect(&mut upstream, candidate, limit)
                .await
                .map_err(worded)?;
            attempt.first_byte();
            let mut reader = Reader::new(protocol, Framing::Json, 0);
            reader.feed(&body);
            attempt.read(reader.finish());
            // The provider's own words about a failure may quote the key.
            let body = if !upstream.status.is_success() || may_tell_error(&body) {
                masked(body, &candidate.instance)
            } else {
                body
            };
            let body = own_form(protocol, upstream.status, body, candidate, call.record);
            attempt.end(&call.record.request_id, "ok", Some(upstream.status), None);
            Ok(Answer {
                status: upstream.status,
                headers,
                content: Content::Whole(body),
            })
        }
        framing => {
            let whole_events = call.record.manners != Manners::ApisixStrict && framing == Framing::Sse;
            headers
                .entry(CACHE_CONTROL)
                .or_insert(HeaderValue::from_static("no-cache"));
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
            let transform = Transform::passing(
                Reader::new(protocol, framing, 0),
                call.record.dialect,
                whole_events,
                encoded.hide_usage,
            );
            let status = upstream.status;
            let mut streaming =
                Streaming::new(Vec::new(), transform, upstream.body, candidate, attempt.started);
            streaming.limit(limit);
            Ok(Answer {
                status,
                headers,
                content: Content::Stream(Box::new(streaming)),
            })
        }
    }
}

/// How an answer is framed, by its own word.
fn framing(headers: &HeaderMap) -> Framing {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if media_type.contains("text/event-stream") {
        Framing::Sse
    } else if media_type.contains("application/vnd.amazon.eventstream") {
        Framing::AwsEventStream
    } else {
        Framing::Json
    }
}

/// The answer in the API that the client speaks.
fn own_form(
    protocol: Protocol,
    status: StatusCode,
    body: Bytes,
    candidate: &Candidate,
    record: &Record,
) -> Bytes {
    if protocol != Protocol::VertexPredict || !status.is_success() {
        return body;
    }
    let model = candidate.upstream_model();
    match vertex::answer(&body, Some(model).filter(|model| !model.is_empty())) {
        Ok(translated) => translated.into(),
        Err(error) => {
            tracing::warn!(request_id = %record.request_id, %error, "an answer is passed on untranslated");
            body
        }
    }
}

fn worded(mut failure: AttemptError) -> AttemptError {
    if failure.outcome == "too_large" {
        failure.error.message = "max_response_bytes exceeded".into();
        failure.error = failure.error.told_as(Key::ErrorMsg).told_as_text();
    }
    failure
}
