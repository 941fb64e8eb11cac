//! Encodes the one error type into an answer in the client's dialect. The only place where that happens.

mod apisix;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tollgate_dialects::canonical::Event;
use tollgate_dialects::codec::{AnswerStyle, StreamEncoder};
use tollgate_dialects::{Dialect, Losses, bedrock_converse, codec};
use tollgate_telemetry::metrics::Limit;

use super::answer::{APPLICATION_JSON, Answer, Content, ERROR_TYPE};
use super::bounds;
use super::record::Record;
use super::relay::AnswerBody;
use crate::error::{CallError, Fault, INVALID_FRAMING, OVERLOADED, REQUEST_TIMEOUT, REQUEST_TOO_LARGE};
use crate::wrong_keys::TOO_MANY_WRONG_KEYS;

/// Gives an error to the client.
pub fn refuse(error: &CallError, mut record: Box<Record>) -> Response<AnswerBody> {
    note(error, &mut record);
    let demo = record.manners.is_demo();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, APPLICATION_JSON);
    if let Some(value) = &error.retry_after {
        headers.insert(RETRY_AFTER, value.clone());
    }
    let mut status = error.status_for(record.dialect);
    let body = match &error.verbatim {
        Some(verbatim) if verbatim.dialect.is_none_or(|dialect| dialect == record.dialect) => {
            status = error.status;
            headers.insert(
                CONTENT_TYPE,
                verbatim.content_type.clone().unwrap_or(APPLICATION_JSON),
            );
            verbatim.body.clone()
        }
        _ if demo && error.fault != Fault::Upstream => demo_body(error),
        _ if record.manners.is_apisix() => apisix::body(error, &record, &mut headers),
        _ => codec::encode_error(
            record.dialect,
            &error.to_provider_error(),
            Some(&record.request_id),
        )
        .into(),
    };
    if record.dialect == Dialect::BedrockConverse && !record.manners.is_apisix() {
        let told = error
            .verbatim
            .as_ref()
            .and_then(|verbatim| verbatim.error_type.clone());
        let name = || HeaderValue::from_static(bedrock_converse::exception_name(&error.to_provider_error()));
        headers.insert(ERROR_TYPE, told.unwrap_or_else(name));
    }
    if error.code == INVALID_FRAMING {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    match status {
        // A client of the gateway's own door; a provider's 401 is told without it.
        StatusCode::UNAUTHORIZED if error.fault == Fault::Client && !record.manners.is_apisix() => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
        }
        _ => {}
    }
    Answer {
        status,
        headers,
        content: Content::Whole(body),
    }
    .into_response(record)
}

/// Tells an error in a stream that has begun with nothing, and whose status has been told.
pub fn within_stream(error: &CallError, client: Dialect, mut record: Box<Record>) -> Response<AnswerBody> {
    note(error, &mut record);
    let style = AnswerStyle {
        request_id: Some(record.request_id.clone()),
        ..AnswerStyle::default()
    };
    let mut out = Vec::new();
    let event = Event::Error(error.to_provider_error());
    StreamEncoder::new(client, &style).encode(&event, &mut Losses::new(), &mut out);
    Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        content: Content::Whole(out.into()),
    }
    .into_response(record)
}

/// Notes an error where operators look.
fn note(error: &CallError, record: &mut Record) {
    record.error_code = Some(error.code.clone());
    match error.fault {
        Fault::Client => {
            if let Some(limit) = limit_of(&error.code) {
                record.reached(limit);
            }
            tracing::debug!(request_id = %record.request_id, code = %error.code, detail = error.detail, "refused")
        }
        Fault::Upstream => {
            tracing::warn!(request_id = %record.request_id, code = %error.code, detail = error.detail, "no provider could answer");
        }
        // Counted; a line for each would be one more load.
        Fault::Gateway if error.code == OVERLOADED => {
            tracing::debug!(request_id = %record.request_id, detail = error.detail, "refused")
        }
        Fault::Gateway => {
            tracing::error!(request_id = %record.request_id, code = %error.code, message = %error.message, detail = error.detail, "call failed")
        }
    }
}

/// The limit that a request ran into which is refused with this code.
fn limit_of(code: &str) -> Option<Limit> {
    match code {
        bounds::URI_TOO_LONG => Some(Limit::MaxUri),
        bounds::TOO_MANY_HEADERS => Some(Limit::MaxHeaders),
        bounds::HEADERS_TOO_LARGE => Some(Limit::MaxHeader),
        REQUEST_TOO_LARGE => Some(Limit::MaxBody),
        REQUEST_TIMEOUT => Some(Limit::BodyTimeout),
        TOO_MANY_WRONG_KEYS => Some(Limit::MaxWrongKeys),
        _ => None,
    }
}

/// The NGINX demo's own errors have a message and nothing else.
fn demo_body(error: &CallError) -> Bytes {
    serde_json::json!({ "error": { "message": error.message } })
        .to_string()
        .into()
}
