//! What one key has used of its limit: the arithmetic of windows. The scripts beside the Redis client say the same in Lua; a
//! property test compares them.

use super::sharded::Expires;
use super::{Limit, MAX_AMOUNT, Windows};

/// What one key has used.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Milliseconds since 1970 at which the count begins anew.
    end_ms: u64,
    /// What this window has used, held amounts included.
    used: u64,
    /// What the window before has used, up to the limit; counts only where windows slide.
    before: u64,
    /// Amounts of this window that are reserved and not settled yet.
    holds: Vec<Hold>,
    expires_ms: u64,
}

/// An amount that is reserved.
#[derive(Debug)]
struct Hold {
    id: u64,
    amount: u64,
    /// Milliseconds since 1970 from which on it is given back.
    until_ms: u64,
}

/// What a window says to an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) is_allowed: bool,
    pub(super) remaining: u64,
    pub(super) reset_ms: u64,
    /// End of the window the amount was counted in, in milliseconds since 1970.
    pub(super) end_ms: u64,
}

/// A reservation as its window knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) id: u64,
    pub(super) amount: u64,
    /// End of the window it was made in.
    pub(super) end_ms: u64,
}

impl Expires for Window {
    fn expires_ms(&self) -> u64 {
        self.expires_ms
    }
}

impl Window {
    /// Counts an amount if it fits. An amount of 0 is not counted and fits as long as 1 does.
    pub(super) fn take(&mut self, limit: &Limit, amount: u64, now_ms: u64) -> Answer {
        self.roll(limit, now_ms);
        let window_ms = limit.window_ms;
        let left_ms = self.end_ms.saturating_sub(now_ms);
        // In amounts times milliseconds, so that nothing is rounded: what this window and the rest of the one before have used.
        let scaled = |amount: u64| u128::from(amount) * u128::from(window_ms);
        let carried = match limit.windows {
            Windows::Fixed => 0,
            Windows::Sliding => u128::from(self.before) * u128::from(left_ms),
        };
        // It fits if there is room for its last unit.
        let others = self.used.saturating_add(amount.max(1) - 1);
        let is_allowed = others < limit.amount && carried + scaled(others) < scaled(limit.amount);
        if is_allowed {
            self.used += amount;
        }
        let room = scaled(limit.amount).saturating_sub(scaled(self.used) + carried);
        let reset_ms = if is_allowed || others >= limit.amount || carried == 0 {
            left_ms
        } else {
            // There is room as soon as the rest of the window before is worth less than what this window leaves.
            let free_at = scaled(limit.amount - others) / u128::from(self.before);
            left_ms.saturating_sub(u64::try_from(free_at).unwrap_or(u64::MAX))
        };
        Answer {
            is_allowed,
            remaining: u64::try_from(room / u128::from(window_ms)).unwrap_or(u64::MAX),
            reset_ms,
            end_ms: self.end_ms,
        }
    }

    /// Counts an amount if it fits, and remembers that it is reserved.
    pub(super) fn reserve(
        &mut self,
        limit: &Limit,
        id: u64,
        amount: u64,
        lease_ms: u64,
        now_ms: u64,
    ) -> Answer {
        let answer = self.take(limit, amount, now_ms);
        if answer.is_allowed {
            self.holds.push(Hold {
                id,
                amount,
                until_ms: now_ms.saturating_add(lease_ms),
            });
        }
        answer
    }

    /// Counts an amount, whether it fits or not. Returns what is counted then.
    pub(super) fn add(&mut self, limit: &Limit, amount: u64, now_ms: u64) -> u64 {
        self.roll(limit, now_ms);
        self.count(amount);
        self.used
    }

    /// Replaces a reserved amount by what was used.
    ///
    /// A call is charged to the window it was admitted in. When that has ended, only what the reservation did not cover is
    /// charged, to the window of now; when the reservation has expired, all of it. Returns what is counted then.
    pub(super) fn settle(&mut self, limit: &Limit, held: &Held, used: u64, now_ms: u64) -> u64 {
        self.roll(limit, now_ms);
        if self.give_back(held.id) || self.end_ms == held.end_ms {
            self.count(used);
        } else {
            self.count(used.saturating_sub(held.amount));
        }
        self.used
    }

    /// Takes a reservation back, if it is still there.
    pub(super) fn give_back(&mut self, id: u64) -> bool {
        let Some(place) = self.holds.iter().position(|hold| hold.id == id) else {
            return false;
        };
        let hold = self.holds.swap_remove(place);
        self.used = self.used.saturating_sub(hold.amount);
        true
    }

    /// Takes an amount back that was taken in the window that ends then.
    pub(super) fn untake(&mut self, amount: u64, end_ms: u64) {
        if self.end_ms == end_ms {
            self.used = self.used.saturating_sub(amount);
        }
    }

    fn count(&mut self, amount: u64) {
        self.used = self.used.saturating_add(amount).min(MAX_AMOUNT);
    }

