//! `${NAME}` in the values of a file, replaced by environment variables.

use crate::tree::{Node, Path, Value};

/// What stands before a reference that is meant literally: `\${NAME}` is the text `${NAME}`.
const ESCAPE: &str = "\\";

/// Replaces the references in every text of the tree; keys are left alone. Calls `mistake` for what is wrong: variables
/// that are not set, and numbers that JSON cannot write.
pub(super) fn replace(
    node: &mut Node,
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    mistake: &mut dyn FnMut(&Path, String),
) {
    match &mut node.value {
        Value::Text(text) => {
            if text.contains("${") {
                *text = replaced(text, env, &mut |name| {
                    mistake(
                        path,
                        format!(
                            "environment variable {name} is not set; to mean the text itself, write \\${{{name}}}"
                        ),
                    );
                });
            }
        }
        Value::List(items) => {
            for item in items {
                replace(&mut item.node, &path.index(item.index), env, mistake);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                replace(&mut entry.node, &path.key(&entry.key), env, mistake);
            }
        }
        Value::Float(value) if !value.is_finite() => {
            mistake(path, "a number that JSON cannot write".to_owned());
        }
        Value::Null | Value::Bool(_) | Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) => {}
    }
}

/// Makes every reference in a text literal, so that reading it gives the text again.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = next_reference(rest) {
        out.push_str(before);
        out.push_str(ESCAPE);
        out.push_str("${");
        out.push_str(name);
        out.push('}');
        rest = after;
    }
    out.push_str(rest);
    out
}

fn replaced(text: &str, env: &dyn Fn(&str) -> Option<String>, missing: &mut dyn FnMut(&str)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = next_reference(rest) {
        match before.strip_suffix(ESCAPE) {
            Some(before) => {
                out.push_str(before);
                out.push_str("${");
                out.push_str(name);
                out.push('}');
            }
            None => {
                out.push_str(before);
                match env(name) {
                    Some(value) => out.push_str(&value),
                    None => missing(name),
                }
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The first `${NAME}` of a text: what is before it, the name, what is after it. A name is made of ASCII letters, digits
/// and `_`; anything else in braces is no reference.
fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let start = from + text.get(from..)?.find("${")?;
        let tail = text.get(start + 2..)?;
        let end = tail
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(tail.len());
        let (name, after) = tail.split_at(end);
        match after.strip_prefix('}') {
            Some(after) if !name.is_empty() => return Some((text.get(..start)?, name, after)),
            _ => from = start + 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("1".to_owned()),
            "NESTED" => Some("${A}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn read(text: &str) -> (String, Vec<String>) {
        let mut missing = Vec::new();
        let out = replaced(text, &env, &mut |name| missing.push(name.to_owned()));
        (out, missing)
    }

    #[test]
    fn references_are_replaced_wherever_they_stand() {
        for (text, expected) in [
            ("${A}", "1"),
            ("Bearer ${A}${A} x", "Bearer 11 x"),
            ("${EMPTY}-", "-"),
            ("$A {A} ${} ${A-B} ${A", "$A {A} ${} ${A-B} ${A"),
            ("${${A}}", "${1}"),
            ("${NESTED}", "${A}"),
            ("\\${A}", "${A}"),
            ("\\\\${A}", "\\${A}"),
            ("ü${A}ü", "ü1ü"),
        ] {
            assert_eq!(read(text), (expected.to_owned(), vec![]), "{text}");
        }
    }

    #[test]
    fn every_missing_variable_is_named() {
        assert_eq!(read("${X}${A}${Y}").1, ["X", "Y"]);
    }

    #[test]
    fn an_escaped_text_reads_as_itself() {
        for text in ["${A}", "\\${A}", "$${A}}", "plain", "${A ${B}", "\\\\${A}\\"] {
            assert_eq!(read(&escaped(text)).0, text);
        }
    }
}
