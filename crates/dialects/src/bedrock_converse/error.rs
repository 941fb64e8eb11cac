//! Errors of a provider, read and written: `{"message"}`, with the name of the exception in the header `x-amzn-errortype`.
//!
//! Some of Amazon's services write `Message`, or the name into the body as `__type`. Where no name is told, status and text
//! decide.

use crate::json::Raw;

use crate::canonical::{ErrorKind, ProviderError};
use crate::json::{Object, RawJson, Writer};

/// Most characters of a message that is no JSON (an HTML page of a proxy, say).
const MAX_PLAIN_TEXT: usize = 500;

/// Members that an error of this dialect may have, beside its message.
const OWN: [&str; 6] = [
    "message",
    "Message",
    "__type",
    "originalStatusCode",
    "originalMessage",
    "resourceName",
];

/// Reads an error answer, whatever it looks like.
pub fn decode_error(status: u16, body: &[u8]) -> ProviderError {
    decode_named_error(status, None, body)
}

/// Reads an error answer whose header `x-amzn-errortype` is known.
pub fn decode_named_error(status: u16, name: Option<&str>, body: &[u8]) -> ProviderError {
    let text = String::from_utf8_lossy(body);
    let mut error = read(text.trim(), name, Some(status));
    error.status = status;
    error
}

/// Reads an error that came inside a stream or an answer with a status of success: its status follows from its meaning.
pub fn decode_error_inside(document: &str) -> ProviderError {
    decode_exception(None, document)
}

/// Reads an exception of a stream; its status is the one it would have had.
pub(super) fn decode_exception(name: Option<&str>, document: &str) -> ProviderError {
    let mut error = read(document.trim(), name, None);
    error.status = status_of(&error);
    error
}

/// The name of the exception, for the header `x-amzn-errortype` of an answer to a client of this dialect.
pub fn exception_name(error: &ProviderError) -> &'static str {
    own_name(error).unwrap_or_else(|| name_of_kind(error.kind))
}

/// The status that Bedrock's clients expect with [`exception_name`].
pub fn exception_status(error: &ProviderError) -> u16 {
    status_of_name(exception_name(error))
}

/// Writes an error answer. An error that came from this dialect is repeated with all its members.
pub fn encode_error(error: &ProviderError) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_error(&mut out, error);
    out
}

/// Writes the document of an error behind what is already in `out`.
pub(super) fn write_error(out: &mut Vec<u8>, error: &ProviderError) {
    let own = error.raw.as_ref().filter(|raw| is_own(raw));
    let mut w = Writer::new(out);
    match own {
        Some(raw) => w.raw(raw),
        None => w.object(|w| w.key("message").string(&error.message)),
    }
}

/// The name that an error inside a stream has; of the exceptions, a stream knows five.
pub(super) fn name_in_stream(error: &ProviderError) -> &'static str {
    match exception_name(error) {
        "ThrottlingException" | "ModelNotReadyException" | "ServiceQuotaExceededException" => {
            "throttlingException"
        }
        "ServiceUnavailableException" => "serviceUnavailableException",
        "ValidationException" | "ResourceNotFoundException" => "validationException",
        "ModelErrorException" | "ModelStreamErrorException" | "ModelTimeoutException" => {
            "modelStreamErrorException"
        }
        _ => "internalServerException",
    }
}

/// What an exception means, and the status it comes with.
const EXCEPTIONS: [(&str, ErrorKind, u16); 16] = [
    ("ValidationException", ErrorKind::BadRequest, 400),
    ("UnrecognizedClientException", ErrorKind::Authentication, 403),
    ("ExpiredTokenException", ErrorKind::Authentication, 403),
    ("InvalidSignatureException", ErrorKind::Authentication, 403),
    ("IncompleteSignatureException", ErrorKind::Authentication, 403),
    (
        "MissingAuthenticationTokenException",
        ErrorKind::Authentication,
        403,
    ),
    ("AccessDeniedException", ErrorKind::Permission, 403),
    ("ServiceQuotaExceededException", ErrorKind::Billing, 400),
    ("ResourceNotFoundException", ErrorKind::NotFound, 404),
    ("ConflictException", ErrorKind::Conflict, 400),
    ("ThrottlingException", ErrorKind::RateLimit, 429),
    ("ModelNotReadyException", ErrorKind::RateLimit, 429),
    ("ServiceUnavailableException", ErrorKind::Overloaded, 503),
    ("ModelTimeoutException", ErrorKind::Timeout, 408),
    ("InternalServerException", ErrorKind::Server, 500),
    ("ModelErrorException", ErrorKind::Server, 424),
];

/// The exception that a stream alone knows.
const STREAM_ERROR: (&str, ErrorKind, u16) = ("ModelStreamErrorException", ErrorKind::Server, 424);

