//! There and back: what a Gemini answer carries through a client of another dialect and into the next turn.

use serde_json::{Value, json};
use tollgate_dialects::canonical::{Event, Part};
use tollgate_dialects::codec::{self, AnswerStyle};
use tollgate_dialects::{Capabilities, Dialect, Losses};

use super::{collect, decode, decode_pieces, encode, json as parse, recordings, target};

const OPENAI: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const GEMINI: Dialect = Dialect::Gemini;

/// The next request of a client that got an answer: the answer as its own turn, and a result for each call.
fn next_request(client: Dialect, answer: &Value) -> Value {
    if client == OPENAI {
        let message = answer["choices"][0]["message"].clone();
        let mut messages = vec![json!({"role": "user", "content": "hi"}), message.clone()];
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "r"}));
        }
        messages.push(json!({"role": "user", "content": "go on"}));
        return json!({"model": "m", "messages": messages});
    }
    let content = answer["content"].as_array().unwrap();
    let mut results: Vec<Value> = content
        .iter()
        .filter(|block| block["type"] == "tool_use")
        .map(|block| json!({"type": "tool_result", "tool_use_id": block["id"], "content": "r"}))
        .collect();
    results.push(json!({"type": "text", "text": "go on"}));
    json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": results},
    ]})
}

/// The signed parts of a Gemini model's turn, as (data, signature).
fn signed(content: &Value) -> Vec<(String, String)> {
    content["parts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|part| {
            let signature = part["thoughtSignature"].as_str()?.to_owned();
            let data = match part["functionCall"].get("args") {
                Some(args) => format!("{} {args}", part["functionCall"]["name"]),
                None => part["text"].to_string(),
            };
            Some((data, signature))
        })
        .collect()
}

#[test]
fn signatures_come_back_byte_identical_to_their_maker_and_to_nobody_else() {
    let mut seen = 0;
    for recording in recordings() {
        let response = match (recording.answer(), recording.stream()) {
            (Some(body), _) => codec::decode_response(GEMINI, &body).unwrap(),
            (None, Some(stream)) => collect(&decode(&stream).events),
            (None, None) => continue,
        };
        let Some(choice) = response.choices.first() else {
            continue;
        };
        // Hosted tools and media of answers cannot be carried.
        let carried = |part: &Part| matches!(part, Part::Text(_) | Part::ToolCall(_) | Part::Reasoning(_));
        if !choice.parts.iter().all(carried) || choice.parts.is_empty() {
            continue;
        }
        let own = codec::encode_response(GEMINI, &response, &AnswerStyle::default(), &mut Losses::new());
        let before = signed(&parse(own)["candidates"][0]["content"]);
        for client in [OPENAI, ANTHROPIC] {
            let told = codec::encode_response(client, &response, &AnswerStyle::default(), &mut Losses::new());
            let next = next_request(client, &parse(told)).to_string();
            let request = codec::decode_request(client, &next).unwrap();
            let capabilities = Capabilities::default();
            let written = |provider: Dialect| {
                let mut losses = Losses::new();
                let body =
                    codec::encode_request(provider, &request, &target("m", &capabilities), &mut losses);
                String::from_utf8(body).unwrap()
            };
            let back = parse(written(GEMINI));
            let turn = back["contents"]
                .as_array()
                .unwrap()
                .iter()
                .find(|content| content["role"] == "model");
            let after = turn.map(signed).unwrap_or_default();
            let (mut signatures, mut expected): (Vec<_>, Vec<_>) = (
                after.iter().map(|(_, signature)| signature).collect(),
                before.iter().map(|(_, signature)| signature).collect(),
            );
            signatures.sort();
            expected.sort();
            assert_eq!(signatures, expected, "{} {client}", recording.name);
            for (data, signature) in before.iter().filter(|(data, _)| data.contains(" {")) {
                assert!(
                    after.contains(&(data.clone(), signature.clone())),
                    "{} {client}",
                    recording.name
                );
            }
            for other in [OPENAI, ANTHROPIC].into_iter().filter(|other| *other != client) {
                let body = written(other);
                for (_, signature) in &before {
                    assert!(
                        !body.contains(signature.as_str()),
                        "{} {client} {other}",
                        recording.name
                    );
                }
            }
            seen += before.len();
        }
    }
    assert!(seen > 40 || recordings().is_empty(), "{seen}");
}

#[test]
fn signatures_survive_streams_to_clients_of_other_dialects() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let events = decode(&stream).events;
        let before = collect(&events);
        let own: Vec<&str> = proofs(&before.choices[0].parts);
        let (written, _) = encode(ANTHROPIC, &events, &AnswerStyle::default());
        let again = decode_pieces(ANTHROPIC, [written.as_bytes()]);
        let told = codec::encode_response(
            ANTHROPIC,
            &collect(&again.events),
            &AnswerStyle::default(),
            &mut Losses::new(),
        );
        let next = next_request(ANTHROPIC, &parse(told)).to_string();
        let request = codec::decode_request(ANTHROPIC, &next).unwrap();
        assert_eq!(proofs(&request.messages[1].parts), own, "{}", recording.name);
        let (written, _) = encode(OPENAI, &events, &AnswerStyle::default());
        for proof in &own {
            assert!(written.contains(proof), "{}", recording.name);
        }
        seen += own.len();
    }
    assert!(seen > 5 || recordings().is_empty(), "{seen}");
}

/// The signatures of Gemini's in these parts.
fn proofs(parts: &[Part]) -> Vec<&str> {
    parts
        .iter()
        .filter_map(|part| match part {
            Part::Reasoning(reasoning) if reasoning.origin == Some(GEMINI) => reasoning.signature.as_deref(),
            _ => None,
        })
        .collect()
}

