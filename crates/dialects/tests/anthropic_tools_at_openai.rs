//! Tools of an Anthropic client whose names OpenAI refuses.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use serde_json::{Value, json};
use tollgate_dialects::codec::{self, AnswerStyle, StreamDecoder, StreamEncoder};
use tollgate_dialects::{Capabilities, Dialect, Losses, Renames, Target};

fn encoded(request: &Value, dialect: Dialect) -> (Value, Vec<String>, Renames) {
    let client = Dialect::AnthropicMessages;
    let request = codec::decode_request(client, &request.to_string()).unwrap();
    let capabilities = Capabilities::default();
    let target = Target {
        model: "gpt-4o",
        capabilities: &capabilities,
        default_max_output_tokens: None,
    };
    let mut losses = Losses::new();
    let body = codec::encode_request(dialect, &request, &target, &mut losses);
    let losses = losses.iter().map(ToString::to_string).collect();
    let body = serde_json::from_slice(&body).unwrap();
    (body, losses, codec::renames(dialect, &request))
}

fn request(tool: &str) -> Value {
    json!({
        "model": "m", "max_tokens": 100,
        "tools": [{"name": tool, "input_schema": {"type": "object"}}, {"name": "plain"}],
        "tool_choice": {"type": "tool", "name": tool},
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": tool, "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "ok"}]},
        ],
    })
}

#[test]
fn a_name_openai_refuses_is_sent_as_another_everywhere_and_told() {
    let (body, losses, renames) = encoded(&request("get weather"), Dialect::OpenaiChat);
    let sent = body["tools"][0]["function"]["name"].as_str().unwrap();
    assert!(
        sent.starts_with("get_weather_") && sent.len() == "get_weather_".len() + 8,
        "{sent}"
    );
    assert_eq!(body["tools"][1]["function"]["name"], "plain");
    assert_eq!(body["tool_choice"]["function"]["name"], sent);
    assert_eq!(body["messages"][1]["tool_calls"][0]["function"]["name"], sent);
    assert_eq!(renames.original(sent), "get weather");
    assert_eq!(losses.len(), 2, "{losses:?}");
    assert!(
        losses.iter().all(|loss| loss.contains(".name=approximated")),
        "{losses:?}"
    );
}

#[test]
fn names_that_fit_and_calls_that_stay_in_their_dialect_keep_their_names() {
    let (body, losses, renames) = encoded(&request(&"a".repeat(64)), Dialect::OpenaiChat);
    assert_eq!(body["tools"][0]["function"]["name"], "a".repeat(64));
    assert!(losses.is_empty() && renames.is_empty(), "{losses:?}");
    let (body, _, renames) = encoded(&request("get weather"), Dialect::AnthropicMessages);
    assert_eq!(body["tools"][0]["name"], "get weather");
    assert!(renames.is_empty());
}

#[test]
fn answers_and_streams_call_tools_by_the_clients_names() {
    let (body, _, renames) = encoded(&request("get weather"), Dialect::OpenaiChat);
    let sent = &body["tools"][0]["function"]["name"];
    let style = AnswerStyle {
        renames,
        ..AnswerStyle::default()
    };
    let calls = json!([
        {"index": 0, "id": "c1", "type": "function", "function": {"name": sent, "arguments": "{}"}},
        {"index": 1, "id": "c2", "type": "function", "function": {"name": "plain", "arguments": "{}"}},
    ]);
    let choice = json!({"index": 0, "message": {"role": "assistant", "tool_calls": calls},
        "finish_reason": "tool_calls"});
    let answer = json!({"id": "1", "model": "m", "choices": [choice]}).to_string();
    let response = codec::decode_response(Dialect::OpenaiChat, &answer).unwrap();
    let client = Dialect::AnthropicMessages;
    let answer = codec::encode_response(client, &response, &style, &mut Losses::new());
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["content"][0]["name"], "get weather");
    assert_eq!(answer["content"][1]["name"], "plain");

    let chunk = json!({"id": "1", "model": "m", "choices": [
        {"index": 0, "delta": {"tool_calls": calls}, "finish_reason": "tool_calls"},
    ]});
    let mut decoder = StreamDecoder::new(Dialect::OpenaiChat, 1 << 20);
    let mut encoder = StreamEncoder::new(client, &style);
    let mut out = Vec::new();
    let stream = format!("data: {chunk}\n\ndata: [DONE]\n\n");
    decoder
        .feed(stream.as_bytes(), &mut |event| {
            encoder.encode(&event, &mut Losses::new(), &mut out);
        })
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(r#""name":"get weather""#), "{text}");
    assert!(text.contains(r#""name":"plain""#), "{text}");
    assert!(!text.contains(sent.as_str().unwrap()), "{text}");
}

#[test]
fn a_call_that_names_no_tool_is_not_told_to_an_anthropic_client() {
    let calls = json!([{"id": "c1", "type": "function", "function": null}]);
    let choice =
        json!({"message": {"role": "assistant", "tool_calls": calls}, "finish_reason": "tool_calls"});
    let answer = json!({"id": "1", "model": "m", "choices": [choice]}).to_string();
    let response = codec::decode_response(Dialect::OpenaiChat, &answer).unwrap();
    let mut losses = Losses::new();
    let style = AnswerStyle::default();
    codec::encode_response(Dialect::AnthropicMessages, &response, &style, &mut losses);
    let refused: Vec<&str> = losses.rejections().map(|loss| loss.field.as_str()).collect();
    assert_eq!(refused, ["choices[0].message.tool_calls[0].function.name"]);
}

#[test]
fn an_empty_finish_reason_does_not_end_a_stream() {
    let mut decoder = StreamDecoder::new(Dialect::OpenaiChat, 1 << 20);
    let mut encoder = StreamEncoder::new(Dialect::AnthropicMessages, &AnswerStyle::default());
    let mut out = Vec::new();
    for (text, word) in [("a", ""), ("b", "null"), ("c", "length")] {
        let chunk = json!({"id": "1", "model": "m", "choices": [
            {"index": 0, "delta": {"content": text}, "finish_reason": word},
        ]});
        let stream = format!("data: {chunk}\n\n");
        decoder
            .feed(stream.as_bytes(), &mut |event| {
                encoder.encode(&event, &mut Losses::new(), &mut out);
            })
            .unwrap();
    }
    decoder
        .feed(b"data: [DONE]\n\n", &mut |event| {
            encoder.encode(&event, &mut Losses::new(), &mut out);
        })
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(r#""text":"c""#), "{text}");
    assert!(text.contains(r#""stop_reason":"max_tokens""#), "{text}");
}
