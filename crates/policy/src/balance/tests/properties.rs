//! What holds for all pools, calls and orders.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

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
