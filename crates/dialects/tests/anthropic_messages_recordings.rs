//! Every recorded request, answer and stream survives its own codec.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod anthropic_messages_support;

use anthropic_messages_support::{
    Recording, assert_json_eq, collect, decode, decode_own, encode, frames, is_whole, json, recordings,
    request_of, streams_of, target,
};
use serde_json::Value;
use tollgate_dialects::anthropic_messages::{
    decode_error, decode_request, decode_response, encode_error, encode_request, encode_response,
};
use tollgate_dialects::canonical::{ErrorKind, Event, Part, Response};
use tollgate_dialects::{Capabilities, Losses};

#[test]
fn a_recorded_request_comes_back_equal() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(body) = request_of(&recording) else {
            continue;
        };
        let request = decode_request(&body).unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let capabilities = Capabilities::of(&request.model);
        let mut losses = Losses::new();
        let encoded = encode_request(&request, &target(&request.model, &capabilities), &mut losses);
        let mut expected = json(&body);
        drop_empty_lists(&mut expected);
        assert_json_eq(&json(&encoded), &expected, &recording.name);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
        seen += 1;
    }
    assert!(seen > 70 || recordings().is_empty(), "{seen}");
}

/// An empty list of tools or stop sequences means the same as none and is not repeated.
fn drop_empty_lists(request: &mut Value) {
    if let Some(members) = request.as_object_mut() {
        members.retain(|key, value| {
            !(["tools", "stop_sequences"].contains(&key.as_str())
                && value.as_array().is_some_and(Vec::is_empty))
        });
    }
}

#[test]
fn tool_schemas_inputs_and_signatures_come_back_byte_identical() {
    for recording in recordings() {
        let Some(body) = request_of(&recording) else {
            continue;
        };
        let request = decode_request(&body).unwrap();
        let capabilities = Capabilities::default();
        let encoded = encode_request(&request, &target("m", &capabilities), &mut Losses::new());
        let encoded = String::from_utf8(encoded).unwrap();
        for part in request.messages.iter().flat_map(|message| &message.parts) {
            match part {
                Part::ToolCall(call) => {
                    assert!(body.contains(&call.arguments) && encoded.contains(&call.arguments));
                }
                Part::Reasoning(reasoning) => {
                    let signature = reasoning
                        .signature
                        .as_ref()
                        .or(reasoning.redacted.as_ref())
                        .unwrap();
                    assert!(body.contains(signature) && encoded.contains(signature));
                }
                _ => {}
            }
        }
        for tool in &request.tools {
            if let tollgate_dialects::canonical::ToolKind::Function {
                parameters: Some(schema),
                ..
            } = &tool.kind
            {
                assert!(
                    body.contains(schema.text()) && encoded.contains(schema.text()),
                    "{}",
                    recording.name
                );
            }
        }
    }
}

#[test]
fn a_recorded_answer_comes_back_equal() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(body) = recording.answer() else { continue };
        let response = decode_response(&body).unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let mut losses = Losses::new();
        let encoded = encode_response(&response, &mut losses);
        assert_json_eq(&json(&encoded), &json(&body), &recording.name);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
        seen += 1;
    }
    assert!(seen > 40 || recordings().is_empty(), "{seen}");
}

#[test]
fn a_recorded_error_is_understood_and_comes_back_equal() {
    for recording in recordings()
        .into_iter()
        .filter(|recording| recording.status() != 200)
    {
        let body = recording.read("response.json").unwrap();
        let error = decode_error(recording.status(), body.as_bytes());
        let kind = match recording.status() {
            400 => ErrorKind::BadRequest,
            401 => ErrorKind::Authentication,
            404 => ErrorKind::NotFound,
            413 => ErrorKind::TooLarge,
            429 => ErrorKind::RateLimit,
            529 => ErrorKind::Overloaded,
            other => panic!("{}: {other}", recording.name),
        };
        assert_eq!(error.kind, kind, "{}", recording.name);
        let expected = json(&body);
        assert_eq!(error.message, expected["error"]["message"], "{}", recording.name);
        let encoded = encode_error(&error, expected["request_id"].as_str());
        assert_json_eq(&json(encoded), &expected, &recording.name);
    }
}

#[test]
fn a_recorded_stream_ends_as_it_was_recorded() {
    let mut seen = 0;
    for (recording, stream) in streams() {
        let decoded = decode(&stream);
        let last = decoded.events.last().unwrap();
        if recording.is("authored-stream-cut") {
            assert_eq!(
                decoded.result.unwrap_err().to_string(),
                "the stream ended before the answer was complete"
            );
        } else if recording.is("authored-stream-overloaded-midway") {
            assert_eq!(decoded.result, Ok(()));
            let Event::Error(error) = last else {
                panic!("{last:?}")
            };
            assert_eq!((error.kind, error.status), (ErrorKind::Overloaded, 529));
        } else {
            assert_eq!(decoded.result, Ok(()), "{}", recording.name);
            assert_eq!(last, &Event::End, "{}", recording.name);
        }
        seen += 1;
    }
    assert!(seen > 25 || recordings().is_empty(), "{seen}");
}

