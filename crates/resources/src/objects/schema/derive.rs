//! Schemas of plugins' configurations, made from their types and brought into APISIX's manner.

use schemars::generate::SchemaSettings;
use schemars::transform::{ReplacePrefixItems, Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

/// The JSON schema of a configuration type, as APISIX's plugins write theirs: draft-07 with everything in place (only a
/// type that contains itself is referred to), no titles and formats of Rust's making, and optional fields that may be absent
/// but not null.
pub fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut schema = generator.subschema_for::<T>();
    let definitions = generator.take_definitions(false);
    if !definitions.is_empty() {
        schema
            .ensure_object()
            .insert("definitions".into(), Value::Object(definitions));
    }
    ReplacePrefixItems::default().transform(&mut schema);
    plain(&mut schema);
    schema.to_value()
}

/// Adds what every plugin's schema has: the mark that says so and `_meta`, settings that the gateway reads itself.
pub fn with_meta(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$comment".into(), INJECTED_MARK.into());
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert("_meta".into(), meta());
        }
    }
    schema
}

fn meta() -> Value {
    json!({
        "type": "object",
        "properties": {
            "disable": {"type": "boolean"},
            "error_response": {"oneOf": [{"type": "string"}, {"type": "object"}]},
            "priority": {"description": "priority of plugins by customized order", "type": "integer"},
            "filter": {
                "description": "filter determines whether the plugin needs to be executed at runtime",
                "type": "array",
            },
            "pre_function": {
                "description": "function to be executed in each phase before execution of plugins. \
                                The pre_function will have access to two arguments: `conf` and `ctx`.",
                "type": "string",
            },
        },
        "additionalProperties": false,
    })
}

/// Takes away what the generator says and APISIX does not, from the leaves up.
fn plain(schema: &mut Schema) {
    transform_subschemas(&mut plain, schema);
    if schema.as_bool() == Some(true) {
        *schema = Schema::default();
        schema.ensure_object();
        return;
    }
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    schema.remove("format");
    let anything = |value: &Value| *value == json!({}) || *value == json!(true);
    if schema.get("additionalProperties").is_some_and(anything) {
        schema.remove("additionalProperties");
    }
    // Draft-07 has no word for "none but those of the branches", so an object with branches stays open here; reading it
    // into its type refuses what is unknown.
    let has_branches = ["oneOf", "anyOf", "allOf"]
        .iter()
        .any(|key| schema.contains_key(*key));
    if let Some(closed) = schema.remove("unevaluatedProperties")
        && !has_branches
    {
        schema.insert("additionalProperties".into(), closed);
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    drop_null(schema);
    for key in ["oneOf", "anyOf"] {
        name_choices(schema, key);
    }
    if schema.get("const").is_some_and(Value::is_string)
        && let Some(value) = schema.remove("const")
    {
        schema.insert("enum".into(), json!([value]));
    }
}

/// `Option<T>` becomes `T`.
fn drop_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(branches)) = schema.get_mut("anyOf") {
        let before = branches.len();
        branches.retain(|branch| *branch != json!({"type": "null"}));
        if branches.len() < before && branches.len() == 1 {
            let only = branches.remove(0);
            schema.remove("anyOf");
            merge(schema, only);
        }
    }
}

/// What the outer schema says of itself (a field's description, say) goes over what the inner one says.
fn merge(outer: &mut Map<String, Value>, inner: Value) {
    if let Value::Object(inner) = inner {
        for (key, value) in inner {
            outer.entry(key).or_insert(value);
        }
    }
}

/// A choice between names becomes one `enum`, whose refusal is worded better than that of a choice between schemas.
fn name_choices(schema: &mut Map<String, Value>, key: &str) {
    let Some(Value::Array(branches)) = schema.get(key) else {
        return;
    };
    let mut names = Vec::new();
    for branch in branches {
        let Some(Value::Array(values)) = branch.get("enum") else {
            return;
        };
        if branch.get("type") != Some(&json!("string")) {
            return;
        }
        names.extend(values.iter().cloned());
    }
    schema.remove(key);
    schema.insert("type".into(), json!("string"));
    schema.insert("enum".into(), Value::Array(names));
}

const INJECTED_MARK: &str = "this is a mark for our injected plugin schema";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Conf {
        /// Where to.
        endpoint: String,
        /// How often.
        #[serde(default = "three")]
        retries: u8,
        #[serde(default)]
        strategy: Option<Strategy>,
        limit: Option<Limit>,
        labels: Option<BTreeMap<String, String>>,
        any: Option<Value>,
        #[schemars(range(min = 1, max = 60))]
        timeout: Option<u32>,
        /// The one.
        #[serde(default)]
        or_text: Option<OrText>,
    }

    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Strategy {
        /// In turn.
        RoundRobin,
        Chash,
    }

    #[derive(JsonSchema, Serialize, Deserialize, Default)]
    struct Limit {
        format: String,
        pair: (u32, String),
    }

    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(untagged)]
    enum OrText {
        Text(String),
        Number(f64),
    }

    fn three() -> u8 {
        3
    }

    #[test]
    fn a_type_gives_a_schema_in_the_manner_of_apisix() {
        assert_eq!(
            of::<Conf>(),
            json!({
                "type": "object",
                "properties": {
                    "endpoint": {"type": "string", "description": "Where to."},
                    "retries": {
                        "type": "integer", "minimum": 0, "maximum": 255, "default": 3, "description": "How often.",
                    },
                    "strategy": {"type": "string", "enum": ["chash", "round_robin"]},
                    "limit": {
                        "type": "object",
                        "properties": {
                            "format": {"type": "string"},
                            "pair": {
                                "type": "array",
                                "items": [{"type": "integer", "minimum": 0}, {"type": "string"}],
                                "minItems": 2,
                                "maxItems": 2,
                            },
                        },
                        "required": ["format", "pair"],
                    },
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "any": {},
                    "timeout": {"type": "integer", "minimum": 1, "maximum": 60},
                    "or_text": {"description": "The one.", "anyOf": [{"type": "string"}, {"type": "number"}]},
                },
                "required": ["endpoint"],
                "additionalProperties": false,
            })
        );
    }

    #[test]
    fn every_plugin_has_meta_settings() {
        let schema = with_meta(json!({"type": "object", "properties": {"i": {"type": "number"}}}));
        assert_eq!(
            serde_json::to_string(&schema).unwrap(),
            concat!(
                r#"{"$comment":"this is a mark for our injected plugin schema","properties":{"_meta":{"#,
                r#""additionalProperties":false,"properties":{"disable":{"type":"boolean"},"error_response":"#,
                r#"{"oneOf":[{"type":"string"},{"type":"object"}]},"filter":{"description":"filter determines"#,
                r#" whether the plugin needs to be executed at runtime","type":"array"},"pre_function":"#,
                r#"{"description":"function to be executed in each phase before execution of plugins. The"#,
                r#" pre_function will have access to two arguments: `conf` and `ctx`.","type":"string"},"#,
                r#""priority":{"description":"priority of plugins by customized order","type":"integer"}},"#,
                r#""type":"object"},"i":{"type":"number"}},"type":"object"}"#
            )
        );
    }
}
