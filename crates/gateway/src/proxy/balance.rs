//! Chooses a node for a call, and another one when that failed.
//!
//! What balancers remember hangs on the nodes' names and outlives changes of the configuration: a node that is added or
//! removed does not restart anything for the others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::node::Node;
use super::ring::{self, Ring};

/// How fast measured times are forgotten: after this time an old one counts for about a third.
const DECAY: Duration = Duration::from_secs(10);

/// What a failed try counts as at least, so that a node that fails fast does not look fast.
const FAILURE_COUNTS_AS: Duration = Duration::from_secs(1);

/// What is known about the nodes of an upstream.
#[derive(Default)]
pub struct Memory {
    nodes: Mutex<HashMap<Arc<str>, Arc<NodeState>>>,
}

/// What is known about one node.
#[derive(Default)]
pub struct NodeState {
    /// Its credit in the smooth weighted round robin.
    credit: AtomicI64,
    /// Calls it is answering.
    in_flight: AtomicUsize,
    /// How long it takes.
    latency: Mutex<Option<Latency>>,
}

#[derive(Clone, Copy)]
struct Latency {
    seconds: f64,
    at: Instant,
}

/// A call that a node is answering. Dropping it ends that.
pub struct InFlight(Arc<NodeState>);

/// How nodes are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// In turn, by weight.
    RoundRobin,
    /// By a key of the call.
    ConsistentHash,
    /// The one with the fewest calls under way for its weight.
    LeastConnections,
    /// The faster one of two taken at random.
    Ewma,
}

/// Chooses among the nodes of an upstream.
pub struct Balancer {
    method: Method,
    nodes: Vec<Node>,
    /// Highest priority first.
    tiers: Vec<Tier>,
    /// Makes one choice at a time see the other's.
    turn: Mutex<()>,
    /// Numbers the choices that are left to chance.
    draws: AtomicU64,
}

struct Tier {
    members: Vec<usize>,
    ring: Option<Ring>,
}

impl Memory {
    /// What is known about these nodes; the rest is forgotten unless it is in use.
    pub fn of(&self, names: &[Arc<str>]) -> Vec<Arc<NodeState>> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|name, state| names.contains(name) || Arc::strong_count(state) > 1);
        names
            .iter()
            .map(|name| nodes.entry(name.clone()).or_default().clone())
            .collect()
    }
}

impl Balancer {
    /// A balancer over nodes, all of which have a weight.
    pub fn new(method: Method, nodes: Vec<Node>) -> Self {
        let mut priorities: Vec<i32> = nodes.iter().map(|node| node.priority).collect();
        priorities.sort_unstable_by(|a, b| b.cmp(a));
        priorities.dedup();
        let tiers = priorities
            .into_iter()
            .map(|priority| {
                let members: Vec<usize> = (0..nodes.len())
                    .filter(|index| nodes[*index].priority == priority)
                    .collect();
                let ring = (method == Method::ConsistentHash).then(|| {
                    Ring::new(
                        members
                            .iter()
                            .map(|index| (*index, &*nodes[*index].name, nodes[*index].weight)),
                    )
                });
                Tier { members, ring }
            })
            .collect();
        Balancer {
            method,
            nodes,
            tiers,
            turn: Mutex::new(()),
            draws: AtomicU64::new(0),
        }
    }

    /// Whether calls are told apart by a key.
    pub fn needs_key(&self) -> bool {
        self.method == Method::ConsistentHash && self.nodes.len() > 1
    }

    /// The nodes that take calls.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The next node for a call that has tried these; `None` when there is no other. A single node is tried again. `key` is
    /// what the consistent hash is made of.
    pub fn pick(&self, tried: &[usize], key: &[u8]) -> Option<usize> {
        if self.nodes.len() == 1 {
            return Some(0);
        }
        self.tiers.iter().find_map(|tier| self.pick_in(tier, tried, key))
    }

