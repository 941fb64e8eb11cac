//! What holds for all numbers and all bytes.

use std::sync::LazyLock;

use proptest::prelude::*;
use tollgate_dialects::canonical::{Response, Usage};
use tollgate_dialects::codec::{self, AnswerStyle};
use tollgate_dialects::cohere_chat::{decode_error, decode_response, encode_response};
use tollgate_dialects::{Capabilities, Dialect, Losses};

use super::support::target;
use super::{COHERE, decode_of, encode, recordings};

const OTHERS: [Dialect; 3] = [Dialect::OpenaiChat, Dialect::AnthropicMessages, Dialect::Gemini];

fn count() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(0..1_u64 << 50)
}

fn response(origin: Dialect, usage: Usage) -> Response {
    let mut response =
        decode_response(r#"{"id":"r","finish_reason":"COMPLETE","message":{"content":[]}}"#).unwrap();
    response.origin = origin;
    response.usage = Some(usage);
    response
}

fn try_everything(bytes: &[u8]) {
    decode_error(500, bytes);
    let decoded = decode_of(COHERE, [bytes]);
    for to in OTHERS.into_iter().chain([COHERE]) {
        encode(to, &decoded.events);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let capabilities = Capabilities::default();
    if let Ok(request) = codec::decode_request(COHERE, text) {
        for to in OTHERS.into_iter().chain([COHERE]) {
            codec::encode_request(to, &request, &target("m", &capabilities), &mut Losses::new());
        }
    }
    if let Ok(response) = codec::decode_response(COHERE, text) {
        for to in OTHERS.into_iter().chain([COHERE]) {
            codec::encode_response(to, &response, &AnswerStyle::default(), &mut Losses::new());
        }
    }
}

#[test]
fn deeply_nested_documents_do_not_exhaust_the_stack() {
    let lists = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        format!(r#"{{"model":"m","messages":{lists}}}"#),
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":{lists}}}]}}"#),
        format!(
            r#"{{"model":"m","messages":[],"tools":[{{"type":"function","function":{{"name":"f","parameters":{lists}}}}}]}}"#
        ),
        format!(r#"{{"id":"x","message":{{"content":{lists}}}}}"#),
        format!("data: {{\"type\":\"message-start\",\"delta\":{lists}}}\n\n"),
        lists,
    ] {
        try_everything(body.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn converting_usage_there_and_back_changes_no_number(
        (input, other_output) in (0..1_u64 << 50, 0..1_u64 << 50),
        (read, write, reasoning, image) in (count(), count(), count(), count()),
        origin in prop::sample::select(OTHERS.to_vec()),
    ) {
        let usage = Usage {
            input, cache_read: read, cache_write: write, reasoning,
            output: other_output + reasoning.unwrap_or(0),
            input_image: image.map(|image| image.min(input)),
            ..Usage::default()
        };
        let mut losses = Losses::new();
        let body = encode_response(&response(origin, usage.clone()), &mut losses);
        let again = decode_response(std::str::from_utf8(&body).unwrap()).unwrap().usage.unwrap();
        prop_assert_eq!(again.input_total(), usage.input_total());
        prop_assert_eq!(again.total(), usage.total());
        // What is written to a cache has no place of its own, counts as fresh input, and that is told.
        let written = write.unwrap_or(0);
        prop_assert_eq!(again.input, usage.input + written);
        prop_assert_eq!(losses.is_empty(), written == 0);
        let numbers = |usage: &Usage| (usage.output, usage.reasoning, usage.cache_read, usage.input_image);
        prop_assert_eq!(numbers(&again), numbers(&usage));
    }

    #[test]
    fn what_cohere_billed_reaches_the_other_dialects_and_comes_back(
        (billed_in, billed_out, free_in, free_out) in (0..1_u64 << 50, 0..1_u64 << 50, 0..1_u64 << 20, 0..1_u64 << 20),
        (cached, reasoning) in (count(), count()),
        other in prop::sample::select(OTHERS.to_vec()),
    ) {
        let tokens_in = billed_in + free_in;
        let cached = cached.map(|cached| cached.min(tokens_in));
        let reasoning = reasoning.map(|reasoning| reasoning.min(billed_out));
        let member = |name: &str, count: Option<u64>| count.map_or(String::new(), |count| format!(r#","{name}":{count}"#));
        let body = format!(
            r#"{{"id":"a","finish_reason":"COMPLETE","message":{{"role":"assistant","content":[{{"type":"text","text":"a"}}]}},"usage":{{"billed_units":{{"input_tokens":{billed_in},"output_tokens":{billed_out}}},"tokens":{{"input_tokens":{tokens_in},"output_tokens":{}{}}}{}}}}}"#,
            billed_out + free_out,
            member("reasoning_tokens", reasoning),
            member("cached_tokens", cached),
        );
        let own = decode_response(&body).unwrap();
        let repeated = encode_response(&own, &mut Losses::new());
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&repeated).unwrap(), serde_json::from_str::<serde_json::Value>(&body).unwrap());
        let there = codec::encode_response(other, &own, &AnswerStyle::default(), &mut Losses::new());
        let there = codec::decode_response(other, std::str::from_utf8(&there).unwrap()).unwrap();
        let back = encode_response(&there, &mut Losses::new());
        let back = decode_response(std::str::from_utf8(&back).unwrap()).unwrap().usage.unwrap();
        prop_assert_eq!((back.input_total(), back.output), (billed_in, billed_out));
        let own = own.usage.unwrap();
        prop_assert_eq!((own.input_total(), own.output), (billed_in, billed_out));
        prop_assert_eq!(back.cache_read.unwrap_or(0), own.cache_read.unwrap_or(0));
        prop_assert_eq!(back.reasoning.unwrap_or(0), own.reasoning.unwrap_or(0));
    }

    #[test]
    fn decoders_do_not_panic_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        try_everything(&bytes);
    }

    #[test]
    fn recordings_with_a_byte_changed_do_not_panic(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        static BODIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let mut bodies: Vec<Vec<u8>> = recordings()
                .iter()
                .flat_map(|recording| [recording.bytes("request.json"), recording.bytes("response.json"), recording.bytes("response.sse")])
                .flatten()
                .filter(|body| body.len() < 20_000)
                .collect();
            bodies.push(b"{}".to_vec());
            bodies
        });
        let mut body = which.get(&BODIES).clone();
        let at = at.index(body.len());
        body[at] = byte;
        try_everything(&body);
    }

    #[test]
    fn any_cuts_of_a_stream_give_the_same_events(cuts in proptest::collection::vec(1_usize..80, 1..200)) {
        static STREAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
            recordings()
                .iter()
                .filter_map(|recording| recording.bytes("response.sse"))
                .min_by_key(|stream| stream.len().abs_diff(4000))
                .unwrap_or_else(|| b"data: {\"type\":\"message-start\"}\n\ndata: {\"type\":\"message-end\"}\n\n".to_vec())
        });
        let mut pieces = Vec::new();
        let mut rest = STREAM.as_slice();
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        let whole = decode_of(COHERE, [STREAM.as_slice()]);
        prop_assert!(whole.result.is_ok());
        prop_assert!(decode_of(COHERE, pieces) == whole);
    }
}
