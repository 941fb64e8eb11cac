//! Streams: what is tolerated and what is not, the order of what is written, and interleaved parts.

use serde_json::{Value, json};
use tollgate_dialects::canonical::{Delta, Event, PartKind, StopReason, ToolCallKind};
use tollgate_dialects::codec::{AnswerStyle, StreamEncoder};
use tollgate_dialects::{Dialect, Losses};

use super::support::{check_order, collect, recordings_of};
use super::{COHERE, decode, decode_of, documents, encode};

fn stream(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
        .collect()
}

fn start() -> Value {
    json!({"type": "message-start", "id": "a", "delta": {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}})
}

fn text(index: u64, text: &str) -> Value {
    json!({"type": "content-delta", "index": index, "delta": {"message": {"content": {"text": text}}}})
}

fn content_start(index: u64, content: Value) -> Value {
    json!({"type": "content-start", "index": index, "delta": {"message": {"content": content}}})
}

fn end(reason: &str) -> Value {
    json!({"type": "message-end", "delta": {"finish_reason": reason, "usage": {"billed_units": {"input_tokens": 1, "output_tokens": 2}}}})
}

/// Checks the order of events that Cohere's clients rely on: one content, or one call, after the other, each begun and ended;
/// indexes count up; one start, one end, `[DONE]` only after an end that is no failure.
fn check_wire(written: &str) -> Result<(), String> {
    let events = documents(written);
    let (mut contents, mut calls, mut citations) = (0, 0, 0);
    let mut open: Option<(&str, u64)> = None;
    let mut over = false;
    for (i, event) in events.iter().enumerate() {
        let kind = event["type"].as_str().unwrap_or_default();
        let index = event["index"].as_u64();
        let wrong = |what: &str| Err(format!("event {i}: {what}: {event}"));
        if over {
            return wrong("after the end");
        }
        if (i == 0) != (kind == "message-start") && kind != "message-end" {
            return wrong("the answer begins with message-start, once");
        }
        match kind {
            "message-start" => {}
            "content-start" | "tool-call-start" => {
                let (begun, part) = if kind == "content-start" {
                    (&mut contents, "content")
                } else {
                    (&mut calls, "call")
                };
                if open.is_some() || index != Some(*begun) {
                    return wrong("begins while another is open, or out of order");
                }
                open = Some((part, *begun));
                *begun += 1;
            }
            "content-delta" | "content-end" | "tool-call-delta" | "tool-call-end" => {
                let part = if kind.starts_with("content") {
                    "content"
                } else {
                    "call"
                };
                if open != index.map(|index| (part, index)) {
                    return wrong("belongs to what is not open");
                }
                if kind.ends_with("end") {
                    open = None;
                }
            }
            "tool-plan-delta" if open.is_none() => {}
            "citation-start" if index == Some(citations) => citations += 1,
            "citation-end" if index.map(|index| index + 1) == Some(citations) => {}
            "message-end" => {
                let failed = matches!(
                    event["delta"]["finish_reason"].as_str(),
                    Some("ERROR" | "TIMEOUT")
                ) && event["delta"].get("error").is_some();
                if open.is_some() && !failed {
                    return wrong("ends with an open part");
                }
                if written.ends_with("data: [DONE]\n\n") == failed {
                    return wrong("[DONE] stands behind an end that is no failure, and only there");
                }
                over = true;
            }
            _ => return wrong("unexpected"),
        }
    }
    if over {
        Ok(())
    } else {
        Err("without an end".to_owned())
    }
}

#[test]
fn recorded_streams_of_all_dialects_become_streams_in_coheres_order() {
    let mut seen = 0;
    for (folder, dialect) in [
        ("openai-chat", Dialect::OpenaiChat),
        ("anthropic-messages", Dialect::AnthropicMessages),
        ("gemini-generate", Dialect::Gemini),
        ("cohere-chat-v2", COHERE),
    ] {
        for recording in recordings_of(folder) {
            let Some(stream) = recording.stream() else {
                continue;
            };
            let decoded = decode_of(dialect, [stream.as_bytes()]);
            let finished = decoded
                .events
                .iter()
                .any(|event| matches!(event, Event::End | Event::Error(_)));
            if !finished {
                continue;
            }
            let (written, _) = encode(COHERE, &decoded.events);
            check_wire(&written).unwrap_or_else(|error| panic!("{}: {error}", recording.name));
            let before = collect(&decoded.events);
            let after = collect(&decode(&written).events);
            let (Some(before), Some(after)) = (before.choices.first(), after.choices.first()) else {
                continue;
            };
            assert_eq!(said(&after.parts), said(&before.parts), "{}", recording.name);
            seen += 1;
        }
    }
    assert!(seen > 100 || recordings_of("cohere-chat-v2").is_empty(), "{seen}");
}

