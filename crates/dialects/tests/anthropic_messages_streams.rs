//! Streams: written for clients of this dialect, and read when they go wrong.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod anthropic_messages_support;

use anthropic_messages_support::{collect, decode, encode, frames, names};
use serde_json::{Value, json};
use tollgate_dialects::anthropic_messages::{StreamDecoder, StreamEncoder, StreamStyle};
use tollgate_dialects::canonical::{
    Delta, ErrorKind, Event, Ext, PartKind, ProviderError, Stop, StopReason, ToolCallKind, Usage,
};
use tollgate_dialects::{Dialect, Losses};

fn start() -> Event<'static> {
    Event::Start {
        origin: Dialect::OpenaiChat,
        id: "chatcmpl-1".into(),
        model: "gpt".into(),
        created: Some(1),
        service_tier: None,
        ext: Ext::default(),
    }
}

fn begin(part: usize, kind: PartKind) -> Event<'static> {
    Event::PartStart {
        choice: 0,
        part,
        kind,
    }
}

fn call(part: usize, id: &str) -> Event<'static> {
    begin(
        part,
        PartKind::ToolCall {
            id: id.into(),
            name: "f".into(),
            kind: ToolCallKind::Function,
            ext: Ext::default(),
        },
    )
}

fn arguments(part: usize, text: &'static str) -> Event<'static> {
    Event::PartDelta {
        choice: 0,
        part,
        delta: Delta::Arguments(text.into()),
    }
}

fn words(part: usize, text: &'static str) -> Event<'static> {
    Event::PartDelta {
        choice: 0,
        part,
        delta: Delta::Text(text.into()),
    }
}

fn end(part: usize) -> Event<'static> {
    Event::PartStop { choice: 0, part }
}

fn stop(reason: StopReason) -> Event<'static> {
    Event::Stop {
        choice: 0,
        stop: Stop {
            reason,
            ..Stop::default()
        },
    }
}

/// The stream in short: kind, index, and what matters.
fn outline(stream: &str) -> Vec<String> {
    let short = |(name, data): (String, Value)| {
        assert_eq!(name, data["type"].as_str().unwrap());
        match name.as_str() {
            "content_block_start" => format!(
                "start {} {}",
                data["index"],
                data["content_block"]["type"].as_str().unwrap()
            ),
            "content_block_delta" => {
                let pieces = ["text", "thinking", "signature", "partial_json"];
                let piece = pieces
                    .iter()
                    .find_map(|member| data["delta"][member].as_str())
                    .unwrap();
                format!("delta {} {piece}", data["index"])
            }
            "content_block_stop" => format!("stop {}", data["index"]),
            _ => name,
        }
    };
    frames(stream).into_iter().map(short).collect()
}

#[test]
fn usage_that_comes_after_the_stop_is_told() {
    let events = [
        start(),
        begin(0, PartKind::Text),
        words(0, "hi"),
        end(0),
        stop(StopReason::End),
        Event::Usage(Usage {
            input: 12,
            cache_read: Some(3),
            output: 5,
            ..Usage::default()
        }),
        Event::End,
    ];
    let mut losses = Losses::new();
    let stream = encode(&events, &mut losses);
    assert!(losses.is_empty(), "{losses:?}");
    let frames = frames(&stream);
    assert_eq!(
        frames[0].1["message"]["usage"],
        json!({
            "input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0,
        })
    );
    let (_, delta) = &frames[frames.len() - 2];
    assert_eq!(
        delta,
        &json!({
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"input_tokens": 12, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3, "output_tokens": 5},
        })
    );
    assert_eq!(
        outline(&stream),
        [
            "message_start",
            "start 0 text",
            "delta 0 hi",
            "stop 0",
            "message_delta",
            "message_stop",
        ]
    );
}

#[test]
fn interleaved_calls_are_written_one_after_the_other() {
    let events = [
        start(),
        call(0, "a"),
        arguments(0, "{"),
        call(1, "b"),
        arguments(1, "{\"x\""),
        call(2, "c"),
        arguments(0, "}"),
        arguments(1, ":1}"),
        end(1),
        end(0),
        arguments(2, "{}"),
        end(2),
        stop(StopReason::ToolCalls),
        Event::End,
    ];
    let stream = encode(&events, &mut Losses::new());
    assert_eq!(
        outline(&stream),
        [
            "message_start",
            "start 0 tool_use",
            "delta 0 {",
            "delta 0 }",
            "stop 0",
            "start 1 tool_use",
            "delta 1 {\"x\"",
            "delta 1 :1}",
            "stop 1",
            "start 2 tool_use",
            "delta 2 {}",
            "stop 2",
            "message_delta",
            "message_stop",
        ]
    );
    let decoded = collect(&decode(&stream).events);
    assert_eq!(decoded.choices[0].parts.len(), 3);
    assert_eq!(decoded.choices[0].stop.reason, StopReason::ToolCalls);
}

