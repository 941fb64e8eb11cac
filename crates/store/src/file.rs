//! The file: every object as an encrypted record in a redb database, each write one durable transaction.
//!
//! The database protects against crashes: a transaction is there whole or not at all. This module adds that a store goes on
//! after a failed disk.

use std::fs::File;
use std::io;
use std::path::Path;

use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};

use crate::cipher::Cipher;
use crate::database::{DatabaseFile, Identity, OpenDatabase, set_format, set_number, transact};
use crate::disk;
use crate::error::StoreError;
use crate::history::{Addition, History};
use crate::index::Index;
use crate::key::StoreKey;
use crate::past;
use crate::plan::Plan;
use crate::record;

/// The open file of a store.
pub(crate) struct StoreFile {
    file: DatabaseFile,
    cipher: Cipher,
    /// `None` after a failed write: the database takes no more writes until it is opened again.
    database: Option<Database>,
    /// The file that was opened.
    identity: Option<Identity>,
}

impl StoreFile {
    /// Opens the file of a directory, or creates it, and reads all objects and where the past ends.
    pub(crate) fn open(directory: &Path, key: &StoreKey) -> Result<(Self, Index, History), StoreError> {
        Self::open_with(directory, key, open_database)
    }

    pub(crate) fn open_with(
        directory: &Path,
        key: &StoreKey,
        open_database: OpenDatabase,
    ) -> Result<(Self, Index, History), StoreError> {
        disk::create_directory(directory).map_err(StoreError::io(directory))?;
        let mut file = StoreFile {
            file: DatabaseFile::new(directory, disk::STORE_FILE, open_database),
            cipher: Cipher::new(key)?,
            database: None,
            identity: None,
        };
        let (database, index, history) = file.file.contained(|| {
            let mut database = match file.file.open_existing()? {
                Some(database) => database,
                None => file.create()?,
            };
            // Before the integrity check, which may repair: a file of a newer version or another key is left alone.
            file.check(&database)?;
            let whole = database
                .check_integrity()
                .map_err(|error| file.file.error(error))?;
            if !whole {
                return Err(StoreError::damaged(file.file.path(), REPAIRED));
            }
            let index = file.load(&database)?;
            file.upgrade(&database)?;
            let history = past::load(&database, &file.cipher)
                .map_err(|error| file.file.error(error))?
                .map_err(|reason| StoreError::damaged(file.file.path(), reason))?;
            Ok((database, index, history))
        })?;
        file.database = Some(database);
        file.identity = Some(file.file.identity()?);
        Ok((file, index, history))
    }

    /// Writes the outcome of a plan, if there is one, and what is added to the past, in one. After an error the file may hold
    /// it or not until it was mended.
    pub(crate) fn commit(
        &mut self,
        plan: Option<&Plan>,
        history: &History,
        addition: &Addition,
    ) -> Result<(), StoreError> {
        // What is written to a file without a name is gone with the process.
        if self.file.identity().ok() != self.identity {
            return Err(StoreError::Moved {
                path: self.file.path().to_owned(),
            });
        }
        let mut records = Vec::new();
        for (key, planned) in plan.into_iter().flat_map(|plan| &plan.outcome) {
            let name = record::name(key);
            let sealed = match planned {
                Some(planned) => Some(self.seal(&name, &planned.record)?),
                None => None,
            };
            records.push((name, sealed));
        }
        let past = past::seal(&self.cipher, history, addition)?;
        self.transact(|transaction| {
            past::write(transaction, &past)?;
            let Some(plan) = plan else {
                return Ok(());
            };
            let mut objects = transaction.open_table(OBJECTS)?;
            for (name, sealed) in &records {
                match sealed {
                    Some(sealed) => objects.insert(name.as_str(), sealed.as_slice())?,
                    None => objects.remove(name.as_str())?,
                };
            }
            set_number(transaction, REVISION, plan.revision)
        })
    }

    /// Opens the database again after a failed write and puts it back to what the index holds.
    pub(crate) fn mend(&mut self, index: &Index, history: &History) -> Result<(), StoreError> {
        if self.database.is_some() {
            return Ok(());
        }
        let missing = || StoreError::io(self.file.path())(io::ErrorKind::NotFound.into());
        let database = self.file.contained(|| {
            let database = self.file.open_existing()?.ok_or_else(missing)?;
            self.check(&database)?;
            Ok(database)
        })?;
        let (entries, versions) = past::read(&database, history).map_err(|error| self.file.error(error))?;
        let restore = past::restore(&self.cipher, history, entries, versions)?;
        let mut records = Vec::with_capacity(index.len());
        for entry in index.entries() {
            let name = record::name(&entry.object.key);
            let plain = record::encode(entry).ok_or_else(|| StoreError::TooDeep {
                key: entry.object.key.clone(),
            })?;
            let sealed = self.seal(&name, &plain)?;
            records.push((name, sealed));
        }
        self.database = Some(database);
        self.identity = Some(self.file.identity()?);
        // Even a file that shows the old revision is written again: what the operating system shows of a file after
        // a failed write need not be what the disk has.
        self.transact(|transaction| {
            transaction.delete_table(OBJECTS)?;
            let mut objects = transaction.open_table(OBJECTS)?;
            for (name, sealed) in &records {
                objects.insert(name.as_str(), sealed.as_slice())?;
            }
            restore(transaction)?;
            set_number(transaction, REVISION, index.revision())
        })
    }

