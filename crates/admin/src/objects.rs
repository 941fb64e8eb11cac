//! Reading, writing and deleting objects one by one.

use std::sync::Arc;

use http::header::ETAG;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use tollgate_resources::objects::{Kind, Object, ObjectKey, Write, patch};
use tollgate_store::{Applied, Change};

use crate::actor::Actor;
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::body;
use crate::check::{self, Among, Checked, Proposal};
use crate::condition::Condition;
use crate::errors::Refusal;
use crate::list;
use crate::query::Query;
use crate::target::Target;

impl<D: DataPlane> Admin<D> {
    /// `GET`: one object, or a list.
    pub(crate) fn read(&self, target: &Target, query: &Query) -> Result<Answer, Refusal> {
        if let Some(key) = target.object() {
            let object = self.store.get(&key).ok_or(Refusal::NoObject)?;
            return Ok(self.tagged(Answer::json(StatusCode::OK, list::one(&object)), &object));
        }
        let objects = match (target.kind, &target.parent) {
            (Kind::Credential, Some(username)) => {
                let credentials = self.store.credentials_of(username);
                if credentials.is_empty() {
                    return Err(Refusal::NoObject);
                }
                credentials
            }
            (kind, _) => self.store.list(kind),
        };
        list::list(target.kind, objects, query)
    }

    /// `PUT`: creates an object or replaces it whole.
    pub(crate) async fn put(
        &self,
        actor: &Actor,
        target: &Target,
        body: Option<Value>,
        ttl_s: Option<u64>,
        condition: Option<Condition>,
    ) -> Result<Answer, Refusal> {
        let _writing = self.writing.lock().await;
        // ADC writes the upstream of a service that has none as an empty body.
        let bodiless = body.is_none() && target.kind == Kind::Upstream && !self.settings.strict;
        let body = match body {
            Some(body) => object_of(body)?,
            None if bodiless => Map::from_iter([("nodes".to_owned(), json!({}))]),
            None => return Err(Refusal::Invalid("missing configurations".to_owned())),
        };
        let mut warnings = Vec::new();
        let Checked { key, mut value } = self.check(target, Write::Put, body, &mut warnings)?;
        let key = key.ok_or(Refusal::Fault)?;
        if let Some(condition) = condition {
            condition.check(self.store.get(&key).as_deref())?;
        }
        if bodiless {
            value.remove("nodes");
        }
        if let Some(username) = &target.parent
            && target.kind == Kind::Credential
            && self
                .store
                .get(&ObjectKey::new(Kind::Consumer, username.as_str()))
                .is_none()
        {
            return Err(Refusal::Missing("consumer not found".to_owned()));
        }
        if key.kind != Kind::PluginMetadata {
            let created = self
                .store
                .get(&key)
                .and_then(|object| object.value.get("create_time").cloned());
            let now_s = self.now_s();
            value.insert("create_time".to_owned(), created.unwrap_or_else(|| now_s.into()));
            value.insert("update_time".to_owned(), now_s.into());
        }
        let applied = self
            .commit(actor, None, Vec::new(), vec![Change::Put { key, value, ttl_s }])
            .await?;
        Ok(self.written(&applied)?.warning(&warnings))
    }

    /// `POST`: creates an object under an id of ours.
    pub(crate) async fn post(
        &self,
        actor: &Actor,
        target: &Target,
        body: Option<Value>,
        ttl_s: Option<u64>,
    ) -> Result<Answer, Refusal> {
        let _writing = self.writing.lock().await;
        let body = object_of(body.ok_or_else(|| Refusal::Invalid("missing configurations".to_owned()))?)?;
        let mut warnings = Vec::new();
        let Checked { mut value, .. } = self.check(target, Write::Post, body, &mut warnings)?;
        let key = self.new_key(target);
        let now_s = self.now_s();
        value.insert("id".to_owned(), key.id.clone().into());
        value.insert("create_time".to_owned(), now_s.into());
        value.insert("update_time".to_owned(), now_s.into());
        let applied = self
            .commit(
                actor,
                None,
                vec![(key.clone(), None)],
                vec![Change::Put { key, value, ttl_s }],
            )
            .await?;
        Ok(self.written(&applied)?.warning(&warnings))
    }

    /// A key that no object has: the next revision, as APISIX does it.
    fn new_key(&self, target: &Target) -> ObjectKey {
        let mut number = self.store.revision() + 1;
        loop {
            let key = target.key(&format!("{number:020}"));
            if self.store.get(&key).is_none() {
                return key;
            }
            number += 1;
        }
    }

    /// `PATCH`: changes a part of an object.
    pub(crate) async fn patch(
        &self,
        actor: &Actor,
        target: &Target,
        body: Option<Value>,
        ttl_s: Option<u64>,
        condition: Option<Condition>,
    ) -> Result<Answer, Refusal> {
        let _writing = self.writing.lock().await;
        let Some(key) = target.object() else {
            return Err(Refusal::Invalid(match target.kind {
                Kind::Secret => "no secret id".to_owned(),
                _ => format!("missing {} id", target.word()),
            }));
        };
        let change = body.ok_or_else(|| Refusal::Invalid("missing new configuration".to_owned()))?;
        if target.part.is_empty() && !change.is_object() {
            return Err(Refusal::Invalid("invalid configuration".to_owned()));
        }
        let object = self.store.get(&key).ok_or(Refusal::NoObject)?;
        if let Some(condition) = condition {
            condition.check(Some(&object))?;
        }
        let keeps_time =
            target.part.is_empty() && change.get("update_time").is_some_and(|time| !time.is_null());
        let mut value = patched(&object, &target.part, change)?;
        let now_s = self.now_s();
        if !value.contains_key("create_time") {
            value.insert("create_time".to_owned(), now_s.into());
        }
        if !keeps_time {
            value.insert("update_time".to_owned(), now_s.into());
        }
        let mut warnings = Vec::new();
        let Checked { value, .. } = self.check(target, Write::Patch, value, &mut warnings)?;
        let expected = vec![(key.clone(), Some(object.modified_index))];
        let applied = self
            .commit(actor, None, expected, vec![Change::Put { key, value, ttl_s }])
            .await?;
        Ok(self.written(&applied)?.warning(&warnings))
    }

