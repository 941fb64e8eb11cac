//! Every recording in each of the other dialects, and theirs in this one.

use serde_json::{Value, json as value};
use tollgate_dialects::canonical::{Delta, Event, Part, PartKind, Response, StopReason, Usage};
use tollgate_dialects::codec::{self, AnswerStyle};
use tollgate_dialects::{Capabilities, Dialect, Losses};

use super::support::{collect, decode_pieces, recordings_of};
use super::{BEDROCK, OTHERS, answer, decode, encode, json, order, recordings, stream_of, target};

/// Texts, calls and numbers of an answer that must survive any translation.
#[derive(Debug, PartialEq)]
struct Told {
    text: String,
    reasoning: String,
    calls: Vec<(String, Value)>,
    usage: Option<(u64, u64)>,
}

fn told(response: &Response) -> Told {
    let mut told = Told {
        text: String::new(),
        reasoning: String::new(),
        calls: Vec::new(),
        usage: response
            .usage
            .as_ref()
            .map(|usage| (usage.input_total(), usage.output)),
    };
    let parts = response.choices.first().map(|choice| choice.parts.as_slice());
    for part in parts.unwrap_or_default() {
        match part {
            Part::Text(text) | Part::Refusal(text) => told.text.push_str(&text.text),
            Part::Reasoning(reasoning) => told.reasoning.push_str(&reasoning.text),
            Part::ToolCall(call) => {
                let arguments = match call.arguments.trim() {
                    "" | "null" => value!({}),
                    arguments => json(arguments),
                };
                told.calls.push((call.name.clone(), arguments));
            }
            _ => {}
        }
    }
    told
}

#[test]
fn recorded_answers_say_the_same_in_every_dialect_and_back() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(body) = recording.answer() else { continue };
        let response = codec::decode_response(BEDROCK, &body).unwrap();
        for other in OTHERS {
            let mut losses = Losses::new();
            let style = AnswerStyle::default();
            let written = codec::encode_response(other, &response, &style, &mut losses);
            assert_eq!(losses.rejections().count(), 0, "{} {losses:?}", recording.name);
            let there = codec::decode_response(other, std::str::from_utf8(&written).unwrap()).unwrap();
            assert_eq!(told(&there), told(&response), "{} in {other}", recording.name);
            let back = codec::encode_response(BEDROCK, &there, &style, &mut Losses::new());
            let back = codec::decode_response(BEDROCK, std::str::from_utf8(&back).unwrap()).unwrap();
            assert_eq!(told(&back), told(&response), "{} from {other}", recording.name);
            let stop = |response: &Response| response.choices[0].stop.reason;
            let lost = matches!(stop(&response), StopReason::StopSequence | StopReason::Malformed);
            assert!(
                lost || stop(&back) == stop(&response),
                "{} from {other}: {:?}",
                recording.name,
                stop(&back)
            );
            seen += 1;
        }
    }
    assert!(seen > 75 || recordings().is_empty(), "{seen}");
}

#[test]
fn recorded_streams_say_the_same_in_every_dialect_and_back() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(stream) = stream_of(&recording) else {
            continue;
        };
        let events = decode(&stream).events;
        let failed = events.iter().any(|event| matches!(event, Event::Error(_)));
        let whole = told(&collect(&events));
        for other in OTHERS {
            let (written, _) = encode(other, &events);
            let there = decode_pieces(other, [written.as_slice()]);
            let fails = there.events.iter().any(|event| matches!(event, Event::Error(_)));
            assert_eq!(fails, failed, "{} in {other}", recording.name);
            assert_eq!(there.result, Ok(()), "{} in {other}", recording.name);
            if failed {
                continue;
            }
            assert_eq!(
                told(&collect(&there.events)),
                whole,
                "{} in {other}",
                recording.name
            );
            let (back, _) = encode(BEDROCK, &there.events);
            order::check(&back).unwrap_or_else(|wrong| panic!("{} from {other}: {wrong}", recording.name));
            assert_eq!(
                told(&collect(&decode(&back).events)),
                whole,
                "{} from {other}",
                recording.name
            );
            seen += 1;
        }
    }
    assert!(seen > 40 || recordings().is_empty(), "{seen}");
}

