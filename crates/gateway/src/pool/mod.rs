//! The instances of a model as a pool: which of them takes a call, when another one is tried, and what is remembered about
//! them beyond one configuration.

mod account;
mod meters;
mod prefix;
mod register;
mod retry;
mod retry_after;
mod signal;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tollgate_policy::balance::{Algorithm, Ask, Balancer, Member, PoolMemory};
use tollgate_policy::{FirstTokenTimes, HedgeBudget, RetryBudget, RetryLimits};

pub use account::Account;
pub use meters::Winner;
pub use prefix::prefixes;
pub use register::{Register, Registered, RegisteredMember, Standing};
pub use retry::{PluginRule, Reason, Retry};
pub use retry_after::{in_body as retry_after_in, in_headers as retry_after_of, wait_of};
pub use signal::Signal;
pub use status::{InstanceStatus, status};

use crate::health::{self, InstanceHealth};
use crate::plugins::SharedState;
use crate::snapshot::Instance;
use meters::{End, Meters};

/// The instances of a model.
pub struct Pool {
    instances: Vec<Arc<Instance>>,
    registered: Arc<Registered>,
    /// Whether operators have said anything of any instance.
    has_words: Arc<AtomicBool>,
    /// `None` where there is nothing to choose.
    balancer: Option<Balancer>,
    /// When another attempt is made.
    pub rules: Rules,
    /// `None` where a call has one attempt only.
    kept: Option<Kept>,
}

/// What a pool that repeats attempts keeps.
struct Kept {
    state: Arc<PoolState>,
    meters: Arc<Meters>,
}

/// An instance on its way into a pool.
pub struct Entry {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Share of the calls within its tier.
    pub weight: u32,
    /// Its tier; larger is used first.
    pub priority: i64,
    /// What a call costs, in any unit that all members share.
    pub cost: Option<f64>,
}

/// What is remembered about a pool, whatever its configuration.
#[derive(Default)]
pub struct PoolState {
    memory: Arc<PoolMemory>,
    retries: RetryBudget,
    hedges: HedgeBudget,
    /// Of answers as a whole.
    whole: FirstTokenTimes,
    /// Of streams, which begin much earlier.
    streamed: FirstTokenTimes,
    draws: AtomicU64,
}

/// When the attempts of a call are repeated.
#[derive(Default)]
pub struct Rules {
    /// After which failures.
    pub retry: Retry,
    /// How long all attempts together may take until the answer begins; `None` is no limit.
    pub deadline: Option<Duration>,
    /// How many further attempts all calls together may make; `None` is no limit.
    pub budget: Option<RetryLimits>,
    /// When a second attempt is made beside the first; `None` is never.
    pub hedge: Option<Hedge>,
    /// Whether instances without quota are passed over.
    pub skips_exhausted: bool,
    /// Whether a call that nobody else can take is given to instances that are not well too, instead of being failed.
    pub last_resort: bool,
}

/// When a second attempt is made while the first still waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    /// When so large a share of first tokens usually has come, 0 to 1.
    pub share: f64,
    /// Never sooner.
    pub at_least: Duration,
    /// For at most so many of the calls, in percent.
    pub max_percent: f64,
}

/// The instance is probing, and as many calls as it may be given are under way.
pub struct Busy;

/// What a pick goes by.
#[derive(Default)]
pub struct Clues {
    /// The key of the call, where it is chosen by a hash.
    pub key: Vec<u8>,
    /// Hashes of the prefixes of its prompt, where it is chosen by those.
    pub prefixes: Vec<u64>,
    /// Numbers of the instances in the order in which they are asked, where that is settled for this call. Those that are not
    /// among them are not asked.
    pub order: Option<Vec<usize>>,
    /// Whether nothing comes of the pick: it takes nobody's turn.
    pub peeks: bool,
}

impl Pool {
    /// A pool of this owner, such as `route/1`, by whose name is remembered what outlives the configuration.
    pub fn new(
        algorithm: Algorithm,
        entries: Vec<Entry>,
        rules: Rules,
        owner: &str,
        states: &SharedState,
    ) -> Self {
        let state: Arc<PoolState> = states.of(&format!("pool/{owner}"));
        let names: Vec<Arc<str>> = entries.iter().map(|entry| entry.instance.name.clone()).collect();
        let meters = Arc::new(Meters::new(states.metrics(), owner, &names));
        let balancer = (entries.len() > 1).then(|| balancer(algorithm, &entries, &names, &state));
        let observed = entries.iter().filter_map(|entry| entry.instance.health.as_ref());
        health::introduce(observed.map(|on_duty| &on_duty.health));
        let loads = balancer.iter().flat_map(|balancer| balancer.members());
        let mut loads = loads.map(|member| member.state.clone());
        let members = entries.iter().map(|entry| {
            RegisteredMember::new(entry.instance.clone(), entry.weight, entry.priority, loads.next())
        });
        let registered = states.pools().enter(owner, members.collect());
        Pool {
            instances: entries.into_iter().map(|entry| entry.instance).collect(),
            registered,
            has_words: states.pools().has_words().clone(),
            balancer,
            rules,
            kept: Some(Kept { state, meters }),
        }
    }

