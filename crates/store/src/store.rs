//! The store: one writer at a time, readers that never wait for the disk.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tollgate_resources::objects::{Kind, Object, ObjectKey};
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::file::StoreFile;
use crate::history::{
    Addition, Earlier, History, Logged, Notes, Place, Retention, Verified, Version, decode_version, own_notes,
};
use crate::index::Index;
use crate::key::StoreKey;
use crate::past;
use crate::plan::{Applied, Change, Plan};

/// The objects of the Admin API.
///
/// Reads come from memory. A write blocks its thread until the disk has it, so call it where blocking is allowed. What a
/// reader sees is always a whole write, but two reads may see different ones.
pub struct Store {
    /// Its lock makes writers wait for each other, and for readers of the past.
    writer: Mutex<Writer>,
    /// Locked for writing only to apply a write that is already durable.
    index: RwLock<Index>,
}

/// What only one thread has at a time.
struct Writer {
    /// `None` for a store that is kept in memory only.
    file: Option<StoreFile>,
    history: History,
}

impl Store {
    /// Opens `<directory>/tollgate.db`, or creates it (mode 0600, in a directory with mode 0700).
    ///
    /// Objects whose time to live ended while no process had the store open are gone when this returns, so that nobody
    /// uses them again. `now_s` is the current time in seconds since 1970.
    pub fn open(directory: &Path, key: &StoreKey, now_s: u64) -> Result<Store, StoreError> {
        let (file, index, history) = StoreFile::open(directory, key)?;
        let store = Store::new(Some(file), index, history);
        store.delete_expired(now_s);
        Ok(store)
    }

    /// A store that behaves the same but keeps nothing over a restart.
    pub fn in_memory() -> Store {
        Store::new(None, Index::default(), History::default())
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
        self.write_told(expected, changes, now_s, |applied| {
            own_notes("write", now_s, applied)
        })
    }

    /// As [`Store::write_if`]. What `tell` says of the write becomes an entry of the log and a version, in the same
    /// transaction. It is asked when it is known what the write does, and not if it does nothing.
    pub fn write_told(
        &self,
        expected: &[(ObjectKey, Option<u64>)],
        changes: Vec<Change>,
        now_s: u64,
        tell: impl FnOnce(&[Applied]) -> Notes,
    ) -> Result<Vec<Applied>, StoreError> {
        let mut writer = self.writer();
        self.check(expected)?;
        writer.mend(&self.reader())?;
        let plan = Plan::new(&self.reader(), changes, now_s)?;
        if plan.outcome.is_empty() {
            return Ok(plan.applied);
        }
        let addition = writer.history.add(&self.reader(), &plan, tell(&plan.applied));
        writer.commit(&self.index, Some(&plan), addition)?;
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

    /// Everything that APISIX has a kind for, of one moment: in the order of [`Kind::ALL`], then by `created_index`.
    pub fn all(&self) -> Vec<Arc<Object>> {
        let index = self.reader();
        Kind::ALL
            .into_iter()
            .flat_map(|kind| index.list(kind, ""))
            .collect()
    }

    /// All objects of the kinds that APISIX does not have, of one moment, as [`Store::all`].
    pub fn own(&self) -> Vec<Arc<Object>> {
        let index = self.reader();
        Kind::OWN
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

    /// How much of the past is kept from the next write on.
    pub fn retain(&self, retention: Retention) {
        self.writer().history.retention = retention;
    }

    /// Adds an entry to the log without a write of objects. Returns its number.
    pub fn tell(&self, time_s: u64, text: String) -> Result<u64, StoreError> {
        self.keep(Some((time_s, text)), Vec::new())
    }

    /// Keeps records of others by name, `None` removes one, and adds an entry to the log in the same transaction if there is
    /// one. Returns the number of the last entry.
    pub fn keep(
        &self,
        entry: Option<(u64, String)>,
        records: Vec<(String, Option<Vec<u8>>)>,
    ) -> Result<u64, StoreError> {
        let mut writer = self.writer();
        writer.mend(&self.reader())?;
        let addition = writer.history.tell(entry, records);
        writer.commit(&self.index, None, addition)?;
        Ok(writer.history.head.seq)
    }

    /// The kept records whose names begin so.
    pub fn kept(&self, prefix: &str) -> Vec<(String, Arc<Zeroizing<Vec<u8>>>)> {
        let writer = self.writer();
        let records = writer.history.kept.range(prefix.to_owned()..);
        records
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(name, record)| (name.clone(), Arc::clone(record)))
            .collect()
    }

    /// The ends of the log: the last entry that was dropped because of its age, and the last one.
    pub fn log_ends(&self) -> (Place, Place) {
        let writer = self.writer();
        (writer.history.anchor, writer.history.head)
    }

    /// Entries of the log, newest first: those below `below` (all if there is none), `limit` at most. With each number comes
    /// `None` where the entry is not what was put there.
    pub fn log(&self, below: Option<u64>, limit: u64) -> Result<Vec<(u64, Option<Logged>)>, StoreError> {
        let mut writer = self.writer();
        writer.mend(&self.reader())?;
        let (anchor, head) = (writer.history.anchor, writer.history.head);
        let last = below.map_or(head.seq, |below| below.saturating_sub(1).min(head.seq));
        let first = last.saturating_sub(limit.saturating_sub(1)).max(anchor.seq + 1);
        if first > last {
            return Ok(Vec::new());
        }
        let mut entries = writer.entries(first..=last)?;
        entries.reverse();
        Ok(entries)
    }

    /// Verifies the whole log, a part at a time, so that writers wait for a moment only.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        let (anchor, head) = self.log_ends();
        let mut verified = Verified {
            anchor,
            head,
            entries: 0,
            broken_at: None,
        };
        let mut place = anchor;
        while place.seq < head.seq {
            let mut writer = self.writer();
            writer.mend(&self.reader())?;
            let dropped = writer.history.anchor;
            if dropped.seq > place.seq {
                // Dropped meanwhile, from where it was found right.
                place = dropped;
            }
            let last = head.seq.min(place.seq.saturating_add(VERIFIED_AT_ONCE));
            for (seq, entry) in writer.entries(place.seq + 1..=last)? {
                match entry.filter(|entry| entry.follows(place)) {
                    Some(entry) => {
                        place = entry.place();
                        verified.entries += 1;
                    }
                    None => {
                        verified.broken_at = Some(seq);
                        return Ok(verified);
                    }
                }
            }
        }
        if place.hash != head.hash && place.seq == head.seq {
            verified.broken_at = Some(head.seq);
        }
        Ok(verified)
    }