    /// Begins a new window if this one is over, and gives back what was reserved for too long.
    fn roll(&mut self, limit: &Limit, now_ms: u64) {
        let window_ms = limit.window_ms;
        match limit.windows {
            Windows::Fixed => {
                if now_ms >= self.end_ms {
                    self.begin(0, now_ms.saturating_add(window_ms));
                }
                // A clock that was set back must not make a window longer than it is.
                self.end_ms = self.end_ms.min(now_ms.saturating_add(window_ms));
                self.expires_ms = self.end_ms;
            }
            Windows::Sliding => {
                let end_ms = (now_ms / window_ms).saturating_add(1).saturating_mul(window_ms);
                if self.end_ms != end_ms {
                    let is_next = self.end_ms.saturating_add(window_ms) == end_ms;
                    let before = if is_next { self.used.min(limit.amount) } else { 0 };
                    self.begin(before, end_ms);
                }
                self.expires_ms = end_ms.saturating_add(window_ms);
            }
        }
        if !self.holds.is_empty() {
            let used = &mut self.used;
            self.holds.retain(|hold| {
                let stays = hold.until_ms > now_ms;
                if !stays {
                    *used = used.saturating_sub(hold.amount);
                }
                stays
            });
        }
    }

    fn begin(&mut self, before: u64, end_ms: u64) {
        self.before = before;
        self.used = 0;
        self.end_ms = end_ms;
        self.holds.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(windows: Windows, amount: u64) -> Limit {
        Limit {
            amount,
            window_ms: 1000,
            windows,
        }
    }

    /// Whether it was allowed, what is left, and until when.
    fn told(answer: Answer) -> (bool, u64, u64) {
        (answer.is_allowed, answer.remaining, answer.reset_ms)
    }

    #[test]
    fn a_fixed_window_begins_with_its_first_call() {
        let mut window = Window::default();
        let limit = limit(Windows::Fixed, 2);
        let mut at = |now_ms| told(window.take(&limit, 1, now_ms));
        assert_eq!(at(5500), (true, 1, 1000));
        assert_eq!(at(5600), (true, 0, 900));
        assert_eq!(at(6499), (false, 0, 1));
        assert_eq!(at(6500), (true, 1, 1000));
        // Set back by an hour, say: the window still ends within its length.
        assert_eq!(at(500), (true, 0, 1000));
    }

    #[test]
    fn a_sliding_window_counts_a_part_of_the_one_before() {
        let mut window = Window::default();
        let limit = limit(Windows::Sliding, 4);
        let mut at = |now_ms| told(window.take(&limit, 1, now_ms));
        assert_eq!(at(1100), (true, 3, 900));
        assert_eq!(at(1200), (true, 2, 800));
        assert_eq!(at(1300), (true, 1, 700));
        assert_eq!(at(1900), (true, 0, 100));
        assert_eq!(at(1999), (false, 0, 1));
        // All four still count: room comes when 4 * rest / 1000 is below 4.
        assert_eq!(at(2000), (false, 0, 0));
        assert_eq!(at(2001), (true, 0, 999));
        assert_eq!(at(2002), (false, 0, 248));
        assert_eq!(at(2500), (true, 0, 500));
        // Two windows later nothing counts any more.
        assert_eq!(at(4000), (true, 3, 1000));
    }

    #[test]
    fn amounts_fit_whole_or_not_at_all_and_looking_takes_nothing() {
        let mut window = Window::default();
        let limit = limit(Windows::Fixed, 10);
        assert_eq!(told(window.take(&limit, 0, 0)), (true, 10, 1000));
        assert_eq!(told(window.take(&limit, 8, 100)), (true, 2, 900));
        assert_eq!(told(window.take(&limit, 3, 100)), (false, 2, 900));
        assert_eq!(told(window.take(&limit, 2, 100)), (true, 0, 900));
        assert_eq!(told(window.take(&limit, 0, 100)), (false, 0, 900));
        assert!(!window.take(&limit, 11, 5000).is_allowed);
    }

    #[test]
    fn what_is_added_may_go_over_the_limit() {
        let mut window = Window::default();
        let limit = limit(Windows::Fixed, 10);
        window.add(&limit, 25, 0);
        assert_eq!(told(window.take(&limit, 0, 999)), (false, 0, 1));
        assert_eq!(told(window.take(&limit, 0, 1000)), (true, 10, 1000));
    }

    #[test]
    fn a_reservation_is_replaced_by_what_was_used() {
        let mut window = Window::default();
        let limit = limit(Windows::Fixed, 10);
        let answer = window.reserve(&limit, 1, 8, 500, 0);
        let held = Held {
            id: 1,
            amount: 8,
            end_ms: answer.end_ms,
        };
        assert_eq!(told(window.take(&limit, 3, 1)), (false, 2, 999));
        window.settle(&limit, &held, 5, 2);
        assert_eq!(window.take(&limit, 0, 2).remaining, 5);
    }

    #[test]
    fn a_reservation_that_nobody_settles_is_given_back_and_settled_late_charges_all() {
        let mut window = Window::default();
        let limit = limit(Windows::Fixed, 10);
        let answer = window.reserve(&limit, 1, 8, 500, 0);
        assert_eq!(window.take(&limit, 0, 499).remaining, 2);
        assert_eq!(window.take(&limit, 0, 500).remaining, 10);
        let held = Held {
            id: 1,
            amount: 8,
            end_ms: answer.end_ms,
        };
        window.settle(&limit, &held, 4, 600);
        assert_eq!(window.take(&limit, 0, 600).remaining, 6);
    }

    #[test]
    fn after_the_window_only_what_was_not_reserved_is_charged() {
        let limit = limit(Windows::Fixed, 10);
        for (used, remaining) in [(5, 10), (8, 10), (11, 7)] {
            let mut window = Window::default();
            let answer = window.reserve(&limit, 1, 8, 5000, 0);
            let held = Held {
                id: 1,
                amount: 8,
                end_ms: answer.end_ms,
            };
            window.settle(&limit, &held, used, 1500);
            assert_eq!(window.take(&limit, 0, 1500).remaining, remaining, "{used}");
        }
    }
}
