//! Configuration text as a tree that knows its lines.
//!
//! A file is read into a [`Node`] tree first, then into typed values. This split gives what neither step gives alone: the
//! types stay plain serde types, every mistake has a path and a line, and all mistakes are found in one go.

mod json;
mod node;
mod path;
mod read;
mod yaml;

pub(crate) use json::parse_json;
pub(crate) use node::{Entry, Item, Node, Value};
pub(crate) use path::Path;
pub(crate) use read::{Fault, FaultKind, read_all};
pub(crate) use yaml::parse_yaml;

/// Largest configuration file, in bytes. A thousand models with all their settings take about a third of it.
pub(crate) const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Deepest nesting of a configuration file. Ours need about eight levels; options may carry a JSON schema.
const MAX_DEPTH: usize = 64;

/// A text that is no tree at all: bad syntax, or beyond a limit.
pub(crate) struct SyntaxError {
    pub(crate) line: Option<usize>,
    pub(crate) text: String,
}

impl SyntaxError {
    /// The error of a text that is longer than [`MAX_FILE_BYTES`]; `None` when it is not.
    fn too_long(text: &str) -> Option<SyntaxError> {
        (text.len() > MAX_FILE_BYTES).then(|| SyntaxError {
            line: None,
            text: format!(
                "the file has {} bytes, more than the {MAX_FILE_BYTES} allowed",
                text.len()
            ),
        })
    }
}
