//! Identity and spend: `/tollgate/v1/teams`, `keys`, `budgets`, `limits` and `consumers`.
//!
//! All but consumers are objects of the store, beside those of APISIX; what the configuration's file says is listed with
//! them, and refused to be changed. An administrator of teams sees and writes what belongs to the teams below its own.

mod describe;
mod items;
mod keys;
mod scope;

use std::sync::Arc;

use axum::body::Body;
use http::header::ETAG;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Map, Value, json};
use tollgate_gateway::governance::Governance;
use tollgate_resources::governance as read;
use tollgate_resources::objects::{Kind, Object, ObjectKey, patch};
use tollgate_store::Change;

pub(super) use describe::describe;
pub(crate) use scope::Reach;

use super::{Asked, Problem};
use crate::actor::Actor;
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::condition::Condition;
use crate::errors::Refusal;
use crate::usage;
use items::{Item, text};
use scope::Scope;

/// Items of a list where nothing is said, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// The kind of a path; `None` if it is none of these.
fn kind_of(collection: &str) -> Option<Kind> {
    Kind::OWN.into_iter().find(|kind| kind.collection() == collection)
}

/// Whether a path belongs to this.
pub(super) fn is_ours(path: &[&str]) -> bool {
    path.first()
        .is_some_and(|first| *first == "consumers" || kind_of(first).is_some())
}

