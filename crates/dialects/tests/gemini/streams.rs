//! Streams: what they must not hide, and the order in which they are written.

use serde_json::{Value, json};
use tollgate_dialects::canonical::{Delta, ErrorKind, Event, Part, PartKind, Stop, StopReason, ToolCallKind};
use tollgate_dialects::codec::AnswerStyle;
use tollgate_dialects::gemini::{Framing, StreamDecoder};
use tollgate_dialects::{Dialect, Losses, codec};

use super::{Decoded, collect, decode, decode_pieces, documents, encode, json as parse};

const GEMINI: Dialect = Dialect::Gemini;

fn document(parts: Value, finish: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({"candidates": [candidate], "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3},
        "modelVersion": "g", "responseId": "r"})
}

fn stream(documents: &[Value]) -> String {
    documents
        .iter()
        .map(|document| format!("data: {document}\r\n\r\n"))
        .collect()
}

/// The names of events, without Start and Usage.
fn kinds(decoded: &Decoded) -> Vec<String> {
    decoded
        .events
        .iter()
        .filter_map(|event| {
            Some(match event {
                Event::PartStart { part, kind, .. } => {
                    let kind = format!("{kind:?}");
                    format!("{part} {}", kind.split([' ', '{']).next().unwrap())
                }
                Event::PartDelta { part, delta, .. } => match delta {
                    Delta::Text(text) | Delta::Reasoning(text) => format!("{part} {text:?}"),
                    Delta::Arguments(text) => format!("{part} args {text}"),
                    Delta::Signature(text) => format!("{part} signature {text}"),
                    Delta::Opaque(raw) => format!("{part} opaque {}", raw.text()),
                },
                Event::PartStop { part, .. } => format!("{part} stop"),
                Event::Stop { stop, .. } => format!("{:?}", stop.reason),
                Event::End => "End".to_owned(),
                _ => return None,
            })
        })
        .collect()
}

#[test]
fn texts_and_thoughts_of_neighbours_are_one_part() {
    let decoded = decode(&stream(&[
        document(json!([{"text": "hm", "thought": true}]), None),
        document(json!([{"text": "m", "thought": true}, {"text": "a"}]), None),
        document(
            json!([{"text": "b"}, {"functionCall": {"id": "c", "name": "f", "args": {"x": 1.0}}, "thoughtSignature": "Ag=="}]),
            None,
        ),
        document(json!([{"text": ""}]), Some("STOP")),
    ]));
    assert_eq!(decoded.result, Ok(()));
    assert_eq!(
        kinds(&decoded),
        [
            "0 Reasoning",
            "0 \"hm\"",
            "0 \"m\"",
            "0 stop",
            "1 Text",
            "1 \"a\"",
            "1 \"b\"",
            "1 stop",
            "2 Reasoning",
            "2 signature Ag==",
            "2 stop",
            "3 ToolCall",
            "3 args {\"x\":1.0}",
            "3 stop",
            "ToolCalls",
            "End"
        ]
    );
}

#[test]
fn a_signature_in_an_empty_text_stands_for_itself() {
    let decoded = decode(&stream(&[
        document(json!([{"text": "a"}]), None),
        document(json!([{"text": "", "thoughtSignature": "Ag=="}]), Some("STOP")),
    ]));
    assert_eq!(
        kinds(&decoded),
        [
            "0 Text",
            "0 \"a\"",
            "0 stop",
            "1 Reasoning",
            "1 signature Ag==",
            "1 stop",
            "End",
            "End"
        ]
    );
    let (written, _) = encode(GEMINI, &decoded.events, &AnswerStyle::default());
    assert_eq!(
        documents(&written)[1]["candidates"][0]["content"]["parts"],
        json!([{"text": "", "thoughtSignature": "Ag=="}])
    );
}

#[test]
fn a_stream_that_is_cut_does_not_look_finished() {
    let whole = stream(&[
        document(json!([{"text": "a"}]), None),
        document(json!([{"text": "b"}]), Some("STOP")),
    ]);
    assert_eq!(decode(&whole).events.last(), Some(&Event::End));
    for end in 0..whole.len() - 4 {
        let decoded = decode_pieces(GEMINI, [&whole.as_bytes()[..end]]);
        // A last document that only lacks its blank line is whole.
        if decoded.result.is_ok() {
            assert!(whole[end..].trim().is_empty(), "cut at {end}");
            continue;
        }
        assert!(!decoded.events.contains(&Event::End), "cut at {end}");
        assert!(
            !decoded
                .events
                .iter()
                .any(|event| matches!(event, Event::Stop { .. }))
        );
    }
    let two = json!({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP", "index": 0},
        {"content": {"parts": [{"text": "b"}]}, "index": 1}]});
    assert!(decode(&stream(&[two])).result.is_err());
}

