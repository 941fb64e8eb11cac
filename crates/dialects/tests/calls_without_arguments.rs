//! Models of OpenAI's dialect tell a call of a tool that takes nothing in several ways; for Anthropic it is an empty object.

use serde_json::{Value, json};
use tollgate_dialects::codec::{self, AnswerStyle, StreamDecoder, StreamEncoder};
use tollgate_dialects::{Capabilities, Dialect, Losses, Target};

const WAYS: [&str; 4] = ["", "null", " null ", "{}"];

fn call(arguments: &str) -> Value {
    json!([{"index": 0, "id": "call_1", "type": "function", "function": {"name": "now", "arguments": arguments}}])
}

#[test]
fn a_whole_answer_has_an_empty_input() {
    for arguments in WAYS {
        let message = json!({"role": "assistant", "content": null, "tool_calls": call(arguments)});
        let answer = json!({
            "id": "c", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        });
        let response = codec::decode_response(Dialect::OpenaiChat, &answer.to_string()).unwrap();
        let mut losses = Losses::new();
        let out = codec::encode_response(
            Dialect::AnthropicMessages,
            &response,
            &AnswerStyle::default(),
            &mut losses,
        );
        let out: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(out["content"][0]["input"], json!({}), "{arguments:?}");
        assert_eq!(losses.rejections().count(), 0, "{arguments:?}");
    }
}

#[test]
fn a_stream_has_an_empty_input() {
    for arguments in WAYS {
        let chunk = |choice: Value| {
            let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]});
            format!("data: {chunk}\n\n")
        };
        let stream = chunk(
            json!({"index": 0, "delta": {"role": "assistant", "tool_calls": call(arguments)}, "finish_reason": null}),
        ) + &chunk(json!({"index": 0, "delta": {}, "finish_reason": "tool_calls"}))
            + "data: [DONE]\n\n";
        let mut decoder = StreamDecoder::new(Dialect::OpenaiChat, 1 << 20);
        let mut encoder = StreamEncoder::new(Dialect::AnthropicMessages, &AnswerStyle::default());
        let (mut losses, mut out) = (Losses::new(), Vec::new());
        decoder
            .feed(stream.as_bytes(), &mut |event| {
                encoder.encode(&event, &mut losses, &mut out)
            })
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let input: String = events
            .map(|data| serde_json::from_str::<Value>(data).unwrap())
            .filter_map(|event| event["delta"]["partial_json"].as_str().map(str::to_owned))
            .collect();
        assert!(
            input.is_empty() || input == "{}",
            "{arguments:?} became {input:?}"
        );
        assert!(text.contains("message_stop"));
        assert_eq!(losses.rejections().count(), 0, "{arguments:?}");
    }
}

#[test]
fn a_call_in_the_history_has_an_empty_input() {
    for arguments in WAYS {
        let request = json!({
            "model": "m",
            "messages": [
                {"role": "user", "content": "What time is it?"},
                {"role": "assistant", "content": null, "tool_calls": call(arguments)},
                {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
            ],
            "tools": [{"type": "function", "function": {"name": "now"}}],
        });
        let request = codec::decode_request(Dialect::OpenaiChat, &request.to_string()).unwrap();
        let capabilities = Capabilities::of("claude-sonnet-4-5");
        let target = Target {
            model: "claude-sonnet-4-5",
            capabilities: &capabilities,
            default_max_output_tokens: None,
        };
        let mut losses = Losses::new();
        let out = codec::encode_request(Dialect::AnthropicMessages, &request, &target, &mut losses);
        let out: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            out["messages"][1]["content"][0]["input"],
            json!({}),
            "{arguments:?}"
        );
        assert_eq!(losses.rejections().count(), 0, "{arguments:?}");
    }
}
