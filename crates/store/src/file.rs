//! The file: every object as an encrypted record in a redb database, each write one durable transaction.
//!
//! The database protects against crashes: a transaction is there whole or not at all. This module adds what it does not do:
//! a file that appears complete or not at all, the format version, the check of the key, and going on after a failed disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableError, WriteTransaction,
};

use crate::cipher::Cipher;
use crate::disk;
use crate::error::StoreError;
use crate::index::Index;
use crate::key::StoreKey;
use crate::plan::Plan;
use crate::record;

/// The open file of a store.
pub(crate) struct StoreFile {
    path: PathBuf,
    cipher: Cipher,
    /// `None` after a failed write: the database takes no more writes until it is opened again.
    database: Option<Database>,
    open_database: OpenDatabase,
}

/// How a file becomes a database; tests put a failing disk here.
pub(crate) type OpenDatabase = fn(File) -> Result<Database, DatabaseError>;

impl StoreFile {
    /// Opens the file of a directory, or creates it, and reads all objects.
    pub(crate) fn open(directory: &Path, key: &StoreKey) -> Result<(Self, Index), StoreError> {
        Self::open_with(directory, key, open_database)
    }

    pub(crate) fn open_with(
        directory: &Path,
        key: &StoreKey,
        open_database: OpenDatabase,
    ) -> Result<(Self, Index), StoreError> {
        disk::create_directory(directory).map_err(StoreError::io(directory))?;
        let mut file = StoreFile {
            path: disk::store_file(directory),
            cipher: Cipher::new(key)?,
            database: None,
            open_database,
        };
        let (database, index) = contained(|| {
            let mut database = match file.open_existing()? {
                Some(database) => database,
                None => file.create(directory)?,
            };
            // Before the integrity check, which may repair: a file of a newer version or another key is left alone.
            file.check(&database)?;
            let whole = database
                .check_integrity()
                .map_err(|error| file.disk_error(error))?;
            if !whole {
                return Err(StoreError::damaged(&file.path, REPAIRED));
            }
            let index = file.load(&database)?;
            Ok((database, index))
        })
        .unwrap_or_else(|| Err(StoreError::damaged(&file.path, PANICKED)))?;
        file.database = Some(database);
        Ok((file, index))
    }

    /// Writes the outcome of a plan. After an error the file may hold it or not until it was mended.
    pub(crate) fn commit(&mut self, plan: &Plan) -> Result<(), StoreError> {
        let mut records = Vec::with_capacity(plan.outcome.len());
        for (key, planned) in &plan.outcome {
            let name = record::name(key);
            let sealed = match planned {
                Some(planned) => Some(self.seal(&name, &planned.record)?),
                None => None,
            };
            records.push((name, sealed));
        }
        self.transact(|transaction| {
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
    pub(crate) fn mend(&mut self, index: &Index) -> Result<(), StoreError> {
        if self.database.is_some() {
            return Ok(());
        }
        let missing = || StoreError::io(&self.path)(io::ErrorKind::NotFound.into());
        let database = contained(|| {
            let database = self.open_existing()?.ok_or_else(missing)?;
            self.check(&database)?;
            Ok(database)
        })
        .unwrap_or_else(|| Err(StoreError::damaged(&self.path, PANICKED)))?;
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
        // Even a file that shows the old revision is written again: what the operating system shows of a file after
        // a failed write need not be what the disk has.
        self.transact(|transaction| {
            transaction.delete_table(OBJECTS)?;
            let mut objects = transaction.open_table(OBJECTS)?;
            for (name, sealed) in &records {
                objects.insert(name.as_str(), sealed.as_slice())?;
            }
            set_number(transaction, REVISION, index.revision())
        })
    }

    /// One durable transaction. After an error the database is closed, so that the next use opens it anew.
    fn transact(
        &mut self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let closed = || StoreError::damaged(&self.path, "closed after a failed write");
        let database = self.database.as_ref().ok_or_else(closed)?;
        let done = contained(|| transact(database, change).map_err(|error| self.disk_error(error)))
            .unwrap_or_else(|| Err(StoreError::damaged(&self.path, PANICKED)));
        if done.is_err() {
            self.database = None;
        }
        done
    }

    fn open_existing(&self) -> Result<Option<Database>, StoreError> {
        let file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(&self.path)(error)),
        };
        // The file gets its name only when it is complete. An empty one lost its content, and must not pass as a new store.
        if file.metadata().map_err(StoreError::io(&self.path))?.len() == 0 {
            return Err(StoreError::damaged(&self.path, "empty"));
        }
        (self.open_database)(file)
            .map(Some)
            .map_err(|error| self.disk_error(error))
    }

    /// Makes an empty store under another name, and gives it its name when it is complete and durable.
    fn create(&self, directory: &Path) -> Result<Database, StoreError> {
        let path = disk::unfinished_file(directory);
        let io = || StoreError::io(&path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.locked()),
            Err(TryLockError::Error(error)) => return Err(io()(error)),
        }
        // Only now is it sure that nobody else is making one; somebody may have finished since we looked.
        if let Some(database) = self.open_existing()? {
            return Ok(database);
        }
        file.set_len(0).map_err(io())?;
        let database = (self.open_database)(file).map_err(|error| self.disk_error(error))?;
        let check = self.cipher.seal(KEY_CHECK.as_bytes(), KEY_CHECK.as_bytes())?;
        transact(&database, |transaction| {
            transaction.open_table(OBJECTS)?;
            let mut meta = transaction.open_table(META)?;
            meta.insert(KEY_CHECK, check.as_slice())?;
            drop(meta);
            set_number(transaction, FORMAT, KNOWN_FORMAT)?;
            set_number(transaction, REVISION, 0)
        })
        .map_err(|error| self.disk_error(error))?;
        fs::rename(&path, &self.path).map_err(StoreError::io(&self.path))?;
        disk::sync_directory(directory).map_err(StoreError::io(directory))?;
        Ok(database)
    }

