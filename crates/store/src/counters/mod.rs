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

mod key;
mod memory;
mod places;
pub(crate) mod redis;
mod sharded;
mod window;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use smallvec::SmallVec;
use thiserror::Error;

use self::window::{Answer, Held};

pub use key::{Hashed, Key};
pub use memory::Memory;
pub use redis::{
    Address, Encryption, Login, Observer, Redis, RedisSettings, RedisStatus, Servers, redis_status,
    write_pending,
};
pub use sharded::{Expires, Sharded, milliseconds};

/// The largest amount, limit and length of a window: what Redis' scripts can count exactly. Larger ones are cut to it.
pub const MAX_AMOUNT: u64 = (1 << 53) - 1;

/// Counters in one of their homes.
#[derive(Clone)]
pub struct Counters(Home);

#[derive(Clone)]
enum Home {
    Memory(Arc<Memory>),
    Redis(Remote),
}

/// Counters in Redis, under names of their own.
#[derive(Clone)]
struct Remote {
    redis: Arc<Redis>,
    prefix: Arc<str>,
    spread: Spread,
}

/// How the keys of one set of counters are spread over the nodes of a Redis cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Each by itself. For limits that are asked one at a time: asks of several keys take one exchange for each, and of those that
    /// belong together only reservations are undone.
    ByKey,
    /// All on one node, so that several can be asked in one exchange.
    Together,
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
    pub key: Key,
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
    pub fn peek(key: impl Into<Key>, limit: Limit) -> Self {
        let (key, act) = (key.into(), Act::Take(0));
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
    pub key: Key,
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

    /// Counters in Redis. Those of the same `prefix` count together, in whichever process; it begins with what counts and a
    /// slash.
    pub fn in_redis(redis: Arc<Redis>, prefix: &str, spread: Spread) -> Self {
        Counters(Home::Redis(Remote {
            redis,
            prefix: prefix.into(),
            spread,
        }))
    }

    /// Asks limits in their order. There are as many verdicts as asks; fewer if one says no, which is then the last.
    pub fn decide(&self, mut asks: Vec<Ask>, together: Together, now: SystemTime) -> Decision<Vec<Verdict>> {
        for ask in &mut asks {
            ask.limit = ask.limit.within_bounds();
            match &mut ask.act {
                Act::Take(amount) | Act::Reserve { amount, .. } => *amount = (*amount).min(MAX_AMOUNT),
            }
        }
        let ids: SmallVec<[u64; 4]> = asks.iter().map(|_| next_id()).collect();
        match &self.0 {
            Home::Memory(memory) => {
                let answers = memory.decide(&asks, together, &ids, milliseconds(now));
                let is_all = answers.last().is_none_or(|answer| answer.is_allowed);
                let holds = is_all || together == Together::InTurn;
                let mut verdicts = Vec::with_capacity(answers.len());
                for ((ask, id), answer) in asks.into_iter().zip(ids).zip(answers) {
                    verdicts.push(self.verdict(&ask, id, answer, holds));
                }
                Decision::Made(verdicts)
            }
            Home::Redis(remote) => Decision::Later(Box::pin(self.clone().decide_in_redis(
                remote.clone(),
                asks,
                together,
                ids.into_vec(),
            ))),
        }
    }

    async fn decide_in_redis(
        self,
        remote: Remote,
        asks: Vec<Ask>,
        together: Together,
        ids: Vec<u64>,
    ) -> Result<Vec<Verdict>, Unavailable> {
        let keys: Vec<String> = asks.iter().map(|ask| remote.key(&ask.key)).collect();
        // Made before they are asked for: what is given up meanwhile, or answered too late, is given back.
        let reservations: Vec<_> = asks
            .iter()
            .zip(&ids)
            .map(|(ask, id)| self.reservation(ask, *id))
            .collect();
        let answers = remote.redis.decide(&asks, &keys, together, &ids).await?;
        let is_all = answers.last().is_none_or(|answer| answer.is_allowed);
        let (asked, holds) = (answers.len(), is_all || together == Together::InTurn);
        let mut verdicts = Vec::with_capacity(asked);
        let mut answers = answers.into_iter();
        for mut reservation in reservations {
            let Some(answer) = answers.next() else {
                // It was not asked for.
                forget(reservation);
                continue;
            };
            if let Some(reservation) = &mut reservation {
                reservation.held.end_ms = answer.end_ms;
            }
            // Of those that belong together the server has given back what it could; the rest gives itself back.
            if !answer.is_allowed {
                forget(reservation.take());
            }
            verdicts.push(Verdict {
                is_allowed: answer.is_allowed,
                remaining: answer.remaining,
                reset_ms: answer.reset_ms,
                reservation: reservation.filter(|_| holds),
            });
        }
        Ok(verdicts)
    }

    fn reservation(&self, ask: &Ask, id: u64) -> Option<Reservation> {
        match ask.act {
            Act::Take(_) => None,
            Act::Reserve { amount, .. } => Some(Reservation {
                counters: self.clone(),
                key: ask.key.clone(),
                limit: ask.limit,
                held: Held {
                    id,
                    amount,
                    end_ms: 0,
                },
                is_settled: false,
            }),
        }
    }

    fn verdict(&self, ask: &Ask, id: u64, answer: Answer, holds: bool) -> Verdict {
        let reservation = if answer.is_allowed && holds {
            self.reservation(ask, id)
        } else {
            None
        };
        Verdict {
            is_allowed: answer.is_allowed,
            remaining: answer.remaining,
            reset_ms: answer.reset_ms,
            reservation: reservation.map(|mut reservation| {
                reservation.held.end_ms = answer.end_ms;
                reservation
            }),
        }
    }

    /// Counts an amount, whether it fits or not. It never waits; in Redis the amount is counted a moment later. Returns what
    /// the key has counted then, what is reserved included; `None` where only Redis knows.
    pub fn add(&self, key: impl Into<Key>, limit: &Limit, amount: u64, now: SystemTime) -> Option<u64> {
        let (key, limit, amount) = (key.into(), limit.within_bounds(), amount.min(MAX_AMOUNT));
        match &self.0 {
            Home::Memory(memory) => Some(memory.add(&key, &limit, amount, milliseconds(now))),
            Home::Redis(remote) => {
                remote.redis.add(remote.key(&key), limit, amount);
                None
            }
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
                    .map(|((enter, id), answer)| self.entered(&enter.key, id, answer));
                Decision::Made(entered.collect())
            }
            Home::Redis(remote) => {
                Decision::Later(Box::pin(self.clone().enter_in_redis(remote.clone(), enters, ids)))
            }
        }
    }

    async fn enter_in_redis(
        self,
        remote: Remote,
        enters: Vec<Enter>,
        ids: Vec<u64>,
    ) -> Result<Vec<Entered>, Unavailable> {
        let keys: Vec<String> = enters.iter().map(|enter| remote.key(&enter.key)).collect();
        // Made before they are asked for: what is given up meanwhile, or answered too late, is given back.
        let places: Vec<Place> = enters
            .iter()
            .zip(&ids)
            .map(|(enter, id)| self.place(&enter.key, *id))
            .collect();
        let answers = remote.redis.enter(&enters, &keys, &ids).await?;
        let mut entered = Vec::with_capacity(answers.len());
        let mut answers = answers.into_iter();
        for mut place in places {
            match answers.next() {
                Some((true, taken)) => entered.push(Entered {
                    taken,
                    place: Some(place),
                }),
                Some((false, taken)) => {
                    place.is_taken = false;
                    entered.push(Entered { taken, place: None });
                }
                None => place.is_taken = false,
            }
        }
        Ok(entered)
    }

    fn place(&self, key: &Key, id: u64) -> Place {
        Place {
            counters: self.clone(),
            key: key.clone(),
            id,
            is_taken: true,
        }
    }

    fn entered(&self, key: &Key, id: u64, (is_in, taken): (bool, u64)) -> Entered {
        let place = is_in.then(|| self.place(key, id));
        Entered { taken, place }
    }
}