#[test]
fn pieces_reach_the_client_at_once_when_nothing_interleaves() {
    let mut encoder = StreamEncoder::new(StreamStyle::default());
    let mut losses = Losses::new();
    let mut sizes = Vec::new();
    let mut out = Vec::new();
    for event in [
        start(),
        begin(0, PartKind::Text),
        words(0, "a"),
        words(0, "b"),
        end(0),
        call(1, "c"),
        arguments(1, "{"),
    ] {
        encoder.encode(&event, &mut losses, &mut out);
        sizes.push(out.len());
    }
    assert_eq!(
        sizes[0], 0,
        "the start waits for the usage that may come right behind"
    );
    assert!(sizes.windows(2).all(|pair| pair[0] < pair[1]), "{sizes:?}");
}

#[test]
fn reasoning_of_another_provider_is_sealed_at_its_end() {
    let piece = |text: &'static str| Event::PartDelta {
        choice: 0,
        part: 0,
        delta: Delta::Reasoning(text.into()),
    };
    let member = Some("reasoning_content".to_owned());
    let events = [
        start(),
        begin(
            0,
            PartKind::Reasoning {
                member,
                of_call: None,
            },
        ),
        piece("h"),
        piece("m"),
        end(0),
        stop(StopReason::End),
    ];
    let stream = encode(&events, &mut Losses::new());
    assert_eq!(
        outline(&stream)[1..6],
        [
            "start 0 thinking",
            "delta 0 h",
            "delta 0 m",
            "delta 0 tollgate:openai_chat:reasoning_content:gpt",
            "stop 0",
        ]
    );
}

#[test]
fn an_error_ends_the_stream_without_message_stop() {
    let error = ProviderError {
        kind: ErrorKind::Overloaded,
        status: 503,
        message: "slow down".into(),
        native_type: Some("server_error".into()),
        code: None,
        param: None,
        raw: None,
    };
    let mut encoder = StreamEncoder::new(StreamStyle {
        request_id: Some("req_1".into()),
        ..StreamStyle::default()
    });
    let mut out = Vec::new();
    for event in [
        start(),
        begin(0, PartKind::Text),
        words(0, "a"),
        Event::Error(error),
        end(0),
        Event::End,
    ] {
        encoder.encode(&event, &mut Losses::new(), &mut out);
    }
    encoder.finish(&mut Losses::new(), &mut out);
    let stream = String::from_utf8(out).unwrap();
    assert_eq!(
        outline(&stream),
        ["message_start", "start 0 text", "delta 0 a", "error"]
    );
    assert_eq!(
        frames(&stream)[3].1,
        json!({
            "type": "error", "error": {"type": "overloaded_error", "message": "slow down"}, "request_id": "req_1",
        })
    );
    let decoded = decode(&stream);
    assert_eq!(decoded.result, Ok(()));
    assert!(matches!(decoded.events.last(), Some(Event::Error(error)) if error.status == 529));
}

#[test]
fn what_waits_for_an_open_part_is_limited() {
    let limit = 2000;
    let held = |pieces: usize| {
        let mut encoder = StreamEncoder::new(StreamStyle {
            max_held_bytes: limit,
            ..StreamStyle::default()
        });
        let mut out = Vec::new();
        encoder.encode(&start(), &mut Losses::new(), &mut out);
        for event in [call(0, "a"), call(1, "b")] {
            encoder.encode(&event, &mut Losses::new(), &mut out);
        }
        for _ in 0..pieces {
            encoder.encode(&arguments(1, "0123456789"), &mut Losses::new(), &mut out);
        }
        // Cut there, so that broken arguments are no failure of their own.
        encoder.encode(&stop(StopReason::Length), &mut Losses::new(), &mut out);
        encoder.finish(&mut Losses::new(), &mut out);
        outline(&String::from_utf8(out).unwrap()).last().unwrap().clone()
    };
    let size = 10 + size_of::<Delta<'_>>();
    assert_eq!(held(limit / size), "message_stop");
    assert_eq!(held(limit / size + 1), "error");
}

#[test]
fn a_stream_with_broken_arguments_ends_with_an_error_and_never_asks_for_the_call() {
    let stream = |reason| {
        let mut losses = Losses::new();
        let written = encode(
            &[
                start(),
                call(0, "a"),
                arguments(0, "{\"x"),
                end(0),
                stop(reason),
                Event::End,
            ],
            &mut losses,
        );
        (names(&losses), outline(&written).last().cloned())
    };
    let (losses, last) = stream(StopReason::ToolCalls);
    assert_eq!(losses, ["choices[0].delta.tool_calls=rejected"]);
    assert_eq!(last.as_deref(), Some("error"));
    let (losses, last) = stream(StopReason::Length);
    assert!(losses.is_empty());
    assert_eq!(last.as_deref(), Some("message_stop"));
}

