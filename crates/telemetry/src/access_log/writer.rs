//! The thread that writes what the shards hold, and how others talk to it.
//!
//! It sleeps while nothing is logged. The first line wakes it; from then on it writes a round at least every
//! [`FLUSH_INTERVAL`] until a whole interval brought nothing. A failed write is tried again with the same bytes from
//! where it stopped, so a full disk tears no line; meanwhile the shards fill up and then drop.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::output::Output;
use crate::report::Reporter;
use crate::shards::{Appended, Shards};

/// Bytes one shard holds at most; a line that would exceed it is dropped. About 10,000 lines.
pub(super) const SHARD_LIMIT: usize = 4 * 1024 * 1024;

/// Bytes at which a shard should be written without waiting for the next round.
const SHARD_FULL_ENOUGH: usize = 64 * 1024;

/// How long a line waits for others at most.
pub(super) const FLUSH_INTERVAL: Duration = Duration::from_millis(50);

/// The running writer thread. Dropping it lets the thread write what is queued and end.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    shards: Shards,
    /// Whether the thread sleeps until somebody wakes it.
    is_asleep: AtomicBool,
    errors: AtomicU64,
    requests: Mutex<Requests>,
    /// Told when `requests` holds something for the thread.
    asked: Condvar,
    /// Told when a flush is done or the thread has ended.
    answered: Condvar,
}