#[test]
fn an_error_in_the_stream_ends_it() {
    let error = json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}});
    let events = stream(&[document(json!([{"text": "a"}]), None), error.clone()]);
    let array = format!("[{},\n{error}]", document(json!([{"text": "a"}]), None));
    for text in [events, array] {
        let decoded = decode(&text);
        assert_eq!(decoded.result, Ok(()));
        let Some(Event::Error(found)) = decoded.events.last() else {
            panic!("{:?}", decoded.events.last())
        };
        assert_eq!((found.kind, found.status), (ErrorKind::Overloaded, 503));
        for framing in [Framing::Events, Framing::Array] {
            let style = AnswerStyle {
                framing,
                ..AnswerStyle::default()
            };
            let (written, _) = encode(GEMINI, &decoded.events, &style);
            let again = decode(&written);
            assert!(matches!(again.events.last(), Some(Event::Error(_))));
            assert!(!written.contains("finishReason"));
        }
    }
    // An error that comes alone, with a status of success.
    assert!(matches!(
        decode(&error.to_string()).events.last(),
        Some(Event::Error(_))
    ));
}

#[test]
fn a_blocked_prompt_ends_the_stream_as_filtered() {
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3},
        "modelVersion": "g", "responseId": "r"});
    let decoded = decode(&stream(std::slice::from_ref(&blocked)));
    assert_eq!(kinds(&decoded), ["ContentFilter", "End"]);
    let (written, losses) = encode(GEMINI, &decoded.events, &AnswerStyle::default());
    assert_eq!(documents(&written), [blocked]);
    assert_eq!(losses, [""; 0]);
    let (written, _) = encode(Dialect::OpenaiChat, &decoded.events, &AnswerStyle::default());
    assert!(
        written.contains(r#""finish_reason":"content_filter""#),
        "{written}"
    );
}

#[test]
fn documents_above_the_limit_are_refused() {
    let text = "a".repeat(100);
    let one = document(json!([{"text": text}]), Some("STOP")).to_string();
    for (stream, size) in [
        (format!("data: {one}\n\n"), one.len() + 8),
        (format!("[{one}]"), one.len()),
    ] {
        for (limit, fits) in [(size - 1, false), (size, true), (size + 1, true)] {
            for step in [1, 10, 10_000] {
                let mut decoder = StreamDecoder::new(limit);
                let result = stream
                    .as_bytes()
                    .chunks(step)
                    .try_for_each(|chunk| decoder.feed(chunk, &mut |_| {}));
                assert_eq!(result.is_ok(), fits, "{limit} of {size}, {step}: {result:?}");
            }
        }
    }
}

