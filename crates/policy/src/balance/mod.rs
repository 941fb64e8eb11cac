//! Which member of a pool a call is given to, and which one next when that failed.
//!
//! A [`Balancer`] is made anew with each configuration. What it learned hangs on [`PoolMemory`], which outlives it: a member
//! that is added or removed does not restart anything for the others. Time and randomness are passed in.

mod member;
mod prefixes;
mod ring;
pub mod semantic;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use member::{InFlight, MemberState, PoolMemory};
pub use ring::{hash, mixed};

use ring::Ring;

/// How a member is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// In turn, by weight, spread evenly (NGINX's smooth weighted round robin).
    RoundRobin,
    /// By a key of the call; a member that comes, goes or is not usable moves only its own share of the keys.
    ConsistentHash,
    /// The one with the fewest calls under way for its weight.
    LeastBusy,
    /// The one with the shortest expected wait: measured time x calls under way, by weight. One that was not measured yet
    /// is tried first.
    LeastLatency,
    /// The one with the shorter expected wait of two taken at random.
    Ewma,
    /// The cheapest; equally cheap ones in turn. Those without a known price come last.
    LeastCost,
    /// The one that was last given the longest known prefix of the prompt, unless it has more than its share to do; else
    /// the least busy one.
    PrefixAffinity,
}

/// One of those that can take a call.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name, unique in the pool.
    pub name: Arc<str>,
    /// Share of the calls within its tier. 0 takes none, unless all of the tier are 0: then all have the same share.
    pub weight: u32,
    /// Its tier; larger is used first.
    pub priority: i64,
    /// What it asks for, in any unit that all members share; `None` if that is not known.
    pub cost: Option<f64>,
    /// What is known about it, from [`PoolMemory::of`].
    pub state: Arc<MemberState>,
}

/// What is asked of a balancer for one attempt.
pub struct Ask<'a> {
    /// Members that this call was given to already.
    pub tried: &'a [usize],
    /// Whether a member should take calls, such as by its health. Ignored when no member should.
    pub usable: &'a dyn Fn(usize) -> bool,
    /// Whether a member takes no calls in any case. Such a member is never usable.
    pub barred: &'a dyn Fn(usize) -> bool,
    /// Whether nothing comes of the choice: nobody's turn is taken, and nothing remembered.
    pub peeks: bool,
    /// What [`Algorithm::ConsistentHash`] goes by.
    pub key: &'a [u8],
    /// What [`Algorithm::PrefixAffinity`] goes by: a hash of each prefix of the prompt, the shortest first.
    pub prefix: &'a [u64],
    /// Whether the answer is to be a stream: those are measured apart.
    pub streams: bool,
    /// The time.
    pub now: Instant,
    /// A random number.
    pub draw: u64,
}

/// Chooses among the members of a pool.
pub struct Balancer {
    algorithm: Algorithm,
    members: Vec<Member>,
    /// Highest priority first.
    tiers: Vec<Tier>,
    memory: Arc<PoolMemory>,
}

/// The members of one priority that can be given calls.
struct Tier {
    members: Vec<usize>,
    /// Sum of the members' weights.
    weight: i64,
    /// Whether all have the same weight.
    are_equal: bool,
    /// Where they stand, if the algorithm is a hash.
    ring: Option<Ring>,
}

impl Balancer {
    /// A balancer over members, with what is remembered about their pool.
    pub fn new(algorithm: Algorithm, mut members: Vec<Member>, memory: Arc<PoolMemory>) -> Self {
        let mut priorities: Vec<i64> = members.iter().map(|member| member.priority).collect();
        priorities.sort_unstable_by_key(|priority| Reverse(*priority));
        priorities.dedup();
        let mut tiers = Vec::with_capacity(priorities.len());
        for priority in priorities {
            let mut of_tier: Vec<usize> = (0..members.len())
                .filter(|index| members[*index].priority == priority)
                .collect();
            if of_tier.iter().all(|index| members[*index].weight == 0) {
                of_tier.iter().for_each(|index| members[*index].weight = 1);
            }
            of_tier.retain(|index| members[*index].weight > 0);
            tiers.push(Tier::new(algorithm, of_tier, &members));
        }
        Balancer {
            algorithm,
            members,
            tiers,
            memory,
        }
    }

