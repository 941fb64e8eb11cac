//! Charges that are not written yet: in the order they were made, bounded, and numbered, so that one that is sent twice is
//! written once.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::window::Held;
use super::super::{Limit, Windows};
use super::script::Argument;

/// Charges one worker keeps at most; further ones are dropped.
const MAX_PENDING: usize = 16_384;

/// How long a charge is kept at most. One whose window has ended is not kept longer than that.
const MAX_AGE: Duration = Duration::from_secs(600);

/// What one worker has not written yet.
pub(super) struct Lane {
    /// Its name in windows.
    sender: String,
    /// What names of reservations and places begin with, in this process.
    process: String,
    queue: Mutex<Queue>,
    /// Whether somebody writes.
    pub(super) is_flushing: AtomicBool,
}

#[derive(Default)]
struct Queue {
    charges: VecDeque<Arc<Charge>>,
    number: u64,
}

/// Something to write.
#[derive(Debug)]
pub(super) struct Charge {
    number: u64,
    /// The key of the window or of the places.
    pub(super) key: String,
    what: What,
    made: Instant,
}

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Add { limit: Limit, amount: u64 },
    Settle { limit: Limit, held: Held, used: u64 },
    GiveBack { held: Held },
    Leave { id: u64 },
}

impl Lane {
    pub(super) fn new(process: &str, number: usize) -> Self {
        Lane {
            sender: format!("{process}.{number}"),
            process: process.to_owned(),
            queue: Mutex::default(),
            is_flushing: AtomicBool::new(false),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a charge in; tells whether there was room for it.
    pub(super) fn push(&self, key: String, what: What) -> bool {
        let mut queue = self.queue();
        if queue.charges.len() >= MAX_PENDING {
            return false;
        }
        queue.number += 1;
        let number = queue.number;
        queue.charges.push_back(Arc::new(Charge {
            number,
            key,
            what,
            made: Instant::now(),
        }));
        true
    }

    /// Drops charges that are too old to mean anything; tells how many.
    pub(super) fn drop_stale(&self) -> u64 {
        let mut queue = self.queue();
        let mut dropped = 0;
        while queue.charges.front().is_some_and(|charge| charge.is_stale()) {
            queue.charges.pop_front();
            dropped += 1;
        }
        dropped
    }

    /// The first charges that can be written now, at most so many.
    pub(super) fn first(&self, most: usize, is_reachable: impl Fn(&Charge) -> bool) -> Vec<Arc<Charge>> {
        let queue = self.queue();
        let reachable = queue.charges.iter().filter(|charge| is_reachable(charge));
        reachable.take(most).cloned().collect()
    }

    /// Forgets charges that are written.
    pub(super) fn written(&self, charges: &[Arc<Charge>]) {
        let mut queue = self.queue();
        for charge in charges {
            // Nearly always the first one.
            let place = queue
                .charges
                .iter()
                .position(|pending| pending.number == charge.number);
            if let Some(place) = place {
                queue.charges.remove(place);
            }
        }
    }

    /// Keys and arguments of the script that writes charges.
    pub(super) fn script(&self, charges: &[Arc<Charge>], now_ms: u64) -> (Vec<String>, Vec<Argument>) {
        let count = u64::try_from(charges.len()).unwrap_or(u64::MAX);
        let mut keys = Vec::with_capacity(charges.len());
        let mut arguments = vec![now_ms.into(), self.sender.clone().into(), count.into()];
        for charge in charges {
            charge.write(&self.process, &mut keys, &mut arguments);
        }
        (keys, arguments)
    }

    /// How many are not written yet.
    pub(super) fn len(&self) -> usize {
        self.queue().charges.len()
    }
}

impl Charge {
    fn is_stale(&self) -> bool {
        let limit = match self.what {
            What::Add { limit, .. } | What::Settle { limit, .. } => Some(limit),
            What::GiveBack { .. } | What::Leave { .. } => None,
        };
        let window = limit.map_or(MAX_AGE, |limit| Duration::from_millis(limit.window_ms));
        self.made.elapsed() > window.min(MAX_AGE)
    }

    fn write(&self, process: &str, keys: &mut Vec<String>, arguments: &mut Vec<Argument>) {
        keys.push(self.key.clone());
        let nothing = Limit {
            amount: 0,
            window_ms: 1,
            windows: Windows::Fixed,
        };
        let (kind, limit, amount, held) = match self.what {
            What::Add { limit, amount } => ("add", limit, amount, None),
            What::Settle { limit, held, used } => ("settle", limit, used, Some(held)),
            What::GiveBack { held } => ("back", nothing, 0, Some(held)),
            What::Leave { id } => (
                "leave",
                nothing,
                0,
                Some(Held {
                    id,
                    amount: 0,
                    end_ms: 0,
                }),
            ),
        };
        let id = held.map_or_else(String::new, |held| holder(process, held.id));
        arguments.extend([
            self.number.into(),
            kind.into(),
            limit.amount.into(),
            limit.window_ms.into(),
            sliding(limit.windows),
            amount.into(),
            id.into(),
            held.map_or(0, |held| held.amount).into(),
            held.map_or(0, |held| held.end_ms).into(),
        ]);
    }
}

/// The name of a reservation or place.
pub(super) fn holder(process: &str, id: u64) -> String {
    format!("{process}-{id}")
}

/// Whether windows slide, as scripts read it.
pub(super) fn sliding(windows: Windows) -> Argument {
    match windows {
        Windows::Fixed => "0".into(),
        Windows::Sliding => "1".into(),
    }
}