#[test]
fn two_candidates_stay_apart() {
    let both = |first: &str, second: &str, finish: Option<&str>| {
        let candidate = |index: u64, text: &str| {
            let mut candidate = json!({"content": {"parts": [{"text": text}]}, "index": index});
            if let Some(finish) = finish {
                candidate["finishReason"] = finish.into();
            }
            candidate
        };
        json!({"candidates": [candidate(0, first), candidate(1, second)], "responseId": "r"})
    };
    let decoded = decode(&stream(&[both("a", "x", None), both("b", "y", Some("STOP"))]));
    assert_eq!(decoded.result, Ok(()));
    let collected = collect(&decoded.events);
    let text = |choice: usize| match collected.choices[choice].parts.as_slice() {
        [Part::Text(text)] => text.text.clone(),
        parts => panic!("{parts:?}"),
    };
    assert_eq!((text(0), text(1)), ("ab".to_owned(), "xy".to_owned()));
    let (written, _) = encode(Dialect::OpenaiChat, &decoded.events, &AnswerStyle::default());
    assert_eq!(written.matches(r#""finish_reason":"stop""#).count(), 2);
}

/// Events of an OpenAI-type provider with one call.
fn with_call(arguments: &[&str], reason: StopReason) -> Vec<Event<'static>> {
    let mut events = vec![
        Event::Start {
            origin: Dialect::OpenaiChat,
            id: "chatcmpl-1".into(),
            model: "gpt".into(),
            created: None,
            service_tier: None,
            ext: Default::default(),
        },
        Event::PartStart {
            choice: 0,
            part: 0,
            kind: PartKind::ToolCall {
                id: "call_1".into(),
                name: "f".into(),
                kind: ToolCallKind::Function,
                ext: Default::default(),
            },
        },
    ];
    events.extend(arguments.iter().map(|piece| Event::PartDelta {
        choice: 0,
        part: 0,
        delta: Delta::Arguments((*piece).to_owned().into()),
    }));
    events.push(Event::PartStop { choice: 0, part: 0 });
    events.push(Event::Stop {
        choice: 0,
        stop: Stop {
            reason,
            ..Stop::default()
        },
    });
    events.push(Event::End);
    events
}

#[test]
fn calls_of_other_dialects_are_written_whole() {
    let (written, losses) = encode(
        GEMINI,
        &with_call(&["{\"a\"", ": 1.0}"], StopReason::ToolCalls),
        &AnswerStyle::default(),
    );
    assert_eq!(losses, [""; 0]);
    let written = documents(&written);
    assert_eq!(written.len(), 2);
    assert_eq!(
        written[0]["candidates"][0]["content"]["parts"],
        json!([{"functionCall": {"id": "call_1", "name": "f", "args": {"a": 1.0}}}])
    );
    assert_eq!(written[1]["candidates"][0]["finishReason"], "STOP");
}

#[test]
fn a_broken_call_is_an_error_unless_the_answer_was_cut() {
    let (written, losses) = encode(
        GEMINI,
        &with_call(&["{\"a\""], StopReason::ToolCalls),
        &AnswerStyle::default(),
    );
    assert_eq!(
        losses,
        ["choices[0].delta.tool_calls.function.arguments=rejected"]
    );
    let last = documents(&written).pop().unwrap();
    assert_eq!(last["error"]["code"], 502);
    for arguments in [&["{\"a\""][..], &[]] {
        let (written, losses) = encode(
            GEMINI,
            &with_call(arguments, StopReason::Length),
            &AnswerStyle::default(),
        );
        assert_eq!(losses, ["choices[0].delta.tool_calls=approximated"]);
        let written = documents(&written);
        assert_eq!(written.len(), 1);
        assert_eq!(written[0]["candidates"][0]["finishReason"], "MAX_TOKENS");
    }
    let (written, losses) = encode(
        GEMINI,
        &with_call(&[], StopReason::ToolCalls),
        &AnswerStyle::default(),
    );
    assert_eq!(losses, [""; 0]);
    assert_eq!(
        documents(&written)[0]["candidates"][0]["content"]["parts"][0]["functionCall"]["args"],
        json!({})
    );
}

#[test]
fn a_stream_of_anthropic_becomes_documents_in_order() {
    let events = [
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQB"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"a"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let stream: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let decoded = decode_pieces(Dialect::AnthropicMessages, [stream.as_bytes()]);
    let (written, losses) = encode(GEMINI, &decoded.events, &AnswerStyle::default());
    assert_eq!(losses, [""; 0]);
    let written = documents(&written);
    let parts: Vec<&Value> = written
        .iter()
        .map(|document| &document["candidates"][0]["content"]["parts"][0])
        .collect();
    assert_eq!(parts[0], &json!({"text": "hm", "thought": true}));
    assert_eq!(parts[1]["thought"], true);
    assert!(parts[1]["thoughtSignature"].is_string());
    assert_eq!(parts[2], &json!({"text": "a"}));
    assert_eq!(parts.len(), 4);
    let last = &written[3];
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!(
        last["usageMetadata"],
        json!({"promptTokenCount": 5, "candidatesTokenCount": 9, "totalTokenCount": 14})
    );
    // The usage of another dialect is known at the end only.
    assert!(
        written[..3]
            .iter()
            .all(|document| document.get("usageMetadata").is_none())
    );
    // What a client collects of it goes back to Anthropic with its signature.
    let collected = collect(&decode(&stream_of(&written)).events);
    let Part::Reasoning(thought) = &collected.choices[0].parts[0] else {
        panic!("{:?}", collected.choices[0].parts)
    };
    assert_eq!(thought.text, "hm");
}

fn stream_of(documents: &[Value]) -> String {
    stream(documents)
}

#[test]
fn every_written_stream_is_in_order() {
    for recording in super::recordings() {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let events = decode(&stream).events;
        let (written, _) = encode(GEMINI, &events, &AnswerStyle::default());
        let written = documents(&written);
        let (last, before) = written.split_last().unwrap();
        for document in before {
            let candidate = &document["candidates"][0];
            assert_eq!(
                candidate["content"]["parts"].as_array().unwrap().len(),
                1,
                "{}",
                recording.name
            );
            assert!(document["responseId"].is_string(), "{}", recording.name);
        }
        assert!(
            last["candidates"][0]["finishReason"].is_string(),
            "{}",
            recording.name
        );
        assert!(last["usageMetadata"].is_object(), "{}", recording.name);
    }
}

#[test]
fn an_array_is_one_document_that_comes_in_pieces() {
    let style = AnswerStyle {
        framing: Framing::Array,
        ..AnswerStyle::default()
    };
    let (written, _) = encode(GEMINI, &with_call(&["{}"], StopReason::ToolCalls), &style);
    assert_eq!(parse(&written).as_array().unwrap().len(), 2);
    let (written, _) = encode(GEMINI, &[Event::End], &style);
    assert!(parse(&written).is_array());
}

#[test]
fn garbage_is_an_error_and_nothing_else() {
    for garbage in [
        "<html>",
        "data: <html>\n\n",
        "data: {\"a\":1}\n\n",
        "[1,2]",
        "data: [\n\n",
        "{\"x\":",
        "null",
    ] {
        let decoded = decode(garbage);
        assert!(decoded.result.is_err(), "{garbage}: {:?}", decoded.events);
        assert!(!decoded.events.contains(&Event::End));
    }
    assert!(codec::decode_request(GEMINI, "[]").is_err());
    let mut losses = Losses::new();
    let error = codec::decode_error(GEMINI, 500, &[0xff, 0xfe]);
    assert_eq!(error.kind, ErrorKind::Server);
    losses.extend(Losses::new());
}
