//! How many attempts beyond the first a pool may make, so that an outage is not doubled by trying again.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How many further attempts are allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryLimits {
    /// Share of the calls of the last ten seconds, in percent.
    pub percent: f64,
    /// So many in a second are allowed whatever the share.
    pub min_per_second: u32,
}

impl Default for RetryLimits {
    fn default() -> Self {
        RetryLimits {
            percent: 20.0,
            min_per_second: 10,
        }
    }
}

/// Counts the calls and the further attempts of a pool.
#[derive(Debug, Default)]
pub struct RetryBudget(Mutex<Window>);

/// Seconds that are looked back on, the one that runs included.
const SECONDS: usize = 10;

#[derive(Debug, Default)]
struct Window {
    /// When the first second began.
    start: Option<Instant>,
    /// A ring: a second stands at its number modulo [`SECONDS`].
    seconds: [Second; SECONDS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    calls: u64,
    retries: u64,
}

impl RetryBudget {
    /// A call begins, with its first attempt.
    pub fn call(&self, now: Instant) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = window.number(now);
        window.second(number).calls += 1;
    }

    /// Takes a further attempt out of the budget; false if there is none left.
    pub fn try_retry(&self, now: Instant, limits: &RetryLimits) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = window.number(now);
        let (calls, retries) = window.sums(number);
        let second = window.second(number);
        let allowed = second.retries < u64::from(limits.min_per_second)
            || ((retries + 1) as f64) <= calls as f64 * limits.percent / 100.0;
        second.retries += u64::from(allowed);
        allowed
    }
}

impl Window {
    fn number(&mut self, now: Instant) -> u64 {
        let start = *self.start.get_or_insert(now);
        now.saturating_duration_since(start).as_secs()
    }

    /// The counts of a second; of the last one if clocks of two threads disagree about a second that is gone.
    fn second(&mut self, number: u64) -> &mut Second {
        // Below 10.
        let second = &mut self.seconds[(number % SECONDS as u64) as usize];
        if second.number < number {
            *second = Second {
                number,
                ..Second::default()
            };
        }
        second
    }

    /// Calls and further attempts of the last ten seconds.
    fn sums(&self, number: u64) -> (u64, u64) {
        self.seconds
            .iter()
            .filter(|second| second.number + SECONDS as u64 > number)
            .fold((0, 0), |(calls, retries), second| {
                (calls + second.calls, retries + second.retries)
            })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NO_MINIMUM: RetryLimits = RetryLimits {
        percent: 20.0,
        min_per_second: 0,
    };

    fn taken(budget: &RetryBudget, now: Instant, limits: &RetryLimits, asked: usize) -> usize {
        (0..asked).filter(|_| budget.try_retry(now, limits)).count()
    }

    #[test]
    fn an_outage_of_everything_adds_no_more_than_the_share() {
        let budget = RetryBudget::default();
        let now = Instant::now();
        let mut retries = 0;
        for millis in 0..5_000 {
            let now = now + Duration::from_millis(millis);
            budget.call(now);
            retries += taken(&budget, now, &NO_MINIMUM, 3);
        }
        assert_eq!(retries, 1_000);
    }

    #[test]
    fn a_few_are_allowed_in_each_second_even_without_traffic() {
        let budget = RetryBudget::default();
        let now = Instant::now();
        let limits = RetryLimits::default();
        assert_eq!(taken(&budget, now, &limits, 100), 10);
        assert_eq!(taken(&budget, now + Duration::from_millis(999), &limits, 100), 0);
        assert_eq!(taken(&budget, now + Duration::from_secs(1), &limits, 100), 10);
    }

    #[test]
    fn traffic_of_long_ago_earns_nothing() {
        let budget = RetryBudget::default();
        let now = Instant::now();
        (0..1_000).for_each(|_| budget.call(now));
        assert_eq!(taken(&budget, now + Duration::from_secs(9), &NO_MINIMUM, 50), 50);
        assert_eq!(taken(&budget, now + Duration::from_secs(10), &NO_MINIMUM, 50), 0);
    }

    proptest! {
        #[test]
        fn the_budget_holds_in_every_window(
            steps in proptest::collection::vec((0_u64..1_500, 0_usize..20, 0_usize..20), 1..200),
            percent in 0.0_f64..100.0,
            min_per_second in 0_u32..5,
        ) {
            let budget = RetryBudget::default();
            let limits = RetryLimits { percent, min_per_second };
            let mut at = 0;
            let mut seconds: Vec<(u64, usize, usize)> = Vec::new();
            let begin = Instant::now();
            // Seconds are counted from here on.
            budget.call(begin);
            seconds.push((0, 1, 0));
            for (pause, calls, asked) in steps {
                at += pause;
                let now = begin + Duration::from_millis(at);
                (0..calls).for_each(|_| budget.call(now));
                let retries = taken(&budget, now, &limits, asked);
                seconds.push((at / 1_000, calls, retries));
                let last = seconds.iter().filter(|(second, ..)| second + 10 > at / 1_000);
                let (calls, retries) = last.fold((0, 0), |sum, step| (sum.0 + step.1, sum.1 + step.2));
                // What a share allowed stays allowed when the calls it was a share of are out of sight.
                let share = calls as f64 * percent / 100.0;
                let before: usize = seconds.iter().map(|step| step.1).sum();
                let most = 10.0 * f64::from(min_per_second) + share.max(before as f64 * percent / 100.0);
                prop_assert!(retries as f64 <= most);
            }
        }
    }
}