const fn name_of_kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::BadRequest
        | ErrorKind::ContextTooLong
        | ErrorKind::ContentPolicy
        | ErrorKind::TooLarge => "ValidationException",
        ErrorKind::Authentication => "UnrecognizedClientException",
        ErrorKind::Permission => "AccessDeniedException",
        ErrorKind::Billing => "ServiceQuotaExceededException",
        ErrorKind::NotFound => "ResourceNotFoundException",
        ErrorKind::Conflict => "ConflictException",
        ErrorKind::RateLimit => "ThrottlingException",
        ErrorKind::Overloaded => "ServiceUnavailableException",
        ErrorKind::Timeout => "ModelTimeoutException",
        ErrorKind::Server => "InternalServerException",
    }
}

/// The exception of this name; Amazon writes `Name:http://…`, `namespace#Name`, and in streams the first letter small.
fn exception(name: &str) -> Option<(&'static str, ErrorKind, u16)> {
    let name = name.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default().trim();
    EXCEPTIONS
        .into_iter()
        .chain([STREAM_ERROR])
        .find(|(known, ..)| known.eq_ignore_ascii_case(name))
}

fn own_name(error: &ProviderError) -> Option<&'static str> {
    let (name, ..) = exception(error.native_type.as_deref()?)?;
    Some(name)
}

fn status_of_name(name: &str) -> u16 {
    exception(name).map_or(500, |(_, _, status)| status)
}

fn status_of(error: &ProviderError) -> u16 {
    match error.native_type.as_deref().and_then(exception) {
        Some((_, _, status)) => status,
        None => status_of_name(name_of_kind(error.kind)),
    }
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
        424 => ErrorKind::Server,
        503 | 529 => ErrorKind::Overloaded,
        400..=499 => ErrorKind::BadRequest,
        _ => ErrorKind::Server,
    }
}

/// What a text says more precisely than the name or the status.
fn refine(kind: ErrorKind, named: bool, message: &str) -> ErrorKind {
    const TOO_LONG: [&str; 7] = [
        "input is too long",
        "prompt is too long",
        "too many input tokens",
        "maximum context length",
        "maximum tokens you requested exceeds",
        "context window",
        "exceed context limit",
    ];
    const BAD_CREDENTIAL: [&str; 5] = [
        "security token",
        "signature",
        "api key",
        "bearer token",
        "authentication",
    ];
    let message = message.to_ascii_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    match kind {
        ErrorKind::BadRequest | ErrorKind::TooLarge if says(&TOO_LONG) => ErrorKind::ContextTooLong,
        // The header with the name is not always at hand.
        ErrorKind::Permission if !named && says(&BAD_CREDENTIAL) => ErrorKind::Authentication,
        kind => kind,
    }
}

/// Reads an error; `name` is the exception's where it is known from elsewhere, `status` that of the answer.
fn read(text: &str, name: Option<&str>, status: Option<u16>) -> ProviderError {
    let raw = RawJson::parse(text).ok();
    let mut object = raw.as_ref().and_then(|_| Object::parse(text, "").ok());
    // Proxies and other vendors put the error into an object.
    if let Some(outer) = &object
        && let Some(inner) = outer.peek("error").map(Raw::get)
        && inner.starts_with('{')
    {
        object = Object::parse(inner, "").ok();
    }
    let message = object.as_ref().and_then(|object| {
        ["message", "Message", "errorMessage", "error", "detail"]
            .iter()
            .find_map(|name| text_of(object.peek(name)?))
    });
    let told = object.as_ref().and_then(|object| text_of(object.peek("__type")?));
    let native = name.map(str::to_owned).or(told);
    let known = native.as_deref().and_then(exception);
    let message = message.unwrap_or_else(|| plain(if object.is_some() { "" } else { text }));
    let kind = match (known, status) {
        (Some((_, kind, _)), _) => kind,
        (None, Some(status)) => kind_of_status(status),
        (None, None) => ErrorKind::Server,
    };
    ProviderError {
        kind: refine(kind, known.is_some(), &message),
        status: 0,
        message,
        native_type: known.map(|(name, ..)| name.to_owned()).or(native),
        code: None,
        param: None,
        raw: raw.filter(|_| object.is_some()),
    }
}

/// Whether a document has this dialect's form.
fn is_own(raw: &RawJson) -> bool {
    let Ok(object) = Object::parse(raw.text(), "") else {
        return false;
    };
    let has_message = object
        .peek("message")
        .or_else(|| object.peek("Message"))
        .is_some_and(|raw| raw.get().starts_with('"'));
    has_message && object.into_ext().iter().all(|(name, _)| OWN.contains(&name))
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
fn plain(text: &str) -> String {
    let message: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_PLAIN_TEXT)
        .collect();
    if message.is_empty() {
        "the provider gave no reason".to_owned()
    } else {
        message
    }
}
