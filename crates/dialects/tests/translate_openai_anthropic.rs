//! Recorded traffic of one dialect, told in the other.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod anthropic_messages_support;

use anthropic_messages_support::{
    Recording, collect, decode as decode_anthropic, decode_own, decode_pieces, is_whole, json, recordings_of,
    request_of, streams_of, target,
};
use proptest::prelude::*;
use serde_json::{Map, Value};
use tollgate_dialects::canonical::{Event, Part, Request, Response, StopReason};
use tollgate_dialects::{Capabilities, Dialect, Losses, anthropic_messages, openai_chat};

const OPENAI: &str = "openai-chat";
const ANTHROPIC: &str = "anthropic-messages";

// Requests.

#[test]
fn a_recorded_openai_request_becomes_a_valid_anthropic_one_or_is_refused_with_reasons() {
    let capabilities = Capabilities {
        max_output_tokens: Some(64_000),
        ..Capabilities::default()
    };
    let (mut valid, mut refused) = (0, 0);
    for recording in recordings_of(OPENAI) {
        let Some(body) = recording.read("request.json") else {
            continue;
        };
        let Ok(request) = openai_chat::decode_request(&body) else {
            continue;
        };
        let mut losses = Losses::new();
        let written = anthropic_messages::encode_request(&request, &target("m", &capabilities), &mut losses);
        let document = json(&written);
        if losses.rejections().next().is_some() {
            refused += 1;
            continue;
        }
        valid += 1;
        check_anthropic_request(&document, &recording.name);
        let again = anthropic_messages::decode_request(std::str::from_utf8(&written).unwrap()).unwrap();
        assert_eq!(calls(&again), calls(&request), "{}", recording.name);
        let added = ["[system] ", "Answer with one JSON object and nothing else."];
        let told = added
            .iter()
            .fold(texts(&again), |text, added| text.replace(added, ""));
        assert_eq!(told, texts(&request), "{}", recording.name);
    }
    assert!(
        valid > 2 * refused || valid == 0,
        "{valid} valid, {refused} refused"
    );
}

/// What the provider demands of every request.
fn check_anthropic_request(request: &Value, name: &str) {
    let known = [
        "model",
        "max_tokens",
        "system",
        "messages",
        "tools",
        "tool_choice",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "stream",
        "thinking",
        "output_config",
        "metadata",
        "service_tier",
    ];
    for key in request.as_object().unwrap().keys() {
        assert!(known.contains(&key.as_str()), "{name}: {key}");
    }
    assert!(request["max_tokens"].as_u64().unwrap() > 0, "{name}");
    let mut last_role = "";
    let mut open_calls: Vec<String> = Vec::new();
    for message in request["messages"].as_array().unwrap() {
        let role = message["role"].as_str().unwrap();
        assert_ne!(role, last_role, "{name}: two turns of one role");
        last_role = role;
        let blocks = match &message["content"] {
            Value::String(text) => {
                assert!(!text.trim().is_empty(), "{name}: blank text");
                assert!(open_calls.is_empty(), "{name}: results are missing");
                continue;
            }
            content => content.as_array().unwrap(),
        };
        assert!(!blocks.is_empty(), "{name}: no content");
        let results: Vec<String> = blocks
            .iter()
            .take_while(|block| block["type"] == "tool_result")
            .map(|block| block["tool_use_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            results, open_calls,
            "{name}: results first, in the order of the calls"
        );
        assert!(
            blocks
                .iter()
                .skip(results.len())
                .all(|block| block["type"] != "tool_result"),
            "{name}"
        );
        for text in blocks.iter().filter(|block| block["type"] == "text") {
            assert!(
                !text["text"].as_str().unwrap().trim().is_empty(),
                "{name}: blank text"
            );
        }
        let uses = blocks.iter().filter(|block| block["type"] == "tool_use");
        open_calls = uses
            .map(|block| {
                assert!(block["input"].is_object(), "{name}");
                block["id"].as_str().unwrap().to_owned()
            })
            .collect();
    }
    for tool in request["tools"].as_array().into_iter().flatten() {
        assert_eq!(tool["input_schema"]["type"], "object", "{name}");
    }
    if let Some(budget) = request["thinking"]["budget_tokens"].as_u64() {
        assert!(budget < request["max_tokens"].as_u64().unwrap(), "{name}");
        assert!(request.get("temperature").is_none(), "{name}");
    }
}

#[test]
fn a_recorded_anthropic_request_becomes_an_openai_one_or_is_refused_with_reasons() {
    let capabilities = Capabilities::default();
    let (mut valid, mut refused) = (0, 0);
    for recording in recordings_of(ANTHROPIC) {
        let Some(body) = request_of(&recording) else {
            continue;
        };
        let request = anthropic_messages::decode_request(&body).unwrap();
        let mut losses = Losses::new();
        let written = openai_chat::encode_request(&request, &target("m", &capabilities), &mut losses);
        json(&written);
        if losses.rejections().next().is_some() {
            refused += 1;
            continue;
        }
        valid += 1;
        let again = openai_chat::decode_request(std::str::from_utf8(&written).unwrap()).unwrap();
        assert_eq!(calls(&again), calls(&request), "{}", recording.name);
        // A document of plain text becomes a text.
        if !body.contains(r#""document""#) {
            assert_eq!(texts(&again), texts(&request), "{}", recording.name);
        }
    }
    assert!(valid > refused || valid == 0, "{valid} valid, {refused} refused");
}

/// Names and arguments of all calls in the history.
fn calls(request: &Request) -> Vec<(String, Value)> {
    calls_of(request.messages.iter().flat_map(|message| &message.parts))
}

fn calls_of<'a>(parts: impl Iterator<Item = &'a Part>) -> Vec<(String, Value)> {
    let as_call = |part: &Part| match part {
        Part::ToolCall(call) => {
            let arguments = if call.arguments.is_empty() {
                "{}"
            } else {
                &call.arguments
            };
            Some((
                call.name.clone(),
                // `null` is what some models write for "none".
                serde_json::from_str(arguments).map_or(Value::Null, |value: Value| {
                    if value.is_null() {
                        Value::Object(Map::new())
                    } else {
                        value
                    }
                }),
            ))
        }
        _ => None,
    };
    parts.filter_map(as_call).collect()
}

