//! Every recorded request, answer, stream and error survives its own codec.

use tollgate_dialects::canonical::{ErrorKind, Event, Part};
use tollgate_dialects::cohere_chat::{
    decode_error, decode_request, decode_response, encode_error, encode_request, encode_response,
};
use tollgate_dialects::{Capabilities, Losses};

use super::support::{assert_json_eq, check_order, collect, json, target};
use super::{COHERE, decode, decode_of, documents, encode, recordings};

#[test]
fn a_recorded_request_comes_back_equal() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(body) = recording.request() else { continue };
        let request = decode_request(&body).unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let capabilities = Capabilities::default();
        let mut losses = Losses::new();
        let encoded = encode_request(&request, &target(&request.model, &capabilities), &mut losses);
        assert_json_eq(&json(&encoded), &json(&body), &recording.name);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
        seen += 1;
    }
    assert!(seen > 18 || recordings().is_empty(), "{seen}");
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
    assert!(seen > 12 || recordings().is_empty(), "{seen}");
}

#[test]
fn a_recorded_stream_comes_back_equal_however_it_is_cut() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let decoded = decode(&stream);
        assert_eq!(decoded.result, Ok(()), "{}", recording.name);
        check_order(&decoded.events).unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        let (written, losses) = encode(COHERE, &decoded.events);
        assert_eq!(documents(&written), documents(&stream), "{}", recording.name);
        assert!(written.ends_with("data: [DONE]\n\n"));
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
        for size in [1, 2, 3, 7, 64, 1000] {
            let cut = decode_of(COHERE, stream.as_bytes().chunks(size));
            assert!(cut == decoded, "{} cut every {size} bytes", recording.name);
        }
        let crlf = decode(&stream.replace('\n', "\r\n"));
        assert!(crlf == decoded, "{} with CRLF", recording.name);
        seen += 1;
    }
    assert!(seen > 4 || recordings().is_empty(), "{seen}");
}

#[test]
fn a_recorded_stream_adds_up_to_an_answer_that_is_its_own() {
    for recording in recordings() {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let whole = collect(&decode(&stream).events);
        let written = encode_response(&whole, &mut Losses::new());
        let again = decode_response(std::str::from_utf8(&written).unwrap()).unwrap();
        assert_eq!(again, whole, "{}", recording.name);
        let text: String = documents(&stream)
            .iter()
            .filter_map(|event| {
                event["delta"]["message"]["content"]["text"]
                    .as_str()
                    .map(str::to_owned)
            })
            .collect();
        let told: String = whole.choices[0]
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(told, text, "{}", recording.name);
    }
}

#[test]
fn a_recorded_stream_that_is_cut_is_never_complete() {
    for recording in recordings() {
        let Some(stream) = recording.stream() else {
            continue;
        };
        let end = stream.rfind("event: message-end").unwrap();
        let step = (end / 200).max(1);
        for cut in (0..=end)
            .step_by(step)
            .filter(|cut| stream.is_char_boundary(*cut))
        {
            let decoded = decode(&stream[..cut]);
            assert!(decoded.result.is_err(), "{} cut at {cut}", recording.name);
            assert!(!decoded.events.contains(&Event::End));
        }
    }
}

#[test]
fn recorded_errors_are_understood_and_repeated() {
    let mut kinds = Vec::new();
    for recording in recordings() {
        let status = recording.status();
        if status == 200 {
            continue;
        }
        let body = recording.read("response.json").unwrap();
        let error = decode_error(status, body.as_bytes());
        assert_eq!(error.status, status, "{}", recording.name);
        assert_eq!(error.message, json(&body)["message"].as_str().unwrap());
        assert_json_eq(
            &json(encode_error(&error, Some("other"))),
            &json(&body),
            &recording.name,
        );
        kinds.push(error.kind);
    }
    for kind in [
        ErrorKind::Authentication,
        ErrorKind::ContextTooLong,
        ErrorKind::NotFound,
    ] {
        assert!(
            kinds.contains(&kind) || recordings().is_empty(),
            "{kind:?} {kinds:?}"
        );
    }
}
