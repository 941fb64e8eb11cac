//! The configuration as it was: `/tollgate/v1/versions`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tollgate_resources::objects::{Kind, Object, ObjectKey, Write, differences, hidden};
use tollgate_store::{Change, Earlier, Store, Version};

use super::plan::{self, Intended};
use super::{Asked, Problem, audit as log, parameter};
use crate::actor::Actor;
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::audit;
use crate::time;

impl<D: DataPlane> Admin<D> {
    /// Answers a request below `/tollgate/v1/versions`.
    pub(crate) async fn versions(self: &Arc<Self>, asked: &Asked<'_>) -> Result<Answer, Problem> {
        log::readable(&asked.actor)?;
        match (asked.path.as_slice(), asked.method) {
            ([_], &Method::GET) => {
                asked.only_parameters(&["limit", "after"])?;
                let limit = parameter::limit(asked.query)?;
                let below = parameter::number(asked.query, "after")?;
                let store = Arc::clone(&self.store);
                let (items, next) = self.look(move || list(&store, below, limit)).await?;
                let next = next.map(|number| number.to_string());
                Ok(Answer::json(
                    StatusCode::OK,
                    json!({"items": items, "next": next}),
                ))
            }
            ([_, number], &Method::GET) => {
                asked.only_parameters(&[])?;
                let number = number_of("version", number)?;
                let _writing = self.writing.lock().await;
                let store = Arc::clone(&self.store);
                let told = self.look(move || show(&store, number)).await?;
                Ok(Answer::json(StatusCode::OK, told))
            }
            ([_, number, "diff"], &Method::GET) => {
                asked.only_parameters(&["against"])?;
                let number = number_of("version", number)?;
                let against = parameter::number(asked.query, "against")?.unwrap_or(number.saturating_sub(1));
                let _writing = self.writing.lock().await;
                let store = Arc::clone(&self.store);
                let told = self.look(move || diff(&store, number, against)).await?;
                Ok(Answer::json(StatusCode::OK, told))
            }
            ([_, number, "rollback"], &Method::POST) => {
                asked.only_parameters(&["dry_run"])?;
                if !asked.actor.writes_all() {
                    return Err(Problem::forbidden("the roles admin and editor may roll back"));
                }
                let is_dry = match asked.query.first("dry_run") {
                    None | Some("false") => false,
                    Some("true" | "") => true,
                    Some(_) => return Err(Problem::invalid("dry_run", "write true or false")),
                };
                let number = number_of("version", number)?;
                let (admin, actor) = (Arc::clone(self), asked.actor.clone());
                self.finish(async move { admin.roll_back(&actor, number, is_dry).await })
                    .await?
            }
            ([_] | [_, _] | [_, _, "diff"], _) => Err(Problem::method("GET")),
            ([_, _, "rollback"], _) => Err(Problem::method("POST")),
            _ => Err(Problem::unknown(
                "there are /versions, /versions/{n}, /versions/{n}/diff and /versions/{n}/rollback",
            )),
        }
    }

    async fn roll_back(
        self: &Arc<Self>,
        actor: &Actor,
        number: u64,
        is_dry: bool,
    ) -> Result<Answer, Problem> {
        if self.settings.mode == crate::Mode::ApiDriven {
            return Err(Problem::conflict(
                "document",
                "the configuration is put as one document: put the earlier document again at /apisix/admin/configs",
            ));
        }
        let _writing = self.writing.lock().await;
        let (admin, steady_s) = (Arc::clone(self), self.steady_s());
        let (intended, outlook) = self
            .look(move || {
                let earlier = since(&admin.store, number)?;
                let intended = intended(&admin.store, earlier, steady_s);
                let outlook = plan::outlook(&admin.registry, &admin.store, &intended, Write::Patch);
                Ok((intended, outlook))
            })
            .await?;
        if is_dry {
            return Ok(Answer::json(StatusCode::OK, outlook.told()));
        }
        if let Some((object, text)) = outlook.mistakes.first() {
            return Err(Problem::conflict(
                "not_valid_now",
                format!("version {number} is not valid any more: {object}: {text}"),
            ));
        }
        let mut told = outlook.told();
        if !intended.is_empty() {
            let services: Vec<String> = intended
                .iter()
                .filter(|one| one.key.kind == Kind::Service && one.value.is_none())
                .map(|one| one.key.id.clone())
                .collect();
            self.commit(actor, Some("rollback"), Vec::new(), changes(intended))
                .await?;
            for id in services {
                self.service_is_gone(&id);
            }
        }
        told["version"] = self.store.versions().map_or(0, |(_, last)| last).into();
        told["rolled_back_to"] = number.into();
        Ok(Answer::json(StatusCode::OK, told))
    }
}

