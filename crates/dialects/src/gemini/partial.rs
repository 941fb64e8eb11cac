//! Arguments of a call that come in pieces: `partialArgs`, each a value at a path such as `$.place.names[0]`.

use crate::json::Raw;

use super::fields::open;
use crate::canonical::{DecodeError, Ext};
use crate::json::{RawJson, write_string};

/// Deepest path that is followed.
const MAX_DEPTH: usize = 32;

/// The arguments as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    root: Vec<(String, Value)>,
    held_bytes: usize,
}

/// Most bytes of pieces that are put together.
const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug)]
enum Value {
    Object(Vec<(String, Value)>),
    List(Vec<Value>),
    /// A text that may go on.
    Text(String),
    /// Any other value, as JSON.
    Raw(String),
}

impl Arguments {
    /// Takes one element of `partialArgs`.
    ///
    /// # Errors
    /// The path is none, or leads through a value of another kind.
    pub(super) fn add(&mut self, raw: Raw<'_>) -> Result<(), DecodeError> {
        const PATH: &str = "functionCall.partialArgs";
        self.held_bytes = self.held_bytes.saturating_add(raw.get().len());
        if self.held_bytes > MAX_HELD_BYTES {
            return Err(DecodeError::new(PATH, "are more than can be put together"));
        }
        let (mut piece, nulls) = open(raw.get(), PATH)?;
        let path = piece.require_string("jsonPath")?;
        let value = if let Some(text) = piece.take_string("stringValue")? {
            Value::Text(text)
        } else if let Some(number) = piece.take_number("numberValue")? {
            Value::Raw(number.text().to_owned())
        } else if let Some(value) = piece.take_bool("boolValue")? {
            Value::Raw(value.to_string())
        } else if piece.has("nullValue") || nulls.get("nullValue").is_some() {
            Value::Raw("null".to_owned())
        } else {
            // A piece that says only that more will come.
            return Ok(());
        };
        self.set(&path, value)
            .ok_or_else(|| DecodeError::new(PATH, "a path that leads nowhere"))
    }

    fn set(&mut self, path: &str, value: Value) -> Option<()> {
        let steps = steps(path)?;
        let (Step::Name(first), rest) = steps.split_first()? else {
            return None;
        };
        let mut place = member(&mut self.root, first, rest.first());
        for (i, step) in rest.iter().enumerate() {
            let next = rest.get(i + 1);
            place = match (place, step) {
                (Value::Object(members), Step::Name(name)) => member(members, name, next),
                (Value::List(elements), Step::Index(index)) => {
                    if *index == elements.len() {
                        elements.push(begin(next));
                    }
                    elements.get_mut(*index)?
                }
                _ => return None,
            };
        }
        match (place, value) {
            (Value::Text(text), Value::Text(more)) => text.push_str(&more),
            (place, value) => *place = value,
        }
        Some(())
    }

    /// The arguments as JSON.
    pub(super) fn json(&self) -> String {
        let mut out = Vec::new();
        write_members(&mut out, &self.root);
        String::from_utf8(out).unwrap_or_default()
    }

    /// The arguments that a call names whole, with what came in pieces added.
    pub(super) fn over(&self, whole: Option<Raw<'_>>) -> String {
        let Some(whole) = whole else { return self.json() };
        if self.root.is_empty() {
            return whole.get().to_owned();
        }
        let pieces = RawJson::parse(&self.json()).ok();
        let members = |text: &str| {
            crate::json::Object::parse(text, "")
                .map(crate::json::Object::into_ext)
                .unwrap_or_default()
        };
        let mut all = members(whole.get());
        for (name, raw) in pieces.map(|raw| members(raw.text())).unwrap_or_default().0 {
            all.0.retain(|(key, _)| *key != name);
            all.0.push((name, raw));
        }
        RawJson::object(&Ext(all.0)).text().to_owned()
    }
}

#[derive(Debug, PartialEq)]
enum Step {
    Name(String),
    Index(usize),
}

/// `$.a[0]['b c']` as its steps.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() && steps.len() <= MAX_DEPTH {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at_checked(end)?;
            steps.push(Step::Name(name.to_owned()));
            rest = after;
        } else {
            let (inside, after) = rest.strip_prefix('[')?.split_once(']')?;
            let quoted = inside
                .strip_prefix('\'')
                .and_then(|name| name.strip_suffix('\''))
                .or_else(|| inside.strip_prefix('"').and_then(|name| name.strip_suffix('"')));
            steps.push(match quoted {
                Some(name) => Step::Name(name.to_owned()),
                None => Step::Index(inside.parse().ok()?),
            });
            rest = after;
        }
    }
    (rest.is_empty() && !steps.is_empty()).then_some(steps)
}

fn member<'v>(members: &'v mut Vec<(String, Value)>, name: &str, next: Option<&Step>) -> &'v mut Value {
    let position = match members.iter().position(|(key, _)| key == name) {
        Some(position) => position,
        None => {
            members.push((name.to_owned(), begin(next)));
            members.len() - 1
        }
    };
    &mut members[position].1
}

/// The empty value that the next step leads into.
fn begin(next: Option<&Step>) -> Value {
    match next {
        Some(Step::Name(_)) => Value::Object(Vec::new()),
        Some(Step::Index(_)) => Value::List(Vec::new()),
        None => Value::Text(String::new()),
    }
}

fn write_members(out: &mut Vec<u8>, members: &[(String, Value)]) {
    out.push(b'{');
    for (i, (name, value)) in members.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_value(out, value);
    }
    out.push(b'}');
}

/// Writes a value; paths are short, so this ends.
fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Object(members) => write_members(out, members),
        Value::List(elements) => {
            out.push(b'[');
            for (i, element) in elements.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(out, element);
            }
            out.push(b']');
        }
        Value::Text(text) => write_string(out, text),
        Value::Raw(raw) => out.extend_from_slice(raw.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(pieces: &[&str]) -> Result<String, DecodeError> {
        let mut arguments = Arguments::default();
        for piece in pieces {
            arguments.add(serde_json::from_str(piece).unwrap())?;
        }
        Ok(arguments.json())
    }

    #[test]
    fn values_stand_where_their_paths_say() {
        let pieces = [
            r#"{"jsonPath":"$.place","stringValue":"Bos","willContinue":true}"#,
            r#"{"json_path":"$.place","string_value":"ton"}"#,
            r#"{"jsonPath":"$.list[0].a","numberValue":1.50}"#,
            r#"{"jsonPath":"$.list[1]['b c']","boolValue":true}"#,
            r#"{"jsonPath":"$.none","nullValue":null}"#,
            r#"{"jsonPath":"$.later","willContinue":true}"#,
        ];
        assert_eq!(
            collected(&pieces).unwrap(),
            r#"{"place":"Boston","list":[{"a":1.50},{"b c":true}],"none":null}"#
        );
    }

    #[test]
    fn paths_that_lead_nowhere_are_errors() {
        for path in ["place", "$", "$.a[7]", "$.a[x]", "$[0]", "$.a[0"] {
            let piece = format!(r#"{{"jsonPath":"{path}","stringValue":"x"}}"#);
            assert!(collected(&[&piece]).is_err(), "{path}");
        }
        let through = [
            r#"{"jsonPath":"$.a","stringValue":"x"}"#,
            r#"{"jsonPath":"$.a.b","stringValue":"x"}"#,
        ];
        assert!(collected(&through).is_err());
    }
}
