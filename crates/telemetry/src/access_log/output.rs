//! The open file behind the access log, and whether it still is the one its path names.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes that a pipe takes at once on Linux (pipe(7)).
const PIPE_BUF: usize = 4096;

/// An open file to append to.
#[derive(Debug)]
pub(super) struct Output {
    /// `None`: it is opened when there is something to write.
    file: Option<File>,
    is_pipe: bool,
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
            is_pipe: is_pipe(&file),
            file: Some(file),
            origin: None,
        }
    }

    /// Opens or creates the file at `path` for appending.
    pub(super) fn file(path: PathBuf) -> io::Result<Output> {
        let file = open(&path)?;
        let identity = Identity::of(&file.metadata()?);
        Ok(Output {
            is_pipe: is_pipe(&file),
            file: Some(file),
            origin: Some(Origin { path, identity }),
        })
    }

    /// The file at `path`, which is opened or created when there is something to write.
    pub(super) fn later(path: PathBuf) -> Output {
        let identity = Identity { device: 0, inode: 0 };
        Output {
            file: None,
            is_pipe: false,
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

    /// Writes some of `bytes` and returns how many. They begin a line, unless what was written before did not end one.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() {
            self.reopen()?;
        }
        match &mut self.file {
            Some(file) if self.is_pipe => file.write(at_once(bytes)),
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn is_pipe(file: &File) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Whole lines that a pipe takes at once. While one process takes over from another, both write into the same pipe, and the
/// system may put other bytes between those of a longer write. A file that is appended to has no such limit.
fn at_once(bytes: &[u8]) -> &[u8] {
    let Some(first) = bytes.get(..PIPE_BUF) else {
        return bytes;
    };
    match first.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => bytes.get(..=end).unwrap_or(bytes),
        // A line that is longer.
        None => first,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_given_whole_lines_that_it_takes_at_once() {
        let line = |length: usize| [vec![b'x'; length - 1], b"\n".to_vec()].concat();
        let many = line(100).repeat(100);
        assert_eq!(at_once(&many).len(), 4000);
        assert_eq!(at_once(&line(100)).len(), 100);
        let exact = [line(PIPE_BUF), line(5)].concat();
        assert_eq!(at_once(&exact).len(), PIPE_BUF);
        let long = line(3 * PIPE_BUF);
        assert_eq!(at_once(&long).len(), PIPE_BUF);
        assert_eq!(at_once(&long[2 * PIPE_BUF..]).len(), PIPE_BUF);
        assert_eq!(at_once(&long[2 * PIPE_BUF + 1..]).len(), PIPE_BUF - 1);
    }
}