    fn pick_in(&self, tier: &Tier, tried: &[usize], key: &[u8]) -> Option<usize> {
        let untried = tier.members.iter().copied().filter(|node| !tried.contains(node));
        match self.method {
            Method::RoundRobin => {
                let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
                self.next_in_turn(untried)
            }
            Method::ConsistentHash => tier
                .ring
                .as_ref()?
                .from(ring::hash(key))
                .find(|node| !tried.contains(node)),
            Method::LeastConnections => {
                let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
                // Calls end at any time: each load is looked at once.
                let loads: Vec<(usize, f64)> = untried.map(|node| (node, self.load(node))).collect();
                let least = loads.iter().map(|(_, load)| *load).min_by(f64::total_cmp)?;
                self.next_in_turn(
                    loads
                        .iter()
                        .filter(|(_, load)| *load <= least)
                        .map(|(node, _)| *node),
                )
            }
            Method::Ewma => {
                let choices: Vec<usize> = untried.collect();
                let (first, second) = self.two_of(&choices)?;
                let now = Instant::now();
                let typical = self.typical_latency(&choices, now);
                let cost = |node: usize| self.latency(node, now).unwrap_or(typical) * self.load(node);
                Some(if cost(second) < cost(first) { second } else { first })
            }
        }
    }

    /// The next of these in a smooth weighted round robin. Only while holding the turn.
    fn next_in_turn(&self, nodes: impl Iterator<Item = usize>) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for index in nodes {
            let node = &self.nodes[index];
            let weight = i64::from(node.weight);
            let credit = node.state.credit.fetch_add(weight, Ordering::Relaxed) + weight;
            total += weight;
            if best.is_none_or(|(_, most)| credit > most) {
                best = Some((index, credit));
            }
        }
        let (index, _) = best?;
        self.nodes[index].state.credit.fetch_sub(total, Ordering::Relaxed);
        Some(index)
    }

    /// Calls under way for its weight, one more included.
    fn load(&self, node: usize) -> f64 {
        let node = &self.nodes[node];
        (node.state.in_flight.load(Ordering::Relaxed) + 1) as f64 / f64::from(node.weight)
    }

    fn two_of(&self, choices: &[usize]) -> Option<(usize, usize)> {
        let count = choices.len() as u64;
        if count < 2 {
            return choices.first().map(|only| (*only, *only));
        }
        let draw = ring::mixed(self.draws.fetch_add(1, Ordering::Relaxed));
        let first = draw % count;
        let second = (first + 1 + (draw >> 32) % (count - 1)) % count;
        Some((choices[first as usize], choices[second as usize]))
    }

    /// What a node is expected to take, in seconds; `None` if it was not measured yet.
    fn latency(&self, node: usize, now: Instant) -> Option<f64> {
        let measured = *self.nodes[node]
            .state
            .latency
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        measured.map(|latency| latency.seconds * weight_after(now.saturating_duration_since(latency.at)))
    }

    /// What a node that was not measured yet is expected to take: as long as the others.
    fn typical_latency(&self, nodes: &[usize], now: Instant) -> f64 {
        let known: Vec<f64> = nodes.iter().filter_map(|node| self.latency(*node, now)).collect();
        if known.is_empty() {
            return 1.0;
        }
        known.iter().sum::<f64>() / known.len() as f64
    }
}

impl NodeState {
    /// The node is given a call.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// The node answered, or failed, after this time.
    pub fn measured(&self, took: Duration, failed: bool) {
        self.measured_at(Instant::now(), took, failed);
    }