#[test]
fn recorded_streams_of_the_others_are_told_in_order_here() {
    let mut seen = 0;
    for (other, folder) in [
        (Dialect::OpenaiChat, "openai-chat"),
        (Dialect::AnthropicMessages, "anthropic-messages"),
        (Dialect::Gemini, "gemini-generate"),
    ] {
        for recording in recordings_of(folder) {
            let Some(stream) = recording.stream() else {
                continue;
            };
            let decoded = decode_pieces(other, [stream.as_bytes()]);
            let ended = decoded.events.contains(&Event::End);
            if decoded.result.is_err() || !ended {
                continue;
            }
            let (written, losses) = encode(BEDROCK, &decoded.events);
            order::check(&written).unwrap_or_else(|wrong| panic!("{}: {wrong}", recording.name));
            let again = decode(&written);
            assert_eq!(again.result, Ok(()), "{}", recording.name);
            let (before, after) = (collect(&decoded.events), collect(&again.events));
            let refused = losses.iter().any(|loss| loss.ends_with("=rejected"));
            if !refused && before.choices.len() == 1 {
                let (before, after) = (told_loosely(&before), told_loosely(&after));
                assert_eq!(after, before, "{}", recording.name);
            }
            seen += 1;
        }
    }
    assert!(seen > 100 || recordings().is_empty(), "{seen}");
}

/// What is told, where usage may be missing and calls cut.
fn told_loosely(response: &Response) -> (String, String, (u64, u64)) {
    let mut response = response.clone();
    for choice in &mut response.choices {
        choice.parts.retain(|part| !matches!(part, Part::ToolCall(_)));
    }
    let told = told(&response);
    (told.text, told.reasoning, told.usage.unwrap_or_default())
}

#[test]
fn recorded_requests_are_written_in_every_dialect_or_refused_by_name() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(body) = recording.request() else { continue };
        let request = codec::decode_request(BEDROCK, &body).unwrap();
        for other in OTHERS {
            let mut losses = Losses::new();
            let capabilities = Capabilities::default();
            let written = codec::encode_request(other, &request, &target("m", &capabilities), &mut losses);
            let written = std::str::from_utf8(&written).unwrap();
            assert!(losses.iter().all(|loss| !loss.field.is_empty()), "{losses:?}");
            if losses.rejections().next().is_none() {
                codec::decode_request(other, written)
                    .unwrap_or_else(|error| panic!("{} in {other}: {error}", recording.name));
                seen += 1;
            }
        }
    }
    assert!(seen > 90 || recordings().is_empty(), "{seen}");
}

#[test]
fn recorded_requests_of_the_others_are_written_here_or_refused_by_name() {
    let mut written_count = 0;
    for (other, folder) in [
        (Dialect::OpenaiChat, "openai-chat"),
        (Dialect::AnthropicMessages, "anthropic-messages"),
        (Dialect::Gemini, "gemini-generate"),
    ] {
        for recording in recordings_of(folder) {
            let Some(body) = recording.request() else { continue };
            let Ok(request) = codec::decode_request(other, &body) else {
                continue;
            };
            for capabilities in [
                Capabilities::default(),
                Capabilities::of("anthropic.claude-sonnet-4-5-20250929-v1:0"),
                Capabilities::of("us.anthropic.claude-opus-5-5"),
            ] {
                let mut losses = Losses::new();
                let written =
                    codec::encode_request(BEDROCK, &request, &target("m", &capabilities), &mut losses);
                let written = std::str::from_utf8(&written).unwrap();
                assert!(losses.iter().all(|loss| !loss.field.is_empty()), "{losses:?}");
                if losses.rejections().next().is_none() {
                    let again = codec::decode_request(BEDROCK, written)
                        .unwrap_or_else(|error| panic!("{}: {error}", recording.name));
                    check_shape(&json(written)).unwrap_or_else(|wrong| panic!("{}: {wrong}", recording.name));
                    assert!(
                        again.max_output_tokens >= request.max_output_tokens,
                        "{}",
                        recording.name
                    );
                    written_count += 1;
                }
            }
        }
    }
    assert!(written_count > 300 || recordings().is_empty(), "{written_count}");
}