/// What others want from the thread.
#[derive(Debug, Default)]
struct Requests {
    /// A round, now.
    round: bool,
    /// The file opened anew.
    reopen: bool,
    /// An end.
    stop: bool,
    /// How many flushes were asked for.
    flushes_asked: u64,
    /// How many of them are done; all that can ever be asked for, once the thread has ended with nothing left.
    flushes_done: u64,
    /// Whether the thread has ended.
    has_ended: bool,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(output: Output) -> io::Result<Writer> {
        let shared = Arc::new(Shared {
            shards: Shards::new(SHARD_LIMIT, SHARD_FULL_ENOUGH),
            is_asleep: AtomicBool::new(false),
            errors: AtomicU64::new(0),
            requests: Mutex::new(Requests::default()),
            asked: Condvar::new(),
            answered: Condvar::new(),
        });
        let work = Work {
            shared: Arc::clone(&shared),
            output,
            batch: Vec::new(),
            written: 0,
            reporter: Reporter::new("access log"),
        };
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || work.run())?;
        Ok(Writer { shared })
    }

    /// Queues a whole line; returns whether there was room.
    pub(super) fn append(&self, line: &[u8]) -> bool {
        let appended = self.shared.shards.append(line);
        let wakes = match appended {
            Appended::Dropped => false,
            Appended::FullEnough => true,
            // The thread says that it sleeps before it looks at the shards a last time, so either it saw this line
            // or we see the flag here. The lock of the shard orders the two.
            Appended::Waits => self.shared.is_asleep.load(Ordering::Relaxed),
        };
        if wakes {
            self.shared.is_asleep.store(false, Ordering::Relaxed);
            self.shared.ask(|requests| requests.round = true);
        }
        appended != Appended::Dropped
    }

    /// Asks for the file to be opened anew.
    pub(super) fn reopen(&self) {
        self.shared.ask(|requests| requests.reopen = true);
    }

    /// Asks the thread to write what is queued and end.
    pub(super) fn stop(&self) {
        self.shared.ask(|requests| requests.stop = true);
    }

    /// Waits until every line appended before is written, at most `wait`; returns whether all are.
    pub(super) fn flush(&self, wait: Duration) -> bool {
        let mut mine = 0;
        self.shared.ask(|requests| {
            requests.flushes_asked += 1;
            mine = requests.flushes_asked;
        });
        let is_waiting = |requests: &mut Requests| requests.flushes_done < mine && !requests.has_ended;
        let requests = self.shared.requests();
        let (requests, _) = self
            .shared
            .answered
            .wait_timeout_while(requests, wait, is_waiting)
            .unwrap_or_else(PoisonError::into_inner);
        requests.flushes_done >= mine
    }

    /// Lines dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.shards.dropped()
    }

    /// Failed writes and reopenings since the start.
    pub(super) fn errors(&self) -> u64 {
        self.shared.errors.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn ask(&self, set: impl FnOnce(&mut Requests)) {
        set(&mut self.requests());
        self.asked.notify_one();
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's own state.
struct Work {
    shared: Arc<Shared>,
    output: Output,
    /// Lines taken from a shard, of which `written` bytes are out.
    batch: Vec<u8>,
    written: usize,
    reporter: Reporter,
}

/// What a round found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Nothing to write.
    Idle,
    /// Everything was written.
    Wrote,
    /// Something could not be written and waits for the next round.
    Failed,
}

impl Work {
    fn run(mut self) {
        loop {
            let (reopen, stop, flushes) = self.next_requests();
            if stop {
                self.shared.shards.close();
            }
            if reopen {
                self.reopen();
            }
            let round = self.write_round();
            if stop {
                self.end(round);
                return;
            }
            if round != Round::Failed {
                self.shared.requests().flushes_done = flushes;
                self.shared.answered.notify_all();
            }
            self.report();
            self.wait(round);
        }
    }

    fn next_requests(&self) -> (bool, bool, u64) {
        let mut requests = self.shared.requests();
        requests.round = false;
        (
            std::mem::take(&mut requests.reopen),
            requests.stop,
            requests.flushes_asked,
        )
    }

    /// Writes the rest of the last round and everything that waits.
    fn write_round(&mut self) -> Round {
        let mut round = Round::Idle;
        let mut was_checked = false;
        for index in 0..=self.shared.shards.count() {
            // The first turn is for what an earlier round could not write.
            if let Some(index) = index.checked_sub(1) {
                self.shared.shards.take(index, &mut self.batch);
                self.written = 0;
            }
            if self.batch.len() == self.written {
                continue;
            }
            if !was_checked && self.output.was_moved() {
                self.reopen();
            }
            was_checked = true;
            round = Round::Wrote;
            if let Err(error) = self.write_batch() {
                self.count_error(&error);
                return Round::Failed;
            }
        }
        round
    }

    fn write_batch(&mut self) -> io::Result<()> {
        while let Some(rest) = self.batch.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.output.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => self.written = self.written.saturating_add(length).min(self.batch.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens the file anew; a line begun in the old file is written again as a whole.
    fn reopen(&mut self) {
        if let Err(error) = self.output.reopen() {
            self.count_error(&error);
            return;
        }
        if self.written < self.batch.len() {
            let begun = self.batch.get(..self.written).unwrap_or_default();
            self.written = begun
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |last| last + 1);
        }
    }

    fn count_error(&mut self, error: &io::Error) {
        self.shared.errors.fetch_add(1, Ordering::Relaxed);
        self.reporter.remember(error);
    }

    fn report(&mut self) {
        let errors = self.shared.errors.load(Ordering::Relaxed);
        self.reporter
            .report(errors, self.shared.shards.dropped(), Instant::now());
    }

    /// Waits for the next round: for the interval's end, or, where nothing happens, for somebody to ask for it.
    fn wait(&self, round: Round) {
        let is_idle = |requests: &mut Requests| {
            let Requests {
                round,
                reopen,
                stop,
                flushes_asked,
                flushes_done,
                ..
            } = requests;
            !*round && !*reopen && !*stop && (flushes_asked <= flushes_done)
        };
        let wait = match round {
            Round::Idle if self.reporter.owes() => FLUSH_INTERVAL,
            Round::Idle => Duration::MAX,
            Round::Wrote | Round::Failed => FLUSH_INTERVAL,
        };
        if wait == Duration::MAX {
            self.shared.is_asleep.store(true, Ordering::Relaxed);
            if self.shared.shards.are_empty() {
                let requests = self.shared.requests();
                let _awake = self.shared.asked.wait_while(requests, is_idle);
            }
            self.shared.is_asleep.store(false, Ordering::Relaxed);
            return;
        }
        let requests = self.shared.requests();
        // An undone flush is no reason to hurry after a failure: only something new is.
        let is_unchanged = |requests: &mut Requests| !requests.round && !requests.reopen && !requests.stop;
        let _awake = match round {
            Round::Failed => self.shared.asked.wait_timeout_while(requests, wait, is_unchanged),
            _ => self.shared.asked.wait_timeout_while(requests, wait, is_idle),
        };
    }

    /// Says that everything is over and counts what could not be written.
    fn end(mut self, round: Round) {
        if round == Round::Failed {
            for index in 0..=self.shared.shards.count() {
                let lost = self.batch.get(self.written..).unwrap_or_default();
                self.shared.shards.count_dropped(lines(lost));
                self.written = 0;
                self.shared.shards.take(index, &mut self.batch);
            }
        }
        let (errors, dropped) = (
            self.shared.errors.load(Ordering::Relaxed),
            self.shared.shards.dropped(),
        );
        self.reporter.report_all(errors, dropped);
        let mut requests = self.shared.requests();
        requests.has_ended = true;
        if round != Round::Failed {
            requests.flushes_done = u64::MAX;
        }
        drop(requests);
        self.shared.answered.notify_all();
    }
}

/// How many lines end in `bytes`.
fn lines(bytes: &[u8]) -> u64 {
    let count = bytes.iter().filter(|byte| **byte == b'\n').count();
    u64::try_from(count).unwrap_or(u64::MAX)
}
