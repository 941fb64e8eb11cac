//! Changes of the configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::calls::micros;
use super::number::{Counter, Histogram};
use super::{Description, Metrics};

/// How changes of the configuration went.
#[derive(Clone)]
pub struct Changes {
    taken: Counter,
    refused: Counter,
    duration: Histogram,
    last: Arc<Last>,
}

#[derive(Default)]
struct Last {
    /// Seconds since 1970; 0 for never.
    taken_s: AtomicI64,
    was_refused: AtomicI64,
}

/// In microseconds.
const DURATIONS: &[u64] = &[
    100, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 30_000_000,
];

impl Changes {
    /// Changes that are shown.
    pub fn shown(metrics: &Metrics) -> Self {
        let counted = |result| {
            metrics.counter(
                "tollgate_config_changes_total",
                "Changes of the configuration, by whether they were taken into service.",
                &["result"],
                &[result],
            )
        };
        let description = Description {
            per: 1_000_000,
            ..Description::new(
                "tollgate_config_change_duration_seconds",
                "How long taking a change of the configuration into service took.",
                &[],
            )
        };
        let changes = Changes {
            taken: counted("taken"),
            refused: counted("refused"),
            duration: metrics.histograms_of(description, DURATIONS).with::<&str>(&[]),
            last: Arc::default(),
        };
        let last = changes.last.clone();
        metrics.read_gauge(
            Description::new(
                "tollgate_config_last_change_timestamp_seconds",
                "When a change of the configuration was taken into service last, in seconds since 1970.",
                &[],
            ),
            &[],
            move || {
                let taken_s = last.taken_s.load(Ordering::Relaxed);
                u64::try_from(taken_s).ok().filter(|taken_s| *taken_s > 0)
            },
        );
        let last = changes.last.clone();
        metrics.read_gauge(
            Description::new(
                "tollgate_config_last_change_refused",
                "Whether the last change of the configuration was refused (1), so that an earlier one is in service.",
                &[],
            ),
            &[],
            move || u64::try_from(last.was_refused.load(Ordering::Relaxed)).ok(),
        );
        changes
    }

    /// A change was taken into service.
    pub fn taken(&self, within: Duration) {
        self.taken.add(1);
        self.duration.observe(micros(within));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.last.taken_s.store(now_s, Ordering::Relaxed);
        self.last.was_refused.store(0, Ordering::Relaxed);
    }

    /// A change was refused.
    pub fn refused(&self) {
        self.refused.add(1);
        self.last.was_refused.store(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_is_told() {
        let metrics = Metrics::default();
        let changes = Changes::shown(&metrics);
        let value = |series: &str| {
            let text = metrics.text();
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            line.map(str::to_owned)
        };
        assert_eq!(value("tollgate_config_last_change_timestamp_seconds"), None);
        changes.refused();
        assert_eq!(value("tollgate_config_last_change_refused").unwrap(), "1");
        changes.taken(Duration::from_millis(3));
        assert_eq!(value("tollgate_config_last_change_refused").unwrap(), "0");
        assert_eq!(
            value(r#"tollgate_config_changes_total{result="taken"}"#).unwrap(),
            "1"
        );
        assert_eq!(
            value(r#"tollgate_config_changes_total{result="refused"}"#).unwrap(),
            "1"
        );
        assert_eq!(
            value("tollgate_config_change_duration_seconds_sum").unwrap(),
            "0.003"
        );
        assert!(
            value("tollgate_config_last_change_timestamp_seconds")
                .unwrap()
                .len()
                > 9
        );
    }
}