impl<D: DataPlane> Admin<D> {
    /// Answers a request about identity and spend.
    pub(super) async fn governance(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        parts: &Parts,
        body: Body,
    ) -> Result<Answer, Problem> {
        let governance = self.data_plane.governance().ok_or_else(|| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "this node serves no calls, so it knows no teams, keys, budgets and limits",
            )
        })?;
        let (method, path) = (asked.method.clone(), asked.path.as_slice());
        if let ["consumers", rest @ ..] = path {
            let Method::GET = method else {
                return Err(Problem::method(
                    "GET; consumers are written in tollgate.yaml, or below /apisix/admin/consumers",
                ));
            };
            return self.consumers(asked, &governance, rest);
        }
        let [collection, rest @ ..] = path else {
            return Err(Problem::unknown("there is no such path"));
        };
        let kind = kind_of(collection).ok_or_else(|| Problem::unknown("there is no such path"))?;
        match (method, rest) {
            (Method::GET, []) => self.list_own(asked, kind, &governance).await,
            (Method::GET, [id]) => self.show_own(asked, kind, id, &governance).await,
            (Method::POST, []) | (Method::PUT | Method::PATCH | Method::DELETE, [_]) => {
                self.write_own(asked, kind, rest.first().copied(), parts, body, governance)
                    .await
            }
            (Method::POST, [id, "rotate"]) if kind == Kind::VirtualKey => {
                self.rotate(asked, id, parts, body, governance).await
            }
            (_, []) => Err(Problem::method("GET or POST")),
            (_, [_]) => Err(Problem::method("GET, PUT, PATCH or DELETE")),
            _ => Err(Problem::unknown("there is no such path")),
        }
    }

    /// Items as they are shown. What is left of budgets may have to be asked of Redis, so another thread asks.
    async fn show_all(
        self: &Arc<Self>,
        kind: Kind,
        items: Vec<Item>,
        governance: &Arc<Governance>,
    ) -> Result<Vec<Value>, Problem> {
        let (admin, governance) = (Arc::clone(self), governance.clone());
        let show = move || {
            let shown = items.into_iter().map(|item| admin.shown(kind, item, &governance));
            shown.map(Value::Object).collect()
        };
        let shown = tokio::task::spawn_blocking(show).await;
        shown.map_err(|_| Problem::from(Refusal::Fault))
    }

    async fn list_own(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        kind: Kind,
        governance: &Arc<Governance>,
    ) -> Result<Answer, Problem> {
        let filters: &[&str] = match kind {
            Kind::VirtualKey => &["consumer", "team", "state"],
            Kind::Team => &["parent"],
            _ => &["for"],
        };
        let mut known = vec!["limit", "after"];
        known.extend(filters);
        asked.only_parameters(&known)?;
        let index = governance.index();
        let scope = Scope::of(&asked.actor, &index, &self.store);
        let limit = match asked.query.first("limit") {
            None => USUAL,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MOST).contains(limit))
                .ok_or_else(|| Problem::invalid("limit", format!("`limit` is a number from 1 to {MOST}")))?,
        };
        let mut items = self.items(kind, governance);
        items.retain(|item| scope.sees(kind, &item.value));
        for filter in filters {
            if let Some(wanted) = asked.query.first(filter) {
                items::filter(&mut items, filter, wanted, self.now_s())?;
            }
        }
        items.sort_by(|one, other| one.id().cmp(other.id()));
        if let Some(after) = asked.query.first("after") {
            items.retain(|item| item.id() > after);
        }
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(|item| item.id().to_owned());
        let shown = self.show_all(kind, items, governance).await?;
        Ok(Answer::json(
            StatusCode::OK,
            json!({"items": shown, "next": next}),
        ))
    }

    async fn show_own(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        kind: Kind,
        id: &str,
        governance: &Arc<Governance>,
    ) -> Result<Answer, Problem> {
        asked.only_parameters(&[])?;
        let index = governance.index();
        let scope = Scope::of(&asked.actor, &index, &self.store);
        let items = self.items(kind, governance);
        let item = items
            .into_iter()
            .find(|item| item.id() == id && scope.sees(kind, &item.value))
            .ok_or_else(|| unknown(kind, id))?;
        self.answer(StatusCode::OK, kind, item, governance).await
    }

    /// An item with its revision, in the body and in the header.
    async fn answer(
        self: &Arc<Self>,
        status: StatusCode,
        kind: Kind,
        item: Item,
        governance: &Arc<Governance>,
    ) -> Result<Answer, Problem> {
        let etag = item.etag();
        let value = self
            .show_all(kind, vec![item], governance)
            .await?
            .pop()
            .unwrap_or_default();
        let answer = Answer::json(status, value);
        Ok(match etag.and_then(|etag| HeaderValue::try_from(etag).ok()) {
            Some(etag) => answer.with(ETAG, etag),
            None => answer,
        })
    }

    async fn write_own(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        kind: Kind,
        id: Option<&str>,
        parts: &Parts,
        body: Body,
        governance: Arc<Governance>,
    ) -> Result<Answer, Problem> {
        asked.only_parameters(&[])?;
        let condition = Condition::read(&parts.headers)?;
        let mut body = self.members(parts, body, items::members(kind)).await?;
        let method = parts.method.clone();
        if let Some(id) = id {
            match body.get("id") {
                Some(other) if other != id => {
                    return Err(Problem::invalid("id", format!("`id` is `{id}` in the path")));
                }
                _ => {}
            }
        }
        let is_chosen = id.is_none() && body.get("id").is_some_and(|id| !id.is_null());
        // Asked before others are kept waiting. Only who may not see everything must not find what a team before has left.
        let has_called = match (self.data_plane.usage(), text(&body, "id").to_owned()) {
            (Some(reader), id) if is_chosen && kind == Kind::Team && !asked.actor.reads_all() => {
                usage::blocking(&self.asking, move || reader.knows_team(&id)).await?
            }
            _ => false,
        };
        let (admin, actor) = (Arc::clone(self), asked.actor.clone());
        let id = id.map(str::to_owned);
        let write = async move {
            let _writing = admin.writing.lock().await;
            let id = match id {
                Some(id) => id,
                None => items::new_id(kind, &body, &admin.store)?,
            };
            body.insert("id".to_owned(), id.clone().into());
            let key = ObjectKey::new(kind, id.as_str());
            let before = admin.store.get(&key);
            admin.may_name(&actor, &method, &key, is_chosen, has_called, &governance)?;
            if governance.is_in_file(kind, &id) {
                return Err(Problem::conflict(
                    "in_file",
                    format!("the {kind} `{id}` is written in the configuration's file; change it there"),
                ));
            }
            if let Some(condition) = condition {
                condition.check(before.as_deref())?;
            }
            match method {
                Method::DELETE => admin.delete_own(&actor, &key, before, &governance).await,
                Method::POST if before.is_some() => Err(Problem::conflict(
                    "exists",
                    format!("there is a {kind} `{id}` already; choose another `id`, or change that one"),
                )),
                Method::PATCH if before.is_none() => Err(unknown(kind, &id)),
                _ => {
                    let is_patch = method == Method::PATCH;
                    admin
                        .put_own(&actor, key, body, before, is_patch, &governance)
                        .await
                }
            }
        };
        self.finish(write).await?
    }

    /// What is somebody else's is not there for an administrator of teams, nor may it be taken by giving something its name.
    fn may_name(
        &self,
        actor: &Actor,
        method: &Method,
        key: &ObjectKey,
        is_chosen: bool,
        has_called: bool,
        governance: &Governance,
    ) -> Result<(), Problem> {
        let index = governance.index();
        let scope = Scope::of(actor, &index, &self.store);
        if !scope.is_limited() {
            return Ok(());
        }
        let item = self.items(key.kind, governance).into_iter();
        let item = item.into_iter().find(|item| item.id() == key.id);
        let is_seen = item.is_some_and(|item| scope.sees(key.kind, &item.value));
        if *method != Method::POST {
            // Whether a new one may have this id would tell whether somebody has it.
            return if is_seen {
                Ok(())
            } else {
                Err(unknown(key.kind, &key.id))
            };
        }
        if !is_chosen || is_seen {
            return Ok(());
        }
        if key.kind != Kind::Team {
            return Err(Problem::invalid(
                "id",
                "leave `id` out: an administrator of teams is given one; `name` is for people",
            ));
        }
        let is_of_another =
            self.settings.administers(&key.id) || items::is_team(&key.id, &self.store, &index);
        if is_of_another || has_called {
            return Err(Problem::conflict(
                "taken",
                format!("the id `{}` is or was used; choose another `id`", key.id),
            ));
        }
        Ok(())
    }

    async fn put_own(
        self: &Arc<Self>,
        actor: &Actor,
        key: ObjectKey,
        body: Map<String, Value>,
        before: Option<Arc<Object>>,
        is_patch: bool,
        governance: &Arc<Governance>,
    ) -> Result<Answer, Problem> {
        if key.kind == Kind::VirtualKey {
            return self.put_key(actor, key, body, before, is_patch, governance).await;
        }
        let mut value = match &before {
            Some(before) if is_patch => before.value.clone(),
            _ => Map::new(),
        };
        patch::merge(&mut value, body);
        let index = governance.index();
        let scope = Scope::of(actor, &index, &self.store);
        if let Some(before) = &before {
            scope.may_write(key.kind, &before.value)?;
        }
        let value = items::checked(key.kind, &value, &self.store, &index, &scope)?;
        scope.may_write(key.kind, &value)?;
        let expected = vec![(key.clone(), before.as_ref().map(|before| before.modified_index))];
        let status = match before {
            Some(_) => StatusCode::OK,
            None => StatusCode::CREATED,
        };
        self.write_changes(actor, expected, vec![put(&key, value)])
            .await?;
        self.show_written(status, &key, governance).await
    }

    async fn delete_own(
        self: &Arc<Self>,
        actor: &Actor,
        key: &ObjectKey,
        before: Option<Arc<Object>>,
        governance: &Arc<Governance>,
    ) -> Result<Answer, Problem> {
        let before = before.ok_or_else(|| unknown(key.kind, &key.id))?;
        let index = governance.index();
        let scope = Scope::of(actor, &index, &self.store);
        scope.may_write(key.kind, &before.value)?;
        let mut changes = Vec::new();
        if let Some(user) = items::user_of(key, &self.store, &index) {
            return Err(Problem::conflict(
                "in_use",
                format!(
                    "the {} `{}` is used by {user}; change or delete that first",
                    key.kind, key.id
                ),
            ));
        }
        if key.kind == Kind::VirtualKey {
            // What counts for a key only, goes with it.
            changes.extend(self.of_key(&key.id).map(|object| Change::Delete {
                key: object.key.clone(),
            }));
        }
        changes.push(Change::Delete { key: key.clone() });
        let expected = vec![(key.clone(), Some(before.modified_index))];
        self.write_changes(actor, expected, changes).await?;
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }

    /// What was written, as it is shown.
    async fn show_written(
        self: &Arc<Self>,
        status: StatusCode,
        key: &ObjectKey,
        governance: &Arc<Governance>,
    ) -> Result<Answer, Problem> {
        let object = self.store.get(key).ok_or_else(|| unknown(key.kind, &key.id))?;
        self.answer(status, key.kind, Item::stored(&object), governance)
            .await
    }

    /// Stores changes, and makes them take effect. Only for whom holds [`Admin::writing`].
    async fn write_changes(
        &self,
        actor: &Actor,
        expected: Vec<(ObjectKey, Option<u64>)>,
        changes: Vec<Change>,
    ) -> Result<(), Problem> {
        self.commit(actor, None, expected, changes).await?;
        Ok(())
    }

    /// The budgets and limits that are for a key.
    fn of_key(&self, id: &str) -> impl Iterator<Item = Arc<Object>> {
        let subject = format!("key/{id}");
        let budgets = self.store.list(Kind::Budget).into_iter();
        budgets
            .chain(self.store.list(Kind::Limit))
            .filter(move |object| object.value.get("for").and_then(Value::as_str) == Some(subject.as_str()))
    }

    /// The calls that somebody is told of.
    pub(crate) fn reach(&self, actor: &Actor) -> Reach {
        match self.data_plane.governance() {
            Some(governance) => Scope::of(actor, &governance.index(), &self.store).reach(),
            // A node that serves no calls knows no teams below.
            None => Reach {
                teams: actor.scope().map(<[String]>::to_vec),
                ..Reach::default()
            },
        }
    }

    fn consumers(
        &self,
        asked: &Asked<'_>,
        governance: &Governance,
        rest: &[&str],
    ) -> Result<Answer, Problem> {
        asked.only_parameters(&["team", "limit", "after"])?;
        let index = governance.index();
        let scope = Scope::of(&asked.actor, &index, &self.store);
        let mut all = items::consumers(&index, &self.store, &self.data_plane.models_of_consumers());
        all.retain(|consumer| scope.covers(consumer.get("team").and_then(Value::as_str)));
        if let [name] = rest {
            let found = all.into_iter().find(|consumer| consumer["name"] == **name);
            let found = found.ok_or_else(|| {
                Problem::unknown(format!("there is no consumer `{name}`; see GET /consumers"))
            })?;
            return Ok(Answer::json(StatusCode::OK, found));
        }
        if let Some(team) = asked.query.first("team") {
            all.retain(|consumer| consumer["team"] == team);
        }
        let after = asked.query.first("after").unwrap_or_default();
        all.retain(|consumer| consumer["name"].as_str().is_some_and(|name| name > after));
        let limit = asked.query.first("limit").and_then(|text| text.parse().ok());
        let limit = limit.unwrap_or(MOST).clamp(1, MOST);
        let has_more = all.len() > limit;
        all.truncate(limit);
        let next = all
            .last()
            .filter(|_| has_more)
            .map(|consumer| consumer["name"].clone());
        Ok(Answer::json(StatusCode::OK, json!({"items": all, "next": next})))
    }
}

fn put(key: &ObjectKey, value: Map<String, Value>) -> Change {
    Change::Put {
        key: key.clone(),
        value,
        ttl_s: None,
    }
}

fn unknown(kind: Kind, id: &str) -> Problem {
    Problem::unknown(format!(
        "there is no {kind} `{id}`; GET /tollgate/v1/{} lists those that there are",
        kind.collection()
    ))
}

impl From<read::Wrong> for Problem {
    fn from(wrong: read::Wrong) -> Self {
        Problem::invalid(wrong.field.clone(), wrong.text)
    }
}
