//! Recordings of real traffic and what the tests of this dialect share.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;
use tollgate_dialects::Capabilities;
use tollgate_dialects::canonical::{DecodeError, Delta, Event};
use tollgate_dialects::openai_chat::StreamDecoder;

/// One recorded exchange.
pub(crate) struct Recording {
    pub(crate) name: String,
    folder: PathBuf,
}

impl Recording {
    pub(crate) fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(file)).ok()
    }

    /// The stream as server-sent events; recordings of bare chunks get their framing back.
    pub(crate) fn stream(&self) -> Option<String> {
        self.read("response.sse").or_else(|| {
            let chunks = self.read("response.chunks.jsonl")?;
            let events: String = chunks.lines().map(|chunk| format!("data: {chunk}\n\n")).collect();
            Some(format!("{events}data: [DONE]\n\n"))
        })
    }

    pub(crate) fn status(&self) -> u16 {
        let meta: Value = serde_json::from_str(&self.read("meta.json").unwrap()).unwrap();
        meta["status"]
            .as_u64()
            .map_or(200, |status| u16::try_from(status).unwrap())
    }
}

/// All recordings of this dialect; empty (with a notice) on a machine that does not have them.
pub(crate) fn recordings() -> Vec<Recording> {
    recordings_of("openai-chat")
}

/// All recordings of a dialect, by the name of its folder.
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
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        max_output_tokens: None,
        sampling: true,
        adaptive_thinking: false,
        budget_thinking: false,
        thinking_always_on: false,
        reasoning: true,
        efforts: None,
        forced_tool_use: true,
        assistant_prefill: true,
        mid_conversation_system: true,
        native_structured_output: true,
        thinking_levels: false,
        json_schema: true,
    }
}

pub(crate) fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
}

/// Compares two documents and tells the first place where they differ.
pub(crate) fn assert_json_eq(actual: &Value, expected: &Value, name: &str) {
    if let Some(place) = difference(actual, expected, "") {
        panic!("{name}: {place}");
    }
}

fn difference(actual: &Value, expected: &Value, path: &str) -> Option<String> {
    match (actual, expected) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys());
            keys.filter(|key| a.get(*key) != b.get(*key)).find_map(|key| {
                let path = format!("{path}.{key}");
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => difference(a, b, &path),
                    (a, b) => Some(format!("{path}: {a:?} instead of {b:?}")),
                }
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(i, (a, b))| difference(a, b, &format!("{path}[{i}]"))),
        (a, b) if a == b => None,
        (a, b) => Some(format!("{path}: {a} instead of {b}")),
    }
}

/// An event that borrows from nothing.
pub(crate) fn owned(event: &Event<'_>) -> Event<'static> {
    match event.clone() {
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

/// Reads a stream fed in these pieces: the events, and how it ended.
pub(crate) fn try_decode_stream(pieces: &[&[u8]]) -> (Vec<Event<'static>>, Result<(), DecodeError>) {
    let mut decoder = StreamDecoder::new(1 << 20);
    let mut events = Vec::new();
    let mut result = Ok(());
    for piece in pieces {
        result = result.and_then(|()| decoder.feed(piece, &mut |event| events.push(owned(&event))));
    }
    result = result.and_then(|()| decoder.finish(&mut |event| events.push(owned(&event))));
    (events, result)
}

pub(crate) fn decode_stream(stream: &str) -> Vec<Event<'static>> {
    let (events, result) = try_decode_stream(&[stream.as_bytes()]);
    result.unwrap_or_else(|error| panic!("{error}\n{stream}"));
    events
}

/// Checks the order that `Event` promises.
pub(crate) fn check_order(events: &[Event<'_>]) -> Result<(), String> {
    #[derive(Default)]
    struct Choice {
        open: BTreeSet<usize>,
        next: usize,
        stopped: bool,
    }
    let mut started = false;
    let mut over = false;
    let mut choices: BTreeMap<u64, Choice> = BTreeMap::new();
    for (i, event) in events.iter().enumerate() {
        let wrong = |what: &str| Err(format!("event {i}: {what}: {event:?}"));
        if over {
            return wrong("after the end");
        }
        match event {
            Event::Start { .. } if started => return wrong("a second start"),
            Event::Start { .. } => started = true,
            Event::Ping | Event::Error(_) => over = matches!(event, Event::Error(_)),
            _ if !started => return wrong("before the start"),
            Event::PartStart { choice, part, .. } => {
                let state = choices.entry(*choice).or_default();
                if state.stopped || *part != state.next {
                    return wrong("part out of order");
                }
                state.next += 1;
                state.open.insert(*part);
            }
            Event::PartDelta { choice, part, delta } => {
                if !choices.entry(*choice).or_default().open.contains(part) {
                    return wrong("piece of a part that is not open");
                }
                let empty = match delta {
                    Delta::Text(text)
                    | Delta::Reasoning(text)
                    | Delta::Signature(text)
                    | Delta::Arguments(text) => text.is_empty(),
                    Delta::Opaque(_) => false,
                };
                if empty {
                    return wrong("empty piece");
                }
            }
            Event::PartStop { choice, part } => {
                if !choices.entry(*choice).or_default().open.remove(part) {
                    return wrong("stop of a part that is not open");
                }
            }
            Event::Stop { choice, .. } => {
                let state = choices.entry(*choice).or_default();
                if state.stopped || !state.open.is_empty() {
                    return wrong("stop with open parts, or twice");
                }
                state.stopped = true;
            }
            Event::End => {
                if choices.values().any(|choice| !choice.stopped) {
                    return wrong("end before every choice has stopped");
                }
                over = true;
            }
            Event::Usage(_) | Event::Opaque { .. } => {}
        }
    }
    Ok(())
}
