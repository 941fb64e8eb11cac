//! Streams: what providers do differently, and what other dialects' events become.

use serde_json::{Value, json as value};
use tollgate_dialects::canonical::{Event, Part, StopReason};
use tollgate_dialects::codec::{AnswerStyle, StreamEncoder};
use tollgate_dialects::{Dialect, Losses};

use super::support::{check_order, collect, decode_pieces};
use super::{BEDROCK, decode, encode, frames, order};

fn text(index: u64, text: &str) -> (&'static str, Value) {
    (
        "contentBlockDelta",
        value!({"contentBlockIndex": index, "delta": {"text": text}}),
    )
}

fn stop(index: u64) -> (&'static str, Value) {
    ("contentBlockStop", value!({"contentBlockIndex": index}))
}

fn start() -> (&'static str, Value) {
    ("messageStart", value!({"role": "assistant"}))
}

fn end(reason: &str) -> (&'static str, Value) {
    ("messageStop", value!({"stopReason": reason}))
}

fn metadata() -> (&'static str, Value) {
    let usage = value!({"inputTokens": 3, "outputTokens": 4, "totalTokens": 12, "cacheReadInputTokens": 5});
    ("metadata", value!({"usage": usage, "metrics": {"latencyMs": 7}}))
}

#[test]
fn metadata_may_come_before_the_stop_or_not_at_all() {
    let usual = decode(&frames::stream(&[
        start(),
        text(0, "x"),
        stop(0),
        end("end_turn"),
        metadata(),
    ]));
    let early = decode(&frames::stream(&[
        start(),
        text(0, "x"),
        stop(0),
        metadata(),
        end("end_turn"),
    ]));
    let never = decode(&frames::stream(&[
        start(),
        text(0, "x"),
        stop(0),
        end("end_turn"),
    ]));
    for decoded in [&usual, &early, &never] {
        assert_eq!(decoded.result, Ok(()));
        assert_eq!(decoded.events.last(), Some(&Event::End));
        check_order(&decoded.events).unwrap();
    }
    assert_eq!(collect(&usual.events), collect(&early.events));
    let usage = collect(&usual.events).usage.unwrap();
    assert_eq!((usage.input_total(), usage.output, usage.total()), (8, 4, 12));
    assert_eq!(collect(&never.events).usage, None);
}

#[test]
fn blocks_that_lack_a_start_or_a_stop_are_whole() {
    let decoded = decode(&frames::stream(&[
        text(0, "a"),
        text(1, "b"),
        stop(1),
        end("end_turn"),
        metadata(),
    ]));
    assert_eq!(decoded.result, Ok(()));
    check_order(&decoded.events).unwrap();
    let response = collect(&decoded.events);
    let texts: Vec<&str> = response.choices[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.text.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(texts, ["a", "b"]);
}

#[test]
fn a_stream_that_breaks_its_own_order_is_an_error() {
    let call = |index: u64| {
        (
            "contentBlockStart",
            value!({"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": "1", "name": "f"}}}),
        )
    };
    let input = |index: u64| {
        (
            "contentBlockDelta",
            value!({"contentBlockIndex": index, "delta": {"toolUse": {"input": "{"}}}),
        )
    };
    for (events, problem) in [
        (vec![start(), start()], "twice"),
        (vec![start(), input(0)], "has not begun"),
        (vec![start(), call(0), call(0)], "open already"),
        (vec![start(), call(0), text(0, "x")], "another kind"),
        (vec![start(), end("end_turn"), text(0, "x")], "after messageStop"),
        (
            vec![start(), ("contentBlockStart", value!({"contentBlockIndex": 0}))],
            "missing",
        ),
        (
            vec![
                start(),
                (
                    "contentBlockDelta",
                    value!({"contentBlockIndex": -1, "delta": {}}),
                ),
            ],
            "not negative",
        ),
        (
            vec![start(), ("contentBlockDelta", value!([]))],
            "not one of this dialect",
        ),
    ] {
        let error = decode(&frames::stream(&events)).result.unwrap_err();
        assert!(error.problem.contains(problem), "{error}");
    }
}

#[test]
fn sealed_reasoning_in_pieces_stays_apart() {
    let sealed = |data: &str| {
        (
            "contentBlockDelta",
            value!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"redactedContent": data}}}),
        )
    };
    let stream = frames::stream(&[
        start(),
        sealed("YQ=="),
        sealed("Yg=="),
        stop(0),
        end("end_turn"),
        metadata(),
    ]);
    let decoded = decode(&stream);
    check_order(&decoded.events).unwrap();
    let sealed: Vec<_> = collect(&decoded.events).choices[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::Reasoning(reasoning) => reasoning.redacted.clone().unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sealed, ["YQ==", "Yg=="]);
    let (written, losses) = encode(BEDROCK, &decoded.events);
    order::check(&written).unwrap();
    assert_eq!(losses, Vec::<String>::new());
}

