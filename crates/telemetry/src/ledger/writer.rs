//! The thread that writes rows to the store.
//!
//! Rows wait in shards until a round begins: [`Settings::flush_interval`] after the round before began, or at once where many
//! wait. A round takes what waits and writes it, [`BATCH`] rows to a transaction. What cannot be written now is tried again, the
//! same rows, with growing pauses; meanwhile the shards fill up and then drop. So a row is on the disk at the latest one
//! interval and the time of one round after its call has ended, while the store takes rows at all.
//!
//! The thread also tells what others have charged to budgets: all that is kept, less what it has written itself ([`Charged`]).
//! Between two of its own transactions nobody is in doubt about either.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Settings;
use super::error::{NotTold, WriteError};
use super::lately::Lately;
use super::numbers::Numbers;
use super::rollup::{HOUR_S, floor, spent};
use super::rows::Rows;
use super::store::{Cutoffs, Due, Store};
use crate::report::Reporter;
use crate::shards::{Appended, Shards};

/// Rows of one transaction at most.
pub(super) const BATCH: usize = 2000;

/// Bytes of one shard that are written without waiting for the interval.
const FULL_ENOUGH: usize = 1024 * 1024;

/// The longest pause between two tries of a store that takes nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often calls that are due to be added up are looked for, and what is kept no longer.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// How long a call is waited for before its time is added up. One that ends later is added by itself.
const AFTERWARDS: Duration = Duration::from_secs(5 * 60);

/// Calls that are added up at once. Meanwhile new rows wait, so it takes no longer than a second; and readers have to look at
/// about so many calls one by one.
const ADDED_AT_ONCE: u32 = 200_000;

/// The same after it has taken too long.
const LEAST_AT_ONCE: u32 = 1000;

/// Calls that are removed at once; more is left for the next round, so that new rows do not wait.
const PRUNED_AT_ONCE: u32 = 5000;

/// The running thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    shards: Shards,
    lately: Arc<Lately>,
    numbers: Numbers,
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
    /// An end, before this time.
    stop: Option<Instant>,
    /// How many flushes were asked for.
    flushes_asked: u64,
    /// How many of them are done.
    flushes_done: u64,
    /// Whether somebody wants to know what others have charged.
    others: Others,
    /// Whether nobody will want to know any more.
    is_settled: bool,
    /// Whether the thread has ended.
    has_ended: bool,
    /// Whether it has written everything by then.
    has_written_all: bool,
}

/// A question what others have charged to budgets.
#[derive(Debug, Default)]
enum Others {
    #[default]
    Nobody,
    Asked,
    Told(Vec<Charge>),
    Failed(String),
}

/// What was charged: name of the budget, beginning of its period in seconds since 1970, and the amount.
pub(super) type Charge = (String, u64, u64);

/// What this thread has written of charges.
#[derive(Default)]
struct Charged(BTreeMap<(String, i64), i64>);

impl Charged {
    /// Remembers rows that are in the store, each once, whether this try has written them or one whose answer was lost: nobody
    /// else has calls of these ids.
    fn note(&mut self, rows: Rows<'_>) {
        for row in rows.iter() {
            for (budget, amount) in spent([&row].into_iter()) {
                *self.0.entry(budget).or_default() += amount;
            }
        }
    }

    /// What others have charged, of all that is kept.
    fn others(&self, all: Vec<(String, i64, i64)>) -> Vec<Charge> {
        let others = all.into_iter().filter_map(|(budget, start, amount)| {
            let key = (budget, start);
            let own = self.0.get(&key).copied().unwrap_or(0);
            let start = u64::try_from(start).ok()?;
            Some((key.0, start, u64::try_from(amount.saturating_sub(own)).ok()?))
        });
        others.collect()
    }
}

