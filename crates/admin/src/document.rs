//! Documents with a whole configuration, as they are sent: how they are read, and what is wrong with them.

use std::collections::BTreeSet;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use tollgate_resources::objects::{Kind, ObjectKey};

use crate::body;
use crate::check::{self, Among};
use crate::duplicates;
use crate::errors::Refusal;
use crate::registry::Registry;
use crate::rules;
use crate::target::id_of;

/// The lists of a document. `plugins` is kept for the tools that write it; which plugins there are is not up to them.
pub(crate) const COLLECTIONS: [&str; 13] = [
    "secrets",
    "plugin_metadata",
    "protos",
    "ssls",
    "upstreams",
    "plugin_configs",
    "services",
    "consumer_groups",
    "consumers",
    "global_rules",
    "routes",
    "stream_routes",
    "plugins",
];

/// Fields of an item that are about the item, not part of the object.
const INDEX: &str = "modifiedIndex";

/// The key of a list's version.
pub(crate) fn version_key(collection: &str) -> String {
    format!("{collection}_conf_version")
}

/// A version as JSON, whole where it is whole.
pub(crate) fn number(version: f64) -> Value {
    // Versions are counts or times in milliseconds: far below 2^53.
    if version.fract() == 0.0 && version.abs() < 9e15 {
        json!(version as i64)
    } else {
        json!(version)
    }
}

/// An object of a document.
#[derive(Clone, PartialEq)]
pub(crate) struct Item {
    /// Its key.
    pub(crate) key: ObjectKey,
    /// Its value.
    pub(crate) value: Map<String, Value>,
    /// The index its writer gave it; it tells when the object is a new one.
    pub(crate) index: Option<i64>,
}

/// What is wrong with one item, or with a version.
pub(crate) struct Mistake {
    /// The list.
    collection: &'static str,
    /// The id of the item and its place in the list, if it is about one.
    item: Option<(String, usize)>,
    /// What is wrong.
    pub(crate) error: String,
}

impl From<Mistake> for Value {
    fn from(mistake: Mistake) -> Value {
        match mistake.item {
            Some((id, index)) => json!({
                "resource_type": mistake.collection,
                "resource_id": id,
                "index": index,
                "error": mistake.error,
            }),
            None => json!({"resource_type": mistake.collection, "error": mistake.error}),
        }
    }
}

/// Reads a document: YAML if it says so, JSON otherwise.
pub(crate) fn parse(headers: &HeaderMap, bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let invalid = |error: &str| Refusal::Invalid(format!("invalid request body: {error}"));
    if bytes.is_empty() {
        return Err(invalid("empty request body"));
    }
    let is_yaml = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/yaml"));
    let document: Value = if is_yaml {
        serde_saphyr::from_slice(bytes).map_err(|_| invalid("invalid yaml request body"))?
    } else {
        serde_json::from_slice(bytes).map_err(|error| invalid(&body::explain(bytes, &error)))?
    };
    match document {
        Value::Object(document) => Ok(document),
        _ if is_yaml => Err(invalid("invalid yaml request body")),
        other => Err(invalid(&format!(
            "wrong type: expected object, got {}",
            rules::type_word(&other)
        ))),
    }
}

/// The objects of a list that was checked.
pub(crate) fn items(collection: &'static str, list: &[Value]) -> Vec<Item> {
    list.iter()
        .enumerate()
        .filter_map(|(index, item)| {
            let item = item.as_object()?;
            let key = key(collection, item, index)?;
            let mut value = item.clone();
            let index = value.remove(INDEX).and_then(|index| index.as_i64());
            match key.kind {
                Kind::Consumer => {}
                _ => {
                    value.insert("id".to_owned(), key.short_id().into());
                }
            }
            Some(Item { key, value, index })
        })
        .collect()
}

/// The key of an item. One without an id is named after its place in the list. `None` for what is no object of ours.
fn key(collection: &str, item: &Map<String, Value>, index: usize) -> Option<ObjectKey> {
    let kind = Kind::of_collection(collection)?;
    let id = id_of(item);
    if kind == Kind::Consumer {
        if let Some((username, id)) = id.as_deref().and_then(|id| id.split_once("/credentials/")) {
            return Some(ObjectKey::credential(username, id));
        }
        let username = item.get("username").and_then(Value::as_str).unwrap_or_default();
        return Some(ObjectKey::new(kind, username));
    }
    Some(ObjectKey::new(kind, id.unwrap_or_else(|| format!("arr_{}", index + 1))))
}

