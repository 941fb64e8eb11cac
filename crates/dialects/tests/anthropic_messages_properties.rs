//! What holds for all numbers and all bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod anthropic_messages_support;

use anthropic_messages_support::{answer, decode_own, encode};
use proptest::prelude::*;
use tollgate_dialects::anthropic_messages::{
    decode_error, decode_request, decode_response, encode_error, encode_response,
};
use tollgate_dialects::canonical::{StopReason, Usage};
use tollgate_dialects::json::RawJson;
use tollgate_dialects::{Dialect, Losses};

fn count() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(0..1_u64 << 53)
}

#[test]
fn deeply_nested_documents_do_not_exhaust_the_stack() {
    let nested = |begin: &str, middle: &str, end: &str| {
        let depth = 100_000;
        format!("{}{middle}{}", begin.repeat(depth), end.repeat(depth))
    };
    let results = nested(
        r#"[{"type":"tool_result","tool_use_id":"a","content":"#,
        "[]",
        "}]",
    );
    let lists = nested("[", "", "]");
    let schema = nested(r#"{"type":"object","properties":{"a":"#, "{}", "}}");
    for body in [
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":{results}}}]}}"#),
        format!(r#"{{"model":"m","messages":{lists}}}"#),
        format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"output_config":{{"format":{{"type":"json_schema","schema":{schema}}}}}}}"#
        ),
        format!(r#"{{"content":{results}}}"#),
        format!(r#"{{"type":"error","error":{lists}}}"#),
        format!("data: {{\"type\":\"message_start\",\"message\":{{\"content\":{results}}}}}\n\n"),
    ] {
        try_everything(body.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn converting_usage_there_and_back_changes_no_number(
        (input, output) in (0..1_u64 << 53, 0..1_u64 << 53),
        (read, write, five, hour, reasoning) in (count(), count(), count(), count(), count()),
        foreign in any::<bool>(),
    ) {
        let usage = Usage {
            input, output, cache_read: read, cache_write: write, cache_write_5m: five, cache_write_1h: hour, reasoning,
            ..Usage::default()
        };
        let mut response = answer(vec![], StopReason::End);
        if !foreign {
            response.origin = Dialect::AnthropicMessages;
        }
        response.usage = Some(usage.clone());
        let body = encode_response(&response, &mut Losses::new());
        let again = decode_response(std::str::from_utf8(&body).unwrap()).unwrap().usage.unwrap();
        prop_assert_eq!(again.input_total(), usage.input_total());
        prop_assert_eq!(again.total(), usage.total());
        let numbers = |usage: &Usage| {
            let or_zero = |count: Option<u64>| count.unwrap_or(0);
            (usage.input, usage.output, or_zero(usage.cache_read), or_zero(usage.cache_write),
             or_zero(usage.cache_write_5m), or_zero(usage.cache_write_1h), usage.reasoning)
        };
        prop_assert_eq!(numbers(&again), numbers(&usage));
        if !foreign {
            prop_assert_eq!(again, usage);
        }
    }

    #[test]
    fn decoders_do_not_panic_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        try_everything(&bytes);
    }

    #[test]
    fn decoders_do_not_panic_on_changed_recordings(
        choice in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), change()), 1..6),
    ) {
        let documents = documents();
        if documents.is_empty() {
            return Ok(());
        }
        let mut bytes = documents[choice.index(documents.len())].clone();
        for (place, change) in changes {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(bytes.len());
            match change {
                Change::Replace(byte) => bytes[place] = byte,
                Change::Cut => bytes.truncate(place),
                Change::Insert(text) => drop(bytes.splice(place..place, text.bytes())),
                Change::Remove(count) => drop(bytes.drain(place..bytes.len().min(place + count))),
            }
        }
        try_everything(&bytes);
    }
}

#[derive(Clone, Debug)]
enum Change {
    Replace(u8),
    Cut,
    Insert(&'static str),
    Remove(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let pieces = vec![
        "null",
        "{}",
        "[]",
        "\"\"",
        "\"type\":",
        ",",
        "}",
        "-1",
        "1e999",
        "\u{feff}",
        "\n\n",
        "data: ",
        "\\ud800",
    ];
    prop_oneof![
        any::<u8>().prop_map(Change::Replace),
        Just(Change::Cut),
        prop::sample::select(pieces).prop_map(Change::Insert),
        (1..40_usize).prop_map(Change::Remove),
    ]
}

/// Recorded documents of up to 16 KiB.
fn documents() -> &'static [Vec<u8>] {
    static DOCUMENTS: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(|| {
        let recordings = anthropic_messages_support::recordings();
        let texts = recordings.iter().flat_map(|recording| {
            let mut texts = anthropic_messages_support::streams_of(recording);
            texts.extend(
                [recording.read("request.json"), recording.read("response.json")]
                    .into_iter()
                    .flatten(),
            );
            texts
        });
        texts
            .filter(|text| text.len() < 16 * 1024)
            .map(String::into_bytes)
            .collect()
    });
    &DOCUMENTS
}

/// Decodes the bytes as everything; what decodes is encoded for both dialects.
fn try_everything(bytes: &[u8]) {
    use anthropic_messages_support::target;
    let capabilities = tollgate_dialects::Capabilities::default();
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(mut request) = decode_request(text) {
            for origin in [Dialect::AnthropicMessages, Dialect::OpenaiChat] {
                request.origin = origin;
                let body = tollgate_dialects::anthropic_messages::encode_request(
                    &request,
                    &target("m", &capabilities),
                    &mut Losses::new(),
                );
                assert_json(&body);
            }
        }
        if let Ok(mut response) = decode_response(text) {
            for origin in [Dialect::AnthropicMessages, Dialect::OpenaiChat] {
                response.origin = origin;
                assert_json(&encode_response(&response, &mut Losses::new()));
            }
        }
    }
    assert_json(&encode_error(&decode_error(500, bytes), Some("r")));
    let decoded = decode_own(bytes.chunks(37));
    let written = encode(&decoded.events, &mut Losses::new());
    for frame in written.split_terminator("\n\n") {
        let (name, data) = frame.split_once('\n').unwrap();
        assert!(name.starts_with("event: "), "{frame}");
        assert_json(data.strip_prefix("data: ").unwrap().as_bytes());
    }
}

/// Valid JSON by its grammar; strings that no parser can hold (half a surrogate pair) pass through as they came.
fn assert_json(text: &[u8]) {
    let text = std::str::from_utf8(text).unwrap();
    RawJson::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
}
