//! Numbers about the running gateway, for Prometheus to fetch.
//!
//! A [`Metrics`] holds families; a family has a name and label names; with label values it gives a [`Counter`], a
//! [`Gauge`] or a [`Histogram`]. Whoever counts keeps what the family gave: counting then touches numbers that few other
//! cores touch, and no lock. The number of series of a family is bounded: what is beyond the bound is counted together.
//!
//! [`Metrics::parts`] tells everything as text, part by part, and holds no lock while it writes one.

pub mod apisix;
mod bounds;
mod calls;
mod changes;
mod family;
mod keys;
mod limits;
mod names;
mod number;
mod process;
mod text;
mod traffic;

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

pub use calls::{CallLabels, CallMetrics};
pub use changes::Changes;
pub use family::{Description, Family, Number};
pub use limits::{Ending, Limit, Limits};
pub use number::{Counted, Counter, Gauge, Histogram};
pub use process::{observe_build, observe_process};
pub use traffic::{OpenConnection, Traffic};

pub use family::Key;
use family::{Listing, Reading, Shown};

/// Series of one family at most, unless its description says otherwise. What comes later is counted under [`OTHER`].
pub const MAX_SERIES: usize = 10_000;

/// The value of every label of the series that counts what is beyond [`MAX_SERIES`].
pub const OTHER: &str = "other";

/// The longest label value, in bytes; longer ones are cut.
const MAX_VALUE: usize = 128;

/// A part of the text is about as long, in bytes.
const PART: usize = 64 * 1024;

/// All families of a gateway.
#[derive(Default)]
pub struct Metrics {
    families: Mutex<BTreeMap<Cow<'static, str>, Arc<dyn Shown>>>,
    epoch: AtomicU64,
}

