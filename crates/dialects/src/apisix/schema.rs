//! A JSON schema as OpenAI's strict mode wants it: every object closed, every property required.

use crate::json::Raw;

use crate::canonical::Ext;
use crate::json::{Object, RawJson};

/// The schema with every object in it closed and all of its properties required, in alphabetical order.
pub(super) fn strict(schema: Raw<'_>) -> RawJson {
    walk(schema.get(), 0).unwrap_or_else(|| RawJson::from(schema))
}

/// The changed schema; `None` if it stays as it is.
fn walk(text: &str, depth: usize) -> Option<RawJson> {
    if depth > MAX_DEPTH {
        return None;
    }
    let object = Object::parse(text, "").ok()?;
    let properties = object
        .peek("properties")
        .and_then(|raw| Object::parse(raw.get(), "").ok());
    let is_object = object.peek("type").is_some_and(|kind| kind.get() == "\"object\"");
    let mut members = object.into_ext();
    let mut changed = false;
    if let Some(properties) = properties.filter(|_| is_object) {
        let mut properties = properties.into_ext();
        walk_values(&mut properties, depth);
        let mut names: Vec<&str> = properties.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let names: Vec<RawJson> = names.into_iter().map(RawJson::string).collect();
        set(
            &mut members,
            "required",
            RawJson::array(names.iter().map(RawJson::text)),
        );
        set(&mut members, "properties", RawJson::object(&properties));
        if let Ok(closed) = RawJson::parse("false") {
            set(&mut members, "additionalProperties", closed);
        }
        changed = true;
    }
    for (key, raw) in &mut members.0 {
        let new = match key.as_str() {
            "items" => walk(raw.text(), depth + 1),
            "anyOf" | "oneOf" | "allOf" => walk_list(raw.text(), depth),
            "$defs" | "definitions" => Object::parse(raw.text(), "").ok().and_then(|object| {
                let mut definitions = object.into_ext();
                walk_values(&mut definitions, depth).then(|| RawJson::object(&definitions))
            }),
            _ => None,
        };
        if let Some(new) = new {
            *raw = new;
            changed = true;
        }
    }
    changed.then(|| RawJson::object(&members))
}

/// Changes the values of an object whose values are schemas; says whether there was a change.
fn walk_values(schemas: &mut Ext, depth: usize) -> bool {
    let mut changed = false;
    for (_, raw) in &mut schemas.0 {
        if let Some(new) = walk(raw.text(), depth + 1) {
            *raw = new;
            changed = true;
        }
    }
    changed
}

fn walk_list(text: &str, depth: usize) -> Option<RawJson> {
    let raw: Raw<'_> = serde_json::from_str(text).ok()?;
    let elements = serde_json::from_str::<Vec<Raw<'_>>>(raw.get()).ok()?;
    let new: Vec<RawJson> = elements
        .into_iter()
        .map(|element| walk(element.get(), depth + 1).unwrap_or_else(|| RawJson::from(element)))
        .collect();
    Some(RawJson::array(new.iter().map(RawJson::text)))
}

fn set(members: &mut Ext, name: &str, value: RawJson) {
    match members.0.iter_mut().find(|(key, _)| key == name) {
        Some((_, old)) => *old = value,
        None => members.0.push((name.to_owned(), value)),
    }
}

/// Deepest nesting that is looked at; the provider refuses deeper schemas anyway.
const MAX_DEPTH: usize = 64;
