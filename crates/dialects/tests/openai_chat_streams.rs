//! Recorded streams: cut anywhere, collected, written again and read again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests count as tests"
)]

mod openai_chat_support;

use std::collections::BTreeMap;

use openai_chat_support::{
    Recording, check_order, collect, decode_stream, recorded_stream, recordings, try_decode_stream,
};
use serde_json::Value;
use tollgate_dialects::Losses;
use tollgate_dialects::canonical::{DecodeError, Event, Part, Response, Stop};
use tollgate_dialects::openai_chat::{StreamDecoder, StreamEncoder, StreamStyle};

fn streams() -> impl Iterator<Item = (Recording, String)> {
    recordings().into_iter().filter_map(|recording| {
        let stream = recorded_stream(&recording)?;
        Some((recording, stream))
    })
}

/// Members of chunks may change places.
fn sorted(mut response: Response) -> Response {
    response.ext.0.sort_by(|a, b| a.0.cmp(&b.0));
    response
}

fn encode(events: &[Event<'_>], style: StreamStyle, losses: &mut Losses) -> String {
    let mut out = Vec::new();
    let mut encoder = StreamEncoder::new(style);
    events
        .iter()
        .for_each(|event| encoder.encode(event, losses, &mut out));
    String::from_utf8(out).unwrap()
}

fn is_cut(name: &str) -> bool {
    name.contains("authored-stream-cut")
}

#[test]
fn recorded_streams_are_read_in_order_and_to_the_end() {
    for (recording, stream) in streams() {
        let (events, result) = try_decode_stream(&[stream.as_bytes()]);
        check_order(&events).unwrap_or_else(|problem| panic!("{}: {problem}", recording.name));
        if is_cut(&recording.name) {
            assert_eq!(
                result,
                Err(DecodeError::new(
                    "",
                    "the stream ended before the answer was complete"
                ))
            );
            continue;
        }
        result.unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let failed = events.iter().any(|event| matches!(event, Event::Error(_)));
        let stopped = events.iter().any(|event| matches!(event, Event::Stop { .. }));
        assert!(
            failed != stopped,
            "{}: failed {failed}, stopped {stopped}",
            recording.name
        );
        assert_eq!(
            events.iter().any(|event| matches!(event, Event::End)),
            stream.contains("[DONE]"),
            "{}",
            recording.name
        );
    }
}

#[test]
fn recorded_streams_collect_to_the_text_and_arguments_of_their_chunks() {
    for (recording, stream) in streams() {
        let response = collect(&try_decode_stream(&[stream.as_bytes()]).0);
        let mut expected: BTreeMap<u64, Concatenated> = BTreeMap::new();
        for line in stream.lines() {
            let Some(data) = line
                .strip_prefix("data:")
                .map(str::trim)
                .filter(|data| data.starts_with('{'))
            else {
                continue;
            };
            let chunk: Value = serde_json::from_str(data).unwrap();
            for choice in chunk["choices"].as_array().into_iter().flatten() {
                expected
                    .entry(choice["index"].as_u64().unwrap())
                    .or_default()
                    .add(choice);
            }
        }
        let mut all: BTreeMap<u64, Concatenated> = BTreeMap::new();
        for choice in &response.choices {
            let actual = all.entry(choice.index).or_default();
            for part in &choice.parts {
                match part {
                    Part::Text(text) => actual.text.push_str(&text.text),
                    Part::Refusal(text) => actual.refusal.push_str(&text.text),
                    Part::Reasoning(reasoning) => actual.reasoning.push_str(&reasoning.text),
                    Part::ToolCall(call) => {
                        actual.arguments.push_str(&call.arguments);
                        actual.names.push(call.name.clone());
                    }
                    other => panic!("{}: {other:?}", recording.name),
                }
            }
            if let Some(native) = &choice.stop.native {
                actual.finish_reason = Some(native.clone());
            }
        }
        assert_eq!(all, expected, "{}", recording.name);
        let total = response.usage.map(|usage| usage.total());
        assert_eq!(total, expected_total(&stream), "{}", recording.name);
    }
}

/// All texts of a choice, put together without the code under test.
#[derive(Debug, Default, PartialEq)]
struct Concatenated {
    text: String,
    refusal: String,
    reasoning: String,
    arguments: String,
    names: Vec<String>,
    finish_reason: Option<String>,
}

impl Concatenated {
    fn add(&mut self, choice: &Value) {
        let delta = &choice["delta"];
        match &delta["content"] {
            Value::Array(list) => {
                for entry in list {
                    self.text.push_str(entry["text"].as_str().unwrap_or_default());
                    for piece in entry["thinking"].as_array().into_iter().flatten() {
                        self.reasoning.push_str(piece["text"].as_str().unwrap());
                    }
                }
            }
            text => self.text.push_str(text.as_str().unwrap_or_default()),
        }
        self.refusal
            .push_str(delta["refusal"].as_str().unwrap_or_default());
        let details = delta["reasoning_details"].as_array().into_iter().flatten();
        let detailed: String = details.filter_map(|entry| entry["text"].as_str()).collect();
        let plain = delta["reasoning_content"]
            .as_str()
            .or(delta["reasoning"].as_str())
            .unwrap_or_default();
        self.reasoning
            .push_str(if detailed.is_empty() { plain } else { &detailed });
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.arguments
                .push_str(call["function"]["arguments"].as_str().unwrap_or_default());
            self.names.extend(
                call["function"]["name"]
                    .as_str()
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned),
            );
        }
        // Some providers repeat it in the chunk that holds the usage.
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish_reason = Some(reason.to_owned());
        }
    }
}

