//! One metric with all its series.
//!
//! The lock of a family is held for moments only: while one series is looked up or made, and while some are copied for
//! somebody who reads, who writes them as text afterwards. Counting does not touch it.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::number::{Counter, Gauge, Histogram};
use super::text::{self, Decimal};
use super::{MAX_SERIES, MAX_VALUE, OTHER};

/// What a metric is called and what it means.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its name; that of a counter of ours ends in `_total`.
    pub name: Cow<'static, str>,
    /// What it counts, in a sentence.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: Cow<'static, [Cow<'static, str>]>,
    /// How many of what is counted are one of what is shown, a power of ten: a million where microseconds are counted
    /// and seconds shown.
    pub per: u64,
    /// Series at most; what is beyond is counted under [`OTHER`].
    pub max_series: usize,
    /// After what time a series that has not changed is forgotten, though somebody may keep it who looks at
    /// [`super::Metrics::epoch`]; `None` for never.
    pub expire: Option<Duration>,
}

impl Description {
    /// A metric whose numbers are shown as they are counted, and whose series stay.
    pub fn new(name: impl Into<Cow<'static, str>>, help: &'static str, labels: &[&'static str]) -> Self {
        Description {
            name: name.into(),
            help,
            labels: labels.iter().map(|label| Cow::Borrowed(*label)).collect(),
            per: 1,
            max_series: MAX_SERIES,
            expire: None,
        }
    }
}

/// All series of a metric whose numbers are of one type.
pub struct Family<T> {
    pub(super) description: Description,
    kind: &'static str,
    make: Box<dyn Fn() -> T + Send + Sync>,
    /// By label values, in the order of the label names.
    series: Mutex<BTreeMap<Key, Series<T>>>,
}

/// Label values.
pub type Key = Arc<[Box<str>]>;

struct Series<T> {
    number: T,
    /// How far it was, and when it was seen to get there.
    seen: Option<(u64, Instant)>,
}

/// What a family can do whatever its numbers are.
pub(super) trait Shown: Any + Send + Sync {
    /// Writes the metric's head, if it has series.
    fn head(&self, text: &mut String);

    /// Writes some of the series that come after this one. Returns the last one written; `None` when there are no more.
    fn some(&self, after: Option<&Key>, text: &mut String) -> Option<Key>;

    /// Forgets series that nobody needs. Returns whether somebody may still keep one that was forgotten.
    fn forget(&self, now: Instant) -> bool;
}

/// A number as a family keeps it.
pub trait Number: Clone + Send + Sync + 'static {
    /// Whether it is shown though nobody but the family keeps it.
    const OUTLIVES: bool;

    /// Whether nobody but the family keeps it.
    fn is_forsaken(&self) -> bool;

    /// A number that changes whenever something is counted.
    fn progress(&self) -> u64;

    /// Whether forgetting it loses nothing that is still going on.
    fn is_at_rest(&self) -> bool {
        true
    }

    /// Writes its lines.
    fn write(&self, text: &mut String, description: &Description, labels: &str);
}

/// A number that is looked up when it is asked for; `None` where it is not known.
#[derive(Clone)]
pub(super) struct Reading(pub(super) Arc<dyn Fn() -> Option<u64> + Send + Sync>);

/// A metric whose series are looked up, all of them, when they are asked for.
pub(super) struct Listing {
    pub(super) description: Description,
    pub(super) kind: &'static str,
    pub(super) read: Box<Listed>,
}

/// Label values with their numbers.
pub(super) type Listed = dyn Fn() -> Vec<(Vec<String>, u64)> + Send + Sync;

impl Shown for Listing {
    fn head(&self, text: &mut String) {
        let listed = (self.read)();
        if !listed.is_empty() {
            text::head(text, &self.description.name, self.description.help, self.kind);
        }
        let mut labels = String::new();
        for (values, number) in listed {
            let values: Vec<Box<str>> = values.iter().map(|value| cut(value).into()).collect();
            labels.clear();
            text::labels(&mut labels, &self.description.labels, &values);
            let shown = Decimal {
                number,
                per: self.description.per,
            };
            text::line(text, [&self.description.name, ""], &labels, None, shown);
        }
    }

    fn some(&self, _: Option<&Key>, _: &mut String) -> Option<Key> {
        None
    }

    fn forget(&self, _: Instant) -> bool {
        false
    }
}

/// Series copied at once while the lock is held.
const SOME: usize = 128;

/// How long a counter is shown that does not change and that nobody keeps: what it counted is gone.
const FORSAKEN: Duration = Duration::from_secs(24 * 60 * 60);

