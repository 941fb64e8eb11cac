//! The Gemini dialect: recordings, translations, streams, errors, and what holds for all bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod answers;
mod cross;
mod errors;
mod options;
mod properties;
mod recordings;
mod requests;
mod streams;

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;
use tollgate_dialects::canonical::{Collector, DecodeError, Delta, Event, Request, Response};
use tollgate_dialects::codec::{self, AnswerStyle, StreamDecoder, StreamEncoder};
use tollgate_dialects::{Capabilities, Dialect, Losses, Target};

/// Events above this are refused in tests.
const MAX_EVENT: usize = 4 << 20;

/// One recorded exchange.
#[derive(Clone)]
struct Recording {
    name: String,
    folder: PathBuf,
}

impl Recording {
    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(file)).ok()
    }

    fn status(&self) -> u16 {
        let meta: Value = serde_json::from_str(&self.read("meta.json").unwrap()).unwrap();
        meta["status"]
            .as_u64()
            .map_or(200, |status| u16::try_from(status).unwrap())
    }

    fn request(&self) -> Option<String> {
        self.read("request.json")
    }

    /// A whole answer that was no error.
    fn answer(&self) -> Option<String> {
        self.read("response.json")
            .filter(|body| self.status() == 200 && !body.starts_with('['))
    }

    /// The stream as it came, or as server-sent events where only its documents were recorded.
    fn stream(&self) -> Option<String> {
        if let Some(stream) = self.read("response.sse") {
            return Some(stream);
        }
        if let Some(chunks) = self.read("response.chunks.jsonl") {
            return Some(chunks.lines().map(|chunk| format!("data: {chunk}\n\n")).collect());
        }
        self.read("response.json").filter(|body| body.starts_with('['))
    }
}

/// All recordings of this dialect; empty (with a notice) on a machine that does not have them.
fn recordings() -> Vec<Recording> {
    recordings_of("gemini-generate")
}

fn recordings_of(dialect: &str) -> Vec<Recording> {
    let root = env::var_os("TOLLGATE_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    let Ok(providers) = fs::read_dir(&root) else {
        assert!(env::var_os("CI").is_none(), "no recordings at {}", root.display());
        println!("no recordings at {}: nothing tested", root.display());
        return Vec::new();
    };
    let mut found = Vec::new();
    for provider in providers.flatten() {
        let Ok(cases) = fs::read_dir(provider.path().join(dialect)) else {
            continue;
        };
        for case in cases.flatten().filter(|case| case.path().is_dir()) {
            found.push(Recording {
                name: format!(
                    "{}/{}",
                    provider.file_name().display(),
                    case.file_name().display()
                ),
                folder: case.path(),
            });
        }
    }
    assert!(
        !found.is_empty(),
        "no recordings of {dialect} at {}",
        root.display()
    );
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn json(text: impl AsRef<[u8]>) -> Value {
    let text = text.as_ref();
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
}

/// Compares two documents and tells the first place where they differ.
#[track_caller]
fn assert_json_eq(actual: &Value, expected: &Value, name: &str) {
    if let Some(place) = difference(actual, expected, "") {
        panic!("{name}: {place}");
    }
}

fn difference(actual: &Value, expected: &Value, path: &str) -> Option<String> {
    match (actual, expected) {
        (Value::Object(a), Value::Object(b)) => a.keys().chain(b.keys()).find_map(|key| {
            let path = format!("{path}.{key}");
            match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) => difference(a, b, &path),
                (a, b) => Some(format!("{path}: {a:?} instead of {b:?}")),
            }
        }),
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(i, (a, b))| difference(a, b, &format!("{path}[{i}]"))),
        (a, b) if a == b => None,
        (a, b) => Some(format!("{path}: {a} instead of {b}")),
    }
}

fn target<'a>(model: &'a str, capabilities: &'a Capabilities) -> Target<'a> {
    Target {
        model,
        capabilities,
        default_max_output_tokens: None,
    }
}

/// A request of this dialect, read.
fn decoded(request: Value) -> Request {
    codec::decode_request(Dialect::Gemini, &request.to_string()).unwrap()
}

/// The messages of a client that asks for one thing.
fn asks(text: &str) -> Value {
    serde_json::json!([{"role": "user", "content": text}])
}

