//! A file that takes any lines, written as the access log is.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::STOP_WAIT;
use super::output::Output;
use super::writer::Writer;
use crate::metrics::{Counter, Metrics};

/// A file of lines. It is opened when the first line comes, and again when that fails or the file was moved away.
///
/// When it is dropped, what is queued is still written.
pub struct LineLog {
    writer: Writer,
    queued: Counter,
    full: Counter,
}

impl LineLog {
    /// Starts the thread that writes. `sink` names the file's lines in metrics.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(path: PathBuf, sink: &str, metrics: &Metrics) -> io::Result<LineLog> {
        Ok(LineLog {
            writer: Writer::start(Output::later(path))?,
            queued: metrics.counter(
                "tollgate_delivery_queued_total",
                "Entries taken to be sent.",
                &["sink"],
                &[sink],
            ),
            full: metrics.counter(
                "tollgate_delivery_dropped_total",
                crate::delivery::DROPPED_HELP,
                &["sink", "reason"],
                &[sink, "full"],
            ),
        })
    }

    /// Queues a whole line with its line break. Never waits for the file: a line that finds the queue full is dropped and
    /// counted.
    pub fn append(&self, line: &[u8]) {
        match self.writer.append(line) {
            true => self.queued.add(1),
            false => self.full.add(1),
        }
    }

    /// Asks for the file to be opened anew, as after a rotation; returns at once.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// Waits until every line so far is written, at most `wait`; returns whether all are.
    pub fn flush(&self, wait: Duration) -> bool {
        self.writer.flush(wait)
    }

    /// Writes what is queued, for at most a moment, and stops; returns whether all was written.
    pub fn flush_and_stop(&self) -> bool {
        self.writer.stop();
        self.writer.flush(STOP_WAIT)
    }
}

impl std::fmt::Debug for LineLog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LineLog").finish_non_exhaustive()
    }
}
