//! Answers, streams and errors of other providers, written for clients of this dialect; and streams that go wrong.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod anthropic_messages_support;

use anthropic_messages_support::{collect, decode, decode_pieces, encode, frames, json};
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_dialects::anthropic_messages::{
    StreamDecoder, StreamEncoder, StreamStyle, decode_error, decode_request, decode_response, encode_error,
    encode_response,
};
use tollgate_dialects::canonical::{
    Choice, Delta, ErrorKind, Event, Ext, Part, PartKind, ProviderError, Reasoning, Response, Stop,
    StopReason, Text, ToolCall, ToolCallKind, Usage,
};
use tollgate_dialects::json::RawJson;
use tollgate_dialects::{Dialect, Losses};

fn answer(parts: Vec<Part>, reason: StopReason) -> Response {
    Response {
        origin: Dialect::OpenaiChat,
        id: "chatcmpl-1".into(),
        model: "gpt".into(),
        created: Some(1),
        choices: vec![Choice {
            index: 0,
            parts,
            stop: Stop {
                reason,
                ..Stop::default()
            },
            logprobs: None,
            ext: Ext::default(),
            message_ext: Ext::default(),
        }],
        usage: Some(Usage {
            input: 10,
            cache_read: Some(4),
            output: 7,
            reasoning: Some(3),
            ..Usage::default()
        }),
        service_tier: Some("default".into()),
        ext: Ext(vec![("system_fingerprint".into(), RawJson::string("fp"))]),
    }
}

fn text(text: &str) -> Part {
    Part::Text(Text {
        text: text.into(),
        ..Text::default()
    })
}

fn tool_call(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.into(),
        name: "f".into(),
        arguments: arguments.into(),
        ..ToolCall::default()
    })
}

fn written(response: &Response) -> (Value, Vec<String>) {
    let mut losses = Losses::new();
    let body = encode_response(response, &mut losses);
    (json(body), names(&losses))
}

fn names(losses: &Losses) -> Vec<String> {
    losses
        .iter()
        .map(|loss| format!("{}={}", loss.field, loss.effect.name()))
        .collect()
}

#[test]
fn an_answer_of_another_provider_is_a_message() {
    let reasoning = Reasoning {
        text: "hm".into(),
        member: Some("reasoning".into()),
        ..Reasoning::default()
    };
    let parts = vec![
        Part::Reasoning(reasoning),
        text("hello"),
        tool_call("call_1", r#"{"a": 1.0}"#),
    ];
    let (body, losses) = written(&answer(parts, StopReason::ToolCalls));
    assert_eq!(losses, ["system_fingerprint=dropped"]);
    assert_eq!(
        body,
        json!({
            "id": "msg_chatcmpl-1", "type": "message", "role": "assistant", "model": "gpt",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "tollgate:openai_chat:reasoning:gpt"},
                {"type": "text", "text": "hello"},
                {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1.0}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {
                "input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 3}, "service_tier": "standard",
            },
        })
    );
}

#[test]
fn stop_reasons_keep_their_meaning() {
    let reason = |parts: Vec<Part>, reason| written(&answer(parts, reason)).0["stop_reason"].clone();
    let call = || vec![tool_call("a", "")];
    let refusal = || {
        vec![Part::Refusal(Text {
            text: "no".into(),
            ..Text::default()
        })]
    };
    assert_eq!(reason(vec![], StopReason::End), "end_turn");
    assert_eq!(reason(vec![], StopReason::Unknown), "end_turn");
    assert_eq!(reason(call(), StopReason::End), "tool_use");
    assert_eq!(reason(call(), StopReason::Length), "max_tokens");
    assert_eq!(reason(vec![], StopReason::ToolCalls), "end_turn");
    assert_eq!(reason(call(), StopReason::LegacyFunctionCall), "tool_use");
    assert_eq!(reason(refusal(), StopReason::End), "refusal");
    assert_eq!(reason(vec![], StopReason::ContentFilter), "refusal");
    assert_eq!(
        reason(vec![], StopReason::ContextFull),
        "model_context_window_exceeded"
    );
    assert_eq!(reason(vec![], StopReason::StopSequence), "stop_sequence");
    assert_eq!(reason(vec![], StopReason::Pause), "pause_turn");
}

