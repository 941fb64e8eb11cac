//! How long it takes to choose a member of a pool: `cargo bench -p tollgate-policy --bench balance`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "prints figures")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tollgate_policy::balance::{Algorithm, Ask, Balancer, Member, PoolMemory};

const PICKS: u32 = 1_000_000;

const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::RoundRobin,
    Algorithm::ConsistentHash,
    Algorithm::LeastBusy,
    Algorithm::LeastLatency,
    Algorithm::Ewma,
    Algorithm::LeastCost,
    Algorithm::PrefixAffinity,
];

fn main() {
    println!("ns per pick, of so many members   2     8    32   (8, from two threads)");
    for algorithm in ALGORITHMS {
        let [two, eight, many] = [2, 8, 32].map(|members| each(&pool(algorithm, members), PICKS));
        let shared = pool(algorithm, 8);
        let both = std::thread::scope(|scope| {
            [(); 2]
                .map(|()| scope.spawn(|| each(&shared, PICKS)))
                .map(|thread| thread.join().unwrap())
        });
        println!(
            "{:<28} {two:>6} {eight:>5} {many:>5}    {:>5}",
            format!("{algorithm:?}"),
            both[0].max(both[1])
        );
    }
}

/// Nanoseconds per pick, with the beginning and the end of the call.
fn each(balancer: &Balancer, picks: u32) -> u128 {
    let now = Instant::now();
    for draw in 0..picks {
        let key = draw.to_le_bytes();
        let prefix = [u64::from(draw % 100), u64::from(draw % 1_000) + 1_000];
        let member = balancer.pick(black_box(&Ask {
            tried: &[],
            usable: &|_| true,
            barred: &|_| false,
            peeks: false,
            key: &key,
            prefix: &prefix,
            streams: false,
            now,
            draw: u64::from(draw),
        }));
        let call = balancer.begin(member.unwrap(), false);
        call.answered(now, Duration::from_millis(u64::from(draw % 300)));
    }
    now.elapsed().as_nanos() / u128::from(picks)
}

fn pool(algorithm: Algorithm, count: u32) -> Balancer {
    let memory = Arc::new(PoolMemory::default());
    let names: Vec<Arc<str>> = (0..count)
        .map(|number| format!("instance-{number}").into())
        .collect();
    let members = names
        .iter()
        .zip(memory.of(&names))
        .zip(1..)
        .map(|((name, state), number)| Member {
            name: name.clone(),
            weight: number,
            priority: 0,
            cost: Some(f64::from(number % 4)),
            state,
        });
    Balancer::new(algorithm, members.collect(), memory)
}
