//! What reading and writing costs, by dialect, and what translating costs, by pair.
//!
//!     cargo bench -p tollgate-dialects
//!
//! Streams are answers of many small pieces of text, as models send them: per event is the figure that matters. They are fed
//! in chunks of a few events, and measured at two lengths: what is allocated must not grow faster than the length.
#![expect(clippy::expect_used, reason = "a bench fails by panicking")]

use std::borrow::Cow;
use std::fmt;

use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use serde_json::json;
use tollgate_dialects::canonical::{Delta, Event, Ext, PartKind, Stop, StopReason, Usage};
use tollgate_dialects::codec::{self, AnswerStyle, StreamDecoder, StreamEncoder};
use tollgate_dialects::{Capabilities, Dialect, Losses, Target};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// Lengths of streams, in pieces of text.
const LENGTHS: [usize; 2] = [1_000, 10_000];
/// How the bytes of a stream arrive.
const CHUNK_BYTES: usize = 1024;
const MAX_EVENT_BYTES: usize = 1 << 20;
const TURNS: usize = 50;

fn main() {
    divan::main();
}

/// From one dialect to another, by name in the table.
#[derive(Clone, Copy)]
struct Pair(Dialect, Dialect);

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.0, self.1)
    }
}

fn pairs() -> Vec<Pair> {
    let others = |from| Dialect::ALL.into_iter().filter(move |to| *to != from);
    Dialect::ALL
        .into_iter()
        .flat_map(|from| others(from).map(move |to| Pair(from, to)))
        .collect()
}

#[divan::bench(args = Dialect::ALL, consts = LENGTHS)]
fn decode_stream<const PIECES: usize>(bencher: Bencher<'_, '_>, dialect: Dialect) {
    let bytes = stream(dialect, PIECES);
    bencher
        .counter(ItemsCount::new(PIECES))
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| decode(dialect, &bytes, &mut |event| drop(black_box(event))));
}

#[divan::bench(args = Dialect::ALL, consts = LENGTHS)]
fn encode_stream<const PIECES: usize>(bencher: Bencher<'_, '_>, dialect: Dialect) {
    let events = events(PIECES);
    bencher.counter(ItemsCount::new(PIECES)).bench_local(|| {
        let mut out = Vec::with_capacity(CHUNK_BYTES);
        let mut encoder = StreamEncoder::new(dialect, &AnswerStyle::default());
        let mut losses = Losses::new();
        for event in &events {
            encoder.encode(event, &mut losses, &mut out);
            black_box(&out);
            out.clear();
        }
    });
}

#[divan::bench(args = pairs(), consts = LENGTHS)]
fn translate_stream<const PIECES: usize>(bencher: Bencher<'_, '_>, pair: Pair) {
    let bytes = stream(pair.0, PIECES);
    bencher.counter(ItemsCount::new(PIECES)).bench_local(|| {
        let mut out = Vec::with_capacity(CHUNK_BYTES);
        let mut encoder = StreamEncoder::new(pair.1, &AnswerStyle::default());
        let mut losses = Losses::new();
        decode(pair.0, &bytes, &mut |event| {
            encoder.encode(&event, &mut losses, &mut out);
            black_box(&out);
            out.clear();
        });
    });
}

#[divan::bench(args = Dialect::ALL)]
fn decode_request(bencher: Bencher<'_, '_>, dialect: Dialect) {
    let body = request(dialect);
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| codec::decode_request(dialect, &body).expect("our own request can be read"));
}

#[divan::bench(args = Dialect::ALL)]
fn encode_request(bencher: Bencher<'_, '_>, dialect: Dialect) {
    let size = request(dialect).len();
    let request = codec::decode_request(dialect, &request(dialect)).expect("our own request can be read");
    let capabilities = Capabilities::default();
    bencher
        .counter(BytesCount::new(size))
        .bench(|| codec::encode_request(dialect, &request, &target(&capabilities), &mut Losses::new()));
}