impl<T: Number> Family<T> {
    pub(super) fn new(
        description: Description,
        kind: &'static str,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        Family {
            description,
            kind,
            make: Box::new(make),
            series: Mutex::default(),
        }
    }

    /// The series of these label values, made when it is not there yet. Values that are missing are empty. One that has
    /// no room any more is the one for all others.
    pub fn with<V: AsRef<str>>(&self, values: &[V]) -> T {
        let count = self.description.labels.len();
        let key: Key = (0..count)
            .map(|number| values.get(number).map_or("", |value| cut(value.as_ref())).into())
            .collect();
        let mut series = self.lock();
        if let Some(there) = series.get(&key) {
            return there.number.clone();
        }
        let is_full = series.len() >= self.description.max_series;
        if is_full && !T::OUTLIVES {
            series.retain(|_, series| !series.is_over());
        }
        let key = if series.len() < self.description.max_series {
            key
        } else {
            (0..count).map(|_| OTHER.into()).collect()
        };
        let made = series.entry(key).or_insert_with(|| Series {
            number: (self.make)(),
            seen: None,
        });
        made.number.clone()
    }

    /// All series as they are: label values in the order of the label names, and the number.
    pub(super) fn all(&self) -> Vec<(Key, T)> {
        let series = self.lock();
        let shown = series.iter().filter(|(_, series)| !series.is_over());
        shown
            .map(|(key, series)| (key.clone(), series.number.clone()))
            .collect()
    }

    /// Puts a number where there may be another one already.
    pub(super) fn put(&self, values: &[&str], number: T) {
        let count = self.description.labels.len();
        let value = |at: usize| cut(values.get(at).copied().unwrap_or_default()).into();
        let key: Key = (0..count).map(value).collect();
        self.lock().insert(key, Series { number, seen: None });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Series<T>>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Number> Series<T> {
    /// Whether it ends with the last one who keeps it, who is gone.
    fn is_over(&self) -> bool {
        !T::OUTLIVES && self.number.is_forsaken()
    }

    /// For how long it has not changed.
    fn idle(&mut self, now: Instant) -> Duration {
        let progress = self.number.progress();
        match self.seen {
            Some((before, since)) if before == progress => now.saturating_duration_since(since),
            _ => {
                self.seen = Some((progress, now));
                Duration::ZERO
            }
        }
    }
}

impl<T: Number> Shown for Family<T> {
    fn head(&self, text: &mut String) {
        if self.lock().values().any(|series| !series.is_over()) {
            text::head(text, &self.description.name, self.description.help, self.kind);
        }
    }

    fn some(&self, after: Option<&Key>, text: &mut String) -> Option<Key> {
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(&**key));
        let mut last = None;
        let copied: Vec<(Key, T)> = {
            let series = self.lock();
            let range = series.range::<[Box<str>], _>((from, Bound::Unbounded)).take(SOME);
            range
                .inspect(|(key, _)| last = Some((*key).clone()))
                .filter(|(_, series)| !series.is_over())
                .map(|(key, series)| (key.clone(), series.number.clone()))
                .collect()
        };
        let mut labels = String::new();
        for (key, number) in copied {
            labels.clear();
            text::labels(&mut labels, &self.description.labels, &key);
            number.write(text, &self.description, &labels);
        }
        last
    }

    fn forget(&self, now: Instant) -> bool {
        let mut was_kept = false;
        let expire = self.description.expire;
        self.lock().retain(|_, series| {
            let idle = series.idle(now);
            let is_forsaken = series.number.is_forsaken();
            if is_forsaken && (!T::OUTLIVES || idle >= FORSAKEN) {
                return false;
            }
            let is_expired = expire.is_some_and(|expire| idle >= expire) && series.number.is_at_rest();
            was_kept |= is_expired && !is_forsaken;
            !is_expired
        });
        was_kept
    }
}

impl Number for Counter {
    const OUTLIVES: bool = true;

    fn is_forsaken(&self) -> bool {
        self.is_forsaken()
    }

    fn progress(&self) -> u64 {
        self.value()
    }

    fn write(&self, text: &mut String, description: &Description, labels: &str) {
        let shown = Decimal {
            number: self.value(),
            per: description.per,
        };
        text::line(text, [&description.name, ""], labels, None, shown);
    }
}

impl Number for Gauge {
    const OUTLIVES: bool = false;

    fn is_forsaken(&self) -> bool {
        self.is_forsaken()
    }

    fn progress(&self) -> u64 {
        self.value().cast_unsigned()
    }

    fn is_at_rest(&self) -> bool {
        self.value() == 0
    }

    fn write(&self, text: &mut String, description: &Description, labels: &str) {
        text::line(text, [&description.name, ""], labels, None, self.value());
    }
}

impl Number for Histogram {
    const OUTLIVES: bool = true;

    fn is_forsaken(&self) -> bool {
        self.is_forsaken()
    }

    fn progress(&self) -> u64 {
        self.value().count()
    }

    fn write(&self, text: &mut String, description: &Description, labels: &str) {
        let counted = self.value();
        let name = &description.name;
        let per = description.per;
        let mut below: u64 = 0;
        for (bound, number) in self.bounds().iter().zip(&counted.buckets) {
            below = below.wrapping_add(*number);
            let bound = Decimal { number: *bound, per };
            text::line(text, [name, "_bucket"], labels, Some(&bound), below);
        }
        // Counted from the same reading, so that the parts always fit together.
        let count = counted.count();
        let bound: &dyn Display = &"+Inf";
        text::line(text, [name, "_bucket"], labels, Some(bound), count);
        let sum = Decimal {
            number: counted.sum,
            per,
        };
        text::line(text, [name, "_sum"], labels, None, sum);
        text::line(text, [name, "_count"], labels, None, count);
    }
}

impl Number for Reading {
    const OUTLIVES: bool = true;

    fn is_forsaken(&self) -> bool {
        false
    }

    fn progress(&self) -> u64 {
        0
    }

    fn write(&self, text: &mut String, description: &Description, labels: &str) {
        if let Some(number) = (self.0)() {
            let shown = Decimal {
                number,
                per: description.per,
            };
            text::line(text, [&description.name, ""], labels, None, shown);
        }
    }
}

/// A label value within its bound.
fn cut(value: &str) -> &str {
    let mut end = value.len().min(MAX_VALUE);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value.get(..end).unwrap_or_default()
}
