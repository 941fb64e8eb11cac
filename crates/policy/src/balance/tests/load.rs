//! Choice by what members are doing, how fast they are and what they cost.

use std::time::Duration;

use super::*;

#[test]
fn calls_under_way_are_kept_in_proportion_to_the_weights() {
    let balancer = pool(Algorithm::LeastBusy, &[(1, 0, None), (2, 0, None), (5, 0, None)]);
    let now = Instant::now();
    let mut held = Vec::new();
    for _ in 0..8_000 {
        let member = first(now).of(&balancer).unwrap();
        held.push((member, balancer.begin(member, false)));
    }
    let under_way = |balancer: &Balancer| -> Vec<usize> {
        let members = balancer.members().iter();
        members.map(|member| member.state.in_flight()).collect()
    };
    assert_eq!(under_way(&balancer), [1_000, 2_000, 5_000]);
    held.retain(|(member, _)| *member != 1);
    assert_eq!(under_way(&balancer), [1_000, 0, 5_000], "the guards count down");
    for _ in 0..1_999 {
        let member = first(now).of(&balancer).unwrap();
        assert_eq!(member, 1, "it has the fewest for its weight");
        held.push((member, balancer.begin(member, false)));
    }
    let idle = equal(Algorithm::LeastBusy, 3);
    assert_eq!(counts(&idle, 3_000), [1_000; 3], "of equally busy ones in turn");
}

/// Serves calls one after the other in simulated time: each takes as long as its member's first token. Returns how often
/// each member was chosen.
fn served(balancer: &Balancer, millis: &[u64], calls: usize, at_once: usize) -> Vec<usize> {
    let mut now = Instant::now();
    let mut counts = vec![0; millis.len()];
    let mut under_way: Vec<(Instant, usize, InFlight)> = Vec::new();
    for draw in 0..calls as u64 {
        if under_way.len() == at_once {
            let soonest = (0..at_once).min_by_key(|call| under_way[*call].0).unwrap();
            let (end, member, call) = under_way.swap_remove(soonest);
            now = now.max(end);
            call.answered(now, Duration::from_millis(millis[member]));
        }
        let member = Choice { draw, ..first(now) }.of(balancer).unwrap();
        counts[member] += 1;
        under_way.push((
            now + Duration::from_millis(millis[member]),
            member,
            balancer.begin(member, false),
        ));
    }
    counts
}

#[test]
fn the_fastest_gets_nearly_all_that_one_caller_asks() {
    let counts = served(&equal(Algorithm::LeastLatency, 3), &[1_000, 100, 400], 5_000, 1);
    assert!(counts[1] > 4_800, "{counts:?}");
    assert!(
        counts[0] >= 1 && counts[2] >= 1,
        "each is tried, and measured again when that is long ago: {counts:?}"
    );
}

#[test]
fn calls_at_once_are_shared_by_speed() {
    let counts = served(&equal(Algorithm::LeastLatency, 2), &[300, 100], 12_000, 40);
    let share = counts[1] as f64 / 12_000.0;
    // Waits are equal with calls under way of 1 to 3; each of the faster ones is over in a third of the time.
    assert!((0.85..0.95).contains(&share), "{counts:?}");
}

#[test]
fn a_heavier_member_gets_more_of_equally_fast_ones() {
    let balancer = pool(Algorithm::LeastLatency, &[(1, 0, None), (3, 0, None)]);
    let counts = served(&balancer, &[100, 100], 12_000, 40);
    assert!((8_700..9_300).contains(&counts[1]), "{counts:?}");
}

#[test]
fn a_new_member_gets_one_call_to_be_measured_by_and_not_all_of_them() {
    let balancer = equal(Algorithm::LeastLatency, 2);
    let now = Instant::now();
    balancer.begin(0, false).answered(now, Duration::from_millis(100));
    assert_eq!(first(now).of(&balancer), Some(1), "it was never measured");
    let mut held = vec![balancer.begin(1, false)];
    for _ in 0..999 {
        let member = first(now).of(&balancer).unwrap();
        held.push(balancer.begin(member, false));
    }
    let under_way = balancer.members()[1].state.in_flight();
    assert!(
        (499..=501).contains(&under_way),
        "taken to be like the other: {under_way}"
    );
}

