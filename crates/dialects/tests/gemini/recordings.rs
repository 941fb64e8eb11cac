//! Every recorded request, answer and stream survives its own codec.

use serde_json::{Map, Value, json as value};
use tollgate_dialects::canonical::{ErrorKind, Event, Ext, Part, StopReason, Usage};
use tollgate_dialects::codec::{self, AnswerStyle};
use tollgate_dialects::gemini::{self, decode_request, decode_response, encode_request, encode_response};
use tollgate_dialects::{Capabilities, Dialect, Losses};

use super::{
    assert_json_eq, collect, decode, decode_pieces, documents, encode, json, recordings, recordings_of,
    target,
};

#[test]
fn a_recorded_request_comes_back_equal() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(body) = recording.request() else { continue };
        let request = decode_request(&body).unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let capabilities = Capabilities::default();
        let mut losses = Losses::new();
        let encoded = encode_request(&request, &target("m", &capabilities), &mut losses);
        assert_json_eq(&usual(json(&encoded)), &usual(json(&body)), &recording.name);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
        seen += 1;
    }
    assert!(seen > 80 || recordings().is_empty(), "{seen}");
}

/// Base64 of media in the standard alphabet, with padding.
fn standard_base64(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(standard_base64),
        Value::Object(members) => {
            if let Some(Value::String(data)) = members
                .get_mut("inlineData")
                .and_then(|media| media.get_mut("data"))
            {
                *data = data.replace('-', "+").replace('_', "/");
                while data.len() % 4 > 1 {
                    data.push('=');
                }
            }
            members.values_mut().for_each(standard_base64);
        }
        _ => {}
    }
}

/// A request as this dialect writes it: one spelling, lists where lists belong, one tool with all functions.
fn usual(request: Value) -> Value {
    let mut request = camel(request);
    standard_base64(&mut request);
    let members = request.as_object_mut().unwrap();
    members.remove("model");
    for content in members["contents"].as_array_mut().unwrap() {
        content
            .as_object_mut()
            .unwrap()
            .entry("role")
            .or_insert_with(|| "user".into());
    }
    if let Some(Value::Array(tools)) = members.get_mut("tools") {
        let mut functions = Vec::new();
        let mut others = Vec::new();
        for tool in tools.drain(..) {
            for (name, definition) in tool.as_object().unwrap() {
                match definition {
                    Value::Array(list) if name == "functionDeclarations" => {
                        functions.extend(list.iter().cloned());
                    }
                    Value::Null => {}
                    definition => others.push(value!({ name: definition })),
                }
            }
        }
        if !functions.is_empty() {
            tools.push(value!({ "functionDeclarations": functions }));
        }
        tools.extend(others);
    }
    for (object, member) in [
        ("/generationConfig/thinkingConfig", "thinkingLevel"),
        ("/toolConfig/functionCallingConfig", "mode"),
    ] {
        if let Some(word) = request
            .pointer_mut(object)
            .and_then(|object| object.get_mut(member))
        {
            *word = word.as_str().unwrap().to_uppercase().into();
        }
    }
    let members = request.as_object_mut().unwrap();
    if let Some(config) = members.get_mut("generationConfig").and_then(Value::as_object_mut) {
        config.retain(|name, value| !(name == "stopSequences" && *value == value!([])));
        if config.is_empty() {
            members.remove("generationConfig");
        }
    }
    if request["tools"] == value!([]) {
        request.as_object_mut().unwrap().remove("tools");
    }
    request
}

/// Members that hold what callers and tools named, and objects whose inner spelling is kept.
const THEIRS: [&str; 11] = [
    "args",
    "response",
    "functionResponse",
    "parameters",
    "parametersJsonSchema",
    "responseSchema",
    "responseJsonSchema",
    "fileSearch",
    "modelArmorConfig",
    "speechConfig",
    "labels",
];

fn camel(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut new = Map::new();
            for (name, value) in members {
                let name = spelled(&name);
                let kept = THEIRS.contains(&name.as_str());
                let value = if kept { value } else { camel(value) };
                new.insert(name, value);
            }
            Value::Object(new)
        }
        Value::Array(list) => list.into_iter().map(camel).collect(),
        other => other,
    }
}

