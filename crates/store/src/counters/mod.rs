//! Counters of limits: what was used in a window of time, and who is in at the same time.
//!
//! They know keys, amounts, windows and leases; they refuse to know what is counted, and who is told what. There are two homes:
//! this process's memory, where every answer is known at once, and Redis, where several processes count together and an answer
//! takes one exchange.
//!
//! * [`Counters::decide`] asks limits whether an amount still fits: without taking it (an amount of 0), taking it, or
//!   reserving it. A [`Reservation`] is replaced by what was really used when it is settled, and given back when it is dropped.
//! * [`Counters::add`] counts what was used, whether it fits or not.
//! * [`Counters::enter`] takes places that are given back when they are dropped.
//!
//! Reservations and places have a lease, so that a process that was killed does not hold them for ever.
//!
//! **Fixed windows** begin with the first ask of a key and end after their length; then the count begins anew. **Sliding
//! windows** are aligned to the clock, and the one before counts in proportion to how much of it the last `window_ms` still
//! cover. A call is charged to the window it was admitted in: when that has ended before the call, only what its
//! reservation did not cover is charged, to the window of then.

mod memory;
mod places;
mod sharded;
mod window;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use thiserror::Error;

use self::window::{Answer, Held};

pub use memory::Memory;
pub use sharded::{Expires, Sharded, milliseconds};

/// The largest amount, limit and length of a window: what Redis' scripts can count exactly. Larger ones are cut to it.
pub const MAX_AMOUNT: u64 = (1 << 53) - 1;

/// Counters in one of their homes.
#[derive(Clone)]
pub struct Counters(Home);

#[derive(Clone)]
enum Home {
    Memory(Arc<Memory>),
}

/// How much may be used in how much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What may be used in a window.
    pub amount: u64,
    /// Length of the window in milliseconds, above 0.
    pub window_ms: u64,
    /// How windows follow each other.
    pub windows: Windows,
}

/// How windows follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Windows {
    /// One begins with the first ask after the end of the last.
    #[default]
    Fixed,
    /// They are aligned to the clock, and the one before counts in part.
    Sliding,
}

/// A question to one limit.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who it is about. Keys of different limits must differ.
    pub key: String,
    /// The limit.
    pub limit: Limit,
    /// What to do if it says yes.
    pub act: Act,
}

/// What to do with an amount that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Count it. An amount of 0 is not counted, and fits as long as 1 would.
    Take(u64),
    /// Count it until it is settled, or given back, or its lease has run out.
    Reserve {
        /// The amount.
        amount: u64,
        /// How long it is held at most, in milliseconds.
        lease_ms: u64,
    },
}

impl Ask {
    /// Whether there is room for 1, without taking it.
    pub fn peek(key: String, limit: Limit) -> Self {
        let act = Act::Take(0);
        Ask { key, limit, act }
    }
}

/// What becomes of several asks of which one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Together {
    /// Those before it stay counted; those behind it are not asked.
    InTurn,
    /// Nothing is counted.
    AllOrNone,
}

/// What a limit says.
#[derive(Debug)]
pub struct Verdict {
    /// Whether the amount fits.
    pub is_allowed: bool,
    /// What fits after it.
    pub remaining: u64,
    /// Milliseconds until the count begins anew; where windows slide and it was refused: until there is room.
    pub reset_ms: u64,
    /// What was reserved, of reservations that were allowed.
    pub reservation: Option<Reservation>,
}

/// A place that is asked for.
#[derive(Clone, Debug)]
pub struct Enter {
    /// Who it is about. Keys of different limits must differ.
    pub key: String,
    /// How many may be in at the same time.
    pub limit: u64,
    /// How long the place is held at most, in milliseconds. The lease is not renewed.
    pub lease_ms: u64,
}

/// Whether somebody got in.
#[derive(Debug)]
pub struct Entered {
    /// How many are in now.
    pub taken: u64,
    /// The place; `None` if none was free.
    pub place: Option<Place>,
}

/// Why nothing could be counted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unavailable {
    /// Redis did not answer in time.
    #[error("no answer in time")]
    TooSlow,
    /// Redis did not answer lately, so it is not asked until it does again.
    #[error("not asked, because it did not answer lately")]
    Resting,
    /// Too many answers are awaited already.
    #[error("too many answers are awaited")]
    TooMany,
    /// Redis cannot be reached, or does not do what it is told.
    #[error("{0}")]
    Failed(String),
}

/// An answer that is known, or that has to be waited for.
pub enum Decision<T> {
    /// It is known.
    Made(T),
    /// It takes an exchange. Dropping it gives back what may have been reserved or entered.
    Later(Pin<Box<dyn Future<Output = Result<T, Unavailable>>>>),
}

impl<T> Decision<T> {
    /// Waits for the answer if it has to be waited for.
    ///
    /// # Errors
    /// Nothing could be counted.
    pub async fn wait(self) -> Result<T, Unavailable> {
        match self {
            Decision::Made(answer) => Ok(answer),
            Decision::Later(answer) => answer.await,
        }
    }
}

