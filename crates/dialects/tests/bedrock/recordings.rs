//! Every recorded request, answer, stream and error survives its own codec.

use serde_json::{Value, json as value};
use tollgate_dialects::bedrock_converse::{
    self, decode_request, decode_response, encode_request, encode_response,
};
use tollgate_dialects::canonical::{ErrorKind, Event, Ext, Part, Usage};
use tollgate_dialects::{Capabilities, Losses};

use super::support::{assert_json_eq, check_order, collect};
use super::{BEDROCK, decode, encode, frames, json, order, recordings, recordings_of, stream_of, target};

#[test]
fn a_recorded_request_comes_back_equal() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(body) = recording.request() else { continue };
        let request = decode_request(&body).unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let capabilities = Capabilities::default();
        let mut losses = Losses::new();
        let encoded = encode_request(&request, &target("m", &capabilities), &mut losses);
        assert_json_eq(&json(&encoded), &usual(json(&body)), &recording.name);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
        seen += 1;
    }
    assert!(seen > 50 || recordings().is_empty(), "{seen}");
}

/// A request without the empty objects and lists of options that this dialect leaves out.
fn usual(mut request: Value) -> Value {
    let members = request.as_object_mut().unwrap();
    if let Some(config) = members.get_mut("inferenceConfig").and_then(Value::as_object_mut) {
        config.retain(|_, value| *value != value!([]));
    }
    members.retain(|name, value| {
        !(matches!(name.as_str(), "system" | "inferenceConfig")
            && (*value == value!([]) || *value == value!({})))
    });
    request
}

#[test]
fn proofs_arguments_and_schemas_come_back_byte_identical() {
    let (mut proofs, mut calls, mut schemas) = (0, 0, 0);
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
                    let proof = reasoning
                        .signature
                        .as_ref()
                        .or(reasoning.redacted.as_ref())
                        .unwrap();
                    assert!(body.contains(proof) && encoded.contains(proof));
                    proofs += 1;
                }
                _ => {}
            }
        }
        schemas += usize::from(request.response_format.is_some());
    }
    assert!(
        (proofs > 1 && calls > 8 && schemas > 2) || recordings().is_empty(),
        "{proofs} {calls} {schemas}"
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
        assert_json_eq(&json(&encoded), &json(&body), &recording.name);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
        seen += 1;
    }
    assert!(seen > 25 || recordings().is_empty(), "{seen}");
}

#[test]
fn a_recorded_stream_comes_back_equal() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(stream) = stream_of(&recording) else {
            continue;
        };
        let decoded = decode(&stream);
        check_order(&decoded.events).unwrap_or_else(|wrong| panic!("{}: {wrong}", recording.name));
        let (written, losses) = encode(BEDROCK, &decoded.events);
        order::check(&written).unwrap_or_else(|wrong| panic!("{}: {wrong}", recording.name));
        assert_eq!(losses, Vec::<String>::new(), "{}", recording.name);
        let mut expected = frames::read(&stream);
        for (_, payload) in &mut expected {
            payload.as_object_mut().unwrap().remove("p");
        }
        expected.retain(|(_, payload)| payload["delta"] != value!({"text": ""}));
        // Where something was missing or in another order, it comes as it should.
        if recording.read("response.chunks.jsonl").is_none() {
            assert_eq!(frames::read(&written), expected, "{}", recording.name);
        }
        let again = decode(&written);
        assert_eq!(
            collect(&again.events),
            collect(&decoded.events),
            "{}",
            recording.name
        );
        seen += 1;
    }
    assert!(seen > 15 || recordings().is_empty(), "{seen}");
}

#[test]
fn a_recorded_error_is_understood_and_comes_back_equal() {
    let mut seen = 0;
    for recording in recordings()
        .into_iter()
        .chain(recordings_of("bedrock-count-tokens"))
        .filter(|recording| recording.status() != 200)
    {
        let body = recording.read("response.json").unwrap();
        let error = bedrock_converse::decode_error(recording.status(), body.as_bytes());
        let kind = match recording.status() {
            400 => ErrorKind::BadRequest,
            403 => ErrorKind::Authentication,
            404 => ErrorKind::NotFound,
            429 => ErrorKind::RateLimit,
            other => panic!("{}: {other}", recording.name),
        };
        assert_eq!(error.kind, kind, "{}", recording.name);
        assert_eq!(error.message, json(&body)["message"], "{}", recording.name);
        assert_json_eq(
            &json(bedrock_converse::encode_error(&error)),
            &json(&body),
            &recording.name,
        );
        seen += 1;
    }
    assert!(seen > 8 || recordings().is_empty(), "{seen}");
}

#[test]
fn a_recorded_stream_that_fails_ends_with_the_provider_s_error() {
    let mut kinds = Vec::new();
    for recording in recordings() {
        let Some(stream) = stream_of(&recording) else {
            continue;
        };
        let decoded = decode(&stream);
        if let Some(Event::Error(error)) = decoded.events.last() {
            kinds.push((error.kind, error.status));
            let (written, _) = encode(BEDROCK, &decoded.events);
            let last = |bytes: &[u8]| frames::read(bytes).pop().unwrap();
            assert_eq!(last(&written), last(&stream), "{}", recording.name);
        }
    }
    assert!(
        kinds == [(ErrorKind::Server, 424), (ErrorKind::RateLimit, 429)] || recordings().is_empty(),
        "{kinds:?}"
    );
}

#[test]
fn recorded_usage_is_what_the_provider_billed() {
    let (mut cached, mut written) = (0, 0);
    for recording in recordings() {
        let Some(body) = recording.answer() else { continue };
        let counts = &json(&body)["usage"];
        let usage = decode_response(&body).unwrap().usage.unwrap();
        let count = |name: &str| counts[name].as_u64().unwrap_or(0);
        assert_eq!(usage.total(), count("totalTokens"), "{}", recording.name);
        assert_eq!(usage.total, None, "{}", recording.name);
        assert_eq!(
            usage.input_total(),
            count("inputTokens") + count("cacheReadInputTokens") + count("cacheWriteInputTokens")
        );
        cached += usage.cache_read.unwrap_or(0);
        written += usage.cache_write.unwrap_or(0);
        if counts["cacheDetails"].is_array() {
            assert_eq!(usage.cache_write_5m, usage.cache_write);
        }
        // The same numbers without what was written beside them.
        let plain = Usage {
            ext: Ext::default(),
            ..usage.clone()
        };
        assert_eq!(plain.total(), usage.total());
    }
    assert!((cached > 0 && written > 0) || recordings().is_empty());
}

#[test]
fn a_recorded_count_of_tokens_comes_back_equal() {
    let mut seen = 0;
    for recording in recordings_of("bedrock-count-tokens") {
        let body = recording.request().unwrap();
        let request = bedrock_converse::decode_count_tokens_request(&body)
            .unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        assert!(!request.messages.is_empty(), "{}", recording.name);
        if recording.status() == 200 {
            let answer = recording.read("response.json").unwrap();
            let count = bedrock_converse::decode_token_count(&answer).unwrap();
            assert_eq!(Some(count.total), json(&answer)["inputTokens"].as_u64());
            assert_json_eq(
                &json(bedrock_converse::encode_token_count(&count)),
                &json(&answer),
                &recording.name,
            );
            seen += 1;
        }
    }
    assert!(seen > 0 || recordings().is_empty());
}
