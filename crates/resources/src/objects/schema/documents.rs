//! The schemas of the objects themselves.
//!
//! They stand in JSON documents beside this file. `{"$ref": "<name>"}` in them is replaced by that part of `parts.json`, or
//! by the document of that name, so that what is shown holds everything in place.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::Schema;
use crate::objects::Kind;

/// The schema of a kind. That of secrets lets everything through that a manager could have; what holds is
/// [`of_manager`]. That of plugin metadata is for plugins that have none of their own.
pub fn kind(kind: Kind) -> &'static Value {
    &of_kind(kind).shown
}

/// The schema of a kind, ready to hold values against.
pub fn checker(kind: Kind) -> &'static Schema {
    &of_kind(kind).schema
}

/// The schema of a manager of secrets (`vault`, `aws`, `gcp`), `None` for one that is not known.
pub fn of_manager(manager: &str) -> Option<&'static Value> {
    Some(&MANAGERS.iter().find(|(name, _)| *name == manager)?.1.shown)
}

/// The schema of a manager, ready to hold values against.
pub fn checker_of_manager(manager: &str) -> Option<&'static Schema> {
    Some(&MANAGERS.iter().find(|(name, _)| *name == manager)?.1.schema)
}

struct Document {
    shown: Value,
    schema: Schema,
}

impl Document {
    fn new(shown: Value) -> Document {
        let schema = Schema::of_own(&shown);
        Document { shown, schema }
    }
}

fn of_kind(kind: Kind) -> &'static Document {
    match kind {
        Kind::Route => &ROUTE,
        Kind::Service => &SERVICE,
        Kind::Upstream => &UPSTREAM,
        Kind::Consumer => &CONSUMER,
        Kind::Credential => &CREDENTIAL,
        Kind::ConsumerGroup => &CONSUMER_GROUP,
        Kind::PluginConfig => &PLUGIN_CONFIG,
        Kind::GlobalRule => &GLOBAL_RULE,
        Kind::PluginMetadata => &PLUGIN_METADATA,
        Kind::Secret => &SECRET,
        Kind::Ssl => &SSL,
        Kind::Proto => &PROTO,
        Kind::StreamRoute => &STREAM_ROUTE,
        // They are read by types of their own.
        Kind::Team | Kind::VirtualKey | Kind::Budget | Kind::Limit => &NOTHING,
    }
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Bool(false))
}

fn document(text: &str) -> Document {
    Document::new(in_place(read(text)))
}

/// Replaces references by what they mean. Parts refer to parts and documents that refer to no document, so it ends.
fn in_place(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            if let Some(name) = object.get("$ref").and_then(Value::as_str) {
                return part(name);
            }
            let members = object.into_iter().map(|(name, value)| (name, in_place(value)));
            Value::Object(members.collect())
        }
        Value::Array(items) => items.into_iter().map(in_place).collect(),
        plain => plain,
    }
}

fn part(name: &str) -> Value {
    match name {
        "upstream" => UPSTREAM.shown.clone(),
        name => in_place(PARTS.get(name).cloned().unwrap_or(Value::Bool(false))),
    }
}

fn managers() -> Vec<(&'static str, Document)> {
    let Value::Object(mut managers) = read(include_str!("secret.json")) else {
        return Vec::new();
    };
    ["vault", "aws", "gcp"]
        .into_iter()
        .filter_map(|name| Some((name, Document::new(in_place(managers.remove(name)?)))))
        .collect()
}

fn parts() -> Map<String, Value> {
    match read(include_str!("parts.json")) {
        Value::Object(parts) => parts,
        _ => Map::new(),
    }
}

static PARTS: LazyLock<Map<String, Value>> = LazyLock::new(parts);
static ROUTE: LazyLock<Document> = LazyLock::new(|| document(include_str!("route.json")));
static SERVICE: LazyLock<Document> = LazyLock::new(|| document(include_str!("service.json")));
static UPSTREAM: LazyLock<Document> = LazyLock::new(|| document(include_str!("upstream.json")));
static CONSUMER: LazyLock<Document> = LazyLock::new(|| document(include_str!("consumer.json")));
static CREDENTIAL: LazyLock<Document> = LazyLock::new(|| document(include_str!("credential.json")));
static CONSUMER_GROUP: LazyLock<Document> = LazyLock::new(|| document(include_str!("consumer_group.json")));
static PLUGIN_CONFIG: LazyLock<Document> = LazyLock::new(|| document(include_str!("plugin_config.json")));
static GLOBAL_RULE: LazyLock<Document> = LazyLock::new(|| document(include_str!("global_rule.json")));
static PLUGIN_METADATA: LazyLock<Document> = LazyLock::new(|| document(include_str!("plugin_metadata.json")));
static SSL: LazyLock<Document> = LazyLock::new(|| document(include_str!("ssl.json")));
static PROTO: LazyLock<Document> = LazyLock::new(|| document(include_str!("proto.json")));
static STREAM_ROUTE: LazyLock<Document> = LazyLock::new(|| document(include_str!("stream_route.json")));
static NOTHING: LazyLock<Document> = LazyLock::new(|| Document::new(Value::Bool(false)));
static SECRET: LazyLock<Document> = LazyLock::new(|| Document::new(json!({"type": "object"})));
static MANAGERS: LazyLock<Vec<(&str, Document)>> = LazyLock::new(managers);

#[cfg(test)]
mod tests;
