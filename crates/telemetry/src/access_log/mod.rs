//! The access log: lines in, a file out, never blocking the caller.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::format::Format;
use crate::record::CallRecord;

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nowhere: calls are not formatted at all.
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to and created if missing.
    File(PathBuf),
}

/// A handle to the access log; clones are cheap and write to the same log from any thread.
#[derive(Clone, Debug)]
pub struct AccessLog {}

impl AccessLog {
    /// Opens the target and starts the writer thread.
    pub fn start(_target: Target, _format: Format) -> io::Result<AccessLog> {
        Ok(AccessLog {})
    }

    /// Writes one call's line. Never blocks: a line that finds the queue full is dropped and counted.
    pub fn log(&self, _record: &CallRecord<'_>) {}

    /// Lines dropped since the start because the queue was full.
    pub fn dropped(&self) -> u64 {
        0
    }

    /// Failed writes since the start.
    pub fn write_errors(&self) -> u64 {
        0
    }

    /// Asks for the file to be opened anew, as after a rotation; returns at once.
    pub fn reopen(&self) {}

    /// Waits until every line logged before is written, at most `wait`; returns whether it is.
    pub fn flush(&self, _wait: Duration) -> bool {
        true
    }

    /// Writes what is queued, at most for a bounded time, and stops the writer thread.
    pub fn flush_and_stop(&self) {}
}