    /// A pool of one instance, which is asked once.
    pub fn of_one(instance: Arc<Instance>, owner: &str, states: &SharedState) -> Self {
        let member = RegisteredMember::new(instance.clone(), 1, 0, None);
        Pool {
            instances: vec![instance],
            registered: states.pools().enter(owner, vec![member]),
            has_words: states.pools().has_words().clone(),
            balancer: None,
            rules: Rules::default(),
            kept: None,
        }
    }

    /// The instances, in the order in which they were given.
    pub fn instances(&self) -> &[Arc<Instance>] {
        &self.instances
    }

    /// Whether choices depend on [`Clues::key`].
    pub fn needs_key(&self) -> bool {
        self.balancer.as_ref().is_some_and(Balancer::needs_key)
    }

    /// Whether choices depend on [`Clues::prefixes`].
    pub fn needs_prefixes(&self) -> bool {
        self.balancer.as_ref().is_some_and(Balancer::needs_prefix)
    }

    /// The next instance for a call that has tried these; `None` when there is no other.
    pub fn pick(&self, tried: &[usize], clues: &Clues, streams: bool) -> Option<usize> {
        if self.balancer.is_none() && clues.order.is_none() {
            // There is one at most.
            return (!self.instances.is_empty() && tried.is_empty() && !self.is_disabled(0)).then_some(0);
        }
        let now = Instant::now();
        let well = self.pick_among(tried, clues, streams, now, &|number| self.is_usable(number, now));
        if well.is_some() || !self.rules.last_resort || tried.is_empty() {
            return well;
        }
        // Those that are well have failed this call, or have no quota for it.
        self.pick_among(tried, clues, streams, now, &|number| {
            !self.wants_rest(number, now) && !self.is_disabled(number)
        })
    }

