//! The part of JSONPath that expressions use: `a.b`, `a[0]`, `a[*]`, `a.*`, `a['x']`, and once `..a`.
//!
//! A path never selects a value twice, so that selecting takes no longer than the document is large, whatever a client
//! sends.

use std::borrow::Cow;

use serde_json::Value;
use thiserror::Error;

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// The text cannot be read from this byte on.
    #[error("invalid path at byte {0}")]
    Syntax(usize),
    /// `..` more than once would take too long with large documents.
    #[error("only one .. is allowed in a path")]
    Deep,
}

/// Selects the values of a path, in the order of the document. A leading `$` may be left away.
///
/// # Errors
/// The path cannot be read.
pub fn select<'v>(document: &'v Value, path: &str) -> Result<Vec<&'v Value>, PathError> {
    let mut selected = vec![document];
    for step in parse(path)? {
        selected = step.follow(&selected);
    }
    Ok(selected)
}

/// The value of the variable `post_arg.<path>` for a body.
///
/// A plain path of names (`model`, `metadata.user`) gives the value there. A path with `[`, `*` or `..` gives a list of
/// all it selects. Nothing there gives nothing.
pub fn field<'v>(body: &'v Value, path: &str) -> Option<Cow<'v, Value>> {
    if is_plain(path) {
        return path
            .split('.')
            .try_fold(body, |value, name| value.as_object()?.get(name))
            .map(Cow::Borrowed);
    }
    let selected: Vec<Value> = select(body, path).ok()?.into_iter().cloned().collect();
    (!selected.is_empty()).then_some(Cow::Owned(Value::Array(selected)))
}

/// Whether [`field`] can read the path.
pub(super) fn check_field(path: &str) -> Result<(), PathError> {
    if is_plain(path) {
        return Ok(());
    }
    parse(path).map(|_| ())
}

fn is_plain(path: &str) -> bool {
    !path.contains(['[', '*']) && !path.contains("..")
}

#[derive(Debug, PartialEq, Eq)]
enum Step<'p> {
    Name(&'p str),
    Index(usize),
    All,
    /// The value and everything below it.
    Below,
}

impl Step<'_> {
    fn follow<'v>(&self, values: &[&'v Value]) -> Vec<&'v Value> {
        let mut found = Vec::new();
        for value in values {
            match self {
                Step::Name(name) => found.extend(value.get(name)),
                Step::Index(index) => found.extend(value.get(index)),
                Step::All => found.extend(children(value)),
                Step::Below => {
                    let mut open = vec![*value];
                    while let Some(value) = open.pop() {
                        found.push(value);
                        let from = open.len();
                        open.extend(children(value));
                        if let Some(new) = open.get_mut(from..) {
                            new.reverse();
                        }
                    }
                }
            }
        }
        found
    }
}

fn children(value: &Value) -> impl Iterator<Item = &Value> {
    let items = value.as_array().into_iter().flatten();
    items.chain(value.as_object().into_iter().flat_map(|object| object.values()))
}

fn parse(path: &str) -> Result<Vec<Step<'_>>, PathError> {
    let mut steps = Vec::new();
    let mut rest = path;
    // What may come next depends on what came before: a name needs a dot, except at the very beginning.
    let mut name_may_follow = true;
    if let Some(after) = rest.strip_prefix('$')
        && (after.is_empty() || after.starts_with(['.', '[']))
    {
        rest = after;
        name_may_follow = false;
    }
    while !rest.is_empty() {
        let wrong = PathError::Syntax(path.len() - rest.len());
        if let Some(after) = rest.strip_prefix("..") {
            if steps.contains(&Step::Below) {
                return Err(PathError::Deep);
            }
            steps.push(Step::Below);
            name_may_follow = true;
            // `..[0]` is as good as `..name`, but something must follow.
            if after.is_empty() || after.starts_with('.') {
                return Err(wrong);
            }
            rest = after;
        } else if let Some(after) = rest.strip_prefix('.').filter(|_| !name_may_follow) {
            if after.is_empty() || after.starts_with(['.', '[']) {
                return Err(wrong);
            }
            name_may_follow = true;
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (step, after) = bracket(after).ok_or(wrong)?;
            steps.push(step);
            name_may_follow = false;
            rest = after;
        } else if name_may_follow {
            let (name, after) = rest.split_at(rest.find(['.', '[', ']']).unwrap_or(rest.len()));
            steps.push(match name {
                "" => return Err(wrong),
                "*" => Step::All,
                name if name.contains('*') => return Err(wrong),
                name => Step::Name(name),
            });
            name_may_follow = false;
            rest = after;
        } else {
            return Err(wrong);
        }
    }
    Ok(steps)
}

