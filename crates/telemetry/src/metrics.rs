//! Numbers about the running gateway, for Prometheus to fetch.
//!
//! A [`Metrics`] holds families; a family has a name and label names; with label values it gives a [`Counter`] or a
//! [`Gauge`]. Whoever counts keeps what the family gave: counting then touches one number that few other cores touch, and
//! no lock. The number of series of a family is bounded: what is beyond the bound is counted together.

mod number;
mod text;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use number::{Counter, Gauge};

/// Series of one family at most. What comes later is counted under [`OTHER`].
pub const MAX_SERIES: usize = 10_000;

/// The value of every label of the series that counts what is beyond [`MAX_SERIES`].
pub const OTHER: &str = "other";

/// The longest label value, in bytes; longer ones are cut.
const MAX_VALUE: usize = 128;

/// All families of a gateway.
#[derive(Default)]
pub struct Metrics {
    families: Mutex<BTreeMap<&'static str, Family>>,
}

/// One metric with all its series.
struct Family {
    help: &'static str,
    labels: &'static [&'static str],
    series: Series,
}

/// By label values, in the order of the label names.
enum Series {
    Counters(BTreeMap<Vec<String>, Counter>),
    Gauges(BTreeMap<Vec<String>, Gauge>),
}

impl Metrics {
    /// The counter of these label values. It is made when it is not there yet, and stays as long as the process.
    ///
    /// `name` ends in `_total`. A family has the same labels wherever it is named; values that are missing are empty.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        values: &[&str],
    ) -> Counter {
        let mut families = self.lock();
        let family = families
            .entry(name)
            .or_insert_with(|| Family::new(help, labels, Series::Counters(BTreeMap::new())));
        let key = family.key(values);
        match &mut family.series {
            Series::Counters(counters) => member(counters, key, |_| false),
            // A mistake of ours: what is counted is not shown.
            Series::Gauges(_) => Counter::default(),
        }
    }

    /// The gauge of these label values. It is shown as long as somebody keeps it.
    ///
    /// A family has the same labels wherever it is named; values that are missing are empty.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        values: &[&str],
    ) -> Gauge {
        let mut families = self.lock();
        let family = families
            .entry(name)
            .or_insert_with(|| Family::new(help, labels, Series::Gauges(BTreeMap::new())));
        let key = family.key(values);
        match &mut family.series {
            Series::Gauges(gauges) => member(gauges, key, Gauge::is_forsaken),
            // A mistake of ours: what is set is not shown.
            Series::Counters(_) => Gauge::default(),
        }
    }

    /// Everything, in Prometheus' text format (version 0.0.4).
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, family) in self.lock().iter_mut() {
            match &mut family.series {
                Series::Counters(counters) => {
                    text::head(&mut text, name, family.help, "counter");
                    for (values, counter) in counters {
                        text::line(&mut text, name, family.labels, values, counter.value());
                    }
                }
                Series::Gauges(gauges) => {
                    gauges.retain(|_, gauge| !gauge.is_forsaken());
                    if gauges.is_empty() {
                        continue;
                    }
                    text::head(&mut text, name, family.help, "gauge");
                    for (values, gauge) in gauges {
                        text::line(&mut text, name, family.labels, values, gauge.value());
                    }
                }
            }
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Family>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Family {
    fn new(help: &'static str, labels: &'static [&'static str], series: Series) -> Self {
        Family { help, labels, series }
    }

    fn key(&self, values: &[&str]) -> Vec<String> {
        let value = |number: usize| cut(values.get(number).copied().unwrap_or_default());
        (0..self.labels.len()).map(value).collect()
    }
}

/// The member of a key. One that is new and has no room any more is the one for all others.
fn member<T: Clone + Default>(
    members: &mut BTreeMap<Vec<String>, T>,
    key: Vec<String>,
    is_forsaken: impl Fn(&T) -> bool,
) -> T {
    if let Some(there) = members.get(&key) {
        return there.clone();
    }
    if members.len() >= MAX_SERIES {
        members.retain(|_, member| !is_forsaken(member));
    }
    let key = if members.len() < MAX_SERIES {
        key
    } else {
        vec![OTHER.to_owned(); key.len()]
    };
    members.entry(key).or_default().clone()
}

fn cut(value: &str) -> String {
    let mut end = value.len().min(MAX_VALUE);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::{MAX_SERIES, Metrics};

    const LABELS: &[&str] = &["instance", "cause"];

    #[test]
    fn families_are_told_in_prometheus_text_format() {
        let metrics = Metrics::default();
        let ejections = || metrics.counter("ejections_total", "Ejections.", LABELS, &["a", "late"]);
        ejections().add(2);
        ejections().add(1);
        metrics
            .counter(
                "ejections_total",
                "Ejections.",
                LABELS,
                &["quote\" slash\\ line\n"],
            )
            .add(1);
        let healthy = metrics.gauge("healthy", "Whether it is.", &[], &[]);
        healthy.set(-3);
        assert_eq!(
            metrics.text(),
            "# HELP ejections_total Ejections.\n\
             # TYPE ejections_total counter\n\
             ejections_total{instance=\"a\",cause=\"late\"} 3\n\
             ejections_total{instance=\"quote\\\" slash\\\\ line\\n\",cause=\"\"} 1\n\
             # HELP healthy Whether it is.\n\
             # TYPE healthy gauge\n\
             healthy -3\n"
        );
    }

    #[test]
    fn a_gauge_goes_with_the_last_who_keeps_it_and_a_counter_stays() {
        let metrics = Metrics::default();
        let gauge = metrics.gauge("there", "Whether it is.", &[], &[]);
        metrics.counter("calls_total", "Calls.", &[], &[]).add(1);
        let again = metrics.gauge("there", "Whether it is.", &[], &[]);
        drop(gauge);
        again.set(1);
        assert!(metrics.text().contains("there 1"));
        drop(again);
        assert_eq!(
            metrics.text(),
            "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total 1\n"
        );
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let metrics = Metrics::default();
        for number in 0..MAX_SERIES + 10 {
            let name = number.to_string();
            metrics.counter("calls_total", "Calls.", &["of"], &[&name]).add(1);
            // Forsaken gauges make room.
            metrics.gauge("calls", "Calls.", &["of"], &[&name]).set(1);
        }
        let text = metrics.text();
        assert!(text.contains("calls_total{of=\"other\"} 10\n"));
        assert!(!text.contains("calls{of=\"other\"}"));
        assert_eq!(text.lines().count(), 2 + MAX_SERIES + 1);
    }

    #[test]
    fn nothing_is_lost_when_many_threads_count() {
        let metrics = Metrics::default();
        let counter = metrics.counter("calls_total", "Calls.", &[], &[]);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| (0..10_000).for_each(|_| counter.add(1)));
            }
        });
        assert_eq!(counter.value(), 160_000);
    }
}
