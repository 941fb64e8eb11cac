//! Errors of Cohere, and errors told to Cohere's clients.

use serde_json::json;
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::{ErrorKind, Event};
use tollgate_dialects::codec;
use tollgate_dialects::cohere_chat::{decode_error, decode_error_inside, encode_error};

use super::support::json as parse;
use super::{COHERE, decode, encode};

#[test]
fn statuses_and_texts_tell_the_kind() {
    for (status, body, kind) in [
        (
            400,
            r#"{"id":"1","message":"invalid request: prompt must be at least 1 token long."}"#,
            ErrorKind::BadRequest,
        ),
        (
            400,
            r#"{"message":"too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292."}"#,
            ErrorKind::ContextTooLong,
        ),
        (
            400,
            r#"{"error_type":"TOO_MANY_TOKENS","message":"too many tokens"}"#,
            ErrorKind::ContextTooLong,
        ),
        (
            400,
            r#"{"message":"too many tokens: max tokens must be less than or equal to 4096, the maximum output for this model - received 8192."}"#,
            ErrorKind::BadRequest,
        ),
        (
            401,
            r#"{"message":"invalid api token"}"#,
            ErrorKind::Authentication,
        ),
        (
            402,
            r#"{"message":"Please add or update your payment method"}"#,
            ErrorKind::Billing,
        ),
        (403, r#"{"message":"no"}"#, ErrorKind::Permission),
        (404, r#"{"message":"model 'x' not found"}"#, ErrorKind::NotFound),
        (422, r#"{"message":"no"}"#, ErrorKind::BadRequest),
        (
            429,
            r#"{"message":"You are using a Trial key, which is limited to 20 API calls / minute."}"#,
            ErrorKind::RateLimit,
        ),
        (
            429,
            r#"{"message":"You are using a Trial key, which is limited to 1000 API calls / month."}"#,
            ErrorKind::Billing,
        ),
        (
            429,
            r#"{"message":"Please wait and try again later"}"#,
            ErrorKind::RateLimit,
        ),
        (498, r#"{"message":"blocked"}"#, ErrorKind::ContentPolicy),
        (499, r#"{"message":"request cancelled"}"#, ErrorKind::Server),
        (500, r#"{"message":"internal server error"}"#, ErrorKind::Server),
        (503, r#"{"message":"no"}"#, ErrorKind::Overloaded),
        (504, r#"{"message":"no"}"#, ErrorKind::Timeout),
        (502, "<html>bad\ngateway</html>", ErrorKind::Server),
        (500, "", ErrorKind::Server),
    ] {
        let error = decode_error(status, body.as_bytes());
        assert_eq!(error.kind, kind, "{status} {body}");
        assert_eq!(error.status, status);
        assert!(
            !error.message.is_empty() && !error.message.contains('\n'),
            "{body}"
        );
    }
}

#[test]
fn errors_of_others_have_the_shape_of_cohere() {
    let error = codec::decode_error(
        Dialect::OpenaiChat,
        404,
        br#"{"error":{"message":"no such model","type":"invalid_request_error","code":"model_not_found"}}"#,
    );
    assert_eq!(
        parse(encode_error(&error, Some("req_1"))),
        json!({"id": "req_1", "message": "no such model"})
    );
    assert_eq!(
        parse(encode_error(&error, None)),
        json!({"message": "no such model"})
    );
    let out = parse(codec::encode_error(COHERE, &error, Some("req_1")));
    assert_eq!(out["id"], "req_1");
}

#[test]
fn errors_of_cohere_reach_the_others() {
    let error = decode_error(400, br#"{"id":"1","error_type":"TOO_MANY_TOKENS","message":"too many tokens: size limit exceeded by 5 tokens."}"#);
    let out = parse(codec::encode_error(Dialect::OpenaiChat, &error, None));
    assert_eq!(out["error"]["code"], "context_length_exceeded");
    let out = parse(codec::encode_error(Dialect::AnthropicMessages, &error, None));
    assert_eq!(out["error"]["type"], "invalid_request_error");
    let out = parse(codec::encode_error(Dialect::Gemini, &error, None));
    assert_eq!(out["error"]["status"], "INVALID_ARGUMENT");
}

#[test]
fn a_failure_inside_a_stream_tells_its_text() {
    for (document, kind, status, message) in [
        (
            r#"{"type":"message-end","delta":{"error":"model crashed","finish_reason":"ERROR"}}"#,
            ErrorKind::Server,
            500,
            "model crashed",
        ),
        (
            r#"{"type":"message-end","delta":{"finish_reason":"TIMEOUT"}}"#,
            ErrorKind::Timeout,
            504,
            "the answer was not finished in time",
        ),
        (
            r#"{"type":"message-end","delta":{"error":"too many tokens: size limit exceeded by 3","finish_reason":"ERROR"}}"#,
            ErrorKind::ContextTooLong,
            400,
            "too many tokens: size limit exceeded by 3",
        ),
        (r#"{"id":"1","message":"gone"}"#, ErrorKind::Server, 500, "gone"),
        ("no json", ErrorKind::Server, 500, "no json"),
    ] {
        let error = decode_error_inside(document);
        assert_eq!(
            (error.kind, error.status, error.message.as_str()),
            (kind, status, message),
            "{document}"
        );
    }
}

#[test]
fn a_stream_that_fails_never_looks_finished() {
    let start = "event: message-start\ndata: {\"type\":\"message-start\",\"id\":\"a\"}\n\n\
        event: content-start\ndata: {\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}\n\n\
        event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"par\"}}}}\n\n";
    let end = "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"error\":\"crashed\",\"finish_reason\":\"ERROR\",\"usage\":{\"billed_units\":{\"input_tokens\":5,\"output_tokens\":1}},\"new\":1}}\n\n";
    let decoded = decode(&format!("{start}{end}data: [DONE]\n\n"));
    assert_eq!(decoded.result, Ok(()));
    assert!(matches!(decoded.events.last(), Some(Event::Error(error)) if error.message == "crashed"));
    assert!(
        decoded
            .events
            .iter()
            .any(|event| matches!(event, Event::Usage(usage) if usage.input == 5))
    );
    for to in [
        Dialect::OpenaiChat,
        Dialect::AnthropicMessages,
        Dialect::Gemini,
        COHERE,
    ] {
        let (written, _) = encode(to, &decoded.events);
        assert!(written.contains("crashed"), "{to}: {written}");
        for end in ["[DONE]", "message_stop", "finishReason\":\"STOP", "COMPLETE"] {
            assert!(!written.contains(end), "{to}: {written}");
        }
    }
    let (own, _) = encode(COHERE, &decoded.events);
    assert!(own.ends_with(end), "repeated as it came: {own}");
}

#[test]
fn a_failure_of_another_provider_is_a_message_end_with_its_text() {
    let stream = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"par\"},\"finish_reason\":null}]}\n\n\
        data: {\"error\":{\"message\":\"upstream died\",\"type\":\"server_error\"}}\n\n";
    let decoded = super::decode_of(Dialect::OpenaiChat, [stream.as_bytes()]);
    let (written, _) = encode(COHERE, &decoded.events);
    let last = super::documents(&written).pop().unwrap();
    assert_eq!(
        last,
        json!({"type": "message-end", "delta": {"error": "upstream died", "finish_reason": "ERROR"}})
    );
    assert!(!written.contains("[DONE]"));
}
