//! Streams: any cuts, cut streams, failures, vendors that leave events out.

use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::{Event, Part, StopReason};
use tollgate_dialects::codec::AnswerStyle;

use super::support::{collect, decode_pieces};
use super::{RESPONSES, decode_stream, documents, encode_stream, order, recordings};

fn stream(events: &[Value]) -> String {
    let frame = |(number, event): (usize, &Value)| {
        let mut event = event.clone();
        event["sequence_number"] = number.into();
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
    };
    events.iter().enumerate().map(frame).collect()
}

fn created() -> Value {
    json!({"type": "response.created", "response": {"id": "resp_1", "model": "m", "created_at": 5, "status": "in_progress", "output": []}})
}

fn ended(kind: &str, status: &str, details: Value) -> Value {
    json!({"type": kind, "response": {"id": "resp_1", "model": "m", "created_at": 5, "status": status, "incomplete_details": details, "output": []}})
}

#[test]
fn any_cuts_of_a_recorded_stream_give_the_same_events() {
    for recording in recordings() {
        let Some(stream) = recording.stream().filter(|stream| stream.len() < 40_000) else {
            continue;
        };
        let whole = decode_stream(RESPONSES, &stream);
        for size in [1, 7, 4096] {
            let cut = decode_pieces(RESPONSES, stream.as_bytes().chunks(size));
            assert_eq!(cut, whole, "{} in pieces of {size}", recording.name);
        }
    }
}

#[test]
fn a_stream_that_is_cut_is_never_complete() {
    for recording in recordings().into_iter().take(40) {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let Some(end) = [
            "response.completed",
            "response.incomplete",
            "response.failed",
            "\"type\":\"error\"",
        ]
        .iter()
        .filter_map(|kind| stream.find(kind))
        .min() else {
            continue;
        };
        let beginning = stream.get(..end).unwrap().rsplit_once("\n\n").unwrap().0;
        let decoded = decode_stream(RESPONSES, beginning);
        assert!(decoded.result.is_err(), "{}", recording.name);
        assert!(!decoded.events.contains(&Event::End), "{}", recording.name);
        for dialect in [Dialect::OpenaiChat, Dialect::AnthropicMessages, RESPONSES] {
            let (written, _) = encode_stream(dialect, &decoded.events, &AnswerStyle::default());
            for end in ["[DONE]", "message_stop", "response.completed"] {
                assert!(
                    !written.contains(&format!("event: {end}")) && !written.contains("data: [DONE]"),
                    "{}",
                    recording.name
                );
            }
        }
    }
}

#[test]
fn failures_are_told_as_failures_to_every_client() {
    let failed = json!({"type": "response.failed", "response": {"id": "resp_1", "status": "failed", "output": [],
        "error": {"code": "rate_limit_exceeded", "message": "Slow down."}}});
    let event = json!({"type": "error", "code": "server_error", "message": "Slow down.", "param": null});
    let nested = json!({"type": "error", "error": {"type": "server_error", "code": "server_error", "message": "Slow down."}});
    for last in [failed, event, nested] {
        let decoded = decode_stream(RESPONSES, &stream(&[created(), last.clone()]));
        assert_eq!(decoded.result, Ok(()));
        let Some(Event::Error(error)) = decoded.events.last() else {
            panic!("{last}: {:?}", decoded.events);
        };
        assert_eq!(error.message, "Slow down.");
        for dialect in [
            Dialect::OpenaiChat,
            Dialect::AnthropicMessages,
            Dialect::Gemini,
            RESPONSES,
        ] {
            let (written, _) = encode_stream(dialect, &decoded.events, &AnswerStyle::default());
            assert!(written.contains("Slow down."), "{dialect}: {written}");
            assert!(
                !written.contains("[DONE]")
                    && !written.contains("message_stop")
                    && !written.contains("response.completed"),
                "{written}"
            );
        }
        let (same, _) = encode_stream(RESPONSES, &decoded.events, &AnswerStyle::default());
        let mut told = documents(&same).pop().unwrap();
        told.as_object_mut().unwrap().remove("sequence_number");
        assert_eq!(told, last, "told as it was");
    }
}

#[test]
fn an_error_of_another_provider_is_a_failed_answer() {
    let stream = "data: {\"id\":\"1\",\"created\":5,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: {\"error\":{\"message\":\"Overloaded.\",\"type\":\"server_error\",\"code\":\"server_overloaded\"}}\n\n";
    let decoded = decode_stream(Dialect::OpenaiChat, stream);
    let (written, _) = encode_stream(RESPONSES, &decoded.events, &AnswerStyle::default());
    order::check(&written).unwrap();
    let last = documents(&written).pop().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["status"], "failed");
    assert_eq!(
        last["response"]["error"],
        json!({"code": "server_error", "message": "Overloaded."})
    );
}