fn expected_total(stream: &str) -> Option<u64> {
    let chunks = stream.lines().filter_map(|line| line.strip_prefix("data:"));
    let chunks = chunks.filter_map(|data| serde_json::from_str::<Value>(data.trim()).ok());
    chunks
        .filter_map(|chunk| {
            chunk["usage"]["total_tokens"]
                .as_u64()
                .or(chunk["x_groq"]["usage"]["total_tokens"].as_u64())
        })
        .next_back()
}

#[test]
fn a_stream_gives_the_same_events_wherever_it_is_cut() {
    for (recording, stream) in streams() {
        let bytes = stream.as_bytes();
        let whole = try_decode_stream(&[bytes]);
        // Every position of short streams; of longer ones a sample, and all positions at once, byte by byte.
        let step = if bytes.len() > 2 * 1024 {
            bytes.len() / 23
        } else {
            1
        };
        for cut in (1..bytes.len()).step_by(step) {
            let (first, second) = bytes.split_at(cut);
            assert!(
                try_decode_stream(&[first, second]) == whole,
                "{} cut at {cut}",
                recording.name
            );
        }
        if bytes.len() <= 64 * 1024 {
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert!(
                try_decode_stream(&single) == whole,
                "{} byte by byte",
                recording.name
            );
        }
    }
}

#[test]
fn a_stream_that_is_written_again_says_the_same() {
    let style = StreamStyle {
        include_usage: true,
        ..StreamStyle::default()
    };
    for (recording, stream) in streams() {
        if is_cut(&recording.name) {
            continue;
        }
        let mut events = decode_stream(&stream);
        let failed = events.iter().any(|event| matches!(event, Event::Error(_)));
        if !failed && !events.contains(&Event::End) {
            events.push(Event::End);
        }
        let mut losses = Losses::new();
        let written = encode(&events, style, &mut losses);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
        assert_eq!(
            written.contains("data: [DONE]\n\n"),
            !failed,
            "{}",
            recording.name
        );

        let again = decode_stream(&written);
        check_order(&again).unwrap_or_else(|problem| panic!("{}: {problem}\n{written}", recording.name));
        let mut expected = sorted(collect(&events));
        for choice in expected.choices.iter_mut().filter(|_| !failed) {
            // Snowflake never tells a finish reason; clients get one.
            choice.stop.native.get_or_insert_with(|| "stop".to_owned());
        }
        assert_eq!(sorted(collect(&again)), expected, "{}", recording.name);
        let error = |events: &[Event<'_>]| {
            events.iter().find_map(|event| match event {
                Event::Error(error) => Some((
                    error.kind,
                    error.status,
                    error.message.clone(),
                    error.code.clone(),
                )),
                _ => None,
            })
        };
        assert_eq!(error(&again), error(&events), "{}", recording.name);
    }
}

#[test]
fn every_written_chunk_is_a_chat_completion_chunk() {
    for (recording, stream) in streams() {
        let written = encode(
            &try_decode_stream(&[stream.as_bytes()]).0,
            StreamStyle::default(),
            &mut Losses::new(),
        );
        for event in written.split_terminator("\n\n") {
            let data = event.strip_prefix("data: ").unwrap();
            if data == "[DONE]" {
                continue;
            }
            let chunk: Value = serde_json::from_str(data).unwrap();
            if chunk.get("error").is_some() {
                continue;
            }
            assert_eq!(chunk["object"], "chat.completion.chunk", "{}", recording.name);
            assert!(chunk["choices"].is_array(), "{}", recording.name);
            assert!(
                chunk.get("usage").is_none(),
                "{}: usage was not asked for",
                recording.name
            );
        }
    }
}

