//! The open file behind the access log, and whether it still is the one its path names.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// An open file to append to.
#[derive(Debug)]
pub(super) struct Output {
    /// `None`: it is opened when there is something to write.
    file: Option<File>,
    /// Where it was opened, and which file it was; `None` for what has no name, such as standard output.
    origin: Option<Origin>,
}

#[derive(Debug)]
struct Origin {
    path: PathBuf,
    identity: Identity,
}

/// What tells two files apart, whatever they are called.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Output {
    /// Standard output, without the line buffer in front of it.
    pub(super) fn stdout() -> io::Result<Output> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Output::unnamed(file))
    }

    /// A file that is never opened anew.
    pub(super) fn unnamed(file: File) -> Output {
        Output {
            file: Some(file),
            origin: None,
        }
    }

    /// Opens or creates the file at `path` for appending.
    pub(super) fn file(path: PathBuf) -> io::Result<Output> {
        let file = open(&path)?;
        let identity = Identity::of(&file.metadata()?);
        Ok(Output {
            file: Some(file),
            origin: Some(Origin { path, identity }),
        })
    }

    /// The file at `path`, which is opened or created when there is something to write.
    pub(super) fn later(path: PathBuf) -> Output {
        let identity = Identity { device: 0, inode: 0 };
        Output {
            file: None,
            origin: Some(Origin { path, identity }),
        }
    }

    /// Opens the path anew. On an error the old file stays in use.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Some(origin) = &self.origin {
            *self = Output::file(origin.path.clone())?;
        }
        Ok(())
    }

    /// Whether the path no longer names this file: it was renamed, deleted or replaced.
    pub(super) fn was_moved(&self) -> bool {
        let Some(origin) = self.origin.as_ref().filter(|_| self.file.is_some()) else {
            return false;
        };
        match std::fs::metadata(&origin.path) {
            Ok(metadata) => Identity::of(&metadata) != origin.identity,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Writes some of `bytes` and returns how many.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() {
            self.reopen()?;
        }
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Opens a file for appending, without waiting.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true);
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        // Who opens a pipe for writing waits for a reader, unless it could read itself.
        options.read(true);
    } else {
        options.create(true);
    }
    options.open(path)
}

impl Identity {
    fn of(metadata: &Metadata) -> Identity {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}
