//! Teams, keys, budgets and limits of both origins, as they are listed; and what they may refer to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tollgate_gateway::Guest;
use tollgate_gateway::governance::{Governance, Index};
use tollgate_resources::governance as own;
use tollgate_resources::model::Subject;
use tollgate_resources::objects::{Kind, Object, ObjectKey};
use tollgate_store::Store;

use super::scope::Scope;
use crate::admin::{Admin, DataPlane};
use crate::v1::Problem;

/// One of the list.
pub(super) struct Item {
    /// As it is stored.
    pub(super) value: Map<String, Value>,
    /// The revision, of those of the store.
    revision: Option<u64>,
}

impl Item {
    pub(super) fn stored(object: &Object) -> Item {
        Item {
            value: object.value.clone(),
            revision: Some(object.modified_index),
        }
    }

    fn in_file(value: Map<String, Value>) -> Item {
        Item {
            value,
            revision: None,
        }
    }

    pub(super) fn id(&self) -> &str {
        text(&self.value, "id")
    }

    /// The revision as conditions name it; `None` for what is not of the store.
    pub(super) fn etag(&self) -> Option<String> {
        self.revision.map(|revision| format!("\"{revision}\""))
    }
}

pub(super) fn text<'v>(value: &'v Map<String, Value>, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The members that a body may have.
pub(super) fn members(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Team => &["id", "name", "parent", "models", "disabled", "labels"],
        Kind::Budget => &["id", "for", "usd", "tokens", "per", "warn_at", "hard", "disabled"],
        Kind::Limit => &["id", "for", "requests", "tokens", "concurrent", "per", "disabled"],
        _ => &[
            "id",
            "name",
            "consumer",
            "team",
            "models",
            "expires_at",
            "disabled",
            "labels",
            "budget",
            "limits",
        ],
    }
}

impl<D: DataPlane> Admin<D> {
    /// All of a kind: those of the file, and those of the store.
    pub(super) fn items(&self, kind: Kind, governance: &Governance) -> Vec<Item> {
        let file = governance.in_file();
        let mut items: Vec<Item> = match kind {
            Kind::Team => file.teams.iter().map(own::team_json).map(Item::in_file).collect(),
            Kind::Budget => file
                .budgets
                .iter()
                .map(own::budget_json)
                .map(Item::in_file)
                .collect(),
            Kind::Limit => file
                .limits
                .iter()
                .map(own::limit_json)
                .map(Item::in_file)
                .collect(),
            _ => Vec::new(),
        };
        items.extend(self.store.list(kind).iter().map(|object| Item::stored(object)));
        items
    }

    /// An item as it is shown: with its origin, revision and state, and without what nobody may see.
    pub(super) fn shown(&self, kind: Kind, item: Item, governance: &Arc<Governance>) -> Map<String, Value> {
        let (etag, id) = (item.etag(), item.id().to_owned());
        let mut value = item.value;
        match kind {
            Kind::Team => {
                // Filled in, so that every answer has the same members.
                if let Ok(team) = own::team(&value) {
                    value = own::team_json(&team);
                }
            }
            Kind::Budget => {
                if let Ok(budget) = own::budget(&value) {
                    value = own::budget_json(&budget);
                }
                if let Some(state) = governance.budget_state(&id) {
                    value.insert("state".to_owned(), state.to_json());
                }
            }
            Kind::Limit => {
                if let Ok(limit) = own::limit(&value) {
                    value = own::limit_json(&limit);
                }
                if let Some(state) = governance.limit_state(&id) {
                    value.insert("state".to_owned(), state.to_json());
                }
            }
            _ => self.show_key(&mut value, governance),
        }
        let origin = if etag.is_some() { "object" } else { "file" };
        value.insert("origin".to_owned(), origin.into());
        value.insert("etag".to_owned(), etag.into());
        value
    }

