//! What a write would do, decided before anything is touched: which revisions it takes and what every object becomes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use tollgate_resources::objects::{Object, ObjectKey};
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::index::{Entry, Index};
use crate::record;

/// One change of one object. Its `Debug` shows the key, never the value.
pub enum Change {
    /// Creates the object or replaces it whole, its time to live included.
    Put {
        /// Which object.
        key: ObjectKey,
        /// Its new value.
        value: Map<String, Value>,
        /// After how many seconds it counts as gone; `None` for never.
        ttl_s: Option<u64>,
    },
    /// Removes the object; nothing happens if it is not there.
    Delete {
        /// Which object.
        key: ObjectKey,
    },
}

/// What became of one change. Its `Debug` shows the key and revisions, never the values.
#[derive(Clone)]
pub struct Applied {
    /// The object.
    pub key: ObjectKey,
    /// As it was; `None` if it did not exist.
    pub before: Option<Arc<Object>>,
    /// As it is now; `None` if it does not exist any more.
    pub after: Option<Arc<Object>>,
}

/// A write that is ready to be done.
pub(crate) struct Plan {
    /// The last state of every object that changes; `None` for those that go. Empty if nothing changes.
    pub(crate) outcome: BTreeMap<ObjectKey, Option<Planned>>,
    /// The last revision that the write takes.
    pub(crate) revision: u64,
    /// One for each change, in their order.
    pub(crate) applied: Vec<Applied>,
}

/// An object that will be written.
pub(crate) struct Planned {
    pub(crate) entry: Entry,
    pub(crate) record: Zeroizing<Vec<u8>>,
}

impl Plan {
    pub(crate) fn new(index: &Index, changes: Vec<Change>, now_s: u64) -> Result<Self, StoreError> {
        let mut plan = Plan {
            outcome: BTreeMap::new(),
            revision: index.revision(),
            applied: Vec::with_capacity(changes.len()),
        };
        for change in changes {
            plan.add(index, change, now_s)?;
        }
        Ok(plan)
    }

    fn add(&mut self, index: &Index, change: Change, now_s: u64) -> Result<(), StoreError> {
        let key = match &change {
            Change::Put { key, .. } | Change::Delete { key } => key.clone(),
        };
        let before = match self.outcome.get(&key) {
            Some(planned) => planned.as_ref().map(|planned| Arc::clone(&planned.entry.object)),
            None => index.entry(&key).map(|entry| Arc::clone(&entry.object)),
        };
        let after = match change {
            Change::Put { value, ttl_s, .. } => {
                // Cannot overflow: the file refuses to open with a revision beyond half the range.
                self.revision += 1;
                let object = Object {
                    key: key.clone(),
                    value,
                    created_index: before
                        .as_ref()
                        .map_or(self.revision, |before| before.created_index),
                    modified_index: self.revision,
                };
                let planned = Planned::new(object, ttl_s.map(|ttl_s| now_s.saturating_add(ttl_s)))?;
                let after = Arc::clone(&planned.entry.object);
                self.outcome.insert(key.clone(), Some(planned));
                Some(after)
            }
            Change::Delete { .. } => {
                if before.is_some() {
                    self.revision += 1;
                    self.outcome.insert(key.clone(), None);
                }
                None
            }
        };
        self.applied.push(Applied { key, before, after });
        Ok(())
    }
}

impl Planned {
    /// Takes the object as it will be read back from its record, so that it is the same before and after a restart,
    /// and so that a value which cannot be read back is refused while nothing depends on it.
    fn new(object: Object, expires_s: Option<u64>) -> Result<Self, StoreError> {
        let key = object.key.clone();
        let entry = Entry {
            object: Arc::new(object),
            expires_s,
        };
        let record = record::encode(&entry);
        let read_back = record
            .as_ref()
            .and_then(|record| record::decode(key.clone(), record));
        match (record, read_back) {
            (Some(record), Some(entry)) => Ok(Planned { entry, record }),
            _ => Err(StoreError::TooDeep { key }),
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Put { key, ttl_s, .. } => f
                .debug_struct("Put")
                .field("key", key)
                .field("ttl_s", ttl_s)
                .finish_non_exhaustive(),
            Change::Delete { key } => f.debug_struct("Delete").field("key", key).finish(),
        }
    }
}

impl fmt::Debug for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = |object: &Option<Arc<Object>>| object.as_ref().map(|object| object.modified_index);
        f.debug_struct("Applied")
            .field("key", &self.key)
            .field("before", &revision(&self.before))
            .field("after", &revision(&self.after))
            .finish()
    }
}
