//! Everything recorded survives being read and written again.

use serde_json::Value;
use tollgate_dialects::Losses;
use tollgate_dialects::codec::{self, AnswerStyle};

use super::support::{Recording, assert_json_eq, check_order, collect, json, names};
use super::{RESPONSES, decode_stream, documents, encode_stream, encoded, recordings};

#[test]
fn recorded_requests_are_written_as_they_came() {
    for recording in recordings() {
        let Some(body) = recording.request() else { continue };
        let request = codec::decode_request(RESPONSES, &body)
            .unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let mut expected = json(&body);
        if expected.get("model").is_none() {
            expected["model"] = Value::from("");
        }
        let (written, losses) = encoded(RESPONSES, &request, &request.model);
        assert_json_eq(&written, &expected, &recording.name);
        assert_eq!(names(&losses), [""; 0], "{}", recording.name);
    }
}

#[test]
fn recorded_answers_are_written_as_they_came() {
    for recording in recordings() {
        let Some(body) = recording.answer() else { continue };
        let response = codec::decode_response(RESPONSES, &body)
            .unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let mut losses = Losses::new();
        let written = codec::encode_response(RESPONSES, &response, &AnswerStyle::default(), &mut losses);
        assert_json_eq(&json(written), &json(&body), &recording.name);
        assert!(losses.is_empty(), "{}: {:?}", recording.name, names(&losses));
    }
}

/// Sealed reasoning of an answer is sealed anew in its last event; either may be sent back.
fn unsealed(mut answer: Value) -> Value {
    for item in answer["output"].as_array_mut().into_iter().flatten() {
        if item["type"] == "reasoning" && item["encrypted_content"].is_string() {
            item["encrypted_content"] = Value::from("sealed");
        }
    }
    answer
}

/// The recorded streams, but for one of which most pieces were taken out by whoever recorded it.
fn streams() -> Vec<(Recording, String)> {
    let whole = |recording: &Recording| !recording.is("openai-shell-container.1-0-39dca0");
    recordings()
        .into_iter()
        .filter(whole)
        .filter_map(|recording| recording.stream().map(|stream| (recording, stream)))
        .collect()
}

/// The events of the first answer; some recordings hold several, one behind the other.
fn first_answer(stream: &str) -> Vec<Value> {
    let mut events = documents(stream);
    let is_last = |event: &Value| {
        let kind = event["type"].as_str().unwrap_or_default();
        matches!(
            kind,
            "response.completed" | "response.incomplete" | "response.failed" | "error"
        )
    };
    if let Some(last) = events.iter().position(is_last) {
        events.truncate(last + 1);
    }
    events
}

/// What an event says, without what only pads it: numbers, obfuscation, empty lists of log probabilities.
fn bare(event: &Value) -> Value {
    let mut event = event.clone();
    for padding in ["sequence_number", "obfuscation"] {
        event.as_object_mut().unwrap().remove(padding);
    }
    // The parts of a message are counted by the message; one vendor counts those of the items before it.
    if event["type"]
        .as_str()
        .unwrap_or_default()
        .contains("content_part")
        || event["type"].as_str().unwrap_or_default().contains("output_text")
    {
        event.as_object_mut().unwrap().remove("content_index");
    }
    // One vendor's addition.
    if event["type"] == "response.function_call_arguments.done" {
        event.as_object_mut().unwrap().remove("name");
    }
    if event["response"].is_object() {
        event["response"] = unsealed(event["response"].clone());
    }
    without_empty_logprobs(&mut event);
    event
}

fn without_empty_logprobs(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members
                .get("logprobs")
                .is_some_and(|list| *list == Value::Array(Vec::new()))
            {
                members.remove("logprobs");
            }
            members.values_mut().for_each(without_empty_logprobs);
        }
        Value::Array(list) => list.iter_mut().for_each(without_empty_logprobs),
        _ => {}
    }
}

#[test]
fn recorded_streams_are_written_as_the_same_events() {
    let mut seen = 0;
    for (recording, stream) in streams() {
        let decoded = decode_stream(RESPONSES, &stream);
        assert_eq!(decoded.result, Ok(()), "{}", recording.name);
        check_order(&decoded.events).unwrap_or_else(|what| panic!("{}: {what}", recording.name));
        let (written, losses) = encode_stream(RESPONSES, &decoded.events, &AnswerStyle::default());
        assert!(losses.is_empty(), "{}: {:?}", recording.name, names(&losses));
        let is_told = |event: &&Value| event["delta"] != "";
        let expected: Vec<Value> = first_answer(&stream).iter().filter(is_told).map(bare).collect();
        let mut written = documents(&written);
        for (i, event) in written.iter().enumerate() {
            assert_eq!(event["sequence_number"], i, "{}", recording.name);
        }
        // One server tells arguments only as a whole; here they come as a piece too.
        let is_piece = |event: &Value| event["type"] == "response.function_call_arguments.delta";
        if !expected.iter().any(is_piece) {
            written.retain(|event| !is_piece(event));
        }
        for (i, (written, expected)) in written.iter().zip(&expected).enumerate() {
            assert_json_eq(
                &bare(written),
                expected,
                &format!("{} event {i} {}", recording.name, expected["type"]),
            );
        }
        let kinds =
            |events: &[Value]| -> Vec<Value> { events.iter().map(|event| event["type"].clone()).collect() };
        assert_eq!(kinds(&written), kinds(&expected), "{}", recording.name);
        seen += 1;
    }
    println!("{seen} streams");
}

#[test]
fn a_stream_adds_up_to_the_answer_it_ends_with() {
    for (recording, stream) in streams() {
        let events = decode_stream(RESPONSES, &stream).events;
        let last = first_answer(&stream).pop().unwrap();
        if !matches!(
            last["type"].as_str(),
            Some("response.completed" | "response.incomplete")
        ) {
            continue;
        }
        let written = codec::encode_response(
            RESPONSES,
            &collect(&events),
            &AnswerStyle::default(),
            &mut Losses::new(),
        );
        let (mut written, mut expected) = (unsealed(json(written)), unsealed(last["response"].clone()));
        without_empty_logprobs(&mut written);
        without_empty_logprobs(&mut expected);
        assert_json_eq(&written, &expected, &recording.name);
    }
}
