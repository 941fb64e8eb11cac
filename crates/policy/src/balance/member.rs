//! What is known about the members of a pool.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::prefixes::Prefixes;

/// What a failed attempt counts as at least, so that a member that fails fast does not look fast.
const FAILURE_COUNTS_AS: Duration = Duration::from_secs(1);

/// What failures count as at most, unless they took longer.
const FAILURES_COUNT_AS: Duration = Duration::from_secs(60);

/// What is remembered about a pool, whatever its configuration. Keep it as long as the pool has a name.
#[derive(Default)]
pub struct PoolMemory {
    members: Mutex<HashMap<Arc<str>, Arc<MemberState>>>,
    pub(super) turn: Mutex<()>,
    /// The place in its tier of the member whose turn it is, where all have the same share.
    pub(super) place: AtomicUsize,
    prefixes: Mutex<Prefixes>,
}

/// What is remembered about one member.
#[derive(Debug)]
pub struct MemberState {
    /// Tells it from all others of the process.
    number: u64,
    /// Its credit in the smooth weighted round robin.
    credit: AtomicI64,
    /// Calls it is answering.
    in_flight: AtomicUsize,
    /// How long it takes to begin a stream: a peak counts at once, and is forgotten with time.
    streamed: Mutex<Option<Latency>>,
    /// The same for other answers, which come as a whole and so take much longer.
    whole: Mutex<Option<Latency>>,
}

#[derive(Clone, Copy, Debug)]
struct Latency {
    /// What is reckoned with: failures count as slow, and what is long ago as fast.
    seconds: f64,
    at: Instant,
    /// What answers took, for people: half of it the last one.
    answers: Option<f64>,
}

/// A call that a member is answering. Dropping it ends that.
#[derive(Debug)]
pub struct InFlight {
    state: Arc<MemberState>,
    streams: bool,
    decay: Duration,
}

impl PoolMemory {
    /// What is known about these members, in their order; the rest is forgotten unless it is in use.
    pub fn of(&self, names: &[Arc<str>]) -> Vec<Arc<MemberState>> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|name, state| names.contains(name) || Arc::strong_count(state) > 1);
        names
            .iter()
            .map(|name| members.entry(name.clone()).or_default().clone())
            .collect()
    }

    pub(super) fn prefixes(&self) -> MutexGuard<'_, Prefixes> {
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemberState {
    fn default() -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        MemberState {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            credit: AtomicI64::new(0),
            in_flight: AtomicUsize::new(0),
            streamed: Mutex::new(None),
            whole: Mutex::new(None),
        }
    }
}

impl MemberState {
    /// Calls it is answering.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What answers took lately: until the first token of a stream, or until another answer was there as a whole. `None` if it was
    /// not measured yet.
    pub fn usual(&self, streams: bool) -> Option<Duration> {
        let latency = *self.latency_of(streams);
        Duration::try_from_secs_f64(latency?.answers?).ok()
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn credit(&self) -> i64 {
        self.credit.load(Ordering::Relaxed)
    }

    /// Only while holding the turn.
    pub(super) fn set_credit(&self, credit: i64) {
        self.credit.store(credit, Ordering::Relaxed);
    }

    /// What it is expected to take, in seconds; `None` if it was not measured yet.
    pub(super) fn latency(&self, streams: bool, now: Instant, decay: Duration) -> Option<f64> {
        self.latency_of(streams).map(|latency| latency.at(now, decay))
    }

    /// Something was measured that counts as this. `answer` is what an answer took, if it was one.
    fn measured(
        &self,
        streams: bool,
        now: Instant,
        took: Duration,
        answer: Option<Duration>,
        decay: Duration,
    ) {
        let took = took.as_secs_f64();
        let mut latency = self.latency_of(streams);
        let before = latency.and_then(|latency| latency.answers);
        let answers = match (before, answer.map(|answer| answer.as_secs_f64())) {
            (Some(before), Some(last)) => Some(f64::midpoint(before, last)),
            (before, last) => last.or(before),
        };
        *latency = Some(match *latency {
            Some(before) => {
                let weight = weight_after(before.at, now, decay);
                let smoothed = before.seconds * weight + took * (1.0 - weight);
                Latency {
                    // A peak counts at once; that it is over has to show.
                    seconds: smoothed.max(took),
                    at: before.at.max(now),
                    answers,
                }
            }
            None => Latency {
                seconds: took,
                at: now,
                answers,
            },
        });
    }

    fn latency_of(&self, streams: bool) -> MutexGuard<'_, Option<Latency>> {
        let latency = if streams { &self.streamed } else { &self.whole };
        latency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Latency {
    fn at(self, now: Instant, decay: Duration) -> f64 {
        self.seconds * weight_after(self.at, now, decay)
    }
}

impl InFlight {
    pub(super) fn new(state: Arc<MemberState>, streams: bool, decay: Duration) -> Self {
        state.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight {
            state,
            streams,
            decay,
        }
    }

    /// The member answered: its first token, or its head where there are no tokens, came after this time.
    pub fn answered(&self, now: Instant, after: Duration) {
        self.state
            .measured(self.streams, now, after, Some(after), self.decay);
    }

    /// The member failed after this time. It counts as twice as slow as it was, so that failing again and again makes it look
    /// slower than any other.
    pub fn failed(&self, now: Instant, after: Duration) {
        let expected = self.state.latency(self.streams, now, self.decay);
        let twice = Duration::try_from_secs_f64(2.0 * expected.unwrap_or_default());
        let counts_as = twice
            .unwrap_or(FAILURES_COUNT_AS)
            .clamp(FAILURE_COUNTS_AS, FAILURES_COUNT_AS);
        self.state
            .measured(self.streams, now, after.max(counts_as), None, self.decay);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn weight_after(then: Instant, now: Instant, decay: Duration) -> f64 {
    let age = now.saturating_duration_since(then);
    (-age.as_secs_f64() / decay.as_secs_f64()).exp()
}
