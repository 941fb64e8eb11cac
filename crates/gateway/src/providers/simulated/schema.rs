//! Makes up a value that follows a JSON schema: for tool arguments and structured answers.

use serde_json::{Map, Value, json};

/// Deepest level of the made-up value; recursive schemas end here.
const MAX_DEPTH: usize = 8;

/// A value that follows `schema`. `text` is used for strings without further rules.
pub fn example(schema: &Value, text: &str) -> Value {
    value(schema, schema, text, 0)
}

fn value(root: &Value, schema: &Value, text: &str, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    if let Some(fixed) = schema
        .get("const")
        .or_else(|| schema.get("enum").and_then(|list| list.get(0)))
    {
        return fixed.clone();
    }
    if let Some(pointer) = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| reference.strip_prefix('#'))
    {
        return root
            .pointer(pointer)
            .map_or(Value::Null, |target| value(root, target, text, depth + 1));
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(choice).and_then(|list| list.get(0)) {
            return value(root, first, text, depth + 1);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds
            .iter()
            .filter_map(Value::as_str)
            .find(|kind| *kind != "null")
            .unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ => "string",
    };
    match kind {
        "object" => object(root, schema, text, depth),
        "array" => {
            let item = schema
                .get("items")
                .map_or(json!(text), |items| value(root, items, text, depth + 1));
            let length = schema
                .get("minItems")
                .and_then(Value::as_u64)
                .unwrap_or(1)
                .clamp(1, 8);
            Value::Array(vec![item; usize::try_from(length).unwrap_or(1)])
        }
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!(text),
    }
}

fn object(root: &Value, schema: &Value, text: &str, depth: usize) -> Value {
    let mut object = Map::new();
    for (name, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        object.insert(name.clone(), value(root, property, text, depth + 1));
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::example;
    use serde_json::json;

    #[test]
    fn every_property_is_filled_by_its_type() {
        let schema = json!({"type": "object", "properties": {
            "city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}, "unit": {"enum": ["c", "f"]},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}}, "note": {"type": ["null", "string"]},
        }, "$defs": {"tag": {"type": "boolean"}}});
        let made = example(&schema, "Paris");
        assert_eq!(
            made,
            json!({"city": "Paris", "days": 2, "unit": "c", "tags": [true], "note": "Paris"})
        );
    }

    #[test]
    fn a_recursive_schema_ends() {
        let schema = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        assert!(example(&schema, "x").to_string().len() < 200);
    }
}