#[test]
fn azure_prompt_filter_results_wait_for_the_chunk_that_names_the_answer() {
    let stream = concat!(
        "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\"prompt_filter_results\":[{\"prompt_index\":0}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"index\":0}],\"created\":5,\"id\":\"x\",\"model\":\"m\"}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"index\":0,\"finish_reason\":\"stop\"}],\"created\":5,\"id\":\"x\",\"model\":\"m\"}\n\n",
    );
    let response = collect(&decode_stream(stream));
    assert_eq!(
        (response.id.as_str(), response.model.as_str(), response.created),
        ("x", "m", Some(5))
    );
    assert_eq!(
        response.ext.get("prompt_filter_results").unwrap().text(),
        r#"[{"prompt_index":0}]"#
    );
}

/// One choice whose deltas are given, and then a finish reason.
fn stream_of(deltas: &[&str], finish: &str) -> String {
    let chunk = |delta: &str, finish: &str| {
        format!(
            "data: {{\"id\":\"c\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let mut stream: String = deltas.iter().map(|delta| chunk(delta, "null")).collect();
    stream.push_str(&chunk("{}", &format!("\"{finish}\"")));
    stream
}

fn calls(stream: &str) -> Vec<(String, String, String)> {
    let events = decode_stream(stream);
    check_order(&events).unwrap();
    collect(&events).choices[0]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some((call.id.clone(), call.name.clone(), call.arguments.clone())),
            _ => None,
        })
        .collect()
}

fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
    (id.to_owned(), name.to_owned(), arguments.to_owned())
}

#[test]
fn tool_calls_may_interleave() {
    let stream = stream_of(
        &[
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}},{"index":1,"function":{"arguments":"}"}}]}"#,
        ],
        "tool_calls",
    );
    assert_eq!(calls(&stream), [call("a", "f", "{}"), call("b", "g", "{}")]);
}

#[test]
fn tool_calls_without_index_are_told_apart_by_id_and_name() {
    let stream = stream_of(
        &[
            r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]}"#,
            r#"{"tool_calls":[{"function":{"arguments":"1}"}}]}"#,
            r#"{"tool_calls":[{"id":"b","function":{"name":"f","arguments":"{}"}}]}"#,
            r#"{"tool_calls":[{"id":"a","function":{"arguments":" "}}]}"#,
        ],
        "tool_calls",
    );
    assert_eq!(
        calls(&stream),
        [call("a", "f", "{\"x\":1} "), call("b", "f", "{}")]
    );
}

#[test]
fn tool_calls_that_all_have_index_zero_are_told_apart_by_id() {
    let stream = stream_of(
        &[
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]}"#,
        ],
        "stop",
    );
    assert_eq!(calls(&stream), [call("a", "f", "{}"), call("b", "g", "{}")]);
}

#[test]
fn tool_call_ids_may_be_repeated_come_late_or_be_empty() {
    let repeated = stream_of(
        &[
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"}"}}]}"#,
        ],
        "tool_calls",
    );
    assert_eq!(calls(&repeated), [call("a", "f", "{}")]);
    let late = stream_of(
        &[
            r#"{"tool_calls":[{"index":0,"id":"","function":{"name":"f","arguments":"{"}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"","arguments":"}"}}]}"#,
        ],
        "tool_calls",
    );
    assert_eq!(calls(&late), [call("a", "f", "{}")]);
    let empty = stream_of(
        &[r#"{"tool_calls":[{"index":0,"id":"","function":{"name":"f","arguments":"{}"}}]}"#],
        "tool_calls",
    );
    assert_eq!(calls(&empty), [call("", "f", "{}")]);
}

