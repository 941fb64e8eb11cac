//! What the tests of all dialects share: recordings of real traffic, events, comparisons.
//!
//! `mod support;` in a file beside this folder, `#[path = "../support/mod.rs"] mod support;` in one that has a folder of its own.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "each test binary uses its part, and helpers of tests count as tests"
)]

mod events;
mod recordings;

pub(crate) use events::{Decoded, check_order, collect, decode_pieces, owned};
pub(crate) use recordings::{Recording, recordings_of, root};

use serde_json::Value;
use tollgate_dialects::{Capabilities, Losses, Target};

/// A target that does as its model's capabilities say.
pub(crate) fn target<'a>(model: &'a str, capabilities: &'a Capabilities) -> Target<'a> {
    Target {
        model,
        capabilities,
        default_max_output_tokens: None,
    }
}

/// The losses as `field=effect`.
pub(crate) fn names(losses: &Losses) -> Vec<String> {
    losses
        .iter()
        .map(|loss| format!("{}={}", loss.field, loss.effect.name()))
        .collect()
}

#[track_caller]
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