fn spelled(name: &str) -> String {
    let mut out = String::new();
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.extend(c.to_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

#[test]
fn signatures_arguments_and_schemas_come_back_byte_identical() {
    let (mut signatures, mut calls) = (0, 0);
    for recording in recordings() {
        let Some(body) = recording.request() else { continue };
        let request = decode_request(&body).unwrap();
        let capabilities = Capabilities::default();
        let encoded = encode_request(&request, &target("m", &capabilities), &mut Losses::new());
        let encoded = String::from_utf8(encoded).unwrap();
        for part in request.messages.iter().flat_map(|message| &message.parts) {
            match part {
                Part::ToolCall(call) => {
                    assert!(encoded.contains(&call.arguments), "{}", recording.name);
                    calls += 1;
                }
                Part::Reasoning(reasoning) => {
                    let signature = reasoning.signature.as_ref().unwrap();
                    assert!(body.contains(signature) && encoded.contains(signature));
                    signatures += 1;
                }
                _ => {}
            }
        }
    }
    assert!(
        (signatures > 15 && calls > 15) || recordings().is_empty(),
        "{signatures} {calls}"
    );
}

#[test]
fn a_recorded_answer_comes_back_equal() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(body) = recording.answer() else { continue };
        let response = decode_response(&body).unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let mut losses = Losses::new();
        let encoded = encode_response(&response, &mut losses);
        assert_json_eq(&complete(json(&encoded)), &complete(json(&body)), &recording.name);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
        seen += 1;
    }
    assert!(seen > 50 || recordings().is_empty(), "{seen}");
}

/// Counts alone: white space between tokens is another in a stream.
fn without_ext(usage: Usage) -> Usage {
    Usage {
        ext: Ext::default(),
        ..usage
    }
}

/// An answer with the members that are always written.
fn complete(mut answer: Value) -> Value {
    let Some(candidates) = answer.get_mut("candidates").and_then(Value::as_array_mut) else {
        return answer;
    };
    for (i, candidate) in candidates.iter_mut().enumerate() {
        let candidate = candidate.as_object_mut().unwrap();
        candidate.entry("index").or_insert_with(|| i.into());
        let content = candidate.entry("content").or_insert_with(|| value!({}));
        content["role"] = "model".into();
        if content["parts"] == value!([]) {
            content.as_object_mut().unwrap().remove("parts");
        }
        for part in content
            .get_mut("parts")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(call) = part.get_mut("functionCall").and_then(Value::as_object_mut) {
                call.entry("args").or_insert_with(|| value!({}));
            }
        }
    }
    answer
}

#[test]
fn a_recorded_error_is_understood_and_comes_back_equal() {
    let mut seen = 0;
    for recording in recordings()
        .into_iter()
        .chain(recordings_of("gemini-count-tokens"))
        .filter(|recording| recording.status() != 200)
    {
        let body = recording.read("response.json").unwrap();
        let error = gemini::decode_error(recording.status(), body.as_bytes());
        let kind = match recording.status() {
            400 if body.contains("API_KEY_INVALID") => ErrorKind::Authentication,
            400 => ErrorKind::BadRequest,
            404 => ErrorKind::NotFound,
            429 => ErrorKind::RateLimit,
            503 => ErrorKind::Overloaded,
            other => panic!("{}: {other}", recording.name),
        };
        assert_eq!(error.kind, kind, "{}", recording.name);
        assert_eq!(
            error.message,
            json(&body)["error"]["message"],
            "{}",
            recording.name
        );
        assert_json_eq(&json(gemini::encode_error(&error)), &json(&body), &recording.name);
        seen += 1;
    }
    assert!(seen > 5 || recordings().is_empty(), "{seen}");
}

#[test]
fn a_recorded_count_of_tokens_comes_back_equal() {
    for recording in recordings_of("gemini-count-tokens") {
        let body = recording.request().unwrap();
        let request = gemini::decode_count_tokens_request(&body).unwrap();
        assert_eq!(request.messages.len(), 1, "{}", recording.name);
        let capabilities = Capabilities::default();
        let model = if request.model.is_empty() {
            "gemini"
        } else {
            &request.model
        };
        let encoded =
            gemini::encode_count_tokens_request(&request, &target(model, &capabilities), &mut Losses::new());
        let again = gemini::decode_count_tokens_request(std::str::from_utf8(&encoded).unwrap()).unwrap();
        assert_eq!(again.messages, request.messages, "{}", recording.name);
        assert_eq!(
            json(&encoded)["generateContentRequest"]["model"],
            format!("models/{model}")
        );
        if recording.status() == 200 {
            let answer = recording.read("response.json").unwrap();
            let count = gemini::decode_token_count(&answer).unwrap();
            assert_eq!(count.total, 8);
            assert_json_eq(
                &json(gemini::encode_token_count(&count)),
                &json(&answer),
                &recording.name,
            );
        }
    }
}

