//! Model checks of limits: calls that reserve, settle, release and are lost, in an order that a seed decides, under a clock that
//! stands still between their steps. What the counters say is compared after every step with books that know everything.
//!
//! Every change of a count happens under one lock, so the steps of calls on many cores are a sequence of such steps; the
//! simulation tries many sequences. Where several locks are taken one after the other (`Together::AllOrNone`), real threads do it.
//!
//! `TOLLGATE_SIMULATION_SEEDS` chooses how many seeds are tried.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use super::*;

/// A small generator of numbers that look random (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

fn seeds() -> u64 {
    let told = std::env::var("TOLLGATE_SIMULATION_SEEDS").ok();
    told.map_or(400, |text| text.parse().expect("a number of seeds"))
}

fn made<T>(decision: Decision<T>) -> T {
    match decision {
        Decision::Made(answer) => answer,
        Decision::Later(_) => panic!("memory knows at once"),
    }
}

/// What is known of one window: the sums of what calls have done, by the end of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Book {
    /// What is reserved and not over.
    held: u64,
    /// What was charged.
    charged: u64,
    /// How much of that nobody had reserved: it may go over the limit.
    unreserved: u64,
}

/// A call that has reserved.
struct Call {
    /// `None` once the call is lost: nobody will settle it or give it back.
    reservation: Option<Reservation>,
    amount: u64,
    /// End of the window that it was admitted in.
    end_ms: u64,
    /// When its reservation is over by itself.
    until_ms: u64,
    is_over: bool,
}

struct World {
    counters: Counters,
    limit: Limit,
    now_ms: u64,
    calls: Vec<Call>,
    books: BTreeMap<u64, Book>,
}

const KEY: &str = "somebody";

impl World {
    fn new(limit: Limit) -> Self {
        World {
            counters: Counters::in_memory(Arc::default()),
            limit,
            now_ms: 1_700_000_000_000,
            calls: Vec::new(),
            books: BTreeMap::new(),
        }
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.now_ms)
    }

    /// What is left, and the end of the window that it is left of.
    fn look(&self) -> (u64, u64) {
        let asks = vec![Ask::peek(KEY.to_owned(), self.limit)];
        let verdict = &made(self.counters.decide(asks, Together::InTurn, self.now()))[0];
        let end_ms = match self.limit.windows {
            Windows::Fixed => self.now_ms + verdict.reset_ms,
            Windows::Sliding => (self.now_ms / self.limit.window_ms + 1) * self.limit.window_ms,
        };
        (verdict.remaining, end_ms)
    }

    fn begin(&mut self, amount: u64, lease_ms: u64) {
        let (_, end_ms) = self.look();
        let asks = vec![Ask {
            key: KEY.into(),
            limit: self.limit,
            act: Act::Reserve { amount, lease_ms },
        }];
        let mut verdicts = made(self.counters.decide(asks, Together::AllOrNone, self.now()));
        let verdict = verdicts.pop().expect("an answer");
        assert_eq!(verdict.is_allowed, verdict.reservation.is_some());
        if let Some(reservation) = verdict.reservation {
            let book = self.books.entry(end_ms).or_default();
            book.held += amount;
            // The bound: who is admitted fits together with everything that was charged and is held.
            assert!(book.held + book.charged <= self.limit.amount, "{book:?}");
            self.calls.push(Call {
                reservation: Some(reservation),
                amount,
                end_ms,
                until_ms: self.now_ms + lease_ms,
                is_over: false,
            });
        }
    }

    fn settle(&mut self, call: Call, used: u64) {
        let (_, end_ms) = self.look();
        let Some(reservation) = call.reservation else {
            return;
        };
        reservation.settle(used, self.now());
        let is_of_now = call.end_ms == end_ms;
        let is_held = is_of_now && !call.is_over;
        let beyond = used.saturating_sub(call.amount);
        let book = self.books.entry(end_ms).or_default();
        if is_held {
            book.held -= call.amount;
        }
        let charged = if is_of_now { used } else { beyond };
        book.charged += charged;
        book.unreserved += if is_held { beyond } else { charged };
    }

    fn release(&mut self, call: Call) {
        drop(call.reservation);
        if !call.is_over
            && let Some(book) = self.books.get_mut(&call.end_ms)
        {
            book.held -= call.amount;
        }
    }

    fn add(&mut self, amount: u64) {
        let (_, end_ms) = self.look();
        self.counters.add(KEY, &self.limit, amount, self.now());
        let book = self.books.entry(end_ms).or_default();
        book.charged += amount;
        book.unreserved += amount;
    }

    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        for call in self.calls.iter_mut().filter(|call| !call.is_over) {
            if call.until_ms <= self.now_ms {
                call.is_over = true;
                if let Some(book) = self.books.get_mut(&call.end_ms) {
                    book.held -= call.amount;
                }
            }
        }
        self.calls
            .retain(|call| !call.is_over || call.reservation.is_some());
    }

    /// Compares what the counters say with the books.
    fn check(&self) {
        let (remaining, end_ms) = self.look();
        let book = self.books.get(&end_ms).copied().unwrap_or_default();
        let left = self.limit.amount.saturating_sub(book.held + book.charged);
        match self.limit.windows {
            Windows::Fixed => assert_eq!(remaining, left, "{book:?}"),
            // The window before counts too, in part.
            Windows::Sliding => assert!(remaining <= left, "{remaining} of {left}: {book:?}"),
        }
        assert!(
            book.charged + book.held <= self.limit.amount + book.unreserved,
            "{book:?}"
        );
    }

    fn step(&mut self, numbers: &mut Numbers) {
        let window_ms = self.limit.window_ms;
        let most = self.limit.amount;
        // One of those that can still do something.
        let chosen = |calls: &mut Vec<Call>, numbers: &mut Numbers| {
            let place = usize::try_from(numbers.below(calls.len().max(1) as u64)).expect("a place");
            let is_there = calls.get(place).is_some_and(|call| call.reservation.is_some());
            is_there.then(|| calls.swap_remove(place))
        };
        match numbers.below(12) {
            0..5 => self.begin(1 + numbers.below(most), 1 + numbers.below(2 * window_ms)),
            5 | 6 => {
                if let Some(call) = chosen(&mut self.calls, numbers) {
                    // Less than was reserved, as much, or more.
                    let used = numbers.below(call.amount * 2);
                    self.settle(call, used);
                }
            }
            7 | 8 => {
                if let Some(call) = chosen(&mut self.calls, numbers) {
                    self.release(call);
                }
            }
            9 => {
                if let Some(call) = self.calls.last_mut() {
                    // Its process was killed, say: it neither settles nor gives back.
                    forget(call.reservation.take());
                }
            }
            10 => self.add(numbers.below(most / 2 + 1)),
            _ => self.wait(numbers.below(window_ms / 2)),
        }
        self.check();
    }
}

