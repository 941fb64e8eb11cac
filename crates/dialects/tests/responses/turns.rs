//! Conversations of two turns: calls with their results, and reasoning that must come back to its maker.

use serde_json::{Value, json};
use tollgate_dialects::codec::{self, AnswerStyle};
use tollgate_dialects::openai_responses::ENVELOPE_PREFIX;
use tollgate_dialects::{Dialect, Losses};

use super::support::names;
use super::{RESPONSES, decode_stream, documents, encode_stream, encoded, order, request, style_of};

/// A provider's answer as a client of Responses gets it, whole and as a stream made of the same events.
fn answered(from: Dialect, body: &Value, asked: &Value) -> Value {
    let response = codec::decode_response(from, &body.to_string()).unwrap();
    let written = codec::encode_response(
        RESPONSES,
        &response,
        &style_of(&request(asked.clone())),
        &mut Losses::new(),
    );
    super::json(written)
}

/// The next request of a client that sends the whole output back, with a result for every call.
fn next_turn(asked: &Value, output: &Value) -> Value {
    let mut input = vec![json!({"role": "user", "content": "What is the weather?"})];
    let items = output.as_array().unwrap();
    input.extend(items.iter().cloned());
    for call in items.iter().filter(|item| item["type"] == "function_call") {
        input.push(json!({"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}));
    }
    let mut next = asked.clone();
    next["input"] = input.into();
    next
}

fn asked() -> Value {
    json!({
        "model": "m", "input": "What is the weather?", "reasoning": {"effort": "low", "summary": "auto"},
        "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}, "strict": false}]
    })
}

fn anthropic_answer() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "tool_use",
        "content": [
            {"type": "thinking", "thinking": "I ask.", "signature": "Eq/8+A=="},
            {"type": "redacted_thinking", "data": "sealed=="},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo", "n": 1.0}}
        ],
        "usage": {"input_tokens": 5, "output_tokens": 7}
    })
}

#[test]
fn thinking_of_claude_comes_back_to_it_through_a_client_of_responses() {
    let answer = answered(Dialect::AnthropicMessages, &anthropic_answer(), &asked());
    let kinds: Vec<&Value> = answer["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["type"])
        .collect();
    assert_eq!(kinds, ["reasoning", "reasoning", "message", "function_call"]);
    assert_eq!(answer["output"][0]["summary"][0]["text"], "I ask.");
    for sealed in [0, 1] {
        let proof = answer["output"][sealed]["encrypted_content"].as_str().unwrap();
        assert!(proof.starts_with(ENVELOPE_PREFIX), "{proof}");
    }

    let next = request(next_turn(&asked(), &answer["output"]));
    let (body, losses) = encoded(Dialect::AnthropicMessages, &next, "claude-sonnet-4-5");
    assert_eq!(body["messages"][1]["content"], anthropic_answer()["content"]);
    assert_eq!(
        body["messages"][2],
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}]})
    );
    assert!(
        !names(&losses).iter().any(|loss| loss.starts_with("input")),
        "{:?}",
        names(&losses)
    );

    // Another maker does not get it, OpenAI included, and is told that it is missing.
    for other in [RESPONSES, Dialect::Gemini, Dialect::OpenaiChat] {
        let (body, losses) = encoded(other, &next, "m");
        assert!(!body.to_string().contains(ENVELOPE_PREFIX), "{other}: {body}");
        assert!(!body.to_string().contains("Eq/8+A=="), "{other}: {body}");
        assert!(
            names(&losses).contains(&"input[1]=dropped".to_owned()),
            "{other}: {:?}",
            names(&losses)
        );
    }
}

#[test]
fn signatures_of_gemini_come_back_to_it_through_a_client_of_responses() {
    let provider = json!({
        "responseId": "r1", "modelVersion": "gemini-3-pro",
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
            {"text": "I ask.", "thought": true},
            {"functionCall": {"id": "a", "name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"id": "b", "name": "weather", "args": {"city": "Rome"}}}
        ]}}]
    });
    let answer = answered(Dialect::Gemini, &provider, &asked());
    let next = request(next_turn(&asked(), &answer["output"]));
    let (body, _) = encoded(Dialect::Gemini, &next, "gemini-3-pro");
    let turn = &body["contents"][1];
    assert_eq!(turn["role"], "model");
    let calls: Vec<&Value> = turn["parts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|part| part.get("functionCall").is_some())
        .collect();
    assert_eq!(calls[0]["thoughtSignature"], "c2ln");
    assert_eq!(calls[0]["functionCall"]["args"], json!({"city": "Oslo"}));
    assert_eq!(calls[1].get("thoughtSignature"), None);
    let results: Vec<&Value> = body["contents"][2]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| &part["functionResponse"]["response"])
        .collect();
    assert_eq!(
        results,
        [&json!({"result": "sunny"}), &json!({"result": "sunny"})]
    );
}

