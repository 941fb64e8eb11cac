//! Errors of this dialect and of the providers that speak something like it.
//!
//! Body types and statuses lie, so an error is classified by its code, its type, its text and only then by its status.

use std::borrow::Cow;

use crate::canonical::{ErrorKind, ProviderError};
use crate::json::{Object, RawJson, Writer};

/// Reads the error answer of a provider, whatever its shape; never fails.
///
/// JSON that has no known shape, plain text and HTML become the message, cut to 1 KiB.
pub fn decode_error(status: u16, body: &[u8]) -> ProviderError {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let raw = RawJson::parse(text).ok();
    let found = raw.as_ref().and_then(|raw| find(raw.text())).unwrap_or_default();
    build(status, found, raw, text)
}

/// The error inside an answer that was sent with a status of success, if there is one.
pub fn error_in_answer(body: &str) -> Option<ProviderError> {
    let mut object = Object::parse(body, "").ok()?;
    if object.take_some("error").is_some() {
        return Some(decode_unnumbered(body));
    }
    let choices = object.take_array("choices").ok()??;
    let mut choices = choices
        .into_iter()
        .filter_map(|choice| Object::parse(choice.get(), "").ok());
    choices
        .find(|choice| choice.peek("error").is_some_and(|error| error.get() != "null"))
        .map(|mut choice| {
            let error = choice.take("error").map_or("null", |error| error.get());
            decode_unnumbered(&format!("{{\"error\":{error}}}"))
        })
}

/// Reads an error that came without a status of its own (inside a stream or a 200): the status is told by its code or
/// follows from its meaning.
pub fn decode_unnumbered(body: &str) -> ProviderError {
    let stated = find(body).and_then(|found| found.status);
    let mut error = decode_error(stated.unwrap_or(0), body.as_bytes());
    if error.status == 0 {
        error.status = usual_status(error.kind);
    }
    error
}

/// Writes an error answer: `{"error":{"message","type","param","code"}}`.
///
/// An error that came in this shape keeps its own type, code and further members (`innererror`, `failed_generation`, …).
pub fn encode_error(error: &ProviderError) -> Vec<u8> {
    let mut out = Vec::new();
    write_error(&mut out, error);
    out
}

/// Writes the error document behind what is already in `out`.
pub(super) fn write_error(out: &mut Vec<u8>, error: &ProviderError) {
    let own = error.raw.as_ref().and_then(|raw| own_shape(raw.text()));
    let (kind_type, kind_code) = names_of(error.kind);
    Writer::new(out).object(|w| {
        w.key("error").object(|w| {
            w.key("message").string(&error.message);
            let Some(mut own) = own else {
                w.key("type").string(kind_type);
                write_or_null(w, "param", error.param.as_deref());
                // The code of an error that never was a document is ours; that of another dialect means nothing here.
                let code = if error.raw.is_none() {
                    error.code.as_deref()
                } else {
                    None
                };
                write_or_null(w, "code", code.or(kind_code));
                return;
            };
            own.take("message");
            w.key("type").string(
                own.take_string("type")
                    .ok()
                    .flatten()
                    .as_deref()
                    .unwrap_or(kind_type),
            );
            write_or_null(w, "param", error.param.as_deref());
            own.take("param");
            match own.take("code") {
                Some(code) if code.get() != "null" => w.key("code").raw(&RawJson::from(code)),
                _ => write_or_null(w, "code", kind_code),
            }
            w.ext(&own.into_ext());
        });
    });
}

fn write_or_null(w: &mut Writer<'_>, key: &str, value: Option<&str>) {
    w.key(key);
    match value {
        Some(text) => w.string(text),
        None => w.null(),
    }
}

