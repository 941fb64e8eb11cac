//! What can go wrong with the store, in words for the operator. No variant ever carries a value or a key's bytes.

use std::io;
use std::path::{Path, PathBuf};

use tollgate_resources::objects::ObjectKey;

/// Why the store could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk refused: full, read-only, no permission, broken. After a refused write the store is as it was before;
    /// the next write tries the disk anew.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Somebody else has the file open.
    #[error(
        "{} is in use by another process: stop that one, or give this one a directory of its own",
        path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file was written with another key.
    #[error("{} was encrypted with another key: start with the key it was created with", path.display())]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// A newer version wrote the file. No object in it was touched.
    #[error(
        "{} has format {found}, this binary knows formats up to {known}: use the newer binary that wrote it",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: u64,
        /// The newest format that this binary reads.
        known: u64,
    },
    /// The file as a whole cannot be read: not a store, or damaged beyond what the last commit protects.
    #[error("{} is not a usable store ({reason}): restore it from a backup, or move it away", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was moved away, deleted or replaced while it was in use: what would be written could not be found again.
    #[error(
        "{} was moved or replaced while it was in use: put it back, or start again to use what is there now",
        path.display()
    )]
    Moved {
        /// The file.
        path: PathBuf,
    },
    /// One object of the file cannot be read: its record was changed, or swapped with another.
    #[error("the stored {key} is corrupt: restore the file from a backup")]
    Corrupt {
        /// The object.
        key: ObjectKey,
    },
    /// An object is not as the writer last saw it. Nothing was written; read again and decide anew.
    #[error("the {key} was changed by somebody else")]
    Changed {
        /// The object.
        key: ObjectKey,
        /// The revision that the writer saw; `None` when it saw no object.
        expected: Option<u64>,
        /// The revision it has; `None` when there is no such object.
        found: Option<u64>,
    },
    /// A value could not be read back if it were written. Nothing was written.
    #[error("the value of the {key} is nested too deeply to be stored")]
    TooDeep {
        /// The object.
        key: ObjectKey,
    },
    /// The cryptographic library refused to work, for example because the system has no random numbers.
    #[error("cannot encrypt: the system's cryptography is not available")]
    Cryptography,
}

impl StoreError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::Io { path, source }
    }

    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> StoreError {
        StoreError::Damaged {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
