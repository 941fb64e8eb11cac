//! Shares by weight and priority.

use super::*;

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
