use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const ALL: [Algorithm; 7] = [
    Algorithm::RoundRobin,
    Algorithm::ConsistentHash,
    Algorithm::LeastBusy,
    Algorithm::LeastLatency,
    Algorithm::Ewma,
    Algorithm::LeastCost,
    Algorithm::PrefixAffinity,
];

/// A member by weight, priority and cost.
type Written = (u32, i64, Option<f64>);

fn pool_in(memory: &Arc<PoolMemory>, algorithm: Algorithm, members: &[Written]) -> Balancer {
    let names: Vec<Arc<str>> = (0..members.len())
        .map(|number| format!("instance-{number}").into())
        .collect();
    let members = members.iter().zip(&names).zip(memory.of(&names)).map(
        |((&(weight, priority, cost), name), state)| Member {
            name: name.clone(),
            weight,
            priority,
            cost,
            state,
        },
    );
    Balancer::new(algorithm, members.collect(), memory.clone())
}

fn pool(algorithm: Algorithm, members: &[Written]) -> Balancer {
    pool_in(&Arc::default(), algorithm, members)
}

fn equal(algorithm: Algorithm, count: usize) -> Balancer {
    pool(algorithm, &vec![(1, 0, None); count])
}

/// One choice, with what differs from a first attempt in a healthy pool.
struct Choice<'a> {
    tried: &'a [usize],
    unusable: &'a [usize],
    key: &'a [u8],
    prefix: &'a [u64],
    streams: bool,
    now: Instant,
    draw: u64,
}

fn first(now: Instant) -> Choice<'static> {
    Choice {
        tried: &[],
        unusable: &[],
        key: b"",
        prefix: &[],
        streams: false,
        now,
        draw: 0,
    }
}

impl Choice<'_> {
    fn of(&self, balancer: &Balancer) -> Option<usize> {
        balancer.pick(&Ask {
            tried: self.tried,
            usable: &|member| !self.unusable.contains(&member),
            key: self.key,
            prefix: self.prefix,
            streams: self.streams,
            now: self.now,
            draw: self.draw,
        })
    }
}

/// How often each member is chosen for so many first attempts.
fn counts(balancer: &Balancer, picks: usize) -> Vec<usize> {
    let now = Instant::now();
    let mut counts = vec![0; balancer.members().len()];
    for draw in 0..picks as u64 {
        let key = draw.to_le_bytes();
        let choice = Choice {
            key: &key,
            draw,
            ..first(now)
        };
        counts[choice.of(balancer).unwrap()] += 1;
    }
    counts
}

#[test]
fn eight_to_two_is_exactly_eight_and_two_of_any_ten_in_a_row() {
    let balancer = pool(Algorithm::RoundRobin, &[(8, 0, None), (2, 0, None)]);
    for _ in 0..1_000 {
        assert_eq!(counts(&balancer, 10), [8, 2]);
    }
    counts(&balancer, 3);
    assert_eq!(counts(&balancer, 10), [8, 2]);
}

#[test]
fn shares_are_exact_when_many_threads_choose_at_once() {
    let balancer = pool(Algorithm::RoundRobin, &[(8, 0, None), (2, 0, None)]);
    let mut sums = [0; 2];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| counts(&balancer, 2_500))).collect();
        for thread in threads {
            let counts = thread.join().unwrap();
            sums[0] += counts[0];
            sums[1] += counts[1];
        }
    });
    assert_eq!(sums, [8_000, 2_000]);
}