    /// The numbers of the versions there are: one before the first that is kept can still be read, as what was before it.
    /// `None` if there never was one.
    pub fn versions(&self) -> Option<(u64, u64)> {
        let writer = self.writer();
        let last = writer.history.last_version();
        (last > 0).then_some((writer.history.first_version, last))
    }

    /// A version, and how its objects were before it. `None` if it is not kept.
    pub fn version(&self, number: u64) -> Result<Option<(Version, Vec<Earlier>)>, StoreError> {
        let mut writer = self.writer();
        writer.mend(&self.reader())?;
        writer.version(number)
    }

    /// How the objects were as of a version that have changed since: what rolling back to it would write. `None` if nothing is
    /// known of that time.
    pub fn since(&self, number: u64) -> Result<Option<Vec<Earlier>>, StoreError> {
        let mut writer = self.writer();
        writer.mend(&self.reader())?;
        let (first, last) = (writer.history.first_version, writer.history.last_version());
        if number > last || number + 1 < first {
            return Ok(None);
        }
        let mut earliest = BTreeMap::new();
        for number in number + 1..=last {
            let Some((_, before)) = writer.version(number)? else {
                return Ok(None);
            };
            for earlier in before {
                earliest.entry(earlier.key.clone()).or_insert(earlier);
            }
        }
        Ok(Some(earliest.into_values().collect()))
    }

    fn new(file: Option<StoreFile>, index: Index, history: History) -> Store {
        Store {
            writer: Mutex::new(Writer { file, history }),
            index: RwLock::new(index),
        }
    }

    /// Deletes what has expired; if the disk refuses, readers do not see it all the same, and the next start tries again.
    fn delete_expired(&self, now_s: u64) {
        let expired = self.expired(now_s);
        let delete = |key: &ObjectKey| Change::Delete { key: key.clone() };
        let changes = expired.iter().map(delete).collect();
        let tell = |applied: &[Applied]| own_notes("expire", now_s, applied);
        if let Err(error) = self.write_told(&[], changes, now_s, tell) {
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

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Puts the file back in order after a failed write.
    fn mend(&mut self, index: &Index) -> Result<(), StoreError> {
        match &mut self.file {
            Some(file) => file.mend(index, &self.history),
            None => Ok(()),
        }
    }

    /// Makes a write and what is added to the past durable.
    fn commit(
        &mut self,
        index: &RwLock<Index>,
        plan: Option<&Plan>,
        mut addition: Addition,
    ) -> Result<(), StoreError> {
        if let Some(time_s) = addition.entry.as_ref().map(|entry| entry.time_s) {
            let read = |seq| match &self.file {
                Some(file) => file.look(|database, cipher| past::entry(database, cipher, seq)),
                None => Ok(self.history.memory.entry(seq)),
            };
            self.history.drop_old(&mut addition, time_s, read)?;
        }
        if let Some(file) = &mut self.file
            && let Err(error) = file.commit(plan, &self.history, &addition)
        {
            let index = index.read().unwrap_or_else(PoisonError::into_inner);
            if let Err(mending) = file.mend(&index, &self.history) {
                tracing::error!(error = %mending, "the store cannot be written; the next write tries again");
            }
            return Err(error);
        }
        self.history.apply(addition, self.file.is_none());
        Ok(())
    }

    fn entries(&self, numbers: RangeInclusive<u64>) -> Result<Vec<(u64, Option<Logged>)>, StoreError> {
        match &self.file {
            Some(file) => file.look(|database, cipher| past::entries(database, cipher, numbers)),
            None => Ok(numbers.map(|seq| (seq, self.history.memory.entry(seq))).collect()),
        }
    }

    fn version(&self, number: u64) -> Result<Option<(Version, Vec<Earlier>)>, StoreError> {
        let record = match &self.file {
            Some(file) => file.look(|database, cipher| past::version(database, cipher, number))?,
            None => number
                .checked_sub(self.history.first_version)
                .and_then(|place| usize::try_from(place).ok())
                .and_then(|place| self.history.memory.versions.get(place).cloned()),
        };
        Ok(record.and_then(|record| decode_version(number, &record)))
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

/// Entries that are verified while writers wait.
const VERIFIED_AT_ONCE: u64 = 500;

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "past_tests.rs"]
mod past_tests;
