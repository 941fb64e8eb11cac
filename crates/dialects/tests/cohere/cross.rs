//! There and back: what answers carry through clients of other dialects, and into the next turn.

use serde_json::{Value, json};
use tollgate_dialects::canonical::{Part, Request, Response, ToolChoice};
use tollgate_dialects::codec::{self, AnswerStyle};
use tollgate_dialects::{Capabilities, Dialect, Losses};

use super::support::{collect, json as parse, recordings_of, target};
use super::{COHERE, decode, decode_of, encode, recordings};

const OPENAI: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const GEMINI: Dialect = Dialect::Gemini;
const OTHERS: [(Dialect, &str); 3] = [
    (OPENAI, "openai-chat"),
    (ANTHROPIC, "anthropic-messages"),
    (GEMINI, "gemini-generate"),
];

/// The next request of a client that got an answer: the answer as its own turn, and a result for each call.
fn next_request(client: Dialect, answer: &Value) -> Value {
    match client {
        Dialect::OpenaiChat | Dialect::CohereChat => {
            let message = match client {
                Dialect::CohereChat => &answer["message"],
                _ => &answer["choices"][0]["message"],
            };
            let mut messages = vec![json!({"role": "user", "content": "hi"}), message.clone()];
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "r"}));
            }
            messages.push(json!({"role": "user", "content": "go on"}));
            json!({"model": "m", "messages": messages})
        }
        Dialect::Gemini => {
            let content = &answer["candidates"][0]["content"];
            let mut results: Vec<Value> = content["parts"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|part| part.get("functionCall"))
                .map(|call| json!({"functionResponse": {"id": call["id"], "name": call["name"], "response": {"result": "r"}}}))
                .collect();
            results.push(json!({"text": "go on"}));
            json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}, content, {"role": "user", "parts": results}]})
        }
        _ => {
            let content = answer["content"].as_array().unwrap();
            let mut results: Vec<Value> = content
                .iter()
                .filter(|block| block["type"] == "tool_use")
                .map(|block| json!({"type": "tool_result", "tool_use_id": block["id"], "content": "r"}))
                .collect();
            results.push(json!({"type": "text", "text": "go on"}));
            json!({"model": "m", "max_tokens": 9, "messages": [
                {"role": "user", "content": "hi"}, {"role": "assistant", "content": content}, {"role": "user", "content": results}]})
        }
    }
}

/// What the model said in a request of Cohere's: content, plan and calls.
fn turn(body: &Value) -> (Value, Value, Value) {
    let message = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|message| message["role"] == "assistant")
        .cloned()
        .unwrap_or_default();
    // A single text may be a string or a list of one.
    let content = match &message["content"] {
        Value::String(text) => json!([{"type": "text", "text": text}]),
        content => content.clone(),
    };
    // Clients that hold arguments as objects do not keep their spaces.
    let mut calls = message["tool_calls"].clone();
    for call in calls.as_array_mut().into_iter().flatten() {
        let arguments = call["function"]["arguments"].as_str().unwrap();
        call["function"]["arguments"] = parse(arguments);
    }
    (content, message["tool_plan"].clone(), calls)
}

fn encoded(to: Dialect, request: &Request) -> (Value, Losses) {
    let capabilities = Capabilities::default();
    let mut losses = Losses::new();
    let body = codec::encode_request(to, request, &target("m", &capabilities), &mut losses);
    (parse(body), losses)
}

/// Every recorded answer of Cohere, also those that were streamed.
fn answers() -> Vec<(String, Response)> {
    recordings()
        .into_iter()
        .filter_map(|recording| {
            let response = match (recording.answer(), recording.stream()) {
                (Some(body), _) => codec::decode_response(COHERE, &body).unwrap(),
                (None, Some(stream)) => collect(&decode(&stream).events),
                (None, None) => return None,
            };
            Some((recording.name, response))
        })
        .collect()
}

