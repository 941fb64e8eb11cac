//! Documents that are broken somehow: an error or an answer, never a panic.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests count as tests"
)]

mod openai_chat_support;

use std::sync::LazyLock;

use openai_chat_support::{capabilities, check_order, recorded_stream, recordings, try_decode_stream};
use proptest::collection::vec;
use proptest::prelude::*;
use tollgate_dialects::canonical::Collector;
use tollgate_dialects::json::RawJson;
use tollgate_dialects::openai_chat::{
    ResponseStyle, StreamEncoder, StreamStyle, decode_error, decode_request, decode_response, encode_error,
    encode_request, encode_response, error_in_answer,
};
use tollgate_dialects::{Losses, Target};

/// Recorded bodies that are small enough to mutate often.
static BODIES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut bodies: Vec<String> = recordings()
        .iter()
        .flat_map(|recording| {
            [
                recording.read("request.json"),
                recording.read("response.json"),
                recorded_stream(recording),
            ]
            .into_iter()
            .flatten()
        })
        .filter(|body| body.len() < 20_000)
        .collect();
    bodies.push(r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#.to_owned());
    bodies
});

/// Pieces of JSON that are likely to be taken for something.
const SPLINTERS: [&str; 14] = [
    "null",
    "{}",
    "[]",
    "\"\"",
    "0",
    "-1",
    "1e999",
    "true",
    "\"tool_calls\":[{}]",
    "\"delta\":null",
    "[[[[",
    "}}}}",
    "\\ud800",
    "\n\ndata: ",
];

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..12_usize, 0..SPLINTERS.len() + 1);
    (any::<prop::sample::Index>(), vec(edit, 1..6)).prop_map(|(body, edits)| {
        let mut bytes = BODIES[body.index(BODIES.len())].clone().into_bytes();
        for (place, length, splinter) in edits {
            let start = place.index(bytes.len() + 1);
            let end = (start + length).min(bytes.len());
            let splinter = SPLINTERS
                .get(splinter)
                .map_or(&b"\xff"[..], |text| text.as_bytes());
            bytes.splice(start..end, splinter.iter().copied());
        }
        bytes
    })
}

fn read_everything(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let capabilities = capabilities();
    if let Ok(request) = decode_request(&text) {
        let target = Target {
            model: "m",
            capabilities: &capabilities,
            default_max_output_tokens: None,
        };
        let written = encode_request(&request, &target, &mut Losses::new());
        let written = String::from_utf8(written).unwrap();
        decode_request(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    }
    if let Ok(response) = decode_response(&text) {
        let written = encode_response(&response, &ResponseStyle::default(), &mut Losses::new());
        let written = String::from_utf8(written).unwrap();
        decode_response(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    }
    let error = decode_error(400, bytes);
    RawJson::parse(&String::from_utf8(encode_error(&error)).unwrap()).unwrap();
    error_in_answer(&text);

    let (events, _) = try_decode_stream(&[bytes]);
    check_order(&events).unwrap();
    let (mut collector, mut out) = (Collector::new(), Vec::new());
    let mut encoder = StreamEncoder::new(StreamStyle {
        include_usage: true,
        ..StreamStyle::default()
    });
    for event in &events {
        collector.push(event);
        encoder.encode(event, &mut Losses::new(), &mut out);
    }
    collector.finish();
    let (again, _) = try_decode_stream(&[&out]);
    check_order(&again).unwrap();
}

#[test]
fn a_null_that_is_replaced_does_not_stand_beside_what_replaces_it() {
    read_everything(
        br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":null}}"#,
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn mutated_recordings_never_panic(bytes in mutated()) {
        read_everything(&bytes);
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        read_everything(&bytes);
    }
}