    /// A key without its secrets, with what counts for it alone.
    fn show_key(&self, value: &mut Map<String, Value>, governance: &Arc<Governance>) {
        let Ok(mut key) = own::virtual_key(value) else {
            value.remove("hash");
            value.remove("former");
            return;
        };
        let index = governance.index();
        let used = index.by_id.get(key.id.as_str()).map_or(0, |known| {
            known.last_used.load(std::sync::atomic::Ordering::Relaxed)
        });
        key.last_used_at = key.last_used_at.max(Some(used).filter(|used| *used > 0));
        *value = own::key_json(&key);
        let now = self.now_s();
        let former: Vec<String> = key
            .former
            .iter()
            .filter(|former| former.until > now)
            .map(|former| own::time_text(former.until))
            .collect();
        value.insert("former_secret_until".to_owned(), former.last().cloned().into());
        value.insert("state".to_owned(), state(&key, now).into());
        let (mut budget, mut limits) = (Value::Null, Vec::new());
        for object in self.of_key(&key.id) {
            let mut one = object.value.clone();
            match object.key.kind {
                Kind::Budget => {
                    if let Some(state) = governance.budget_state(&object.key.id) {
                        one.insert("state".to_owned(), state.to_json());
                    }
                    budget = Value::Object(one);
                }
                _ => limits.push(Value::Object(one)),
            }
        }
        value.insert("budget".to_owned(), budget);
        value.insert("limits".to_owned(), limits.into());
    }
}

/// How a key stands, as a word.
pub(super) fn state(key: &tollgate_resources::model::VirtualKey, now_s: u64) -> &'static str {
    match key.expires_at {
        _ if key.disabled => "disabled",
        Some(at) if at <= now_s => "expired",
        _ => "active",
    }
}

/// Keeps those that a filter wants.
pub(super) fn filter(items: &mut Vec<Item>, name: &str, wanted: &str, now_s: u64) -> Result<(), Problem> {
    if name != "state" {
        items.retain(|item| text(&item.value, name) == wanted);
        return Ok(());
    }
    if !["active", "disabled", "expired"].contains(&wanted) {
        return Err(Problem::invalid(
            "state",
            "`state` is one of active, disabled and expired",
        ));
    }
    items.retain(|item| own::virtual_key(&item.value).is_ok_and(|key| state(&key, now_s) == wanted));
    Ok(())
}

/// The id of a new object: the one that is written, else one that nobody has.
pub(super) fn new_id(kind: Kind, body: &Map<String, Value>, store: &Store) -> Result<String, Problem> {
    match body.get("id") {
        Some(Value::String(id)) => Ok(id.clone()),
        None | Some(Value::Null) => {
            let letter = match kind {
                Kind::Team => "team",
                Kind::Budget => "budget",
                Kind::Limit => "limit",
                _ => "key",
            };
            let id = |number: u64| format!("{letter}-{number}");
            let is_free = |number: &u64| store.get(&ObjectKey::new(kind, id(*number))).is_none();
            // Somebody may have chosen such an id.
            let number = (store.revision() + 1..).find(is_free);
            Ok(id(number.unwrap_or(u64::MAX)))
        }
        Some(_) => Err(Problem::invalid("id", "`id` must be text")),
    }
}

/// An object as it is to be stored, with everything that it refers to.
pub(super) fn checked(
    kind: Kind,
    value: &Map<String, Value>,
    store: &Store,
    index: &Index,
    scope: &Scope<'_>,
) -> Result<Map<String, Value>, Problem> {
    match kind {
        Kind::Team => {
            let team = own::team(value)?;
            if let Some(parent) = team
                .parent
                .as_deref()
                .filter(|parent| !scope.covers(Some(parent)))
            {
                // As if it was not there.
                return Err(Problem::invalid("parent", own::no_such_parent(parent)));
            }
            let others = index.teams.values().filter(|other| other.id != team.id);
            let teams = others.chain([&team]);
            let parents = teams.map(|team| (team.id.as_str(), team.parent.as_deref()));
            match own::tree_mistake(parents) {
                Some((_, text)) => Err(Problem::invalid("parent", text)),
                None => Ok(own::team_json(&team)),
            }
        }
        Kind::Budget => {
            let budget = own::budget(value)?;
            refer(&budget.subject, store, index, scope)?;
            Ok(own::budget_json(&budget))
        }
        _ => {
            let limit = own::limit(value)?;
            refer(&limit.subject, store, index, scope)?;
            Ok(own::limit_json(&limit))
        }
    }
}