#[test]
fn what_is_admitted_fits_and_nothing_leaks_in_any_order_of_steps() {
    for seed in 0..seeds() {
        let mut numbers = Numbers(seed);
        let windows = [Windows::Fixed, Windows::Sliding][usize::try_from(seed % 2).expect("0 or 1")];
        let limit = Limit {
            amount: [1, 10, 1_000, MAX_AMOUNT / 4][usize::try_from(numbers.below(4)).expect("a place")],
            window_ms: 1_000,
            windows,
        };
        let mut world = World::new(limit);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..300 {
                world.step(&mut numbers);
            }
            // Everybody leaves, and the leases of those who cannot run out: nothing is held for nobody.
            while let Some(place) = world.calls.iter().position(|call| call.reservation.is_some()) {
                let call = world.calls.swap_remove(place);
                world.release(call);
                world.check();
            }
            while let Some(call) = world.calls.first() {
                world.wait(call.until_ms.saturating_sub(world.now_ms));
                world.check();
            }
            world.wait(2 * limit.window_ms);
            assert_eq!(world.look().0, limit.amount, "something is held for nobody");
        }));
        assert!(result.is_ok(), "seed {seed}, {limit:?}");
    }
}

#[test]
fn a_clock_that_is_set_back_or_forth_holds_nothing_for_longer_than_a_window() {
    for seed in 0..seeds() {
        let mut numbers = Numbers(seed);
        let limit = Limit {
            amount: 10,
            window_ms: 1_000,
            windows: [Windows::Fixed, Windows::Sliding][usize::try_from(seed % 2).expect("0 or 1")],
        };
        let counters = Counters::in_memory(Arc::default());
        let mut now_ms: u64 = 1_700_000_000_000;
        let mut held = Vec::new();
        let ask = |act, now_ms| {
            let asks = vec![Ask {
                key: KEY.into(),
                limit,
                act,
            }];
            let now = UNIX_EPOCH + Duration::from_millis(now_ms);
            made(counters.decide(asks, Together::AllOrNone, now))
                .pop()
                .expect("an answer")
        };
        for _ in 0..200 {
            match numbers.below(4) {
                0 => now_ms -= numbers.below(3_600_000),
                1 => now_ms += numbers.below(3_600_000),
                _ => {
                    let amount = 1 + numbers.below(10);
                    let act = Act::Reserve {
                        amount,
                        lease_ms: 1_000,
                    };
                    held.extend(ask(act, now_ms).reservation);
                    let now = UNIX_EPOCH + Duration::from_millis(now_ms);
                    if let Some(reservation) = held.pop()
                        && numbers.below(2) == 0
                    {
                        reservation.settle(numbers.below(20), now);
                    }
                }
            }
            let verdict = ask(Act::Take(0), now_ms);
            assert!(
                verdict.remaining <= limit.amount && verdict.reset_ms <= limit.window_ms,
                "seed {seed}"
            );
        }
        // From here on the clock goes as it should; two windows later nothing is left of all this, whoever still holds something.
        now_ms += 2 * limit.window_ms;
        assert_eq!(ask(Act::Take(0), now_ms).remaining, limit.amount, "seed {seed}");
    }
}

