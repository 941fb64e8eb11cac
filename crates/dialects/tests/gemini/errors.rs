//! Errors: what they mean, and how each dialect's client is told.

use serde_json::json;
use tollgate_dialects::canonical::{ErrorKind, ProviderError};
use tollgate_dialects::gemini::{decode_error, decode_error_inside, encode_error, retry_after_ms};
use tollgate_dialects::{Dialect, codec};

use super::json as parse;

#[test]
fn errors_are_read_by_what_they_say() {
    let error = |code: u16, status: &str, message: &str| {
        json!({"error": {"code": code, "message": message, "status": status}}).to_string()
    };
    for (status, body, kind) in [
        (
            400,
            error(400, "INVALID_ARGUMENT", "Unknown name"),
            ErrorKind::BadRequest,
        ),
        (
            400,
            error(400, "FAILED_PRECONDITION", "User location"),
            ErrorKind::BadRequest,
        ),
        (
            400,
            error(
                400,
                "INVALID_ARGUMENT",
                "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
            ),
            ErrorKind::ContextTooLong,
        ),
        (
            400,
            error(400, "INVALID_ARGUMENT", "API key not valid."),
            ErrorKind::Authentication,
        ),
        (401, error(401, "UNAUTHENTICATED", "x"), ErrorKind::Authentication),
        (403, error(403, "PERMISSION_DENIED", "x"), ErrorKind::Permission),
        (
            403,
            error(
                403,
                "PERMISSION_DENIED",
                "This API method requires billing to be enabled. Please enable billing",
            ),
            ErrorKind::Billing,
        ),
        (404, error(404, "NOT_FOUND", "x"), ErrorKind::NotFound),
        (409, error(409, "ABORTED", "x"), ErrorKind::Conflict),
        (
            429,
            error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota"),
            ErrorKind::RateLimit,
        ),
        (500, error(500, "INTERNAL", "x"), ErrorKind::Server),
        (
            503,
            error(503, "UNAVAILABLE", "overloaded"),
            ErrorKind::Overloaded,
        ),
        (504, error(504, "DEADLINE_EXCEEDED", "x"), ErrorKind::Timeout),
        (413, "<html>too large</html>".to_owned(), ErrorKind::TooLarge),
        (502, String::new(), ErrorKind::Server),
        (
            400,
            r#"{"error":"bad","error_description":"very"}"#.to_owned(),
            ErrorKind::BadRequest,
        ),
    ] {
        let found = decode_error(status, body.as_bytes());
        assert_eq!((found.kind, found.status), (kind, status), "{body}");
        assert!(!found.message.is_empty());
        let listed = format!("[{body}]");
        if body.starts_with('{') {
            assert_eq!(decode_error(status, listed.as_bytes()).kind, kind, "{listed}");
        }
    }
}

#[test]
fn an_error_inside_an_answer_has_the_status_it_tells() {
    let overloaded = r#"{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}"#;
    assert_eq!(decode_error_inside(overloaded).status, 503);
    assert_eq!(
        decode_error_inside(r#"{"error":{"message":"x","status":"RESOURCE_EXHAUSTED"}}"#).status,
        429
    );
}

#[test]
fn the_delay_that_the_provider_asks_for_is_found() {
    let with = |delay: &str| {
        let body = json!([{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.Help"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]}}]);
        retry_after_ms(&decode_error(429, body.to_string().as_bytes()))
    };
    assert_eq!(with("48s"), Some(48_000));
    assert_eq!(with("0.5s"), Some(500));
    for wrong in ["", "s", "-1s", "NaNs", "1e300s", "soon"] {
        assert_eq!(with(wrong), None, "{wrong}");
    }
}

#[test]
fn errors_of_other_dialects_have_googles_words() {
    let of = |kind, status| ProviderError {
        kind,
        status,
        message: "m".to_owned(),
        native_type: None,
        code: None,
        param: None,
        raw: None,
    };
    for (kind, status, code, word) in [
        (ErrorKind::Overloaded, 529, 503, "UNAVAILABLE"),
        (ErrorKind::RateLimit, 429, 429, "RESOURCE_EXHAUSTED"),
        (ErrorKind::Authentication, 401, 401, "UNAUTHENTICATED"),
        (ErrorKind::ContextTooLong, 400, 400, "INVALID_ARGUMENT"),
        (ErrorKind::Server, 0, 500, "INTERNAL"),
    ] {
        assert_eq!(
            parse(encode_error(&of(kind, status))),
            json!({"error": {"code": code, "message": "m", "status": word}})
        );
    }
    let anthropic = codec::decode_error(
        Dialect::AnthropicMessages,
        529,
        br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
    );
    assert_eq!(
        parse(codec::encode_error(Dialect::Gemini, &anthropic, None)),
        json!({"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}})
    );
}

#[test]
fn errors_of_gemini_have_the_words_of_the_clients_dialect() {
    let own = decode_error(
        429,
        br#"{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}"#,
    );
    let openai = parse(codec::encode_error(Dialect::OpenaiChat, &own, None));
    assert_eq!(openai["error"]["type"], "rate_limit_error");
    assert_eq!(openai["error"]["code"], "rate_limit_exceeded");
    assert_eq!(openai["error"]["message"], "slow");
    let anthropic = parse(codec::encode_error(
        Dialect::AnthropicMessages,
        &own,
        Some("req_1"),
    ));
    assert_eq!(
        anthropic["error"],
        json!({"type": "rate_limit_error", "message": "slow"})
    );
}