#[test]
fn a_peak_counts_at_once_and_is_forgotten_with_time() {
    for algorithm in [Algorithm::LeastLatency, Algorithm::Ewma] {
        let balancer = equal(algorithm, 2);
        let now = Instant::now();
        for _ in 0..100 {
            balancer.begin(0, false).answered(now, Duration::from_millis(50));
            balancer.begin(1, false).answered(now, Duration::from_millis(100));
        }
        assert_eq!(counts(&balancer, 1_000), [1_000, 0]);
        balancer.begin(0, false).answered(now, Duration::from_secs(5));
        let chosen = |seconds: u64| first(now + Duration::from_secs(seconds)).of(&balancer);
        assert_eq!(chosen(0), Some(1));
        let later = now + Duration::from_secs(600);
        balancer
            .begin(0, false)
            .answered(later, Duration::from_millis(50));
        balancer
            .begin(1, false)
            .answered(later, Duration::from_millis(100));
        assert_eq!(chosen(600), Some(0));
        balancer.begin(0, false).failed(later, Duration::from_millis(1));
        assert_eq!(chosen(600), Some(1), "failing fast is not being fast");
    }
}

#[test]
fn one_that_fails_fast_soon_looks_slower_than_slow_ones() {
    let balancer = equal(Algorithm::LeastLatency, 2);
    let now = Instant::now();
    balancer.begin(0, false).answered(now, Duration::from_secs(20));
    let mut failures = 0;
    for _ in 0..100 {
        let member = first(now).of(&balancer).unwrap();
        if member == 1 {
            balancer.begin(1, false).failed(now, Duration::from_millis(1));
            failures += 1;
        }
    }
    assert!(failures <= 6, "{failures} calls were given to it");
    for _ in 0..100 {
        balancer.begin(1, false).failed(now, Duration::from_millis(1));
    }
    let later = now + Duration::from_secs(120);
    balancer.begin(0, false).answered(later, Duration::from_secs(20));
    assert_eq!(
        first(later).of(&balancer),
        Some(1),
        "it gets another chance in time"
    );
}

#[test]
fn streams_and_whole_answers_are_measured_apart() {
    let balancer = equal(Algorithm::LeastLatency, 2);
    let now = Instant::now();
    for (member, streamed, whole) in [(0, 300, 9_000), (1, 500, 4_000)] {
        balancer
            .begin(member, true)
            .answered(now, Duration::from_millis(streamed));
        balancer
            .begin(member, false)
            .answered(now, Duration::from_millis(whole));
    }
    let streams = Choice {
        streams: true,
        ..first(now)
    };
    assert_eq!(streams.of(&balancer), Some(0));
    assert_eq!(first(now).of(&balancer), Some(1));
}

#[test]
fn of_two_taken_at_random_the_faster_one_is_used() {
    let balancer = equal(Algorithm::Ewma, 4);
    let now = Instant::now();
    for (member, millis) in [100, 200, 300, 400].into_iter().enumerate() {
        balancer
            .begin(member, false)
            .answered(now, Duration::from_millis(millis));
    }
    let counts = counts(&balancer, 12_000);
    // Of the six pairs the fastest wins three, the next two, the third one.
    for (count, expected) in counts.iter().zip([6_000_usize, 4_000, 2_000, 0]) {
        assert!(count.abs_diff(expected) < 300, "{counts:?}");
    }
}

#[test]
fn the_cheapest_is_used_and_those_of_unknown_cost_come_last() {
    let costs = [None, Some(3.0), Some(1.5), Some(f64::NAN), Some(1.5)];
    let members: Vec<Written> = costs.iter().map(|cost| (1, 0, *cost)).collect();
    let balancer = pool(Algorithm::LeastCost, &members);
    assert_eq!(counts(&balancer, 4_000), [0, 0, 2_000, 0, 2_000]);
    let now = Instant::now();
    let choice = |tried: &[usize]| Choice { tried, ..first(now) }.of(&balancer).unwrap();
    assert_eq!(choice(&[2, 4]), 1);
    let unknown: Vec<usize> = (0..2_000).map(|_| choice(&[2, 4, 1])).collect();
    assert_eq!(unknown.iter().filter(|member| **member == 0).count(), 1_000);
    assert!(unknown.iter().all(|member| [0, 3].contains(member)));
    let weighted = pool(
        Algorithm::LeastCost,
        &[(1, 0, Some(2.0)), (3, 0, Some(2.0)), (9, 0, Some(2.1))],
    );
    assert_eq!(
        counts(&weighted, 4_000),
        [1_000, 3_000, 0],
        "equally cheap ones by weight"
    );
}
