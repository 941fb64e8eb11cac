//! All objects in memory: what readers see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tollgate_resources::objects::{Kind, Object, ObjectKey};

/// An object with its expiry.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) object: Arc<Object>,
    /// Seconds since 1970 from which on it counts as gone; `None` for an object that stays.
    pub(crate) expires_s: Option<u64>,
}

/// The objects by key, the order in which they expire, and the last revision given out.
#[derive(Default)]
pub(crate) struct Index {
    entries: BTreeMap<ObjectKey, Entry>,
    expiries: BTreeSet<(u64, ObjectKey)>,
    revision: u64,
}

impl Index {
    pub(crate) fn put(&mut self, entry: Entry) {
        let key = entry.object.key.clone();
        self.remove(&key);
        if let Some(second) = entry.expires_s {
            self.expiries.insert((second, key.clone()));
        }
        self.entries.insert(key, entry);
    }

    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        let Some(entry) = self.entries.remove(key) else {
            return;
        };
        if let Some(second) = entry.expires_s {
            self.expiries.remove(&(second, key.clone()));
        }
    }

    /// Marks all revisions up to this one as used.
    pub(crate) fn advance(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn entry(&self, key: &ObjectKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The objects of a kind whose id starts so, in the order of their creation.
    pub(crate) fn list(&self, kind: Kind, prefix: &str) -> Vec<Arc<Object>> {
        let mut objects: Vec<_> = self
            .entries
            .range(ObjectKey::new(kind, prefix)..)
            .take_while(|(key, _)| key.kind == kind && key.id.starts_with(prefix))
            .map(|(_, entry)| Arc::clone(&entry.object))
            .collect();
        // Stable, and what is sorted is in the order of ids: of two with one revision the smaller id comes first.
        objects.sort_by_key(|object| object.created_index);
        objects
    }

    /// The keys whose second of expiry has come, the longest gone first.
    pub(crate) fn expired(&self, now_s: u64) -> Vec<ObjectKey> {
        self.expiries
            .iter()
            .take_while(|(second, _)| *second <= now_s)
            .map(|(_, key)| key.clone())
            .collect()
    }

    pub(crate) fn next_expiry_s(&self) -> Option<u64> {
        self.expiries.first().map(|(second, _)| *second)
    }
}
