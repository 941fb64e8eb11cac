//! A database in a file: it appears complete or not at all, tells a newer format and a wrong key, and its faults stay its own.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, TableDefinition, TableError, WriteTransaction,
};

use crate::cipher::Cipher;
use crate::disk;
use crate::error::StoreError;

/// Where a database is, and how its file becomes one.
pub(crate) struct DatabaseFile {
    directory: PathBuf,
    path: PathBuf,
    /// Its name while it is being made.
    unfinished: PathBuf,
    open_database: OpenDatabase,
}

/// What tells two files apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// How a file becomes a database; tests put a failing disk here.
pub(crate) type OpenDatabase = fn(File) -> Result<Database, DatabaseError>;

impl DatabaseFile {
    /// The file of this name in a directory.
    pub(crate) fn new(directory: &Path, name: &str, open_database: OpenDatabase) -> Self {
        DatabaseFile {
            directory: directory.to_owned(),
            path: directory.join(name),
            unfinished: directory.join(format!("{name}.new")),
            open_database,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which file has the name now, whatever becomes of the name later.
    pub(crate) fn identity(&self) -> Result<Identity, StoreError> {
        let metadata = fs::metadata(&self.path).map_err(StoreError::io(&self.path))?;
        Ok(Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Opens the database; `None` if there is no file.
    pub(crate) fn open_existing(&self) -> Result<Option<Database>, StoreError> {
        let file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(&self.path)(error)),
        };
        // The file gets its name only when it is complete. An empty one lost its content, and must not pass as a new one.
        if file.metadata().map_err(StoreError::io(&self.path))?.len() == 0 {
            return Err(StoreError::damaged(&self.path, "empty"));
        }
        (self.open_database)(file)
            .map(Some)
            .map_err(|error| self.error(error))
    }

    /// Makes a database under another name, and gives it its name when it is complete and durable. `begin` fills it.
    pub(crate) fn create(
        &self,
        cipher: &Cipher,
        format: u64,
        begin: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<Database, StoreError> {
        let io = || StoreError::io(&self.unfinished);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.unfinished)
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
        let database = (self.open_database)(file).map_err(|error| self.error(error))?;
        let check = cipher.seal(KEY_CHECK.as_bytes(), KEY_CHECK.as_bytes())?;
        transact(&database, |transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert(KEY_CHECK, check.as_slice())?;
            drop(meta);
            set_number(transaction, FORMAT, format)?;
            begin(transaction)
        })
        .map_err(|error| self.error(error))?;
        fs::rename(&self.unfinished, &self.path).map_err(StoreError::io(&self.path))?;
        disk::sync_directory(&self.directory).map_err(StoreError::io(&self.directory))?;
        Ok(database)
    }

    /// Checks that this binary, which knows formats up to `known`, and this key can read the database.
    /// Returns the format it has.
    pub(crate) fn check(&self, database: &Database, cipher: &Cipher, known: u64) -> Result<u64, StoreError> {
        let found = self.number(database, FORMAT)?;
        if found > known {
            return Err(StoreError::NewerFormat {
                path: self.path.clone(),
                found,
                known,
            });
        }
        let sealed = read_meta(database, KEY_CHECK).map_err(|error| self.error(error))?;
        if cipher.open(KEY_CHECK.as_bytes(), &sealed).is_none() {
            return Err(StoreError::WrongKey {
                path: self.path.clone(),
            });
        }
        Ok(found)
    }

    /// A number about the whole file.
    pub(crate) fn number(&self, database: &Database, name: &str) -> Result<u64, StoreError> {
        let bytes: [u8; 8] = read_meta(database, name)
            .map_err(|error| self.error(error))?
            .as_slice()
            .try_into()
            .map_err(|_| StoreError::damaged(&self.path, format!("it does not tell its {name}")))?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(crate) fn error(&self, error: impl Into<redb::Error>) -> StoreError {
        match error.into() {
            redb::Error::Io(source) => StoreError::io(&self.path)(source),
            redb::Error::DatabaseAlreadyOpen => self.locked(),
            error => StoreError::damaged(&self.path, error.to_string()),
        }
    }

    /// Runs something that uses the database. It checks what a crash leaves behind, but trusts a file that was closed in
    /// order, and panics where it meets damage in one. A damaged file is the operator's to mend and no reason to take the
    /// process down. After an error the database must be closed, so that nothing that was half done is used again.
    pub(crate) fn contained<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        panic::catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(StoreError::damaged(&self.path, PANICKED)))
    }

    fn locked(&self) -> StoreError {
        StoreError::Locked {
            path: self.path.clone(),
        }
    }
}

/// One durable transaction.
pub(crate) fn transact<T>(
    database: &Database,
    change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
) -> Result<T, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    let changed = change(&transaction)?;
    transaction.commit()?;
    Ok(changed)
}

/// Notes that the file has another format from now on.
pub(crate) fn set_format(transaction: &WriteTransaction, format: u64) -> Result<(), redb::Error> {
    set_number(transaction, FORMAT, format)
}

/// Writes a number about the whole file.
pub(crate) fn set_number(transaction: &WriteTransaction, name: &str, number: u64) -> Result<(), redb::Error> {
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

/// What is said about the whole file: numbers are 8 bytes, little-endian.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// The version of all this. Never moves to another place, so that every binary can tell a newer file.
const FORMAT: &str = "format";
/// Something sealed with the key, to tell a wrong key from a damaged record.
const KEY_CHECK: &str = "key_check";
const PANICKED: &str = "its structure is broken";
