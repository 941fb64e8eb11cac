//! Gemini's own kind of schema as JSON Schema: types in small letters, `nullable` as a type, bounds as numbers.

use crate::json::Raw;

use super::fields::camel_case;
use crate::canonical::Ext;
use crate::json::{Object, RawJson};

/// Deepest nesting that is looked at.
const MAX_DEPTH: usize = 64;

/// The same schema as JSON Schema. What is JSON Schema already stays byte by byte.
pub(super) fn to_json_schema(schema: &RawJson) -> RawJson {
    convert(schema.text(), 0).unwrap_or_else(|| schema.clone())
}

/// The converted schema, or `None` if it may stay as it is.
fn convert(text: &str, depth: usize) -> Option<RawJson> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut object = Object::parse(text, "").ok()?;
    let respelled = object.respell(|name| {
        if name.starts_with('$') {
            None
        } else {
            camel_case(name)
        }
    });
    let before = Object::parse(text, "").ok()?.into_ext();
    respelled.ok()?;
    let mut members = object.into_ext();
    let mut changed = members.iter().zip(before.iter()).any(|(new, old)| new.0 != old.0);
    let nullable = members.get("nullable").is_some_and(|raw| raw.text() == "true");
    let has_type = members.get("type").is_some_and(|raw| raw.as_string().is_some());
    let mut kept = Vec::with_capacity(members.0.len());
    for (name, raw) in std::mem::take(&mut members.0) {
        let new = match name.as_str() {
            // Said by the order of the properties.
            "propertyOrdering" => None,
            "nullable" if has_type || !nullable => None,
            "type" => match type_of(&raw, nullable) {
                Type::Kept => Some((name, raw)),
                Type::New(new) => {
                    changed = true;
                    Some((name, new))
                }
                Type::Nothing => None,
            },
            "example" => Some(("examples".to_owned(), RawJson::array([raw.text()]))),
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => {
                let number = raw.as_string().and_then(|text| RawJson::parse(&text).ok());
                changed |= number.is_some();
                Some((name, number.unwrap_or(raw)))
            }
            "defs" => Some(("$defs".to_owned(), map(raw.text(), depth).unwrap_or(raw))),
            "ref" => Some(("$ref".to_owned(), raw)),
            "properties" | "$defs" | "definitions" => {
                let new = map(raw.text(), depth);
                changed |= new.is_some();
                Some((name, new.unwrap_or(raw)))
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => {
                let new = list(raw.text(), depth);
                changed |= new.is_some();
                Some((name, new.unwrap_or(raw)))
            }
            "items" | "additionalProperties" => {
                let new = convert(raw.text(), depth + 1);
                changed |= new.is_some();
                Some((name, new.unwrap_or(raw)))
            }
            _ => Some((name, raw)),
        };
        let gone = new.is_none();
        if let Some((name, raw)) = new {
            changed |= matches!(name.as_str(), "examples" | "$defs" | "$ref") && before.get(&name).is_none();
            kept.push((name, raw));
        }
        changed |= gone;
    }
    changed.then(|| RawJson::object(&Ext(kept)))
}

enum Type {
    Kept,
    New(RawJson),
    Nothing,
}

fn type_of(raw: &RawJson, nullable: bool) -> Type {
    let Some(word) = raw.as_string() else {
        return Type::Kept;
    };
    let small = word.to_ascii_lowercase();
    match small.as_str() {
        "type_unspecified" => Type::Nothing,
        _ if nullable => Type::New(RawJson::array([RawJson::string(&small).text(), "\"null\""])),
        _ if small != word => Type::New(RawJson::string(&small)),
        _ => Type::Kept,
    }
}

fn map(text: &str, depth: usize) -> Option<RawJson> {
    let mut members = Object::parse(text, "").ok()?.into_ext();
    let mut changed = false;
    for (_, raw) in &mut members.0 {
        if let Some(new) = convert(raw.text(), depth + 1) {
            *raw = new;
            changed = true;
        }
    }
    changed.then(|| RawJson::object(&members))
}

fn list(text: &str, depth: usize) -> Option<RawJson> {
    let elements: Vec<Raw<'_>> = serde_json::from_str(text).ok()?;
    let new: Vec<Option<RawJson>> = elements
        .iter()
        .map(|element| convert(element.get(), depth + 1))
        .collect();
    new.iter().any(Option::is_some).then(|| {
        RawJson::array(
            new.iter()
                .zip(&elements)
                .map(|(new, old)| new.as_ref().map_or(old.get(), RawJson::text)),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(schema: &str) -> String {
        to_json_schema(&RawJson::parse(schema).unwrap()).text().to_owned()
    }

    #[test]
    fn json_schema_stays_byte_by_byte() {
        let schema =
            r#"{ "type": "object", "properties": {"a_b": {"type": ["string", "null"]}}, "$defs": {} }"#;
        assert_eq!(converted(schema), schema);
    }

    #[test]
    fn geminis_own_words_become_those_of_json_schema() {
        assert_eq!(
            converted(
                r#"{"type":"OBJECT","properties":{"a_b":{"type":"STRING","nullable":true,"max_length":"5"},
                    "c":{"type":"ARRAY","items":{"type":"INTEGER"},"example":[1]}},"propertyOrdering":["a_b","c"],
                    "any_of":[{"type":"NUMBER"},{}],"nullable":false}"#
            ),
            r#"{"type":"object","properties":{"a_b":{"type":["string","null"],"maxLength":5},"c":{"type":"array","items":{"type":"integer"},"examples":[[1]]}},"anyOf":[{"type":"number"},{}]}"#
        );
        assert_eq!(converted(r#"{"type":"TYPE_UNSPECIFIED"}"#), "{}");
    }
}
