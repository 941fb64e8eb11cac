//! The soak: many calls of every kind through the real binary, after which everybody who counts must have counted the same, and
//! nothing is left behind.
//!
//! 2,000 calls and five seconds in the ordinary tests; `make soak` makes 100,000 and lasts five minutes. `TOLLGATE_SOAK_CALLS`,
//! `TOLLGATE_SOAK_SECONDS` and `TOLLGATE_SOAK_SEED` choose others. What the gateway may say about usage when an answer was cut is
//! stated in docs/prices.md.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test that tells how far it is, and whose clients keep a pace"
)]

mod books;
mod client;
mod gateway;
mod plan;
mod vendor;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gateway::{Gateway, Held};
use plan::{Mix, Plan};

/// Calls at the same time.
const CLIENTS: usize = 24;

#[test]
fn everybody_counts_the_same() {
    let plan = Plan {
        seed: number("TOLLGATE_SOAK_SEED", 1),
        mix: Mix::Everything,
    };
    let calls = usize::try_from(number("TOLLGATE_SOAK_CALLS", 2_000)).expect("a number of calls");
    eprintln!("{calls} calls, TOLLGATE_SOAK_SEED={}", plan.seed);
    let (address, books) = vendor::start(plan);
    let gateway = Gateway::start(address);
    let next = AtomicUsize::new(0);
    let mut seen = make(plan, &gateway, &books, &next, Duration::ZERO, |number| {
        number < calls
    });
    seen.sort_unstable_by_key(|(number, _)| *number);
    let metrics = gateway.metrics(calls);
    let (lines, ledger) = gateway.end();
    let totals = books::compare(plan, &seen, &books, &lines);
    totals.compare_with_ledger(&ledger);
    totals.compare_with_metrics(&metrics);
}

/// Full load tells how much that is. Then half of it goes on, and between rounds of it, when all calls have ended, the process holds
/// what it held after the first one. As many calls fail as were made to fail.
#[test]
fn half_the_load_with_one_fault_in_a_hundred_leaves_nothing_behind() {
    const ROUNDS: u32 = 5;
    let plan = Plan {
        seed: number("TOLLGATE_SOAK_SEED", 1),
        mix: Mix::OneFaultInAHundred,
    };
    let round = Duration::from_secs(number("TOLLGATE_SOAK_SECONDS", 5)) / (ROUNDS + 1);
    let (address, books) = vendor::start(plan);
    let gateway = Gateway::start(address);
    let next = AtomicUsize::new(0);

    let begun = Instant::now();
    let mut seen = make(plan, &gateway, &books, &next, Duration::ZERO, |_| {
        begun.elapsed() < round
    });
    // From call to call of one client: twice the time that it took at full load.
    let pause = begun
        .elapsed()
        .mul_f64(2.0 * CLIENTS as f64 / seen.len().max(1) as f64);
    // Kept connections to the vendor, and the answers of the last clients.
    let mut most = gateway.held(seen.len(), usize::MAX).descriptors + 2 * CLIENTS;
    let mut held: Vec<Held> = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        seen.extend(make(plan, &gateway, &books, &next, pause, |_| {
            begun.elapsed() < round
        }));
        let now = gateway.held(seen.len(), most);
        eprintln!("{} calls: {now:?}", seen.len());
        most = most.min(now.descriptors + 2 * CLIENTS);
        held.push(now);
    }
    seen.sort_unstable_by_key(|(number, _)| *number);
    let metrics = gateway.metrics(seen.len());
    let (lines, ledger) = gateway.end();
    let totals = books::compare(plan, &seen, &books, &lines);
    totals.compare_with_ledger(&ledger);
    totals.compare_with_metrics(&metrics);

    let faults = seen
        .iter()
        .filter(|(number, _)| plan.call(*number).is_faulty())
        .count();
    assert_eq!(
        totals.errors(),
        faults as u64,
        "calls that were made to fail, and no others"
    );
    let (first, last) = (held.first().expect("a round"), held.last().expect("a round"));
    assert!(
        last.descriptors <= first.descriptors + 2 * CLIENTS,
        "{first:?} {last:?}"
    );
    assert!(last.threads <= first.threads, "{first:?} {last:?}");
    let most = first.memory_kib + first.memory_kib / 10 + MEMORY_SLACK_KIB;
    assert!(last.memory_kib <= most, "{first:?} {last:?}");
}

/// What an allocator may keep for itself, and caches that are not full after the first round.
const MEMORY_SLACK_KIB: usize = 8 * 1024;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// All clients make calls, one after the other, as long as they may begin the next one, each of them no more than one in `pause`. Gives
/// what they have seen.
fn make(
    plan: Plan,
    gateway: &Gateway,
    books: &vendor::Books,
    next: &AtomicUsize,
    pause: Duration,
    may_begin: impl Fn(usize) -> bool + Sync,
) -> Vec<(usize, client::Seen)> {
    let (begun, may_begin) = (Instant::now(), &may_begin);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(move || {
                    let mut seen = Vec::new();
                    let mut begins = begun;
                    loop {
                        thread::sleep(begins.saturating_duration_since(Instant::now()));
                        begins += pause;
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if !may_begin(number) {
                            return seen;
                        }
                        if number > 0 && number.is_multiple_of(5_000) {
                            eprintln!("{number} calls");
                        }
                        let call = plan.call(number);
                        seen.push((number, client::make(&call, gateway.address, books)));
                    }
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client"))
            .collect()
    })
}
