//! Errors of a provider, read and written: `{"id","message"}`, sometimes with an `error_type`.
//!
//! Official clients choose the exception by the status alone. Inside a stream an error is a `message-end` with the finish
//! reason `ERROR` or `TIMEOUT` and, since 2025, a text in `error`.

use crate::json::Raw;

use super::stop;
use crate::canonical::{ErrorKind, ProviderError};
use crate::json::{Object, RawJson, Writer};

/// Most characters of a message that is no JSON (an HTML page of a proxy, say).
const MAX_PLAIN_TEXT: usize = 500;

/// What is said of an error without a text.
const NO_REASON: &str = "the provider gave no reason";

/// Reads an error answer, whatever it looks like.
pub fn decode_error(status: u16, body: &[u8]) -> ProviderError {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let mut error = read(text, status).unwrap_or_else(|| plain(text, status));
    error.status = status;
    error
}

/// Reads an error inside a stream, or in an answer with a status of success; its status is the one it would have had.
pub fn decode_error_inside(document: &str) -> ProviderError {
    let text = document.trim();
    let mut error = read_end(text)
        .or_else(|| read(text, 0))
        .unwrap_or_else(|| plain(text, 0));
    error.status = status_of_kind(error.kind);
    error
}

/// Reads a `message-end` that tells a failure.
fn read_end(text: &str) -> Option<ProviderError> {
    let mut end = Object::parse(text, "").ok()?;
    let mut delta = end.take_object("delta").ok()??;
    let word = delta.take_string("finish_reason").ok().flatten();
    let message = delta.peek("error").and_then(text_of);
    let kind = stop::failure(word.as_deref());
    if kind.is_none() && message.is_none() {
        return None;
    }
    let message = message.unwrap_or_else(|| match kind {
        Some(ErrorKind::Timeout) => "the answer was not finished in time".to_owned(),
        _ => NO_REASON.to_owned(),
    });
    Some(ProviderError {
        kind: refine(kind.unwrap_or(ErrorKind::Server), None, &message),
        status: 0,
        message,
        native_type: word,
        code: None,
        param: None,
        raw: RawJson::parse(text).ok(),
    })
}

/// Writes an error answer. An error that came from this dialect is repeated with all its members.
pub fn encode_error(error: &ProviderError, request_id: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut w = Writer::new(&mut out);
    match error.raw.as_ref().filter(|raw| is_own(raw)) {
        Some(raw) => w.raw(raw),
        None => w.object(|w| {
            w.optional_string("id", request_id);
            w.key("message").string(&error.message);
        }),
    }
    out
}

/// Whether a document is an error answer of this dialect.
fn is_own(raw: &RawJson) -> bool {
    Object::parse(raw.text(), "").is_ok_and(|object| {
        let is_string = |name: &str| object.peek(name).is_some_and(|raw| raw.get().starts_with('"'));
        is_string("message") && is_string("id") && !object.has("error")
    })
}

/// Writes the end of a stream that failed. A failure that came from this dialect is repeated with all its members; it is
/// never followed by `[DONE]`.
pub(super) fn write_end(out: &mut Vec<u8>, error: &ProviderError, usage: impl FnOnce(&mut Writer<'_>)) {
    let own = error.raw.as_ref().filter(|raw| {
        Object::parse(raw.text(), "").is_ok_and(|object| {
            object
                .peek("type")
                .is_some_and(|kind| kind.get() == "\"message-end\"")
        })
    });
    if let Some(raw) = own {
        return crate::anthropic_messages::write_frame(out, "message-end", |out| Writer::new(out).raw(raw));
    }
    crate::anthropic_messages::write_event(out, "message-end", |w| {
        w.key("delta").object(|w| {
            w.key("error").string(&error.message);
            w.key("finish_reason").string(stop::failure_word(error.kind));
            usage(w);
        });
    });
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
        // The request, or the answer, holds words that are on a list.
        498 => ErrorKind::ContentPolicy,
        // The client has gone, says the provider; it is the gateway, and it has not.
        499 => ErrorKind::Server,
        503 | 529 => ErrorKind::Overloaded,
        400..=499 => ErrorKind::BadRequest,
        _ => ErrorKind::Server,
    }
}

const fn status_of_kind(kind: ErrorKind) -> u16 {
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
        ErrorKind::Overloaded => 503,
        ErrorKind::Timeout => 504,
    }
}

/// What the type and the text say more precisely than the status.
fn refine(kind: ErrorKind, error_type: Option<&str>, message: &str) -> ErrorKind {
    const TOO_LONG: [&str; 3] = [
        "too many tokens: size limit exceeded",
        "too many tokens: total number of tokens",
        "too many tokens: the total number of tokens",
    ];
    const NO_MONEY: [&str; 4] = ["trial key", "billing", "payment method", "monthly limit"];
    let message = message.to_ascii_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    match kind {
        ErrorKind::BadRequest | ErrorKind::Server | ErrorKind::TooLarge
            if says(&TOO_LONG)
                || error_type == Some("TOO_MANY_TOKENS") && !message.contains("max tokens must be") =>
        {
            ErrorKind::ContextTooLong
        }
        ErrorKind::BadRequest if says(&["invalid api token", "incorrect api key"]) => {
            ErrorKind::Authentication
        }
        // The calls of a month are used up; of a minute they come back.
        ErrorKind::RateLimit if says(&NO_MONEY) && !message.contains("minute") => ErrorKind::Billing,
        kind => kind,
    }
}

/// Reads a JSON error; `None` if there is no message in it. `status` is that of the answer, 0 if there is none.
fn read(text: &str, status: u16) -> Option<ProviderError> {
    let raw = RawJson::parse(text).ok()?;
    let mut object = Object::parse(text, "").ok()?;
    // A gateway or proxy in between may write `{"error":{"message"}}`.
    if let Some(error) = object.peek("error").filter(|raw| raw.get().starts_with('{')) {
        object = Object::parse(error.get(), "").ok()?;
    }
    let message = ["message", "error", "detail", "data"]
        .iter()
        .find_map(|name| text_of(object.peek(name)?))?;
    let error_type = object.take_string("error_type").ok().flatten();
    Some(ProviderError {
        kind: refine(kind_of_status(status), error_type.as_deref(), &message),
        status: 0,
        message,
        native_type: error_type,
        code: None,
        param: None,
        raw: Some(raw),
    })
}

fn text_of(raw: Raw<'_>) -> Option<String> {
    let text: String = serde_json::from_str(raw.get()).ok()?;
    (!text.is_empty()).then_some(text)
}

/// Text that is no JSON error: cut, without control characters.
fn plain(text: &str, status: u16) -> ProviderError {
    let message: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_PLAIN_TEXT)
        .collect();
    ProviderError {
        kind: refine(kind_of_status(status), None, &message),
        status: 0,
        message: if message.is_empty() {
            NO_REASON.to_owned()
        } else {
            message
        },
        native_type: None,
        code: None,
        param: None,
        raw: None,
    }
}
