//! Choice by meaning: how alike a prompt is to the examples of each instance, and in which order instances are asked.
//!
//! Knows vectors that stand for texts, and nothing of who makes them.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

/// Sums kept side by side while vectors are compared, so that the processor can add several at once.
const LANES: usize = 8;

/// Similarities are rounded to so many parts of one: what differs by less is alike, and the instance that was written first
/// wins. It hides how vectors were rounded, so that equal texts have a similarity of exactly 1.
const PARTS: f64 = 1e6;

/// Failures in a row after which a service is left alone.
const FAILURES: u32 = 3;

/// How long a service is left alone, and time between two trials after that.
const PAUSE: Duration = Duration::from_secs(2);

/// What a text means: the direction of its vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning(Box<[f32]>);

impl Meaning {
    /// The meaning of a vector; `None` if it has no components or one that is no finite number. A vector of zeros is alike
    /// to nothing.
    pub fn of(vector: &[f64]) -> Option<Self> {
        if vector.is_empty() || !vector.iter().all(|component| component.is_finite()) {
            return None;
        }
        // By the largest first, so that no square is too large or too small for a number.
        let largest = vector
            .iter()
            .fold(0.0_f64, |most, component| most.max(component.abs()));
        if largest == 0.0 {
            return Some(Meaning(vec![0.0; vector.len()].into()));
        }
        let squares: f64 = vector.iter().map(|component| (component / largest).powi(2)).sum();
        let length = squares.sqrt();
        let unit = vector
            .iter()
            .map(|component| (component / largest / length) as f32);
        Some(Meaning(unit.collect()))
    }

    /// How alike two meanings are: the cosine of the angle between them, from -1 (opposite) to 1 (the same). `None` if their
    /// vectors have different lengths, so they were made by different models.
    pub fn similarity(&self, other: &Meaning) -> Option<f64> {
        if self.0.len() != other.0.len() {
            return None;
        }
        let cosine = (dot(&self.0, &other.0) * PARTS).round() / PARTS;
        Some(cosine.clamp(-1.0, 1.0))
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let product = |(x, y): (&f32, &f32)| f64::from(*x) * f64::from(*y);
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(product)
        .sum();
    let mut sums = [0.0_f64; LANES];
    for (x, y) in a_chunks.zip(b_chunks) {
        for (sum, pair) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += product(pair);
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// What one instance is for.
#[derive(Clone, Copy, Debug)]
pub struct Taught<'a> {
    /// What it is good at. Any of them is enough.
    pub examples: &'a [Meaning],
    /// Least similarity of a prompt that is meant for it.
    pub threshold: f64,
}

/// How alike a prompt is to what instances are for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Numbers of the instances with their similarity, the most alike first. Of equal ones the first written comes first.
    /// Instances without examples are not among them.
    pub scores: Vec<(usize, f64)>,
    /// How many instances there are.
    count: usize,
    /// Numbers of those for which the prompt is meant, the most alike first.
    fitting: Vec<usize>,
}

impl Ranking {
    /// Compares a prompt with all examples; `None` if it was not made by the model that made those.
    pub fn of<'a>(prompt: &Meaning, instances: impl IntoIterator<Item = Taught<'a>>) -> Option<Self> {
        let mut ranked = Vec::new();
        let mut count = 0;
        for (number, Taught { examples, threshold }) in instances.into_iter().enumerate() {
            count += 1;
            let mut best: Option<f64> = None;
            for example in examples {
                let similarity = prompt.similarity(example)?;
                best = Some(best.map_or(similarity, |best| best.max(similarity)));
            }
            if let Some(best) = best {
                ranked.push((number, best, threshold));
            }
        }
        // Stable, and finite numbers only.
        ranked.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal));
        let fitting = ranked
            .iter()
            .filter(|(_, score, threshold)| score >= threshold)
            .map(|(number, ..)| *number)
            .collect();
        Some(Ranking {
            scores: ranked
                .iter()
                .map(|(number, score, _)| (*number, *score))
                .collect(),
            count,
            fitting,
        })
    }

    /// The instance that the prompt is meant for; `None` if no one's threshold is reached.
    pub fn picked(&self) -> Option<usize> {
        self.fitting.first().copied()
    }

    /// All instances in the order in which they are asked: those the prompt is meant for, then `fallback`, then the others,
    /// each the most alike first. Somebody has an answer that is better than none.
    pub fn order(&self, fallback: usize) -> Vec<usize> {
        let alike = self.scores.iter().map(|(number, _)| *number);
        let fitting = self.fitting.iter().copied();
        once_each(
            fitting.chain([fallback]).chain(alike).chain(0..self.count),
            self.count,
        )
    }
}

/// The order in which instances are asked when nothing is known of the prompt: `fallback`, then the others as written.
pub fn unranked(fallback: usize, count: usize) -> Vec<usize> {
    once_each(std::iter::once(fallback).chain(0..count), count)
}

