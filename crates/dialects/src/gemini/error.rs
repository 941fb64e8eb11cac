//! Errors of a provider, read and written: `{"error":{"code","message","status","details"}}`.
//!
//! Without `alt=sse` an error comes in a list of one. A wrong key is told as a wrong request, so details and texts count more
//! than the status.

use crate::json::Raw;

use crate::canonical::{ErrorKind, ProviderError};
use crate::json::{Object, RawJson, Writer};

/// Most characters of a message that is no JSON (an HTML page of a proxy, say).
const MAX_PLAIN_TEXT: usize = 500;

/// Reads an error answer, whatever it looks like.
pub fn decode_error(status: u16, body: &[u8]) -> ProviderError {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let mut error = read(text, status).unwrap_or_else(|| plain(text, status));
    error.status = status;
    error
}

/// Reads an error inside a stream, or in an answer with a status of success; its status is the one it tells, or the one it
/// would have had.
pub fn decode_error_inside(document: &str) -> ProviderError {
    let text = document.trim();
    let mut error = read(text, 0).unwrap_or_else(|| plain(text, 0));
    if !(400..600).contains(&error.status) {
        error.status = status_of_kind(error.kind);
    }
    error
}

/// How long the provider wants to be left alone, in milliseconds: `RetryInfo` in the details of an error.
pub fn retry_after_ms(error: &ProviderError) -> Option<u64> {
    let raw = error.raw.as_ref()?;
    let mut object = error_object(raw.text())?;
    object
        .take_array("details")
        .ok()??
        .into_iter()
        .find_map(|detail| {
            let mut detail = Object::parse(detail.get(), "").ok()?;
            let delay = detail.take_string("retryDelay").ok()??;
            let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
            // Beyond an hour nobody waits; it also keeps the number within range.
            (0.0..=3_600.0)
                .contains(&seconds)
                .then(|| std::time::Duration::from_secs_f64(seconds).as_millis())
                .and_then(|delay| u64::try_from(delay).ok())
        })
}

/// Writes an error answer. An error that came from this dialect is repeated with all its members.
pub fn encode_error(error: &ProviderError) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_error(&mut out, error);
    out
}

/// Writes the error document behind what is already in `out`.
pub(super) fn write_error(out: &mut Vec<u8>, error: &ProviderError) {
    let own = error.raw.as_ref().and_then(|raw| own_error(raw.text()));
    Writer::new(out).object(|w| {
        w.key("error");
        match own {
            Some(raw) => w.raw(&raw),
            None => w.object(|w| {
                w.key("code").number(code(error).into());
                w.key("message").string(&error.message);
                w.key("status").string(word_of_kind(error.kind));
            }),
        }
    });
}

/// The status as Google tells it; clients of this dialect know no 529 and no 424.
fn code(error: &ProviderError) -> u16 {
    match error.status {
        529 => 503,
        400..=599 => error.status,
        _ => status_of_kind(error.kind),
    }
}

const fn word_of_kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::BadRequest
        | ErrorKind::ContextTooLong
        | ErrorKind::ContentPolicy
        | ErrorKind::TooLarge => "INVALID_ARGUMENT",
        ErrorKind::Authentication => "UNAUTHENTICATED",
        ErrorKind::Permission => "PERMISSION_DENIED",
        ErrorKind::Billing | ErrorKind::RateLimit => "RESOURCE_EXHAUSTED",
        ErrorKind::NotFound => "NOT_FOUND",
        ErrorKind::Overloaded => "UNAVAILABLE",
        ErrorKind::Timeout => "DEADLINE_EXCEEDED",
        ErrorKind::Server => "INTERNAL",
        ErrorKind::Conflict => "ABORTED",
    }
}