#[test]
fn text_after_tool_calls_is_a_part_of_its_own() {
    let stream = stream_of(
        &[
            r#"{"role":"assistant","content":"before"}"#,
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#,
            r#"{"content":"after"}"#,
        ],
        "tool_calls",
    );
    let events = decode_stream(&stream);
    check_order(&events).unwrap();
    let parts: Vec<String> = collect(&events).choices[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.text.clone(),
            Part::ToolCall(call) => call.name.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(parts, ["before", "f", "after"]);
}

#[test]
fn function_call_deltas_from_before_tools_existed_are_read_and_written_back() {
    let stream = stream_of(
        &[
            r#"{"function_call":{"name":"f","arguments":"{"}}"#,
            r#"{"function_call":{"arguments":"}"}}"#,
        ],
        "function_call",
    );
    assert_eq!(calls(&stream), [call("", "f", "{}")]);
    let written = encode(
        &decode_stream(&stream),
        StreamStyle::default(),
        &mut Losses::new(),
    );
    assert_eq!(calls(&written), [call("", "f", "{}")]);
    assert!(written.contains("\"function_call\":{\"name\":\"f\""), "{written}");
    assert!(!written.contains("tool_calls"), "{written}");
}

#[test]
fn several_choices_are_kept_apart() {
    let stream = concat!(
        "data: {\"id\":\"c\",\"created\":1,\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}},{\"index\":1,\"delta\":{\"content\":\"b\"}}]}\n\n",
        "data: {\"id\":\"c\",\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\"}]}\n\n",
        "data: [DONE]\n\n",
    );
    let events = decode_stream(stream);
    check_order(&events).unwrap();
    let response = collect(&events);
    let texts: Vec<_> = response
        .choices
        .iter()
        .map(|choice| (choice.index, choice.parts.clone()))
        .collect();
    let Part::Text(first) = &texts[0].1[0] else {
        panic!("{texts:?}")
    };
    let Part::Text(second) = &texts[1].1[0] else {
        panic!("{texts:?}")
    };
    assert_eq!((first.text.as_str(), second.text.as_str()), ("aa", "bb"));
    let written = encode(&events, StreamStyle::default(), &mut Losses::new());
    assert_eq!(collect(&decode_stream(&written)), response);
}

#[test]
fn a_whole_answer_in_one_event_is_read_as_a_stream() {
    let stream = "data: {\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"hi\",\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\r\n\r\n";
    let events = decode_stream(stream);
    check_order(&events).unwrap();
    let response = collect(&events);
    assert_eq!(response.choices[0].parts.len(), 2);
    assert_eq!(response.usage.unwrap().total(), 3);
}

#[test]
fn a_stream_that_ends_before_the_finish_reason_is_incomplete() {
    let incomplete = Err(DecodeError::new(
        "",
        "the stream ended before the answer was complete",
    ));
    let whole = stream_of(&[r#"{"content":"a"}"#], "stop");
    let (first, _) = whole.split_at(whole.find("\n\n").unwrap() + 2);
    assert_eq!(try_decode_stream(&[first.as_bytes()]).1, incomplete);
    assert_eq!(try_decode_stream(&[b""]).1, incomplete);
    assert_eq!(try_decode_stream(&[b"data: [DONE]\n\n"]).1, incomplete);
    assert_eq!(
        try_decode_stream(&[whole.as_bytes()]).1,
        Ok(()),
        "a missing [DONE] after a finish reason is fine"
    );
}

#[test]
fn an_error_in_the_middle_ends_the_stream_without_done() {
    let stream = concat!(
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n",
        "data: {\"id\":\"c\",\"error\":{\"code\":502,\"message\":\"Provider disconnected\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n",
        "data: [DONE]\n\n",
    );
    let events = decode_stream(stream);
    let Some(Event::Error(error)) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(
        (error.status, error.message.as_str()),
        (502, "Provider disconnected")
    );
    let written = encode(&events, StreamStyle::default(), &mut Losses::new());
    assert!(
        written.ends_with("}\n\n") && !written.contains("[DONE]"),
        "{written}"
    );
    assert!(
        written.contains("data: {\"error\":{\"message\":\"Provider disconnected\""),
        "{written}"
    );
}

#[test]
fn an_event_above_the_limit_is_refused() {
    let stream = stream_of(&[r#"{"content":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#], "stop");
    let mut decoder = StreamDecoder::new(64);
    let error = decoder.feed(stream.as_bytes(), &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "a server-sent event is larger than 64 bytes");
}

#[test]
fn usage_is_written_once_and_only_if_it_was_asked_for() {
    let stream = concat!(
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}\n\n",
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n",
        "data: [DONE]\n\n",
    );
    let events = decode_stream(stream);
    let asked = encode(
        &events,
        StreamStyle {
            include_usage: true,
            ..StreamStyle::default()
        },
        &mut Losses::new(),
    );
    assert_eq!(asked.matches("\"usage\":{").count(), 1);
    assert!(asked.contains("\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\ndata: [DONE]"));
    let not_asked = encode(&events, StreamStyle::default(), &mut Losses::new());
    assert!(!not_asked.contains("usage"), "{not_asked}");
}

#[test]
fn a_stop_is_told_once_per_choice() {
    let stream = format!(
        "{}{}",
        stream_of(&[r#"{"content":"a"}"#], "stop"),
        stream_of(&[], "stop")
    );
    let stops: Vec<Stop> = decode_stream(&stream)
        .into_iter()
        .filter_map(|event| match event {
            Event::Stop { stop, .. } => Some(stop),
            _ => None,
        })
        .collect();
    assert_eq!(stops.len(), 1);
}
