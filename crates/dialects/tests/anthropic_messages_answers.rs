//! Whole answers of other providers, written for clients of this dialect.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod anthropic_messages_support;

use anthropic_messages_support::{answer, json, names};
use serde_json::{Value, json};
use tollgate_dialects::Losses;
use tollgate_dialects::anthropic_messages::{decode_response, encode_response};
use tollgate_dialects::canonical::{Part, Reasoning, Response, StopReason, Text, ToolCall};

fn text(text: &str) -> Part {
    Part::Text(Text {
        text: text.into(),
        ..Text::default()
    })
}

fn tool_call(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.into(),
        name: "f".into(),
        arguments: arguments.into(),
        ..ToolCall::default()
    })
}

fn written(response: &Response) -> (Value, Vec<String>) {
    let mut losses = Losses::new();
    let body = encode_response(response, &mut losses);
    (json(body), names(&losses))
}

#[test]
fn an_answer_of_another_provider_is_a_message() {
    let reasoning = Reasoning {
        text: "hm".into(),
        member: Some("reasoning".into()),
        ..Reasoning::default()
    };
    let parts = vec![
        Part::Reasoning(reasoning),
        text("hello"),
        tool_call("call_1", r#"{"a": 1.0}"#),
    ];
    let (body, losses) = written(&answer(parts, StopReason::ToolCalls));
    assert_eq!(losses, [""; 0]);
    assert_eq!(
        body,
        json!({
            "id": "msg_chatcmpl-1", "type": "message", "role": "assistant", "model": "gpt",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "tollgate:openai_chat:reasoning:gpt"},
                {"type": "text", "text": "hello"},
                {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1.0}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {
                "input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 3}, "service_tier": "standard",
            },
        })
    );
}

#[test]
fn stop_reasons_keep_their_meaning() {
    let reason = |parts: Vec<Part>, reason| written(&answer(parts, reason)).0["stop_reason"].clone();
    let call = || vec![tool_call("a", "")];
    let refusal = || {
        vec![Part::Refusal(Text {
            text: "no".into(),
            ..Text::default()
        })]
    };
    assert_eq!(reason(vec![], StopReason::End), "end_turn");
    assert_eq!(reason(vec![], StopReason::Unknown), "end_turn");
    assert_eq!(reason(call(), StopReason::End), "tool_use");
    assert_eq!(reason(call(), StopReason::Length), "max_tokens");
    assert_eq!(reason(vec![], StopReason::ToolCalls), "end_turn");
    assert_eq!(reason(call(), StopReason::LegacyFunctionCall), "tool_use");
    assert_eq!(reason(refusal(), StopReason::End), "refusal");
    assert_eq!(reason(vec![], StopReason::ContentFilter), "refusal");
    assert_eq!(
        reason(vec![], StopReason::ContextFull),
        "model_context_window_exceeded"
    );
    assert_eq!(reason(vec![], StopReason::StopSequence), "stop_sequence");
    assert_eq!(reason(vec![], StopReason::Pause), "pause_turn");
}

#[test]
fn ids_of_calls_fit_and_are_never_empty() {
    let parts = vec![tool_call("a.b", ""), tool_call("", ""), tool_call("", "")];
    let (body, _) = written(&answer(parts, StopReason::ToolCalls));
    let ids: Vec<&str> = body["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["toolu_xa_2eb", "toolu_chatcmpl1_1", "toolu_chatcmpl1_2"]);
}

#[test]
fn broken_arguments_are_never_passed_off_as_whole() {
    let (body, losses) = written(&answer(
        vec![text("x"), tool_call("a", "{\"b\":")],
        StopReason::Length,
    ));
    assert!(
        losses.contains(&"choices[0].message.tool_calls[0]=approximated".to_owned()),
        "{losses:?}"
    );
    assert_eq!(body["content"], json!([{"type": "text", "text": "x"}]));
    assert_eq!(body["stop_reason"], "max_tokens");
    let (body, losses) = written(&answer(vec![tool_call("a", "{\"b\":")], StopReason::ToolCalls));
    assert!(losses.contains(&"choices[0].message.tool_calls[0].function.arguments=rejected".to_owned()));
    assert_eq!(body["content"][0]["input"], json!({}));
}

#[test]
fn the_first_of_several_answers_is_written_and_the_others_are_told() {
    let mut response = answer(vec![text("a")], StopReason::End);
    response.choices.push(response.choices[0].clone());
    assert!(written(&response).1.contains(&"choices[1]=dropped".to_owned()));
}

#[test]
fn a_document_that_is_no_answer_is_refused() {
    let error = |body: &str| decode_response(body).unwrap_err().to_string();
    assert_eq!(
        error(r#"{"type":"error","error":{}}"#),
        r#"type: expected "message", found "error""#
    );
    assert_eq!(error("{}"), "content: is missing; a list of blocks is required");
    assert_eq!(
        error(r#"{"content":[{"type":"tool_use"}]}"#),
        "content[0].id: is missing; a string is required"
    );
}

#[test]
fn tokens_of_a_compaction_are_counted_and_taken_out_again() {
    let body = r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[],"stop_reason":"end_turn","stop_sequence":null,
        "usage":{"input_tokens":682,"output_tokens":1320,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,"iterations":[
        {"type":"compaction","input_tokens":60385,"output_tokens":592},{"type":"message","input_tokens":682,"output_tokens":1320}]}}"#;
    let response = decode_response(body).unwrap();
    let usage = response.usage.as_ref().unwrap();
    assert_eq!((usage.input_total(), usage.output), (61_067, 1912));
    assert_eq!(json(encode_response(&response, &mut Losses::new())), json(body));
}
