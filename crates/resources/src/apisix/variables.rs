//! Environment variables in APISIX's files: `${{NAME}}` and `${{NAME:=default}}`.
//!
//! APISIX replaces them at two times, and so do we. In `config.yaml` and in JSON they are replaced in keys and values of
//! the parsed file, so that nothing in a value can change the structure of the file. In `apisix.yaml` they are replaced in
//! the text before it is parsed, so that quotes decide about the type.

use super::Env;
use crate::report::quote;
use crate::tree::{Entry, Item, Node, Path, Value};

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

/// Longest name and default together, in bytes.
const MAX_INSIDE: usize = 4096;

/// A variable that cannot be replaced: it is not set and has no default, has no usable name, or makes a key appear twice.
pub(super) struct Undefined {
    pub(super) line: usize,
    pub(super) path: Path,
    pub(super) text: String,
}

/// A text with its variables replaced.
pub(super) struct Replaced {
    pub(super) text: String,
    /// For each line of the new text, the line of the old text that it comes from, counted from 1.
    lines: Vec<usize>,
}

impl Replaced {
    /// The line of the file that a line of the new text comes from.
    pub(super) fn line(&self, line: usize) -> usize {
        line.checked_sub(1)
            .and_then(|index| self.lines.get(index).copied())
            .unwrap_or(line)
    }
}

/// Replaces the variables in a text.
pub(super) fn in_text(text: &str, env: Env<'_>) -> Result<Replaced, Vec<Undefined>> {
    let mut replaced = String::with_capacity(text.len());
    let mut lines = vec![1];
    let mut undefined = Vec::new();
    let mut line = 1;
    for piece in (Pieces { rest: text }) {
        match piece {
            Piece::Text(text) => {
                for _ in text.matches('\n') {
                    line += 1;
                    lines.push(line);
                }
                replaced.push_str(text);
            }
            Piece::Variable(inside) => match look_up(inside, env) {
                Ok(value) => {
                    lines.extend(value.matches('\n').map(|_| line));
                    replaced.push_str(&value);
                }
                Err(text) => undefined.push(Undefined {
                    line,
                    path: Path::root(),
                    text,
                }),
            },
        }
    }
    if undefined.is_empty() {
        Ok(Replaced {
            text: replaced,
            lines,
        })
    } else {
        Err(undefined)
    }
}

/// What becomes of a text that is all or partly a variable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Typing {
    /// It stays text.
    Text,
    /// It becomes the number or truth value that it looks like.
    Inferred,
}

/// Replaces the variables in the keys and values of a tree.
pub(super) fn in_tree(tree: Node, typing: Typing, env: Env<'_>) -> Result<Node, Vec<Undefined>> {
    let mut undefined = Vec::new();
    let tree = node(tree, &Path::root(), typing, env, &mut undefined);
    if undefined.is_empty() {
        Ok(tree)
    } else {
        Err(undefined)
    }
}

fn node(tree: Node, path: &Path, typing: Typing, env: Env<'_>, undefined: &mut Vec<Undefined>) -> Node {
    let line = tree.line;
    let value = match tree.value {
        Value::Text(text) => match scalar(&text, line, path, env, undefined) {
            None => Value::Text(text),
            Some(text) if typing == Typing::Inferred => inferred(text),
            Some(text) => Value::Text(text),
        },
        Value::List(items) => Value::List(
            items
                .into_iter()
                .map(|item| Item {
                    index: item.index,
                    node: node(item.node, &path.index(item.index), typing, env, undefined),
                })
                .collect(),
        ),
        Value::Map(entries) => {
            let mut map: Vec<Entry> = Vec::with_capacity(entries.len());
            let mut seen = std::collections::HashSet::new();
            for entry in entries {
                let path = path.key(&entry.key);
                let key = scalar(&entry.key, entry.line, &path, env, undefined).unwrap_or(entry.key);
                let node = node(entry.node, &path, typing, env, undefined);
                if !seen.insert(key.clone()) {
                    undefined.push(Undefined {
                        line: entry.line,
                        path,
                        text: "duplicate key once its variables are replaced".to_owned(),
                    });
                    continue;
                }
                map.push(Entry {
                    key,
                    line: entry.line,
                    node,
                });
            }
            Value::Map(map)
        }
        other => other,
    };
    Node { line, value }
}