/// Refuses a subject that is not there.
fn refer(subject: &Subject, store: &Store, index: &Index, scope: &Scope<'_>) -> Result<(), Problem> {
    let (is_there, list) = match subject {
        Subject::All => (true, ""),
        Subject::Team(id) => (index.teams.contains_key(id), "teams"),
        Subject::Key(id) => (index.by_id.contains_key(id.as_str()), "keys"),
        // What people try on the dashboard counts for it.
        Subject::Consumer(name) if name == Guest::CONSUMER => (true, ""),
        Subject::Consumer(name) => (is_consumer(name, store, index), "consumers"),
    };
    // What may be spent by all, everybody knows to be there; writing it is refused.
    let is_seen = *subject == Subject::All || scope.reaches(subject);
    match is_there && is_seen {
        true => Ok(()),
        false => Err(Problem::invalid(
            "for",
            format!("there is no `{subject}`; GET /tollgate/v1/{list} lists those that there are"),
        )),
    }
}

/// Whether there is a consumer of this name.
pub(super) fn is_consumer(name: &str, store: &Store, index: &Index) -> bool {
    index.consumers.contains_key(name) || store.get(&ObjectKey::new(Kind::Consumer, name)).is_some()
}

/// Whether something belongs to a team of this id, also if there is none.
pub(super) fn is_team(id: &str, store: &Store, index: &Index) -> bool {
    let objects = |kind: Kind| store.list(kind).into_iter();
    let subject = format!("team/{id}");
    index.teams.contains_key(id)
        || index.consumers.values().flatten().any(|team| **team == *id)
        || objects(Kind::Consumer).any(|object| team_of_object(&object.value).as_deref() == Some(id))
        || objects(Kind::VirtualKey).any(|object| text(&object.value, "team") == id)
        || objects(Kind::Team).any(|object| text(&object.value, "parent") == id)
        || objects(Kind::Budget)
            .chain(objects(Kind::Limit))
            .any(|object| text(&object.value, "for") == subject)
}

/// What uses an object, so that it cannot go.
pub(super) fn user_of(key: &ObjectKey, store: &Store, index: &Index) -> Option<String> {
    if key.kind != Kind::Team {
        return None;
    }
    let id = key.id.as_str();
    if let Some(child) = index
        .teams
        .values()
        .find(|team| team.parent.as_deref() == Some(id))
    {
        return Some(format!("the team `{}`", child.id));
    }
    if let Some(key) = index
        .by_id
        .values()
        .find(|key| key.key.team.as_deref() == Some(id))
    {
        return Some(format!("the key `{}`", key.id));
    }
    let subject = format!("team/{id}");
    let of = |kind: Kind| {
        let objects = store.list(kind);
        let found = objects
            .iter()
            .find(|object| text(&object.value, "for") == subject);
        found.map(|object| format!("the {kind} `{}`", object.key.id))
    };
    of(Kind::Budget).or_else(|| of(Kind::Limit))
}

/// The team of a consumer that is an object.
pub(super) fn team_of_object(value: &Map<String, Value>) -> Option<String> {
    let group = value.get("group_id").and_then(|id| match id {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    });
    group.or_else(|| Some(value.get("labels")?.get("team")?.as_str()?.to_owned()))
}

/// Everybody who may call, of both origins, by name.
pub(super) fn consumers(index: &Index, store: &Store, models: &BTreeMap<String, Vec<String>>) -> Vec<Value> {
    let mut all = BTreeMap::new();
    let keys_of = |name: &str| {
        let keys = index.by_id.values();
        keys.filter(|key| key.consumer.as_deref() == Some(name)).count()
    };
    for object in store.list(Kind::Consumer) {
        let name = object.key.id.as_str();
        let credentials = store.credentials_of(name).len();
        let own = object.value.get("plugins").and_then(Value::as_object);
        let own = own.map_or(0, |plugins| {
            plugins.keys().filter(|plugin| plugin.ends_with("-auth")).count()
        });
        let value = json!({
            "name": name,
            "origin": "object",
            "team": team_of_object(&object.value),
            "labels": object.value.get("labels").cloned().unwrap_or_else(|| json!({})),
            "keys": keys_of(name) + credentials + own,
            "models": Value::Null,
        });
        all.insert(name.to_owned(), value);
    }
    for (name, team) in &index.consumers {
        let value = json!({
            "name": name,
            "origin": "file",
            "team": team.as_deref(),
            "labels": {},
            "keys": keys_of(name),
            "models": models.get(name),
        });
        all.insert(name.clone(), value);
    }
    all.into_values().collect()
}