#[test]
fn turns_are_spread_evenly() {
    let balancer = pool(Algorithm::RoundRobin, &[(5, 0, None), (1, 0, None), (1, 0, None)]);
    let now = Instant::now();
    let picks: Vec<usize> = (0..14).map(|_| first(now).of(&balancer).unwrap()).collect();
    assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn weights_of_zero_take_nothing_beside_others_and_equal_shares_among_themselves() {
    for algorithm in ALL {
        let balancer = pool(
            algorithm,
            &[(0, 0, None), (3, 0, None), (0, -1, None), (0, -1, None)],
        );
        assert_eq!(counts(&balancer, 1_000), [0, 1_000, 0, 0], "{algorithm:?}");
        let now = Instant::now();
        let mut tried = Vec::new();
        while let Some(member) = (Choice {
            tried: &tried,
            ..first(now)
        })
        .of(&balancer)
        {
            tried.push(member);
        }
        tried[1..].sort_unstable();
        assert_eq!(tried, [1, 2, 3], "{algorithm:?}: not even as the last one");
    }
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastBusy, Algorithm::LeastCost] {
        assert_eq!(counts(&pool(algorithm, &[(0, 0, None); 2]), 1_000), [500, 500]);
    }
    let hashed = counts(&pool(Algorithm::ConsistentHash, &[(0, 0, None); 2]), 10_000);
    assert!(hashed.iter().all(|count| *count > 4_000), "{hashed:?}");
}

#[test]
fn a_new_configuration_goes_on_where_the_old_one_was() {
    let memory = Arc::default();
    let before = pool_in(&memory, Algorithm::RoundRobin, &[(1, 0, None); 2]);
    assert_eq!(counts(&before, 3), [2, 1]);
    let after = pool_in(&memory, Algorithm::RoundRobin, &[(1, 0, None); 2]);
    assert_eq!(
        first(Instant::now()).of(&after),
        Some(1),
        "1 is next, not 0 again"
    );
}

#[test]
fn credit_from_large_weights_does_not_starve_anybody_under_small_ones() {
    let memory = Arc::default();
    let large = pool_in(
        &memory,
        Algorithm::RoundRobin,
        &[(1_000_000, 0, None), (1, 0, None)],
    );
    assert_eq!(counts(&large, 400_000), [400_000, 0]);
    let small = pool_in(&memory, Algorithm::RoundRobin, &[(1, 0, None), (1, 0, None)]);
    let shares = counts(&small, 100);
    assert!(shares.iter().all(|count| (48..=52).contains(count)), "{shares:?}");
}

#[test]
fn a_retry_does_not_shift_the_shares_of_first_attempts() {
    let balancer = pool(Algorithm::RoundRobin, &[(8, 0, None), (2, 0, None)]);
    let now = Instant::now();
    let mut counts = [0; 2];
    for _ in 0..1_000 {
        let member = first(now).of(&balancer).unwrap();
        counts[member] += 1;
        let other = Choice {
            tried: &[member],
            ..first(now)
        };
        assert_eq!(other.of(&balancer), Some(1 - member));
    }
    assert_eq!(counts, [800, 200]);
}

#[test]
fn keys_are_shared_by_weight_and_stay() {
    let balancer = pool(
        Algorithm::ConsistentHash,
        &[(1, 0, None), (1, 0, None), (2, 0, None)],
    );
    let shares = counts(&balancer, 40_000);
    for (count, share) in shares.iter().zip([10_000_f64, 10_000.0, 20_000.0]) {
        assert!((*count as f64 - share).abs() < share * 0.2, "{shares:?}");
    }
    assert_eq!(
        counts(&balancer, 40_000),
        shares,
        "the same keys, the same members"
    );
}

#[test]
fn a_member_that_leaves_or_is_unusable_moves_only_its_own_keys() {
    let five = equal(Algorithm::ConsistentHash, 5);
    let four = equal(Algorithm::ConsistentHash, 4);
    let now = Instant::now();
    let mut moved = [0; 4];
    for key in 0..10_000_u32 {
        let key = key.to_le_bytes();
        let choice = Choice {
            key: &key,
            ..first(now)
        };
        let before = choice.of(&five).unwrap();
        let without = choice.of(&four).unwrap();
        let ill = Choice {
            unusable: &[4],
            ..choice
        };
        assert_eq!(ill.of(&five), Some(without));
        match before {
            4 => moved[without] += 1,
            other => assert_eq!(without, other),
        }
    }
    assert!(
        moved.iter().all(|count| *count > 200),
        "its keys are spread over all others: {moved:?}"
    );
}

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