fn number_of(what: &str, text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| {
        Problem::unknown(format!(
            "a {what} is a number; GET /tollgate/v1/versions lists them"
        ))
    })
}

fn unknown(store: &Store, number: u64) -> Problem {
    let kept = match store.versions() {
        Some((first, last)) => format!("those from {} to {last} can be read", first - 1),
        None => "there is none yet".to_owned(),
    };
    Problem::unknown(format!("there is no version {number}; {kept}"))
}

/// How objects were as of a version that have changed since.
fn since(store: &Store, number: u64) -> Result<Vec<Earlier>, Problem> {
    store
        .since(number)
        .map_err(|error| Problem::from(&error))?
        .ok_or_else(|| unknown(store, number))
}

fn list(store: &Store, below: Option<u64>, limit: usize) -> Result<(Vec<Value>, Option<u64>), Problem> {
    let Some((first, last)) = store.versions() else {
        return Ok((Vec::new(), None));
    };
    let last = below.map_or(last, |below| below.saturating_sub(1).min(last));
    let mut items = Vec::new();
    for number in (first..=last).rev() {
        if items.len() == limit {
            return Ok((items, Some(number + 1)));
        }
        if let Some((version, _)) = store.version(number).map_err(|error| Problem::from(&error))? {
            items.push(told(&version).into());
        }
    }
    Ok((items, None))
}

fn told(version: &Version) -> Map<String, Value> {
    let mut told: Map<String, Value> = serde_json::from_str(&version.text).unwrap_or_default();
    told.insert("version".to_owned(), version.number.into());
    told.insert("time".to_owned(), time::text(version.time_s).into());
    told.insert("audit_seq".to_owned(), version.seq.into());
    told.insert("changes".to_owned(), version.objects.len().into());
    told
}

/// The whole configuration as of a version.
fn show(store: &Store, number: u64) -> Result<Value, Problem> {
    let mut objects: BTreeMap<ObjectKey, Arc<Object>> = store
        .all()
        .into_iter()
        .map(|object| (object.key.clone(), object))
        .collect();
    for earlier in since(store, number)?
        .into_iter()
        .filter(|earlier| is_configuration(&earlier.key))
    {
        match earlier.object {
            Some(object) => objects.insert(earlier.key, object),
            None => objects.remove(&earlier.key),
        };
    }
    let mut shown = match store.version(number).map_err(|error| Problem::from(&error))? {
        Some((version, _)) => told(&version),
        // What was before the first version that is kept.
        None => Map::from_iter([("version".to_owned(), number.into())]),
    };
    let objects: Vec<Value> = objects
        .into_values()
        .map(|object| {
            json!({
                "object": audit::name(&object.key),
                "value": hidden(&Value::Object(object.value.clone())),
            })
        })
        .collect();
    shown.insert("objects".to_owned(), objects.into());
    Ok(Value::Object(shown))
}

/// What differs from one version to another.
fn diff(store: &Store, number: u64, against: u64) -> Result<Value, Problem> {
    let then = |number: u64| -> Result<BTreeMap<ObjectKey, Option<Arc<Object>>>, Problem> {
        let earlier = since(store, number)?.into_iter();
        Ok(earlier.map(|earlier| (earlier.key, earlier.object)).collect())
    };
    let (from, to) = (then(against)?, then(number)?);
    let mut keys: Vec<&ObjectKey> = from.keys().chain(to.keys()).collect();
    keys.sort();
    keys.dedup();
    let mut changes = Vec::new();
    for key in keys {
        let value = |state: &BTreeMap<ObjectKey, Option<Arc<Object>>>| match state.get(key) {
            Some(object) => object.clone(),
            None => store.get(key),
        };
        let (before, after) = (value(&from), value(&to));
        let differences = differences(
            before.as_ref().map(|object| &object.value),
            after.as_ref().map(|object| &object.value),
        );
        if differences.is_empty() {
            continue;
        }
        let action = match (&before, &after) {
            (None, _) => "create",
            (Some(_), Some(_)) => "update",
            (Some(_), None) => "delete",
        };
        let diff: Vec<Value> = differences
            .into_iter()
            .map(|one| json!({"path": one.path, "from": one.from, "to": one.to}))
            .collect();
        changes.push(json!({"object": audit::name(key), "action": action, "diff": diff}));
    }
    Ok(json!({"version": number, "against": against, "changes": changes}))
}

/// Whether an object is part of what is rolled back. Teams, virtual keys, budgets and limits are not: a key that was taken
/// away must not come back with an earlier route.
fn is_configuration(key: &ObjectKey) -> bool {
    Kind::ALL.contains(&key.kind)
}

