//! JSON schemas of the configurations, as APISIX's `/schema` shows them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{AiProxyConf, AiProxyMultiConf};

/// The schema of `ai-proxy`.
pub fn schemas() -> Value {
    schema_of::<AiProxyConf>()
}

/// The schema of `ai-proxy-multi`.
pub fn multi_schema() -> Value {
    schema_of::<AiProxyMultiConf>()
}

/// The schema of `ai-proxy` as it was in APISIX 3.11, for configurations of which [`super::is_legacy`] is true. Unlike
/// there, `stream` and `max_tokens` have no defaults that would change requests.
pub fn legacy_schema() -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let names: Vec<&str> = super::Provider::all().map(super::Provider::name).collect();
    let endpoint = json!({"type": "object", "properties": {"endpoint": {"type": "string", "minLength": 1}}});
    json!({
        "type": "object",
        "properties": {
            "auth": {
                "type": "object",
                "properties": {"header": texts, "query": texts},
                "additionalProperties": false,
            },
            "model": {
                "type": "object",
                "properties": {
                    "provider": {"type": "string", "enum": names},
                    "name": {"type": "string"},
                    "options": {
                        "type": "object",
                        "properties": {
                            "max_tokens": {"type": "integer"},
                            "input_cost": {"type": "number", "minimum": 0},
                            "output_cost": {"type": "number", "minimum": 0},
                            "temperature": {"type": "number", "minimum": 0, "maximum": 5},
                            "top_p": {"type": "number", "minimum": 0, "maximum": 1},
                            "stream": {"type": "boolean"},
                        },
                    },
                    "override": endpoint,
                },
                "required": ["provider"],
            },
            "override": endpoint,
            "passthrough": {"type": "boolean", "default": false},
            "timeout": {"type": "integer", "minimum": 1, "maximum": 60_000, "default": 3_000},
            "keepalive": {"type": "boolean", "default": true},
            "keepalive_timeout": {"type": "integer", "minimum": 1_000, "default": 60_000},
            "keepalive_pool": {"type": "integer", "minimum": 1, "default": 30},
            "ssl_verify": {"type": "boolean", "default": true},
        },
        "required": ["model", "auth"],
    })
}

/// Texts by name.
pub(super) fn texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "patternProperties": {"^[a-zA-Z0-9._-]+$": {"type": "string"}},
    })
}

/// Statuses that stand for failures.
pub(super) fn statuses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "uniqueItems": true,
        "items": {"type": "integer", "minimum": 400, "maximum": 599},
    })
}

/// Statuses that checks look for.
pub(super) fn check_statuses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "uniqueItems": true,
        "items": {"type": "integer", "minimum": 200, "maximum": 599},
    })
}

/// Texts that stand for what an instance is for.
pub(super) fn examples(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 64,
        "items": {"type": "string", "minLength": 1},
    })
}

/// Methods of HTTP.
pub(super) fn methods(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "enum": ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"],
    })
}

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    plain(&mut schema);
    schema
}

/// Takes out what Rust's types bring along and APISIX's schemas do not have: titles, formats, and `null` for fields that
/// may be absent.
fn plain(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Object(members) => {
            members.remove("format");
            if members.get("title").is_some_and(Value::is_string) {
                members.remove("title");
            }
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    members.insert("type".to_owned(), one);
                }
            }
            if members.get("default").is_some_and(Value::is_null) {
                members.remove("default");
            }
            if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
                choices.retain(|choice| choice != &json!({"type": "null"}));
                if let [Value::Object(one)] = choices.as_slice() {
                    let one = one.clone();
                    members.remove("anyOf");
                    members.extend(one);
                }
            }
            members.values_mut().for_each(plain);
        }
        _ => {}
    }
}
