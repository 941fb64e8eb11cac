//! Records in a file of the data directory.
//!
//! One thread writes ([`super::writer`]), in transactions that are there whole or not at all after a crash; readers never wait
//! for it. A disk that fails closes the database, and the next use opens it again.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction,
};

use super::memory::Cost;
use super::record::{Key, Name, Place, Record, Sealing, key_at, place, places_before};
use super::totals::Totals;
use crate::cipher::Cipher;
use crate::database::{DatabaseFile, OpenDatabase, transact};
use crate::disk;
use crate::error::StoreError;
use crate::key::StoreKey;

/// Records in a file, of at most so many bytes.
pub(super) struct Embedded {
    file: DatabaseFile,
    cipher: Cipher,
    sealing: Sealing,
    max_bytes: u64,
    /// `None` after a failure, until it is opened again.
    database: RwLock<Option<Arc<Database>>>,
    totals: Mutex<Totals>,
    /// Whether another process uses the file too. Then it is open for as long as one use takes.
    is_shared: AtomicBool,
    /// Held by whoever uses the file while it is shared: only one of this process may wait for the other one.
    turn: Mutex<()>,
}

/// How long a use of a shared file waits for the other process, and how often it tries.
const TURN_WAIT: Duration = Duration::from_secs(10);
const TURN_LOOK: Duration = Duration::from_millis(2);

/// One change.
pub(super) enum Change<'a> {
    /// Keep a record until a time.
    Put {
        name: &'a Name,
        record: &'a Record,
        expires_s: u64,
    },
    /// Keep a record for longer, if it is there.
    Renew { key: Key, expires_s: u64 },
    /// Remove a record.
    Delete { key: Key },
}

/// What changes have done.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// For each change, whether the record was there.
    pub(super) found: Vec<bool>,
    pub(super) cost: Cost,
}

impl Embedded {
    /// Opens the file of a directory, or creates it.
    /// With `is_shared`, another process may have it open.
    pub(super) fn open(
        directory: &Path,
        key: StoreKey,
        max_bytes: u64,
        is_shared: bool,
    ) -> Result<Self, StoreError> {
        Self::open_with(directory, key, max_bytes, is_shared, open_database)
    }

    fn open_with(
        directory: &Path,
        key: StoreKey,
        max_bytes: u64,
        is_shared: bool,
        open_database: OpenDatabase,
    ) -> Result<Self, StoreError> {
        disk::create_directory(directory).map_err(StoreError::io(directory))?;
        let embedded = Embedded {
            file: DatabaseFile::new(directory, disk::RESPONSES_FILE, open_database),
            cipher: Cipher::new(&key)?,
            sealing: Sealing::On(key),
            max_bytes,
            database: RwLock::new(None),
            totals: Mutex::default(),
            is_shared: AtomicBool::new(is_shared),
            turn: Mutex::new(()),
        };
        embedded.using(|_| Ok(()))?;
        Ok(embedded)
    }

    /// Lets another process use the file too, or has it for this one alone again.
    pub(super) fn share(&self, is_shared: bool) {
        self.is_shared.store(is_shared, Ordering::SeqCst);
        if is_shared {
            // Whoever uses it now closes it when that is done.
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::SeqCst)
    }