    /// The members, in the order in which they were given.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How it chooses, in words: the first usable tier, and within it this.
    pub fn words(&self) -> &'static str {
        match self.algorithm {
            Algorithm::RoundRobin => "turns by weight",
            Algorithm::ConsistentHash => "a hash of the call's key",
            Algorithm::LeastBusy => "fewest calls under way for its weight",
            Algorithm::LeastLatency => "shortest expected wait",
            Algorithm::Ewma => "shorter expected wait of two drawn at random",
            Algorithm::LeastCost => "least cost",
            Algorithm::PrefixAffinity => "the longest beginning of the prompt it has seen",
        }
    }

    /// Whether choices depend on [`Ask::key`].
    pub fn needs_key(&self) -> bool {
        self.algorithm == Algorithm::ConsistentHash && self.members.len() > 1
    }

    /// Whether choices depend on [`Ask::prefix`].
    pub fn needs_prefix(&self) -> bool {
        self.algorithm == Algorithm::PrefixAffinity && self.members.len() > 1
    }

    /// Counts a call as under way with a member until the guard is dropped; the guard also takes what is measured. For a
    /// member that does not exist it counts for nobody. `streams` is what was asked with ([`Ask::streams`]).
    pub fn begin(&self, member: usize, streams: bool) -> InFlight {
        let state = self.members.get(member).map(|member| member.state.clone());
        InFlight::new(state.unwrap_or_default(), streams, self.decay())
    }

    /// The next member for a call; `None` when there is none that it was not given to already.
    ///
    /// Of the highest tier that has a usable member left. When no member of the pool is usable, all are
    /// but those that are barred.
    pub fn pick(&self, ask: &Ask<'_>) -> Option<usize> {
        if self.algorithm == Algorithm::RoundRobin
            && ask.tried.is_empty()
            && let Some(next) = self.next_of_equals(ask)
        {
            return Some(next);
        }
        let (tier, open) = self.open(ask)?;
        if let [only] = open.as_slice()
            && self.algorithm != Algorithm::PrefixAffinity
        {
            return Some(*only);
        }
        match self.algorithm {
            Algorithm::RoundRobin => self.next_in_turn(tier, &open, ask.peeks),
            Algorithm::ConsistentHash => tier
                .ring
                .as_ref()?
                .from(hash(ask.key))
                .find(|member| open.contains(member)),
            Algorithm::LeastBusy => self.least(tier, &open, &self.loads(&open), ask.peeks),
            Algorithm::LeastLatency => self.least(tier, &open, &self.expected_waits(&open, ask), ask.peeks),
            Algorithm::Ewma => {
                let two = two_of(&open, ask.draw)?;
                self.least(tier, &two, &self.expected_waits(&two, ask), ask.peeks)
            }
            Algorithm::LeastCost => {
                let costs: Vec<f64> = open.iter().map(|member| self.cost(*member)).collect();
                self.least(tier, &open, &costs, ask.peeks)
            }
            Algorithm::PrefixAffinity => self.by_prefix(tier, &open, ask),
        }
    }

    /// The tier whose turn it is, and its members that the call can be given to; `None` if there are none.
    fn open(&self, ask: &Ask<'_>) -> Option<(&Tier, Vec<usize>)> {
        let first = |passes: &dyn Fn(usize) -> bool| {
            self.tiers.iter().find_map(|tier| {
                let open: Vec<usize> = tier
                    .members
                    .iter()
                    .copied()
                    .filter(|member| !ask.tried.contains(member) && passes(*member))
                    .collect();
                (!open.is_empty()).then_some((tier, open))
            })
        };
        if let Some(found) = first(ask.usable) {
            return Some(found);
        }
        let mut all = self.tiers.iter().flat_map(|tier| tier.members.iter());
        if all.any(|member| (ask.usable)(*member)) {
            return None;
        }
        first(&|member| !(ask.barred)(member))
    }

    /// The next usable member for a first attempt where all of a tier have the same share: the smooth weighted round robin goes
    /// through them one after the other then, so those that are not next need not be looked at. `None` where there is none, or
    /// shares differ.
    fn next_of_equals(&self, ask: &Ask<'_>) -> Option<usize> {
        for tier in &self.tiers {
            if !tier.are_equal {
                return None;
            }
            loop {
                let place = self.memory.place.load(Ordering::Relaxed);
                let first = place % tier.members.len().max(1);
                let (before, from) = tier.members.split_at_checked(first)?;
                let in_order = from.iter().chain(before).copied();
                let Some((passed, next)) = in_order.enumerate().find(|(_, member)| (ask.usable)(*member))
                else {
                    break;
                };
                let after = (first + passed + 1) % tier.members.len().max(1);
                let is_mine = ask.peeks
                    || self
                        .memory
                        .place
                        .compare_exchange_weak(place, after, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok();
                if is_mine {
                    return Some(next);
                }
            }
        }
        None
    }

    /// The next of these in the smooth weighted round robin of their tier.
    fn next_in_turn(&self, tier: &Tier, open: &[usize], peeks: bool) -> Option<usize> {
        let _turn = self.turn();
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for index in open.iter().copied() {
            let member = self.members.get(index)?;
            let weight = i64::from(member.weight);
            // Credit from before the weights changed counts for a round at most.
            let credit = member.state.credit().clamp(-tier.weight, tier.weight) + weight;
            if !peeks {
                member.state.set_credit(credit);
            }
            total += weight;
            if best.is_none_or(|(_, most)| credit > most) {
                best = Some((index, credit));
            }
        }
        let (index, credit) = best?;
        if !peeks {
            self.members.get(index)?.state.set_credit(credit - total);
        }
        Some(index)
    }

    /// The one of these with the least value; of several, the one whose turn it is.
    fn least(&self, tier: &Tier, open: &[usize], values: &[f64], peeks: bool) -> Option<usize> {
        let least = values.iter().copied().min_by(f64::total_cmp)?;
        let equal: Vec<usize> = open
            .iter()
            .zip(values)
            .filter(|(_, value)| **value <= least)
            .map(|(member, _)| *member)
            .collect();
        match equal.as_slice() {
            [only] => Some(*only),
            several => self.next_in_turn(tier, several, peeks),
        }
    }

    /// The member that knows the longest of these prefixes and is not above its share, else the least busy one. Remembers
    /// the choice.
    fn by_prefix(&self, tier: &Tier, open: &[usize], ask: &Ask<'_>) -> Option<usize> {
        let prefix = ask.prefix;
        let warm = {
            let prefixes = self.memory.prefixes();
            prefix.iter().rev().find_map(|hash| {
                let owner = prefixes.owner(*hash)?;
                let member = open
                    .iter()
                    .find(|member| self.members[**member].state.number() == owner)?;
                self.has_room(*member, open).then_some(*member)
            })
        };
        let chosen = match warm {
            Some(member) => member,
            None => self.least(tier, open, &self.loads(open), ask.peeks)?,
        };
        if ask.peeks {
            return Some(chosen);
        }
        let owner = self.members.get(chosen)?.state.number();
        let mut prefixes = self.memory.prefixes();
        prefix.iter().for_each(|hash| prefixes.remember(*hash, owner));
        Some(chosen)
    }

    /// Whether a member with one call more stays within its share of what these have to do.
    fn has_room(&self, member: usize, open: &[usize]) -> bool {
        let (mut calls, mut weights) = (1.0, 0.0);
        for member in open {
            calls += self.in_flight(*member) as f64;
            weights += self.weight(*member);
        }
        let share = calls * self.weight(member) / weights;
        (self.in_flight(member) + 1) as f64 <= (share * MOST_OF_SHARE).ceil().max(ALWAYS_ROOM_FOR)
    }

    /// What a call given to each of these now is expected to wait, in seconds for its weight.
    fn expected_waits(&self, open: &[usize], ask: &Ask<'_>) -> Vec<f64> {
        let decay = self.decay();
        let measured = open.iter().map(|member| {
            self.members
                .get(*member)?
                .state
                .latency(ask.streams, ask.now, decay)
        });
        let measured: Vec<Option<f64>> = measured.collect();
        let (mut sum, mut count) = (0.0, 0.0);
        for seconds in measured.iter().flatten() {
            sum += seconds;
            count += 1.0;
        }
        // One that was not measured yet is taken to be like the others.
        let typical = if count > 0.0 { sum / count } else { 1.0 };
        let wait = |(member, measured): (&usize, Option<f64>)| match measured {
            Some(seconds) => seconds * self.load(*member),
            // Measured soonest by giving it a call; one at a time, because it may be slow.
            None if self.in_flight(*member) == 0 => 0.0,
            None => typical * self.load(*member),
        };
        open.iter().zip(measured).map(wait).collect()
    }

    fn loads(&self, open: &[usize]) -> Vec<f64> {
        open.iter().map(|member| self.load(*member)).collect()
    }

    /// Calls under way for its weight, one more included.
    fn load(&self, member: usize) -> f64 {
        (self.in_flight(member) + 1) as f64 / self.weight(member)
    }

    fn in_flight(&self, member: usize) -> usize {
        self.members
            .get(member)
            .map_or(0, |member| member.state.in_flight())
    }

    fn weight(&self, member: usize) -> f64 {
        self.members
            .get(member)
            .map_or(1.0, |member| f64::from(member.weight))
    }

    /// Its cost; more than any other if that is not known.
    fn cost(&self, member: usize) -> f64 {
        let cost = self.members.get(member).and_then(|member| member.cost);
        cost.filter(|cost| !cost.is_nan()).unwrap_or(f64::INFINITY)
    }

    /// How fast measured times are forgotten.
    fn decay(&self) -> Duration {
        match self.algorithm {
            Algorithm::Ewma => SHORT_DECAY,
            _ => LONG_DECAY,
        }
    }

    /// Makes one choice at a time see the other's.
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.memory.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tier {
    fn new(algorithm: Algorithm, of_tier: Vec<usize>, members: &[Member]) -> Self {
        let stands = |index: &usize| {
            let member = &members[*index];
            (*index, &*member.name, member.weight)
        };
        let weights = of_tier.iter().map(|index| members[*index].weight);
        Tier {
            are_equal: weights.clone().min() == weights.max(),
            weight: of_tier
                .iter()
                .map(|index| i64::from(members[*index].weight))
                .sum(),
            ring: (algorithm == Algorithm::ConsistentHash).then(|| Ring::new(of_tier.iter().map(stands))),
            members: of_tier,
        }
    }
}

/// Two different ones of these; `None` if there are not so many.
fn two_of(open: &[usize], draw: u64) -> Option<[usize; 2]> {
    let count = open.len() as u64;
    if count < 2 {
        return None;
    }
    let draw = mixed(draw);
    let first = draw % count;
    let second = (first + 1 + (draw >> 32) % (count - 1)) % count;
    // Both are below the number of members.
    Some([*open.get(first as usize)?, *open.get(second as usize)?])
}

/// A measured time counts for about a third after this time: servers of any kind, which are asked often.
const SHORT_DECAY: Duration = Duration::from_secs(10);

/// The same for instances of providers, where calls are few and one to a slow instance is felt.
const LONG_DECAY: Duration = Duration::from_secs(60);

/// A member that is preferred for its warm cache may have so many times its share of the calls under way.
const MOST_OF_SHARE: f64 = 1.25;

/// So few calls overload nobody.
const ALWAYS_ROOM_FOR: f64 = 4.0;
