//! Errors of a provider, read and written: `{"type":"error","error":{"type","message"},"request_id"}`.
//!
//! Statuses and content types lie, so an error is read by its content: this dialect's shape, then the shapes of other
//! vendors and proxies, then plain text.

use crate::json::Raw;

use crate::canonical::{ErrorKind, ProviderError};
use crate::json::{Object, RawJson, Writer};

/// Most characters of a message that is no JSON (an HTML page of a proxy, say).
const MAX_PLAIN_TEXT: usize = 500;

/// Reads an error answer.
pub fn decode_error(status: u16, body: &[u8]) -> ProviderError {
    let text = String::from_utf8_lossy(body);
    let fallback = kind_of_status(status);
    let mut error = read(text.trim(), fallback).unwrap_or_else(|| plain(&text, fallback));
    error.status = status;
    error
}

/// Reads an error event inside a stream; its status is the one it would have had.
pub fn decode_stream_error(text: &str) -> ProviderError {
    let mut error = read(text, ErrorKind::Server).unwrap_or_else(|| plain(text, ErrorKind::Server));
    error.status = status_of_kind(error.kind);
    error
}

/// Writes an error for a client of this dialect, as the body of an answer or as the data of an `error` event.
///
/// An error that was read from this dialect is repeated with all its members. `request_id` is the gateway's own.
pub fn encode_error(error: &ProviderError, request_id: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut w = Writer::new(&mut out);
    w.object(|w| {
        w.key("type").string("error");
        w.key("error");
        match error.raw.as_ref().and_then(native_error) {
            Some(raw) => w.raw(&raw),
            None => w.object(|w| {
                w.key("type").string(type_of_kind(error.kind));
                w.key("message").string(&error.message);
            }),
        }
        w.optional_string("request_id", request_id);
    });
    out
}

/// The `type` this dialect uses for a kind of error.
fn type_of_kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::BadRequest | ErrorKind::ContextTooLong | ErrorKind::ContentPolicy => {
            "invalid_request_error"
        }
        ErrorKind::Authentication => "authentication_error",
        ErrorKind::Permission => "permission_error",
        ErrorKind::Billing => "billing_error",
        ErrorKind::NotFound => "not_found_error",
        ErrorKind::TooLarge => "request_too_large",
        ErrorKind::RateLimit => "rate_limit_error",
        ErrorKind::Overloaded => "overloaded_error",
        ErrorKind::Timeout => "timeout_error",
        ErrorKind::Server => "api_error",
        ErrorKind::Conflict => "conflict_error",
    }
}

fn kind_of_type(native: &str) -> Option<ErrorKind> {
    Some(match native {
        "invalid_request_error" => ErrorKind::BadRequest,
        "authentication_error" => ErrorKind::Authentication,
        "permission_error" => ErrorKind::Permission,
        "billing_error" => ErrorKind::Billing,
        "not_found_error" => ErrorKind::NotFound,
        "request_too_large" => ErrorKind::TooLarge,
        "rate_limit_error" => ErrorKind::RateLimit,
        "overloaded_error" => ErrorKind::Overloaded,
        "timeout_error" => ErrorKind::Timeout,
        "api_error" => ErrorKind::Server,
        "conflict_error" => ErrorKind::Conflict,
        _ => return None,
    })
}

fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 => ErrorKind::Authentication,
        402 => ErrorKind::Billing,
        403 => ErrorKind::Permission,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        409 => ErrorKind::Conflict,
        413 => ErrorKind::TooLarge,
        429 => ErrorKind::RateLimit,
        503 | 529 => ErrorKind::Overloaded,
        400..=499 => ErrorKind::BadRequest,
        _ => ErrorKind::Server,
    }
}

fn status_of_kind(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::BadRequest | ErrorKind::ContextTooLong | ErrorKind::ContentPolicy => 400,
        ErrorKind::Authentication => 401,
        ErrorKind::Billing => 402,
        ErrorKind::Permission => 403,
        ErrorKind::NotFound => 404,
        ErrorKind::Conflict => 409,
        ErrorKind::TooLarge => 413,
        ErrorKind::RateLimit => 429,
        ErrorKind::Server => 500,
        ErrorKind::Timeout => 504,
        ErrorKind::Overloaded => 529,
    }
}