#[test]
fn a_conversation_stays_where_its_longest_prefix_is_known() {
    let balancer = equal(Algorithm::PrefixAffinity, 4);
    let now = Instant::now();
    let ask = |prefix: &[u64]| Choice { prefix, ..first(now) }.of(&balancer).unwrap();
    let mut used = [0; 4];
    for conversation in 1..=2_000_u64 {
        let turns: Vec<u64> = (0..5).map(|turn| conversation * 10 + turn).collect();
        let member = ask(&turns[..1]);
        used[member] += 1;
        for length in 2..=5 {
            assert_eq!(ask(&turns[..length]), member);
        }
    }
    assert_eq!(used, [500; 4], "new conversations are spread");
    // Two conversations with the same beginning that went different ways.
    let (left, right) = (ask(&[1, 2]), ask(&[3]));
    assert_ne!(left, right);
    let known = Choice {
        prefix: &[1, 2, 9],
        unusable: &[left],
        ..first(now)
    };
    assert_ne!(
        known.of(&balancer),
        Some(left),
        "a warm cache is no use on an ill instance"
    );
}

#[test]
fn a_hot_prefix_overloads_nobody() {
    let balancer = equal(Algorithm::PrefixAffinity, 4);
    let now = Instant::now();
    let mut held = Vec::new();
    for call in 1..=4_000_usize {
        let member = Choice {
            prefix: &[42],
            ..first(now)
        }
        .of(&balancer)
        .unwrap();
        held.push(balancer.begin(member, false));
        let most = (0..4)
            .map(|member| balancer.members()[member].state.in_flight())
            .max();
        let share = call as f64 / 4.0;
        assert!(most.unwrap() as f64 <= (share * 1.25).ceil().max(4.0));
    }
    held.clear();
    let alone: HashSet<usize> = (0..1_000)
        .map(|_| {
            Choice {
                prefix: &[42],
                ..first(now)
            }
            .of(&balancer)
            .unwrap()
        })
        .collect();
    assert_eq!(alone.len(), 1, "one call at a time stays where the cache is warm");
}

#[test]
fn the_rest_is_used_when_a_whole_tier_is_gone_and_everybody_when_nobody_is_usable() {
    for algorithm in ALL {
        let balancer = pool(algorithm, &[(1, 5, None), (1, 5, None), (1, 0, None)]);
        let now = Instant::now();
        let choice = |tried: &[usize], unusable: &[usize]| {
            Choice {
                tried,
                unusable,
                ..first(now)
            }
            .of(&balancer)
        };
        assert_eq!(choice(&[0], &[1]), Some(2), "{algorithm:?}");
        assert_eq!(choice(&[], &[0, 1]), Some(2), "{algorithm:?}");
        assert_ne!(
            choice(&[], &[0, 1, 2]),
            Some(2),
            "{algorithm:?}: the order of the tiers stays"
        );
        assert_eq!(choice(&[0, 1], &[0, 1, 2]), Some(2), "{algorithm:?}");
        assert_eq!(
            choice(&[2], &[0, 1]),
            None,
            "{algorithm:?}: one is usable, and was tried"
        );
        assert_eq!(choice(&[0, 1, 2], &[]), None, "{algorithm:?}");
    }
    let nobody = pool(Algorithm::RoundRobin, &[]);
    assert_eq!(first(Instant::now()).of(&nobody), None);
}

fn members() -> impl Strategy<Value = Vec<Written>> {
    let cost = proptest::option::of(0.0..10.0);
    proptest::collection::vec((0_u32..6, -1_i64..2, cost), 1..8)
}

/// Whether a member can be given calls at all: by its weight and those of its tier.
fn takes_calls(written: &[Written], member: usize) -> bool {
    let (weight, priority, _) = written[member];
    weight > 0 || written.iter().all(|other| other.1 != priority || other.0 == 0)
}

fn some_of() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0_usize..8, 0..8)
}