/// All texts of the conversation, results of tools included.
fn texts(request: &Request) -> String {
    fn collect(parts: &[Part], found: &mut String) {
        for part in parts {
            match part {
                Part::Text(text) | Part::Refusal(text) if !text.text.trim().is_empty() => {
                    found.push_str(text.text.trim())
                }
                Part::ToolResult(result) => collect(&result.content, found),
                _ => {}
            }
        }
    }
    let mut found = String::new();
    request
        .messages
        .iter()
        .for_each(|message| collect(&message.parts, &mut found));
    found
}

// Answers.

/// What must be the same in both dialects.
#[derive(Debug, PartialEq)]
struct Told {
    text: String,
    calls: Vec<(String, Value)>,
    input: u64,
    cache_read: u64,
    cache_write: u64,
    output: u64,
    stop: StopReason,
}

fn told(response: &Response) -> Told {
    let choice = response.choices.first();
    let parts = choice.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let mut text = String::new();
    for part in parts {
        if let Part::Text(piece) | Part::Refusal(piece) = part {
            text.push_str(&piece.text);
        }
    }
    let usage = response.usage.clone().unwrap_or_default();
    let stop = choice.map_or(StopReason::Unknown, |choice| choice.stop.reason);
    Told {
        text,
        calls: calls_of(parts.iter()),
        input: usage.input_total(),
        cache_read: usage.cache_read.unwrap_or(0),
        cache_write: usage.cache_write.unwrap_or(0),
        output: usage.output,
        stop: coarse(stop, parts),
    }
}

/// The stop reasons that both dialects can tell apart.
fn coarse(reason: StopReason, parts: &[Part]) -> StopReason {
    let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let refusal = parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    match reason {
        StopReason::ContextFull => StopReason::Length,
        StopReason::Refusal => StopReason::ContentFilter,
        StopReason::Length | StopReason::ContentFilter => reason,
        _ if calls => StopReason::ToolCalls,
        _ if refusal => StopReason::ContentFilter,
        _ => StopReason::End,
    }
}

#[test]
fn a_recorded_openai_answer_tells_the_same_as_an_anthropic_one() {
    let mut seen = 0;
    for recording in recordings_of(OPENAI) {
        let Some(response) = openai_answer(&recording) else {
            continue;
        };
        let mut losses = Losses::new();
        let written = anthropic_messages::encode_response(&response, &mut losses);
        let again = anthropic_messages::decode_response(std::str::from_utf8(&written).unwrap()).unwrap();
        if losses.rejections().next().is_some() {
            continue;
        }
        let (before, after) = (told(&response), told(&again));
        if losses
            .iter()
            .any(|loss| loss.reason.ends_with("the call is left out"))
        {
            assert_eq!(after.text, before.text, "{}", recording.name);
        } else {
            assert_eq!(after, before, "{}", recording.name);
        }
        seen += 1;
    }
    assert!(seen > 100 || seen == 0, "{seen}");
}

