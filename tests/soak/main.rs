//! The soak: many calls of every kind through the real binary, after which everybody who counts must have counted the same.
//!
//! 2,000 calls in the ordinary tests; `make soak` makes 100,000. `TOLLGATE_SOAK_CALLS` and `TOLLGATE_SOAK_SEED` choose others.
//! What the gateway may say about usage when an answer was cut is stated in docs/prices.md.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that tells how far it is"
)]

mod books;
mod client;
mod gateway;
mod plan;
mod vendor;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use gateway::Gateway;
use plan::Call;

/// Calls at the same time.
const CLIENTS: usize = 24;

#[test]
fn everybody_counts_the_same() {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().expect("a number"))
    };
    let seed = number("TOLLGATE_SOAK_SEED", 1);
    let calls = usize::try_from(number("TOLLGATE_SOAK_CALLS", 2_000)).expect("a number of calls");
    eprintln!("{calls} calls, TOLLGATE_SOAK_SEED={seed}");
    let (address, books) = vendor::start(seed);
    let gateway = Gateway::start(address);
    let next = AtomicUsize::new(0);
    let mut seen: Vec<(usize, client::Seen)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= calls {
                            return seen;
                        }
                        if number > 0 && number.is_multiple_of(5_000) {
                            eprintln!("{number} of {calls} calls");
                        }
                        let call = Call::new(seed, number);
                        seen.push((number, client::make(&call, gateway.address, &books)));
                    }
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client"))
            .collect()
    });
    seen.sort_unstable_by_key(|(number, _)| *number);
    let metrics = gateway.metrics(calls);
    let (lines, ledger) = gateway.end();
    let totals = books::compare(seed, &seen, &books, &lines);
    totals.compare_with_ledger(&ledger);
    totals.compare_with_metrics(&metrics);
}
