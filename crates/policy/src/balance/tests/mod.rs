mod keys;
mod load;
mod properties;
mod turns;

use std::sync::Arc;
use std::time::Instant;

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
            barred: &|_| false,
            peeks: false,
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
