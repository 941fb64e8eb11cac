//! What is known about the members of a pool.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::prefixes::Prefixes;

/// What a failed attempt counts as at least, so that a member that fails fast does not look fast.
const FAILURE_COUNTS_AS: Duration = Duration::from_secs(1);

/// What is remembered about a pool, whatever its configuration. Keep it as long as the pool has a name.
#[derive(Default)]
pub struct PoolMemory {
    members: Mutex<HashMap<Arc<str>, Arc<MemberState>>>,
    pub(super) turn: Mutex<()>,
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
    /// How long it takes: a peak counts at once, and is forgotten with time.
    latency: Mutex<Option<Latency>>,
}

#[derive(Clone, Copy, Debug)]
struct Latency {
    seconds: f64,
    at: Instant,
}

/// A call that a member is answering. Dropping it ends that.
#[derive(Debug)]
pub struct InFlight {
    state: Arc<MemberState>,
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
            latency: Mutex::new(None),
        }
    }
}

impl MemberState {
    /// Calls it is answering.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
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
    pub(super) fn latency(&self, now: Instant, decay: Duration) -> Option<f64> {
        let measured = *self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        measured.map(|latency| latency.seconds * weight_after(latency.at, now, decay))
    }

    fn measured(&self, now: Instant, took: Duration, decay: Duration) {
        let took = took.as_secs_f64();
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        *latency = Some(match *latency {
            Some(before) => {
                let weight = weight_after(before.at, now, decay);
                let smoothed = before.seconds * weight + took * (1.0 - weight);
                Latency {
                    // A peak counts at once; that it is over has to show.
                    seconds: smoothed.max(took),
                    at: before.at.max(now),
                }
            }
            None => Latency {
                seconds: took,
                at: now,
            },
        });
    }
}

impl InFlight {
    pub(super) fn new(state: Arc<MemberState>, decay: Duration) -> Self {
        state.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { state, decay }
    }

    /// The member answered: its first token, or its head where there are no tokens, came after this time.
    pub fn answered(&self, now: Instant, after: Duration) {
        self.state.measured(now, after, self.decay);
    }

    /// The member failed after this time.
    pub fn failed(&self, now: Instant, after: Duration) {
        self.state.measured(now, after.max(FAILURE_COUNTS_AS), self.decay);
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