    /// Runs something that uses the open file. Where it is shared, that waits for the other process, and closes it again.
    fn using<T>(&self, work: impl FnOnce(&Arc<Database>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _turn = self
            .is_shared()
            .then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner));
        let database = self.database_in_turn()?;
        let done = work(&database);
        if self.is_shared() {
            self.close(&database);
        }
        done
    }

    /// The open file. Nothing tells when another process has closed it, and its lock cannot be waited for with a time limit, so
    /// it is tried again and again; for as long as an upgrade lasts, and only on threads that wait for the disk.
    #[expect(clippy::disallowed_methods, reason = "on threads that wait for the disk")]
    fn database_in_turn(&self) -> Result<Arc<Database>, StoreError> {
        let until = Instant::now() + TURN_WAIT;
        loop {
            match self.database() {
                Err(StoreError::Locked { .. }) if self.is_shared() && Instant::now() < until => {
                    std::thread::sleep(TURN_LOOK);
                }
                opened => return opened,
            }
        }
    }

    /// Reads a record. Blocks for the disk.
    pub(super) fn get(&self, name: &Name, now_s: u64) -> Result<Option<Record>, StoreError> {
        let key = name.key();
        let found = self.using(|database| {
            let found = self
                .file
                .contained(|| read(database, &key, now_s).map_err(|error| self.file.error(error)));
            if found.is_err() {
                self.close(database);
            }
            found
        });
        match found {
            Ok(None) => Ok(None),
            Ok(Some(written)) => match self.sealing.open(name, &written) {
                Some(record) => Ok(Some(record)),
                None => Err(StoreError::damaged(
                    self.file.path(),
                    "a record in it cannot be read",
                )),
            },
            Err(error) => Err(error),
        }
    }

    /// Makes changes in one durable transaction: all or none, also after an error. Blocks for the disk; only one thread may
    /// call it.
    pub(super) fn apply(&self, changes: &[Change<'_>], now_s: u64) -> Result<Done, StoreError> {
        let mut sealed = Vec::with_capacity(changes.len());
        for change in changes {
            sealed.push(match change {
                Change::Put { name, record, .. } => {
                    // Records with an id before them that is too long are refused when they are taken in.
                    let plain = record.encode().ok_or(StoreError::Cryptography)?;
                    Some(self.sealing.seal(name, &plain)?)
                }
                Change::Renew { .. } | Change::Delete { .. } => None,
            });
        }
        self.write(|tables| {
            let mut done = Done::default();
            for (change, sealed) in changes.iter().zip(&sealed) {
                let found = match (change, sealed) {
                    (Change::Put { name, expires_s, .. }, Some(sealed)) => {
                        let key = name.key();
                        let before = tables.remove(&key)?;
                        let bytes = sealed.len() as u64 + OVERHEAD;
                        done.cost.evicted += tables.make_room(bytes, self.max_bytes)?;
                        tables.insert(&key, sealed, *expires_s, bytes)?;
                        before
                    }
                    (Change::Renew { key, expires_s }, _) => tables.renew(key, *expires_s, now_s)?,
                    (Change::Delete { key }, _) => tables.remove(key)?,
                    (Change::Put { .. }, None) => None,
                };
                done.found.push(found.is_some_and(|expires_s| expires_s > now_s));
            }
            Ok(done)
        })
    }

    /// Removes records that have expired, at most so many. Blocks for the disk; only one thread may call it.
    pub(super) fn sweep(&self, at_most: usize, now_s: u64) -> Result<Cost, StoreError> {
        let expired = self.using(|database| {
            self.file.contained(|| {
                self.expired(database, at_most, now_s)
                    .map_err(|error| self.file.error(error))
            })
        })?;
        if expired.is_empty() {
            return Ok(self.cost());
        }
        let count = expired.len() as u64;
        let done = self.write(|tables| {
            for key in &expired {
                tables.remove(key)?;
            }
            Ok(Done::default())
        })?;
        Ok(Cost {
            expired: count,
            ..done.cost
        })
    }

    /// What is kept now.
    pub(super) fn cost(&self) -> Cost {
        Cost {
            kept_bytes: self.totals().all(),
            ..Cost::default()
        }
    }

    fn expired(&self, database: &Database, at_most: usize, now_s: u64) -> Result<Vec<Key>, redb::Error> {
        let owners: Vec<_> = self.totals().owners().collect();
        let order = database.begin_read()?.open_table(ORDER)?;
        let mut expired = Vec::new();
        for owner in owners {
            let places = places_before(owner, now_s.saturating_add(1));
            for entry in order.range::<&Place>(&places.start..&places.end)? {
                if expired.len() >= at_most {
                    return Ok(expired);
                }
                expired.push(key_at(entry?.0.value()));
            }
        }
        Ok(expired)
    }

    /// One durable transaction. After an error the database is closed, and what is known of it is read anew.
    fn write(
        &self,
        change: impl FnOnce(&mut Tables<'_, '_>) -> Result<Done, redb::Error>,
    ) -> Result<Done, StoreError> {
        self.using(|database| self.write_to(database, change))
    }

    fn write_to(
        &self,
        database: &Arc<Database>,
        change: impl FnOnce(&mut Tables<'_, '_>) -> Result<Done, redb::Error>,
    ) -> Result<Done, StoreError> {
        let mut totals = self.totals();
        let done = self.file.contained(|| {
            transact(database, |transaction| {
                let mut tables = Tables::open(transaction, &mut totals)?;
                change(&mut tables)
            })
            .map_err(|error| self.file.error(error))
        });
        match done {
            Ok(mut done) => {
                done.cost.kept_bytes = totals.all();
                Ok(done)
            }
            Err(error) => {
                drop(totals);
                self.close(database);
                Err(error)
            }
        }
    }

    fn database(&self) -> Result<Arc<Database>, StoreError> {
        let open = self
            .database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(database) = open {
            return Ok(database);
        }
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = slot.as_ref() {
            return Ok(database.clone());
        }
        let (database, totals) = self.file.contained(|| {
            let database = match self.file.open_existing()? {
                Some(database) => database,
                None => self.file.create(&self.cipher, KNOWN_FORMAT, |transaction| {
                    transaction.open_table(RECORDS)?;
                    transaction.open_table(TIMES)?;
                    transaction.open_table(ORDER)?;
                    Ok(())
                })?,
            };
            self.file.check(&database, &self.cipher, KNOWN_FORMAT)?;
            let totals = totals(&database).map_err(|error| self.file.error(error))?;
            Ok((database, totals))
        })?;
        *self.totals() = totals;
        let database = Arc::new(database);
        *slot = Some(database.clone());
        Ok(database)
    }

    /// Closes a database that failed, unless it was opened again meanwhile.
    fn close(&self, failed: &Arc<Database>) {
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|open| Arc::ptr_eq(open, failed)) {
            *slot = None;
        }
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tables within one transaction, which are changed together.
struct Tables<'a, 't> {
    records: Table<'t, &'static [u8; 32], &'static [u8]>,
    times: Table<'t, &'static [u8; 32], (u64, u64)>,
    order: Table<'t, &'static Place, ()>,
    totals: &'a mut Totals,
}

impl<'a, 't> Tables<'a, 't> {
    fn open(transaction: &'t WriteTransaction, totals: &'a mut Totals) -> Result<Self, redb::Error> {
        Ok(Tables {
            records: transaction.open_table(RECORDS)?,
            times: transaction.open_table(TIMES)?,
            order: transaction.open_table(ORDER)?,
            totals,
        })
    }

    fn insert(&mut self, key: &Key, sealed: &[u8], expires_s: u64, bytes: u64) -> Result<(), redb::Error> {
        self.records.insert(&key.0, sealed)?;
        self.times.insert(&key.0, (expires_s, bytes))?;
        self.order.insert(&place(key, expires_s), ())?;
        self.totals.add(key.owner(), bytes);
        Ok(())
    }

    /// Removes a record. Tells when it would have expired, if it was there.
    fn remove(&mut self, key: &Key) -> Result<Option<u64>, redb::Error> {
        let Some((expires_s, bytes)) = self.times.remove(&key.0)?.map(|times| times.value()) else {
            return Ok(None);
        };
        self.records.remove(&key.0)?;
        self.order.remove(&place(key, expires_s))?;
        self.totals.remove(key.owner(), bytes);
        Ok(Some(expires_s))
    }

    /// Keeps a record for longer, unless it has expired. Tells when it would have expired, if it was there.
    fn renew(&mut self, key: &Key, expires_s: u64, now_s: u64) -> Result<Option<u64>, redb::Error> {
        let Some((before_s, bytes)) = self.times.get(&key.0)?.map(|times| times.value()) else {
            return Ok(None);
        };
        if before_s > now_s && before_s < expires_s {
            self.times.insert(&key.0, (expires_s, bytes))?;
            self.order.remove(&place(key, before_s))?;
            self.order.insert(&place(key, expires_s), ())?;
        }
        Ok(Some(before_s))
    }

    /// Removes the oldest of whoever has most until there is room. Tells how many.
    fn make_room(&mut self, bytes: u64, max_bytes: u64) -> Result<u64, redb::Error> {
        let mut evicted = 0;
        while self.totals.all().saturating_add(bytes) > max_bytes
            && let Some(owner) = self.totals.biggest()
        {
            let places = places_before(owner, u64::MAX);
            let first = match self.order.range::<&Place>(&places.start..&places.end)?.next() {
                Some(entry) => Some(key_at(entry?.0.value())),
                None => None,
            };
            match first {
                Some(key) => {
                    self.remove(&key)?;
                    evicted += 1;
                }
                None => self.totals.forget(owner),
            }
        }
        Ok(evicted)
    }
}

fn read(database: &Database, key: &Key, now_s: u64) -> Result<Option<Vec<u8>>, redb::Error> {
    let transaction = database.begin_read()?;
    let times = transaction
        .open_table(TIMES)?
        .get(&key.0)?
        .map(|times| times.value());
    if times.is_none_or(|(expires_s, _)| expires_s <= now_s) {
        return Ok(None);
    }
    let written = transaction.open_table(RECORDS)?.get(&key.0)?;
    Ok(written.map(|written| written.value().to_vec()))
}

fn totals(database: &Database) -> Result<Totals, redb::Error> {
    let mut totals = Totals::default();
    let times = database.begin_read()?.open_table(TIMES)?;
    for entry in times.iter()? {
        let (key, times) = entry?;
        totals.add(Key(*key.value()).owner(), times.value().1);
    }
    Ok(totals)
}

fn open_database(file: File) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE_BYTES).create_file(file)
}

