//! Errors of all providers, and what is told about wrong documents.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests count as tests"
)]

mod openai_chat_support;

use openai_chat_support::{json, recordings};
use serde_json::json;
use tollgate_dialects::canonical::{ErrorKind, ProviderError};
use tollgate_dialects::openai_chat::{
    decode_error, decode_request, decode_response, encode_error, error_in_answer,
};

#[test]
fn recorded_errors_are_understood() {
    let expected = |name: &str| match name.split_once("/").unwrap() {
        (_, case) if case.contains("content-filter") => ErrorKind::ContentPolicy,
        ("azure", case) if case.starts_with("test-chat-reasoning") => ErrorKind::NotFound,
        (_, case) if case.contains("insufficient-quota") => ErrorKind::Billing,
        (_, case) if case.contains("rate-limit") => ErrorKind::RateLimit,
        ("azure", case) if case.contains("real-error-scenarios") => ErrorKind::RateLimit,
        ("perplexity", case) if case.contains("real-error-scenarios") => ErrorKind::ContextTooLong,
        (_, case) if case.contains("error-handling") || case.contains("auth-rejection") => {
            ErrorKind::Authentication
        }
        (_, case) if case.contains("invalid-api-key") || case.contains("lm-error") => {
            ErrorKind::Authentication
        }
        (_, case) if case.contains("nonexistent-model") || case.contains("unknown-model") => {
            ErrorKind::NotFound
        }
        ("openai", case) if case.starts_with("test-agents-and-tools") => ErrorKind::NotFound,
        ("groq", case) if case.contains("carries-request-id") => ErrorKind::NotFound,
        ("llamacpp", case) if case.contains("unfetchable") => ErrorKind::Server,
        (_, "authored-503") => ErrorKind::Overloaded,
        _ => ErrorKind::BadRequest,
    };
    let mut seen = 0;
    for recording in recordings() {
        let status = recording.status();
        let body = recording
            .read("response.json")
            .or_else(|| recording.read("response.txt"));
        let Some(body) = body.filter(|_| status >= 400) else {
            continue;
        };
        let error = decode_error(status, body.as_bytes());
        assert_eq!(
            error.kind,
            expected(&recording.name),
            "{}: {error:?}",
            recording.name
        );
        assert_eq!(error.status, status);
        assert!(
            !error.message.is_empty() && !error.message.starts_with('{'),
            "{}: {error:?}",
            recording.name
        );
        seen += 1;

        // Errors in this dialect's own shape keep what they said.
        let written = json(encode_error(&error));
        assert_eq!(
            written["error"]["message"],
            error.message.as_str(),
            "{}",
            recording.name
        );
        assert!(
            written["error"]["type"].is_string(),
            "{}: {written}",
            recording.name
        );
        if let Ok(serde_json::Value::Object(source)) = serde_json::from_str(&body)
            && let Some(source) = source.get("error").and_then(|error| error.as_object())
        {
            for (name, value) in source.iter().filter(|(_, value)| !value.is_null()) {
                assert_eq!(&written["error"][name], value, "{}", recording.name);
            }
        }
    }
    assert!(seen == 0 || seen > 25, "only {seen} recorded errors");
}

fn kind(status: u16, body: &str) -> ErrorKind {
    decode_error(status, body.as_bytes()).kind
}