#[test]
fn a_recorded_stream_decodes_the_same_for_every_cut() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let whole = decode(&stream);
        assert_eq!(whole.result, Ok(()), "{}", recording.name);
        assert_eq!(whole.events.last(), Some(&Event::End), "{}", recording.name);
        let bytes = stream.as_bytes();
        let step = (bytes.len() / 150).max(1);
        for cut in (0..bytes.len()).step_by(step) {
            let pieces = decode_pieces(Dialect::Gemini, [&bytes[..cut], &bytes[cut..]]);
            assert_eq!(pieces, whole, "{} cut at {cut}", recording.name);
        }
        for size in [1, 3, 7, 64] {
            let pieces = decode_pieces(Dialect::Gemini, bytes.chunks(size));
            assert_eq!(pieces, whole, "{} in pieces of {size}", recording.name);
        }
        seen += 1;
    }
    assert!(seen > 20 || recordings().is_empty(), "{seen}");
}

#[test]
fn a_recorded_stream_and_the_array_of_its_documents_tell_the_same() {
    for recording in recordings() {
        let Some(stream) = recording.read("response.sse") else {
            continue;
        };
        let stream = stream.replace("\r\n", "\n");
        let documents: Vec<&str> = stream
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect();
        let array = format!("[{}\r\n]\n", documents.join(",\r\n"));
        assert_eq!(decode(&array), decode(&stream), "{}", recording.name);
        for size in [1, 5, 100] {
            let pieces = decode_pieces(Dialect::Gemini, array.as_bytes().chunks(size));
            assert_eq!(pieces, decode(&stream), "{} in pieces of {size}", recording.name);
        }
    }
}

#[test]
fn a_recorded_stream_written_again_tells_the_same_answer() {
    for recording in recordings() {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let first = decode(&stream);
        for framing in [gemini::Framing::Events, gemini::Framing::Array] {
            let style = AnswerStyle {
                framing,
                ..AnswerStyle::default()
            };
            let (written, losses) = encode(Dialect::Gemini, &first.events, &style);
            assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
            if framing == gemini::Framing::Array {
                assert!(json(&written).is_array(), "{}", recording.name);
            }
            let second = decode(&written);
            assert_eq!(second.result, Ok(()), "{}", recording.name);
            let (first, second) = (collect(&first.events), collect(&second.events));
            assert_eq!(second.id, first.id, "{}", recording.name);
            assert_eq!(
                second.usage.map(without_ext),
                first.usage.map(without_ext),
                "{}",
                recording.name
            );
            for (second, first) in second.choices.iter().zip(&first.choices) {
                assert_eq!(second.parts, first.parts, "{}", recording.name);
                assert_eq!(second.stop, first.stop, "{}", recording.name);
                let members = |choice: &tollgate_dialects::canonical::Choice| {
                    let mut members: Vec<(String, Value)> = choice
                        .ext
                        .iter()
                        .map(|(name, raw)| (name.to_owned(), json(raw.text())))
                        .collect();
                    members.sort_by(|a, b| a.0.cmp(&b.0));
                    members
                };
                assert_eq!(members(second), members(first), "{}", recording.name);
            }
        }
    }
}

#[test]
fn a_stream_and_the_whole_answer_tell_the_same_in_the_same_form() {
    for recording in recordings() {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let collected = collect(&decode(&stream).events);
        let written = encode_response(&collected, &mut Losses::new());
        let again = decode_response(std::str::from_utf8(&written).unwrap()).unwrap();
        assert_eq!(again.usage, collected.usage, "{}", recording.name);
        assert_eq!(again.choices.len(), collected.choices.len(), "{}", recording.name);
        for (again, collected) in again.choices.iter().zip(&collected.choices) {
            assert_eq!(again.stop, collected.stop, "{}", recording.name);
            assert_eq!(again.parts.len(), collected.parts.len(), "{}", recording.name);
        }
    }
}