#[test]
fn what_only_bedrock_knows_comes_back_in_its_place() {
    let unknown = ("tomorrow", value!({"x": 1}));
    let events = [
        start(),
        (
            "contentBlockStart",
            value!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "1", "name": "g", "type": "server_tool_use"}}}),
        ),
        (
            "contentBlockDelta",
            value!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}}),
        ),
        stop(0),
        (
            "contentBlockStart",
            value!({"contentBlockIndex": 1, "start": {"toolResult": {"toolUseId": "1", "type": "g_result"}}}),
        ),
        (
            "contentBlockDelta",
            value!({"contentBlockIndex": 1, "delta": {"toolResult": [{"text": "x"}]}}),
        ),
        stop(1),
        (
            "contentBlockDelta",
            value!({"contentBlockIndex": 2, "delta": {"citation": {"title": "t"}}}),
        ),
        text(2, "y"),
        stop(2),
        unknown,
        (
            "messageStop",
            value!({"stopReason": "stop_sequence", "additionalModelResponseFields": {"stop_sequence": "END"}}),
        ),
        (
            "metadata",
            value!({"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, "metrics": {"latencyMs": 1},
            "trace": {"guardrail": {}}, "performanceConfig": {"latency": "optimized"}, "serviceTier": {"type": "flex"}}),
        ),
    ];
    let stream = frames::stream(&events);
    let decoded = decode(&stream);
    let (written, losses) = encode(BEDROCK, &decoded.events);
    assert_eq!(losses, Vec::<String>::new());
    let (mut seen, mut expected) = (frames::read(&written), frames::read(&stream));
    // Members of an object have no order.
    for frames in [&mut seen, &mut expected] {
        frames.sort_by_key(|(kind, payload)| format!("{kind}{payload}"));
    }
    assert_eq!(seen, expected);
    let response = collect(&decoded.events);
    assert_eq!(response.choices[0].stop.sequence.as_deref(), Some("END"));
    assert_eq!(response.choices[0].stop.reason, StopReason::StopSequence);
    assert_eq!(response.service_tier.as_deref(), Some("flex"));
}

#[test]
fn a_frame_above_the_limit_is_refused() {
    let long = "x".repeat(5 << 20);
    let decoded = decode(&frames::stream(&[start(), text(0, &long)]));
    assert!(decoded.result.unwrap_err().problem.contains("at most"));
}

#[test]
fn a_call_with_broken_arguments_ends_with_an_exception() {
    let chunk = |delta: Value, reason: Value| {
        let chunk = value!({"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
        format!("data: {chunk}\n\n")
    };
    let call = |arguments: &str| value!({"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}]});
    let stream = |arguments: &str, reason: &str| {
        chunk(call(arguments), Value::Null) + &chunk(value!({}), value!(reason)) + "data: [DONE]\n\n"
    };
    let written = |stream: &str| {
        let decoded = decode_pieces(Dialect::OpenaiChat, [stream.as_bytes()]);
        encode(BEDROCK, &decoded.events).0
    };
    let broken = written(&stream("{\"a\":", "tool_calls"));
    order::check(&broken).unwrap();
    assert_eq!(frames::read(&broken).last().unwrap().0, "internalServerException");
    let cut = written(&stream("{\"a\":", "length"));
    order::check(&cut).unwrap();
    assert!(
        frames::read(&cut)
            .iter()
            .any(|(_, payload)| payload["stopReason"] == "max_tokens")
    );
    for nothing in ["", "null", "{}"] {
        let whole = written(&stream(nothing, "tool_calls"));
        order::check(&whole).unwrap();
        let Part::ToolCall(call) = &collect(&decode(&whole).events).choices[0].parts[0] else {
            panic!("no call")
        };
        assert_eq!(call.arguments, "{}", "{nothing:?}");
    }
}

#[test]
fn nothing_is_written_for_a_stream_that_never_began_and_nothing_after_its_end() {
    let mut encoder = StreamEncoder::new(BEDROCK, &AnswerStyle::default());
    let (mut out, mut losses) = (Vec::new(), Losses::new());
    encoder.encode(&Event::Ping, &mut losses, &mut out);
    encoder.encode(&Event::End, &mut losses, &mut out);
    assert!(out.is_empty());
    let decoded = decode(&frames::stream(&[
        start(),
        text(0, "x"),
        stop(0),
        end("end_turn"),
        metadata(),
    ]));
    let (once, _) = encode(BEDROCK, &decoded.events);
    let twice: Vec<Event<'_>> = decoded.events.iter().chain(&decoded.events).cloned().collect();
    assert_eq!(encode(BEDROCK, &twice).0, once);
}