    /// `DELETE`: removes an object, and the credentials of a consumer with it. `force` skips the look for users of it.
    pub(crate) async fn delete(
        &self,
        actor: &Actor,
        target: &Target,
        force: bool,
        condition: Option<Condition>,
    ) -> Result<Answer, Refusal> {
        let _writing = self.writing.lock().await;
        let key = target
            .object()
            .ok_or_else(|| Refusal::Invalid(format!("missing {} id", target.word())))?;
        if let (Some(condition), Some(object)) = (condition, self.store.get(&key)) {
            condition.check(Some(&object))?;
        }
        if !force {
            check::unused(&key, &self.store).map_err(Refusal::Invalid)?;
        }
        if self.store.get(&key).is_none() {
            return if self.gone_with_another(&key) {
                Ok(deleted(&key))
            } else {
                Err(Refusal::NoObject)
            };
        }
        let mut changes: Vec<Change> = match key.kind {
            Kind::Consumer => self
                .store
                .credentials_of(&key.id)
                .iter()
                .map(|credential| Change::Delete {
                    key: credential.key.clone(),
                })
                .collect(),
            _ => Vec::new(),
        };
        changes.push(Change::Delete { key: key.clone() });
        self.commit(actor, Some("delete"), Vec::new(), changes).await?;
        if key.kind == Kind::Service {
            self.service_is_gone(&key.id);
        }
        Ok(deleted(&key))
    }

    /// Tells whether an object that is not there went with another, so that deleting it has to be no error: ADC deletes
    /// the credentials of a consumer it has deleted, and the upstream of a service it has deleted.
    fn gone_with_another(&self, key: &ObjectKey) -> bool {
        if self.settings.strict {
            return false;
        }
        match key.owner() {
            Some(username) => self
                .store
                .get(&ObjectKey::new(Kind::Consumer, username))
                .is_none(),
            None => key.kind == Kind::Upstream && self.was_service(&key.id),
        }
    }

    /// Tells the revision of an object also in the header by which conditions name it.
    fn tagged(&self, answer: Answer, object: &Object) -> Answer {
        let tag = HeaderValue::try_from(format!("\"{}\"", object.modified_index));
        match tag {
            Ok(tag) if !self.settings.strict => answer.with(ETAG, tag),
            _ => answer,
        }
    }

    /// The answer to a write of one object.
    fn written(&self, applied: &[Applied]) -> Result<Answer, Refusal> {
        let first = applied.first().ok_or(Refusal::Fault)?;
        let object: &Arc<Object> = first.after.as_ref().ok_or(Refusal::Fault)?;
        let status = match first.before {
            None => StatusCode::CREATED,
            Some(_) => StatusCode::OK,
        };
        let value = json!({"key": object.key.path(), "value": list::written(object)});
        Ok(self.tagged(Answer::json(status, value), object))
    }

    fn check(
        &self,
        target: &Target,
        write: Write,
        body: Map<String, Value>,
        warnings: &mut Vec<String>,
    ) -> Result<Checked, Refusal> {
        let with_manager;
        let (id_in_path, owner) = match (target.kind, &target.parent, &target.id) {
            (Kind::Secret, Some(manager), Some(id)) => {
                with_manager = format!("{manager}/{id}");
                (Some(with_manager.as_str()), None)
            }
            (_, owner, id) => (id.as_deref(), owner.as_deref()),
        };
        let proposal = Proposal {
            kind: target.kind,
            write,
            id_in_path,
            owner,
            body,
        };
        check::object(&self.registry, proposal, &Among::Store(&self.store), warnings)
            .map_err(Refusal::Invalid)
    }
}

/// The seconds of `?ttl=`.
pub(crate) fn ttl(query: &Query) -> Result<Option<u64>, Refusal> {
    let Some(text) = query.first("ttl") else {
        return Ok(None);
    };
    match text.trim().parse::<f64>() {
        // Cut to what fits; nothing lives for less than a second.
        Ok(seconds) if seconds.is_finite() => Ok(Some(seconds.ceil().clamp(1.0, 1e12) as u64)),
        _ => Err(Refusal::Invalid(
            "invalid argument ttl: should be a number".to_owned(),
        )),
    }
}

/// The value of an object after a change of it, or of a part of it.
fn patched(object: &Object, part: &[String], change: Value) -> Result<Map<String, Value>, Refusal> {
    match change {
        Value::Object(change) if part.is_empty() => {
            let mut value = object.value.clone();
            patch::merge(&mut value, change);
            Ok(value)
        }
        change => {
            let mut value = Value::Object(object.value.clone());
            patch::set(&mut value, &part.join("/"), change)
                .map_err(|error| Refusal::Invalid(error.to_string()))?;
            object_of(value)
        }
    }
}

/// The members of a body.
fn object_of(body: Value) -> Result<Map<String, Value>, Refusal> {
    match body {
        Value::Object(value) => Ok(value),
        other => Err(Refusal::Invalid(format!(
            "invalid configuration: wrong type: expected object, got {}",
            body::type_word(&other)
        ))),
    }
}

fn deleted(key: &ObjectKey) -> Answer {
    Answer::json(StatusCode::OK, json!({"deleted": "1", "key": key.path()}))
}
