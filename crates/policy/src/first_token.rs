//! How long first tokens take, and how many calls may be tried twice at once because theirs takes too long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Measured times to the first token: answers which time a share of the calls stays within.
///
/// Memory is constant. A time counts half after [`HALF_LIFE`]. Answers are at most 10 % too long.
#[derive(Debug, Default)]
pub struct FirstTokenTimes(Mutex<Sketch>);

/// After this time a measured time counts half.
pub const HALF_LIFE: Duration = Duration::from_secs(120);

/// With fewer measured times, old ones counted less, nothing is said.
const ENOUGH: f64 = 20.0;

/// A bucket holds times up to this many times those of the one before.
const GROWTH: f64 = 1.1;

/// Largest time of the first bucket, in seconds.
const SHORTEST: f64 = 0.001;

/// The last bucket holds everything above 850 seconds.
const BUCKETS: usize = 144;

/// Newer times get larger weights instead of all older ones smaller; beyond this everything is scaled down.
const HALF_LIVES_BEFORE_SCALING: f64 = 64.0;

#[derive(Debug)]
struct Sketch {
    /// When a time has the weight 1.
    since: Option<Instant>,
    weights: [f64; BUCKETS],
    total: f64,
}

impl Default for Sketch {
    fn default() -> Self {
        Sketch {
            since: None,
            weights: [0.0; BUCKETS],
            total: 0.0,
        }
    }
}

impl FirstTokenTimes {
    /// A first token came after this time.
    pub fn measured(&self, now: Instant, after: Duration) {
        let mut sketch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let weight = sketch.weight(now);
        // Below the number of buckets.
        sketch.weights[bucket(after.as_secs_f64())] += weight;
        sketch.total += weight;
    }

    /// The time within which this share of first tokens come, such as 0.95; `None` as long as too few were measured.
    pub fn quantile(&self, now: Instant, share: f64) -> Option<Duration> {
        let mut sketch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sketch.total < ENOUGH * sketch.weight(now) {
            return None;
        }
        let wanted = sketch.total * share.clamp(0.0, 1.0);
        let mut sum = 0.0;
        let mut found = 0;
        for (number, weight) in sketch.weights.iter().enumerate() {
            if *weight > 0.0 {
                sum += weight;
                found = number;
                // Sums of many numbers are a little off.
                if sum >= wanted * (1.0 - 1e-9) {
                    break;
                }
            }
        }
        Some(Duration::from_secs_f64(
            SHORTEST * GROWTH.powi(i32::try_from(found).unwrap_or(0)),
        ))
    }
}

impl Sketch {
    /// What a time counts that is measured now.
    fn weight(&mut self, now: Instant) -> f64 {
        let since = *self.since.get_or_insert(now);
        let half_lives = now.saturating_duration_since(since).as_secs_f64() / HALF_LIFE.as_secs_f64();
        if half_lives < HALF_LIVES_BEFORE_SCALING {
            return half_lives.exp2();
        }
        let scale = (-half_lives).exp2();
        self.weights.iter_mut().for_each(|weight| *weight *= scale);
        self.total = self.weights.iter().sum();
        self.since = Some(now);
        1.0
    }
}

fn bucket(seconds: f64) -> usize {
    let number = (seconds / SHORTEST).ln() / GROWTH.ln();
    // Also what is not a number is below 0.
    if number > 0.0 {
        (number.ceil() as usize).min(BUCKETS - 1)
    } else {
        0
    }
}

/// How many calls may get a second attempt while the first one still waits: a share of them, never more.
#[derive(Debug, Default)]
pub struct HedgeBudget {
    /// What is left, in millionths of an attempt.
    left: AtomicU64,
}

/// One attempt in the unit of [`HedgeBudget::left`].
const ATTEMPT: u64 = 1_000_000;

/// So many attempts can be saved up.
const MOST_SAVED: u64 = 10;