/// Reads what stands between brackets, and the closing one.
fn bracket(text: &str) -> Option<(Step<'_>, &str)> {
    for quote in ['\'', '"'] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let (name, after) = quoted.split_once(quote)?;
            return Some((Step::Name(name), after.strip_prefix(']')?));
        }
    }
    let (inner, after) = text.split_once(']')?;
    if inner == "*" {
        return Some((Step::All, after));
    }
    let digits = !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_digit());
    let index = inner.parse().ok().filter(|_| digits)?;
    Some((Step::Index(index), after))
}

#[cfg(test)]
mod tests {
    use super::{PathError, field, select};
    use serde_json::{Value, json};

    fn document() -> Value {
        json!({
            "model": "m",
            "a": {"b": {"name": 1}, "name": 2},
            "odd.name": 3,
            "messages": [
                {"content": [{"type": "text"}, {"type": "image_url"}]},
                {"content": "plain"},
                {"content": [{"type": "text"}], "name": 4},
            ],
        })
    }

    #[test]
    fn paths_select_values_in_the_order_of_the_document() {
        let document = document();
        for (path, expected) in [
            ("model", json!(["m"])),
            ("$.model", json!(["m"])),
            ("$['model']", json!(["m"])),
            ("[\"odd.name\"]", json!([3])),
            ("a.b.name", json!([1])),
            (
                "messages[*].content[*].type",
                json!(["text", "image_url", "text"]),
            ),
            ("messages[0].content[1].type", json!(["image_url"])),
            ("messages[2]['name']", json!([4])),
            ("messages[3]", json!([])),
            (
                "messages[*].content[0]",
                json!([{"type": "text"}, {"type": "text"}]),
            ),
            ("a.*", json!([{"name": 1}, 2])),
            ("a..name", json!([2, 1])),
            ("..type", json!(["text", "image_url", "text"])),
            ("$..content[1].type", json!(["image_url"])),
            ("messages..[1].type", json!(["image_url"])),
            ("missing.name", json!([])),
            ("model.name", json!([])),
            ("model[0]", json!([])),
        ] {
            let selected: Vec<&Value> = select(&document, path).unwrap();
            assert_eq!(json!(selected), expected, "{path}");
        }
        assert_eq!(select(&document, "$").unwrap(), [&document]);
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (path, byte) in [
            ("messages[.content[*].type", 8),
            ("a[", 1),
            ("a[]", 1),
            ("a[-1]", 1),
            ("a[+1]", 1),
            ("a['b]", 1),
            ("a['b'", 1),
            ("a[0]b", 4),
            ("a]", 1),
            ("a.", 1),
            ("a..", 1),
            ("a...b", 1),
            ("a.[0]", 1),
            ("a.b*", 2),
            (".a[0]", 0),
        ] {
            assert_eq!(select(&Value::Null, path), Err(PathError::Syntax(byte)), "{path}");
        }
        assert_eq!(select(&Value::Null, "..a..b"), Err(PathError::Deep));
    }

    #[test]
    fn a_plain_path_gives_the_value_and_others_a_list() {
        let document = document();
        let get = |path| field(&document, path).map(std::borrow::Cow::into_owned);
        assert_eq!(get("model"), Some(json!("m")));
        assert_eq!(get("a.b"), Some(json!({"name": 1})));
        assert_eq!(get("messages.0"), None);
        assert_eq!(get("missing"), None);
        assert_eq!(get("model.name"), None);
        assert_eq!(get("messages[*].name"), Some(json!([4])));
        assert_eq!(get("messages[*].missing"), None);
        assert_eq!(get("messages[.name"), None);
    }
}