    fn measured_at(&self, now: Instant, took: Duration, failed: bool) {
        let took = if failed { took.max(FAILURE_COUNTS_AS) } else { took }.as_secs_f64();
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = match *latency {
            Some(before) => {
                let weight = weight_after(now.saturating_duration_since(before.at));
                let smoothed = before.seconds * weight + took * (1.0 - weight);
                // A peak counts at once; that it is over has to show.
                smoothed.max(took)
            }
            None => took,
        };
        *latency = Some(Latency { seconds, at: now });
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn weight_after(age: Duration) -> f64 {
    (-age.as_secs_f64() / DECAY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use http::HeaderValue;

    use super::{Balancer, DECAY, Memory, Method};
    use crate::proxy::node::Node;

    /// Nodes of these names, weights and priorities.
    fn balancer(memory: &Memory, method: Method, nodes: &[(&str, u32, i32)]) -> Balancer {
        let names: Vec<Arc<str>> = nodes.iter().map(|(name, ..)| Arc::from(*name)).collect();
        let states = memory.of(&names);
        let nodes = nodes
            .iter()
            .zip(states)
            .map(|((name, weight, priority), state)| Node {
                name: Arc::from(*name),
                host: (*name).to_owned(),
                port: 80,
                authority: HeaderValue::from_static("node"),
                weight: *weight,
                priority: *priority,
                state,
            });
        Balancer::new(method, nodes.collect())
    }

    fn names(balancer: &Balancer, picks: usize) -> String {
        (0..picks)
            .map(|_| {
                let node = balancer.pick(&[], b"").unwrap();
                balancer.nodes()[node].name.to_string()
            })
            .collect()
    }

    #[test]
    fn turns_are_spread_evenly_and_by_weight() {
        let memory = Memory::default();
        let balancer = balancer(
            &memory,
            Method::RoundRobin,
            &[("a", 5, 0), ("b", 1, 0), ("c", 1, 0)],
        );
        assert_eq!(names(&balancer, 14), "aabacaaaabacaa");
        let many = names(&balancer, 7_000);
        assert_eq!(many.matches('a').count(), 5_000);
        assert_eq!(many.matches('b').count(), 1_000);
    }

    #[test]
    fn a_change_of_the_nodes_does_not_restart_the_turns() {
        let memory = Memory::default();
        let before = balancer(&memory, Method::RoundRobin, &[("a", 1, 0), ("b", 1, 0)]);
        assert_eq!(names(&before, 3), "aba");
        let after = balancer(&memory, Method::RoundRobin, &[("a", 1, 0), ("b", 1, 0)]);
        assert_eq!(names(&after, 2), "ba", "b is next, not a again");
    }

    #[test]
    fn a_lower_priority_is_used_only_when_every_node_of_a_higher_one_has_failed() {
        for method in [
            Method::RoundRobin,
            Method::ConsistentHash,
            Method::LeastConnections,
            Method::Ewma,
        ] {
            let balancer = balancer(
                &Memory::default(),
                method,
                &[("low", 9, -1), ("a", 1, 0), ("b", 1, 0)],
            );
            for key in 0..1_000_u32 {
                let key = key.to_le_bytes();
                let mut tried = Vec::new();
                while let Some(node) = balancer.pick(&tried, &key) {
                    tried.push(node);
                }
                assert_eq!(tried.len(), 3, "every node is tried once");
                assert_eq!(tried[2], 0, "{method:?}");
            }
        }
    }

    #[test]
    fn a_single_node_is_tried_again() {
        let balancer = balancer(&Memory::default(), Method::RoundRobin, &[("a", 1, 0)]);
        assert_eq!(balancer.pick(&[0], b""), Some(0));
    }

    #[test]
    fn a_key_stays_with_its_node() {
        let balancer = balancer(
            &Memory::default(),
            Method::ConsistentHash,
            &[("a", 1, 0), ("b", 1, 0)],
        );
        let mut used = [0; 2];
        for key in 0..2_000_u32 {
            let key = key.to_le_bytes();
            let node = balancer.pick(&[], &key).unwrap();
            assert_eq!(balancer.pick(&[], &key), Some(node));
            used[node] += 1;
        }
        assert!(used.iter().all(|count| *count > 700), "{used:?}");
    }

    #[test]
    fn the_node_with_the_fewest_calls_under_way_is_next() {
        let balancer = balancer(
            &Memory::default(),
            Method::LeastConnections,
            &[("a", 1, 0), ("b", 2, 0)],
        );
        let mut held = Vec::new();
        let mut counts = [0; 2];
        for _ in 0..3_000 {
            let node = balancer.pick(&[], b"").unwrap();
            counts[node] += 1;
            held.push((node, balancer.nodes()[node].state.begin()));
        }
        assert_eq!(counts, [1_000, 2_000]);
        held.retain(|(node, _)| *node == 0);
        for _ in 0..1_000 {
            assert_eq!(
                balancer.pick(&[], b""),
                Some(1),
                "a has calls under way, b has none"
            );
        }
    }

    #[test]
    fn a_slow_node_gets_less_until_its_slowness_is_forgotten() {
        let balancer = balancer(&Memory::default(), Method::Ewma, &[("a", 1, 0), ("b", 1, 0)]);
        let now = Instant::now();
        let state = |node: usize| &balancer.nodes()[node].state;
        state(0).measured_at(now, Duration::from_millis(500), false);
        state(1).measured_at(now, Duration::from_millis(20), false);
        assert_eq!(names(&balancer, 1_000).matches('b').count(), 1_000);
        let peak = balancer.latency(0, now).unwrap();
        state(0).measured_at(now + DECAY * 10, Duration::from_millis(1), false);
        assert!(balancer.latency(0, now + DECAY * 10).unwrap() < peak / 100.0);
        state(1).measured_at(now, Duration::from_millis(1), true);
        assert!(
            balancer.latency(1, now).unwrap() >= 1.0,
            "failing fast is not being fast"
        );
    }
}
