//! What a change would do, without doing it: `/tollgate/v1/plan`. Rolling back asks the same before it writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tollgate_resources::objects::{Kind, Object, ObjectKey, Write, affected, differences};
use tollgate_store::{Change, Store};

use super::{Asked, Problem};
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::audit;
use crate::check::{self, Among, Proposal};
use crate::document;
use crate::query::segments;
use crate::registry::Registry;
use crate::target::Target;

/// What an object is to become.
pub(crate) struct Intended {
    /// The object.
    pub(crate) key: ObjectKey,
    /// Its value; `None` when it is to go.
    pub(crate) value: Option<Map<String, Value>>,
    /// After how many seconds it is gone again.
    pub(crate) ttl_s: Option<u64>,
    /// Where it stands in what was sent, for mistakes.
    pub(crate) path: String,
}

/// What a change would do.
#[derive(Default)]
pub(crate) struct Outlook {
    /// Why it would be refused, with the place in what was sent.
    pub(crate) mistakes: Vec<(String, String)>,
    /// What would do nothing.
    pub(crate) warnings: Vec<String>,
    /// What would change.
    pub(crate) changes: Vec<Value>,
    affected: Value,
}

impl Outlook {
    /// As it is answered.
    pub(crate) fn told(self) -> Value {
        let mistakes: Vec<Value> = self
            .mistakes
            .into_iter()
            .map(|(path, text)| json!({"path": path, "text": text}))
            .collect();
        json!({
            "valid": mistakes.is_empty(),
            "mistakes": mistakes,
            "warnings": self.warnings,
            "changes": self.changes,
            "affected": self.affected,
        })
    }
}

impl<D: DataPlane> Admin<D> {
    /// Answers `POST /tollgate/v1/plan`.
    pub(crate) async fn plan(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        parts: &Parts,
        body: Body,
    ) -> Result<Answer, Problem> {
        if *asked.method != Method::POST {
            return Err(Problem::method("POST"));
        }
        if !asked.actor.writes_all() {
            return Err(Problem::forbidden("the roles admin and editor may plan changes"));
        }
        asked.only_parameters(&[])?;
        let mut members = self.members(parts, body, &["changes", "document"]).await?;
        let admin = Arc::clone(self);
        let outlook = match (members.remove("changes"), members.remove("document")) {
            (Some(Value::Array(changes)), None) => {
                let mut mistakes = Vec::new();
                let intended: Vec<Intended> = changes
                    .into_iter()
                    .enumerate()
                    .filter_map(|(index, change)| intended(index, change, &mut mistakes))
                    .collect();
                self.look(move || {
                    let mut outlook = outlook(&admin.registry, &admin.store, &intended, Write::Put);
                    outlook.mistakes.splice(0..0, mistakes);
                    Ok(outlook)
                })
                .await?
            }
            (None, Some(Value::Object(document))) => {
                self.look(move || Ok(of_document(&admin.registry, &admin.store, &document)))
                    .await?
            }
            (Some(_), None) => {
                return Err(Problem::invalid(
                    "changes",
                    "write a list of {\"action\": \"put\" or \"delete\", \"object\": \"routes/1\", \"value\": {…}}",
                ));
            }
            (None, Some(_)) => {
                return Err(Problem::invalid(
                    "document",
                    "write an object with the lists of a whole configuration, such as {\"routes\": […]}",
                ));
            }
            _ => {
                return Err(Problem::invalid(
                    "changes",
                    "write either `changes` or `document`, and not both",
                ));
            }
        };
        Ok(Answer::json(StatusCode::OK, outlook.told()))
    }
}

