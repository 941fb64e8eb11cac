//! Recorded requests and answers of all providers go through the codec unchanged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests count as tests"
)]

mod openai_chat_support;

use openai_chat_support::{assert_json_eq, capabilities, json, recordings};
use serde_json::{Value, json};
use tollgate_dialects::openai_chat::{
    ResponseStyle, decode_request, decode_response, encode_request, encode_response,
};
use tollgate_dialects::{Losses, Target};

#[test]
fn recorded_requests_are_written_as_they_came() {
    let capabilities = capabilities();
    for recording in recordings() {
        let Some(body) = recording.read("request.json") else {
            continue;
        };
        let request = decode_request(&body).unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let target = Target {
            model: &request.model,
            capabilities: &capabilities,
            default_max_output_tokens: None,
        };
        let mut losses = Losses::new();
        let written = encode_request(&request, &target, &mut losses);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);

        let mut expected = json(body.as_bytes());
        if expected["stream"] == Value::Bool(true) {
            // Usage is always asked for.
            expected["stream_options"]["include_usage"] = Value::Bool(true);
        }
        assert_json_eq(&json(&written), &expected, &recording.name);
    }
}

#[test]
fn recorded_requests_keep_schemas_and_arguments_byte_identical() {
    let capabilities = capabilities();
    for recording in recordings() {
        let Some(body) = recording.read("request.json") else {
            continue;
        };
        let request = decode_request(&body).unwrap();
        let target = Target {
            model: "m",
            capabilities: &capabilities,
            default_max_output_tokens: None,
        };
        let written = String::from_utf8(encode_request(&request, &target, &mut Losses::new())).unwrap();
        for tool in &request.tools {
            if let tollgate_dialects::canonical::ToolKind::Function {
                parameters: Some(parameters),
                ..
            } = &tool.kind
            {
                assert!(body.contains(parameters.text()), "{}", recording.name);
                assert!(written.contains(parameters.text()), "{}", recording.name);
            }
        }
    }
}

#[test]
fn recorded_answers_are_written_as_they_came() {
    for recording in recordings() {
        let Some(body) = recording.read("response.json") else {
            continue;
        };
        let mut expected = json(body.as_bytes());
        if expected["choices"].is_null() {
            continue;
        }
        let response = decode_response(&body).unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let mut losses = Losses::new();
        let written = encode_response(&response, &ResponseStyle::default(), &mut losses);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);

        for choice in expected["choices"].as_array_mut().unwrap() {
            // Some providers leave out `content` beside tool calls; clients expect the null that OpenAI writes.
            let message = choice["message"].as_object_mut().unwrap();
            message.entry("content").or_insert(json!(null));
        }
        assert_json_eq(&json(&written), &expected, &recording.name);
    }
}
