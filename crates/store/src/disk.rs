//! Names of the files in the store's directory, and what every durable file needs of its directory.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Name of the file of objects.
pub(crate) const STORE_FILE: &str = "tollgate.db";

/// Name of the file of conversations.
pub(crate) const RESPONSES_FILE: &str = "responses.db";

/// The file of a generated key.
pub(crate) fn key_file(directory: &Path) -> PathBuf {
    directory.join("store.key")
}

/// Makes the directory, for its owner only, unless it exists. Durable when it returns.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    match directory.parent() {
        Some(parent) if parent != Path::new("") => sync_directory(parent),
        Some(_) => sync_directory(Path::new(".")),
        None => Ok(()),
    }
}

/// Makes new names in a directory durable: a file's own fsync does not cover its name.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