#[test]
fn ids_of_calls_fit_and_are_never_empty() {
    let parts = vec![tool_call("a.b", ""), tool_call("", ""), tool_call("", "")];
    let (body, _) = written(&answer(parts, StopReason::ToolCalls));
    let ids: Vec<&str> = body["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["toolu_xa_2eb", "toolu_chatcmpl1_1", "toolu_chatcmpl1_2"]);
}

#[test]
fn broken_arguments_are_never_passed_off_as_whole() {
    let (body, losses) = written(&answer(
        vec![text("x"), tool_call("a", "{\"b\":")],
        StopReason::Length,
    ));
    assert!(
        losses.contains(&"choices[0].message.tool_calls[0]=approximated".to_owned()),
        "{losses:?}"
    );
    assert_eq!(body["content"], json!([{"type": "text", "text": "x"}]));
    assert_eq!(body["stop_reason"], "max_tokens");
    let (body, losses) = written(&answer(vec![tool_call("a", "{\"b\":")], StopReason::ToolCalls));
    assert!(losses.contains(&"choices[0].message.tool_calls[0].function.arguments=rejected".to_owned()));
    assert_eq!(body["content"][0]["input"], json!({}));
}

#[test]
fn more_than_one_answer_is_rejected() {
    let mut response = answer(vec![text("a")], StopReason::End);
    response.choices.push(response.choices[0].clone());
    assert!(written(&response).1.contains(&"choices[1]=rejected".to_owned()));
}

#[test]
fn a_document_that_is_no_answer_is_refused() {
    let error = |body: &str| decode_response(body).unwrap_err().to_string();
    assert_eq!(
        error(r#"{"type":"error","error":{}}"#),
        r#"type: expected "message", found "error""#
    );
    assert_eq!(error("{}"), "content: is missing; a list of blocks is required");
    assert_eq!(
        error(r#"{"content":[{"type":"tool_use"}]}"#),
        "content[0].id: is missing; a string is required"
    );
}

// Streams.

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
        begin(0, PartKind::Reasoning { member }),
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
        encoder.finish(&mut Losses::new(), &mut out);
        outline(&String::from_utf8(out).unwrap()).last().unwrap().clone()
    };
    let size = 10 + size_of::<Delta<'_>>();
    assert_eq!(held(limit / size), "message_stop");
    assert_eq!(held(limit / size + 1), "error");
}

#[test]
fn broken_arguments_in_a_stream_are_reported() {
    let stream = |reason| {
        let mut losses = Losses::new();
        encode(
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
        names(&losses)
    };
    assert_eq!(
        stream(StopReason::ToolCalls),
        ["choices[0].delta.tool_calls=rejected"]
    );
    assert!(stream(StopReason::Length).is_empty());
}

#[test]
fn a_second_answer_in_a_stream_is_rejected_and_left_out() {
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
    assert_eq!(names(&losses), ["choices[1]=rejected"]);
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
fn tokens_of_a_compaction_are_counted_and_taken_out_again() {
    let body = r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[],"stop_reason":"end_turn","stop_sequence":null,
        "usage":{"input_tokens":682,"output_tokens":1320,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,"iterations":[
        {"type":"compaction","input_tokens":60385,"output_tokens":592},{"type":"message","input_tokens":682,"output_tokens":1320}]}}"#;
    let response = decode_response(body).unwrap();
    let usage = response.usage.as_ref().unwrap();
    assert_eq!((usage.input_total(), usage.output), (61_067, 1912));
    assert_eq!(json(encode_response(&response, &mut Losses::new())), json(body));
}

// Errors.

#[test]
fn errors_are_classified_by_what_they_say() {
    let kind = |status: u16, body: &str| decode_error(status, body.as_bytes()).kind;
    let native = |kind: &str, message: &str| {
        json!({"type": "error", "error": {"type": kind, "message": message}}).to_string()
    };
    assert_eq!(
        kind(
            400,
            &native(
                "invalid_request_error",
                "prompt is too long: 210000 tokens > 200000 maximum"
            )
        ),
        ErrorKind::ContextTooLong
    );
    assert_eq!(
        kind(
            400,
            &native(
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API"
            )
        ),
        ErrorKind::Billing
    );
    assert_eq!(
        kind(400, &native("invalid_request_error", "max_tokens: too small")),
        ErrorKind::BadRequest
    );
    assert_eq!(
        kind(529, &native("overloaded_error", "Overloaded")),
        ErrorKind::Overloaded
    );
    assert_eq!(
        kind(403, &native("permission_error", "no")),
        ErrorKind::Permission
    );
    assert_eq!(kind(504, &native("timeout_error", "no")), ErrorKind::Timeout);
    for code in ["contract_spend_limit_reached", "enforced_spend_limit_reached"] {
        let body = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "m", "details": {"error_code": code}}});
        let error = decode_error(429, body.to_string().as_bytes());
        assert_eq!(
            (error.kind, error.code.as_deref()),
            (ErrorKind::Billing, Some(code))
        );
    }
}

