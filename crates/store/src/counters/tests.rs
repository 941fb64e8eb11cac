use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn limit(amount: u64) -> Limit {
    Limit {
        amount,
        window_ms: 1000,
        windows: Windows::Fixed,
    }
}

fn at(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + milliseconds)
}

fn ask(key: &str, amount: u64, act: Act) -> Ask {
    Ask {
        key: key.into(),
        limit: limit(amount),
        act,
    }
}

fn made<T>(decision: Decision<T>) -> T {
    match decision {
        Decision::Made(answer) => answer,
        Decision::Later(_) => panic!("memory knows at once"),
    }
}

fn remaining(counters: &Counters, key: &str, amount: u64, milliseconds: u64) -> u64 {
    let asks = vec![Ask::peek(key.to_owned(), limit(amount))];
    made(counters.decide(asks, Together::InTurn, at(milliseconds)))[0].remaining
}

#[test]
fn a_refusal_ends_the_asking_and_undoes_what_belongs_together() {
    for (together, left) in [(Together::InTurn, 2), (Together::AllOrNone, 3)] {
        for act in [
            Act::Take(1),
            Act::Reserve {
                amount: 1,
                lease_ms: 1000,
            },
        ] {
            let counters = Counters::in_memory(Arc::default());
            counters.add("b", &limit(3), 3, at(0));
            let asks = vec![ask("a", 3, act), ask("b", 3, act), ask("c", 3, act)];
            let verdicts = made(counters.decide(asks, together, at(0)));
            let allowed: Vec<_> = verdicts.iter().map(|verdict| verdict.is_allowed).collect();
            assert_eq!(allowed, [true, false]);
            assert_eq!(remaining(&counters, "a", 3, 0), left, "{act:?}");
            assert_eq!(remaining(&counters, "c", 3, 0), 3);
        }
    }
}

#[test]
fn a_reservation_is_given_back_when_it_is_dropped_and_replaced_when_it_is_settled() {
    let counters = Counters::in_memory(Arc::default());
    let reserve = |amount| {
        let act = Act::Reserve {
            amount,
            lease_ms: 500,
        };
        let mut verdicts = made(counters.decide(vec![ask("k", 10, act)], Together::AllOrNone, at(0)));
        verdicts.pop().unwrap().reservation
    };
    let first = reserve(8).unwrap();
    assert!(reserve(3).is_none());
    assert_eq!(first.amount(), 8);
    drop(first);
    assert_eq!(remaining(&counters, "k", 10, 0), 10);
    reserve(3).unwrap().settle(25, at(1));
    assert_eq!(remaining(&counters, "k", 10, 2), 0);
    assert_eq!(remaining(&counters, "k", 10, 1000), 10);
}

#[test]
fn a_place_is_free_again_when_it_is_dropped() {
    let counters = Counters::in_memory(Arc::default());
    let enter = |keys: &[&str]| {
        let places = keys.iter().map(|key| Enter {
            key: (*key).into(),
            limit: 1,
            lease_ms: 1000,
        });
        made(counters.enter(places.collect(), at(0)))
    };
    let first = enter(&["a"]);
    assert!(first[0].place.is_some());
    // Who got in at one and not at the other is in at none once the answers are dropped.
    let second = enter(&["b", "a", "c"]);
    assert_eq!(second.len(), 2);
    assert!(second[0].place.is_some() && second[1].place.is_none());
    drop(second);
    assert!(enter(&["b"])[0].place.is_some());
    drop(first);
    assert_eq!(enter(&["a"])[0].taken, 1);
}

#[test]
fn threads_together_never_get_more_than_the_limit() {
    let counters = Counters::in_memory(Arc::default());
    let allowed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let take = || vec![ask("k", 100, Act::Take(1))];
                    (0..50)
                        .filter(|_| made(counters.decide(take(), Together::InTurn, at(0)))[0].is_allowed)
                        .count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(allowed, 100);
}