fn kind_of_word(word: &str) -> Option<ErrorKind> {
    Some(match word {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => ErrorKind::BadRequest,
        "UNAUTHENTICATED" => ErrorKind::Authentication,
        "PERMISSION_DENIED" => ErrorKind::Permission,
        "NOT_FOUND" => ErrorKind::NotFound,
        "ABORTED" | "ALREADY_EXISTS" => ErrorKind::Conflict,
        "RESOURCE_EXHAUSTED" => ErrorKind::RateLimit,
        "UNAVAILABLE" => ErrorKind::Overloaded,
        "DEADLINE_EXCEEDED" => ErrorKind::Timeout,
        "INTERNAL" | "UNKNOWN" | "DATA_LOSS" | "UNIMPLEMENTED" | "CANCELLED" => ErrorKind::Server,
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

const fn status_of_kind(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::BadRequest | ErrorKind::ContextTooLong | ErrorKind::ContentPolicy => 400,
        ErrorKind::Authentication => 401,
        ErrorKind::Permission => 403,
        ErrorKind::NotFound => 404,
        ErrorKind::Conflict => 409,
        ErrorKind::TooLarge => 413,
        ErrorKind::Billing | ErrorKind::RateLimit => 429,
        ErrorKind::Server => 500,
        ErrorKind::Overloaded => 503,
        ErrorKind::Timeout => 504,
    }
}

/// What the reasons in the details and the text say more precisely than the status.
fn refine(kind: ErrorKind, reasons: &[String], message: &str) -> ErrorKind {
    const TOO_LONG: [&str; 4] = [
        "exceeds the maximum number of tokens",
        "input token count",
        "maximum context length",
        "context window",
    ];
    const NO_MONEY: [&str; 4] = [
        "billing account",
        "enable billing",
        "credits are depleted",
        "spending cap",
    ];
    let message = message.to_ascii_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    let has = |reason: &str| reasons.iter().any(|found| found == reason);
    match kind {
        _ if has("API_KEY_INVALID") || has("ACCESS_TOKEN_EXPIRED") || has("CREDENTIALS_MISSING") => {
            ErrorKind::Authentication
        }
        _ if has("BILLING_DISABLED") => ErrorKind::Billing,
        ErrorKind::BadRequest if says(&["api key not valid", "api key expired"]) => ErrorKind::Authentication,
        ErrorKind::BadRequest | ErrorKind::TooLarge if says(&TOO_LONG) => ErrorKind::ContextTooLong,
        ErrorKind::BadRequest if says(&["request payload size exceeds"]) => ErrorKind::TooLarge,
        ErrorKind::BadRequest | ErrorKind::RateLimit | ErrorKind::Permission if says(&NO_MONEY) => {
            ErrorKind::Billing
        }
        kind => kind,
    }
}

/// Reads a JSON error; `None` if there is no message in it. `status` is that of the answer, 0 if there is none.
fn read(text: &str, status: u16) -> Option<ProviderError> {
    let raw = RawJson::parse(text).ok()?;
    let mut object = error_object(text)?;
    let message = ["message", "error", "detail", "error_description", "error_msg"]
        .iter()
        .find_map(|name| text_of(object.peek(name)?))?;
    let code = object.take("code").and_then(text_of);
    let word = object.take_string("status").ok().flatten();
    let reasons = reasons(&mut object);
    let told = code
        .as_deref()
        .and_then(|code| code.parse().ok())
        .filter(|code| (400..600).contains(code));
    let by_status = kind_of_status(told.unwrap_or(status));
    let kind = word.as_deref().and_then(kind_of_word).unwrap_or(by_status);
    Some(ProviderError {
        kind: refine(kind, &reasons, &message),
        status: told.unwrap_or(0),
        message,
        native_type: word,
        code,
        param: None,
        raw: Some(raw),
    })
}

/// The object that tells the error: within `error`, within a list, or the document itself.
fn error_object(text: &str) -> Option<Object<'_>> {
    let inner = match serde_json::from_str::<Vec<Raw<'_>>>(text) {
        Ok(list) => list.first()?.get(),
        Err(_) => text,
    };
    let mut outer = Object::parse(inner, "").ok()?;
    match outer.peek("error").map(Raw::get) {
        Some(error) if error.starts_with('{') => {
            outer.take("error");
            Object::parse(error, "").ok()
        }
        _ => Some(outer),
    }
}

/// The error object of a document of this dialect: one with a number for a code and a word for a status.
fn own_error(text: &str) -> Option<RawJson> {
    let object = error_object(text)?;
    let is_own = object
        .peek("code")
        .is_some_and(|raw| raw.get().parse::<u16>().is_ok())
        && object
            .peek("status")
            .is_some_and(|raw| raw.get().starts_with('"'))
        && object.has("message");
    is_own.then(|| RawJson::object(&object.into_ext()))
}

/// The `reason`s in the details.
fn reasons(object: &mut Object<'_>) -> Vec<String> {
    let details = object.take_array("details").ok().flatten().unwrap_or_default();
    details
        .into_iter()
        .filter_map(|detail| Object::parse(detail.get(), "").ok()?.take_string("reason").ok()?)
        .collect()
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
fn plain(text: &str, status: u16) -> ProviderError {
    let message: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_PLAIN_TEXT)
        .collect();
    ProviderError {
        kind: refine(kind_of_status(status), &[], &message),
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