#[test]
fn a_prompt_that_does_not_fit_is_recognised_in_every_providers_words() {
    let samples = [
        (
            400,
            r#"{"error":{"message":"x","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 131072 tokens. However, you requested 150000 tokens."}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"The total length of all messages is too long.","type":"too_many_prompt_tokens","code":400}}"#,
        ),
        (
            400,
            r#"{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 200000 tokens."}"#,
        ),
        (
            400,
            r#"{"error":{"message":"the request exceeds the available context size","type":"exceed_context_size_error","code":400}}"#,
        ),
        (
            400,
            r#"{"object":"error","message":"Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_prompt","param":null,"code":"3051"}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Range of input length should be [1, 98304]","type":"invalid_request_error"}}"#,
        ),
        (
            500,
            r#"{"error":"prompt too long; exceeded max context length by 12 tokens"}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Please reduce the length of the messages or completion."}}"#,
        ),
        (
            400,
            r#"{"error_type":"TOO_MANY_TOKENS","id":"c","message":"too many tokens: size limit exceeded by 25836 tokens. Try using shorter or fewer inputs."}"#,
        ),
        (400, r#"{"message":"Input is too long for requested model."}"#),
        (
            400,
            r#"{"message":"The model returned the following errors: input length and `max_tokens` exceed context limit: 199211 + 20000 > 204798"}"#,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
        ),
        (
            422,
            r#"{"error":{"message":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000","type":"invalid_request_error"}}"#,
        ),
    ];
    for (status, body) in samples {
        assert_eq!(kind(status, body), ErrorKind::ContextTooLong, "{body}");
    }
}

#[test]
fn a_refusal_by_policy_is_recognised_in_every_providers_words() {
    for (status, body) in [
        (
            400,
            r#"{"error":{"message":"Your request was rejected","type":"invalid_request_error","param":null,"code":"content_policy_violation"}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Invalid prompt: we've limited access to this content for safety reasons.","type":"invalid_request_error","param":null,"code":"invalid_prompt"}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"The response was filtered","param":"prompt","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Input data may contain inappropriate content.","type":"data_inspection_failed","code":"DataInspectionFailed"}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Content Exists Risk","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"The request was rejected because it was considered high risk","type":"content_filter"}}"#,
        ),
        (
            403,
            r#"{"error":{"message":"Your input was flagged","code":403,"metadata":{"reasons":["violence"]}}}"#,
        ),
        (400, r#"{"message":"The request was blocked by guardrails."}"#),
    ] {
        assert_eq!(kind(status, body), ErrorKind::ContentPolicy, "{body}");
    }
}

#[test]
fn money_load_and_credentials_are_told_apart_whatever_the_status_says() {
    let samples = [
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            ErrorKind::Billing,
        ),
        (
            402,
            r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}"#,
            ErrorKind::Billing,
        ),
        (
            429,
            r#"{"error":{"message":"Rate limit reached: too many tokens in the context window","type":"tokens","code":null}}"#,
            ErrorKind::RateLimit,
        ),
        (
            413,
            r#"{"error":{"message":"Request too large on tokens per minute (TPM)","type":"tokens","code":"rate_limit_exceeded"}}"#,
            ErrorKind::RateLimit,
        ),
        (
            400,
            r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: sk***. You can obtain an API key from https://console.x.ai."}"#,
            ErrorKind::Authentication,
        ),
        (
            400,
            r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#,
            ErrorKind::Authentication,
        ),
        (
            403,
            r#"{"error":{"message":"Your input was flagged","code":403}}"#,
            ErrorKind::ContentPolicy,
        ),
        (
            403,
            r#"{"error":{"message":"not allowed"}}"#,
            ErrorKind::Permission,
        ),
        (
            500,
            r#"{"error":{"message":"boom","type":"server_error"}}"#,
            ErrorKind::Server,
        ),
        (
            503,
            r#"{"error":{"message":"try later","type":"server_error"}}"#,
            ErrorKind::Overloaded,
        ),
        (529, "", ErrorKind::Overloaded),
        (424, r#"{"error":{"message":"x"}}"#, ErrorKind::Server),
        (408, "", ErrorKind::Timeout),
        (409, "", ErrorKind::Conflict),
    ];
    for (status, body, expected) in samples {
        assert_eq!(kind(status, body), expected, "{status} {body}");
    }
}

#[test]
fn the_text_of_an_error_is_found_in_every_shape() {
    let samples: [(&str, &str); 9] = [
        (
            r#"{"error":{"message":"a","type":"b","param":null,"code":"c"}}"#,
            "a",
        ),
        (r#"{"error":"a"}"#, "a"),
        (r#"{"code":"c","error":"a"}"#, "a"),
        (r#"{"detail":"a"}"#, "a"),
        (
            r#"{"detail":[{"type":"missing","loc":["body","model"],"msg":"Field required"},{"msg":"b"}]}"#,
            "body.model: Field required; b",
        ),
        (
            r#"{"object":"error","message":"a","type":"b","code":"3051"}"#,
            "a",
        ),
        (
            r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"too hot","provider_name":"P"}},"user_id":"u"}"#,
            "Provider returned error: too hot",
        ),
        ("upstream connect error", "upstream connect error"),
        ("  <html>bad gateway</html>\n", "<html>bad gateway</html>"),
    ];
    for (body, message) in samples {
        assert_eq!(decode_error(502, body.as_bytes()).message, message, "{body}");
    }
    assert_eq!(
        decode_error(502, b"").message,
        "the provider sent an error without a text"
    );
    assert_eq!(decode_error(502, br#"{"unknown":1}"#).message, r#"{"unknown":1}"#);
}

#[test]
fn long_texts_are_cut_at_a_character() {
    for (length, cut) in [(1023, false), (1024, false), (1025, true)] {
        let message = decode_error(502, "a".repeat(length).as_bytes()).message;
        assert_eq!(message.ends_with('…'), cut, "{length}");
    }
    let message = decode_error(502, "ä".repeat(600).as_bytes()).message;
    assert_eq!(message, format!("{}…", "ä".repeat(512)));
    let odd = decode_error(502, format!("a{}", "ä".repeat(600)).as_bytes()).message;
    assert_eq!(odd, format!("a{}…", "ä".repeat(511)));
    decode_error(502, &[0xff, 0xfe, b'x']);
}

#[test]
fn an_error_of_another_dialect_gets_openai_names() {
    let error = |kind, native_type: &str| ProviderError {
        kind,
        status: 529,
        message: "m".to_owned(),
        native_type: Some(native_type.to_owned()),
        code: None,
        param: None,
        raw: tollgate_dialects::json::RawJson::parse(
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m"},"request_id":"r"}"#,
        )
        .ok(),
    };
    let written = |kind| json(encode_error(&error(kind, "overloaded_error")));
    assert_eq!(
        written(ErrorKind::Overloaded),
        json!({"error": {"message": "m", "type": "server_error", "param": null, "code": "server_overloaded"}})
    );
    assert_eq!(
        written(ErrorKind::Billing),
        json!({"error": {"message": "m", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}})
    );
    assert_eq!(
        written(ErrorKind::ContextTooLong)["error"]["code"],
        "context_length_exceeded"
    );
    assert_eq!(
        written(ErrorKind::RateLimit)["error"]["code"],
        "rate_limit_exceeded"
    );
}

#[test]
fn an_error_of_our_own_keeps_its_code() {
    let error = |code: Option<&str>| ProviderError {
        kind: ErrorKind::NotFound,
        status: 404,
        message: "m".to_owned(),
        native_type: None,
        code: code.map(str::to_owned),
        param: None,
        raw: None,
    };
    let code = |code| json(encode_error(&error(code)))["error"]["code"].clone();
    assert_eq!(code(Some("unknown_url")), "unknown_url");
    assert_eq!(code(None), "model_not_found");
}

#[test]
fn every_kind_of_error_is_read_back_as_what_it_was() {
    use ErrorKind::*;
    for kind in [
        BadRequest,
        ContextTooLong,
        ContentPolicy,
        Authentication,
        Permission,
        Billing,
        NotFound,
        TooLarge,
        RateLimit,
        Overloaded,
        Timeout,
        Server,
    ] {
        let error = ProviderError {
            kind,
            status: 0,
            message: "m".to_owned(),
            native_type: None,
            code: None,
            param: None,
            raw: None,
        };
        assert_eq!(decode_error(0, &encode_error(&error)).kind, kind);
    }
}

#[test]
fn an_error_inside_an_answer_with_a_status_of_success_is_found() {
    let body = r#"{"id":"x","error":{"code":429,"message":"slow"},"choices":[]}"#;
    let error = error_in_answer(body).unwrap();
    assert_eq!((error.status, error.kind), (429, ErrorKind::RateLimit));
    let body = r#"{"choices":[{"message":{"content":""},"finish_reason":"error","error":{"code":502,"message":"gone"}}]}"#;
    let error = error_in_answer(body).unwrap();
    assert_eq!((error.status, error.message.as_str()), (502, "gone"));
    let only_error = r#"{"error":{"message":"m"}}"#;
    assert_eq!(
        decode_response(only_error).unwrap_err().to_string(),
        "choices: the provider answered with an error"
    );
    assert_eq!(
        error_in_answer(r#"{"error":null,"choices":[{"message":{"content":"a"}}]}"#),
        None
    );
}

#[test]
fn wrong_requests_are_told_by_path_and_expectation() {
    let samples = [
        ("[]", "expected an object, found an array"),
        (
            "{",
            "is not valid JSON: EOF while parsing an object at line 1 column 1",
        ),
        (r#"{"messages":[]}"#, "model: is missing; a string is required"),
        (r#"{"model":"m"}"#, "messages: is missing; an array is required"),
        (
            r#"{"model":1,"messages":[]}"#,
            "model: expected a string, found a number",
        ),
        (
            r#"{"model":"m","model":"n","messages":[]}"#,
            "model: stands twice in the same object",
        ),
        (
            r#"{"model":"m","messages":{}}"#,
            "messages: expected an array, found an object",
        ),
        (
            r#"{"model":"m","messages":[{},{"role":"user"}]}"#,
            "messages[0].role: is missing; a string is required",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user"},{"role":"bot"}]}"#,
            "messages[1].role: expected one of system, developer, user, assistant, tool or function, found \"bot\"",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":1}]}"#,
            "messages[0].content: expected a string or an array of parts, found a number",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":[{"text":"a"}]}]}"#,
            "messages[0].content[0].type: is missing; a string is required",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":1}]}]}"#,
            "messages[0].content[0].text: expected a string, found a number",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}"#,
            "messages[0].content[0].image_url.url: is missing; a string is required",
        ),
        (
            r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{}}]}]}"#,
            "messages[0].tool_calls[0].function.name: is missing; a string is required",
        ),
        (
            r#"{"model":"m","messages":[],"tools":[{"type":"function"}]}"#,
            "tools[0].function: is missing; an object is required",
        ),
        (
            r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"description":"d"}}]}"#,
            "tools[0].function.name: is missing; a string is required",
        ),
        (
            r#"{"model":"m","messages":[],"temperature":"hot"}"#,
            "temperature: expected a number, found a string",
        ),
        (
            r#"{"model":"m","messages":[],"max_tokens":"many"}"#,
            "max_tokens: expected a whole number that is not negative, found a string",
        ),
        (
            r#"{"model":"m","messages":[],"stream":"yes"}"#,
            "stream: expected true or false, found a string",
        ),
        (
            r#"{"model":"m","messages":[],"stop":[1]}"#,
            "stop: expected a string or an array of strings, found an array",
        ),
        (
            r#"{"model":"m","messages":[],"response_format":"json"}"#,
            "response_format: expected an object, found a string",
        ),
        (
            r#"{"model":"m","messages":[],"response_format":{"type":"json_schema"}}"#,
            "response_format.json_schema: is missing; an object is required",
        ),
        (
            r#"{"model":"m","messages":[],"tool_choice":1}"#,
            "tool_choice: expected \"none\", \"auto\", \"required\" or an object",
        ),
    ];
    for (body, expected) in samples {
        assert_eq!(decode_request(body).unwrap_err().to_string(), expected, "{body}");
    }
}
