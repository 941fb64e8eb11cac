//! Who is who, and what counts for whom: made anew from the configuration and the stored objects whenever one of them changes,
//! and only read by calls.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use foldhash::{HashMap, HashMapExt};
use tollgate_resources::Glob;
use tollgate_resources::governance as json;
use tollgate_resources::model::{self, Budget, KeyHash, Limit, OnDown, Rate, Subject, Team, VirtualKey};
use tollgate_resources::objects::{Kind, Object, ObjectKey};
use tollgate_store::counters;

use super::now_s;
use super::period::Period;

/// What every virtual key begins with.
pub const KEY_PREFIX: &str = "tg-";

/// Whether a text looks like a virtual key.
pub fn looks_like_key(text: &str) -> bool {
    text.starts_with(KEY_PREFIX)
}

/// The hash by which a key is found. Keys have 256 random bits, so nobody finds a key from its hash, and none is found by trying.
pub fn hash_of(key: &str) -> KeyHash {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest(&SHA256, key.as_bytes()).as_ref()) {
        *to = *from;
    }
    KeyHash(hash)
}

/// What counts for one of: everybody, a team, a consumer, a key.
pub struct Level {
    /// Whose it is.
    pub subject: Subject,
    /// Models that may be used; `None` for no restriction.
    pub models: Option<Vec<Glob>>,
    /// Whether its calls are refused.
    pub disabled: bool,
    /// What may be spent.
    pub budgets: Vec<Arc<BudgetRule>>,
    /// How often, how much and how many at once.
    pub limits: Vec<Arc<LimitRule>>,
}

impl Level {
    fn new(subject: Subject) -> Self {
        Level {
            subject,
            models: None,
            disabled: false,
            budgets: Vec::new(),
            limits: Vec::new(),
        }
    }

    fn says_nothing(&self) -> bool {
        self.models.is_none() && !self.disabled && self.budgets.is_empty() && self.limits.is_empty()
    }

    /// Its name in what callers are told, such as "team `search`".
    pub fn shown(&self) -> String {
        match &self.subject {
            Subject::All => "all callers together".to_owned(),
            Subject::Team(id) => format!("the team `{id}`"),
            Subject::Consumer(name) => format!("the consumer `{name}`"),
            Subject::Key(_) => "this key".to_owned(),
        }
    }
}

/// A budget, with what is remembered of it beyond its counter.
pub struct BudgetRule {
    /// What was written.
    pub budget: Budget,
    /// Under which its spending is counted, together with the beginning of the period.
    pub name: String,
    /// What survives a change of the configuration.
    pub tally: Arc<Tally>,
    /// The period of the last call.
    period: ArcSwap<Period>,
}

impl BudgetRule {
    fn new(budget: Budget, name: String, tally: Arc<Tally>) -> Self {
        let period = Period::around(&name, budget.per, now_s());
        BudgetRule {
            period: ArcSwap::from_pointee(period),
            budget,
            name,
            tally,
        }
    }

    /// The period in which a time is, in seconds since 1970.
    pub fn period(&self, now_s: u64) -> Arc<Period> {
        let last = self.period.load();
        if last.covers(now_s) {
            return Arc::clone(&last);
        }
        let current = Arc::new(Period::around(&self.name, self.budget.per, now_s));
        self.period.store(current.clone());
        current
    }
}

/// What is known of a budget beyond its counter, in this process.
#[derive(Default)]
pub struct Tally {
    /// What is reserved at the moment, of all periods.
    pub reserved: AtomicU64,
    /// The period in which people were told, and the share at which.
    pub told: AtomicU64,
}

/// The name under which spending of a budget is counted and remembered.
pub fn budget_name(budget: &Budget) -> String {
    format!("{}:{}:{}", budget.id, budget.amount.unit(), budget.per.word())
}

/// A limit, with the name of its counter.
pub struct LimitRule {
    /// What was written.
    pub limit: Limit,
    /// Of its counter.
    pub name: counters::Key,
}

/// A virtual key in service.
pub struct Key {
    /// What was written.
    pub key: VirtualKey,
    /// Its id.
    pub id: Arc<str>,
    /// Its consumer.
    pub consumer: Option<Arc<str>>,
    /// The team whose budgets count.
    pub team: Option<Arc<str>>,
    /// What counts for it, its own first; `None` where nothing does.
    pub levels: Option<Arc<[Arc<Level>]>>,
    /// When it was used last, in seconds since 1970; 0 if nobody knows.
    pub last_used: Arc<AtomicU64>,
}