#[test]
fn thinking_plans_and_calls_come_back_to_cohere_through_every_client() {
    let (mut seen, mut plans, mut thoughts) = (0, 0, 0);
    for (name, response) in answers() {
        let own = codec::encode_response(COHERE, &response, &AnswerStyle::default(), &mut Losses::new());
        let message = parse(own)["message"].clone();
        let before = turn(&json!({ "messages": [message] }));
        for (client, _) in OTHERS {
            let told = codec::encode_response(client, &response, &AnswerStyle::default(), &mut Losses::new());
            let next = next_request(client, &parse(told)).to_string();
            let request = codec::decode_request(client, &next).unwrap();
            let (body, losses) = encoded(COHERE, &request);
            assert!(losses.is_empty(), "{name} {client}: {losses:?}");
            assert_eq!(turn(&body), before, "{name} {client}");
            // Nobody else gets to see it.
            for (other, _) in OTHERS.iter().filter(|(other, _)| *other != client) {
                let (body, _) = encoded(*other, &request);
                for thought in thoughts_of(&response) {
                    let start: String = thought.chars().take(60).collect();
                    let start = Value::String(start).to_string();
                    assert!(
                        !body.to_string().contains(start.trim_matches('"')),
                        "{name} {client} {other}"
                    );
                }
            }
            seen += 1;
        }
        plans += usize::from(!before.1.is_null());
        thoughts += usize::from(before.0.to_string().contains("\"thinking\""));
    }
    assert!(
        (seen > 50 && plans > 2 && thoughts > 3) || recordings().is_empty(),
        "{seen} {plans} {thoughts}"
    );
}

fn thoughts_of(response: &Response) -> Vec<&str> {
    response.choices[0]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Reasoning(reasoning) => Some(reasoning.text.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn plans_and_thinking_of_streams_come_back_through_clients_that_put_them_together() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let events = decode(&stream).events;
        let response = collect(&events);
        let own = codec::encode_response(COHERE, &response, &AnswerStyle::default(), &mut Losses::new());
        let before = turn(&json!({ "messages": [parse(own)["message"].clone()] }));
        for client in [OPENAI, ANTHROPIC] {
            let (written, _) = encode(client, &events);
            let collected = collect(&decode_of(client, [written.as_bytes()]).events);
            let told =
                codec::encode_response(client, &collected, &AnswerStyle::default(), &mut Losses::new());
            let told = parse(told);
            let request = codec::decode_request(client, &next_request(client, &told).to_string()).unwrap();
            let (body, losses) = encoded(COHERE, &request);
            assert_eq!(
                turn(&body),
                before,
                "{} {client} {losses:?} {request:?}",
                recording.name
            );
            seen += 1;
        }
    }
    assert!(seen > 8 || recordings().is_empty(), "{seen}");
}

/// The proofs of a maker in these parts.
fn proofs(parts: &[Part], maker: Dialect) -> Vec<String> {
    parts
        .iter()
        .filter_map(|part| match part {
            Part::Reasoning(reasoning) if reasoning.origin == Some(maker) => {
                reasoning.signature.clone().or(reasoning.redacted.clone())
            }
            _ => None,
        })
        .filter(|proof| !proof.is_empty())
        .collect()
}