fn once_each(numbers: impl Iterator<Item = usize>, count: usize) -> Vec<usize> {
    let mut seen = vec![false; count];
    numbers
        .filter(|number| {
            seen.get_mut(*number)
                .is_some_and(|seen| !std::mem::replace(seen, true))
        })
        .collect()
}

/// Spares calls the wait for a service that does not answer: after some failures in a row it is left alone for a while, and
/// then tried by one call at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outage {
    failures: u32,
    until: Option<Instant>,
}

impl Outage {
    /// Whether a call should ask the service. A call that is told so while the service is left alone is a trial.
    pub fn asks(&mut self, now: Instant) -> bool {
        match self.until {
            Some(until) if now < until => false,
            Some(_) => {
                self.until = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    /// The service has answered.
    pub fn ends(&mut self) {
        *self = Outage::default();
    }

    /// The service has failed.
    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.until = Some(now + PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn meaning(vector: &[f64]) -> Meaning {
        Meaning::of(vector).unwrap()
    }

    fn rank(prompt: &[f64], taught: &[(Vec<Meaning>, f64)]) -> Ranking {
        Ranking::of(&meaning(prompt), instances(taught)).unwrap()
    }

    fn instances(taught: &[(Vec<Meaning>, f64)]) -> impl Iterator<Item = Taught<'_>> {
        taught.iter().map(|(examples, threshold)| Taught {
            examples,
            threshold: *threshold,
        })
    }

    /// Three instances, each good at one thing, with a threshold for all.
    fn three(threshold: f64) -> Vec<(Vec<Meaning>, f64)> {
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
            .iter()
            .map(|axis| (vec![meaning(axis)], threshold))
            .collect()
    }

    #[test]
    fn the_cosine_of_known_angles() {
        for (a, b, cosine) in [
            ([1.0, 0.0], [2.0, 0.0], 1.0),
            ([1.0, 0.0], [0.0, 3.0], 0.0),
            ([1.0, 0.0], [-1.0, 0.0], -1.0),
            ([1.0, 0.0], [3.0, 4.0], 0.6),
            ([0.0, 0.0], [1.0, 1.0], 0.0),
            ([1e300, 0.0], [1e-300, 0.0], 1.0),
        ] {
            assert_eq!(meaning(&a).similarity(&meaning(&b)), Some(cosine), "{a:?} {b:?}");
        }
    }

    #[test]
    fn what_is_no_vector_has_no_meaning() {
        for vector in [&[][..], &[f64::NAN], &[1.0, f64::INFINITY]] {
            assert_eq!(Meaning::of(vector), None);
        }
        assert_eq!(meaning(&[1.0]).similarity(&meaning(&[1.0, 0.0])), None);
        assert_eq!(Ranking::of(&meaning(&[1.0]), instances(&three(0.0))), None);
    }

    #[test]
    fn the_most_alike_that_reaches_its_own_threshold_is_picked() {
        let mut taught = three(0.5);
        let prompt = [0.8, 0.6, 0.0];
        assert_eq!(rank(&prompt, &taught).picked(), Some(0));
        assert_eq!(rank(&prompt, &taught).order(2), [0, 1, 2]);
        taught[0].1 = 0.9;
        assert_eq!(
            rank(&prompt, &taught).picked(),
            Some(1),
            "the next one reaches its own"
        );
        assert_eq!(rank(&prompt, &taught).order(2), [1, 2, 0]);
        taught[1].1 = 0.9;
        let ranking = rank(&prompt, &taught);
        assert_eq!(ranking.picked(), None);
        assert_eq!(ranking.order(2), [2, 0, 1], "the fallback, then the most alike");
        assert_eq!(ranking.scores, [(0, 0.8), (1, 0.6), (2, 0.0)]);
    }

    #[test]
    fn a_threshold_can_be_reached_exactly_and_the_first_of_equals_wins() {
        let same: Vec<f64> = (1..1536).map(|i| f64::from(i).sin()).collect();
        let taught = vec![(vec![meaning(&same)], 1.0), (vec![meaning(&same)], 1.0)];
        assert_eq!(rank(&same, &taught).picked(), Some(0));
        assert_eq!(rank(&same, &taught).scores, [(0, 1.0), (1, 1.0)]);
    }

    #[test]
    fn of_nothing_known_the_fallback_comes_first() {
        assert_eq!(unranked(2, 4), [2, 0, 1, 3]);
        assert_eq!(unranked(0, 1), [0]);
    }

    #[test]
    fn a_service_that_fails_is_left_alone_and_tried_by_one_call_at_a_time() {
        let start = Instant::now();
        let mut outage = Outage::default();
        for _ in 0..FAILURES {
            assert!(outage.asks(start));
            outage.failed(start);
        }
        assert!(!outage.asks(start), "left alone");
        let later = start + PAUSE;
        assert!(outage.asks(later), "a trial");
        assert!(!outage.asks(later), "one at a time");
        outage.failed(later);
        assert!(!outage.asks(later + PAUSE - Duration::from_millis(1)));
        assert!(outage.asks(later + PAUSE));
        outage.ends();
        assert!(outage.asks(later + PAUSE) && outage.asks(later + PAUSE));
    }

    #[test]
    fn a_success_forgets_earlier_failures() {
        let now = Instant::now();
        let mut outage = Outage::default();
        for _ in 0..10 {
            outage.failed(now);
            outage.failed(now);
            outage.ends();
        }
        assert!(outage.asks(now));
    }

    /// Numbers from -1 to 1 that only look random.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        }

        fn vector(&mut self, length: usize) -> Vec<f64> {
            (0..length).map(|_| self.next()).collect()
        }
    }

    #[test]
    fn of_ten_thousand_prompts_each_topic_gets_its_own_and_the_fallback_the_rest() {
        const LENGTH: usize = 256;
        let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
        let topics: Vec<Vec<f64>> = (0..3).map(|_| noise.vector(LENGTH)).collect();
        let near = |noise: &mut Noise, topic: &[f64]| -> Vec<f64> {
            topic.iter().map(|component| component + noise.next()).collect()
        };
        let taught: Vec<(Vec<Meaning>, f64)> = topics
            .iter()
            .map(|topic| {
                let examples = (0..4).map(|_| meaning(&near(&mut noise, topic))).collect();
                (examples, 0.35)
            })
            .collect();
        let mut served = [[0_u32; 4]; 4];
        for number in 0..10_000_usize {
            // Of ten prompts five, three and one are about a topic, and one is about nothing of that.
            let topic = [0, 0, 0, 0, 0, 1, 1, 1, 2, 3][number % 10];
            let prompt = match topics.get(topic) {
                Some(topic) => near(&mut noise, topic),
                None => noise.vector(LENGTH),
            };
            served[topic][rank(&prompt, &taught).picked().unwrap_or(3)] += 1;
        }
        assert_eq!(
            served,
            [[5000, 0, 0, 0], [0, 3000, 0, 0], [0, 0, 1000, 0], [0, 0, 0, 1000]]
        );
    }

    /// The vectors of an instance's examples, and its threshold.
    type Written = (Vec<Vec<f64>>, f64);

    fn vectors() -> impl Strategy<Value = (Vec<f64>, Vec<Written>)> {
        (1_usize..20).prop_flat_map(|length| {
            let vector = move || vec(-10.0_f64..10.0, length);
            let instance = (vec(vector(), 0..4), -1.0_f64..1.0);
            (vector(), vec(instance, 1..8))
        })
    }

    proptest! {
        #[test]
        fn similarity_is_symmetric_bounded_and_blind_to_length((a, others) in vectors(), factor in 0.001_f64..1000.0) {
            let meant = meaning(&a);
            let longer: Vec<f64> = a.iter().map(|component| component * factor).collect();
            for other in others.iter().flat_map(|(examples, _)| examples) {
                let other = meaning(other);
                let similarity = meant.similarity(&other).unwrap();
                prop_assert!((-1.0..=1.0).contains(&similarity));
                prop_assert_eq!(other.similarity(&meant), Some(similarity));
                let scaled = meaning(&longer).similarity(&other).unwrap();
                prop_assert!((scaled - similarity).abs() <= 2.0 / PARTS);
            }
        }

        #[test]
        fn everybody_is_asked_once_and_the_best_that_fits_first(
            (prompt, written) in vectors(),
            fallback in any::<prop::sample::Index>(),
        ) {
            let taught: Vec<(Vec<Meaning>, f64)> = written
                .iter()
                .map(|(examples, threshold)| (examples.iter().map(|example| meaning(example)).collect(), *threshold))
                .collect();
            let fallback = fallback.index(taught.len());
            let ranking = rank(&prompt, &taught);
            let order = ranking.order(fallback);
            let mut everybody = order.clone();
            everybody.sort_unstable();
            prop_assert_eq!(everybody, (0..taught.len()).collect::<Vec<_>>());
            prop_assert_eq!(order[0], ranking.picked().unwrap_or(fallback));
            let fits = |(number, score): &&(usize, f64)| *score >= taught[*number].1;
            let best = ranking.scores.iter().filter(fits).map(|(_, score)| *score).reduce(f64::max);
            let picked = ranking.picked().map(|picked| {
                ranking.scores.iter().find(|(number, _)| *number == picked).unwrap().1
            });
            prop_assert_eq!(picked, best);
        }

        #[test]
        fn another_example_never_makes_an_instance_less_alike((prompt, written) in vectors(), more in vec(-10.0_f64..10.0, 20)) {
            let one: Vec<Meaning> = written[0].0.iter().map(|example| meaning(example)).collect();
            let mut two = one.clone();
            two.push(meaning(&more[..prompt.len()]));
            let score = |examples: &Vec<Meaning>| {
                let ranking = rank(&prompt, &[(examples.clone(), 0.0)]);
                ranking.scores.first().map_or(-2.0, |(_, score)| *score)
            };
            prop_assert!(score(&two) >= score(&one));
        }
    }
}
