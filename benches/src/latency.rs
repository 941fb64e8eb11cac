//! Times in buckets of a thousandth: what a gateway adds is small beside what the provider takes.

use std::time::Duration;

/// How often which time was needed.
#[derive(Clone, Debug)]
pub struct Latency {
    counts: Vec<u64>,
    total: u64,
}

/// How much longer the times of the next bucket are.
const STEP: f64 = 1.001;

/// Buckets: `STEP` to the power of the number, in microseconds; the last ones are beyond an hour.
const BUCKETS: usize = 22_100;

impl Default for Latency {
    fn default() -> Self {
        Latency {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }
}

impl Latency {
    /// Counts one.
    pub fn add(&mut self, time: Duration) {
        let us = (time.as_nanos() as f64 / 1000.0).max(1.0);
        let bucket = (us.ln() / STEP.ln()) as usize;
        if let Some(count) = self.counts.get_mut(bucket.min(BUCKETS - 1)) {
            *count += 1;
        }
        self.total += 1;
    }

    /// The time that this share of all did not exceed, in milliseconds; 0 where nothing was counted.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return STEP.powf(bucket as f64 + 0.5) / 1000.0;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_two_thousandths() {
        let mut latency = Latency::default();
        for ms in 1..=1000 {
            latency.add(Duration::from_millis(ms));
        }
        for (share, ms) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let told = latency.quantile_ms(share);
            assert!((told / ms - 1.0).abs() < 0.002, "{share}: {told}");
        }
        assert_eq!(Latency::default().quantile_ms(0.5), 0.0);
    }
}