#[test]
fn a_recorded_anthropic_answer_tells_the_same_as_an_openai_one() {
    let mut seen = 0;
    for recording in recordings_of(ANTHROPIC) {
        let Some(body) = recording.answer() else { continue };
        let response = anthropic_messages::decode_response(&body).unwrap();
        let mut losses = Losses::new();
        let written =
            openai_chat::encode_response(&response, &openai_chat::ResponseStyle::default(), &mut losses);
        let again = openai_chat::decode_response(std::str::from_utf8(&written).unwrap()).unwrap();
        let mut after = told(&again);
        // A refusal is a text beside a filtered end.
        after.stop = coarse(after.stop, &response.choices[0].parts);
        assert_eq!(after, told(&response), "{}", recording.name);
        seen += 1;
    }
    assert!(seen > 40 || seen == 0, "{seen}");
}

fn openai_answer(recording: &Recording) -> Option<Response> {
    let body = recording.answer()?;
    openai_chat::decode_response(&body)
        .ok()
        .filter(|response| response.choices.len() == 1)
}

// Streams.

fn openai_streams() -> Vec<(String, Vec<u8>)> {
    let stream = |recording: Recording| {
        let end = if recording.bytes("response.sse").is_some() {
            ""
        } else {
            "data: [DONE]\n\n"
        };
        let text = recording.stream()? + end;
        Some((recording.name, text.into_bytes()))
    };
    recordings_of(OPENAI).into_iter().filter_map(stream).collect()
}

fn anthropic_streams() -> Vec<(String, Vec<u8>)> {
    let all = recordings_of(ANTHROPIC)
        .into_iter()
        .filter(is_whole)
        .flat_map(|recording| {
            let name = recording.name.clone();
            streams_of(&recording)
                .into_iter()
                .map(move |stream| (name.clone(), stream.into_bytes()))
        });
    all.collect()
}

/// Decodes a stream that comes in these pieces; `None` if it does not end well.
fn decode_openai(pieces: &[&[u8]]) -> Option<Vec<Event<'static>>> {
    let decoded = decode_pieces(Dialect::OpenaiChat, pieces.iter().copied());
    decoded.result.ok()?;
    let is_error = |event: &Event<'_>| matches!(event, Event::Error(_));
    (!decoded.events.iter().any(is_error)).then_some(decoded.events)
}

