//! How long a look-up takes, and a change: `cargo bench -p tollgate-policy --bench router`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "this is a program for the terminal"
)]

use std::hint::black_box;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use tollgate_policy::router::{HostPattern, Pattern, Rank, Router};

const LOOKUPS: u32 = 1_000_000;
const CHANGES: u32 = 2_000;

fn main() {
    for size in [10, 100, 10_000] {
        lookups(size);
    }
    changes(10_000);
}

fn lookups(size: u64) {
    let router = filled(size);
    // Half of the paths are written out, half fall under an open end.
    let calls: Vec<(String, String)> = (0..size.min(1_000))
        .map(|index| index * (size / size.min(1_000)))
        .flat_map(|index| {
            [
                (host(index), path(index)),
                (host(index), format!("{}/more", path(index))),
            ]
        })
        .collect();
    let start = Instant::now();
    for (host, path) in calls.iter().cycle().take(LOOKUPS as usize) {
        black_box(router.find(black_box(host), black_box(path), |_| true).is_some());
    }
    let each = start.elapsed() / LOOKUPS;
    println!("{size:>6} routes: {:>6} ns per look-up", each.as_nanos());
}

fn changes(size: u64) {
    let published = RwLock::new(Arc::new(filled(size)));
    let start = Instant::now();
    for change in 0..CHANGES {
        let index = u64::from(change) * 7 % size;
        let mut router = Router::clone(&published.read().unwrap());
        let (host, pattern) = (HostPattern::parse(&host(index)).unwrap(), exact(index));
        router.remove(Some(&host), &pattern, |route| *route == index);
        insert(&mut router, index, &pattern);
        *published.write().unwrap() = Arc::new(router);
    }
    let each = start.elapsed() / CHANGES;
    let len = published.read().unwrap().len();
    println!(
        "{len:>6} patterns: {:>6.1} µs per clone, remove, insert and publish",
        each.as_secs_f64() * 1e6
    );
}

/// Each route has a host, a path written out and one with an open end.
fn filled(size: u64) -> Router<u64> {
    let mut router = Router::default();
    for index in 0..size {
        insert(&mut router, index, &exact(index));
        insert(
            &mut router,
            index,
            &Pattern::parse(&format!("{}/*", path(index))).unwrap(),
        );
    }
    router
}

fn insert(router: &mut Router<u64>, index: u64, pattern: &Pattern) {
    let host = HostPattern::parse(&host(index)).unwrap();
    let rank = Rank {
        priority: 0,
        sequence: index,
    };
    router.insert(Some(&host), pattern, rank, Arc::new(index));
}

fn exact(index: u64) -> Pattern {
    Pattern::parse(&path(index)).unwrap()
}

fn path(index: u64) -> String {
    format!("/tenants/{index}/v1/chat/completions")
}

fn host(index: u64) -> String {
    format!("api{}.example.com", index % 10)
}
