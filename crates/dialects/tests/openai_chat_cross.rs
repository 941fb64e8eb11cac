//! Recorded traffic of Anthropic's, told in the words of this dialect, and back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests count as tests"
)]

mod openai_chat_support;

use openai_chat_support::{capabilities, check_order, decode_stream, json, recordings_of};
use serde_json::json;
use tollgate_dialects::canonical::{Collector, Event, Part, Request, Response};
use tollgate_dialects::{Losses, Target, anthropic_messages, openai_chat};

/// What a person and a program read in an answer, however it is cut into parts.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    reasoning: Vec<(String, Option<String>, Option<String>)>,
    calls: Vec<(String, String, String)>,
    input: u64,
    output: u64,
}

fn said(response: &Response) -> Said {
    let mut said = Said::default();
    for part in response.choices.iter().flat_map(|choice| &choice.parts) {
        match part {
            Part::Text(text) => said.text.push_str(&text.text),
            Part::Reasoning(part) => {
                said.reasoning
                    .push((part.text.clone(), part.signature.clone(), part.redacted.clone()));
            }
            Part::ToolCall(call) => {
                said.calls
                    .push((call.id.clone(), call.name.clone(), call.arguments.clone()))
            }
            _ => {}
        }
    }
    if let Some(usage) = &response.usage {
        (said.input, said.output) = (usage.input_total(), usage.output);
    }
    said
}

#[test]
fn recorded_answers_of_anthropic_say_the_same_here() {
    for recording in recordings_of("anthropic-messages") {
        let Some(body) = recording.read("response.json") else {
            continue;
        };
        let Ok(response) = anthropic_messages::decode_response(&body) else {
            continue;
        };
        let written = openai_chat::encode_response(
            &response,
            &openai_chat::ResponseStyle::default(),
            &mut Losses::new(),
        );
        let again = openai_chat::decode_response(std::str::from_utf8(&written).unwrap()).unwrap();
        assert_eq!(said(&again), said(&response), "{}", recording.name);
        let finish = json(&written)["choices"][0]["finish_reason"]
            .as_str()
            .unwrap()
            .to_owned();
        let known = ["stop", "length", "tool_calls", "content_filter"];
        assert!(known.contains(&finish.as_str()), "{}: {finish}", recording.name);
    }
}

#[test]
fn recorded_streams_of_anthropic_say_the_same_here() {
    for recording in recordings_of("anthropic-messages") {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let mut decoder = anthropic_messages::StreamDecoder::new(1 << 22);
        let style = openai_chat::StreamStyle {
            include_usage: true,
            ..openai_chat::StreamStyle::default()
        };
        let mut encoder = openai_chat::StreamEncoder::new(style);
        let (mut collector, mut out, mut failed) = (Collector::new(), Vec::new(), false);
        let mut sink = |event: Event<'_>| {
            failed |= matches!(event, Event::Error(_));
            collector.push(&event);
            encoder.encode(&event, &mut Losses::new(), &mut out);
        };
        let fed = decoder.feed(stream.as_bytes(), &mut sink);
        if fed.and_then(|()| decoder.finish(&mut sink)).is_err() || failed {
            assert!(
                !String::from_utf8(out).unwrap().contains("[DONE]"),
                "{}",
                recording.name
            );
            continue;
        }
        let events = decode_stream(std::str::from_utf8(&out).unwrap());
        check_order(&events).unwrap();
        let mut again = Collector::new();
        events.iter().for_each(|event| again.push(event));
        assert_eq!(
            said(&again.finish()),
            said(&collector.finish()),
            "{}",
            recording.name
        );
    }
}

#[test]
fn recorded_requests_of_anthropic_leave_nothing_foreign_behind() {
    let capabilities = capabilities();
    let mut seen = 0;
    for recording in recordings_of("anthropic-messages") {
        let Some(body) = recording.read("request.json") else {
            continue;
        };
        let Ok(request) = anthropic_messages::decode_request(&body) else {
            continue;
        };
        let target = Target {
            model: "gpt",
            capabilities: &capabilities,
            default_max_output_tokens: None,
        };
        let written = openai_chat::encode_request(&request, &target, &mut Losses::new());
        let written = String::from_utf8(written).unwrap();
        let again = openai_chat::decode_request(&written)
            .unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let unknown: Vec<_> = again.ext.iter().filter(|(_, raw)| raw.text() != "null").collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", recording.name);
        assert!(!written.contains("cache_control\""), "{}", recording.name);
        let texts = |request: &Request| {
            let parts = request.messages.iter().flat_map(|message| &message.parts);
            parts
                .filter(|part| matches!(part, Part::ToolCall(_) | Part::ToolResult(_)))
                .count()
        };
        assert_eq!(texts(&again), texts(&request), "{}", recording.name);
        seen += 1;
    }
    assert!(seen == 0 || seen > 10, "only {seen} recorded requests");
}

#[test]
fn signed_reasoning_comes_back_to_anthropic_as_it_left() {
    let mut seen = 0;
    for recording in recordings_of("anthropic-messages") {
        let Some(body) = recording.read("response.json") else {
            continue;
        };
        let Ok(response) = anthropic_messages::decode_response(&body) else {
            continue;
        };
        let source = json(body.as_bytes());
        let blocks = source["content"].as_array().cloned().unwrap_or_default();
        let thinking: Vec<_> = blocks
            .into_iter()
            .filter(|block| block["type"] == "thinking" || block["type"] == "redacted_thinking")
            .collect();
        if thinking.is_empty() {
            continue;
        }
        let written = openai_chat::encode_response(
            &response,
            &openai_chat::ResponseStyle::default(),
            &mut Losses::new(),
        );
        let message = json(&written)["choices"][0]["message"].clone();
        let next = json!({"model": "m", "messages": [{"role": "user", "content": "a"}, message, {"role": "user", "content": "b"}]});
        let request = openai_chat::decode_request(&next.to_string()).unwrap();
        let capabilities = capabilities();
        let target = Target {
            model: "claude",
            capabilities: &capabilities,
            default_max_output_tokens: Some(1000),
        };
        let mut losses = Losses::new();
        let sent = json(anthropic_messages::encode_request(&request, &target, &mut losses));
        let back: Vec<_> = sent["messages"][1]["content"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|block| block["type"] == "thinking" || block["type"] == "redacted_thinking")
            .cloned()
            .collect();
        assert_eq!(back, thinking, "{}: {losses:?}", recording.name);
        seen += 1;
    }
    println!("{seen} answers with signed reasoning");
}