#[test]
fn requests_survive_the_way_to_openai_and_back_but_for_what_is_told() {
    let mut whole = 0;
    for recording in recordings() {
        let Some(body) = recording.request() else { continue };
        for other in [OPENAI, ANTHROPIC] {
            let mut request = codec::decode_request(GEMINI, &body).unwrap();
            request.model = "m".to_owned();
            let capabilities = Capabilities {
                mid_conversation_system: true,
                ..Capabilities::default()
            };
            let mut losses = Losses::new();
            let there = codec::encode_request(other, &request, &target("m", &capabilities), &mut losses);
            if losses.iter().next().is_some() {
                continue;
            }
            let there = codec::decode_request(other, std::str::from_utf8(&there).unwrap()).unwrap();
            let mut losses = Losses::new();
            let back = codec::encode_request(GEMINI, &there, &target("m", &capabilities), &mut losses);
            let back = codec::decode_request(GEMINI, std::str::from_utf8(&back).unwrap()).unwrap();
            assert!(losses.is_empty(), "{} {other}: {losses:?}", recording.name);
            assert_eq!(
                back.temperature, request.temperature,
                "{} {other}",
                recording.name
            );
            assert_eq!(back.stop, request.stop, "{} {other}", recording.name);
            assert_eq!(
                back.tool_choice, request.tool_choice,
                "{} {other}",
                recording.name
            );
            assert_eq!(texts(&back), texts(&request), "{} {other}", recording.name);
            whole += 1;
        }
    }
    assert!(whole > 30 || recordings().is_empty(), "{whole}");
}

fn texts(request: &tollgate_dialects::canonical::Request) -> Vec<String> {
    request
        .messages
        .iter()
        .flat_map(|message| &message.parts)
        .filter_map(|part| match part {
            Part::Text(text) => Some(text.text.clone()),
            Part::ToolCall(call) => Some(format!("{} {}", call.name, call.arguments)),
            _ => None,
        })
        .filter(|text| !text.is_empty())
        .collect()
}

#[test]
fn thinking_of_anthropic_survives_a_gemini_client() {
    let own = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "EqQB/+=="},
        {"type": "redacted_thinking", "data": "sealed"},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
    ], "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 2}});
    let response = codec::decode_response(ANTHROPIC, &own.to_string()).unwrap();
    let mut losses = Losses::new();
    let told = parse(codec::encode_response(
        GEMINI,
        &response,
        &AnswerStyle::default(),
        &mut losses,
    ));
    assert!(losses.is_empty(), "{losses:?}");
    assert_eq!(
        asked_again(told["candidates"][0]["content"].clone()),
        own["content"]
    );
}

#[test]
fn streamed_thinking_of_anthropic_survives_a_gemini_client_that_keeps_every_piece() {
    let stream = concat!(
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}"#,
        "\n",
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        "\n",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"They "}}"#,
        "\n",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"want f."}}"#,
        "\n",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQB/+=="}}"#,
        "\n",
        r#"{"type":"content_block_stop","index":0}"#,
        "\n",
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}"#,
        "\n",
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
        "\n",
        r#"{"type":"content_block_stop","index":1}"#,
        "\n",
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}}"#,
        "\n",
        r#"{"type":"message_stop"}"#,
    );
    let mut encoder = codec::StreamEncoder::new(GEMINI, &AnswerStyle::default());
    let (mut losses, mut out) = (Losses::new(), Vec::new());
    let mut decoder = codec::StreamDecoder::new(ANTHROPIC, 1 << 20);
    for line in stream.lines() {
        let kind = parse(line)["type"].as_str().unwrap().to_owned();
        let event = format!("event: {kind}\ndata: {line}\n\n");
        let mut sink = |event: Event<'_>| encoder.encode(&event, &mut losses, &mut out);
        decoder.feed(event.as_bytes(), &mut sink).unwrap();
    }
    let text = String::from_utf8(out).unwrap();
    let parts: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .flat_map(|data| {
            let parts = parse(data)["candidates"][0]["content"]["parts"].clone();
            parts.as_array().cloned().unwrap_or_default()
        })
        .collect();
    assert_eq!(
        asked_again(json!({"role": "model", "parts": parts})),
        json!([
            {"type": "thinking", "thinking": "They want f.", "signature": "EqQB/+=="},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
        ])
    );
}

/// The model's turn as Anthropic gets it when a Gemini client has sent it back.
fn asked_again(mut turn: Value) -> Value {
    // Clients decode the bytes of signatures and write them in the other alphabet, without padding.
    for part in turn["parts"].as_array_mut().unwrap() {
        if let Some(signature) = part.get("thoughtSignature").and_then(Value::as_str) {
            let other = signature.replace('+', "-").replace('/', "_");
            part["thoughtSignature"] = other.trim_end_matches('=').into();
        }
    }
    let request = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}, turn,
        {"role": "user", "parts": [{"functionResponse": {"id": "toolu_1", "name": "f", "response": {"result": "r"}}}]}],
        "tools": [{"functionDeclarations": [{"name": "f"}]}]});
    let mut request = codec::decode_request(GEMINI, &request.to_string()).unwrap();
    request.model = "m".to_owned();
    request.max_output_tokens = Some(9);
    let capabilities = Capabilities::default();
    let mut losses = Losses::new();
    let body = parse(codec::encode_request(
        ANTHROPIC,
        &request,
        &target("m", &capabilities),
        &mut losses,
    ));
    assert!(losses.is_empty(), "{losses:?}");
    body["messages"][1]["content"].clone()
}