#[test]
fn a_streamed_answer_can_be_sent_back_as_a_whole_one() {
    let stream = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"I ask.\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"Eq/8+A==\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"weather\",\"input\":{}}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"city\\\":\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\\\"Oslo\\\"}\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let decoded = decode_stream(Dialect::AnthropicMessages, stream);
    let (written, losses) = encode_stream(RESPONSES, &decoded.events, &style_of(&request(asked())));
    order::check(&written).unwrap();
    assert_eq!(names(&losses), [""; 0]);
    let last = documents(&written).pop().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["tools"], asked()["tools"]);

    let next = request(next_turn(&asked(), &last["response"]["output"]));
    let (body, _) = encoded(Dialect::AnthropicMessages, &next, "claude-sonnet-4-5");
    assert_eq!(
        body["messages"][1]["content"],
        json!([
            {"type": "thinking", "thinking": "I ask.", "signature": "Eq/8+A=="},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
        ])
    );
}

#[test]
fn sealed_reasoning_of_openai_comes_back_through_clients_of_other_dialects() {
    let provider = json!({
        "id": "resp_1", "object": "response", "created_at": 5, "model": "gpt-5", "status": "completed",
        "output": [
            {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "I ask."}], "encrypted_content": "gAAA+/=="},
            {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "weather", "arguments": "{\"city\":\"Oslo\"}"}
        ]
    });
    let response = codec::decode_response(RESPONSES, &provider.to_string()).unwrap();
    let mut losses = Losses::new();
    let to_claude = super::json(codec::encode_response(
        Dialect::AnthropicMessages,
        &response,
        &AnswerStyle::default(),
        &mut losses,
    ));
    let to_chat = super::json(codec::encode_response(
        Dialect::OpenaiChat,
        &response,
        &AnswerStyle::default(),
        &mut losses,
    ));
    assert!(losses.is_empty(), "{:?}", names(&losses));
    let next = [
        (
            Dialect::AnthropicMessages,
            json!({"model": "m", "max_tokens": 9, "messages": [
                {"role": "user", "content": "What is the weather?"},
                {"role": "assistant", "content": to_claude["content"]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": to_claude["content"][1]["id"], "content": "sunny"}]}
            ]}),
        ),
        (
            Dialect::OpenaiChat,
            json!({"model": "m", "messages": [
                {"role": "user", "content": "What is the weather?"},
                to_chat["choices"][0]["message"],
                {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
            ]}),
        ),
    ];
    for (client, body) in next {
        let request = codec::decode_request(client, &body.to_string()).unwrap();
        let (mut written, _) = encoded(RESPONSES, &request, "gpt-5");
        // Its type demands an id, which other dialects do not carry.
        let id = written["input"][1].as_object_mut().unwrap().remove("id");
        assert!(id.is_some_and(|id| id.as_str().unwrap().starts_with("rs_")));
        assert_eq!(
            written["input"],
            json!([
                {"role": "user", "content": "What is the weather?"},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "I ask."}], "encrypted_content": "gAAA+/=="},
                {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{\"city\":\"Oslo\"}"},
                {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
            ]),
            "{client}"
        );
        // It is OpenAI's; nobody else gets it.
        for other in [Dialect::AnthropicMessages, Dialect::Gemini, Dialect::OpenaiChat] {
            let (written, _) = encoded(other, &request, "m");
            assert!(
                other == client || !written.to_string().contains("gAAA+/=="),
                "{client} to {other}: {written}"
            );
        }
    }
}

#[test]
fn reasoning_that_was_not_told_is_no_empty_block_elsewhere() {
    let provider = json!({
        "id": "resp_1", "created_at": 5, "model": "gpt-5", "status": "completed",
        "output": [
            {"id": "rs_1", "type": "reasoning", "summary": []},
            {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}
        ]
    });
    let response = codec::decode_response(RESPONSES, &provider.to_string()).unwrap();
    let mut losses = Losses::new();
    let written = super::json(codec::encode_response(
        Dialect::AnthropicMessages,
        &response,
        &AnswerStyle::default(),
        &mut losses,
    ));
    assert_eq!(written["content"], json!([{"type": "text", "text": "Hi"}]));
    assert!(losses.is_empty(), "{:?}", names(&losses));
}