/// What counts for whom.
#[derive(Default)]
pub struct Index {
    keys: HashMap<KeyHash, Arc<Key>>,
    /// Keys by id.
    pub by_id: BTreeMap<Arc<str>, Arc<Key>>,
    /// Teams by id.
    pub teams: BTreeMap<String, Team>,
    levels: HashMap<Subject, Arc<Level>>,
    /// What counts for consumers without a team or a key, the narrowest first: by name where something counts for them alone.
    lines: HashMap<String, Arc<[Arc<Level>]>>,
    /// The same for all others.
    line_of_others: Option<Arc<[Arc<Level>]>>,
    /// The configuration's consumers, with their teams.
    pub consumers: HashMap<String, Option<Arc<str>>>,
    /// Budgets in service, by id.
    pub budgets: BTreeMap<String, Arc<BudgetRule>>,
    /// Tokens that are reserved for an answer whose request sets no limit.
    pub reserve_output: Option<u64>,
    /// What happens to calls with budgets while nobody knows what was spent before the start.
    pub on_ledger_down: OnDown,
    /// Limits in service, by id.
    pub limits: BTreeMap<String, Arc<LimitRule>>,
}

/// What an index is made of.
#[derive(Default)]
pub struct Source {
    /// What the configuration says.
    pub file: model::Governance,
    /// Its consumers, with their teams.
    pub consumers: HashMap<String, Option<String>>,
    /// What is stored.
    pub objects: BTreeMap<ObjectKey, Arc<Object>>,
}

impl Index {
    /// Makes it. What is remembered of keys and budgets is taken from the one before. What cannot be read is told to the log
    /// and refuses nobody but its own key, which is not known then.
    pub fn new(source: &Source, before: &Index) -> Index {
        let mut index = Index {
            reserve_output: source.file.reserve_output,
            on_ledger_down: source.file.on_ledger_down,
            ..Index::default()
        };
        let mut levels: HashMap<Subject, Level> = HashMap::new();
        let stored = |kind: Kind| {
            source
                .objects
                .values()
                .filter(move |object| object.key.kind == kind)
        };
        let teams = stored(Kind::Team).filter_map(|object| read(object, json::team));
        for team in source.file.teams.iter().cloned().chain(teams) {
            let subject = Subject::Team(team.id.clone());
            let level = levels
                .entry(subject.clone())
                .or_insert_with(|| Level::new(subject));
            level.models.clone_from(&team.models);
            level.disabled = team.disabled;
            index.teams.insert(team.id.clone(), team);
        }
        let budgets = stored(Kind::Budget).filter_map(|object| read(object, json::budget));
        for budget in source.file.budgets.iter().cloned().chain(budgets) {
            let name = budget_name(&budget);
            let known = before.budgets.get(&budget.id).filter(|known| known.name == name);
            let tally = known.map(|known| known.tally.clone()).unwrap_or_default();
            let rule = Arc::new(BudgetRule::new(budget, name, tally));
            if !rule.budget.disabled {
                let subject = rule.budget.subject.clone();
                let level = levels
                    .entry(subject.clone())
                    .or_insert_with(|| Level::new(subject));
                level.budgets.push(rule.clone());
            }
            index.budgets.insert(rule.budget.id.clone(), rule);
        }
        let limits = stored(Kind::Limit).filter_map(|object| read(object, json::limit));
        for limit in source.file.limits.iter().cloned().chain(limits) {
            let rule = Arc::new(LimitRule {
                name: limit_name(&limit).into(),
                limit,
            });
            if !rule.limit.disabled {
                let subject = rule.limit.subject.clone();
                let level = levels
                    .entry(subject.clone())
                    .or_insert_with(|| Level::new(subject));
                level.limits.push(rule.clone());
            }
            index.limits.insert(rule.limit.id.clone(), rule);
        }
        let keys: Vec<VirtualKey> = stored(Kind::VirtualKey)
            .filter_map(|object| read(object, json::virtual_key))
            .collect();
        for key in &keys {
            if key.models.is_some() {
                let subject = Subject::Key(key.id.clone());
                let level = levels
                    .entry(subject.clone())
                    .or_insert_with(|| Level::new(subject));
                level.models.clone_from(&key.models);
            }
        }
        index.levels = levels
            .into_iter()
            .filter(|(_, level)| !level.says_nothing())
            .map(|(subject, level)| (subject, Arc::new(level)))
            .collect();
        index.line_of_others = index.make_line(None, None, None);
        index.lines = index
            .levels
            .keys()
            .filter_map(|subject| match subject {
                Subject::Consumer(name) => Some((name.clone(), index.make_line(None, Some(name), None)?)),
                _ => None,
            })
            .collect();
        index.consumers = source
            .consumers
            .iter()
            .map(|(name, team)| (name.clone(), team.as_deref().map(Arc::from)))
            .collect();
        for key in keys {
            index.add_key(key, before);
        }
        index
    }