/// Finds all mistakes of a document. References are not looked at.
pub(crate) fn check(registry: &Registry, sent: &Map<String, Value>, warnings: &mut Vec<String>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for collection in COLLECTIONS {
        let about_list = |error| Mistake {
            collection,
            item: None,
            error,
        };
        if let Some(version) = sent.get(&version_key(collection))
            && !version.is_number()
            && !version.is_null()
        {
            mistakes.push(about_list(format!("{} must be a number", version_key(collection))));
        }
        let list = match sent.get(collection) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(list)) => list,
            // An empty table of Lua is written as an object.
            Some(Value::Object(empty)) if empty.is_empty() => continue,
            Some(_) => {
                mistakes.push(about_list(format!("{collection} must be an array")));
                continue;
            }
        };
        if collection != "plugins" {
            check_list(registry, collection, list, warnings, &mut mistakes);
        }
    }
    mistakes
}

fn check_list(
    registry: &Registry,
    collection: &'static str,
    list: &[Value],
    warnings: &mut Vec<String>,
    mistakes: &mut Vec<Mistake>,
) {
    let mut ids = BTreeSet::new();
    let mut before: Vec<Item> = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let shown_id = item
            .as_object()
            .and_then(|item| id_of(item).or_else(|| Some(item.get("username")?.as_str()?.to_owned())))
            .unwrap_or_default();
        let mut mistake = |error| {
            mistakes.push(Mistake {
                collection,
                item: Some((shown_id.clone(), index)),
                error,
            });
        };
        match check_item(registry, collection, index, item, &before, warnings) {
            Err(error) => mistake(error),
            Ok(item) => before.extend(item),
        }
        if let Some(item) = item.as_object()
            && let Some((word, id)) = mark(collection, item)
            && !ids.insert(id.clone())
        {
            mistake(format!("found duplicate {word} {id} in {collection}"));
        }
    }
}

/// What an item is told apart by, if anything.
fn mark(collection: &str, item: &Map<String, Value>) -> Option<(&'static str, String)> {
    match id_of(item) {
        Some(id) if collection == "consumers" => Some(("credential id", id)),
        Some(id) => Some(("id", id)),
        None if collection == "consumers" => Some(("username", item.get("username")?.as_str()?.to_owned())),
        None => None,
    }
}

/// Checks an item among those before it.
fn check_item(
    registry: &Registry,
    collection: &'static str,
    index: usize,
    item: &Value,
    before: &[Item],
    warnings: &mut Vec<String>,
) -> Result<Option<Item>, String> {
    let invalid = |error: String| format!("invalid configuration: {error}");
    let Some(fields) = item.as_object() else {
        return Err(invalid(format!(
            "wrong type: expected object, got {}",
            rules::type_word(item)
        )));
    };
    match fields.get(INDEX) {
        Some(given) if given.as_i64().is_none() => {
            return Err(invalid(format!(
                "property \"{INDEX}\" validation failed: wrong type: expected integer, got {}",
                rules::type_word(given)
            )));
        }
        _ => {}
    }
    let Some(key) = key(collection, fields, index) else {
        return Ok(None);
    };
    if key.kind == Kind::Secret && !key.id.contains('/') {
        return Err(format!("invalid secret id: {}", key.id));
    }
    let mut value = fields.clone();
    value.remove(INDEX);
    if key.kind == Kind::Credential {
        value.insert("id".to_owned(), key.short_id().into());
    }
    check::object(registry, &key, &value, &Among::Nothing, warnings)?;
    let others = before.iter().map(|item| (&item.key, &item.value));
    match key.kind {
        Kind::Consumer | Kind::Credential => duplicates::check(&key, &value, others)?,
        Kind::GlobalRule => check::global_rule(&key, &value, others)?,
        _ => {}
    }
    Ok(Some(Item {
        key,
        value,
        index: None,
    }))
}
