//! Numbers that many cores change at once. Nobody who counts waits, for others who count or for somebody who reads.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;

/// Something that only grows. Cloning gives another handle to the same number.
#[derive(Clone)]
pub struct Counter(Arc<[Line]>);

/// Something that goes up and down. Cloning gives another handle to the same number.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

/// How often something was how large, in buckets. Cloning gives another handle to the same numbers.
///
/// It counts whole numbers of a small unit, such as microseconds or tokens; its family says how they are shown.
#[derive(Clone)]
pub struct Histogram(Arc<Distribution>);

struct Distribution {
    /// Upper bounds of the buckets, inclusive, ascending; above the last one is one bucket more.
    bounds: Arc<[u64]>,
    /// For every part of it as many lines: the sum, then the buckets. What is counted most is small, and on the line of the sum.
    lines: Box<[Line]>,
    lines_per_part: usize,
}

/// What a histogram has counted.
pub struct Counted {
    /// How often it was in each bucket; the last one has no bound.
    pub buckets: Vec<u64>,
    /// The sum of all that was counted.
    pub sum: u64,
}

/// A cache line, so that what two threads write is never on the same one.
#[derive(Default)]
#[repr(align(64))]
struct Line([AtomicU64; LINE]);

/// Numbers in a line.
const LINE: usize = 8;

/// Parts of a number at most. Threads are dealt out among them, so that two cores rarely write to the same one.
const MOST_PARTS: usize = 8;

impl Counter {
    /// Adds to it.
    pub fn add(&self, number: u64) {
        if let Some(Line([part, ..])) = self.0.get(part()) {
            part.fetch_add(number, Ordering::Relaxed);
        }
    }

    /// Its value.
    pub fn value(&self) -> u64 {
        let values = self.0.iter().map(|Line([part, ..])| part.load(Ordering::Relaxed));
        values.fold(0, u64::wrapping_add)
    }

    /// Whether nobody but the family keeps it.
    pub(super) fn is_forsaken(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Default for Counter {
    fn default() -> Self {
        Counter((0..*PARTS).map(|_| Line::default()).collect())
    }
}

impl Gauge {
    /// Makes it this number.
    pub fn set(&self, number: i64) {
        self.0.store(number, Ordering::Relaxed);
    }

    /// Adds to it; negative numbers take away.
    pub fn add(&self, number: i64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Its value.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether nobody but the family keeps it.
    pub(super) fn is_forsaken(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Histogram {
    /// One with these bounds, ascending.
    pub fn new(bounds: Arc<[u64]>) -> Self {
        // The sum, the buckets, the one without a bound.
        let lines_per_part = (bounds.len() + 2).div_ceil(LINE);
        Histogram(Arc::new(Distribution {
            bounds,
            lines: (0..lines_per_part * *PARTS).map(|_| Line::default()).collect(),
            lines_per_part,
        }))
    }

    /// Counts this number once.
    pub fn observe(&self, number: u64) {
        let Distribution {
            bounds,
            lines,
            lines_per_part,
        } = &*self.0;
        let bucket = bounds.partition_point(|bound| *bound < number);
        let first = part() * lines_per_part;
        let cell = |index: usize| lines.get(first + index / LINE)?.0.get(index % LINE);
        if let (Some(sum), Some(bucket)) = (cell(0), cell(1 + bucket)) {
            bucket.fetch_add(1, Ordering::Relaxed);
            sum.fetch_add(number, Ordering::Relaxed);
        }
    }

    /// What it has counted so far.
    pub fn value(&self) -> Counted {
        let mut counted = Counted {
            buckets: vec![0; self.0.bounds.len() + 1],
            sum: 0,
        };
        for part in self.0.lines.chunks(self.0.lines_per_part) {
            let mut numbers = part
                .iter()
                .flat_map(|line| &line.0)
                .map(|number| number.load(Ordering::Relaxed));
            counted.sum = counted.sum.wrapping_add(numbers.next().unwrap_or(0));
            for (bucket, number) in counted.buckets.iter_mut().zip(&mut numbers) {
                *bucket = bucket.wrapping_add(number);
            }
        }
        counted
    }

    /// The upper bounds of its buckets, in the unit that is counted.
    pub fn bounds(&self) -> &[u64] {
        &self.0.bounds
    }

    /// Whether nobody but the family keeps it.
    pub(super) fn is_forsaken(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Counted {
    /// How often something was counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().copied().fold(0, u64::wrapping_add)
    }
}

/// The part that this thread writes to.
pub(super) fn part() -> usize {
    PART.with(|part| match part.get() {
        usize::MAX => {
            let dealt = NEXT_PART.fetch_add(1, Ordering::Relaxed) % *PARTS;
            part.set(dealt);
            dealt
        }
        dealt => dealt,
    })
}

/// One part for each core, within bounds.
static PARTS: LazyLock<usize> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(MOST_PARTS, usize::from);
    cores.min(MOST_PARTS)
});

static NEXT_PART: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// This thread's part; the largest number until it has one.
    static PART: Cell<usize> = const { Cell::new(usize::MAX) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_to_and_with_its_bounds() {
        let histogram = Histogram::new([10, 20, 30].into());
        for number in [0, 9, 10, 11, 30, 31, 1_000_000] {
            histogram.observe(number);
        }
        let counted = histogram.value();
        assert_eq!(counted.buckets, [3, 1, 1, 2]);
        assert_eq!((counted.count(), counted.sum), (7, 1_000_091));
    }

    #[test]
    fn histograms_of_any_number_of_bounds_keep_buckets_and_sum_apart() {
        for length in 0..40 {
            let bounds: Arc<[u64]> = (0..length).map(|number| number * 10).collect();
            let histogram = Histogram::new(bounds);
            for number in 0..=length {
                histogram.observe(number * 10);
            }
            let counted = histogram.value();
            assert!(counted.buckets.iter().all(|bucket| *bucket == 1), "{length}");
            assert_eq!(counted.sum, (0..=length).sum::<u64>() * 10);
        }
    }

    #[test]
    fn nothing_is_lost_when_many_threads_count() {
        let (counter, histogram) = (Counter::default(), Histogram::new([1].into()));
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for number in 0..10_000 {
                        counter.add(1);
                        histogram.observe(number % 2 + 1);
                    }
                });
            }
        });
        assert_eq!(counter.value(), 160_000);
        assert_eq!(histogram.value().buckets, [80_000, 80_000]);
        assert_eq!(histogram.value().sum, 240_000);
    }
}
