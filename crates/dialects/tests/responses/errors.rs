//! Errors, and the count of a prompt's tokens.

use serde_json::json;
use tollgate_dialects::canonical::ErrorKind;
use tollgate_dialects::{Capabilities, Losses, codec, openai_responses};

use super::support::target;
use super::{RESPONSES, recordings};

#[test]
fn recorded_errors_are_told_as_they_came() {
    for recording in recordings()
        .into_iter()
        .filter(|recording| recording.status() != 200)
    {
        let Some(body) = recording.read("response.json") else {
            continue;
        };
        let error = codec::decode_error(RESPONSES, recording.status(), body.as_bytes());
        let (told, written) = (
            super::json(&body),
            super::json(codec::encode_error(RESPONSES, &error, None)),
        );
        let message = told["error"]["message"]
            .as_str()
            .or(told["error"].as_str())
            .unwrap();
        assert_eq!(written["error"]["message"], message, "{}", recording.name);
        if told["error"]["code"].is_string() {
            assert_eq!(
                written["error"]["code"], told["error"]["code"],
                "{}",
                recording.name
            );
        }
    }
}

#[test]
fn an_unknown_model_is_not_found_although_the_status_says_otherwise() {
    let body = json!({"error": {"message": "The requested model 'x' does not exist.", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}});
    let error = codec::decode_error(RESPONSES, 400, body.to_string().as_bytes());
    assert_eq!((error.kind, error.status), (ErrorKind::NotFound, 400));
}

#[test]
fn a_failed_answer_is_an_error_with_its_meaning() {
    let body = json!({"id": "resp_1", "status": "failed", "output": [], "error": {"code": "rate_limit_exceeded", "message": "Slow down."}}).to_string();
    assert!(codec::decode_response(RESPONSES, &body).is_err());
    let error = codec::decode_error_inside(RESPONSES, &body);
    assert_eq!(
        (error.kind, error.status, error.message.as_str()),
        (ErrorKind::RateLimit, 429, "Slow down.")
    );
}

#[test]
fn wrong_requests_are_refused_by_the_name_of_the_field() {
    let cases = [
        (json!({"model": 1}), "model"),
        (json!({"input": 5}), "input"),
        (
            json!({"input": [{"role": "robot", "content": "a"}]}),
            "input[0].role",
        ),
        (json!({"input": [{"role": "user"}]}), "input[0].content"),
        (
            json!({"input": [{"type": "function_call_output", "output": "a"}]}),
            "input[0].call_id",
        ),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}),
            "input[0].content[0].text",
        ),
        (json!({"tools": [{"type": "function"}]}), "tools[0].name"),
        (json!({"text": {"format": {}}}), "text.format.type"),
        (json!({"temperature": "hot"}), "temperature"),
    ];
    for (body, path) in cases {
        let error = codec::decode_request(RESPONSES, &body.to_string()).unwrap_err();
        assert_eq!(error.path, path, "{body}");
    }
}

#[test]
fn a_count_is_asked_for_with_what_bears_on_the_prompt() {
    let own = json!({"model": "m", "instructions": "Be brief.", "input": "hi", "tools": []});
    let decoded = openai_responses::decode_input_tokens_request(&own.to_string()).unwrap();
    let capabilities = Capabilities::default();
    let mut losses = Losses::new();
    let mut written = super::json(openai_responses::encode_input_tokens_request(
        &decoded,
        &target("m", &capabilities),
        &mut losses,
    ));
    written["tools"] = json!([]);
    assert_eq!(written, own);

    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "max_tokens": 5, "n": 2});
    let decoded = codec::decode_request(tollgate_dialects::Dialect::OpenaiChat, &chat.to_string()).unwrap();
    let written = super::json(openai_responses::encode_input_tokens_request(
        &decoded,
        &target("m", &capabilities),
        &mut losses,
    ));
    assert_eq!(
        written,
        json!({"model": "m", "input": [{"role": "user", "content": "hi"}]})
    );
    assert!(losses.is_empty());

    let count = json!({"object": "response.input_tokens", "input_tokens": 11});
    let decoded = openai_responses::decode_token_count(&count.to_string()).unwrap();
    assert_eq!(decoded.total, 11);
    assert_eq!(super::json(openai_responses::encode_token_count(&decoded)), count);
}