/// The text with its variables replaced; `None` when it has none.
fn scalar(
    text: &str,
    line: usize,
    path: &Path,
    env: Env<'_>,
    undefined: &mut Vec<Undefined>,
) -> Option<String> {
    if !text.contains(OPEN) {
        return None;
    }
    let mut replaced = String::new();
    let mut found = false;
    for piece in (Pieces { rest: text }) {
        match piece {
            Piece::Text(text) => replaced.push_str(text),
            Piece::Variable(inside) => {
                found = true;
                match look_up(inside, env) {
                    Ok(value) => replaced.push_str(&value),
                    Err(text) => undefined.push(Undefined {
                        line,
                        path: path.clone(),
                        text,
                    }),
                }
            }
        }
    }
    found.then_some(replaced)
}

/// A number or truth value, when the text is written exactly as one; `007` stays text, lest a key lose its zeros.
fn inferred(text: String) -> Value {
    match text.as_str() {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    match serde_json::from_str::<serde_json::Number>(&text) {
        // The parser skips spaces; a text with spaces is no number.
        Ok(number) if text.trim() == text => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), _, _) => Value::Unsigned(number),
            (_, Some(number), _) => Value::Signed(number),
            (_, _, Some(number)) if text.contains(['.', 'e', 'E']) => Value::Float(number),
            _ => Value::Text(text),
        },
        _ => Value::Text(text),
    }
}

/// The value of a variable, from what stands inside its braces.
fn look_up(inside: &str, env: Env<'_>) -> Result<String, String> {
    let (name, default) = match inside.split_once(":=") {
        Some((name, default)) => (name.trim(), Some(default.trim())),
        None => (inside.trim(), None),
    };
    if !name.bytes().all(is_of_name) {
        return Err(format!(
            "`{}` is no name of an environment variable; write `${{{{NAME}}}}` or `${{{{NAME:=default}}}}`",
            quote(name)
        ));
    }
    env(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| {
        format!(
            "environment variable {} is not set; set it, or write `${{{{{}:=default}}}}`",
            quote(name),
            quote(name)
        )
    })
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

enum Piece<'a> {
    Text(&'a str),
    /// What stands between the braces.
    Variable(&'a str),
}

/// Cuts a text at its variables. Braces that hold no beginning of a name, or do not end
/// soon on the same line, are text.
struct Pieces<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        if let Some((inside, rest)) = variable(self.rest) {
            self.rest = rest;
            return Some(Piece::Variable(inside));
        }
        // The first character is text even if it is `$`, else this would not come to an end.
        let after_first = self.rest.chars().next().map_or(0, char::len_utf8);
        let end = self
            .rest
            .get(after_first..)
            .and_then(|rest| rest.find(OPEN))
            .map_or(self.rest.len(), |at| after_first + at);
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(Piece::Text(text))
    }
}

/// What stands inside the variable that the text begins with, and the text after it.
fn variable(text: &str) -> Option<(&str, &str)> {
    let after = text.strip_prefix(OPEN)?;
    // Looked for nearby only, so that many openings without an end are not searched to the end of the file each.
    // A character has up to four bytes, so one of these cuts is between two.
    let nearby = (0..4)
        .find_map(|back| after.get(..MAX_INSIDE - back))
        .unwrap_or(after);
    let (inside, _) = nearby.split_once(CLOSE)?;
    if inside.contains('\n') {
        return None;
    }
    let inside_trimmed = inside.trim_start();
    if !inside_trimmed.bytes().next().is_some_and(is_of_name) {
        return None;
    }
    let rest = after.get(inside.len() + CLOSE.len()..)?;
    Some((inside, rest))
}
