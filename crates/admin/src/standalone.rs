//! The whole configuration as one document: `/apisix/admin/configs`, for tools that know what there should be in the end.
//!
//! A document has a list for each collection and a version for each list. A list is replaced when its version grows, and
//! what it does not hold any more is deleted. The document is kept as it was sent, because the tools compare.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use tollgate_resources::objects::{Kind, ObjectKey};
use tollgate_store::Change;

use crate::actor::Actor;
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::document::{self, Item};
use crate::errors::Refusal;

const LAST_MODIFIED: HeaderName = HeaderName::from_static("x-last-modified");
const DIGEST: HeaderName = HeaderName::from_static("x-digest");

/// The document that is in effect.
pub(crate) struct Document {
    /// When it was put, in seconds since 1970.
    last_modified: u64,
    /// What its writer called it.
    digest: HeaderValue,
    /// The list of each collection, as it was sent. Empty lists are not kept.
    lists: BTreeMap<&'static str, Text>,
    /// The version of each list.
    versions: BTreeMap<&'static str, Value>,
    /// Each object, as it is in effect.
    items: BTreeMap<ObjectKey, Known>,
}

/// A value as JSON. The store has all objects as values; beside that, texts take a tenth of the memory. The same values are the same
/// texts, because members are in order.
type Text = Arc<str>;

/// An object of the document.
#[derive(Clone, PartialEq)]
struct Known {
    /// Its list.
    collection: &'static str,
    /// The index its writer gave it.
    index: Option<i64>,
    value: Text,
}

impl Known {
    fn of(collection: &'static str, item: &Item) -> Known {
        Known {
            collection,
            index: item.index,
            value: text(serde_json::to_string(&item.value)),
        }
    }
}

/// What was written. Values can always be.
fn text(written: serde_json::Result<String>) -> Text {
    written.unwrap_or_default().into()
}

impl Document {
    fn headers(&self, answer: Answer) -> Answer {
        answer
            .with(LAST_MODIFIED, self.last_modified.into())
            .with(DIGEST, self.digest.clone())
    }

    fn show(&self) -> Map<String, Value> {
        let mut all = Map::new();
        for collection in document::COLLECTIONS {
            let version = self.versions.get(collection).cloned().unwrap_or_else(|| 0.into());
            all.insert(document::version_key(collection), version);
            if let Some(list) = self.lists.get(collection) {
                // It was a value when it was written.
                all.insert(
                    collection.to_owned(),
                    serde_json::from_str(list).unwrap_or_default(),
                );
            }
        }
        all.insert("X-Last-Modified".to_owned(), self.last_modified.into());
        let digest = String::from_utf8_lossy(self.digest.as_bytes()).into_owned();
        all.insert("X-Digest".to_owned(), digest.into());
        all
    }

    fn version(&self, collection: &str) -> f64 {
        self.versions
            .get(collection)
            .and_then(Value::as_f64)
            .unwrap_or(0.0)
    }
}