#[test]
fn what_vendors_tell_only_at_the_end_is_told() {
    let message = json!({"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]});
    let call = json!({"type": "function_call", "id": "f", "call_id": "c", "name": "g", "arguments": "{}", "status": "completed"});
    let mut all = ended("response.completed", "completed", Value::Null);
    all["response"]["output"] = json!([message, call]);
    let cases = [
        vec![created(), all.clone()],
        vec![all],
        vec![
            created(),
            json!({"type": "response.output_item.done", "output_index": 0, "item": message}),
            json!({"type": "response.output_item.done", "output_index": 1, "item": call}),
            ended("response.completed", "completed", Value::Null),
        ],
        vec![
            created(),
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m", "role": "assistant", "content": []}}),
            json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hi"}),
            json!({"type": "response.output_item.done", "output_index": 0, "item": message}),
            // Ids that change between events.
            json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "id": "x", "call_id": "c", "name": "g", "arguments": ""}}),
            json!({"type": "response.function_call_arguments.done", "item_id": "y", "output_index": 1, "arguments": "{}"}),
            json!({"type": "response.output_item.done", "output_index": 1, "item": call}),
            ended("response.completed", "completed", Value::Null),
        ],
    ];
    for events in cases {
        let decoded = decode_stream(RESPONSES, &stream(&events));
        assert_eq!(decoded.result, Ok(()));
        let answer = collect(&decoded.events);
        let choice = &answer.choices[0];
        assert_eq!(choice.stop.reason, StopReason::ToolCalls);
        let [Part::Text(text), Part::ToolCall(call)] = choice.parts.as_slice() else {
            panic!("{:?}", choice.parts);
        };
        assert_eq!(
            (text.text.as_str(), call.id.as_str(), call.arguments.as_str()),
            ("Hi", "c", "{}")
        );
    }
}

#[test]
fn a_cut_answer_is_incomplete_in_both_directions() {
    let decoded = decode_stream(
        RESPONSES,
        &stream(&[
            created(),
            ended(
                "response.incomplete",
                "incomplete",
                json!({"reason": "max_output_tokens"}),
            ),
        ]),
    );
    assert_eq!(
        collect(&decoded.events).choices[0].stop.reason,
        StopReason::Length
    );
    let chat = "data: {\"id\":\"1\",\"created\":5,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n";
    let (written, _) = encode_stream(
        RESPONSES,
        &decode_stream(Dialect::OpenaiChat, chat).events,
        &AnswerStyle::default(),
    );
    order::check(&written).unwrap();
    let last = documents(&written).pop().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(
        last["response"]["incomplete_details"],
        json!({"reason": "max_output_tokens"})
    );
    assert_eq!(last["response"]["output"][0]["status"], "incomplete");
}

#[test]
fn interleaved_calls_of_chat_completions_keep_their_places() {
    let chunk = |delta: Value| {
        format!(
            "data: {}\n\n",
            json!({"id": "1", "created": 5, "model": "m", "choices": [{"index": 0, "delta": delta}]})
        )
    };
    let call = |index: u64, id: Option<&str>, arguments: &str| {
        let mut call = json!({"index": index, "function": {"arguments": arguments}});
        if let Some(id) = id {
            call["id"] = id.into();
            call["type"] = "function".into();
            call["function"]["name"] = format!("f{index}").into();
        }
        chunk(json!({"tool_calls": [call]}))
    };
    let stream = [
        call(0, Some("a"), "{\"x\""),
        call(1, Some("b"), "{"),
        call(0, None, ":1}"),
        call(1, None, "}"),
        "data: {\"id\":\"1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let (written, _) = encode_stream(
        RESPONSES,
        &decode_stream(Dialect::OpenaiChat, &stream).events,
        &AnswerStyle::default(),
    );
    order::check(&written).unwrap();
    let last = documents(&written).pop().unwrap();
    let calls: Vec<(&Value, &Value)> = last["response"]["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (&item["call_id"], &item["arguments"]))
        .collect();
    assert_eq!(
        calls,
        [(&json!("a"), &json!("{\"x\":1}")), (&json!("b"), &json!("{}"))]
    );
}

proptest! {
    #[test]
    fn usage_survives_the_way_there_and_back(
        input in 0_u64..1 << 40, read in 0_u64..1 << 40, write in proptest::option::of(0_u64..1 << 40),
        output in 0_u64..1 << 40, reasoning in 0_u64..1 << 40,
    ) {
        use tollgate_dialects::canonical::{Response, Usage};
        let usage = Usage { input, cache_read: Some(read), cache_write: write, output, reasoning: Some(reasoning.min(output)), ..Usage::default() };
        let answer = |origin| Response {
            origin, id: "1".to_owned(), model: "m".to_owned(), created: Some(5), choices: Vec::new(),
            usage: Some(usage.clone()), service_tier: None, ext: tollgate_dialects::canonical::Ext::default(),
        };
        let body = tollgate_dialects::codec::encode_response(RESPONSES, &answer(Dialect::OpenaiChat), &AnswerStyle::default(), &mut tollgate_dialects::Losses::new());
        let mut back = tollgate_dialects::codec::decode_response(RESPONSES, std::str::from_utf8(&body).unwrap()).unwrap().usage.unwrap();
        back.ext = tollgate_dialects::canonical::Ext::default();
        // The type of the dialect demands a number where none was said.
        prop_assert_eq!(back.cache_write, Some(write.unwrap_or(0)));
        back.cache_write = write;
        prop_assert_eq!(back, usage);
    }
}
