//! Documents with a whole configuration, as they are sent: how they are read, and what is wrong with them.

use std::collections::BTreeSet;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use tollgate_resources::objects::{Kind, ObjectKey, Write};

use crate::body;
use crate::check::{self, Among, Proposal};
use crate::duplicates::Owners;
use crate::errors::Refusal;
use crate::registry::Registry;
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

impl Mistake {
    /// Its place in the document, and what is wrong.
    pub(crate) fn told(self) -> (String, String) {
        let place = match &self.item {
            Some((_, index)) => format!("{}[{index}]", self.collection),
            None => self.collection.to_owned(),
        };
        (place, self.error)
    }
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
            body::type_word(&other)
        ))),
    }
}

/// What an item is: its kind, and its id where it has none of its own.
fn identity(collection: &str, item: &Map<String, Value>, index: usize) -> Option<(Kind, Option<String>)> {
    let kind = Kind::of_collection(collection)?;
    let id = id_of(item);
    Some(match (kind, id) {
        (Kind::Consumer, Some(id)) if id.contains("/credentials/") => (Kind::Credential, None),
        (Kind::Consumer | Kind::PluginMetadata | Kind::Secret, _) => (kind, None),
        (_, None) => (kind, Some(format!("arr_{}", index + 1))),
        (_, Some(_)) => (kind, None),
    })
}

/// What was found in a document.
pub(crate) struct Findings {
    /// The objects without mistakes.
    pub(crate) items: Vec<(&'static str, Item)>,
    /// All mistakes.
    pub(crate) mistakes: Vec<Mistake>,
    /// What is accepted but does nothing.
    pub(crate) warnings: Vec<String>,
}

/// Finds all mistakes of a document. References are not looked at.
pub(crate) fn check(registry: &Registry, sent: &Map<String, Value>) -> Findings {
    let mut findings = Findings {
        items: Vec::new(),
        mistakes: Vec::new(),
        warnings: Vec::new(),
    };
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
            findings.mistakes.push(about_list(format!(
                "{} must be a number",
                version_key(collection)
            )));
        }
        let list = match sent.get(collection) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(list)) => list,
            // An empty table of Lua is written as an object.
            Some(Value::Object(empty)) if empty.is_empty() => continue,
            Some(_) => {
                findings
                    .mistakes
                    .push(about_list(format!("{collection} must be an array")));
                continue;
            }
        };
        if collection != "plugins" {
            check_list(registry, collection, list, &mut findings);
        }
    }
    findings
}

fn check_list(registry: &Registry, collection: &'static str, list: &[Value], findings: &mut Findings) {
    let mut ids = BTreeSet::new();
    let mut before: Vec<Item> = Vec::new();
    let mut owners = Owners::default();
    for (index, item) in list.iter().enumerate() {
        let fields = item.as_object();
        let id = fields
            .and_then(|item| id_of(item).or_else(|| Some(item.get("username")?.as_str()?.to_owned())))
            .unwrap_or_default();
        let mistake = |error| Mistake {
            collection,
            item: Some((id.clone(), index)),
            error,
        };
        match check_item(registry, collection, index, item, &mut findings.warnings)
            .and_then(|item| beside(item, &before, &owners))
        {
            Err(error) => findings.mistakes.push(mistake(error)),
            Ok(None) => {}
            Ok(Some(item)) => {
                owners.add(&item.key, &item.value);
                before.push(item);
            }
        }
        if let Some((word, id)) = fields.and_then(|item| mark(collection, item))
            && !ids.insert(id.clone())
        {
            findings
                .mistakes
                .push(mistake(format!("found duplicate {word} {id} in {collection}")));
        }
    }
    findings
        .items
        .extend(before.into_iter().map(|item| (collection, item)));
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

/// Checks that an item does not collide with those before it.
fn beside(item: Option<Item>, before: &[Item], owners: &Owners) -> Result<Option<Item>, String> {
    let Some(item) = item else {
        return Ok(None);
    };
    match item.key.kind {
        Kind::Consumer | Kind::Credential => owners.check(&item.key, &item.value)?,
        Kind::GlobalRule => {
            let others = before.iter().map(|item| (&item.key, &item.value));
            check::global_rule(&item.key, &item.value, others)?;
        }
        _ => {}
    }
    Ok(Some(item))
}

/// Checks an item by itself.
fn check_item(
    registry: &Registry,
    collection: &'static str,
    index: usize,
    item: &Value,
    warnings: &mut Vec<String>,
) -> Result<Option<Item>, String> {
    let invalid = |error: String| format!("invalid configuration: {error}");
    let Some(fields) = item.as_object() else {
        return Err(invalid(format!(
            "wrong type: expected object, got {}",
            body::type_word(item)
        )));
    };
    let given_index = fields.get(INDEX);
    if let Some(given) = given_index
        && given.as_i64().is_none()
    {
        return Err(invalid(format!(
            "property \"{INDEX}\" validation failed: wrong type: expected integer, got {}",
            body::type_word(given)
        )));
    }
    let Some((kind, place_id)) = identity(collection, fields, index) else {
        return Ok(None);
    };
    if kind == Kind::Secret {
        let id = id_of(fields).unwrap_or_default();
        if !id.contains('/') {
            return Err(format!("invalid secret id: {id}"));
        }
    }
    let mut body = fields.clone();
    body.remove(INDEX);
    let proposal = Proposal {
        kind,
        // A document may carry the times it was read with.
        write: Write::Patch,
        id_in_path: place_id.as_deref(),
        owner: None,
        body,
    };
    let checked = check::object(registry, proposal, &Among::Nothing, warnings)?;
    let Some(key) = checked.key else {
        return Ok(None);
    };
    let mut value = checked.value;
    if kind == Kind::Credential {
        value.insert("id".to_owned(), key.short_id().into());
    }
    Ok(Some(Item {
        key,
        value,
        index: given_index.and_then(Value::as_i64),
    }))
}