/// Text, thinking and calls, as far as any client can see them.
fn said(parts: &[tollgate_dialects::canonical::Part]) -> (String, String, Vec<(String, String)>) {
    use tollgate_dialects::canonical::Part;
    let (mut text, mut thinking, mut calls) = (String::new(), String::new(), Vec::new());
    for part in parts {
        match part {
            Part::Text(part) | Part::Refusal(part) => text.push_str(&part.text),
            Part::Reasoning(part) => thinking.push_str(&part.text),
            Part::ToolCall(call) => {
                let arguments = if call.arguments.is_empty() {
                    "{}"
                } else {
                    &call.arguments
                };
                calls.push((call.name.clone(), arguments.to_owned()));
            }
            _ => {}
        }
    }
    (text, thinking, calls)
}

#[test]
fn interleaved_calls_are_written_one_after_the_other() {
    let begin = |part: usize, name: &str| Event::PartStart {
        choice: 0,
        part,
        kind: PartKind::ToolCall {
            id: format!("id_{name}"),
            name: name.to_owned(),
            kind: ToolCallKind::Function,
            ext: Default::default(),
        },
    };
    let piece = |part: usize, text: &'static str| Event::PartDelta {
        choice: 0,
        part,
        delta: Delta::Arguments(text.into()),
    };
    let stop = |part: usize| Event::PartStop { choice: 0, part };
    let events = [
        Event::Start {
            origin: Dialect::OpenaiChat,
            id: "x".to_owned(),
            model: "m".to_owned(),
            created: None,
            service_tier: None,
            ext: Default::default(),
        },
        begin(0, "f"),
        begin(1, "g"),
        piece(1, "{\"g\":"),
        piece(0, "{}"),
        piece(1, "1}"),
        begin(2, "h"),
        stop(1),
        stop(0),
        stop(2),
        Event::Stop {
            choice: 0,
            stop: Default::default(),
        },
        Event::End,
    ];
    let (written, losses) = encode(COHERE, &events);
    assert!(losses.is_empty(), "{losses:?}");
    check_wire(&written).unwrap();
    let whole = collect(&decode(&written).events);
    let calls = said(&whole.choices[0].parts).2;
    let expected = [("f", "{}"), ("g", "{\"g\":1}"), ("h", "{}")];
    assert_eq!(
        calls,
        expected.map(|(name, arguments)| (name.to_owned(), arguments.to_owned()))
    );
    assert_eq!(whole.choices[0].stop.reason, StopReason::ToolCalls);
}

#[test]
fn more_than_can_be_held_back_fails_the_stream() {
    let mut encoder = StreamEncoder::new(COHERE, &AnswerStyle::default());
    let (mut out, mut losses) = (Vec::new(), Losses::new());
    let mut push = |event: Event<'_>| encoder.encode(&event, &mut losses, &mut out);
    for part in 0..2 {
        push(Event::PartStart {
            choice: 0,
            part,
            kind: PartKind::Text,
        });
    }
    let megabyte = "x".repeat(1 << 20);
    for _ in 0..17 {
        push(Event::PartDelta {
            choice: 0,
            part: 1,
            delta: Delta::Text(megabyte.as_str().into()),
        });
    }
    push(Event::End);
    let written = String::from_utf8(out).unwrap();
    assert!(
        written.contains("\"finish_reason\":\"ERROR\""),
        "{}",
        written.len()
    );
    assert!(!written.contains("[DONE]") && written.len() < 1000);
}

#[test]
fn streams_that_are_no_streams_of_cohere_are_refused() {
    for (events, what) in [
        (vec![text(0, "a")], "came before message-start"),
        (vec![end("COMPLETE")], "came before message-start"),
        (vec![start(), start()], "came twice"),
        (
            vec![
                start(),
                content_start(0, json!({"type": "text", "text": ""})),
                content_start(0, json!({"type": "text", "text": ""})),
            ],
            "open already",
        ),
        (
            vec![
                start(),
                content_start(0, json!({"type": "thinking", "thinking": ""})),
                text(0, "a"),
            ],
            "not a piece of the content",
        ),
        (
            vec![
                start(),
                json!({"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": "x"}}}}}),
            ],
            "not open",
        ),
        (
            vec![start(), json!({"type": "content-delta", "index": 0, "delta": 5})],
            "not a delta",
        ),
    ] {
        let decoded = decode(&stream(&events));
        let error = decoded.result.unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    assert!(decode("data: {\"a\"\n\n").result.is_err());
    assert!(decode("").result.is_err());
    assert!(
        decode("data: [DONE]\n\n").result.is_err(),
        "[DONE] alone is no end"
    );
}