    /// One durable transaction. After an error the database is closed, so that the next use opens it anew.
    fn transact(
        &mut self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let closed = || StoreError::damaged(self.file.path(), "closed after a failed write");
        let database = self.database.as_ref().ok_or_else(closed)?;
        let done = self
            .file
            .contained(|| transact(database, change).map_err(|error| self.file.error(error)));
        if done.is_err() {
            self.database = None;
        }
        done
    }

    /// Makes an empty store.
    fn create(&self) -> Result<Database, StoreError> {
        self.file.create(&self.cipher, KNOWN_FORMAT, |transaction| {
            transaction.open_table(OBJECTS)?;
            past::create(transaction)?;
            set_number(transaction, REVISION, 0)
        })
    }

    /// Gives the file of an earlier version what this one needs.
    fn upgrade(&self, database: &Database) -> Result<(), StoreError> {
        if self.file.check(database, &self.cipher, KNOWN_FORMAT)? == KNOWN_FORMAT {
            return Ok(());
        }
        transact(database, |transaction| {
            past::create(transaction)?;
            set_format(transaction, KNOWN_FORMAT)
        })
        .map_err(|error| self.file.error(error))
    }

    /// Reads something of the past.
    pub(crate) fn look<T>(
        &self,
        look: impl FnOnce(&Database, &Cipher) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::damaged(self.file.path(), "closed after a failed write");
        let database = self.database.as_ref().ok_or_else(closed)?;
        self.file
            .contained(|| look(database, &self.cipher).map_err(|error| self.file.error(error)))
    }

    fn load(&self, database: &Database) -> Result<Index, StoreError> {
        let mut index = Index::default();
        index.advance(self.check(database)?);
        let records = read_records(database).map_err(|error| self.file.error(error))?;
        for (name, sealed) in records {
            let Some(key) = record::key_of(&name) else {
                return Err(StoreError::damaged(
                    self.file.path(),
                    "it has an object of an unknown kind",
                ));
            };
            let entry = self
                .cipher
                .open(&context(&name), &sealed)
                .and_then(|plain| record::decode(key.clone(), &plain))
                .ok_or(StoreError::Corrupt { key })?;
            index.advance(entry.object.modified_index);
            index.put(entry);
        }
        Ok(index)
    }

    /// Checks that this binary and this key can read the database. Returns its last revision.
    fn check(&self, database: &Database) -> Result<u64, StoreError> {
        self.file.check(database, &self.cipher, KNOWN_FORMAT)?;
        let revision = self.file.number(database, REVISION)?;
        if revision > u64::MAX / 2 {
            return Err(StoreError::damaged(self.file.path(), "its revision cannot be"));
        }
        Ok(revision)
    }

    fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.cipher.seal(&context(name), plain)
    }
}

fn open_database(file: File) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE_BYTES).create_file(file)
}

/// The sealed record of each object, with its name.
fn read_records(database: &Database) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
    let objects = database.begin_read()?.open_table(OBJECTS)?;
    let mut records = Vec::new();
    for record in objects.iter()? {
        let (name, sealed) = record?;
        records.push((name.value().to_owned(), sealed.value().to_vec()));
    }
    // The table counts its records apart from them: damage that hides some does not pass as a smaller store.
    if objects.len()? != records.len() as u64 {
        return Err(redb::Error::Corrupted("objects are missing".to_owned()));
    }
    Ok(records)
}

/// What a record is bound to. The prefix keeps objects apart from the key check.
fn context(name: &str) -> Vec<u8> {
    [b"object/", name.as_bytes()].concat()
}

/// Names (see `record::name`) to sealed records.
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
/// The last revision given out, so that deleting the newest object does not give its revision out again.
const REVISION: &str = "revision";
const REPAIRED: &str =
    "it was damaged and has been repaired, its last write may be missing; start again to use it as it is";
/// 2 has a past.
const KNOWN_FORMAT: u64 = 2;
/// Enough for the database's inner pages: reads are served from the index, not from here.
const CACHE_BYTES: usize = 8 * 1024 * 1024;
