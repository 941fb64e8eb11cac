//! Paths of fields: `messages[user].content[text].text`. In brackets stands the kind of an element, its `type` or `role`, or
//! a member that it has; `[*]` and `[]` are any element.

use serde_json::{Map, Value};

/// One step into a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'p> {
    Member(&'p str),
    Element(&'p str),
}

pub fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for piece in path.split_inclusive(']').flat_map(|piece| piece.split('.')) {
        let (name, kind) = match piece.split_once('[') {
            Some((name, kind)) => (name, Some(kind.trim_end_matches(']'))),
            None => (piece, None),
        };
        if !name.is_empty() {
            steps.push(Step::Member(name));
        }
        steps.extend(kind.map(Step::Element));
    }
    steps
}

/// `a[text].b[12]` as `a[].b[]`.
pub fn without_kinds(path: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in path.chars() {
        inside = c == '[' || inside && c != ']';
        if !inside || c == '[' {
            out.push(c);
        }
    }
    out
}

/// Whether `path` is `outer` or within it.
pub fn is_within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || outer.is_empty() || rest.starts_with(['.', '[']))
}

/// The document with a value at a path. An element that the path ends with is added to its list.
pub fn with(document: &Value, path: &str, value: &Value) -> Option<Value> {
    let steps = steps(path);
    [false, true].into_iter().find_map(|create| {
        let mut changed = document.clone();
        set(&mut changed, &steps, value, create).then_some(changed)
    })
}

fn set(place: &mut Value, steps: &[Step<'_>], value: &Value, create: bool) -> bool {
    match steps {
        [] => {
            *place = value.clone();
            true
        }
        [Step::Member(name)] => match place.as_object_mut() {
            Some(object) => {
                object.insert((*name).to_owned(), value.clone());
                true
            }
            None => false,
        },
        [Step::Member(name), rest @ ..] => {
            let Some(object) = place.as_object_mut() else {
                return false;
            };
            if create && !object.contains_key(*name) {
                let empty = match rest.first() {
                    Some(Step::Element(_)) => Value::Array(Vec::new()),
                    _ => Value::Object(Map::new()),
                };
                object.insert((*name).to_owned(), empty);
            }
            object
                .get_mut(*name)
                .is_some_and(|inner| set(inner, rest, value, create))
        }
        [Step::Element(_)] => match place.as_array_mut() {
            Some(list) => {
                list.push(value.clone());
                true
            }
            None => false,
        },
        [Step::Element(kind), rest @ ..] => place
            .as_array_mut()
            .into_iter()
            .flatten()
            .filter(|element| is_of_kind(element, kind))
            .any(|element| set(element, rest, value, create)),
    }
}

fn is_of_kind(element: &Value, kind: &str) -> bool {
    let is = |name: &str| element.get(name).and_then(Value::as_str) == Some(kind);
    matches!(kind, "" | "*") || is("role") || is("type") || element.get(kind).is_some()
}

/// What stands at a path, in all elements.
pub fn values<'v>(document: &'v Value, path: &[Step<'_>]) -> Vec<&'v Value> {
    match path {
        [] => vec![document],
        [Step::Member(name), rest @ ..] => document
            .get(*name)
            .map_or_else(Vec::new, |inner| values(inner, rest)),
        [Step::Element(kind), rest @ ..] => document
            .as_array()
            .into_iter()
            .flatten()
            .filter(|element| is_of_kind(element, kind))
            .flat_map(|element| values(element, rest))
            .collect(),
    }
}

/// Takes away what stands at a path, in all elements.
pub fn remove(document: &mut Value, path: &[Step<'_>]) {
    match path {
        [] => {}
        [Step::Member(name)] => {
            if let Some(object) = document.as_object_mut() {
                object.remove(*name);
            }
        }
        [Step::Member(name), rest @ ..] => {
            if let Some(inner) = document.get_mut(*name) {
                remove(inner, rest);
            }
        }
        [Step::Element(kind)] => {
            if let Some(list) = document.as_array_mut() {
                list.retain(|element| !is_of_kind(element, kind));
            }
        }
        [Step::Element(kind), rest @ ..] => document
            .as_array_mut()
            .into_iter()
            .flatten()
            .filter(|element| is_of_kind(element, kind))
            .for_each(|element| remove(element, rest)),
    }
}

/// The places in which two documents differ, without numbers of elements, as far outside as they differ as a whole.
pub fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(before, after, "", &mut found);
    found.sort();
    found.dedup();
    found
}

/// The only member within the only member within …
fn innermost(mut path: String, value: Option<&Value>) -> String {
    let mut inside = value.and_then(Value::as_object);
    while let Some(object) = inside {
        let mut members = object.iter();
        let (Some((name, value)), None) = (members.next(), members.next()) else {
            break;
        };
        path = format!("{path}.{name}");
        inside = value.as_object();
    }
    path
}

fn compare(before: &Value, after: &Value, path: &str, found: &mut Vec<String>) {
    if before == after {
        return;
    }
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                match (before.get(name), after.get(name)) {
                    (Some(before), Some(after)) => compare(before, after, &below(name), found),
                    (before, after) => found.push(innermost(below(name), before.or(after))),
                }
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (before, after) in before.iter().zip(after) {
                compare(before, after, &format!("{path}[]"), found);
            }
        }
        (Value::Array(_), Value::Array(_)) => found.push(format!("{path}[]")),
        _ => found.push(path.to_owned()),
    }
}