/// Several limits are asked one after the other, each under its own lock, by threads that name them in different orders.
#[test]
fn limits_that_are_asked_together_are_neither_exceeded_nor_leaked_by_real_threads() {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    let limit = Limit {
        amount: 100,
        window_ms: 1_000_000,
        windows: Windows::Fixed,
    };
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let counters = Counters::in_memory(Arc::default());
    // At most what is really held, because it is added after and taken away before.
    let held: [AtomicU64; 3] = Default::default();
    let charged: [AtomicU64; 3] = Default::default();
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (counters, held, charged) = (&counters, &held, &charged);
            scope.spawn(move || {
                let mut numbers = Numbers(thread);
                for _ in 0..2_000 {
                    let first = usize::try_from(numbers.below(3)).expect("a place");
                    let amount = 1 + numbers.below(60);
                    let places = [first, (first + 1) % 3, (first + 2) % 3];
                    let asks = places.map(|place| Ask {
                        key: KEYS[place].into(),
                        limit,
                        act: Act::Reserve {
                            amount,
                            lease_ms: 1_000_000,
                        },
                    });
                    let verdicts = made(counters.decide(asks.to_vec(), Together::AllOrNone, now));
                    let reservations: Vec<_> = verdicts.into_iter().filter_map(|it| it.reservation).collect();
                    assert!(reservations.is_empty() || reservations.len() == 3, "all or none");
                    for (place, reservation) in places.into_iter().zip(reservations) {
                        let sum = held[place].fetch_add(amount, Ordering::SeqCst) + amount;
                        assert!(sum <= limit.amount, "{sum} are held at the same time");
                        held[place].fetch_sub(amount, Ordering::SeqCst);
                        if numbers.below(400) == 0 {
                            charged[place].fetch_add(1, Ordering::SeqCst);
                            reservation.settle(1, now);
                        }
                    }
                }
            });
        }
    });
    for (key, charged) in KEYS.iter().zip(&charged) {
        let asks = vec![Ask::peek((*key).to_owned(), limit)];
        let remaining = made(counters.decide(asks, Together::InTurn, now))[0].remaining;
        let expected = limit.amount.saturating_sub(charged.load(Ordering::SeqCst));
        assert_eq!(remaining, expected, "{key} holds something for nobody");
    }
}

#[test]
fn places_are_neither_exceeded_nor_leaked_by_real_threads() {
    let counters = Counters::in_memory(Arc::default());
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let enter = |key: &str| Enter {
        key: key.into(),
        limit: 3,
        lease_ms: u64::MAX,
    };
    let inside: [AtomicU64; 2] = Default::default();
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (counters, inside) = (&counters, &inside);
            scope.spawn(move || {
                for number in 0..2_000 {
                    let places = if (thread + number).is_multiple_of(2) {
                        [0, 1]
                    } else {
                        [1, 0]
                    };
                    let enters = places.map(|place| enter(["a", "b"][place])).to_vec();
                    let entered = made(counters.enter(enters, now));
                    if entered.iter().filter(|one| one.place.is_some()).count() < 2 {
                        continue;
                    }
                    for place in inside {
                        assert!(
                            place.fetch_add(1, Ordering::SeqCst) < 3,
                            "more are in than may be"
                        );
                    }
                    std::thread::yield_now();
                    for place in inside {
                        place.fetch_sub(1, Ordering::SeqCst);
                    }
                    drop(entered);
                }
            });
        }
    });
    for key in ["a", "b"] {
        assert_eq!(made(counters.enter(vec![enter(key)], now))[0].taken, 1, "{key}");
    }
}