impl<D: DataPlane> Admin<D> {
    fn current(&self) -> Option<Arc<Document>> {
        self.document
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// `HEAD /configs`.
    pub(crate) fn head_document(&self) -> Answer {
        let answer = Answer::empty(StatusCode::OK);
        match self.current() {
            Some(document) => document.headers(answer),
            None => answer,
        }
    }

    /// `GET /configs`, as JSON, or as YAML for those who ask for it.
    pub(crate) fn show_document(&self, headers: &HeaderMap) -> Result<Answer, Refusal> {
        let current = self.current();
        let shown = match &current {
            Some(document) => document.show(),
            None => document::COLLECTIONS
                .into_iter()
                .map(|collection| (document::version_key(collection), json!(0)))
                .collect(),
        };
        let wants_yaml = headers
            .get(http::header::ACCEPT)
            .is_some_and(|accept| accept.as_bytes().starts_with(b"application/yaml"));
        let answer = if wants_yaml {
            let yaml = serde_saphyr::to_string(&shown).map_err(|_| Refusal::Fault)?;
            Answer::text(StatusCode::OK, yaml)
                .with(CONTENT_TYPE, HeaderValue::from_static("application/yaml"))
        } else {
            Answer::text(StatusCode::OK, Value::Object(shown).to_string())
        };
        Ok(match &current {
            Some(document) => document.headers(answer),
            None => answer,
        })
    }

    /// `PUT /configs`.
    pub(crate) async fn put_document(
        &self,
        actor: &Actor,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Answer, Refusal> {
        let digest = headers
            .get(DIGEST)
            .cloned()
            .ok_or_else(|| Refusal::Invalid("missing digest header".to_owned()))?;
        let sent = document::parse(headers, body)?;
        let _writing = self.writing.lock().await;
        let current = self.current();
        if current.as_ref().is_some_and(|current| current.digest == digest) {
            return Ok(Answer::empty(StatusCode::NO_CONTENT));
        }
        let found = document::check(&self.registry, &sent);
        if let Some(mistake) = found.mistakes.into_iter().next() {
            return Err(Refusal::Invalid(mistake.error));
        }
        let (next, fresh) = self.next(current.as_deref(), &sent, found.items, digest)?;
        let changes = changes(current.as_deref(), &next, fresh);
        self.commit(actor, Some("replace"), Vec::new(), changes).await?;
        let answer = next
            .headers(Answer::empty(StatusCode::ACCEPTED))
            .warning(&found.warnings);
        *self.document.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(next));
        Ok(answer)
    }

    /// `POST /configs/validate`: tells all mistakes of a document, and changes nothing.
    pub(crate) fn validate_document(&self, headers: &HeaderMap, body: &[u8]) -> Result<Answer, Refusal> {
        let sent = document::parse(headers, body)?;
        let found = document::check(&self.registry, &sent);
        if found.mistakes.is_empty() {
            return Ok(Answer::json(StatusCode::OK, json!({})).warning(&found.warnings));
        }
        let mistakes = found.mistakes.into_iter().map(Value::from).collect();
        Err(Refusal::Document(mistakes))
    }

    /// The document that follows from what was sent, and the items that were not known before.
    fn next(
        &self,
        current: Option<&Document>,
        sent: &Map<String, Value>,
        items: Vec<(&'static str, Item)>,
        digest: HeaderValue,
    ) -> Result<(Document, Vec<Item>), Refusal> {
        let mut next = Document {
            last_modified: self.now_s(),
            digest,
            lists: BTreeMap::new(),
            versions: BTreeMap::new(),
            items: BTreeMap::new(),
        };
        let mut kept = BTreeSet::new();
        for collection in document::COLLECTIONS {
            let old_version = current.map_or(0.0, |current| current.version(collection));
            let old_list = current.and_then(|current| current.lists.get(collection));
            let given = sent
                .get(&document::version_key(collection))
                .filter(|given| !given.is_null());
            let list = sent
                .get(collection)
                .and_then(Value::as_array)
                .filter(|list| !list.is_empty());
            let keep = match given.and_then(Value::as_f64) {
                None => false,
                Some(given) if given < old_version => {
                    if !self.settings.strict && is_replay(given, sent.get(collection), old_list) {
                        true
                    } else {
                        return Err(Refusal::Invalid(format!(
                            "{} must be greater than or equal to ({})",
                            document::version_key(collection),
                            document::number(old_version),
                        )));
                    }
                }
                Some(given) => given == old_version,
            };
            let version = match given {
                Some(given) if !keep => given.clone(),
                Some(_) => document::number(old_version),
                None => document::number(old_version + 1.0),
            };
            next.versions.insert(collection, version);
            let list = match keep {
                true => old_list.cloned(),
                false => list.map(|list| text(serde_json::to_string(list))),
            };
            if let Some(list) = list {
                next.lists.insert(collection, list);
            }
            if keep {
                kept.insert(collection);
            }
        }
        let old_items = current.map(|current| &current.items);
        let mut fresh = Vec::new();
        for (collection, item) in items {
            if kept.contains(collection) {
                continue;
            }
            // An item of the same index is the same item, whatever else is written in it.
            let same = old_items
                .and_then(|old| old.get(&item.key))
                .filter(|old| old.index.is_some() && old.index == item.index);
            match same {
                Some(old) => {
                    let known = Known {
                        collection,
                        ..old.clone()
                    };
                    next.items.insert(item.key, known);
                }
                None => {
                    next.items.insert(item.key.clone(), Known::of(collection, &item));
                    fresh.push(item);
                }
            }
        }
        for (key, known) in old_items.into_iter().flatten() {
            if kept.contains(known.collection) {
                next.items.insert(key.clone(), known.clone());
            }
        }
        Ok((next, fresh))
    }
}

/// Tells whether an outdated version only repeats what its writer once read of a list that it does not change. ADC does
/// that for lists that it does not manage, and would be locked out for good by anybody who does.
fn is_replay(given: f64, sent: Option<&Value>, current: Option<&Text>) -> bool {
    let unchanged = match sent.and_then(Value::as_array) {
        None => true,
        Some(sent) => match current {
            Some(current) => text(serde_json::to_string(sent)) == *current,
            None => sent.is_empty(),
        },
    };
    given >= 0.0 && unchanged
}

/// What changes from one document to the next: first what is needed by others, last what needs others; deleted the other
/// way around. `fresh` are the items that are not as they were, or perhaps not.
fn changes(current: Option<&Document>, next: &Document, fresh: Vec<Item>) -> Vec<Change> {
    let order = |kind: Kind| Kind::ALL.into_iter().position(|other| other == kind);
    let is_same = |old: &Known, new: &Known| (old.index, &old.value) == (new.index, &new.value);
    let mut puts: Vec<Item> = fresh
        .into_iter()
        .filter(|item| {
            let old = current.and_then(|current| current.items.get(&item.key));
            let new = next.items.get(&item.key);
            old.zip(new).is_none_or(|(old, new)| !is_same(old, new))
        })
        .collect();
    // As if they had been in one map before: within a kind by id.
    puts.sort_by(|a, b| a.key.cmp(&b.key));
    puts.sort_by_key(|item| order(item.key.kind));
    let mut deletes: Vec<&ObjectKey> = current
        .into_iter()
        .flat_map(|current| current.items.keys())
        .filter(|key| !next.items.contains_key(key))
        .collect();
    deletes.sort_by_key(|key| std::cmp::Reverse(order(key.kind)));
    puts.into_iter()
        .map(|item| Change::Put {
            key: item.key,
            value: item.value,
            ttl_s: None,
        })
        .chain(deletes.into_iter().map(|key| Change::Delete { key: key.clone() }))
        .collect()
}
