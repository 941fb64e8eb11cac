//! Counters in this process's memory.

use std::sync::OnceLock;

use smallvec::SmallVec;

use super::places::Places;
use super::sharded::Sharded;
use super::window::{Answer, Held, Window};
use super::{Act, Ask, Enter, Key, Limit, Together};

/// What counters say. A call mostly asks few.
pub(super) type Answers = SmallVec<[Answer; 4]>;

/// Counters in this process's memory. They know half a million keys at most; then those whose counts end soonest are forgotten.
#[derive(Default)]
pub struct Memory {
    // A limit uses one of them; ten thousand routes may have limits.
    windows: OnceLock<Sharded<Window>>,
    places: OnceLock<Sharded<Places>>,
}

impl Memory {
    fn windows(&self) -> &Sharded<Window> {
        self.windows.get_or_init(Sharded::default)
    }

    fn places(&self) -> &Sharded<Places> {
        self.places.get_or_init(Sharded::default)
    }

    /// The answers to what is asked, in order; fewer if one says no. `ids` are those of the reservations.
    pub(super) fn decide(&self, asks: &[Ask], together: Together, ids: &[u64], now_ms: u64) -> Answers {
        let mut answers = Answers::with_capacity(asks.len());
        for (ask, id) in asks.iter().zip(ids) {
            let limit = &ask.limit;
            let answer = self
                .windows()
                .update(ask.key.hashed(), now_ms, |window| match ask.act {
                    Act::Take(amount) => window.take(limit, amount, now_ms),
                    Act::Reserve { amount, lease_ms } => window.reserve(limit, *id, amount, lease_ms, now_ms),
                });
            answers.push(answer);
            if !answer.is_allowed {
                if together == Together::AllOrNone {
                    self.undo(asks, ids, &answers);
                }
                break;
            }
        }
        answers
    }

    fn undo(&self, asks: &[Ask], ids: &[u64], answers: &[Answer]) {
        for ((ask, id), answer) in asks.iter().zip(ids).zip(answers) {
            if !answer.is_allowed {
                continue;
            }
            self.windows()
                .update_known(ask.key.hashed(), |window| match ask.act {
                    Act::Take(amount) => window.untake(amount, answer.end_ms),
                    Act::Reserve { .. } => drop(window.give_back(*id)),
                });
        }
    }

    pub(super) fn add(&self, key: &Key, limit: &Limit, amount: u64, now_ms: u64) -> u64 {
        self.windows()
            .update(key.hashed(), now_ms, |window| window.add(limit, amount, now_ms))
    }

    pub(super) fn settle(&self, key: &Key, limit: &Limit, held: &Held, used: u64, now_ms: u64) -> u64 {
        self.windows().update(key.hashed(), now_ms, |window| {
            window.settle(limit, held, used, now_ms)
        })
    }

    pub(super) fn give_back(&self, key: &Key, id: u64) {
        self.windows()
            .update_known(key.hashed(), |window| window.give_back(id));
    }

    /// Whether there was a place for each, in order, and how many are taken; fewer if one says no.
    pub(super) fn enter(&self, enters: &[Enter], ids: &[u64], now_ms: u64) -> Vec<(bool, u64)> {
        let mut answers = Vec::with_capacity(enters.len());
        for (enter, id) in enters.iter().zip(ids) {
            let answer = self.places().update(enter.key.hashed(), now_ms, |places| {
                places.enter(*id, enter.limit, enter.lease_ms, now_ms)
            });
            answers.push(answer);
            if !answer.0 {
                break;
            }
        }
        answers
    }

    pub(super) fn leave(&self, key: &Key, id: u64) {
        self.places()
            .update_known(key.hashed(), |places| places.leave(id));
    }
}