/// `type` and `code` of OpenAI for a meaning.
const fn names_of(kind: ErrorKind) -> (&'static str, Option<&'static str>) {
    const WRONG: &str = "invalid_request_error";
    match kind {
        ErrorKind::BadRequest => (WRONG, None),
        ErrorKind::ContextTooLong => (WRONG, Some("context_length_exceeded")),
        ErrorKind::ContentPolicy => (WRONG, Some("content_filter")),
        ErrorKind::Authentication => (WRONG, Some("invalid_api_key")),
        ErrorKind::Permission => (WRONG, Some("permission_denied")),
        ErrorKind::Billing => ("insufficient_quota", Some("insufficient_quota")),
        ErrorKind::NotFound => (WRONG, Some("model_not_found")),
        ErrorKind::TooLarge => (WRONG, Some("request_too_large")),
        ErrorKind::RateLimit => ("rate_limit_error", Some("rate_limit_exceeded")),
        ErrorKind::Overloaded => ("server_error", Some("server_overloaded")),
        ErrorKind::Timeout => ("server_error", Some("timeout")),
        ErrorKind::Server => ("server_error", None),
        ErrorKind::Conflict => (WRONG, Some("conflict")),
    }
}

/// The status that goes with a meaning.
const fn usual_status(kind: ErrorKind) -> u16 {
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

/// What was found in an error document.
#[derive(Debug, Default)]
struct Found {
    message: Option<String>,
    native_type: Option<String>,
    code: Option<String>,
    param: Option<String>,
    status: Option<u16>,
}

fn build(status: u16, found: Found, raw: Option<RawJson>, text: &str) -> ProviderError {
    let message = match found.message.filter(|message| !message.trim().is_empty()) {
        Some(message) => message,
        None if text.is_empty() => "the provider sent an error without a text".to_owned(),
        None => cut(text).into_owned(),
    };
    let code = found.code.as_deref().unwrap_or_default();
    let native_type = found.native_type.as_deref().unwrap_or_default();
    ProviderError {
        kind: classify(status, code, native_type, &message),
        status,
        message,
        native_type: found.native_type,
        code: found.code,
        param: found.param,
        raw,
    }
}

/// Looks for an error in the shapes of all providers that speak this dialect.
fn find(text: &str) -> Option<Found> {
    let text = text.trim();
    if text.starts_with('[') {
        let list: Vec<crate::json::Raw<'_>> = serde_json::from_str(text).ok()?;
        return find(list.first()?.get());
    }
    let mut outer = Object::parse(text, "").ok()?;
    let code_outside = word(&mut outer, "code");
    if let Some(error) = outer.take_some("error") {
        let Ok(mut object) = Object::parse(error.get(), "") else {
            // xAI, Ollama, Venice: the text itself.
            let message = serde_json::from_str(error.get())
                .ok()
                .or_else(|| Some(error.get().to_owned()));
            return Some(Found {
                message,
                code: code_outside,
                ..Found::default()
            });
        };
        let mut found = members(&mut object);
        found.code = found.code.or(code_outside);
        // Azure keeps the reason inside, OpenRouter the text of the provider it asked.
        if let Ok(Some(mut inner)) = object.take_object("innererror") {
            found.code = found.code.or_else(|| word(&mut inner, "code"));
        }
        if let Ok(Some(mut metadata)) = object.take_object("metadata")
            && let Some(reason) = word(&mut metadata, "raw")
        {
            let message = found.message.unwrap_or_default();
            found.message = Some(cut(format!("{message}: {reason}").trim_start_matches(": ")).into_owned());
        }
        return Some(found);
    }
    if let Some(detail) = outer.take_some("detail") {
        let message = serde_json::from_str(detail.get())
            .ok()
            .or_else(|| validation_texts(detail.get()));
        return Some(Found {
            message,
            code: code_outside,
            ..Found::default()
        });
    }
    let mut found = members(&mut outer);
    found.code = found.code.or(code_outside);
    (found.message.is_some() || found.code.is_some()).then_some(found)
}

fn members(object: &mut Object<'_>) -> Found {
    let message = word(object, "message").or_else(|| word(object, "Message"));
    let native_type = word(object, "type").or_else(|| word(object, "status").filter(|word| !is_number(word)));
    let status = ["status_code", "raw_status_code", "status"]
        .into_iter()
        .find_map(|name| word(object, name));
    let code = word(object, "code");
    let status = [status, code.clone()]
        .into_iter()
        .flatten()
        .find_map(|word| error_status(&word));
    Found {
        message,
        native_type,
        code,
        param: word(object, "param"),
        status,
    }
}

/// A string, or a number as text.
fn word(object: &mut Object<'_>, name: &str) -> Option<String> {
    let raw = object.peek(name)?.get();
    let word = match raw.as_bytes().first()? {
        b'"' => serde_json::from_str(raw).ok()?,
        b'-' | b'0'..=b'9' => raw.to_owned(),
        _ => return None,
    };
    object.take(name);
    Some(word)
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

fn error_status(word: &str) -> Option<u16> {
    word.parse().ok().filter(|status| (400..600).contains(status))
}

/// The texts of a list of validation errors: `[{"loc":["body","model"],"msg":"Field required"}]`.
fn validation_texts(detail: &str) -> Option<String> {
    let list: Vec<crate::json::Raw<'_>> = serde_json::from_str(detail).ok()?;
    let texts: Vec<String> = list
        .into_iter()
        .filter_map(|entry| {
            let mut entry = Object::parse(entry.get(), "").ok()?;
            let text = word(&mut entry, "msg").or_else(|| word(&mut entry, "message"))?;
            let place: Vec<String> = entry
                .take_array("loc")
                .ok()
                .flatten()
                .unwrap_or_default()
                .into_iter()
                .map(|step| step.get().trim_matches('"').to_owned())
                .collect();
            Some(if place.is_empty() {
                text
            } else {
                format!("{}: {text}", place.join("."))
            })
        })
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// The error object, if the document has OpenAI's shape. Anthropic's also has an `error` object, but says `type: error`.
fn own_shape(text: &str) -> Option<Object<'_>> {
    let mut outer = Object::parse(text, "").ok()?;
    if outer.has("type") {
        return None;
    }
    let error = outer.take_object("error").ok().flatten()?;
    // Google's own shape has a word for the status and no type.
    (error.has("type") || !error.has("status")).then_some(error)
}

fn classify(status: u16, code: &str, native_type: &str, message: &str) -> ErrorKind {
    for name in [code, native_type] {
        if let Some(kind) = by_name(&name.to_ascii_lowercase()) {
            return kind;
        }
    }
    if !matches!(status, 401 | 402 | 404 | 408 | 409 | 504)
        && let Some(kind) = by_text(status, &message.to_ascii_lowercase())
    {
        return kind;
    }
    by_status(status, native_type)
}

fn by_name(name: &str) -> Option<ErrorKind> {
    Some(match name {
        "context_length_exceeded"
        | "context_window_exceeded"
        | "too_many_prompt_tokens"
        | "exceed_context_size_error" => ErrorKind::ContextTooLong,
        "insufficient_quota"
        | "insufficient_balance"
        | "insufficient_credits"
        | "insufficient_user_quota"
        | "billing_hard_limit_reached"
        | "billing_not_active"
        | "billing_error"
        | "payment_required"
        | "exceeded_current_quota_error" => ErrorKind::Billing,
        "content_filter"
        | "content_policy_violation"
        | "responsibleaipolicyviolation"
        | "moderation_blocked"
        | "invalid_prompt"
        | "data_inspection_failed"
        | "datainspectionfailed" => ErrorKind::ContentPolicy,
        "invalid_api_key"
        | "authentication_error"
        | "invalid_authentication"
        | "invalid_authentication_error"
        | "unauthenticated"
        | "unauthorized"
        | "wrong_api_key" => ErrorKind::Authentication,
        "permission_error" | "permission_denied" | "access_denied" => ErrorKind::Permission,
        "model_not_found" | "deploymentnotfound" | "not_found_error" | "not_found" => ErrorKind::NotFound,
        "request_too_large" => ErrorKind::TooLarge,
        "rate_limit_exceeded"
        | "rate_limit_error"
        | "ratelimitreached"
        | "rate_limit_reached_error"
        | "resource_exhausted"
        | "too_many_requests" => ErrorKind::RateLimit,
        "server_overloaded"
        | "overloaded_error"
        | "overloaded"
        | "engine_overloaded_error"
        | "slow_down"
        | "service_unavailable"
        | "unavailable" => ErrorKind::Overloaded,
        "timeout" | "timeout_error" | "deadline_exceeded" => ErrorKind::Timeout,
        _ => return None,
    })
}

fn by_text(status: u16, text: &str) -> Option<ErrorKind> {
    let any = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    // A limit of tokens per minute also speaks of too many tokens.
    if status != 429 && any(&CONTEXT_TEXTS) {
        return Some(ErrorKind::ContextTooLong);
    }
    if any(&BILLING_TEXTS) {
        return Some(ErrorKind::Billing);
    }
    if matches!(status, 0 | 400 | 403 | 422) && any(&POLICY_TEXTS) {
        return Some(ErrorKind::ContentPolicy);
    }
    if matches!(status, 0 | 400 | 403) && any(&["api key", "api_key", "apikey"]) {
        return Some(ErrorKind::Authentication);
    }
    None
}

const fn by_status(status: u16, native_type: &str) -> ErrorKind {
    match status {
        401 => ErrorKind::Authentication,
        402 => ErrorKind::Billing,
        403 => ErrorKind::Permission,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        409 => ErrorKind::Conflict,
        413 => ErrorKind::TooLarge,
        429 => ErrorKind::RateLimit,
        424 => ErrorKind::Server,
        503 | 529 => ErrorKind::Overloaded,
        400..500 => ErrorKind::BadRequest,
        // Without a status, only a request error names the request.
        0 if is_request_error(native_type) => ErrorKind::BadRequest,
        _ => ErrorKind::Server,
    }
}

const fn is_request_error(native_type: &str) -> bool {
    matches!(
        native_type.as_bytes(),
        b"invalid_request_error" | b"INVALID_ARGUMENT" | b"BadRequestError"
    )
}

/// The text, cut to [`MAX_TEXT`] bytes at a character.
fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT {
        return Cow::Borrowed(text);
    }
    let end = (0..=MAX_TEXT)
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
}

/// How much of an unknown error document is told, in bytes.
const MAX_TEXT: usize = 1024;

/// What providers say when the prompt does not fit, in lower case.
const CONTEXT_TEXTS: [&str; 19] = [
    "maximum context length",
    "context length exceeded",
    "context window",
    "context size",
    "exceeds the context",
    "exceed context limit",
    "too many tokens: size limit exceeded",
    "tokens + `max_new_tokens` must be <=",
    "prompt is too long",
    "prompt too long",
    "input is too long",
    "length of all messages is too long",
    "reduce the length of the messages",
    "input token count",
    "maximum prompt length",
    "exceeds the maximum number of tokens",
    "exceeds the model's maximum",
    "too large for model with",
    "range of input length should be",
];

/// What providers say when money is missing, in lower case.
const BILLING_TEXTS: [&str; 8] = [
    "exceeded your current quota",
    "insufficient balance",
    "insufficient credits",
    "requires more credits",
    "credit balance",
    "payment required",
    "spending limit",
    "used all available credits",
];

/// What providers say when their content policy refuses a request, in lower case.
const POLICY_TEXTS: [&str; 12] = [
    "content management policy",
    "content policy",
    "content_policy",
    "safety system",
    "inappropriate content",
    "content filter",
    "content exists risk",
    "considered high risk",
    "usage policy",
    "usage policies",
    "blocked by guardrail",
    "was flagged",
];