proptest! {
    #[test]
    fn a_choice_is_untried_usable_and_of_the_highest_tier_that_has_one(
        written in members(),
        algorithm in proptest::sample::select(ALL.to_vec()),
        choices in proptest::collection::vec((some_of(), some_of(), any::<u64>(), 0_u64..3), 1..40),
    ) {
        let balancer = pool(algorithm, &written);
        let begin = Instant::now();
        let mut held = Vec::new();
        for (at, (tried, unusable, draw, kind)) in choices.iter().enumerate() {
            let now = begin + Duration::from_secs(at as u64);
            let key = draw.to_le_bytes();
            let prefix = [draw % 3, draw % 5 + 10];
            let choice = Choice { tried, unusable, key: &key, prefix: &prefix, streams: draw % 2 == 0, now, draw: *draw };
            let able: Vec<usize> = (0..written.len()).filter(|member| takes_calls(&written, *member)).collect();
            let nobody = able.iter().all(|member| unusable.contains(member));
            let open = able.iter().copied().filter(|member| {
                !tried.contains(member) && (nobody || !unusable.contains(member))
            });
            let tier = open.clone().map(|member| written[member].1).max();
            let expected: Vec<usize> = open.filter(|member| Some(written[*member].1) == tier).collect();
            let chosen = choice.of(&balancer);
            prop_assert_eq!(chosen.is_none(), expected.is_empty());
            if let Some(member) = chosen {
                prop_assert!(expected.contains(&member));
                let call = balancer.begin(member, false);
                match kind {
                    0 => call.answered(now, Duration::from_millis(*draw % 5_000)),
                    1 => call.failed(now, Duration::from_millis(*draw % 100)),
                    _ => held.push(call),
                }
            }
        }
    }

    #[test]
    fn every_member_is_tried_once_and_higher_tiers_first(
        written in members(),
        algorithm in proptest::sample::select(ALL.to_vec()),
        draw in any::<u64>(),
    ) {
        let balancer = pool(algorithm, &written);
        let mut tried = Vec::new();
        while let Some(member) = (Choice { tried: &tried, draw, ..first(Instant::now()) }).of(&balancer) {
            prop_assert!(tried.last().is_none_or(|last: &usize| written[*last].1 >= written[member].1));
            prop_assert!(!tried.contains(&member));
            tried.push(member);
        }
        let able = (0..written.len()).filter(|member| takes_calls(&written, *member)).count();
        prop_assert_eq!(tried.len(), able);
    }

    #[test]
    fn turns_are_exact_in_every_round_wherever_it_begins(
        weights in proptest::collection::vec(1_u32..20, 1..7),
        skipped in 0_usize..100,
    ) {
        let written: Vec<Written> = weights.iter().map(|weight| (*weight, 0, None)).collect();
        let balancer = pool(Algorithm::RoundRobin, &written);
        counts(&balancer, skipped);
        let round: usize = weights.iter().map(|weight| *weight as usize).sum();
        let expected: Vec<usize> = weights.iter().map(|weight| *weight as usize * 3).collect();
        prop_assert_eq!(counts(&balancer, round * 3), expected);
    }

    #[test]
    fn a_key_moves_only_when_its_member_is_gone(
        weights in proptest::collection::vec(1_u32..5, 2..7),
        gone in 0_usize..7,
        keys in proptest::collection::vec(any::<[u8; 8]>(), 1..50),
    ) {
        let gone = gone % weights.len();
        let written: Vec<Written> = weights.iter().map(|weight| (*weight, 0, None)).collect();
        let balancer = pool(Algorithm::ConsistentHash, &written);
        for key in &keys {
            let choice = Choice { key, ..first(Instant::now()) };
            let (before, after) = (choice.of(&balancer), Choice { unusable: &[gone], ..choice }.of(&balancer));
            if before == Some(gone) {
                prop_assert_ne!(after, before);
            } else {
                prop_assert_eq!(after, before);
            }
        }
    }

    #[test]
    fn nobody_is_busier_than_a_call_more_would_make_the_least_busy_one(
        weights in proptest::collection::vec(1_u32..9, 1..7),
        ends in proptest::collection::vec(any::<proptest::sample::Index>(), 0..200),
    ) {
        let written: Vec<Written> = weights.iter().map(|weight| (*weight, 0, None)).collect();
        let balancer = pool(Algorithm::LeastBusy, &written);
        let mut held = Vec::new();
        let load = |member: usize, more: usize| {
            (balancer.members()[member].state.in_flight() + more) as f64 / f64::from(weights[member])
        };
        for end in ends {
            let member = first(Instant::now()).of(&balancer).unwrap();
            let least = (0..weights.len()).map(|other| load(other, 1)).fold(f64::INFINITY, f64::min);
            prop_assert!(load(member, 1) <= least);
            held.push(balancer.begin(member, false));
            if held.len() > 20 {
                held.swap_remove(end.index(held.len()));
            }
        }
    }

    #[test]
    fn nothing_cheaper_is_passed_over(written in members(), tried in some_of()) {
        let balancer = pool(Algorithm::LeastCost, &written);
        let choice = Choice { tried: &tried, ..first(Instant::now()) };
        if let Some(member) = choice.of(&balancer) {
            let cost = |member: usize| written[member].2.unwrap_or(f64::INFINITY);
            let others = (0..written.len()).filter(|other| {
                takes_calls(&written, *other) && written[*other].1 == written[member].1 && !tried.contains(other)
            });
            for other in others {
                prop_assert!(cost(member) <= cost(other));
            }
        }
    }

    #[test]
    fn the_one_with_the_least_expected_wait_is_used(
        known in proptest::collection::vec((1_u64..10_000, 0_usize..5, 1_u32..5), 1..7),
    ) {
        let written: Vec<Written> = known.iter().map(|(_, _, weight)| (*weight, 0, None)).collect();
        let balancer = pool(Algorithm::LeastLatency, &written);
        let now = Instant::now();
        let mut held = Vec::new();
        for (member, (millis, calls, _)) in known.iter().enumerate() {
            balancer.begin(member, false).answered(now, Duration::from_millis(*millis));
            held.extend((0..*calls).map(|_| balancer.begin(member, false)));
        }
        let wait = |member: usize| {
            let (millis, calls, weight) = known[member];
            (millis * (calls as u64 + 1)) as f64 / f64::from(weight)
        };
        let chosen = first(now).of(&balancer).unwrap();
        for other in 0..known.len() {
            prop_assert!(wait(chosen) <= wait(other) * 1.000_001);
        }
    }

    #[test]
    fn a_warm_member_is_used_exactly_as_long_as_it_has_room(
        weights in proptest::collection::vec(1_u32..5, 2..6),
        calls in proptest::collection::vec((0_u64..3, any::<bool>()), 1..150),
    ) {
        let written: Vec<Written> = weights.iter().map(|weight| (*weight, 0, None)).collect();
        let balancer = pool(Algorithm::PrefixAffinity, &written);
        let sum: u32 = weights.iter().sum();
        let mut last = [None; 3];
        let mut held = Vec::new();
        for (prefix, ends) in calls {
            let under_way = |member: usize| balancer.members()[member].state.in_flight();
            let room = |member: usize| {
                let share = (held.len() + 1) as f64 * f64::from(weights[member]) / f64::from(sum);
                (under_way(member) + 1) as f64 <= (share * 1.25).ceil().max(4.0)
            };
            let chosen = Choice { prefix: &[prefix], ..first(Instant::now()) }.of(&balancer).unwrap();
            match last[prefix as usize] {
                Some(warm) if room(warm) => prop_assert_eq!(chosen, warm),
                _ => {
                    let load = |member: usize| (under_way(member) + 1) as f64 / f64::from(weights[member]);
                    prop_assert!((0..weights.len()).all(|other| load(chosen) <= load(other)));
                }
            }
            last[prefix as usize] = Some(chosen);
            let call = balancer.begin(chosen, false);
            if !ends {
                held.push(call);
            }
        }
    }
}