impl Writer {
    pub(super) fn start(
        store: Box<dyn Store>,
        settings: &Settings,
        numbers: Numbers,
    ) -> std::io::Result<Writer> {
        let shared = Arc::new(Shared {
            shards: Shards::with_total(settings.max_waiting_bytes, FULL_ENOUGH),
            lately: Arc::default(),
            numbers,
            requests: Mutex::new(Requests::default()),
            asked: Condvar::new(),
            answered: Condvar::new(),
        });
        let work = Work {
            shared: Arc::clone(&shared),
            store,
            interval: settings.flush_interval,
            keep: settings.keep,
            taken: Taken::default(),
            reporter: Reporter::new("usage ledger"),
            errors: 0,
            failures: 0,
            tidy_at: None,
            at_once: ADDED_AT_ONCE,
            charged: Some(Charged::default()),
        };
        let thread = thread::Builder::new()
            .name("usage-ledger".to_owned())
            .spawn(move || work.run())?;
        Ok(Writer {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues an encoded row. Never waits.
    pub(super) fn append(&self, row: &[u8]) {
        match self.shared.shards.append(row) {
            Appended::Waits => {}
            Appended::FullEnough => self.shared.ask(|requests| requests.round = true),
            Appended::Dropped => self.shared.numbers.dropped.add(1),
        }
    }

    /// Waits until every row appended before is written, at most `wait`; returns whether all are.
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
        requests.flushes_done >= mine || (requests.has_ended && requests.has_written_all)
    }

    /// What others have charged to budgets, or why the store does not tell.
    pub(super) fn charged_by_others(&self, wait: Duration) -> Result<Vec<Charge>, NotTold> {
        self.shared.ask(|requests| requests.others = Others::Asked);
        let is_waiting =
            |requests: &mut Requests| matches!(requests.others, Others::Asked) && !requests.has_ended;
        let requests = self.shared.requests();
        let (mut requests, _) = self
            .shared
            .answered
            .wait_timeout_while(requests, wait, is_waiting)
            .unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut requests.others) {
            Others::Told(charges) => Ok(charges),
            Others::Failed(reason) => Err(NotTold::Failed(reason)),
            _ if requests.has_ended => Err(NotTold::Ended),
            Others::Asked | Others::Nobody => Err(NotTold::Failed("no answer in time".to_owned())),
        }
    }

    /// Nobody will ask what others have charged.
    pub(super) fn settle(&self) {
        self.shared.ask(|requests| requests.is_settled = true);
    }

    /// Writes what waits, for at most `wait`, and ends the thread; returns whether all was written.
    pub(super) fn stop(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        self.shared.ask(|requests| requests.stop = Some(until));
        let requests = self.shared.requests();
        let (requests, _) = self
            .shared
            .answered
            .wait_timeout_while(requests, wait, |requests| !requests.has_ended)
            .unwrap_or_else(PoisonError::into_inner);
        let (has_ended, has_written_all) = (requests.has_ended, requests.has_written_all);
        drop(requests);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take_if(|_| has_ended) {
            // The file is closed when the thread is gone. One that panicked has reported it.
            let _ = thread.join();
        }
        has_written_all
    }

    /// What calls of teams add up to, for who watches.
    pub(super) fn lately(&self) -> Arc<Lately> {
        self.shared.lately.clone()
    }

    /// Rows dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.shards.dropped()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared
            .ask(|requests| requests.stop = requests.stop.or(Some(Instant::now())));
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

/// Rows that were taken out of the shards, encoded, of which some are written.
#[derive(Default)]
struct Taken {
    bytes: Vec<u8>,
    written: usize,
}

/// The thread's own state.
struct Work {
    shared: Arc<Shared>,
    store: Box<dyn Store>,
    interval: Duration,
    keep: super::Keep,
    taken: Taken,
    reporter: Reporter,
    errors: u64,
    /// Tries that failed one after the other.
    failures: u32,
    /// When calls to add up and what is old are looked for again; `None` for at once.
    tidy_at: Option<Instant>,
    /// Calls that are added up at once.
    at_once: u32,
    /// `None` when nobody will ask any more.
    charged: Option<Charged>,
}

impl Work {
    fn run(mut self) {
        loop {
            let began = Instant::now();
            let (stop, flushes) = {
                let mut requests = self.shared.requests();
                requests.round = false;
                (requests.stop, requests.flushes_asked)
            };
            if stop.is_some() {
                self.shared.shards.close();
            }
            let all = self.write_round();
            if all {
                self.shared.requests().flushes_done = flushes;
                self.shared.numbers.rounds.add(1);
                self.shared.answered.notify_all();
            }
            if let Some(until) = stop {
                let pause = self.interval.min(Duration::from_millis(100));
                if !all && Instant::now() + pause < until {
                    // Somebody waits for the end: no growing pauses any more.
                    let requests = self.shared.requests();
                    let _later = self.shared.asked.wait_timeout(requests, pause);
                    continue;
                }
                return self.end(all);
            }
            if all {
                self.tidy();
            }
            let has_told = !all || self.tell_others();
            self.tell();
            self.wait(began, all && has_told);
        }
    }

    /// Answers who wants to know what others have charged. Returns whether that could be told.
    fn tell_others(&mut self) -> bool {
        let (is_asked, is_settled) = {
            let requests = self.shared.requests();
            (matches!(requests.others, Others::Asked), requests.is_settled)
        };
        if is_settled {
            self.charged = None;
        }
        let Some(charged) = self.charged.as_ref().filter(|_| is_asked) else {
            return true;
        };
        match self.store.spent() {
            Ok(all) => {
                self.shared.requests().others = Others::Told(charged.others(all));
                self.shared.answered.notify_all();
                true
            }
            Err(error) => {
                self.errors += 1;
                self.failures = self.failures.saturating_add(1);
                self.shared.numbers.errors.add(1);
                self.reporter.remember(&error);
                self.shared.requests().others = Others::Failed(error.to_string());
                self.shared.answered.notify_all();
                false
            }
        }
    }

    /// Writes what waits. Returns whether all of it is written.
    fn write_round(&mut self) -> bool {
        for index in 0..=self.shared.shards.count() {
            // The first turn is for what an earlier round could not write.
            if let Some(index) = index.checked_sub(1) {
                self.shared.shards.take(index, &mut self.taken.bytes);
                self.taken.written = 0;
            }
            if let Err(error) = self.write_taken() {
                self.errors += 1;
                self.failures = self.failures.saturating_add(1);
                self.shared.numbers.errors.add(1);
                self.reporter.remember(&error);
                return false;
            }
        }
        self.failures = 0;
        true
    }

    fn write_taken(&mut self) -> Result<(), WriteError> {
        let Taken { bytes, written } = &mut self.taken;
        loop {
            let before = bytes.get(*written..).unwrap_or_default();
            let rows = Rows::first(before, BATCH);
            if rows.len() == 0 {
                // Only whole rows are appended: nothing is left.
                bytes.clear();
                *written = 0;
                return Ok(());
            }
            let began = Instant::now();
            let lost = write_rows(self.store.as_mut(), rows, &self.shared.numbers, &mut self.charged)?;
            self.shared.numbers.took(began.elapsed());
            self.shared.lately.add(rows);
            if let Some(reason) = lost.reason {
                self.errors += 1;
                self.shared.numbers.errors.add(1);
                self.shared.numbers.dropped.add(lost.rows);
                self.shared.shards.count_dropped(lost.rows);
                self.reporter.remember(&reason);
            }
            *written += rows.bytes();
        }
    }

    /// Adds up a part of the calls that are due, and removes a part of what is kept no longer.
    fn tidy(&mut self) {
        if self.tidy_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let now = SystemTime::now();
        let added = self.store.add_up(&Due::at(now), self.at_once);
        self.at_once = match added {
            Ok(_) => ADDED_AT_ONCE.min(self.at_once.saturating_mul(2)),
            Err(_) => LEAST_AT_ONCE.max(self.at_once / 2),
        };
        let pruned = self.store.prune(&self.keep.cutoffs(now), PRUNED_AT_ONCE);
        let (mut has_more, mut has_failed) = (false, false);
        for done in [added, pruned] {
            match done {
                Ok(more) => has_more |= more,
                Err(error) => {
                    has_failed = true;
                    self.errors += 1;
                    self.shared.numbers.errors.add(1);
                    self.reporter.remember(&error);
                }
            }
        }
        self.tidy_at = (has_failed || !has_more).then(|| Instant::now() + TIDY_EVERY);
    }

    fn tell(&mut self) {
        let shards = &self.shared.shards;
        self.reporter
            .report(self.errors, shards.dropped(), Instant::now());
        self.shared.numbers.waiting(shards.waiting() + count(&self.taken));
    }

    /// Waits for the next round.
    fn wait(&self, began: Instant, all: bool) {
        let next = if all {
            began + self.interval
        } else {
            let doubled = self
                .interval
                .saturating_mul(2_u32.saturating_pow(self.failures.min(10)));
            Instant::now() + doubled.min(LONGEST_PAUSE.max(self.interval))
        };
        let wait = next.saturating_duration_since(Instant::now());
        let requests = self.shared.requests();
        let is_idle = |requests: &mut Requests| {
            let is_asked =
                requests.flushes_asked > requests.flushes_done || matches!(requests.others, Others::Asked);
            let hurries = all && (requests.round || is_asked);
            requests.stop.is_none() && !hurries
        };
        let _awake = self.shared.asked.wait_timeout_while(requests, wait, is_idle);
    }

    /// Says that everything is over and counts what could not be written.
    fn end(mut self, all: bool) {
        if !all {
            let mut lost = count(&self.taken);
            for index in 0..self.shared.shards.count() {
                self.shared.shards.take(index, &mut self.taken.bytes);
                self.taken.written = 0;
                lost += count(&self.taken);
            }
            self.shared.shards.count_dropped(lost);
            self.shared.numbers.dropped.add(lost);
        }
        self.reporter
            .report_all(self.errors, self.shared.shards.dropped());
        // The file is closed before anybody hears of the end.
        drop(self.store);
        let mut requests = self.shared.requests();
        requests.has_ended = true;
        requests.has_written_all = all;
        drop(requests);
        self.shared.answered.notify_all();
    }
}

/// Rows that the store refuses for ever.
#[derive(Default)]
struct Lost {
    rows: u64,
    /// What it said about the last.
    reason: Option<String>,
}

/// Writes rows. One that the store refuses for ever is left out, so that it does not keep the others waiting.
fn write_rows(
    store: &mut dyn Store,
    rows: Rows<'_>,
    numbers: &Numbers,
    charged: &mut Option<Charged>,
) -> Result<Lost, WriteError> {
    match store.write(rows) {
        Ok(new) => {
            numbers.rows.add(new);
            if let Some(charged) = charged {
                charged.note(rows);
            }
            Ok(Lost::default())
        }
        Err(WriteError::Never(reason)) if rows.len() < 2 => Ok(Lost {
            rows: 1,
            reason: Some(reason),
        }),
        Err(WriteError::Never(_)) => {
            let (first, second) = rows.halves();
            let first = write_rows(store, first, numbers, charged)?;
            let second = write_rows(store, second, numbers, charged)?;
            Ok(Lost {
                rows: first.rows + second.rows,
                reason: second.reason.or(first.reason),
            })
        }
        Err(error @ WriteError::Later(_)) => Err(error),
    }
}

/// How many rows are not written yet.
fn count(taken: &Taken) -> u64 {
    let waiting = taken.bytes.get(taken.written..).unwrap_or_default();
    Rows::first(waiting, usize::MAX).len() as u64
}

impl Due {
    /// What is due at this time.
    pub(super) fn at(now: SystemTime) -> Due {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let before = now.saturating_sub(AFTERWARDS);
        let seconds = i64::try_from(before.as_secs()).unwrap_or(0);
        Due {
            hours_ms: floor(seconds, HOUR_S).saturating_mul(1000),
            any_ms: seconds.saturating_mul(1000),
        }
    }
}

impl super::Keep {
    /// What is older is not kept.
    pub(super) fn cutoffs(&self, now: SystemTime) -> Cutoffs {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let ago = |kept: Duration| i64::try_from(now.saturating_sub(kept).as_secs()).unwrap_or(0);
        Cutoffs {
            calls_ms: ago(self.calls).saturating_mul(1000),
            hours_s: ago(self.hours),
            days_s: ago(self.days),
        }
    }
}
