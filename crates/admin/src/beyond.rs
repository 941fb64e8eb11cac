//! What the schemas of plugins have that APISIX's do not.

use serde_json::{Map, Value};

/// Marks what APISIX does not have: `true` in the schema of a field, a list of words beside an `enum`; or, as an object,
/// what APISIX demands beyond it.
const MARK: &str = "x-beyond-apisix";

/// Takes out of a schema what APISIX does not have: descriptions, and what is marked.
pub(crate) fn leave_out(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.retain(|name, value| {
                (name != "description" || !value.is_string()) && value.get(MARK) != Some(&Value::Bool(true))
            });
            apply(members);
            members.values_mut().for_each(leave_out);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out),
        _ => {}
    }
}

/// Applies the mark of a schema that stays.
fn apply(members: &mut Map<String, Value>) {
    match members.remove(MARK) {
        Some(Value::Array(ours)) => {
            if let Some(Value::Array(words)) = members.get_mut("enum") {
                words.retain(|word| !ours.contains(word));
            }
        }
        Some(Value::Object(theirs)) => members.extend(theirs),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::leave_out;

    #[test]
    fn what_is_marked_goes_wherever_it_is() {
        let mut schema = json!({
            "type": "object",
            "properties": {
                "mode": {
                    "type": "string", "enum": ["a", "b", "c"], "x-beyond-apisix": ["b", "c"], "description": "how",
                },
                "description": {"type": "string"},
                "list": {"type": "array", "items": {"type": "object", "properties": {
                    "theirs": {"type": "integer"},
                    "ours": {"type": "integer", "x-beyond-apisix": true},
                }, "x-beyond-apisix": {"required": ["theirs"]}}},
            },
        });
        leave_out(&mut schema);
        let expected = json!({
            "type": "object",
            "properties": {
                "mode": {"type": "string", "enum": ["a"]},
                "description": {"type": "string"},
                "list": {"type": "array", "items": {"type": "object", "properties": {
                    "theirs": {"type": "integer"},
                }, "required": ["theirs"]}},
            },
        });
        assert_eq!(schema, expected);
    }
}