/// The longest key that is sent as it is. Keys come from clients; Redis must not be filled with long ones.
const MAX_KEY: usize = 160;

impl Remote {
    /// The name of a key in Redis, which begins as APISIX's do: people and tools look for `plugin-<name>:*`. What stands in the
    /// first braces decides on the node of a cluster.
    fn key(&self, key: &Key) -> String {
        let (prefix, key) = (&self.prefix, key.as_str());
        let key = if key.len() > MAX_KEY {
            let hash = digest(&SHA256, key.as_bytes());
            std::borrow::Cow::Owned(hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
        } else {
            std::borrow::Cow::Borrowed(key)
        };
        let kind = prefix.split('/').next().unwrap_or_default();
        match self.spread {
            Spread::ByKey => format!("plugin-{kind}:v1:{{{prefix}:{key}}}"),
            Spread::Together => format!("plugin-{kind}:v1:{{{prefix}}}:{key}"),
        }
    }
}

/// Drops what holds nothing.
fn forget(reservation: Option<Reservation>) {
    if let Some(mut reservation) = reservation {
        reservation.is_settled = true;
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
    key: Key,
    limit: Limit,
    held: Held,
    is_settled: bool,
}

impl Reservation {
    /// What was reserved.
    pub fn amount(&self) -> u64 {
        self.held.amount
    }

    /// Whether it is counted in Redis, where others see it.
    pub fn is_shared(&self) -> bool {
        matches!(self.counters.0, Home::Redis(_))
    }

    /// Replaces what was reserved by what was used, which may be more. It never waits; in Redis it happens a moment later.
    /// Returns what the key has counted then, what is reserved included; `None` where only Redis knows.
    pub fn settle(mut self, used: u64, now: SystemTime) -> Option<u64> {
        self.is_settled = true;
        let used = used.min(MAX_AMOUNT);
        match &self.counters.0 {
            Home::Memory(memory) => {
                Some(memory.settle(&self.key, &self.limit, &self.held, used, milliseconds(now)))
            }
            Home::Redis(remote) => {
                remote
                    .redis
                    .settle(remote.key(&self.key), self.limit, self.held, used);
                None
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
            Home::Redis(remote) => remote.redis.give_back(remote.key(&self.key), self.held),
        }
    }
}

/// A place that is taken. It is given back when it is dropped.
#[must_use]
pub struct Place {
    counters: Counters,
    key: Key,
    id: u64,
    is_taken: bool,
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
        if !self.is_taken {
            return;
        }
        match &self.counters.0 {
            Home::Memory(memory) => memory.leave(&self.key, self.id),
            Home::Redis(remote) => remote.redis.leave(remote.key(&self.key), self.id),
        }
    }
}

/// A number no other reservation or place of this process has.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
