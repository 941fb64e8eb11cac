//! Identity and spend: virtual keys, teams, budgets and limits.
//!
//! * [`index`] says who is who and what counts for whom: immutable, made anew when something changes.
//! * [`call`] is one governed call: refused or let in, reserving before each attempt and charged with what it was billed.
//! * [`state`] tells what is left, to the Admin API and to callers.
//! * [`warn`] tells people when a budget is used up to a share.
//!
//! Amounts are counted by `tollgate-store`'s counters, in this process's memory or in Redis. What calls have spent is written by
//! the usage ledger together with the calls, and counted again from there after a restart ([`Governance::restore`]).

mod call;
mod identity;
mod index;
mod me;
mod period;
mod refusals;
mod state;
mod told;
mod warn;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use tollgate_resources::Resources;
use tollgate_resources::model::OnDown;
use tollgate_resources::objects::{Kind, Object, ObjectKey};
use tollgate_store::counters::{Counters, Memory, Redis, Spread};
use tollgate_telemetry::metrics::{Counter, Gauge};
use tollgate_telemetry::{Metrics, Outlets};

use crate::clock;
use crate::error::CallError;
use crate::responses::redis_settings;
use index::Source;
use period::Period;

pub use call::{Charges, Expected, Governed};
pub use identity::{Identity, KeyRefused};
pub use index::{Index, Key, hash_of, looks_like_key};
pub use me::{PATH as ME_PATH, answer as me};
pub use state::{BudgetState, LimitState, Standing};
pub use warn::{Told, Warning};

/// Everything about identity and spend that workers share.
pub struct Governance {
    index: ArcSwap<Index>,
    source: Mutex<Source>,
    /// What this process has counted itself.
    own: Counters,
    /// Where several count together; `None`: nowhere.
    shared: ArcSwapOption<Shared>,
    meters: Meters,
    warnings: warn::Outlet,
    /// What others have charged, as far as it is counted: by the name of a budget and the beginning of its period.
    restored: Mutex<HashMap<(String, u64), u64>>,
    /// Whether what others have charged is not known.
    is_unaware: AtomicBool,
    unaware: Gauge,
}

/// Counters that several gateways share.
struct Shared {
    counters: Counters,
    on_down: OnDown,
    /// To see whether the configuration has changed.
    written: tollgate_resources::model::Redis,
}

/// Numbers about calls that are governed.
struct Meters {
    over_budget: Counter,
    over_limit: Counter,
    not_allowed: Counter,
    unpriced: Counter,
    undecided: Counter,
    unaware: Counter,
}

impl Meters {
    fn new(metrics: &Metrics) -> Self {
        let refused = |reason: &str| {
            metrics.counter(
                "tollgate_governance_refused_total",
                "Calls refused by budgets, limits and allowed models.",
                &["reason"],
                &[reason],
            )
        };
        let counter = |name, help| metrics.counter(name, help, &[], &[]);
        Meters {
            over_budget: refused("budget"),
            over_limit: refused("limit"),
            not_allowed: refused("model"),
            unpriced: counter(
                "tollgate_governance_unpriced_calls_total",
                "Calls under a budget in US dollars whose cost is not known, so that they are not charged to it.",
            ),
            undecided: counter(
                "tollgate_governance_undecided_total",
                "Decisions that Redis did not make, so that on_redis_down decided.",
            ),
            unaware: counter(
                "tollgate_governance_unaware_total",
                "Decisions without knowing what was spent before the start, so that on_ledger_down decided.",
            ),
        }
    }
}

impl Default for Governance {
    fn default() -> Self {
        Governance::new(&Outlets::default())
    }
}

impl Governance {
    /// With nothing that counts.
    pub fn new(outlets: &Outlets) -> Self {
        let metrics = outlets.metrics();
        Governance {
            index: ArcSwap::default(),
            source: Mutex::default(),
            own: Counters::in_memory(Arc::new(Memory::default())),
            shared: ArcSwapOption::empty(),
            meters: Meters::new(metrics),
            warnings: warn::Outlet::new(outlets.clone()),
            restored: Mutex::default(),
            is_unaware: AtomicBool::new(false),
            unaware: metrics.gauge(
                "tollgate_governance_spending_unknown",
                "1 while budgets count from nothing, because the usage ledger has not answered since the start.",
                &[],
                &[],
            ),
        }
    }

    /// What counts for whom at the moment.
    pub fn index(&self) -> Arc<Index> {
        self.index.load_full()
    }

