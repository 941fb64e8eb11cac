//! Calls that are alike stay together: keys and prefixes.

use std::collections::HashSet;

use super::*;

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
