//! Recordings of real traffic and what the tests of this dialect share.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod translate;

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;
use tollgate_dialects::anthropic_messages::{StreamDecoder, StreamEncoder, StreamStyle};
use tollgate_dialects::canonical::{
    Choice, DecodeError, Delta, Event, Ext, Part, Response, Stop, StopReason, Usage,
};
use tollgate_dialects::json::RawJson;
use tollgate_dialects::{Capabilities, Dialect, Losses, Target};

/// Events above this are refused in tests.
pub(crate) const MAX_EVENT: usize = 1 << 20;

/// One recorded exchange.
#[derive(Clone)]
pub(crate) struct Recording {
    pub(crate) name: String,
    folder: PathBuf,
}

impl Recording {
    pub(crate) fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(file)).ok()
    }

    pub(crate) fn is(&self, case: &str) -> bool {
        self.name.ends_with(case)
    }

    /// The request. Vertex and Bedrock tell the model in the address, so it is put back into the body, as the gateway does.
    pub(crate) fn request(&self) -> Option<String> {
        let body = self.read("request.json")?;
        let mut request: Value = serde_json::from_str(&body).unwrap();
        if request.get("model").is_some() {
            return Some(body);
        }
        request["model"] = "from-the-address".into();
        Some(request.to_string())
    }

    /// A whole answer that was no error.
    pub(crate) fn answer(&self) -> Option<String> {
        self.read("response.json").filter(|_| self.status() == 200)
    }

    /// The streams as server-sent events. Recordings of bare chunks get their framing back; some hold several answers.
    pub(crate) fn streams(&self) -> Vec<String> {
        if let Some(stream) = self.read("response.sse") {
            return vec![stream];
        }
        let mut streams: Vec<String> = Vec::new();
        for chunk in self.read("response.chunks.jsonl").unwrap_or_default().lines() {
            if chunk.contains(r#""type":"message_start""#) {
                streams.push(String::new());
            }
            streams
                .last_mut()
                .unwrap()
                .push_str(&format!("data: {chunk}\n\n"));
        }
        streams
    }

    /// Whether the recorded stream is one that ends well.
    pub(crate) fn is_whole(&self) -> bool {
        !self.is("authored-stream-cut") && !self.is("authored-stream-overloaded-midway")
    }

    pub(crate) fn status(&self) -> u16 {
        let meta: Value = serde_json::from_str(&self.read("meta.json").unwrap()).unwrap();
        meta["status"]
            .as_u64()
            .map_or(200, |status| u16::try_from(status).unwrap())
    }
}

/// All recordings of a dialect's folder; empty (with a notice) on a machine that does not have them.
pub(crate) fn recordings_of(dialect: &str) -> Vec<Recording> {
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
            let name = format!(
                "{}/{}",
                provider.file_name().display(),
                case.file_name().display()
            );
            found.push(Recording {
                name,
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

/// All recordings of this dialect.
pub(crate) fn recordings() -> Vec<Recording> {
    recordings_of("anthropic-messages")
}

/// A target that takes everything.
pub(crate) fn target<'a>(model: &'a str, capabilities: &'a Capabilities) -> Target<'a> {
    Target {
        model,
        capabilities,
        default_max_output_tokens: None,
    }
}

pub(crate) fn json(text: impl AsRef<[u8]>) -> Value {
    let text = text.as_ref();
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
}

/// Compares two documents and tells the first place where they differ.
#[track_caller]
pub(crate) fn assert_json_eq(actual: &Value, expected: &Value, name: &str) {
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

/// What a stream decoded to.
#[derive(Debug, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) events: Vec<Event<'static>>,
    pub(crate) result: Result<(), DecodeError>,
}

/// Decodes a stream that comes in these pieces.
pub(crate) fn decode_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = StreamDecoder::new(MAX_EVENT);
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
    Decoded { events, result }
}

pub(crate) fn decode(stream: &str) -> Decoded {
    decode_pieces([stream.as_bytes()])
}

/// Encodes events for a client of this dialect.
pub(crate) fn encode(events: &[Event<'_>], losses: &mut Losses) -> String {
    let mut encoder = StreamEncoder::new(StreamStyle::default());
    let mut out = Vec::new();
    for event in events {
        encoder.encode(event, losses, &mut out);
    }
    encoder.finish(losses, &mut out);
    String::from_utf8(out).unwrap()
}

/// The events of a stream as (name, data).
pub(crate) fn frames(stream: &str) -> Vec<(String, Value)> {
    stream
        .split("\n\n")
        .filter(|frame| !frame.is_empty())
        .map(|frame| {
            let (name, data) = frame.split_once('\n').unwrap();
            (
                name.strip_prefix("event: ").unwrap().to_owned(),
                json(data.strip_prefix("data: ").unwrap()),
            )
        })
        .collect()
}

/// The answer that events add up to.
pub(crate) fn collect(events: &[Event<'_>]) -> Response {
    let mut collector = tollgate_dialects::canonical::Collector::new();
    events.iter().for_each(|event| collector.push(event));
    collector.finish()
}

/// An event that borrows from nothing.
pub(crate) fn owned(event: Event<'_>) -> Event<'static> {
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

/// An answer of an OpenAI-type provider.
pub(crate) fn answer(parts: Vec<Part>, reason: StopReason) -> Response {
    Response {
        origin: Dialect::OpenaiChat,
        id: "chatcmpl-1".into(),
        model: "gpt".into(),
        created: Some(1),
        choices: vec![Choice {
            index: 0,
            parts,
            stop: Stop {
                reason,
                ..Stop::default()
            },
            logprobs: None,
            ext: Ext::default(),
            message_ext: Ext::default(),
        }],
        usage: Some(Usage {
            input: 10,
            cache_read: Some(4),
            output: 7,
            reasoning: Some(3),
            ..Usage::default()
        }),
        service_tier: Some("default".into()),
        ext: Ext(vec![("system_fingerprint".into(), RawJson::string("fp"))]),
    }
}

/// The losses as `field=effect`.
pub(crate) fn names(losses: &Losses) -> Vec<String> {
    losses
        .iter()
        .map(|loss| format!("{}={}", loss.field, loss.effect.name()))
        .collect()
}
