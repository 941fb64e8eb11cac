//! What vendors say about their failures inside an answer, as the one form of errors.

use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::{ErrorKind, ProviderError};
use tollgate_dialects::codec::decode_error_inside;

use super::pick::{pick, text};
use crate::ai::protocol::Protocol;

/// Reads the document or event of an API that tells a failure.
pub(super) fn read(protocol: Protocol, json: &str) -> ProviderError {
    match protocol {
        Protocol::AnthropicMessages => decode_error_inside(Dialect::AnthropicMessages, json),
        Protocol::OpenaiResponses => {
            // Within a response, beside the members of an event, or instead of them.
            let [response, error] = pick(json, ["response", "error"]).unwrap_or_default();
            let [inner] = pick(response.unwrap_or_default(), ["error"]).unwrap_or_default();
            let error = inner.or(error).unwrap_or(json);
            decode_error_inside(Dialect::OpenaiChat, &format!("{{\"error\":{error}}}"))
        }
        _ => decode_error_inside(Dialect::OpenaiChat, json),
    }
}

/// Reads one of Amazon's exceptions by its type.
pub(super) fn exception(name: &str, payload: &[u8]) -> ProviderError {
    let (kind, status) = match name {
        "throttlingException" => (ErrorKind::RateLimit, 429),
        "serviceUnavailableException" => (ErrorKind::Overloaded, 503),
        "modelTimeoutException" => (ErrorKind::Timeout, 504),
        "validationException" => (ErrorKind::BadRequest, 400),
        _ => (ErrorKind::Server, 502),
    };
    let payload = std::str::from_utf8(payload).unwrap_or_default();
    let [message] = pick(payload, ["message"]).unwrap_or_default();
    ProviderError {
        kind,
        status,
        message: text(message).map_or_else(|| name.to_owned(), |message| message.into_owned()),
        native_type: None,
        code: Some(name.to_owned()),
        param: None,
        raw: None,
    }
}