/// Keys to sealed records.
const RECORDS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("records");
/// Keys to when a record expires, in seconds since 1970, and what it counts against the bound, in bytes. Apart from the records,
/// so that keeping one for longer does not write it anew.
const TIMES: TableDefinition<'_, &[u8; 32], (u64, u64)> = TableDefinition::new("times");
/// The records of each owner in the order in which they expire.
const ORDER: TableDefinition<'_, &Place, ()> = TableDefinition::new("order");
const KNOWN_FORMAT: u64 = 1;
/// What a record takes in the file beside its content.
const OVERHEAD: u64 = 256;
/// Enough for inner pages and a few conversations; the operating system caches the file as well.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::faulty::{faulty_database, refuse, refused_operations};

    fn open(directory: &TempDir) -> Embedded {
        let key = StoreKey::parse(&"5a".repeat(32)).unwrap();
        Embedded::open_with(directory.path(), key, 100_000, false, faulty_database).unwrap()
    }

    fn put(embedded: &Embedded, id: &str, length: usize) -> Result<Done, StoreError> {
        let record = Record {
            previous: None,
            body: vec![b'x'; length],
        };
        let change = Change::Put {
            name: &Name::new("a", id),
            record: &record,
            expires_s: 100,
        };
        embedded.apply(&[change], 0)
    }

    fn length(embedded: &Embedded, id: &str) -> Option<usize> {
        let record = embedded.get(&Name::new("a", id), 0).unwrap();
        record.map(|record| record.body.len())
    }

    #[test]
    fn a_write_that_the_disk_refuses_is_there_whole_or_not_and_the_store_goes_on_when_it_works_again() {
        let operations = {
            let directory = tempdir().unwrap();
            let embedded = open(&directory);
            put(&embedded, "1", 10).unwrap();
            refused_operations(|| drop(put(&embedded, "1", 60_000).unwrap()))
        };
        assert!(operations >= 2, "a durable write writes and syncs: {operations}");
        for refused in 1..=operations {
            let directory = tempdir().unwrap();
            let embedded = open(&directory);
            put(&embedded, "1", 10).unwrap();
            refuse(refused, u64::MAX);
            assert!(put(&embedded, "1", 60_000).is_err(), "operation {refused}");
            assert!(
                put(&embedded, "2", 10).is_err(),
                "operation {refused}, still broken"
            );
            refuse(0, 0);
            // If the disk failed at the very end, the write may be there all the same, but whole.
            let found = length(&embedded, "1");
            assert!(
                matches!(found, Some(10 | 60_000)),
                "operation {refused}: {found:?}"
            );
            put(&embedded, "1", 60_000).unwrap();
            put(&embedded, "2", 10).unwrap();
            let after = embedded.cost();
            drop(embedded);
            let embedded = open(&directory);
            assert_eq!(
                length(&embedded, "1"),
                Some(60_000),
                "operation {refused}, reopened"
            );
            assert_eq!(length(&embedded, "2"), Some(10), "operation {refused}, reopened");
            assert_eq!(embedded.cost(), after, "operation {refused}, reopened");
        }
    }
}