#[test]
fn errors_of_other_shapes_are_understood() {
    let read = |status: u16, body: &str| {
        let error = decode_error(status, body.as_bytes());
        assert_eq!(error.status, status);
        (error.kind, error.message)
    };
    assert_eq!(
        read(
            429,
            r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#
        ),
        (ErrorKind::Billing, "m".into())
    );
    assert_eq!(
        read(400, r#"{"error":"text"}"#),
        (ErrorKind::BadRequest, "text".into())
    );
    assert_eq!(
        read(403, r#"{"message":"text"}"#),
        (ErrorKind::Permission, "text".into())
    );
    assert_eq!(
        read(401, r#"{"detail":"text"}"#),
        (ErrorKind::Authentication, "text".into())
    );
    assert_eq!(
        read(400, r#"[{"error":{"code":400,"message":"m"}}]"#),
        (ErrorKind::BadRequest, "m".into())
    );
    assert_eq!(read(529, "  busy\u{7}\n"), (ErrorKind::Overloaded, "busy".into()));
    assert_eq!(
        read(502, ""),
        (ErrorKind::Server, "the provider gave no reason".into())
    );
    let page = format!("<html>{}</html>", "x".repeat(5000));
    assert_eq!(read(502, &page).1.chars().count(), 500);
    assert_eq!(read(503, "{}"), (ErrorKind::Overloaded, "{}".into()));
}

#[test]
fn errors_are_written_with_the_types_of_this_dialect() {
    let kinds = [
        (ErrorKind::BadRequest, "invalid_request_error"),
        (ErrorKind::ContextTooLong, "invalid_request_error"),
        (ErrorKind::ContentPolicy, "invalid_request_error"),
        (ErrorKind::Authentication, "authentication_error"),
        (ErrorKind::Permission, "permission_error"),
        (ErrorKind::Billing, "billing_error"),
        (ErrorKind::NotFound, "not_found_error"),
        (ErrorKind::TooLarge, "request_too_large"),
        (ErrorKind::RateLimit, "rate_limit_error"),
        (ErrorKind::Overloaded, "overloaded_error"),
        (ErrorKind::Timeout, "timeout_error"),
        (ErrorKind::Server, "api_error"),
        (ErrorKind::Conflict, "conflict_error"),
    ];
    for (kind, name) in kinds {
        let error = ProviderError {
            kind,
            status: 400,
            message: "m \"q\"".into(),
            native_type: Some("x".into()),
            code: None,
            param: None,
            raw: Some(RawJson::parse(r#"{"error":{"message":"m","type":"x"}}"#).unwrap()),
        };
        let expected = json!({"type": "error", "error": {"type": name, "message": "m \"q\""}});
        assert_eq!(json(encode_error(&error, None)), expected);
        if kind != ErrorKind::ContextTooLong && kind != ErrorKind::ContentPolicy {
            assert_eq!(decode_error(400, &encode_error(&error, None)).kind, kind);
        }
    }
}

// Properties.

fn count() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(0..1_u64 << 53)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn converting_usage_there_and_back_changes_no_number(
        (input, output) in (0..1_u64 << 53, 0..1_u64 << 53),
        (read, write, five, hour, reasoning) in (count(), count(), count(), count(), count()),
        foreign in any::<bool>(),
    ) {
        let usage = Usage {
            input, output, cache_read: read, cache_write: write, cache_write_5m: five, cache_write_1h: hour, reasoning,
            ..Usage::default()
        };
        let mut response = answer(vec![], StopReason::End);
        if !foreign {
            response.origin = Dialect::AnthropicMessages;
        }
        response.usage = Some(usage.clone());
        let body = encode_response(&response, &mut Losses::new());
        let again = decode_response(std::str::from_utf8(&body).unwrap()).unwrap().usage.unwrap();
        prop_assert_eq!(again.input_total(), usage.input_total());
        prop_assert_eq!(again.total(), usage.total());
        let numbers = |usage: &Usage| {
            let or_zero = |count: Option<u64>| count.unwrap_or(0);
            (usage.input, usage.output, or_zero(usage.cache_read), or_zero(usage.cache_write), usage.cache_write_5m,
             usage.cache_write_1h, usage.reasoning)
        };
        prop_assert_eq!(numbers(&again), numbers(&usage));
        if !foreign {
            prop_assert_eq!(again, usage);
        }
    }

    #[test]
    fn decoders_do_not_panic_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        try_everything(&bytes);
    }

    #[test]
    fn decoders_do_not_panic_on_changed_recordings(
        choice in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), change()), 1..6),
    ) {
        let documents = documents();
        if documents.is_empty() {
            return Ok(());
        }
        let mut bytes = documents[choice.index(documents.len())].clone();
        for (place, change) in changes {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(bytes.len());
            match change {
                Change::Replace(byte) => bytes[place] = byte,
                Change::Cut => bytes.truncate(place),
                Change::Insert(text) => drop(bytes.splice(place..place, text.bytes())),
                Change::Remove(count) => drop(bytes.drain(place..bytes.len().min(place + count))),
            }
        }
        try_everything(&bytes);
    }
}

#[derive(Clone, Debug)]
enum Change {
    Replace(u8),
    Cut,
    Insert(&'static str),
    Remove(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let pieces = vec![
        "null",
        "{}",
        "[]",
        "\"\"",
        "\"type\":",
        ",",
        "}",
        "-1",
        "1e999",
        "\u{feff}",
        "\n\n",
        "data: ",
        "\\ud800",
    ];
    prop_oneof![
        any::<u8>().prop_map(Change::Replace),
        Just(Change::Cut),
        prop::sample::select(pieces).prop_map(Change::Insert),
        (1..40_usize).prop_map(Change::Remove),
    ]
}

/// Recorded documents of up to 16 KiB.
fn documents() -> &'static [Vec<u8>] {
    static DOCUMENTS: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(|| {
        let recordings = anthropic_messages_support::recordings();
        let texts = recordings.iter().flat_map(|recording| {
            let mut texts = recording.streams();
            texts.extend(
                [recording.read("request.json"), recording.read("response.json")]
                    .into_iter()
                    .flatten(),
            );
            texts
        });
        texts
            .filter(|text| text.len() < 16 * 1024)
            .map(String::into_bytes)
            .collect()
    });
    &DOCUMENTS
}

/// Decodes the bytes as everything; what decodes is encoded for both dialects.
fn try_everything(bytes: &[u8]) {
    use anthropic_messages_support::target;
    let capabilities = tollgate_dialects::Capabilities::default();
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(mut request) = decode_request(text) {
            for origin in [Dialect::AnthropicMessages, Dialect::OpenaiChat] {
                request.origin = origin;
                let body = tollgate_dialects::anthropic_messages::encode_request(
                    &request,
                    &target("m", &capabilities),
                    &mut Losses::new(),
                );
                assert_json(&body);
            }
        }
        if let Ok(mut response) = decode_response(text) {
            for origin in [Dialect::AnthropicMessages, Dialect::OpenaiChat] {
                response.origin = origin;
                assert_json(&encode_response(&response, &mut Losses::new()));
            }
        }
    }
    assert_json(&encode_error(&decode_error(500, bytes), Some("r")));
    let decoded = decode_pieces(bytes.chunks(37));
    let written = encode(&decoded.events, &mut Losses::new());
    for frame in written.split_terminator("\n\n") {
        let (name, data) = frame.split_once('\n').unwrap();
        assert!(name.starts_with("event: "), "{frame}");
        assert_json(data.strip_prefix("data: ").unwrap().as_bytes());
    }
}

/// Valid JSON by its grammar; strings that no parser can hold (half a surrogate pair) pass through as they came.
fn assert_json(text: &[u8]) {
    let text = std::str::from_utf8(text).unwrap();
    RawJson::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
}