    fn load(&self, database: &Database) -> Result<Index, StoreError> {
        let mut index = Index::default();
        index.advance(self.check(database)?);
        let records = read_records(database).map_err(|error| self.disk_error(error))?;
        for (name, sealed) in records {
            let Some(key) = record::key_of(&name) else {
                return Err(StoreError::damaged(
                    &self.path,
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
        let read = |name: &str| read_meta(database, name).map_err(|error| self.disk_error(error));
        let number = |name: &str| {
            let bytes: [u8; 8] = read(name)?
                .as_slice()
                .try_into()
                .map_err(|_| StoreError::damaged(&self.path, format!("it does not tell its {name}")))?;
            Ok(u64::from_le_bytes(bytes))
        };
        let found = number(FORMAT)?;
        if found > KNOWN_FORMAT {
            return Err(StoreError::NewerFormat {
                path: self.path.clone(),
                found,
                known: KNOWN_FORMAT,
            });
        }
        if self
            .cipher
            .open(KEY_CHECK.as_bytes(), &read(KEY_CHECK)?)
            .is_none()
        {
            return Err(StoreError::WrongKey {
                path: self.path.clone(),
            });
        }
        let revision = number(REVISION)?;
        if revision > u64::MAX / 2 {
            return Err(StoreError::damaged(&self.path, "its revision cannot be"));
        }
        Ok(revision)
    }

    fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.cipher.seal(&context(name), plain)
    }

    fn locked(&self) -> StoreError {
        StoreError::Locked {
            path: self.path.clone(),
        }
    }

    fn disk_error(&self, error: impl Into<redb::Error>) -> StoreError {
        match error.into() {
            redb::Error::Io(source) => StoreError::io(&self.path)(source),
            redb::Error::DatabaseAlreadyOpen => self.locked(),
            error => StoreError::damaged(&self.path, error.to_string()),
        }
    }
}

fn open_database(file: File) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE_BYTES).create_file(file)
}

fn transact(
    database: &Database,
    change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    change(&transaction)?;
    Ok(transaction.commit()?)
}

fn set_number(transaction: &WriteTransaction, name: &str, number: u64) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    meta.insert(name, number.to_le_bytes().as_slice())?;
    Ok(())
}

/// A value about the whole file, empty if there is none.
fn read_meta(database: &Database, name: &str) -> Result<Vec<u8>, redb::Error> {
    let meta = match database.begin_read()?.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(meta
        .get(name)?
        .map_or_else(Vec::new, |value| value.value().to_vec()))
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

/// Runs something that uses the database; `None` if it panicked. The database checks what a crash leaves behind, but trusts
/// a file that was closed in order, and panics where it meets damage in one. A damaged file is the operator's to mend and no
/// reason to take the process down. The database is closed then, so nothing that was half done is used again.
fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// What a record is bound to. The prefix keeps objects apart from the key check.
fn context(name: &str) -> Vec<u8> {
    [b"object/", name.as_bytes()].concat()
}

/// Names (see `record::name`) to sealed records.
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
/// What is said about the whole file: numbers are 8 bytes, little-endian.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// The version of all this. Never moves to another place, so that every binary can tell a newer file.
const FORMAT: &str = "format";
/// The last revision given out, so that deleting the newest object does not give its revision out again.
const REVISION: &str = "revision";
/// Something sealed with the key, to tell a wrong key from a damaged object.
const KEY_CHECK: &str = "key_check";
const REPAIRED: &str =
    "it was damaged and has been repaired, its last write may be missing; start again to use it as it is";
const PANICKED: &str = "its structure is broken";
const KNOWN_FORMAT: u64 = 1;
/// Enough for the database's inner pages: reads are served from the index, not from here.
const CACHE_BYTES: usize = 8 * 1024 * 1024;