#[test]
fn signatures_of_others_come_back_to_their_maker_only_through_a_client_of_cohere() {
    let mut seen = 0;
    for (maker, folder) in [(ANTHROPIC, "anthropic-messages"), (GEMINI, "gemini-generate")] {
        for recording in recordings_of(folder) {
            let (response, streamed) = match (recording.answer(), recording.stream()) {
                (Some(body), _) => match codec::decode_response(maker, &body) {
                    Ok(response) => (response, None),
                    Err(_) => continue,
                },
                (None, Some(stream)) => {
                    let events = decode_of(maker, [stream.as_bytes()]).events;
                    (collect(&events), Some(events))
                }
                (None, None) => continue,
            };
            let Some(choice) = response.choices.first() else {
                continue;
            };
            let before = proofs(&choice.parts, maker);
            let is_carried =
                |part: &Part| matches!(part, Part::Text(_) | Part::ToolCall(_) | Part::Reasoning(_));
            if before.is_empty() || !choice.parts.iter().all(is_carried) {
                continue;
            }
            let whole = parse(codec::encode_response(
                COHERE,
                &response,
                &AnswerStyle::default(),
                &mut Losses::new(),
            ));
            let mut tellings = vec![whole];
            if let Some(events) = streamed {
                let (written, _) = encode(COHERE, &events);
                let mut collected = collect(&decode(&written).events);
                collected.model.clear();
                tellings.push(parse(codec::encode_response(
                    COHERE,
                    &collected,
                    &AnswerStyle::default(),
                    &mut Losses::new(),
                )));
            }
            for told in tellings {
                let request =
                    codec::decode_request(COHERE, &next_request(COHERE, &told).to_string()).unwrap();
                let (back, losses) = encoded(maker, &request);
                let back = codec::decode_request(maker, &back.to_string()).unwrap();
                let after: Vec<String> = back
                    .messages
                    .iter()
                    .flat_map(|message| proofs(&message.parts, maker))
                    .collect();
                assert_eq!(after, before, "{} {losses:?}", recording.name);
                for other in [OPENAI, ANTHROPIC, GEMINI, COHERE]
                    .into_iter()
                    .filter(|other| *other != maker)
                {
                    let (body, losses) = encoded(other, &request);
                    assert!(!losses.is_empty(), "{} {other}", recording.name);
                    for proof in &before {
                        assert!(
                            !body.to_string().contains(proof.as_str()),
                            "{} {other}",
                            recording.name
                        );
                    }
                    assert!(
                        !body.to_string().contains("tollgate:"),
                        "{} {other}",
                        recording.name
                    );
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 40 || recordings().is_empty(), "{seen}");
}

#[test]
fn requests_of_others_that_lose_nothing_come_back_as_they_were() {
    let mut whole = 0;
    for (origin, folder) in OTHERS {
        for recording in recordings_of(folder) {
            let Some(Ok(mut request)) = recording
                .request()
                .map(|body| codec::decode_request(origin, &body))
            else {
                continue;
            };
            request.model = "m".to_owned();
            let (there, losses) = encoded(COHERE, &request);
            if !losses.is_empty() {
                continue;
            }
            let there = codec::decode_request(COHERE, &there.to_string()).unwrap();
            let (back, losses) = encoded(origin, &there);
            let back = codec::decode_request(origin, &back.to_string()).unwrap();
            // Anthropic takes temperature or top-p, and must be told how much to write.
            if losses.rejections().next().is_some() {
                // Who thinks cannot be forced to call; that was said in the first place.
                assert!(request.reasoning.is_some(), "{}: {losses:?}", recording.name);
                continue;
            }
            assert_eq!(said(&back), said(&request), "{}", recording.name);
            assert_eq!(back.stop, request.stop, "{}", recording.name);
            let choice = |request: &Request| match &request.tool_choice {
                Some(_) if request.tools.is_empty() => None,
                Some(ToolChoice::Auto) => None,
                // The only tool there is.
                Some(ToolChoice::Function(_)) => Some(ToolChoice::Required),
                choice => choice.clone(),
            };
            assert_eq!(choice(&back), choice(&request), "{}", recording.name);
            whole += 1;
        }
    }
    assert!(whole > 100 || recordings().is_empty(), "{whole}");
}

fn said(request: &Request) -> Vec<String> {
    request
        .messages
        .iter()
        .flat_map(|message| &message.parts)
        .filter_map(|part| match part {
            Part::Text(text) | Part::Refusal(text) => Some(text.text.clone()),
            Part::ToolCall(call) => {
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
                let arguments = if arguments.is_null() { json!({}) } else { arguments };
                Some(format!("{} {arguments}", call.name))
            }
            _ => None,
        })
        .filter(|text| !text.is_empty())
        .collect()
}

#[test]
fn recorded_answers_of_others_tell_a_client_of_cohere_the_same() {
    let mut seen = 0;
    for (origin, folder) in OTHERS {
        for recording in recordings_of(folder) {
            let Some(Ok(response)) = recording
                .answer()
                .map(|body| codec::decode_response(origin, &body))
            else {
                continue;
            };
            let mut losses = Losses::new();
            let told = codec::encode_response(COHERE, &response, &AnswerStyle::default(), &mut losses);
            let again = match codec::decode_response(COHERE, std::str::from_utf8(&told).unwrap()) {
                Ok(again) => again,
                // Told as failed: the dialect has no word for a filter.
                Err(error) => {
                    assert_eq!(error.path, "finish_reason", "{}", recording.name);
                    continue;
                }
            };
            let (Some(before), Some(after)) = (response.choices.first(), again.choices.first()) else {
                continue;
            };
            let text = |parts: &[Part]| -> String {
                parts
                    .iter()
                    .filter_map(|part| match part {
                        Part::Text(text) | Part::Refusal(text) => Some(text.text.as_str()),
                        _ => None,
                    })
                    .collect()
            };
            assert_eq!(text(&after.parts), text(&before.parts), "{}", recording.name);
            if let (Some(before), Some(after)) = (&response.usage, &again.usage) {
                assert_eq!(after.input_total(), before.input_total(), "{}", recording.name);
                assert_eq!(after.output, before.output, "{}", recording.name);
            }
            seen += 1;
        }
    }
    assert!(seen > 200 || recordings().is_empty(), "{seen}");
}