/// What has to be written so that everything is as it was. What would have ended by now is not brought back.
fn intended(store: &Store, earlier: Vec<Earlier>, steady_s: u64) -> Vec<Intended> {
    let mut intended = Vec::new();
    for earlier in earlier
        .into_iter()
        .filter(|earlier| is_configuration(&earlier.key))
    {
        let ttl_s = earlier.expires_s.map(|at| at.saturating_sub(steady_s));
        let then = earlier.object.filter(|_| ttl_s != Some(0));
        let now = store.get(&earlier.key);
        let is_same = match (&then, &now) {
            (Some(then), Some(now)) => then.value == now.value,
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            intended.push(Intended {
                path: audit::name(&earlier.key),
                key: earlier.key,
                value: then.map(|object| object.value.clone()),
                ttl_s,
            });
        }
    }
    intended
}

/// First what is needed by others, last what needs others; deleted the other way around.
fn changes(intended: Vec<Intended>) -> Vec<Change> {
    let order = |kind: Kind| Kind::ALL.into_iter().position(|other| other == kind);
    let (mut puts, mut deletes): (Vec<_>, Vec<_>) = intended.into_iter().partition(|one| one.value.is_some());
    puts.sort_by_key(|one| order(one.key.kind));
    deletes.sort_by_key(|one| std::cmp::Reverse(order(one.key.kind)));
    puts.into_iter()
        .chain(deletes)
        .map(|one| match one.value {
            Some(value) => Change::Put {
                key: one.key,
                value,
                ttl_s: one.ttl_s,
            },
            None => Change::Delete { key: one.key },
        })
        .collect()
}

/// Describes the paths.
pub(crate) fn describe(paths: &mut Map<String, Value>) {
    let text = json!({"type": "string"});
    let version = json!({
        "version": {"type": "integer"},
        "time": {"type": "string", "format": "date-time"},
        "actor": text,
        "via": text,
        "action": text,
        "summary": text,
        "changes": {"type": "integer", "description": "objects that it changed"},
        "audit_seq": {"type": "integer", "description": "the entry of the audit log about it"},
    });
    let answer = |schema: Value| {
        json!({
            "200": {"description": "The answer.", "content": {"application/json": {"schema": schema}}},
            "401": {"$ref": "#/components/responses/unauthorized"},
            "403": {"$ref": "#/components/responses/forbidden"},
            "404": {"$ref": "#/components/responses/unknown"},
        })
    };
    let number = json!({"name": "version", "in": "path", "required": true, "schema": {"type": "integer"}});
    let parameter = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    paths.insert("/versions".to_owned(), json!({"get": {
        "tags": ["versions"],
        "summary": "Lists what writes have made of the configuration, the newest first.",
        "parameters": [
            parameter("limit", "versions of an answer; 100 where nothing is said", json!({"type": "integer", "minimum": 1, "maximum": 1000})),
            parameter("after", "`next` of the answer before", text.clone()),
        ],
        "responses": answer(json!({"type": "object", "properties": {
            "items": {"type": "array", "items": {"type": "object", "properties": version}},
            "next": {"type": ["string", "null"]},
        }})),
    }}));
    let mut whole = version;
    whole["objects"] = json!({"type": "array", "items": {"type": "object", "properties": {"object": text, "value": {"type": "object"}}}});
    paths.insert(
        "/versions/{version}".to_owned(),
        json!({
            "parameters": [number],
            "get": {
                "tags": ["versions"],
                "summary": "Reads the whole configuration as it was, without secrets.",
                "responses": answer(json!({"type": "object", "properties": whole})),
            },
        }),
    );
    paths.insert("/versions/{version}/diff".to_owned(), json!({
        "parameters": [number],
        "get": {
            "tags": ["versions"],
            "summary": "Says what differs from another version.",
            "parameters": [parameter("against", "that version; the one before where nothing is said", json!({"type": "integer"}))],
            "responses": answer(json!({"type": "object", "properties": {
                "version": {"type": "integer"},
                "against": {"type": "integer"},
                "changes": plan::outlook_schema()["properties"]["changes"],
            }})),
        },
    }));
    let mut responses = answer(plan::outlook_schema());
    responses["409"] = json!({"$ref": "#/components/responses/conflict"});
    responses["507"] = json!({"$ref": "#/components/responses/full"});
    paths.insert("/versions/{version}/rollback".to_owned(), json!({
        "parameters": [number],
        "post": {
            "tags": ["versions"],
            "summary": "Makes the configuration what it was; that is a version of its own.",
            "parameters": [parameter("dry_run", "`true` only says what would change", json!({"type": "boolean"}))],
            "responses": responses,
        },
    }));
}
