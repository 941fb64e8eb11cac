//! The access log: a call's line goes into memory at once and to the file a little later, on a thread of its own.
//!
//! Workers append whole lines to one of several shards, each thread to its own, so that they do not wait for each
//! other; the writer thread takes the shards' contents and writes them. A slow or full disk fills the shards up to
//! their limit, then lines are dropped and counted. The caller is never delayed by the file and never told of its errors.

mod lines;
mod output;
mod writer;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::lines::LineLog;
use self::output::Output;
use self::writer::Writer;
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
///
/// When the last clone is dropped, the writer thread writes what is queued and ends; only
/// [`flush_and_stop`](AccessLog::flush_and_stop) waits for it.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// `None` where the log is off.
    running: Option<Arc<Running>>,
}

#[derive(Debug)]
struct Running {
    format: Format,
    writer: Writer,
}

impl AccessLog {
    /// None.
    pub fn off() -> AccessLog {
        AccessLog { running: None }
    }

    /// Opens the target and starts the writer thread.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the thread cannot be started.
    pub fn start(target: Target, format: Format) -> io::Result<AccessLog> {
        let output = match target {
            Target::Off => return Ok(AccessLog { running: None }),
            Target::Stdout => Output::stdout()?,
            Target::File(path) => Output::file(path)?,
        };
        AccessLog::start_with(output, format)
    }

    fn start_with(output: Output, format: Format) -> io::Result<AccessLog> {
        let writer = Writer::start(output)?;
        Ok(AccessLog {
            running: Some(Arc::new(Running { format, writer })),
        })
    }

    /// Writes one call's line. Never waits for the file: a line that finds the queue full is dropped and counted.
    pub fn log(&self, record: &CallRecord<'_>) {
        let Some(running) = &self.running else { return };
        let mut line = LINE.take();
        running.format.write(record, &mut line);
        running.writer.append(&line);
        if line.capacity() <= MAX_KEPT_LINE {
            line.clear();
            LINE.set(line);
        }
    }

    /// Lines dropped since the start because the queue was full or the log had been stopped.
    pub fn dropped(&self) -> u64 {
        self.running
            .as_ref()
            .map_or(0, |running| running.writer.dropped())
    }

    /// Failed writes and failed attempts to open the file anew since the start.
    pub fn write_errors(&self) -> u64 {
        self.running.as_ref().map_or(0, |running| running.writer.errors())
    }

    /// Asks for the file to be opened anew, as after a rotation; returns at once.
    pub fn reopen(&self) {
        if let Some(running) = &self.running {
            running.writer.reopen();
        }
    }

    /// Waits until every line logged before is written, at most `wait`; returns whether all are.
    pub fn flush(&self, wait: Duration) -> bool {
        self.running
            .as_ref()
            .is_none_or(|running| running.writer.flush(wait))
    }

    /// Writes what is queued, for at most two seconds, and stops the writer thread; returns whether all was written.
    /// Lines logged afterwards are dropped and counted.
    pub fn flush_and_stop(&self) -> bool {
        let Some(running) = &self.running else { return true };
        running.writer.stop();
        running.writer.flush(STOP_WAIT)
    }
}

/// How long a stop waits for a disk or a reader of standard output that does not keep up.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// Capacity above which a thread does not keep its line buffer, so that one long line does not cost memory for ever.
const MAX_KEPT_LINE: usize = 64 * 1024;

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests;