    fn add_key(&mut self, key: VirtualKey, before: &Index) {
        let id: Arc<str> = key.id.as_str().into();
        let own = self.levels.get(&Subject::Key(key.id.clone())).cloned();
        let of_consumer = || {
            let consumer = key.consumer.as_ref()?;
            self.consumers.get(consumer).cloned().flatten()
        };
        let team: Option<Arc<str>> = key.team.as_deref().map(Arc::from).or_else(of_consumer);
        let levels = self.line(own, key.consumer.as_deref(), team.as_deref());
        let known = before.by_id.get(&id);
        let compiled = Arc::new(Key {
            consumer: key.consumer.as_deref().map(Arc::from),
            team,
            levels,
            last_used: known.map(|known| known.last_used.clone()).unwrap_or_default(),
            id: id.clone(),
            key,
        });
        for former in &compiled.key.former {
            self.keys.insert(former.hash, compiled.clone());
        }
        self.keys.insert(compiled.key.hash, compiled.clone());
        self.by_id.insert(id, compiled);
    }

    /// Whether nothing counts for anybody.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.keys.is_empty() && self.teams.is_empty()
    }

    /// The key of a secret, whatever its state.
    pub fn key(&self, secret: &str) -> Option<(&Arc<Key>, KeyHash)> {
        if self.keys.is_empty() || !looks_like_key(secret) {
            return None;
        }
        let hash = hash_of(secret);
        Some((self.keys.get(&hash)?, hash))
    }

    /// What counts for somebody, the narrowest first; `None` where nothing does.
    pub fn line(
        &self,
        own: Option<Arc<Level>>,
        consumer: Option<&str>,
        team: Option<&str>,
    ) -> Option<Arc<[Arc<Level>]>> {
        if own.is_none() && team.is_none() {
            let own = consumer.and_then(|name| self.lines.get(name));
            return own.or(self.line_of_others.as_ref()).cloned();
        }
        self.make_line(own, consumer, team)
    }

    fn make_line(
        &self,
        own: Option<Arc<Level>>,
        consumer: Option<&str>,
        team: Option<&str>,
    ) -> Option<Arc<[Arc<Level>]>> {
        if self.levels.is_empty() {
            return None;
        }
        let mut line: Vec<Arc<Level>> = own.into_iter().collect();
        let of = |subject: Subject| self.levels.get(&subject).cloned();
        line.extend(consumer.and_then(|name| of(Subject::Consumer(name.to_owned()))));
        for team in self.path(team) {
            line.extend(of(Subject::Team(team.to_owned())));
        }
        line.extend(of(Subject::All));
        (!line.is_empty()).then(|| line.into())
    }

    /// A team and those above it, the lowest first. A circle, which no writer makes, ends.
    pub fn path<'a>(&'a self, team: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let mut seen = HashSet::new();
        std::iter::successors(team, |team| self.teams.get(*team)?.parent.as_deref())
            .take_while(move |team| seen.insert(*team))
    }
}

fn limit_name(limit: &Limit) -> String {
    match limit.rate {
        Rate::Requests(_, per) => format!("limit/{}:requests:{}", limit.id, per.word()),
        Rate::Tokens(_, per) => format!("limit/{}:tokens:{}", limit.id, per.word()),
        Rate::Concurrent(_) => format!("limit/{}:concurrent", limit.id),
    }
}

fn read<T>(
    object: &Object,
    read: impl FnOnce(&serde_json::Map<String, serde_json::Value>) -> Result<T, json::Wrong>,
) -> Option<T> {
    match read(&object.value) {
        Ok(value) => Some(value),
        Err(wrong) => {
            tracing::error!(object = %object.key.path(), "a stored object cannot be read and does not count: {wrong}");
            None
        }
    }
}
