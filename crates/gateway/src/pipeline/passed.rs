//! Answers that are passed on as they came: what AI plugins do where both sides speak the same API. They are read for
//! accounting, and to know whether they are answers at all before anything of them is passed on.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::answer::{self, ACCEL_BUFFERING, Answer, Content, error_inside_200};
use super::attempt::Common;
use super::begin::{Begun, Until, begin};
use super::choose::Candidate;
use super::encode::Encoded;
use super::mask::{masked, masked_error, may_tell_error};
use super::record::{Attempt, Record};
use super::relay::Streaming;
use super::send::UpstreamAnswer;
use super::transform::Transform;
use crate::ai::protocol::Protocol;
use crate::ai::reading::{Facts, Framing, Reader};
use crate::ai::vertex;
use crate::error::AttemptError;
use crate::manners::Manners;
use crate::plugins::Key;

/// Passes an answer on.
///
/// # Errors
/// The answer is late, cut, larger than allowed or none, and nothing of it has been passed on.
pub async fn pass(
    call: &Common<'_>,
    protocol: Protocol,
    candidate: &Candidate,
    encoded: &Encoded,
    upstream: &mut UpstreamAnswer,
    attempt: &mut Attempt,
) -> Result<Answer, AttemptError> {
    attempt.passed_as = Some(protocol);
    let limit = max_response_bytes(candidate);
    let mut headers = answer::passed_headers(&upstream.headers);
    for name in [CONTENT_TYPE, CONTENT_ENCODING] {
        if let Some(value) = upstream.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let strict = call.record.manners == Manners::ApisixStrict;
    // What is no success is read as a whole, however it is framed: it may quote a key, which can stand anywhere in it.
    let framing = if upstream.status.is_success() {
        framing(&upstream.headers)
    } else {
        Framing::Json
    };
    // APISIX passes on what it gets. What is compressed nobody here can read.
    let unread = strict || answer::is_coded(&upstream.headers);
    match framing {
        Framing::Json => {
            let body = answer::collect(upstream, candidate, limit)
                .await
                .map_err(|failure| worded(failure, limit))?;
            attempt.first_byte();
            let mut reader = Reader::new(protocol, Framing::Json, 0);
            reader.feed(&body);
            let facts = reader.finish();
            if upstream.status.is_success() && !unread {
                judge(protocol, upstream.status, &body, &facts, candidate)?;
            }
            attempt.read(facts);
            // The provider's own words about a failure may quote the key.
            let body = if !upstream.status.is_success() || may_tell_error(&body) {
                masked(body, &candidate.instance)
            } else {
                body
            };
            let body = own_form(protocol, upstream.status, body, candidate, call.record)?;
            attempt.end(&call.record.request_id, "ok", Some(upstream.status), None);
            Ok(Answer {
                status: upstream.status,
                headers,
                content: Content::Whole(body),
            })
        }
        framing => {
            headers
                .entry(CACHE_CONTROL)
                .or_insert(HeaderValue::from_static("no-cache"));
            headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
            let mut transform = Transform::passing(protocol, framing, unread, encoded.hide_usage);
            let mut begun = Begun::default();
            if !unread {
                begun = begin(
                    upstream,
                    &mut transform,
                    candidate,
                    attempt,
                    Until::Content,
                    limit,
                )
                .await
                .map_err(|failure| worded(failure, limit))?;
            }
            let status = upstream.status;
            let left = limit.map(|limit| limit.saturating_sub(begun.received));
            let mut streaming =
                Streaming::new(begun, transform, upstream.body.take(), candidate, attempt.started);
            streaming.limit(left);
            Ok(Answer {
                status,
                headers,
                content: Content::Stream(Box::new(streaming)),
            })
        }
    }
}

/// Whether a whole answer is one. Where nobody here can say, it is.
fn judge(
    protocol: Protocol,
    status: StatusCode,
    body: &Bytes,
    facts: &Facts,
    candidate: &Candidate,
) -> Result<(), AttemptError> {
    // Nothing is known of an answer to what was not understood: sound, files, no body at all.
    if protocol == Protocol::Passthrough {
        return Ok(());
    }
    let bad = |outcome, detail| Err(AttemptError::garbled(outcome, status, detail));
    if body.iter().all(u8::is_ascii_whitespace) {
        bad("empty", "the answer has no body")
    } else if facts.unreadable {
        bad("garbled", "the answer is not JSON")
    } else if let Some(told) = &facts.failed {
        Err(error_inside_200(masked_error(told, &candidate.instance)))
    } else if !facts.content_seen && !facts.stopped && !facts.foreign {
        bad("empty", "the answer says nothing")
    } else {
        Ok(())
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
) -> Result<Bytes, AttemptError> {
    if protocol != Protocol::VertexPredict || !status.is_success() {
        return Ok(body);
    }
    let model = candidate.upstream_model();
    match vertex::answer(&body, Some(model).filter(|model| !model.is_empty())) {
        Ok(translated) => Ok(translated.into()),
        Err(error) if record.manners == Manners::ApisixStrict => {
            tracing::warn!(request_id = %record.request_id, %error, "an answer is passed on untranslated");
            Ok(body)
        }
        Err(error) => Err(AttemptError::garbled("garbled", status, error.to_string())),
    }
}

/// The most bytes that an instance of an AI plugin may answer.
pub(super) fn max_response_bytes(candidate: &Candidate) -> Option<u64> {
    candidate.instance.ai.as_ref()?.max_response_bytes
}

/// The failure of reading an answer that may have so many bytes, as APISIX words it.
pub(super) fn worded(mut failure: AttemptError, limit: Option<u64>) -> AttemptError {
    if failure.outcome == "too_large" && limit.is_some() {
        failure.error.message = "max_response_bytes exceeded".into();
        failure.error = failure.error.told_as(Key::ErrorMsg).told_as_text();
    }
    failure
}