#[test]
fn a_recorded_stream_decodes_the_same_for_every_cut() {
    for (recording, stream) in streams() {
        let whole = decode(&stream);
        let bytes = stream.as_bytes();
        let step = if bytes.len() > 8192 { bytes.len() / 300 } else { 1 };
        for cut in (0..bytes.len()).step_by(step) {
            let pieces = decode_own([&bytes[..cut], &bytes[cut..]]);
            assert_eq!(pieces, whole, "{} cut at {cut}", recording.name);
        }
        for size in [1, 3, 7, 64] {
            assert_eq!(
                decode_own(bytes.chunks(size)),
                whole,
                "{} in pieces of {size}",
                recording.name
            );
        }
        let with_crlf = stream.replace('\n', "\r\n");
        assert_eq!(decode(&with_crlf), whole, "{} with CRLF", recording.name);
    }
}

#[test]
fn a_recorded_stream_written_again_tells_the_same_answer() {
    for (recording, stream) in streams().filter(|(recording, _)| is_whole(recording)) {
        let first = decode(&stream);
        let mut losses = Losses::new();
        let second = decode(&encode(&first.events, &mut losses));
        assert_eq!(second.result, Ok(()), "{}", recording.name);
        assert_eq!(
            collect(&second.events),
            collect(&first.events),
            "{}",
            recording.name
        );
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
    }
}

#[test]
fn a_recorded_stream_written_again_has_the_recorded_events() {
    for (recording, stream) in streams() {
        // An answer that came whole at the start is written block by block.
        if !is_whole(&recording) || stream.contains(r#""role":"assistant","content":[{"#) {
            continue;
        }
        let written = frames(&encode(&decode(&stream).events, &mut Losses::new()));
        let written: Vec<&Value> = written.iter().map(|(_, data)| data).collect();
        let recorded: Vec<Value> = stream
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .filter(|data| data.trim() != "[DONE]")
            .map(json)
            .collect();
        let mut written = written.into_iter();
        let mut first_input = Value::Null;
        for expected in &recorded {
            let mut actual = written
                .next()
                .unwrap_or_else(|| panic!("{}: {expected} is missing", recording.name));
            // The input a call begins with, empty or not, is told as a piece if no other piece comes.
            if expected["type"] == "content_block_stop" && actual["type"] == "content_block_delta" {
                let piece = actual["delta"]["partial_json"].as_str().unwrap();
                assert_eq!(json(piece), first_input, "{}", recording.name);
                actual = written.next().unwrap();
            }
            match expected["type"].as_str().unwrap() {
                "message_delta" => {
                    for member in ["stop_reason", "stop_sequence"] {
                        assert_eq!(
                            actual["delta"][member], expected["delta"][member],
                            "{}",
                            recording.name
                        );
                    }
                    for member in ["stop_details", "container"] {
                        let both = (&actual["delta"][member], &expected["delta"][member]);
                        assert_eq!(both.0, both.1, "{}", recording.name);
                    }
                    assert_eq!(actual["context_management"], expected["context_management"]);
                    for (key, value) in expected["usage"].as_object().unwrap() {
                        assert_eq!(&actual["usage"][key], value, "{} usage.{key}", recording.name);
                    }
                }
                "content_block_start" => {
                    let mut expected = expected.clone();
                    let block = expected["content_block"].as_object_mut().unwrap();
                    match block["type"].as_str() {
                        // An empty list of citations says nothing.
                        Some("text") => drop(block.remove("citations")),
                        Some("tool_use") => {
                            first_input = block.insert("input".to_owned(), json("{}")).unwrap()
                        }
                        _ => {}
                    }
                    assert_json_eq(actual, &expected, &recording.name);
                }
                _ => assert_json_eq(actual, expected, &recording.name),
            }
        }
        assert_eq!(written.next(), None, "{}", recording.name);
    }
}

#[test]
fn an_answer_that_comes_whole_at_the_start_of_a_stream_is_read_in_parts() {
    let mut seen = 0;
    for (recording, stream) in
        streams().filter(|(_, stream)| stream.contains(r#""role":"assistant","content":[{"#))
    {
        let response = collect(&decode(&stream).events);
        let [Part::ToolCall(call)] = response.choices[0].parts.as_slice() else {
            panic!("{}", recording.name)
        };
        assert_eq!(call.name, "rollDie");
        assert!(json(&call.arguments)["player"].is_string());
        seen += 1;
    }
    assert!(seen > 10 || recordings().is_empty(), "{seen}");
}

#[test]
fn a_stream_and_the_whole_answer_tell_the_same_in_the_same_form() {
    for (recording, stream) in streams().filter(|(recording, _)| is_whole(recording)) {
        let collected: Response = collect(&decode(&stream).events);
        let written = encode_response(&collected, &mut Losses::new());
        let again = decode_response(std::str::from_utf8(&written).unwrap()).unwrap();
        assert_eq!(
            again.choices[0].parts, collected.choices[0].parts,
            "{}",
            recording.name
        );
        assert_eq!(
            again.choices[0].stop, collected.choices[0].stop,
            "{}",
            recording.name
        );
        assert_eq!(again.usage, collected.usage, "{}", recording.name);
        assert_json_eq(
            &json(encode_response(&again, &mut Losses::new())),
            &json(&written),
            &recording.name,
        );
    }
}

fn streams() -> impl Iterator<Item = (Recording, String)> {
    recordings().into_iter().flat_map(|recording| {
        let streams = streams_of(&recording);
        streams.into_iter().map(move |stream| (recording.clone(), stream))
    })
}