/// What a text says more precisely than its type or status.
fn refine(kind: ErrorKind, message: &str) -> ErrorKind {
    const TOO_LONG: [&str; 6] = [
        "prompt is too long",
        "input is too long",
        "exceed context limit",
        "maximum context length",
        "context window",
        "context length",
    ];
    const NO_MONEY: [&str; 3] = ["credit balance is too low", "insufficient credits", "spend limit"];
    let message = message.to_ascii_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    match kind {
        ErrorKind::BadRequest | ErrorKind::TooLarge if says(&TOO_LONG) => ErrorKind::ContextTooLong,
        ErrorKind::BadRequest | ErrorKind::RateLimit | ErrorKind::Permission if says(&NO_MONEY) => {
            ErrorKind::Billing
        }
        ErrorKind::BadRequest if message.contains("content filtering policy") => ErrorKind::ContentPolicy,
        kind => kind,
    }
}

/// Reads a JSON error; `None` if there is no message in it. `fallback` is the kind where its type says nothing.
fn read(text: &str, fallback: ErrorKind) -> Option<ProviderError> {
    let raw = RawJson::parse(text).ok()?;
    // Some gateways wrap the error into a list of one.
    let inner = match serde_json::from_str::<Vec<Raw<'_>>>(text) {
        Ok(list) => list.first()?.get(),
        Err(_) => text,
    };
    let mut outer = Object::parse(inner, "").ok()?;
    let mut details = match outer.peek("error").map(Raw::get) {
        Some(error) if error.starts_with('{') => Object::parse(error, "error").ok()?,
        _ => Object::parse(inner, "").ok()?,
    };
    let message = ["message", "error", "detail", "Message", "error_msg"]
        .iter()
        .find_map(|name| text_of(details.peek(name)?))
        .or_else(|| text_of(outer.peek("message")?))?;
    let native_type = details
        .take_string("type")
        .ok()
        .flatten()
        .filter(|name| name != "error");
    let code = error_code(&mut details).or_else(|| error_code(&mut outer));
    let param = details.take_string("param").ok().flatten();
    let kind = code.as_deref().and_then(kind_of_code).unwrap_or_else(|| {
        // Some gateways write the status as the code.
        let status = code
            .as_deref()
            .and_then(|code| code.parse().ok())
            .filter(|code| (400..600).contains(code));
        let fallback = status.map_or(fallback, kind_of_status);
        refine(
            native_type.as_deref().and_then(kind_of_type).unwrap_or(fallback),
            &message,
        )
    });
    Some(ProviderError {
        kind,
        status: 0,
        message,
        native_type,
        code,
        param,
        raw: Some(raw),
    })
}

/// The most precise code: `details.error_code`, else `code`.
fn error_code(object: &mut Object<'_>) -> Option<String> {
    let precise = object
        .take_object("details")
        .ok()
        .flatten()
        .and_then(|mut details| details.take_string("error_code").ok().flatten());
    precise.or_else(|| object.take("code").and_then(text_of))
}

/// The codes that say more than the type: this dialect's spend limits (money, not load), and what compatible vendors write.
fn kind_of_code(code: &str) -> Option<ErrorKind> {
    Some(match code {
        "insufficient_quota" => ErrorKind::Billing,
        code if code.ends_with("_spend_limit_reached") => ErrorKind::Billing,
        "request_body_too_large_after_decoding" => ErrorKind::TooLarge,
        "context_length_exceeded" => ErrorKind::ContextTooLong,
        "content_filter" | "content_policy_violation" => ErrorKind::ContentPolicy,
        "invalid_api_key" => ErrorKind::Authentication,
        "model_not_found" => ErrorKind::NotFound,
        "rate_limit_exceeded" => ErrorKind::RateLimit,
        _ => return None,
    })
}

/// A string, or a number as text.
fn text_of(raw: Raw<'_>) -> Option<String> {
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str(raw.get()).ok(),
        b'-' | b'0'..=b'9' => Some(raw.get().to_owned()),
        _ => None,
    }
}

/// Text that is no JSON error: cut, without control characters.
fn plain(text: &str, fallback: ErrorKind) -> ProviderError {
    let message: String = text
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_PLAIN_TEXT)
        .collect();
    ProviderError {
        kind: refine(fallback, &message),
        status: 0,
        message: if message.is_empty() {
            "the provider gave no reason".to_owned()
        } else {
            message
        },
        native_type: None,
        code: None,
        param: None,
        raw: None,
    }
}

/// The `error` member of a document of this dialect.
fn native_error(raw: &RawJson) -> Option<RawJson> {
    let mut object = Object::parse(raw.text(), "").ok()?;
    if object.take_string("type").ok()?? != "error" {
        return None;
    }
    let error = object.take("error")?;
    let mut members = Object::parse(error.get(), "").ok()?;
    (members.take_string("type").ok()?.is_some() && members.has("message")).then(|| RawJson::from(error))
}