#[test]
fn usage_of_recordings_adds_up_and_comes_back_equal() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(body) = recording.answer() else { continue };
        let counts = &json(&body)["usageMetadata"];
        let Some(total) = counts["totalTokenCount"].as_u64() else {
            continue;
        };
        let usage = decode_response(&body).unwrap().usage.unwrap();
        let of = |name: &str| counts[name].as_u64().unwrap_or(0);
        assert_eq!(usage.total(), total, "{}", recording.name);
        assert_eq!(
            usage.output,
            of("candidatesTokenCount") + of("thoughtsTokenCount"),
            "{}",
            recording.name
        );
        assert_eq!(
            usage.input_total(),
            of("promptTokenCount") + of("toolUsePromptTokenCount"),
            "{}",
            recording.name
        );
        assert_eq!(usage.total, None, "{}: {counts}", recording.name);
        seen += 1;
    }
    assert!(seen > 40 || recordings().is_empty(), "{seen}");
}

#[test]
fn a_call_in_pieces_is_told_whole() {
    for recording in recordings()
        .into_iter()
        .filter(|recording| recording.name.contains("google-stream-tool-call-arguments"))
    {
        let collected = collect(&decode(&recording.stream().unwrap()).events);
        let choice = &collected.choices[0];
        let calls: Vec<_> = choice
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::ToolCall(call) => Some((call.name.as_str(), call.arguments.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(
            calls,
            [
                ("getWeather", r#"{"location":"Boston"}"#),
                ("getWeather", r#"{"location":"San Francisco"}"#)
            ]
        );
        assert_eq!(choice.stop.reason, StopReason::ToolCalls);
        let Part::Reasoning(proof) = &choice.parts[0] else {
            panic!("{:?}", choice.parts[0])
        };
        let Part::ToolCall(first) = &choice.parts[1] else {
            panic!("{:?}", choice.parts[1])
        };
        assert_eq!(proof.of_call.as_ref(), Some(&first.id));
        assert!(proof.signature.as_ref().unwrap().starts_with("CiMBjz1rX25K"));
    }
}

#[test]
fn every_recording_can_be_told_to_clients_of_the_other_dialects() {
    for recording in recordings() {
        for client in [Dialect::OpenaiChat, Dialect::AnthropicMessages] {
            if let Some(body) = recording.answer() {
                let response = decode_response(&body).unwrap();
                let mut losses = Losses::new();
                let written = codec::encode_response(client, &response, &AnswerStyle::default(), &mut losses);
                let again = codec::decode_response(client, std::str::from_utf8(&written).unwrap())
                    .unwrap_or_else(|error| panic!("{}: {error}", recording.name));
                let (before, after) = (response.usage.unwrap(), again.usage.unwrap());
                assert_eq!(after.output, before.output, "{} {client}", recording.name);
                assert_eq!(
                    after.input_total(),
                    before.input_total(),
                    "{} {client}",
                    recording.name
                );
                let text = |choice: &tollgate_dialects::canonical::Choice| -> String {
                    choice.parts.iter().filter_map(text_of).collect()
                };
                assert_eq!(
                    text(&again.choices[0]),
                    text(&response.choices[0]),
                    "{}",
                    recording.name
                );
                assert_eq!(
                    calls_of(&again.choices[0].parts),
                    calls_of(&response.choices[0].parts),
                    "{} {client}",
                    recording.name
                );
            }
            if let Some(stream) = recording.stream() {
                let events = decode(&stream).events;
                let (written, _) = encode(client, &events, &AnswerStyle::default());
                let again = decode_pieces(client, [written.as_bytes()]);
                assert_eq!(again.result, Ok(()), "{} {client}", recording.name);
                let (before, after) = (collect(&events), collect(&again.events));
                assert_eq!(
                    calls_of(&after.choices[0].parts),
                    calls_of(&before.choices[0].parts),
                    "{} {client}",
                    recording.name
                );
                let text = |response: &tollgate_dialects::canonical::Response| -> String {
                    response.choices[0].parts.iter().filter_map(text_of).collect()
                };
                assert_eq!(text(&after), text(&before), "{} {client}", recording.name);
                assert!(!documents(&written).is_empty() || written.contains("event: "));
            }
        }
    }
}

fn text_of(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) => Some(&text.text),
        _ => None,
    }
}

fn calls_of(parts: &[Part]) -> Vec<(String, String, String)> {
    parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some((call.id.clone(), call.name.clone(), call.arguments.clone())),
            _ => None,
        })
        .collect()
}
