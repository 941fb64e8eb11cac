//! What holds for all numbers and all bytes.

use std::sync::LazyLock;

use proptest::prelude::*;
use tollgate_dialects::canonical::{Response, Usage};
use tollgate_dialects::codec::{self, AnswerStyle};
use tollgate_dialects::gemini::{decode_error, decode_response, encode_response};
use tollgate_dialects::json::RawJson;
use tollgate_dialects::{Capabilities, Dialect, Losses};

use super::{decode_pieces, encode, recordings, target};

const DIALECTS: [Dialect; 3] = [Dialect::OpenaiChat, Dialect::AnthropicMessages, Dialect::Gemini];

fn count() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(0..1_u64 << 50)
}

fn response(origin: Dialect, usage: Usage) -> Response {
    let mut response = decode_response(r#"{"candidates":[],"responseId":"r","modelVersion":"m"}"#).unwrap();
    response.origin = origin;
    response.usage = Some(usage);
    response
}

#[test]
fn deeply_nested_documents_do_not_exhaust_the_stack() {
    let nested = |begin: &str, middle: &str, end: &str| {
        let depth = 100_000;
        format!("{}{middle}{}", begin.repeat(depth), end.repeat(depth))
    };
    let lists = nested("[", "", "]");
    let schema = nested(r#"{"type":"OBJECT","properties":{"a":"#, "{}", "}}");
    for body in [
        format!(r#"{{"contents":{lists}}}"#),
        format!(r#"{{"contents":[{{"parts":[{{"functionCall":{{"name":"f","args":{{"a":{lists}}}}}}}]}}]}}"#),
        format!(
            r#"{{"contents":[],"tools":[{{"functionDeclarations":[{{"name":"f","parameters":{schema}}}]}}]}}"#
        ),
        format!(r#"{{"candidates":{lists}}}"#),
        format!(r#"{{"error":{lists}}}"#),
        lists,
    ] {
        try_everything(body.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn converting_usage_there_and_back_changes_no_number(
        (input, candidates) in (0..1_u64 << 50, 0..1_u64 << 50),
        (read, write, thoughts, tool_use) in (count(), count(), count(), count()),
        (audio, image, video, out_audio, out_image) in (count(), count(), count(), count(), count()),
        origin in prop::sample::select(DIALECTS.to_vec()),
    ) {
        let usage = Usage {
            input: input.saturating_add(tool_use.unwrap_or(0)),
            output: candidates.saturating_add(thoughts.unwrap_or(0)),
            cache_read: read, cache_write: write, reasoning: thoughts, input_tool_use: tool_use,
            input_audio: audio, input_image: image, input_video: video, output_audio: out_audio, output_image: out_image,
            ..Usage::default()
        };
        let body = encode_response(&response(origin, usage.clone()), &mut Losses::new());
        let again = decode_response(std::str::from_utf8(&body).unwrap()).unwrap().usage.unwrap();
        prop_assert_eq!(again.input_total(), usage.input_total());
        prop_assert_eq!(again.total(), usage.total());
        prop_assert_eq!(again.total, None);
        // What is written to a cache has no place of its own and counts as fresh input.
        let written = write.unwrap_or(0);
        let numbers = |usage: &Usage| (usage.output, usage.reasoning, usage.cache_read, usage.input_tool_use,
            usage.input_audio, usage.input_image, usage.input_video, usage.output_audio, usage.output_image);
        prop_assert_eq!(again.input, usage.input + written);
        prop_assert_eq!(numbers(&again), numbers(&usage));
    }

    #[test]
    fn counts_of_gemini_reach_the_other_dialects_and_come_back(
        (prompt, candidates) in (0..1_u64 << 50, 0..1_u64 << 50),
        (cached, thoughts, tool_use) in (count(), count(), count()),
        other in prop::sample::select(vec![Dialect::OpenaiChat, Dialect::AnthropicMessages]),
    ) {
        let cached = cached.map(|cached| cached.min(prompt));
        let total = prompt + candidates + thoughts.unwrap_or(0) + tool_use.unwrap_or(0);
        let member = |name: &str, count: Option<u64>| count.map_or(String::new(), |count| format!(r#""{name}":{count},"#));
        let body = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"a"}}]}},"finishReason":"STOP"}}],"usageMetadata":{{{}{}{}"promptTokenCount":{prompt},"candidatesTokenCount":{candidates},"totalTokenCount":{total}}}}}"#,
            member("cachedContentTokenCount", cached),
            member("thoughtsTokenCount", thoughts),
            member("toolUsePromptTokenCount", tool_use),
        );
        let own = decode_response(&body).unwrap();
        let there = codec::encode_response(other, &own, &AnswerStyle::default(), &mut Losses::new());
        let there = codec::decode_response(other, std::str::from_utf8(&there).unwrap()).unwrap();
        let back = encode_response(&there, &mut Losses::new());
        let back = decode_response(std::str::from_utf8(&back).unwrap()).unwrap().usage.unwrap();
        let own = own.usage.unwrap();
        prop_assert_eq!(back.total(), total);
        prop_assert_eq!(back.input_total(), own.input_total());
        prop_assert_eq!(back.cache_read.unwrap_or(0), own.cache_read.unwrap_or(0));
        prop_assert_eq!((back.output, back.reasoning), (own.output, own.reasoning));
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
        let documents = &*DOCUMENTS;
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

    #[test]
    fn the_events_of_a_stream_do_not_depend_on_the_cuts(
        choice in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let streams = &*STREAMS;
        if streams.is_empty() {
            return Ok(());
        }
        let bytes = streams[choice.index(streams.len())].as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut begin = 0;
        for cut in cuts {
            pieces.push(&bytes[begin..cut]);
            begin = cut;
        }
        pieces.push(&bytes[begin..]);
        prop_assert_eq!(decode_pieces(Dialect::Gemini, pieces), decode_pieces(Dialect::Gemini, [bytes]));
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
        "\"thought\":true,",
        "\"willContinue\":true,",
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

static STREAMS: LazyLock<Vec<String>> =
    LazyLock::new(|| recordings().iter().filter_map(super::Recording::stream).collect());

/// Recorded documents of up to 16 KiB.
static DOCUMENTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    recordings()
        .iter()
        .flat_map(|recording| [recording.stream(), recording.request(), recording.answer()])
        .flatten()
        .filter(|text| text.len() < 16 * 1024)
        .map(String::into_bytes)
        .collect()
});