#[divan::bench(args = pairs())]
fn translate_request(bencher: Bencher<'_, '_>, pair: Pair) {
    let body = request(pair.0);
    let capabilities = Capabilities::default();
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let request = codec::decode_request(pair.0, &body).expect("our own request can be read");
        codec::encode_request(pair.1, &request, &target(&capabilities), &mut Losses::new())
    });
}

fn decode(dialect: Dialect, bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) {
    let mut decoder = StreamDecoder::new(dialect, MAX_EVENT_BYTES);
    for chunk in bytes.chunks(CHUNK_BYTES) {
        decoder.feed(chunk, sink).expect("our own stream can be read");
    }
    decoder.finish(sink).expect("our own stream is complete");
}

/// A streamed answer of so many pieces of text.
fn stream(dialect: Dialect, pieces: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let style = AnswerStyle {
        include_usage: true,
        ..AnswerStyle::default()
    };
    let mut encoder = StreamEncoder::new(dialect, &style);
    for event in events(pieces) {
        encoder.encode(&event, &mut Losses::new(), &mut out);
    }
    out
}

fn events(pieces: usize) -> Vec<Event<'static>> {
    let mut events = vec![
        Event::Start {
            origin: Dialect::OpenaiChat,
            id: "answer-1".to_owned(),
            model: "some-model".to_owned(),
            created: Some(1_760_000_000),
            service_tier: None,
            ext: Ext::default(),
        },
        Event::PartStart {
            choice: 0,
            part: 0,
            kind: PartKind::Text,
        },
    ];
    events.extend((0..pieces).map(|_| Event::PartDelta {
        choice: 0,
        part: 0,
        delta: Delta::Text(Cow::Borrowed(" \"token\"")),
    }));
    events.extend([
        Event::PartStop { choice: 0, part: 0 },
        Event::Stop {
            choice: 0,
            stop: Stop {
                reason: StopReason::End,
                ..Stop::default()
            },
        },
        Event::Usage(Usage {
            input: 1_000,
            output: pieces as u64,
            ..Usage::default()
        }),
        Event::End,
    ]);
    events
}

/// A conversation with tools, as agents have it.
fn request(dialect: Dialect) -> String {
    let mut messages = vec![json!({"role": "system", "content": "You are helpful.\n".repeat(50)})];
    for turn in 0..TURNS {
        let id = format!("call_{turn}");
        messages.extend([
            json!({"role": "user", "content": format!("What is the weather in \"city {turn}\"? {}", "Think. ".repeat(20))}),
            json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function",
                "function": {"name": "get_weather", "arguments": format!("{{\"city\": \"city {turn}\", \"days\": 3}}")}}]}),
            json!({"role": "tool", "tool_call_id": id, "content": "{\"forecast\": \"rain\"}".repeat(10)}),
            json!({"role": "assistant", "content": "It rains. ".repeat(20)}),
        ]);
    }
    messages.push(json!({"role": "user", "content": "And tomorrow?"}));
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"], "additionalProperties": false});
    let body = json!({
        "model": "some-model",
        "messages": messages,
        "max_completion_tokens": 1000,
        "temperature": 0.5,
        "tools": [{"type": "function", "function":
            {"name": "get_weather", "description": "The weather.", "parameters": schema}}],
    })
    .to_string();
    if dialect == Dialect::OpenaiChat {
        return body;
    }
    let request = codec::decode_request(Dialect::OpenaiChat, &body).expect("the request is good");
    let capabilities = Capabilities::default();
    let written = codec::encode_request(dialect, &request, &target(&capabilities), &mut Losses::new());
    String::from_utf8(written).expect("JSON is UTF-8")
}

fn target(capabilities: &Capabilities) -> Target<'_> {
    Target {
        model: "some-model",
        capabilities,
        default_max_output_tokens: Some(1000),
    }
}