/// What Bedrock demands of every request.
pub(crate) fn check_shape(request: &Value) -> Result<(), String> {
    let messages = request["messages"].as_array().ok_or("no messages")?;
    let mut last = "";
    let mut names = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().ok_or("no role")?;
        if i == 0 && role != "user" {
            return Err(format!("begins with {role}"));
        }
        if role == last {
            return Err(format!("{role} twice"));
        }
        last = role;
        let blocks = message["content"].as_array().ok_or("no content")?;
        if blocks.is_empty() {
            return Err(format!("message {i} is empty"));
        }
        let mut documents = 0;
        let mut texts = 0;
        let mut behind_results = false;
        for block in blocks {
            let (kind, inner) = block
                .as_object()
                .and_then(|block| block.iter().next())
                .ok_or("no kind")?;
            match kind.as_str() {
                "text" if inner.as_str().is_none_or(|text| text.trim().is_empty()) => {
                    return Err("blank text".to_owned());
                }
                "text" => texts += 1,
                "document" => {
                    documents += 1;
                    names.push(inner["name"].as_str().ok_or("no name")?.to_owned());
                }
                "toolUse" => {
                    let id = inner["toolUseId"].as_str().unwrap_or("");
                    let name = inner["name"].as_str().unwrap_or("");
                    if !(1..=64).contains(&id.len()) || !(1..=64).contains(&name.len()) {
                        return Err(format!("call {id} of {name}"));
                    }
                    if !inner["input"].is_object() || request["toolConfig"]["tools"].is_null() {
                        return Err("call without input or tools".to_owned());
                    }
                }
                "toolResult" if behind_results => return Err("a result behind texts".to_owned()),
                _ => {}
            }
            behind_results |= !matches!(kind.as_str(), "toolResult" | "cachePoint");
        }
        if documents > 0 && texts == 0 && role == "user" {
            return Err("a document without a text".to_owned());
        }
    }
    let count = names.len();
    names.sort();
    names.dedup();
    if names.len() != count {
        return Err("two documents of one name".to_owned());
    }
    for tool in request["toolConfig"]["tools"].as_array().into_iter().flatten() {
        let spec = &tool["toolSpec"];
        if spec.is_object() && (spec["inputSchema"]["json"]["type"] != "object" || spec["description"] == "")
        {
            return Err(format!("tool {tool}"));
        }
    }
    if request["inferenceConfig"]["temperature"]
        .as_f64()
        .is_some_and(|t| t > 1.0)
    {
        return Err("temperature".to_owned());
    }
    Ok(())
}

#[test]
fn interleaved_calls_of_openai_come_one_behind_the_other() {
    let call = |part: usize, id: &str| Event::PartStart {
        choice: 0,
        part,
        kind: PartKind::ToolCall {
            id: id.to_owned(),
            name: "f".to_owned(),
            kind: tollgate_dialects::canonical::ToolCallKind::Function,
            ext: Default::default(),
        },
    };
    let piece = |part: usize, text: &'static str| Event::PartDelta {
        choice: 0,
        part,
        delta: Delta::Arguments(text.into()),
    };
    let events = [
        Event::Start {
            origin: Dialect::OpenaiChat,
            id: "c".to_owned(),
            model: "m".to_owned(),
            created: None,
            service_tier: None,
            ext: Default::default(),
        },
        call(0, "a"),
        piece(0, "{\"x\":"),
        call(1, ""),
        piece(1, "{}"),
        piece(0, "1}"),
        Event::PartStop { choice: 0, part: 1 },
        Event::PartStop { choice: 0, part: 0 },
        Event::Stop {
            choice: 0,
            stop: Default::default(),
        },
        Event::Usage(Usage::default()),
        Event::End,
    ];
    let (written, losses) = encode(BEDROCK, &events);
    order::check(&written).unwrap();
    assert_eq!(losses, Vec::<String>::new());
    let response = collect(&decode(&written).events);
    let calls: Vec<_> = response.choices[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::ToolCall(call) => (call.id.is_empty(), call.arguments.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(calls, [(false, "{\"x\":1}"), (false, "{}")]);
    assert_eq!(response.choices[0].stop.reason, StopReason::ToolCalls);
}

#[test]
fn reasoning_of_another_maker_travels_here_and_back_in_an_envelope() {
    let thought = value!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
        "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1},
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "c2VhbGVk"},
            {"type": "text", "text": "yes"},
        ],
    });
    let (told, _) = answer(Dialect::AnthropicMessages, BEDROCK, &thought);
    let content = &told["output"]["message"]["content"];
    assert_eq!(content[0]["reasoningContent"]["reasoningText"]["text"], "hm");
    let request = value!({"messages": [
        {"role": "user", "content": [{"text": "really?"}]},
        {"role": "assistant", "content": content},
        {"role": "user", "content": [{"text": "sure?"}]},
    ], "inferenceConfig": {"maxTokens": 100}});
    let (back, losses) = super::translate(BEDROCK, Dialect::AnthropicMessages, &request);
    assert_eq!(back["messages"][1]["content"], thought["content"]);
    assert_eq!(losses, Vec::<String>::new());
    // The provider of this dialect gets none of it.
    let (own, losses) = super::translate(BEDROCK, BEDROCK, &request);
    assert_eq!(own["messages"][1]["content"], value!([{"text": "yes"}]));
    assert_eq!(
        losses,
        ["messages[1].content[0]=dropped", "messages[1].content[1]=dropped"]
    );
}