impl HedgeBudget {
    /// A call begins, of which this share (in percent) adds to the budget.
    pub fn call(&self, max_percent: f64) {
        // The share of an attempt, so at most 1.
        let earned = (max_percent.clamp(0.0, 100.0) / 100.0 * ATTEMPT as f64) as u64;
        let add = |left: u64| Some((left + earned).min(MOST_SAVED * ATTEMPT));
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Takes an attempt out of the budget; false if there is none left.
    pub fn try_hedge(&self) -> bool {
        let take = |left: u64| left.checked_sub(ATTEMPT);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    /// Gives an attempt back that was taken and not made.
    pub fn give_back(&self) {
        self.call(100.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_said_before_enough_was_measured() {
        let times = FirstTokenTimes::default();
        let now = Instant::now();
        for _ in 0..19 {
            times.measured(now, Duration::from_millis(300));
        }
        assert_eq!(times.quantile(now, 0.95), None);
        times.measured(now, Duration::from_millis(300));
        let found = times.quantile(now, 0.95).unwrap().as_secs_f64();
        assert!((0.3..0.33).contains(&found), "{found}");
        assert_eq!(times.quantile(now + 2 * HALF_LIFE, 0.95), None, "too long ago");
    }

    #[test]
    fn old_times_are_forgotten_for_new_ones_even_after_years() {
        let times = FirstTokenTimes::default();
        let mut now = Instant::now();
        for years in 0..3 {
            for _ in 0..1_000 {
                times.measured(now, Duration::from_millis(100 * (years + 1)));
            }
            now += Duration::from_secs(365 * 24 * 3600);
        }
        for _ in 0..30 {
            times.measured(now, Duration::from_millis(20));
        }
        assert!(times.quantile(now, 1.0).unwrap() < Duration::from_millis(23));
    }

    #[test]
    fn times_beyond_all_bounds_are_counted() {
        let times = FirstTokenTimes::default();
        let now = Instant::now();
        for after in [Duration::ZERO, Duration::MAX] {
            (0..20).for_each(|_| times.measured(now, after));
        }
        assert_eq!(times.quantile(now, 0.5), Some(Duration::from_millis(1)));
        assert!(times.quantile(now, 0.99).unwrap() > Duration::from_secs(800));
    }

    #[test]
    fn one_of_ten_calls_may_be_tried_twice_and_a_pause_saves_up_no_more_than_a_few() {
        let budget = HedgeBudget::default();
        assert!(!budget.try_hedge(), "nothing was earned yet");
        let hedged = (0..10_000).filter(|_| {
            budget.call(10.0);
            budget.try_hedge()
        });
        assert_eq!(hedged.count(), 1_000);
        (0..10_000).for_each(|_| budget.call(10.0));
        assert_eq!((0..100).filter(|_| budget.try_hedge()).count(), 10);
        budget.give_back();
        assert!(budget.try_hedge());
    }

    proptest! {
        #[test]
        fn a_quantile_is_at_most_a_tenth_too_long(
            measured in proptest::collection::vec(1_u64..600_000, 20..300),
            share in 0.0_f64..1.0,
        ) {
            let mut millis = measured;
            let times = FirstTokenTimes::default();
            let now = Instant::now();
            millis.iter().for_each(|millis| times.measured(now, Duration::from_millis(*millis)));
            millis.sort_unstable();
            let rank = ((millis.len() as f64 * share).ceil() as usize).max(1) - 1;
            let exact = millis[rank] as f64 / 1_000.0;
            let found = times.quantile(now, share).unwrap().as_secs_f64();
            prop_assert!(found >= exact * 0.999_999 && found <= exact * 1.100_001, "{found} for {exact}");
        }

        #[test]
        fn never_more_than_the_share_is_tried_twice(
            steps in proptest::collection::vec((0_usize..50, 0_usize..50), 1..100),
            percent in 0.0_f64..100.0,
        ) {
            let budget = HedgeBudget::default();
            let (mut calls, mut hedged) = (0, 0);
            for (more, asked) in steps {
                (0..more).for_each(|_| budget.call(percent));
                calls += more;
                hedged += (0..asked).filter(|_| budget.try_hedge()).count();
                prop_assert!(hedged as f64 <= calls as f64 * percent / 100.0 + 1e-6);
            }
        }
    }
}