/// Reads one change.
fn intended(index: usize, change: Value, mistakes: &mut Vec<(String, String)>) -> Option<Intended> {
    let path = format!("changes[{index}]");
    let mut wrong = |member: &str, text: &str| {
        mistakes.push((format!("{path}{member}"), text.to_owned()));
        None
    };
    let Value::Object(mut change) = change else {
        return wrong("", "write an object with action, object and value");
    };
    if let Some(name) = change
        .keys()
        .find(|name| !["action", "object", "value", "ttl_s"].contains(&name.as_str()))
    {
        let text = format!("there is no member `{name}`; the members are action, object, value and ttl_s");
        return wrong("", &text);
    }
    let Some(key) = change.get("object").and_then(Value::as_str).and_then(key_of) else {
        return wrong(".object", "write the name of an object, such as `routes/1`");
    };
    let ttl_s = change.get("ttl_s").and_then(Value::as_u64);
    let value = change.remove("value");
    match (change.get("action").and_then(Value::as_str), value) {
        (Some("put"), Some(Value::Object(value))) => Some(Intended {
            key,
            value: Some(value),
            ttl_s,
            path: format!("{path}.value"),
        }),
        (Some("put"), _) => wrong(".value", "write what the object is to be"),
        (Some("delete"), None | Some(Value::Null)) => Some(Intended {
            key,
            value: None,
            ttl_s: None,
            path,
        }),
        (Some("delete"), Some(_)) => wrong(".value", "what is deleted has no value"),
        _ => wrong(".action", "write put or delete"),
    }
}

/// The object of a name such as `routes/1`.
pub(crate) fn key_of(name: &str) -> Option<ObjectKey> {
    let target = Target::parse(&segments(name)).ok()?;
    target.object().filter(|_| target.part.is_empty())
}

/// What it would do to make a whole configuration what a document says.
fn of_document(registry: &Registry, store: &Store, sent: &Map<String, Value>) -> Outlook {
    let unknown = sent.keys().filter(|key| {
        !document::COLLECTIONS
            .iter()
            .any(|collection| key == collection || **key == document::version_key(collection))
    });
    let mut mistakes: Vec<(String, String)> = unknown
        .map(|key| (key.clone(), format!("there is no list `{key}`")))
        .collect();
    let found = document::check(registry, sent);
    mistakes.extend(found.mistakes.into_iter().map(|mistake| mistake.told()));
    let mut there = BTreeSet::new();
    let mut wanted: Vec<Intended> = Vec::new();
    for (collection, item) in found.items {
        there.insert(item.key.clone());
        wanted.push(Intended {
            path: format!("{collection}[{}]", item.key.id),
            key: item.key,
            value: Some(item.value),
            ttl_s: None,
        });
    }
    let gone = store
        .all()
        .into_iter()
        .filter(|object| !there.contains(&object.key));
    wanted.extend(gone.map(|object| Intended {
        key: object.key.clone(),
        value: None,
        ttl_s: None,
        path: audit::name(&object.key),
    }));
    let mut outlook = outlook(registry, store, &wanted, Write::Patch);
    outlook.mistakes.splice(0..0, mistakes);
    outlook.warnings.extend(found.warnings);
    outlook
}

/// What changes would do to a store.
pub(crate) fn outlook(registry: &Registry, store: &Store, intended: &[Intended], write: Write) -> Outlook {
    let before = store.all();
    let after = Store::in_memory();
    let mut outlook = Outlook::default();
    let put = |object: &Arc<Object>| Change::Put {
        key: object.key.clone(),
        value: object.value.clone(),
        ttl_s: None,
    };
    let mut changes: Vec<Change> = before.iter().map(put).collect();
    let mut touched = BTreeSet::new();
    for one in intended {
        let is_new = touched.insert(one.key.clone());
        if !is_new {
            let text = format!("{} is changed twice", audit::name(&one.key));
            outlook.mistakes.push((one.path.clone(), text));
        }
        match &one.value {
            Some(value) => changes.push(Change::Put {
                key: one.key.clone(),
                value: value.clone(),
                ttl_s: None,
            }),
            None => {
                if store.get(&one.key).is_none() {
                    let text = format!("there is no {}", audit::name(&one.key));
                    outlook.mistakes.push((one.path.clone(), text));
                }
                if one.key.kind == Kind::Consumer {
                    for credential in store.credentials_of(&one.key.id) {
                        let key = credential.key.clone();
                        touched.insert(key.clone());
                        changes.push(Change::Delete { key });
                    }
                }
                changes.push(Change::Delete { key: one.key.clone() });
            }
        }
    }
    if let Err(error) = after.write(changes, 0) {
        outlook.mistakes.push((String::new(), error.to_string()));
        return outlook;
    }
    for one in intended {
        let checked = match &one.value {
            Some(value) => allowed(
                registry,
                &one.key,
                value.clone(),
                write,
                &after,
                &mut outlook.warnings,
            ),
            None => check::unused(&one.key, &after),
        };
        if let Err(text) = checked {
            outlook.mistakes.push((one.path.clone(), text));
        }
    }
    let mut changed = Vec::new();
    for key in touched {
        let (was, is) = (store.get(&key), after.get(&key));
        let will_be = is.as_ref().map(|object| with_own_id(object, was.as_deref()));
        let diff = differences(was.as_ref().map(|object| &object.value), will_be.as_ref());
        if diff.is_empty() {
            continue;
        }
        let action = match (&was, &is) {
            (None, _) => "create",
            (Some(_), Some(_)) => "update",
            (Some(_), None) => "delete",
        };
        let diff: Vec<Value> = diff
            .into_iter()
            .map(|one| json!({"path": one.path, "from": one.from, "to": one.to}))
            .collect();
        outlook
            .changes
            .push(json!({"object": audit::name(&key), "action": action, "diff": diff}));
        changed.push(key);
    }
    let after = after.all();
    let objects = before.iter().chain(&after).map(|object| -> &Object { object });
    let found = affected(objects, &changed);
    outlook.affected = json!({
        "routes": found.routes,
        "instances": found.instances,
        "consumers": found.consumers.len(),
        "every_call": found.every_call,
    });
    outlook
}