impl Metrics {
    /// The counter of these label values. It is made when it is not there yet, and stays as long as somebody keeps it and
    /// a day after its last change.
    ///
    /// `name` ends in `_total`. A family has the same labels wherever it is named; values that are missing are empty.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        values: &[&str],
    ) -> Counter {
        self.counters(|| Description::new(name, help, labels), name)
            .with(values)
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
        let describe = || Family::new(Description::new(name, help, labels), "gauge", Gauge::default);
        self.family(name, describe).with(values)
    }

    /// A family of counters. The description that came first stands.
    pub fn counters_of(&self, description: Description) -> Arc<Family<Counter>> {
        let name = description.name.clone();
        self.counters(|| description, name)
    }

    /// A family of gauges. The description that came first stands.
    pub fn gauges_of(&self, description: Description) -> Arc<Family<Gauge>> {
        let name = description.name.clone();
        self.family(name, || Family::new(description, "gauge", Gauge::default))
    }

    /// A family of histograms with these bounds, which are ascending, in the unit that is counted. The description that
    /// came first stands, and so do its bounds.
    pub fn histograms_of(&self, description: Description, bounds: &[u64]) -> Arc<Family<Histogram>> {
        let name = description.name.clone();
        let bounds: Arc<[u64]> = bounds.into();
        self.family(name, || {
            Family::new(description, "histogram", move || Histogram::new(bounds.clone()))
        })
    }

    /// Shows as a counter what is counted elsewhere. It is asked when somebody fetches the numbers, and must not block;
    /// `None` is not shown. It takes the place of what was shown under these label values.
    pub fn read_counter(
        &self,
        description: Description,
        values: &[&str],
        read: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) {
        self.read("counter", description, values, Reading(Arc::new(read)));
    }

    /// As [`Self::read_counter`], for what goes up and down.
    pub fn read_gauge(
        &self,
        description: Description,
        values: &[&str],
        read: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) {
        self.read("gauge", description, values, Reading(Arc::new(read)));
    }

    /// Shows as gauges what is known elsewhere, with whatever label values it has when it is asked for. It takes the place of
    /// what was shown under this name.
    pub fn list_gauges(
        &self,
        description: Description,
        read: impl Fn() -> Vec<(Vec<String>, u64)> + Send + Sync + 'static,
    ) {
        let name = description.name.clone();
        let listing = Listing {
            description,
            kind: "gauge",
            read: Box::new(read),
        };
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        families.insert(name, Arc::new(listing));
    }

    fn read(&self, kind: &'static str, description: Description, values: &[&str], reading: Reading) {
        let name = description.name.clone();
        let family = self.family(name, || {
            Family::new(description, kind, || Reading(Arc::new(|| None)))
        });
        family.put(values, reading);
    }

    fn counters(
        &self,
        describe: impl FnOnce() -> Description,
        name: impl Into<Cow<'static, str>>,
    ) -> Arc<Family<Counter>> {
        self.family(name, || Family::new(describe(), "counter", Counter::default))
    }

    /// The family of a name, made when it is not there yet.
    fn family<T: Number>(
        &self,
        name: impl Into<Cow<'static, str>>,
        make: impl FnOnce() -> Family<T>,
    ) -> Arc<Family<T>> {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        match families.entry(name.into()) {
            Entry::Vacant(entry) => {
                let family = Arc::new(make());
                entry.insert(family.clone());
                family
            }
            Entry::Occupied(entry) => {
                let there: Arc<dyn Any + Send + Sync> = entry.get().clone();
                // A name used for two types is a mistake of ours: what is counted is not shown.
                Arc::downcast(there).unwrap_or_else(|_| Arc::new(make()))
            }
        }
    }

    /// The counters of a family as they are: label values in the order of its label names, and the numbers, in the unit that
    /// is counted. Nothing where there is no such family.
    pub fn counted(&self, name: &str) -> Vec<(Key, u64)> {
        let family = self.known::<Counter>(name);
        let all = family.map(|family| family.all()).unwrap_or_default();
        all.into_iter()
            .map(|(key, number)| (key, number.value()))
            .collect()
    }

    /// The histograms of a family, as [`Self::counted`].
    pub fn distributed(&self, name: &str) -> Vec<(Key, Histogram)> {
        let family = self.known::<Histogram>(name);
        family.map(|family| family.all()).unwrap_or_default()
    }

    /// What is shown under a name without labels, if it is looked up when it is asked for.
    pub fn reading(&self, name: &str) -> Option<u64> {
        let (_, Reading(read)) = self.known::<Reading>(name)?.all().into_iter().next()?;
        read()
    }

    /// The family of a name, if it is there and counts in this type.
    fn known<T: Number>(&self, name: &str) -> Option<Arc<Family<T>>> {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let there: Arc<dyn Any + Send + Sync> = families.get(name)?.clone();
        Arc::downcast(there).ok()
    }

    /// Changes whenever series were forgotten that somebody may keep. Who keeps numbers of families that expire gets them
    /// anew then.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Everything, in Prometheus' text format (version 0.0.4), in parts to be sent one after the other.
    pub fn parts(&self, now: Instant) -> Parts {
        let families: Vec<Arc<dyn Shown>> = {
            let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
            families.values().cloned().collect()
        };
        let mut was_kept = false;
        for family in &families {
            was_kept |= family.forget(now);
        }
        if was_kept {
            self.epoch.fetch_add(1, Ordering::Relaxed);
        }
        Parts {
            families: families.into_iter(),
            current: None,
        }
    }

    /// Everything at once.
    pub fn text(&self) -> String {
        self.parts(Instant::now()).collect()
    }
}

/// The text of all metrics, in parts of about 64 KiB.
pub struct Parts {
    families: std::vec::IntoIter<Arc<dyn Shown>>,
    /// The family that is being written, and its last series that was.
    current: Option<(Arc<dyn Shown>, Option<Key>)>,
}

impl Iterator for Parts {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut text = String::new();
        while text.len() < PART {
            if let Some((family, after)) = &mut self.current {
                match family.some(after.as_ref(), &mut text) {
                    Some(last) => *after = Some(last),
                    None => self.current = None,
                }
                continue;
            }
            let Some(family) = self.families.next() else { break };
            family.head(&mut text);
            self.current = Some((family, None));
        }
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests;