#[test]
fn oddities_of_servers_are_tolerated() {
    let body = format!(
        ": hello\n\n{}{}\n: ping\n\n{}data: [DONE]\n\n",
        stream(&[start(), json!({"type": "debug", "prompt": "p"})]),
        // Without a beginning and an end of its own.
        stream(&[text(0, "a"), text(0, ""), text(0, "b")]),
        stream(&[end("COMPLETE")]),
    );
    let decoded = decode(&body);
    assert_eq!(decoded.result, Ok(()));
    check_order(&decoded.events).unwrap();
    assert_eq!(said(&collect(&decoded.events).choices[0].parts).0, "ab");
    let (written, losses) = encode(COHERE, &decoded.events);
    assert!(
        losses.is_empty() && written.contains("event: debug\n"),
        "{written}"
    );
    for to in [Dialect::OpenaiChat, Dialect::AnthropicMessages, Dialect::Gemini] {
        assert_eq!(encode(to, &decoded.events).1, Vec::<String>::new(), "{to}");
    }
}

#[test]
fn everything_a_stream_may_say_comes_back_as_it_was() {
    let events = [
        json!({"type": "message-start", "id": "a", "new": 1, "delta": {"message": {"role": "assistant", "odd": 1}}}),
        json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I"}}}),
        content_start(0, json!({"type": "thinking", "thinking": ""})),
        json!({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"thinking": "hm"}}}}),
        json!({"type": "content-end", "index": 0}),
        content_start(1, json!({"type": "text", "text": ""})),
        json!({"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "ä"}}}, "logprobs": {"text": "ä", "token_ids": [1, 2], "logprobs": [-0.5, -0.25]}}),
        json!({"type": "content-delta", "index": 1, "delta": {"message": {"content": {"new": 1}}}}),
        json!({"type": "citation-start", "index": 0, "delta": {"message": {"citations": {"start": 0, "end": 1, "text": "ä"}}}}),
        json!({"type": "citation-end", "index": 0}),
        json!({"type": "content-end", "index": 1}),
        content_start(2, json!({"type": "odd", "x": 1})),
        json!({"type": "content-delta", "index": 2, "delta": {"message": {"content": {"x": 2}}}}),
        json!({"type": "content-end", "index": 2}),
        json!({"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}}}}),
        json!({"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": "{}"}}}}}),
        json!({"type": "tool-call-end", "index": 0}),
        json!({"type": "something-new", "a": 1}),
        json!({"type": "message-end", "id": "a", "delta": {"finish_reason": "TOOL_CALL", "usage": {"billed_units": {"input_tokens": 1, "output_tokens": 2}}, "more": [1]}}),
    ];
    let body = stream(&events);
    let decoded = decode(&body);
    assert_eq!(decoded.result, Ok(()));
    check_order(&decoded.events).unwrap();
    let (written, losses) = encode(COHERE, &decoded.events);
    assert!(losses.is_empty(), "{losses:?}");
    assert_eq!(documents(&written), events);
}

#[test]
fn log_probabilities_of_a_stream_reach_both_sides() {
    let piece = json!({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "hi"}}},
        "logprobs": {"text": "hi", "token_ids": [5], "logprobs": [-0.25]}});
    let body = stream(&[
        start(),
        content_start(0, json!({"type": "text", "text": ""})),
        piece,
        json!({"type": "content-end", "index": 0}),
        end("COMPLETE"),
    ]);
    let (written, losses) = encode(Dialect::OpenaiChat, &decode(&body).events);
    assert!(losses.is_empty(), "{losses:?}");
    assert!(written.contains("\"logprob\":-0.25"), "{written}");
    let back = decode_of(Dialect::OpenaiChat, [written.as_bytes()]);
    let (again, _) = encode(COHERE, &back.events);
    assert!(again.contains("\"logprobs\":[-0.25]"), "{again}");
    check_wire(&again).unwrap();
}

#[test]
fn a_plan_for_tools_is_reasoning_to_others() {
    let body = stream(&[
        start(),
        json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will "}}}),
        json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "ask."}}}),
        json!({"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}}}}),
        json!({"type": "tool-call-end", "index": 0}),
        end("TOOL_CALL"),
    ]);
    let decoded = decode(&body);
    for to in [Dialect::OpenaiChat, Dialect::AnthropicMessages, Dialect::Gemini] {
        let (written, losses) = encode(to, &decoded.events);
        assert!(losses.is_empty(), "{to} {losses:?}");
        let again = collect(&decode_of(to, [written.as_bytes()]).events);
        let (text, thinking, calls) = said(&again.choices[0].parts);
        assert_eq!((text.as_str(), thinking.as_str()), ("", "I will ask."), "{to}");
        assert_eq!(calls, [("f".to_owned(), "{}".to_owned())], "{to}");
    }
}
