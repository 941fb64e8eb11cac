//! The store: one writer at a time, readers that never wait for the disk.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tollgate_resources::objects::{Kind, Object, ObjectKey};

use crate::error::StoreError;
use crate::file::StoreFile;
use crate::index::Index;
use crate::key::StoreKey;
use crate::plan::{Applied, Change, Plan};

/// The objects of the Admin API.
///
/// Reads come from memory. A write blocks its thread until the disk has it, so call it where blocking is allowed. What a
/// reader sees is always a whole write, but two reads may see different ones.
pub struct Store {
    /// `None` for a store that is kept in memory only. Its lock makes writers wait for each other.
    file: Mutex<Option<StoreFile>>,
    /// Locked for writing only to apply a write that is already durable.
    index: RwLock<Index>,
}

impl Store {
    /// Opens `<directory>/tollgate.db`, or creates it (mode 0600, in a directory with mode 0700).
    ///
    /// Objects whose time to live ended while no process had the store open are gone when this returns, so that nobody
    /// uses them again. `now_s` is the current time in seconds since 1970.
    pub fn open(directory: &Path, key: &StoreKey, now_s: u64) -> Result<Store, StoreError> {
        let (file, index) = StoreFile::open(directory, key)?;
        let store = Store::new(Some(file), index);
        store.delete_expired(now_s);
        Ok(store)
    }

    /// A store that behaves the same but keeps nothing over a restart.
    pub fn in_memory() -> Store {
        Store::new(None, Index::default())
    }

    /// Applies the changes in their order, all or none; they are durable when this returns.
    ///
    /// Each change takes the next revision, but for deletes of what is not there, which take none and whose
    /// [`Applied`] has neither `before` nor `after`. An object keeps its `created_index` as long as it exists.
    /// `now_s` is the current time in seconds since 1970; times to live count from it.
    ///
    /// After an error readers see what they saw before, and so does the next process, with one exception that no
    /// store can avoid: if the disk fails at the very end of a write and the process dies before the disk works
    /// again, the write may turn out to have been done.
    pub fn write(&self, changes: Vec<Change>, now_s: u64) -> Result<Vec<Applied>, StoreError> {
        self.write_if(&[], changes, now_s)
    }

    /// As [`Store::write`], but only if every object of `expected` still has the revision (`modified_index`) the writer
    /// saw, where `None` means that it must not exist. Otherwise [`StoreError::Changed`].
    pub fn write_if(
        &self,
        expected: &[(ObjectKey, Option<u64>)],
        changes: Vec<Change>,
        now_s: u64,
    ) -> Result<Vec<Applied>, StoreError> {
        let mut file = self.writer();
        self.check(expected)?;
        if let Some(file) = file.as_mut() {
            file.mend(&self.reader())?;
        }
        let plan = Plan::new(&self.reader(), changes, now_s)?;
        if plan.outcome.is_empty() {
            return Ok(plan.applied);
        }
        if let Some(file) = file.as_mut()
            && let Err(error) = file.commit(&plan)
        {
            if let Err(mending) = file.mend(&self.reader()) {
                tracing::error!(error = %mending, "the store cannot be written; the next write tries again");
            }
            return Err(error);
        }
        Ok(self.apply(plan))
    }

    /// The revision of the last write; 0 before the first. No revision is ever used twice.
    pub fn revision(&self) -> u64 {
        self.reader().revision()
    }

    /// One object.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Object>> {
        self.reader().entry(key).map(|entry| Arc::clone(&entry.object))
    }

    /// All objects of a kind, by `created_index`.
    pub fn list(&self, kind: Kind) -> Vec<Arc<Object>> {
        self.reader().list(kind, "")
    }

    /// All credentials of a consumer, by `created_index`.
    pub fn credentials_of(&self, username: &str) -> Vec<Arc<Object>> {
        let prefix = ObjectKey::credential(username, "").id;
        self.reader().list(Kind::Credential, &prefix)
    }

    /// Everything, of one moment: in the order of [`Kind::ALL`], then by `created_index`.
    pub fn all(&self) -> Vec<Arc<Object>> {
        let index = self.reader();
        Kind::ALL
            .into_iter()
            .flat_map(|kind| index.list(kind, ""))
            .collect()
    }

    /// The objects whose time to live has ended, the longest gone first. Readers see them until the caller deletes them.
    pub fn expired(&self, now_s: u64) -> Vec<ObjectKey> {
        self.reader().expired(now_s)
    }

    /// When the next object expires, in seconds since 1970; in the past if expired ones were not deleted yet.
    pub fn next_expiry_s(&self) -> Option<u64> {
        self.reader().next_expiry_s()
    }

    fn new(file: Option<StoreFile>, index: Index) -> Store {
        Store {
            file: Mutex::new(file),
            index: RwLock::new(index),
        }
    }

    /// Deletes what has expired; if the disk refuses, readers do not see it all the same, and the next start tries again.
    fn delete_expired(&self, now_s: u64) {
        let expired = self.expired(now_s);
        let delete = |key: &ObjectKey| Change::Delete { key: key.clone() };
        if let Err(error) = self.write(expired.iter().map(delete).collect(), now_s) {
            tracing::error!(error = %error, "expired objects could not be deleted from the store");
            let mut index = self.index_mut();
            expired.iter().for_each(|key| index.remove(key));
        }
    }

    fn check(&self, expected: &[(ObjectKey, Option<u64>)]) -> Result<(), StoreError> {
        let index = self.reader();
        for (key, expected) in expected {
            let found = index.entry(key).map(|entry| entry.object.modified_index);
            if found != *expected {
                return Err(StoreError::Changed {
                    key: key.clone(),
                    expected: *expected,
                    found,
                });
            }
        }
        Ok(())
    }

    fn apply(&self, plan: Plan) -> Vec<Applied> {
        let mut index = self.index_mut();
        for (key, planned) in plan.outcome {
            match planned {
                Some(planned) => index.put(planned.entry),
                None => index.remove(&key),
            }
        }
        index.advance(plan.revision);
        plan.applied
    }

    // No code that holds one of these locks can panic half way through a change, so what a poisoned lock guards is whole.

    fn writer(&self) -> MutexGuard<'_, Option<StoreFile>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows how much there is, nothing of what it is.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.reader();
        f.debug_struct("Store")
            .field("revision", &index.revision())
            .field("objects", &index.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
