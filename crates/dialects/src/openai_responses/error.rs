//! Errors: OpenAI's shape, and the events that tell an error within a stream.

use crate::canonical::{ErrorKind, ProviderError};
use crate::json::{Object, RawJson, Writer};
use crate::openai_chat;

/// Reads an error answer, whatever it looks like.
pub fn decode_error(status: u16, body: &[u8]) -> ProviderError {
    openai_chat::decode_error(status, body)
}

/// Reads an error that came inside a stream (an `error` event, or `response.failed`) or an answer with a status of success.
/// What it was told with is kept, so that it can be told the same way again.
pub fn decode_error_inside(document: &str) -> ProviderError {
    let inner = error_of(document);
    let mut error = openai_chat::decode_unnumbered(inner.as_deref().unwrap_or(document));
    if error.native_type.as_deref() == Some("error") {
        error.native_type = None;
    }
    error.raw = RawJson::parse(document).ok();
    error
}

/// The error in a document, as `{"error":{…}}`.
fn error_of(document: &str) -> Option<String> {
    let mut object = Object::parse(document, "").ok()?;
    if let Ok(Some(mut response)) = object.take_object("response") {
        let error = response.take_some("error")?;
        return Some(format!("{{\"error\":{}}}", error.get()));
    }
    if let Some(error) = object.take_some("error") {
        return Some(format!("{{\"error\":{}}}", error.get()));
    }
    // The members of an `error` event stand beside its type.
    object.take("type");
    object.take("sequence_number");
    object
        .has("message")
        .then(|| format!("{{\"error\":{}}}", RawJson::object(&object.into_ext()).text()))
}

/// Writes an error answer. OpenAI answers an unknown model with 400 here; the status is up to the caller.
pub fn encode_error(error: &ProviderError) -> Vec<u8> {
    openai_chat::encode_error(error)
}

/// Writes the `error` member of an answer that failed: a code and a text.
pub(super) fn write_inner(w: &mut Writer<'_>, error: &ProviderError) {
    let document = encode_error(error);
    let code = std::str::from_utf8(&document).ok().and_then(code_of);
    let known = code.as_deref().filter(|code| CODES.contains(code));
    w.object(|w| {
        w.key("code")
            .string(known.unwrap_or_else(|| code_for(error.kind)));
        w.key("message").string(&error.message);
    });
}

/// Codes of failed answers that clients know: those of the official type, and two that OpenAI sends beyond it.
const CODES: [&str; 6] = [
    "server_error",
    "rate_limit_exceeded",
    "invalid_prompt",
    "image_content_policy_violation",
    "context_length_exceeded",
    "insufficient_quota",
];

/// The code for an error whose own code clients do not know.
const fn code_for(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::RateLimit => "rate_limit_exceeded",
        ErrorKind::BadRequest | ErrorKind::ContentPolicy | ErrorKind::TooLarge => "invalid_prompt",
        _ => "server_error",
    }
}

/// The code of an error document, or else its type.
fn code_of(document: &str) -> Option<String> {
    let mut error = Object::parse(document, "").ok()?.take_object("error").ok()??;
    let code = error.take_string("code").ok().flatten();
    code.or_else(|| error.take_string("type").ok().flatten())
}
