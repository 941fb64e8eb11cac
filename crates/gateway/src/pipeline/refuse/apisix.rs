//! Errors of routes written with APISIX's plugins: APISIX's key and text, and with them, unless every difference is switched
//! off, the error in the client's dialect, so that both kinds of client understand it.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value};
use tollgate_dialects::canonical::ErrorKind;
use tollgate_dialects::codec;

use crate::ai::protocol::bedrock_call;
use crate::error::{CallError, Form};
use crate::manners::Manners;
use crate::pipeline::record::Record;
use crate::plugins::{Key, ReplyBody};

/// The body of an error; sets the headers that go with it.
pub fn body(error: &CallError, record: &Record, headers: &mut HeaderMap) -> Bytes {
    if let Some(told) = &error.reply {
        for (name, value) in &told.reply.headers {
            headers.insert(name, value.clone());
        }
        match &told.replaced_by {
            Some(Value::String(text)) => return plain(text, headers),
            Some(other) => return line(other),
            None => {}
        }
    }
    let form = match error.reply.as_ref().map(|told| &told.reply.body) {
        Some(ReplyBody::Json(value)) => return line(value),
        Some(ReplyBody::Text(text)) => return plain(text, headers),
        Some(ReplyBody::Error(key, _)) => Form::Json(*key),
        Some(ReplyBody::None) => Form::Page,
        None => error.form,
    };
    let strict = record.manners == Manners::ApisixStrict;
    match form {
        Form::Json(key) if strict => line(&keyed(key, &error.message).into()),
        Form::Text if strict => plain(&error.message, headers),
        Form::Page if strict => page(error.status, headers),
        // An answer that is no error, such as that to a preflight request.
        Form::Page if error.status.as_u16() < 400 => {
            headers.remove(CONTENT_TYPE);
            Bytes::new()
        }
        Form::Json(key) => both(key, error, record, headers),
        Form::Text | Form::Page => both(Key::ErrorMsg, error, record, headers),
    }
}

/// The error in the client's dialect, with APISIX's key beside it.
fn both(key: Key, error: &CallError, record: &Record, headers: &mut HeaderMap) -> Bytes {
    let encoded = codec::encode_error(
        record.dialect,
        &error.to_provider_error(),
        Some(&record.request_id),
    );
    let mut members = match serde_json::from_slice(&encoded) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    members.extend(keyed(key, &error.message));
    if bedrock_call(record.request.uri.path()).is_some() {
        members.extend(keyed(Key::Message, &error.message));
        headers.insert(
            "x-amzn-errortype",
            HeaderValue::from_static(amazon_type(error.kind)),
        );
    }
    line(&members.into())
}

/// By which Amazon's clients know an error.
fn amazon_type(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::BadRequest
        | ErrorKind::ContextTooLong
        | ErrorKind::ContentPolicy
        | ErrorKind::TooLarge
        | ErrorKind::Conflict => "ValidationException",
        ErrorKind::Authentication | ErrorKind::Permission | ErrorKind::Billing => "AccessDeniedException",
        ErrorKind::NotFound => "ResourceNotFoundException",
        ErrorKind::RateLimit => "ThrottlingException",
        ErrorKind::Overloaded => "ServiceUnavailableException",
        ErrorKind::Timeout => "ModelTimeoutException",
        ErrorKind::Server => "InternalServerException",
    }
}

fn keyed(key: Key, text: &str) -> Map<String, Value> {
    let name = match key {
        Key::Message => "message",
        Key::ErrorMsg => "error_msg",
    };
    Map::from_iter([(name.to_owned(), text.into())])
}

fn line(value: &Value) -> Bytes {
    format!("{value}\n").into()
}

fn plain(text: &str, headers: &mut HeaderMap) -> Bytes {
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Bytes::copy_from_slice(text.as_bytes())
}

fn page(status: StatusCode, headers: &mut HeaderMap) -> Bytes {
    if status.as_u16() < 400 {
        headers.remove(CONTENT_TYPE);
        return Bytes::new();
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let title = format!(
        "{} {}",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error")
    );
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         <hr><center>tollgate</center>\r\n</body>\r\n</html>\r\n"
    )
    .into()
}