/// Decodes the bytes as everything; what decodes is written in every dialect.
fn try_everything(bytes: &[u8]) {
    let capabilities = [
        Capabilities::default(),
        Capabilities {
            json_schema: false,
            thinking_levels: true,
            ..Capabilities::default()
        },
    ];
    if let Ok(text) = std::str::from_utf8(bytes) {
        for from in DIALECTS {
            if let Ok(request) = codec::decode_request(from, text) {
                for capabilities in &capabilities {
                    let body = codec::encode_request(
                        Dialect::Gemini,
                        &request,
                        &target("m", capabilities),
                        &mut Losses::new(),
                    );
                    assert_json(&body);
                }
            }
        }
        if let Ok(request) = codec::decode_request(Dialect::Gemini, text) {
            for to in DIALECTS {
                let body =
                    codec::encode_request(to, &request, &target("m", &capabilities[0]), &mut Losses::new());
                assert_json(&body);
            }
        }
        if let Ok(response) = decode_response(text) {
            for to in DIALECTS {
                assert_json(&codec::encode_response(
                    to,
                    &response,
                    &AnswerStyle::default(),
                    &mut Losses::new(),
                ));
            }
        }
    }
    for to in DIALECTS {
        assert_json(&codec::encode_error(to, &decode_error(500, bytes), Some("r")));
    }
    let decoded = decode_pieces(Dialect::Gemini, bytes.chunks(37));
    for to in DIALECTS {
        let (written, _) = encode(to, &decoded.events, &AnswerStyle::default());
        for data in written.lines().filter_map(|line| line.strip_prefix("data: ")) {
            if data != "[DONE]" {
                assert_json(data.as_bytes());
            }
        }
    }
}

/// Valid JSON by its grammar; strings that no parser can hold (half a surrogate pair) pass through as they came.
fn assert_json(text: &[u8]) {
    let text = std::str::from_utf8(text).unwrap();
    RawJson::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
}