/// The value as a write would store it: with the id of before, which a writer leaves out of the body.
fn with_own_id(object: &Object, before: Option<&Object>) -> Map<String, Value> {
    let mut value = object.value.clone();
    if let Some(id) = before.and_then(|before| before.value.get("id"))
        && !value.contains_key("id")
    {
        value.insert("id".to_owned(), id.clone());
    }
    value
}

/// Whether an object may be stored among others.
fn allowed(
    registry: &Registry,
    key: &ObjectKey,
    value: Map<String, Value>,
    write: Write,
    among: &Store,
    warnings: &mut Vec<String>,
) -> Result<(), String> {
    if let Some(username) = key.owner()
        && among.get(&ObjectKey::new(Kind::Consumer, username)).is_none()
    {
        return Err("consumer not found".to_owned());
    }
    let proposal = Proposal {
        kind: key.kind,
        write,
        id_in_path: Some(key.short_id()),
        owner: key.owner(),
        body: value,
    };
    check::object(registry, proposal, &Among::Store(among), warnings).map(drop)
}

/// Describes the path.
pub(crate) fn describe(paths: &mut Map<String, Value>) {
    let change = json!({
        "type": "object",
        "required": ["action", "object"],
        "additionalProperties": false,
        "properties": {
            "action": {"enum": ["put", "delete"]},
            "object": {"type": "string", "description": "such as `routes/1` or `consumers/jack/credentials/c1`"},
            "value": {"type": "object", "description": "for put: what the object is to be"},
            "ttl_s": {"type": "integer", "description": "for put: after how many seconds it is gone again"},
        },
    });
    paths.insert("/plan".to_owned(), json!({"post": {
        "tags": ["versions"],
        "summary": "Says what a change would do, and changes nothing.",
        "requestBody": {"required": true, "content": {"application/json": {"schema": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "changes": {"type": "array", "items": change},
                "document": {"type": "object", "description": "instead of `changes`: the lists of a whole configuration, as `/apisix/admin/configs` takes them; what is in no list is deleted"},
            },
        }}}},
        "responses": {
            "200": {"description": "What it would do.", "content": {"application/json": {"schema": outlook_schema()}}},
            "400": {"$ref": "#/components/responses/refused"},
            "401": {"$ref": "#/components/responses/unauthorized"},
            "403": {"$ref": "#/components/responses/forbidden"},
        },
    }}));
}

/// What is answered by plans.
pub(super) fn outlook_schema() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    json!({"type": "object", "properties": {
        "valid": {"type": "boolean"},
        "mistakes": {"type": "array", "items": {"type": "object", "properties": {"path": text, "text": text}}},
        "warnings": texts,
        "changes": {"type": "array", "items": {"type": "object", "properties": {
            "object": text,
            "action": {"enum": ["create", "update", "delete"]},
            "diff": {"type": "array", "items": {"type": "object", "properties": {"path": text, "from": {}, "to": {}}}},
        }}},
        "affected": {"type": "object", "properties": {
            "routes": texts,
            "instances": texts,
            "consumers": {"type": "integer"},
            "every_call": {"type": "boolean", "description": "a global rule changes"},
        }},
    }})
}