/// A request of one dialect as another one has it, and the losses as `field=effect`.
fn translate_for(
    from: Dialect,
    to: Dialect,
    request: &Value,
    capabilities: &Capabilities,
) -> (Value, Vec<String>) {
    let request = codec::decode_request(from, &request.to_string()).unwrap();
    let mut losses = Losses::new();
    let body = codec::encode_request(to, &request, &target("m", capabilities), &mut losses);
    (json(body), names(&losses))
}

fn translate(from: Dialect, to: Dialect, request: &Value) -> (Value, Vec<String>) {
    translate_for(from, to, request, &Capabilities::default())
}

/// An answer of one dialect as another one has it, and the losses.
fn answer(from: Dialect, to: Dialect, answer: &Value) -> (Value, Vec<String>) {
    let response = codec::decode_response(from, &answer.to_string()).unwrap();
    let mut losses = Losses::new();
    let body = codec::encode_response(to, &response, &AnswerStyle::default(), &mut losses);
    (json(body), names(&losses))
}

/// The losses as `field=effect`.
fn names(losses: &Losses) -> Vec<String> {
    losses
        .iter()
        .map(|loss| format!("{}={}", loss.field, loss.effect.name()))
        .collect()
}

/// What a stream decoded to.
#[derive(Debug, PartialEq)]
struct Decoded {
    events: Vec<Event<'static>>,
    result: Result<(), DecodeError>,
}

fn decode_pieces<'a>(dialect: Dialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = StreamDecoder::new(dialect, MAX_EVENT);
    let mut events = Vec::new();
    let mut sink = |event: Event<'_>| events.push(owned(event));
    for piece in pieces {
        if let Err(error) = decoder.feed(piece, &mut sink) {
            return Decoded {
                events,
                result: Err(error),
            };
        }
    }
    let result = decoder.finish(&mut sink);
    // A cut may set a LF apart from its CR, which is one more sign of life.
    events.retain(|event| *event != Event::Ping);
    Decoded { events, result }
}

fn decode(stream: &str) -> Decoded {
    decode_pieces(Dialect::Gemini, [stream.as_bytes()])
}

fn encode(dialect: Dialect, events: &[Event<'_>], style: &AnswerStyle) -> (String, Vec<String>) {
    let mut encoder = StreamEncoder::new(dialect, style);
    let mut out = Vec::new();
    let mut losses = Losses::new();
    for event in events {
        encoder.encode(event, &mut losses, &mut out);
    }
    (String::from_utf8(out).unwrap(), names(&losses))
}

/// The documents of a stream of server-sent events.
fn documents(stream: &str) -> Vec<Value> {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(json)
        .collect()
}

fn collect(events: &[Event<'_>]) -> Response {
    let mut collector = Collector::new();
    events.iter().for_each(|event| collector.push(event));
    collector.finish()
}

/// An event that borrows from nothing.
fn owned(event: Event<'_>) -> Event<'static> {
    match event {
        Event::PartDelta { choice, part, delta } => {
            let delta = match delta {
                Delta::Text(text) => Delta::Text(text.into_owned().into()),
                Delta::Reasoning(text) => Delta::Reasoning(text.into_owned().into()),
                Delta::Signature(text) => Delta::Signature(text.into_owned().into()),
                Delta::Arguments(text) => Delta::Arguments(text.into_owned().into()),
                Delta::Opaque(raw) => Delta::Opaque(raw),
            };
            Event::PartDelta { choice, part, delta }
        }
        Event::Start {
            origin,
            id,
            model,
            created,
            service_tier,
            ext,
        } => Event::Start {
            origin,
            id,
            model,
            created,
            service_tier,
            ext,
        },
        Event::PartStart { choice, part, kind } => Event::PartStart { choice, part, kind },
        Event::PartStop { choice, part } => Event::PartStop { choice, part },
        Event::Stop { choice, stop } => Event::Stop { choice, stop },
        Event::Usage(usage) => Event::Usage(usage),
        Event::Error(error) => Event::Error(error),
        Event::Ping => Event::Ping,
        Event::Opaque { field, raw } => Event::Opaque { field, raw },
        Event::End => Event::End,
    }
}