impl Counters {
    /// Counters in this process's memory.
    pub fn in_memory(memory: Arc<Memory>) -> Self {
        Counters(Home::Memory(memory))
    }

    /// Asks limits in their order. There are as many verdicts as asks; fewer if one says no, which is then the last.
    pub fn decide(&self, mut asks: Vec<Ask>, together: Together, now: SystemTime) -> Decision<Vec<Verdict>> {
        for ask in &mut asks {
            ask.limit = ask.limit.within_bounds();
            match &mut ask.act {
                Act::Take(amount) | Act::Reserve { amount, .. } => *amount = (*amount).min(MAX_AMOUNT),
            }
        }
        let ids: Vec<u64> = asks.iter().map(|_| next_id()).collect();
        match &self.0 {
            Home::Memory(memory) => {
                let answers = memory.decide(&asks, together, &ids, milliseconds(now));
                let is_all = answers.last().is_none_or(|answer| answer.is_allowed);
                let holds = is_all || together == Together::InTurn;
                let verdicts = asks
                    .into_iter()
                    .zip(ids)
                    .zip(answers)
                    .map(|((ask, id), answer)| self.verdict(ask, id, answer, holds));
                Decision::Made(verdicts.collect())
            }
        }
    }

    fn verdict(&self, ask: Ask, id: u64, answer: Answer, holds: bool) -> Verdict {
        let reservation = match ask.act {
            Act::Reserve { amount, .. } if answer.is_allowed && holds => Some(Reservation {
                counters: self.clone(),
                key: ask.key,
                limit: ask.limit,
                held: Held {
                    id,
                    amount,
                    end_ms: answer.end_ms,
                },
                is_settled: false,
            }),
            _ => None,
        };
        Verdict {
            is_allowed: answer.is_allowed,
            remaining: answer.remaining,
            reset_ms: answer.reset_ms,
            reservation,
        }
    }

    /// Counts an amount, whether it fits or not. It never waits; in Redis the amount is counted a moment later.
    pub fn add(&self, key: &str, limit: &Limit, amount: u64, now: SystemTime) {
        let (limit, amount) = (limit.within_bounds(), amount.min(MAX_AMOUNT));
        match &self.0 {
            Home::Memory(memory) => memory.add(key, &limit, amount, milliseconds(now)),
        }
    }

    /// Asks for places in their order. There are as many answers as places; fewer if one is not free, which is then the last.
    pub fn enter(&self, enters: Vec<Enter>, now: SystemTime) -> Decision<Vec<Entered>> {
        let ids: Vec<u64> = enters.iter().map(|_| next_id()).collect();
        match &self.0 {
            Home::Memory(memory) => {
                let answers = memory.enter(&enters, &ids, milliseconds(now));
                let entered = enters
                    .into_iter()
                    .zip(ids)
                    .zip(answers)
                    .map(|((enter, id), answer)| self.entered(enter.key, id, answer));
                Decision::Made(entered.collect())
            }
        }
    }

    fn entered(&self, key: String, id: u64, (is_in, taken): (bool, u64)) -> Entered {
        let place = is_in.then(|| Place {
            counters: self.clone(),
            key,
            id,
        });
        Entered { taken, place }
    }
}

impl Limit {
    fn within_bounds(self) -> Self {
        Limit {
            amount: self.amount.min(MAX_AMOUNT),
            window_ms: self.window_ms.clamp(1, MAX_AMOUNT),
            windows: self.windows,
        }
    }
}

/// An amount that is held until it is settled. It is given back when it is dropped.
#[must_use]
pub struct Reservation {
    counters: Counters,
    key: String,
    limit: Limit,
    held: Held,
    is_settled: bool,
}

impl Reservation {
    /// What was reserved.
    pub fn amount(&self) -> u64 {
        self.held.amount
    }

    /// Replaces what was reserved by what was used, which may be more. It never waits; in Redis it happens a moment later.
    pub fn settle(mut self, used: u64, now: SystemTime) {
        self.is_settled = true;
        let used = used.min(MAX_AMOUNT);
        match &self.counters.0 {
            Home::Memory(memory) => {
                memory.settle(&self.key, &self.limit, &self.held, used, milliseconds(now));
            }
        }
    }
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Reservation")
            .field("key", &self.key)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        match &self.counters.0 {
            Home::Memory(memory) => memory.give_back(&self.key, self.held.id),
        }
    }
}

/// A place that is taken. It is given back when it is dropped.
#[must_use]
pub struct Place {
    counters: Counters,
    key: String,
    id: u64,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Place")
            .field("key", &self.key)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match &self.counters.0 {
            Home::Memory(memory) => memory.leave(&self.key, self.id),
        }
    }
}

/// A number no other reservation or place of this process has.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests;
