use serde::de::DeserializeOwned;

use super::*;
use crate::objects::{Consumer, Credential, PluginSet, Route, Service, Ssl, Upstream};

#[test]
fn every_document_can_be_read_and_refers_to_parts_that_exist() {
    let closed = |shown: &Value| shown.to_string().contains("\"$ref\"") || has_never(shown, "");
    for each in Kind::ALL {
        let shown = kind(each);
        assert!(
            Schema::new(shown).is_ok(),
            "{each}: {:?}",
            Schema::new(shown).err()
        );
        assert!(!closed(shown), "{each}");
        assert_eq!(shown["type"], "object", "{each}");
    }
    for manager in ["vault", "aws", "gcp"] {
        assert!(Schema::new(of_manager(manager).unwrap()).is_ok(), "{manager}");
    }
    assert_eq!(of_manager("etcd"), None);
}

/// Whether a part that does not exist has left its mark; closed objects are meant to be.
fn has_never(value: &Value, key: &str) -> bool {
    match value {
        Value::Bool(false) => !["additionalProperties", "default"].contains(&key),
        Value::Object(object) => object.iter().any(|(key, value)| has_never(value, key)),
        Value::Array(items) => items.iter().any(|item| has_never(item, key)),
        _ => false,
    }
}

#[test]
fn plugins_of_a_route_are_any_object() {
    let shown = serde_json::to_string(kind(Kind::Route)).unwrap();
    assert!(shown.contains(r#""plugins":{"type":"object"}"#), "{shown}");
    let rule = serde_json::to_string(kind(Kind::GlobalRule)).unwrap();
    assert!(rule.contains(r#""create_time":{"type":"integer"}"#), "{rule}");
}

/// What a schema lets through, the typed form can read: one sample per property, as the schema describes it.
#[test]
fn every_property_of_a_schema_can_be_read_by_the_typed_form() {
    fn all<T: DeserializeOwned>(of: Kind) {
        for (name, schema) in kind(of)["properties"].as_object().unwrap() {
            for value in samples(schema) {
                let alone = Schema::new(schema).unwrap();
                assert_eq!(alone.check(&value), Ok(()), "{of}: sample of {name}: {value}");
                let object = json!({ name.as_str(): value });
                let read = serde_json::from_value::<T>(object);
                assert!(read.is_ok(), "{of}: {name}: {:?}", read.err());
            }
        }
    }
    all::<Route>(Kind::Route);
    all::<Service>(Kind::Service);
    all::<Upstream>(Kind::Upstream);
    all::<Consumer>(Kind::Consumer);
    all::<Credential>(Kind::Credential);
    all::<PluginSet>(Kind::ConsumerGroup);
    all::<PluginSet>(Kind::PluginConfig);
    all::<PluginSet>(Kind::GlobalRule);
    all::<Ssl>(Kind::Ssl);
}

/// Values that fit a schema: each branch, each name, both ends of a range.
fn samples(schema: &Value) -> Vec<Value> {
    if let Some(names) = schema["enum"].as_array() {
        return names.clone();
    }
    if schema["title"].is_string() {
        return match schema["title"].as_str() {
            Some("IPv4") => vec![json!("127.0.0.1")],
            Some("IPv4/CIDR") => vec![json!("10.0.0.0/8")],
            Some("IPv6") => vec![json!("::1")],
            _ => vec![json!("fe80::/10")],
        };
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(branches) = schema[key].as_array()
            && branches.iter().all(|branch| branch.get("required").is_none())
        {
            return branches.iter().flat_map(samples).collect();
        }
    }
    match schema["type"].as_str() {
        Some("integer") => {
            let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
            match schema["maximum"].as_i64() {
                Some(most) => vec![json!(least), json!(most)],
                None => vec![json!(u64::MAX), json!(least), json!(1e300)],
            }
        }
        Some("number") => vec![json!(0.5), json!(3)],
        Some("boolean") => vec![json!(true), json!(false)],
        Some("array") => {
            let mut list = vec![samples(&schema["items"])[..1].to_vec()];
            list.extend(schema["minItems"].is_null().then(Vec::new));
            list.into_iter().map(Value::Array).collect()
        }
        Some("object") => vec![an_object(schema)],
        _ => vec![a_text(schema)],
    }
}

fn an_object(schema: &Value) -> Value {
    let mut object = Map::new();
    let left_out: &[&str] = match &schema["properties"] {
        // One of two ways to name a certificate, one of two ways to name servers.
        properties if properties["client_cert_id"].is_object() => &["client_cert", "client_key"],
        properties if properties["service_name"].is_object() => &["service_name", "discovery_type"],
        _ => &[],
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if !left_out.contains(&name.as_str()) {
            object.insert(name.clone(), samples(property).swap_remove(0));
        }
    }
    for property in schema["patternProperties"].as_object().into_iter().flatten() {
        object.insert("a".to_owned(), samples(property.1).swap_remove(0));
    }
    Value::Object(object)
}

fn a_text(schema: &Value) -> Value {
    let text = match schema["pattern"].as_str() {
        Some("^function") => "function(vars) return true end".to_owned(),
        Some(pattern) if pattern.contains("credentials") => "jack/credentials/one".to_owned(),
        _ => "a".repeat(schema["minLength"].as_u64().unwrap_or(1).max(1) as usize),
    };
    json!(text)
}