    fn pick_among(
        &self,
        tried: &[usize],
        clues: &Clues,
        streams: bool,
        now: Instant,
        usable: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        if let Some(order) = &clues.order {
            return next_of(order, tried, usable, &|number| self.is_disabled(number));
        }
        let (balancer, kept) = (self.balancer.as_ref()?, self.kept.as_ref()?);
        balancer.pick(&Ask {
            tried,
            usable,
            barred: &|number| self.is_disabled(number),
            peeks: clues.peeks,
            key: &clues.key,
            prefix: &clues.prefixes,
            streams,
            now,
            draw: kept.state.draws.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Opens an account for an attempt with an instance.
    ///
    /// # Errors
    /// The instance takes no more trial calls at the moment, and there are others that can take the call.
    pub fn account(&self, instance: usize, tried: &[usize], streams: bool) -> Result<Option<Account>, Busy> {
        let health = match self.health(instance) {
            None => None,
            Some(health) => {
                let now = Instant::now();
                Some(match health.begin(now) {
                    Some(under_way) => under_way,
                    None if self.has_other(tried, now) => return Err(Busy),
                    None => health.begin_anyway(),
                })
            }
        };
        let in_flight = self
            .balancer
            .as_ref()
            .map(|balancer| balancer.begin(instance, streams));
        if health.is_none() && in_flight.is_none() {
            return Ok(None);
        }
        let kept = self.kept.as_ref();
        let hedged = kept.filter(|_| self.rules.hedge.is_some());
        Ok(Some(Account {
            in_flight,
            health,
            times: hedged.map(|kept| kept.state.clone()),
            streams,
            meters: kept.map(|kept| kept.meters.clone()),
            instance,
            end: End::Left,
        }))
    }

    fn health(&self, instance: usize) -> Option<&Arc<InstanceHealth>> {
        let on_duty = self.instances.get(instance)?.health.as_ref()?;
        Some(&on_duty.health)
    }

    fn is_usable(&self, instance: usize, now: Instant) -> bool {
        self.standing(instance) == Standing::InService
            && self.health(instance).is_none_or(|health| health.is_usable(now))
    }

    /// What operators say of an instance.
    fn standing(&self, instance: usize) -> Standing {
        if !self.has_words.load(Ordering::Relaxed) {
            return Standing::InService;
        }
        let member = self.registered.members.get(instance);
        member.map(RegisteredMember::standing).unwrap_or_default()
    }

    /// Whether operators do not want an instance to take calls at all.
    fn is_disabled(&self, instance: usize) -> bool {
        self.standing(instance) == Standing::Disabled
    }

    /// What is told about the instances.
    pub fn status(&self, now: Instant) -> Vec<InstanceStatus> {
        self.registered.status(now)
    }

    /// How the instance of a call is chosen, in words.
    pub fn chosen_by(&self) -> &'static str {
        self.balancer
            .as_ref()
            .map_or("being the only one", Balancer::words)
    }

    /// Whether operators do not want any of the instances to take calls.
    pub fn is_switched_off(&self) -> bool {
        !self.instances.is_empty() && (0..self.instances.len()).all(|number| self.is_disabled(number))
    }

    /// Whether an instance has asked to be left alone for a while.
    fn wants_rest(&self, instance: usize, now: Instant) -> bool {
        self.health(instance).is_some_and(|health| health.wants_rest(now))
    }

    /// After how long checks ask again, if they have found every instance ill; `None` while one may be well.
    pub fn is_down(&self) -> Option<Duration> {
        let mut soonest = None;
        for instance in &self.instances {
            let on_duty = instance
                .health
                .as_ref()
                .filter(|on_duty| on_duty.health.is_ill())?;
            let interval = on_duty.check.as_ref()?.interval_unhealthy;
            soonest = Some(soonest.map_or(interval, |soonest: Duration| soonest.min(interval)));
        }
        soonest
    }

    /// Whether a call that has tried these could go to another one.
    fn has_other(&self, tried: &[usize], now: Instant) -> bool {
        (0..self.instances.len()).any(|number| !tried.contains(&number) && self.is_usable(number, now))
    }

    /// A call begins.
    pub fn call_begins(&self) {
        let Some(Kept { state, .. }) = &self.kept else {
            return;
        };
        if self.rules.budget.is_some() {
            state.retries.call(Instant::now());
        }
        if let Some(hedge) = &self.rules.hedge {
            state.hedges.call(hedge.max_percent);
        }
    }

    /// Takes a further attempt out of the budget; false if there is none left.
    pub fn may_try_again(&self, reason: Reason) -> bool {
        let Some(Kept { state, meters }) = &self.kept else {
            return true;
        };
        let limits = self.rules.budget.as_ref();
        let may = limits.is_none_or(|limits| state.retries.try_retry(Instant::now(), limits));
        if may {
            meters.fell_back(reason);
        } else {
            meters.exhausted();
        }
        may
    }

    /// How long a first attempt is waited for before a second one is made beside it; `None` is for ever.
    pub fn hedge_after(&self, streams: bool) -> Option<Duration> {
        let hedge = self.rules.hedge.as_ref()?;
        let kept = self.kept.as_ref().filter(|_| self.instances.len() > 1)?;
        let usual = kept.state.times(streams).quantile(Instant::now(), hedge.share)?;
        Some(usual.max(hedge.at_least))
    }

    /// Takes a second attempt out of the budget for those; false if there is none left.
    pub fn may_hedge(&self) -> bool {
        self.kept
            .as_ref()
            .is_some_and(|kept| kept.state.hedges.try_hedge())
    }

    /// Gives back what [`Pool::may_hedge`] took, because there was no instance for it.
    pub fn has_not_hedged(&self) {
        if let Some(kept) = &self.kept {
            kept.state.hedges.give_back();
        }
    }

    /// Two attempts were made at once.
    pub fn hedged(&self, winner: Winner) {
        if let Some(kept) = &self.kept {
            kept.meters.hedged(winner);
        }
    }
}

impl PoolState {
    fn times(&self, streams: bool) -> &FirstTokenTimes {
        if streams { &self.streamed } else { &self.whole }
    }
}

/// The next of some instances whose order is settled. Those that are not usable are passed over, unless none is; those that are
/// barred always.
fn next_of(
    order: &[usize],
    tried: &[usize],
    usable: &dyn Fn(usize) -> bool,
    barred: &dyn Fn(usize) -> bool,
) -> Option<usize> {
    let none_is_usable = !order.iter().any(|number| usable(*number));
    order
        .iter()
        .copied()
        .find(|number| !tried.contains(number) && ((none_is_usable && !barred(*number)) || usable(*number)))
}

fn balancer(algorithm: Algorithm, entries: &[Entry], names: &[Arc<str>], state: &PoolState) -> Balancer {
    let states = state.memory.of(names);
    let members = entries
        .iter()
        .zip(names)
        .zip(states)
        .map(|((entry, name), state)| Member {
            name: name.clone(),
            weight: entry.weight,
            priority: entry.priority,
            cost: entry.cost,
            state,
        });
    Balancer::new(algorithm, members.collect(), state.memory.clone())
}

/// Makes those of weight 0 beside others a tier of their own below them, so that they are asked when all others of theirs
/// have failed.
pub fn with_spares(entries: &mut [Entry]) {
    let mut ranks: Vec<(i64, bool)> = Vec::new();
    let is_spare = |entry: &Entry, entries: &[Entry]| {
        entry.weight == 0
            && entries
                .iter()
                .any(|other| other.priority == entry.priority && other.weight > 0)
    };
    let own: Vec<(i64, bool)> = entries
        .iter()
        .map(|entry| (entry.priority, !is_spare(entry, entries)))
        .collect();
    ranks.extend(&own);
    ranks.sort_unstable();
    ranks.dedup();
    for (entry, own) in entries.iter_mut().zip(own) {
        // Every one of them is there.
        let rank = ranks.iter().position(|rank| *rank == own).unwrap_or_default();
        entry.priority = i64::try_from(rank).unwrap_or_default();
        if !own.1 {
            entry.weight = 1;
        }
    }
}

#[cfg(test)]
mod tests;