#[test]
fn a_second_answer_in_a_stream_is_left_out_and_told() {
    let mut losses = Losses::new();
    let second = Event::PartStart {
        choice: 1,
        part: 0,
        kind: PartKind::Text,
    };
    let stream = encode(
        &[start(), begin(0, PartKind::Text), second, end(0), Event::End],
        &mut losses,
    );
    assert_eq!(names(&losses), ["choices[1]=dropped"]);
    assert_eq!(
        outline(&stream),
        [
            "message_start",
            "start 0 text",
            "stop 0",
            "message_delta",
            "message_stop"
        ]
    );
}

#[test]
fn line_ends_inside_raw_values_do_not_break_the_framing() {
    let stream = concat!(
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"a\",\ndata: \"x\":{\ndata: \"y\":1}}}\n\n",
        "data: {\"type\":\"message_stop\"}\n\n",
    );
    let decoded = decode(stream);
    assert_eq!(decoded.result, Ok(()));
    let written = encode(&decoded.events, &mut Losses::new());
    assert_eq!(frames(&written)[0].1["message"]["x"]["y"], 1);
}

const START: &str =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\"}}\n\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

#[test]
fn harmless_oddities_of_streams_are_tolerated() {
    let stream = format!(
        ": comment\n\nevent: ping\ndata: {{\"type\":\"ping\"}}   \n\n{START}data: {{\"type\":\"future\",\"x\":1}}\r\n\r\n{STOP}data: [DONE]\n\ndata: junk\n\n"
    );
    let decoded = decode(&stream);
    assert_eq!(decoded.result, Ok(()));
    let kinds: Vec<String> = decoded
        .events
        .iter()
        .map(|event| match event {
            Event::Opaque { field, .. } => field.clone(),
            other => format!("{other:?}")
                .split([' ', '(', '{'])
                .next()
                .unwrap()
                .to_owned(),
        })
        .collect();
    assert_eq!(kinds, ["Ping", "Ping", "Start", "future", "Stop", "End"]);
}

#[test]
fn an_error_may_come_at_any_time_and_in_other_shapes() {
    for (error, kind) in [
        (
            r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#,
            ErrorKind::Overloaded,
        ),
        (r#"{"error":{"message":"x","code":429}}"#, ErrorKind::RateLimit),
        (r#"{"error":{"message":"x"}}"#, ErrorKind::Server),
        (
            r#"{"type":"error","error":{"type":"new_error","message":"x"}}"#,
            ErrorKind::Server,
        ),
    ] {
        for before in ["", START] {
            let decoded = decode(&format!("{before}data: {error}\n\n{STOP}"));
            assert_eq!(decoded.result, Ok(()));
            let Some(Event::Error(found)) = decoded.events.last() else {
                panic!("{error}")
            };
            assert_eq!((found.kind, found.message.as_str()), (kind, "x"));
        }
    }
}

#[test]
fn streams_that_are_not_of_this_dialect_are_refused() {
    let error = |stream: &str| decode(stream).result.unwrap_err().to_string();
    let block = |data: &str| error(&format!("{START}data: {data}\n\n{STOP}"));
    assert_eq!(error(""), "the stream ended before the answer was complete");
    assert_eq!(error(START), "the stream ended before the answer was complete");
    assert_eq!(
        error("data: {\"type\":\"message_sto"),
        "the stream ended before the answer was complete"
    );
    assert_eq!(error(STOP), "message_stop: came before message_start");
    assert_eq!(error(&format!("{START}{START}")), "message_start: came twice");
    assert_eq!(
        block(r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#),
        "content_block_delta.index: block 0 is not open"
    );
    assert_eq!(
        block(r#"{"choices":[]}"#),
        "type: is missing; a string is required"
    );
    assert!(block("nope").starts_with("an event is not an object of this dialect"));
    let mut decoder = StreamDecoder::new(10);
    let result = decoder.feed(START.as_bytes(), &mut |_| {});
    assert_eq!(
        result.unwrap_err().to_string(),
        "a server-sent event is larger than 10 bytes"
    );
}

#[test]
fn usage_in_a_stream_is_cumulative_and_the_last_value_counts() {
    let stream = concat!(
        r#"data: {"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":5,"cache_read_input_tokens":2,"output_tokens":1}}}"#,
        "\n\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":10,"cache_read_input_tokens":null}}"#,
        "\n\n",
        r#"data: {"type":"message_delta","delta":{},"usage":{"input_tokens":7,"output_tokens":20}}"#,
        "\n\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let response = collect(&decode(stream).events);
    let usage = response.usage.unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.output), (7, Some(2), 20));
    assert_eq!(response.choices[0].stop.reason, StopReason::End);
}

#[test]
fn a_stream_that_never_began_has_no_end() {
    assert_eq!(encode(&[], &mut Losses::new()), "");
    assert_eq!(encode(&[Event::Ping, Event::End], &mut Losses::new()), "");
}