fn to_openai(events: &[Event<'_>]) -> Vec<u8> {
    let style = openai_chat::StreamStyle {
        include_usage: true,
        ..Default::default()
    };
    let mut encoder = openai_chat::StreamEncoder::new(style);
    let mut out = Vec::new();
    for event in events {
        encoder.encode(event, &mut Losses::new(), &mut out);
    }
    out
}

#[test]
fn a_recorded_openai_stream_tells_the_same_as_an_anthropic_one() {
    let mut seen = 0;
    for (name, stream) in openai_streams() {
        let Some(events) = decode_openai(&[&stream]) else {
            continue;
        };
        let before = collect(&events);
        if before.choices.len() != 1 {
            continue;
        }
        let mut losses = Losses::new();
        let written = anthropic_messages_support::encode(&events, &mut losses);
        check_anthropic_stream(&written, &name);
        let decoded = decode_anthropic(&written);
        assert_eq!(decoded.result, Ok(()), "{name}");
        assert_eq!(told(&collect(&decoded.events)), told(&before), "{name}");
        assert_eq!(reasoning(&collect(&decoded.events)), reasoning(&before), "{name}");
        seen += 1;
    }
    assert!(seen > 50 || seen == 0, "{seen}");
}

/// Contiguous indexes, one block open at a time, the end in its order.
fn check_anthropic_stream(stream: &str, name: &str) {
    let frames = anthropic_messages_support::frames(stream);
    assert_eq!(frames.first().unwrap().0, "message_start", "{name}");
    assert!(frames[0].1["message"]["usage"]["input_tokens"].is_u64(), "{name}");
    let mut open = None;
    let mut next = 0;
    for (kind, data) in &frames {
        match kind.as_str() {
            "content_block_start" => {
                assert_eq!((open, data["index"].as_u64()), (None, Some(next)), "{name}");
                open = Some(next);
                next += 1;
            }
            "content_block_delta" => assert_eq!(data["index"].as_u64(), open, "{name}"),
            "content_block_stop" => assert_eq!(data["index"].as_u64(), open.take(), "{name}"),
            "ping" => {}
            _ => assert_eq!(open, None, "{name}: {kind}"),
        }
    }
    let last: Vec<&str> = frames
        .iter()
        .rev()
        .take(2)
        .map(|(kind, _)| kind.as_str())
        .collect();
    assert_eq!(last, ["message_stop", "message_delta"], "{name}");
}

#[test]
fn a_recorded_anthropic_stream_tells_the_same_as_an_openai_one() {
    let mut seen = 0;
    for (name, stream) in anthropic_streams() {
        let decoded = decode_anthropic(std::str::from_utf8(&stream).unwrap());
        let before = collect(&decoded.events);
        let written = to_openai(&decoded.events);
        let events = decode_openai(&[&written]).unwrap_or_else(|| panic!("{name}"));
        let mut after = told(&collect(&events));
        after.stop = coarse(after.stop, &before.choices[0].parts);
        assert_eq!(after, told(&before), "{name}");
        assert_eq!(reasoning(&collect(&events)), reasoning(&before), "{name}");
        seen += 1;
    }
    assert!(seen > 25 || seen == 0, "{seen}");
}

fn reasoning(response: &Response) -> String {
    let as_text = |part: &Part| match part {
        Part::Reasoning(reasoning) => Some(reasoning.text.clone()),
        _ => None,
    };
    response.choices[0].parts.iter().filter_map(as_text).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn streams_translate_the_same_for_every_cut(
        choice in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        from_openai in any::<bool>(),
    ) {
        let streams = if from_openai { openai_streams() } else { anthropic_streams() };
        if streams.is_empty() {
            return Ok(());
        }
        let (name, stream) = &streams[choice.index(streams.len())];
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut begin = 0;
        for cut in cuts.into_iter().chain([stream.len()]) {
            pieces.push(&stream[begin..cut]);
            begin = cut;
        }
        if from_openai {
            let translate = |pieces: &[&[u8]]| {
                Some(anthropic_messages_support::encode(&decode_openai(pieces)?, &mut Losses::new()))
            };
            prop_assert_eq!(translate(&pieces), translate(&[stream.as_slice()]), "{}", name);
        } else {
            let translate = |pieces: &[&[u8]]| {
                to_openai(&decode_own(pieces.iter().copied()).events)
            };
            prop_assert_eq!(translate(&pieces), translate(&[stream.as_slice()]), "{}", name);
        }
    }
}

// The way of a signature.

#[test]
fn signed_thinking_survives_an_openai_client_byte_by_byte() {
    let mut seen = 0;
    for recording in recordings_of(ANTHROPIC) {
        let Some(body) = recording.answer() else { continue };
        let response = anthropic_messages::decode_response(&body).unwrap();
        let signed = response.choices[0]
            .parts
            .iter()
            .any(|part| matches!(part, Part::Reasoning(_)));
        if !signed {
            continue;
        }
        let style = openai_chat::ResponseStyle::default();
        let for_client = json(openai_chat::encode_response(
            &response,
            &style,
            &mut Losses::new(),
        ));
        check_return(
            &for_client["choices"][0]["message"],
            &json(&body)["content"],
            &recording.name,
        );
        seen += 1;
    }
    assert!(seen > 2 || seen == 0, "{seen}");
}

#[test]
fn signed_thinking_of_a_stream_survives_an_openai_client_byte_by_byte() {
    let mut seen = 0;
    for (name, stream) in anthropic_streams() {
        let decoded = decode_anthropic(std::str::from_utf8(&stream).unwrap());
        let response = collect(&decoded.events);
        let signed = response.choices[0]
            .parts
            .iter()
            .any(|part| matches!(part, Part::Reasoning(_)));
        if !signed {
            continue;
        }
        // A client puts the chunks together and sends the message back.
        let collected = collect(&decode_openai(&[&to_openai(&decoded.events)]).unwrap());
        let style = openai_chat::ResponseStyle::default();
        let message = json(openai_chat::encode_response(
            &collected,
            &style,
            &mut Losses::new(),
        ));
        let original = json(anthropic_messages::encode_response(&response, &mut Losses::new()));
        check_return(&message["choices"][0]["message"], &original["content"], &name);
        seen += 1;
    }
    assert!(seen > 2 || seen == 0, "{seen}");
}

/// Sends an answer back as history and compares the thinking that arrives with the thinking that left.
fn check_return(message: &Value, content: &Value, name: &str) {
    let mut messages = vec![
        serde_json::json!({"role": "user", "content": "q"}),
        message.clone(),
    ];
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        messages.push(serde_json::json!({"role": "tool", "tool_call_id": call["id"], "content": "r"}));
    }
    messages.push(serde_json::json!({"role": "user", "content": "go on"}));
    let history = serde_json::json!({"model": "m", "messages": messages}).to_string();
    let request = openai_chat::decode_request(&history).unwrap();
    assert_eq!(request.origin, Dialect::OpenaiChat);
    let capabilities = Capabilities::default();
    let sent = anthropic_messages::encode_request(&request, &target("m", &capabilities), &mut Losses::new());
    let thinking = |blocks: &Value| -> Vec<Value> {
        let is_thinking = |block: &&Value| block["type"].as_str().unwrap().ends_with("thinking");
        blocks
            .as_array()
            .into_iter()
            .flatten()
            .filter(is_thinking)
            .cloned()
            .collect()
    };
    assert_eq!(
        thinking(&json(&sent)["messages"][1]["content"]),
        thinking(content),
        "{name}"
    );
}
