//! Errors, classified by what they say, and written for clients of this dialect.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod anthropic_messages_support;

use anthropic_messages_support::json;
use serde_json::{Value, json};
use tollgate_dialects::anthropic_messages::{decode_error, decode_request, encode_error};
use tollgate_dialects::canonical::{ErrorKind, ProviderError};
use tollgate_dialects::json::RawJson;

#[test]
fn errors_are_classified_by_what_they_say() {
    let kind = |status: u16, body: &str| decode_error(status, body.as_bytes()).kind;
    let native = |kind: &str, message: &str| {
        json!({"type": "error", "error": {"type": kind, "message": message}}).to_string()
    };
    assert_eq!(
        kind(
            400,
            &native(
                "invalid_request_error",
                "prompt is too long: 210000 tokens > 200000 maximum"
            )
        ),
        ErrorKind::ContextTooLong
    );
    assert_eq!(
        kind(
            400,
            &native(
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API"
            )
        ),
        ErrorKind::Billing
    );
    assert_eq!(
        kind(400, &native("invalid_request_error", "max_tokens: too small")),
        ErrorKind::BadRequest
    );
    assert_eq!(
        kind(529, &native("overloaded_error", "Overloaded")),
        ErrorKind::Overloaded
    );
    assert_eq!(
        kind(403, &native("permission_error", "no")),
        ErrorKind::Permission
    );
    assert_eq!(kind(504, &native("timeout_error", "no")), ErrorKind::Timeout);
    for code in ["contract_spend_limit_reached", "enforced_spend_limit_reached"] {
        let body = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "m", "details": {"error_code": code}}});
        let error = decode_error(429, body.to_string().as_bytes());
        assert_eq!(
            (error.kind, error.code.as_deref()),
            (ErrorKind::Billing, Some(code))
        );
    }
}

#[test]
fn errors_of_other_shapes_are_understood() {
    let read = |status: u16, body: &str| {
        let error = decode_error(status, body.as_bytes());
        assert_eq!(error.status, status);
        (error.kind, error.message)
    };
    assert_eq!(
        read(
            429,
            r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#
        ),
        (ErrorKind::Billing, "m".into())
    );
    assert_eq!(
        read(400, r#"{"error":"text"}"#),
        (ErrorKind::BadRequest, "text".into())
    );
    assert_eq!(
        read(403, r#"{"message":"text"}"#),
        (ErrorKind::Permission, "text".into())
    );
    assert_eq!(
        read(401, r#"{"detail":"text"}"#),
        (ErrorKind::Authentication, "text".into())
    );
    assert_eq!(
        read(400, r#"[{"error":{"code":400,"message":"m"}}]"#),
        (ErrorKind::BadRequest, "m".into())
    );
    assert_eq!(read(529, "  busy\u{7}\n"), (ErrorKind::Overloaded, "busy".into()));
    assert_eq!(
        read(502, ""),
        (ErrorKind::Server, "the provider gave no reason".into())
    );
    let page = format!("<html>{}</html>", "x".repeat(5000));
    assert_eq!(read(502, &page).1.chars().count(), 500);
    assert_eq!(read(503, "{}"), (ErrorKind::Overloaded, "{}".into()));
}

#[test]
fn errors_are_written_with_the_types_of_this_dialect() {
    let kinds = [
        (ErrorKind::BadRequest, "invalid_request_error"),
        (ErrorKind::ContextTooLong, "invalid_request_error"),
        (ErrorKind::ContentPolicy, "invalid_request_error"),
        (ErrorKind::Authentication, "authentication_error"),
        (ErrorKind::Permission, "permission_error"),
        (ErrorKind::Billing, "billing_error"),
        (ErrorKind::NotFound, "not_found_error"),
        (ErrorKind::TooLarge, "request_too_large"),
        (ErrorKind::RateLimit, "rate_limit_error"),
        (ErrorKind::Overloaded, "overloaded_error"),
        (ErrorKind::Timeout, "timeout_error"),
        (ErrorKind::Server, "api_error"),
        (ErrorKind::Conflict, "conflict_error"),
    ];
    for (kind, name) in kinds {
        let error = ProviderError {
            kind,
            status: 400,
            message: "m \"q\"".into(),
            native_type: Some("x".into()),
            code: None,
            param: None,
            raw: Some(RawJson::parse(r#"{"error":{"message":"m","type":"x"}}"#).unwrap()),
        };
        let expected = json!({"type": "error", "error": {"type": name, "message": "m \"q\""}});
        assert_eq!(json(encode_error(&error, None)), expected);
        if kind != ErrorKind::ContextTooLong && kind != ErrorKind::ContentPolicy {
            assert_eq!(decode_error(400, &encode_error(&error, None)).kind, kind);
        }
    }
}

#[test]
fn errors_of_a_request_name_the_place_and_what_was_expected() {
    let error = |body: Value| decode_request(&body.to_string()).unwrap_err().to_string();
    let message = |message: Value| error(json!({"model": "m", "messages": [message]}));
    assert_eq!(
        error(json!({"messages": []})),
        "model: is missing; a string is required"
    );
    assert_eq!(
        error(json!({"model": "m"})),
        "messages: is missing; a list of messages is required"
    );
    assert_eq!(
        error(json!({"model": "m", "messages": {}})),
        "messages: expected an array, found an object"
    );
    assert_eq!(
        error(json!({"model": "m", "messages": [], "max_tokens": "many"})),
        "max_tokens: expected a whole number that is not negative, found a string"
    );
    assert_eq!(
        error(json!({"model": "m", "messages": [], "temperature": "hot"})),
        "temperature: expected a number, found a string"
    );
    assert_eq!(
        message(json!({"role": "tool", "content": "x"})),
        r#"messages[0].role: expected "user", "assistant" or "system", found "tool""#
    );
    assert_eq!(
        message(json!({"role": "user"})),
        "messages[0].content: is missing; a string or a list of blocks is required"
    );
    assert_eq!(
        message(json!({"role": "user", "content": 5})),
        "messages[0].content: expected a string or a list of blocks, found a number"
    );
    assert_eq!(
        message(json!({"role": "user", "content": [{"text": "x"}]})),
        "messages[0].content[0].type: is missing; a string is required"
    );
    assert_eq!(
        message(
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png"}},
            ]}]})
        ),
        "messages[0].content[0].content[0].source.data: is missing; a string is required"
    );
    assert_eq!(
        error(json!({"model": "m", "messages": [], "thinking": {"type": "enabled"}})),
        "thinking.budget_tokens: is missing; a whole number that is not negative is required"
    );
    assert_eq!(
        error(json!({"model": "m", "messages": [], "tools": [{"input_schema": {}}]})),
        "tools[0].name: is missing; a string is required"
    );
    assert_eq!(decode_request("nope").unwrap_err().path, "");
}
