//! The pages of `docs/dialects/` that are made from the code, and the tests that keep them true.
//!
//! Each request field of each dialect stands in an inventory (`data/fields/`) with a value. What becomes of it in the other
//! dialects is found by translating, never written down: a field that is neither told as a loss nor changes anything is a
//! silent loss, and fails. The recordings show the same: what does not survive the way there and back must have been told. `UPDATE=1 cargo test -p tollgate-dialects --test tables` writes the pages.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and say what they could not compare"
)]

mod classify;
mod facts;
mod inventory;
mod members;
mod page;
mod path;
mod recordings;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use tollgate_dialects::{Dialect, codec};

/// The dialects that are translated.
fn translated() -> Vec<Dialect> {
    Dialect::ALL
        .into_iter()
        .filter(|dialect| {
            let minimal = inventory::minimal(*dialect).to_string();
            codec::decode_request(*dialect, &minimal).is_ok()
        })
        .collect()
}

/// The name of a dialect in headings.
fn title(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat => "OpenAI Chat",
        Dialect::OpenaiResponses => "OpenAI Responses",
        Dialect::AnthropicMessages => "Anthropic",
        Dialect::Gemini => "Gemini",
        Dialect::BedrockConverse => "Bedrock Converse",
        Dialect::CohereChat => "Cohere",
    }
}

/// A file name part of a dialect.
fn slug(dialect: Dialect) -> String {
    dialect.name().replace('_', "-")
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/dialects")
}

/// Compares a page with what the code says; writes it where it is asked for.
fn check_page(name: &str, made: &str) {
    let file = docs().join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, made).unwrap();
        return;
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    if written == made {
        return;
    }
    let differs = written
        .lines()
        .zip(made.lines())
        .find(|(written, made)| written != made);
    panic!(
        "docs/dialects/{name} is not what the code says; UPDATE=1 cargo test -p tollgate-dialects \
         --test tables writes it. First difference: {differs:#?}"
    );
}