    /// Takes what a configuration says into service. `env` looks up variables.
    ///
    /// # Errors
    /// Redis cannot be spoken to as it is written; nothing changes then.
    pub fn configure(
        &self,
        resources: &Resources,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        let metrics = self.warnings.metrics();
        let written = &resources.governance;
        let shared = match (&written.redis, &*self.shared.load()) {
            (None, _) => None,
            (Some(redis), Some(known))
                if known.written == *redis && known.on_down == written.on_redis_down =>
            {
                Some(known.clone())
            }
            (Some(redis), _) => {
                let (settings, tls) = redis_settings(redis, env).map_err(|error| error.to_string())?;
                let observer = |name: &str| crate::plugins::redis_observer(metrics, name);
                let redis_in_use = Redis::shared(settings, tls, observer);
                Some(Arc::new(Shared {
                    counters: Counters::in_redis(redis_in_use, "governance", Spread::Together),
                    on_down: written.on_redis_down,
                    written: redis.clone(),
                }))
            }
        };
        self.warnings.configure(written.webhook.as_ref(), env)?;
        self.shared.store(shared);
        let mut source = self.source();
        source.file = written.clone();
        source.consumers = resources
            .consumers
            .iter()
            .map(|consumer| (consumer.username.clone(), consumer.team.clone()))
            .collect();
        self.rebuild(&source);
        drop(source);
        Ok(())
    }

    /// Takes changed objects into service, and leaves out those of other kinds. When it returns, the next call sees them.
    pub fn apply(&self, changes: impl IntoIterator<Item = (ObjectKey, Option<Arc<Object>>)>) {
        let mut source = self.source();
        let mut has_changed = false;
        for (key, object) in changes.into_iter().filter(|(key, _)| key.kind.is_own()) {
            has_changed = true;
            match object {
                Some(object) => source.objects.insert(key, object),
                None => source.objects.remove(&key),
            };
        }
        if has_changed {
            self.rebuild(&source);
        }
        drop(source);
    }

    /// Takes these objects into service, and no others of the store.
    pub fn set(&self, objects: impl IntoIterator<Item = Arc<Object>>) {
        let mut source = self.source();
        source.objects = objects
            .into_iter()
            .map(|object| (object.key.clone(), object))
            .collect();
        self.rebuild(&source);
    }

    fn rebuild(&self, source: &Source) {
        let index = Index::new(source, &self.index.load());
        self.index.store(Arc::new(index));
    }

    /// Whether an object of a kind is written in the configuration's file, where nobody else may change it.
    pub fn is_in_file(&self, kind: Kind, id: &str) -> bool {
        let source = self.source();
        match kind {
            Kind::Team => source.file.teams.iter().any(|team| team.id == id),
            Kind::Budget => source.file.budgets.iter().any(|budget| budget.id == id),
            Kind::Limit => source.file.limits.iter().any(|limit| limit.id == id),
            _ => false,
        }
    }

    /// What the file says.
    pub fn in_file(&self) -> tollgate_resources::model::Governance {
        self.source().file.clone()
    }

    /// Counts what others than this process have charged, as the ledger tells it: by the name of a budget and the beginning of its
    /// period, in seconds since 1970. What is counted already is not counted again, so this may be told again and later, while
    /// calls are served. What Redis counts, it remembers itself.
    pub fn restore(&self, spent: impl IntoIterator<Item = (String, u64, u64)>) {
        let (now, steady) = (now_s(), clock::steady());
        let mut restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        let ends: HashMap<&str, _> = tollgate_resources::model::Period::WORDS
            .iter()
            .filter_map(|word| Some((*word, tollgate_resources::model::Period::find(word)?)))
            .collect();
        for (name, start, amount) in spent {
            let period = name.rsplit(':').next().and_then(|word| ends.get(word));
            let current = period.map(|per| Period::around(&name, *per, now));
            if let Some(current) = current.filter(|current| current.start_s == start) {
                let known = restored.entry((name, start)).or_default();
                let more = amount.saturating_sub(*known);
                if more > 0 {
                    *known = amount;
                    self.own.add(&current.key, &current.count(now), more, steady);
                }
            }
        }
        drop(restored);
        self.spending_is_known(true);
    }

    /// Says whether it is known what others have charged. While it is not, the configuration decides whether calls with budgets are
    /// let in.
    pub fn spending_is_known(&self, is_known: bool) {
        self.is_unaware.store(!is_known, Ordering::Relaxed);
        self.unaware.set(i64::from(!is_known));
    }

    /// Refuses a call with budgets of which nobody knows what others have spent, if the configuration wants that.
    fn may_count(&self) -> Result<(), CallError> {
        // Redis knows.
        if !self.is_unaware.load(Ordering::Relaxed) || self.shared.load().is_some() {
            return Ok(());
        }
        self.meters.unaware.add(1);
        match self.index.load().on_ledger_down {
            OnDown::Allow => Ok(()),
            OnDown::Refuse => Err(refusals::undecided(
                "the usage ledger has not answered since the start",
            )),
        }
    }

    /// Notes when keys were used that others have seen, or a process before this one: ids, and times in seconds since 1970.
    pub fn note_used(&self, used: impl IntoIterator<Item = (String, u64)>) {
        let index = self.index.load();
        for (id, at) in used {
            // A key may have the id of one that is gone.
            if let Some(key) = index
                .by_id
                .get(id.as_str())
                .filter(|key| key.key.created_at <= at)
            {
                key.last_used.fetch_max(at, Ordering::Relaxed);
            }
        }
    }

    /// What people were told last about budgets.
    pub fn told(&self) -> Vec<Told> {
        self.warnings.told()
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time of day, in seconds since 1970.
fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
