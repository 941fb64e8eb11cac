//! JSON schemas of the configurations, as APISIX's `/schema` shows them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

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
            if let Some(words) = words(members) {
                members.remove("oneOf");
                members.insert("type".to_owned(), "string".into());
                members.insert("enum".to_owned(), words);
            }
            members.values_mut().for_each(plain);
        }
        _ => {}
    }
}

/// The words of a choice between constant texts.
fn words(schema: &Map<String, Value>) -> Option<Value> {
    let choices = schema.get("oneOf")?.as_array()?;
    choices
        .iter()
        .map(|choice| choice.get("const").filter(|word| word.is_string()).cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{legacy_schema, multi_schema, schemas};
    use crate::ai::config::{AiProxyConf, AiProxyMultiConf};

    #[test]
    fn the_schema_has_apisix_s_bounds_and_defaults() {
        let schema = schemas();
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["required"], json!(["provider", "auth"]));
        for (field, minimum, maximum, default) in [
            ("timeout", json!(1), json!(600_000), json!(30_000)),
            ("max_req_body_size", json!(1), Value::Null, json!(67_108_864)),
            ("max_stream_duration_ms", json!(1), Value::Null, Value::Null),
            ("max_response_bytes", json!(1), Value::Null, Value::Null),
            ("keepalive_timeout", json!(1_000), Value::Null, json!(60_000)),
            ("keepalive_pool", json!(1), Value::Null, json!(30)),
            ("streaming_flush_interval_ms", json!(0), Value::Null, json!(10)),
            ("keepalive", Value::Null, Value::Null, json!(true)),
            ("ssl_verify", Value::Null, Value::Null, json!(true)),
        ] {
            let property = &schema["properties"][field];
            assert_eq!(property["minimum"], minimum, "{field}");
            assert_eq!(property["maximum"], maximum, "{field}");
            assert_eq!(property["default"], default, "{field}");
        }
        let at = |path: &str| schema.pointer(path).cloned().unwrap_or_default();
        assert_eq!(at("/properties/auth/additionalProperties"), false);
        assert_eq!(
            at("/properties/auth/properties/gcp/properties/expire_early_secs/default"),
            60
        );
        assert_eq!(
            at("/properties/auth/properties/aws/required"),
            json!(["access_key_id", "secret_access_key"])
        );
        let replaced = "/properties/override/properties";
        assert_eq!(
            at(&format!("{replaced}/request_body/additionalProperties")),
            false
        );
        assert_eq!(at(&format!("{replaced}/llm_options/additionalProperties")), false);
        assert_eq!(at(&format!("{replaced}/endpoint/minLength")), 1);
        let providers = at("/properties/provider/enum");
        for provider in ["openai", "bedrock", "groq"] {
            assert!(providers.as_array().unwrap().contains(&json!(provider)));
        }
    }

    #[test]
    fn the_schema_for_several_instances_has_apisix_s_choices() {
        let schema = multi_schema();
        assert_eq!(schema["required"], json!(["instances"]));
        let instance = &schema["properties"]["instances"]["items"];
        let mut required: Vec<&str> = instance["required"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        required.sort_unstable();
        assert_eq!(required, ["auth", "name", "provider", "weight"]);
        let checks = &instance["properties"]["checks"];
        assert_eq!(checks.get("required"), None);
        let passive = &checks["properties"]["passive"]["properties"];
        assert_eq!(
            (&passive["ejection_ms"]["default"], &passive["enabled"]["default"]),
            (&json!(10_000), &json!(true))
        );
        assert_eq!(instance["properties"]["name"]["maxLength"], 100);
        let properties = &schema["properties"];
        let mut algorithms = properties["balancer"]["properties"]["algorithm"].clone();
        algorithms.as_object_mut().unwrap().remove("description");
        let ours = json!(["least_latency", "least_busy", "least_cost", "prefix_affinity"]);
        let mut words = json!(["chash", "roundrobin", "semantic"]);
        words
            .as_array_mut()
            .unwrap()
            .extend(ours.as_array().unwrap().clone());
        assert_eq!(
            algorithms,
            json!({"type": "string", "enum": words, "x-beyond-apisix": ours}),
            "what APISIX does not have is marked, so that it can be refused"
        );
        assert_eq!(properties["max_retries"]["minimum"], 0);
        assert_eq!(properties["fallback_http_statuses"]["items"]["maximum"], 599);
    }

    #[test]
    fn no_schema_refers_or_allows_null() {
        for schema in [schemas(), multi_schema(), legacy_schema()] {
            let text = schema.to_string();
            for absent in ["$ref", "\"null\"", "\"format\"", "oneOf"] {
                assert!(!text.contains(absent), "{absent}");
            }
        }
    }

    #[test]
    fn the_least_that_fits_the_schema_is_read_with_its_defaults() {
        let conf: AiProxyConf = serde_json::from_value(json!({"provider": "openai", "auth": {}})).unwrap();
        assert_eq!((conf.limits.timeout, conf.limits.ssl_verify), (30_000, true));
        let conf: AiProxyMultiConf = serde_json::from_value(json!({
            "fallback_strategy": ["rate_limiting", "http_5xx"],
            "instances": [{"name": "a", "provider": "groq", "auth": {"header": {"a": "b"}}, "weight": 0, "logging": {},
                           "checks": {"active": {"type": "https"}}}],
        }))
        .unwrap();
        assert_eq!(conf.instances[0].conf.provider.name(), "groq");
        assert_eq!(conf.instances[0].conf.auth.header["a"].expose(), "b");
        assert_eq!((conf.instances[0].priority, conf.limits.keepalive_pool), (0, 30));
    }
}
