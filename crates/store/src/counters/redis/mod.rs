//! Counters in Redis, where several processes count together.
//!
//! A decision is one exchange: a script, called by its hash, that asks all limits of a call. What need not be waited for
//! (charges, settlements, places that are left) is written behind, in order, many in one exchange.
//!
//! Each worker has its own connections ([`link`]), on which everything it asks is multiplexed. A decision waits for
//! `timeout` at most. A server that fails several times in a row is left alone ([`circuit`]): decisions then fail at once, and
//! one task looks when it is back. Charges are kept meanwhile ([`lane`]), bounded in number and age.

mod circuit;
mod lane;
mod link;
mod nodes;
mod script;
mod sentinel;
mod settings;
mod slots;
mod worker;

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use redis::{Cmd, RedisConnectionInfo, Value};
use tokio_rustls::rustls::ClientConfig;
use tollgate_resources::egress::Origin;

use self::circuit::Circuit;
use self::lane::{Lane, What};
use self::worker::Worker;
use super::window::{Answer, Held};
use super::{Ask, Enter, Limit, Together, Unavailable};

pub use settings::{Address, Encryption, Login, RedisSettings, Servers};

/// Redis as it is used for one purpose: one for each set of settings, shared by all that have them.
pub struct Redis {
    shared: Arc<Shared>,
}

/// Is told how Redis fares, at the moment it changes. It is called by workers, and must not block.
pub trait Observer: Send + Sync {
    /// Whether a server answers now; also told when it is first asked.
    fn answering(&self, server: &str, is_answering: bool);
    /// A decision could not be made.
    fn undecided(&self);
    /// So many charges were given up: too many, or too old.
    fn dropped(&self, charges: u64);
}

/// Tells nobody.
impl Observer for () {
    fn answering(&self, _: &str, _: bool) {}
    fn undecided(&self) {}
    fn dropped(&self, _: u64) {}
}

/// What Redis is used for. Each has connections of its own, so that small questions do not wait behind large answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Counters of limits.
    Limits,
    /// Conversations.
    Responses,
}

impl Purpose {
    /// Who names the servers: plugins of objects those of limits, the operator those of conversations.
    fn origin(self) -> Origin {
        match self {
            Purpose::Limits => Origin::Object,
            Purpose::Responses => Origin::Operator,
        }
    }

    /// What happens when Redis cannot be asked, for the log.
    fn without_redis(self) -> &'static str {
        match self {
            Purpose::Limits => "limits follow allow_degradation",
            Purpose::Responses => "conversations are neither kept nor found until it does",
        }
    }
}

/// What all workers share.
struct Shared {
    purpose: Purpose,
    observer: Arc<dyn Observer>,
    settings: RedisSettings,
    /// As the log names it.
    name: String,
    tls: Option<Arc<ClientConfig>>,
    /// What names of reservations and places begin with.
    process: String,
    lanes: Mutex<Vec<Arc<Lane>>>,
    circuits: Mutex<HashMap<String, Arc<Circuit>>>,
    figures: Figures,
    is_unused: AtomicBool,
    #[cfg(test)]
    given_now_ms: AtomicU64,
}

#[derive(Default)]
struct Figures {
    decided: AtomicU64,
    undecided: AtomicU64,
    dropped: AtomicU64,
}

/// How Redis fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisStatus {
    /// The servers.
    pub name: String,
    /// Whether all servers that are asked answer, as far as is known.
    pub is_answering: bool,
    /// Decisions that were made.
    pub decided: u64,
    /// Decisions that could not be made.
    pub undecided: u64,
    /// Charges that are not written yet.
    pub pending: u64,
    /// Charges that were given up: too many, or too old.
    pub dropped: u64,
}

/// One that is in use: by limits, or by what is not written yet.
struct Used {
    /// What is the same for the same settings only.
    identity: Vec<u8>,
    redis: Weak<Redis>,
    shared: Weak<Shared>,
}

/// All that are in use.
static IN_USE: Mutex<Vec<Used>> = Mutex::new(Vec::new());

thread_local! {
    /// This worker's side of each.
    static WORKERS: RefCell<Vec<(Weak<Redis>, Arc<Worker>)>> = const { RefCell::new(Vec::new()) };
}

fn in_use() -> MutexGuard<'static, Vec<Used>> {
    let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    in_use.retain(|used| used.shared.strong_count() > 0);
    in_use
}

/// How each Redis in use fares.
pub fn redis_status() -> Vec<RedisStatus> {
    let in_use = in_use();
    in_use
        .iter()
        .filter_map(|used| Some(used.shared.upgrade()?.status()))
        .collect()
}

/// Writes what is not written yet, for so long at most. Tells how many charges are left. For the end of the process, when no
/// worker runs any more; must not be called on a runtime.
pub fn write_pending(patience: Duration) -> usize {
    let all: Vec<Arc<Shared>> = in_use().iter().filter_map(|used| used.shared.upgrade()).collect();
    let pending = || all.iter().map(|shared| shared.pending()).sum();
    if pending() == 0 {
        return 0;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "charges of limits cannot be written");
            return pending();
        }
    };
    let until = Instant::now() + patience;
    for shared in &all {
        let left = until.saturating_duration_since(Instant::now());
        // What is not written in time is counted below.
        let _ = runtime.block_on(async { tokio::time::timeout(left, worker::write_all(shared)).await });
    }
    runtime.shutdown_background();
    let left = pending();
    if left > 0 {
        tracing::error!(left, "charges of limits could not be written before the end");
    }
    left
}

impl Redis {
    /// The one with these settings. `tls` is what encrypted connections use; the settings say whether they are. The observer
    /// is that of the first who asked.
    pub fn shared(
        settings: RedisSettings,
        tls: Option<Arc<ClientConfig>>,
        observer: impl FnOnce(&str) -> Arc<dyn Observer>,
    ) -> Arc<Self> {
        Self::shared_for(Purpose::Limits, settings, tls, observer)
    }

    /// As [`Redis::shared`], for one purpose.
    pub(crate) fn shared_for(
        purpose: Purpose,
        settings: RedisSettings,
        tls: Option<Arc<ClientConfig>>,
        observer: impl FnOnce(&str) -> Arc<dyn Observer>,
    ) -> Arc<Self> {
        let mut identity = settings.identity();
        identity.push(purpose as u8);
        let mut in_use = in_use();
        let known = in_use.iter().filter(|used| used.identity == identity);
        if let Some(redis) = known.filter_map(|used| used.redis.upgrade()).next() {
            return redis;
        }
        let name = settings.servers.to_string();
        let shared = Arc::new(Shared {
            purpose,
            observer: observer(&name),
            name,
            tls: tls.filter(|_| settings.encryption != Encryption::Off),
            process: format!("{:x}", RandomState::new().hash_one(std::process::id())),
            lanes: Mutex::default(),
            circuits: Mutex::default(),
            figures: Figures::default(),
            is_unused: AtomicBool::new(false),
            #[cfg(test)]
            given_now_ms: AtomicU64::new(0),
            settings,
        });
        let redis = Arc::new(Redis {
            shared: shared.clone(),
        });
        in_use.push(Used {
            identity,
            redis: Arc::downgrade(&redis),
            shared: Arc::downgrade(&shared),
        });
        redis
    }

    /// How it fares.
    pub fn status(&self) -> RedisStatus {
        self.shared.status()
    }

    /// This thread's side of it.
    fn worker(self: &Arc<Self>) -> Arc<Worker> {
        WORKERS.with_borrow_mut(|workers| {
            let known = workers
                .iter()
                .find(|(redis, _)| std::ptr::eq(redis.as_ptr(), Arc::as_ptr(self)));
            if let Some((_, worker)) = known {
                return worker.clone();
            }
            workers.retain(|(redis, _)| redis.strong_count() > 0);
            let worker = Worker::new(self.shared.clone());
            workers.push((Arc::downgrade(self), worker.clone()));
            worker
        })
    }

    /// Asks limits. Must be called on a worker's thread, within its runtime.
    pub(super) async fn decide(
        self: Arc<Self>,
        asks: &[Ask],
        keys: &[String],
        together: Together,
        ids: &[u64],
    ) -> Result<Vec<Answer>, Unavailable> {
        let worker = self.worker();
        let decided = worker.decide(asks, keys, together, ids).await;
        self.shared.count(&decided);
        decided
    }

    /// Asks for places.
    pub(super) async fn enter(
        self: Arc<Self>,
        enters: &[Enter],
        keys: &[String],
        ids: &[u64],
    ) -> Result<Vec<(bool, u64)>, Unavailable> {
        let worker = self.worker();
        let entered = worker.enter(enters, keys, ids).await;
        self.shared.count(&entered);
        entered
    }

    /// Sends a command about one key, and waits for the answer within the bounds of time and number.
    pub(crate) async fn command(self: &Arc<Self>, key: &str, command: &Cmd) -> Result<Value, Unavailable> {
        let worker = self.worker();
        let answer = worker.command(key, command).await;
        self.shared.count(&answer);
        answer
    }

    pub(super) fn add(self: &Arc<Self>, key: String, limit: Limit, amount: u64) {
        self.worker().charge(key, What::Add { limit, amount });
    }

    pub(super) fn settle(self: &Arc<Self>, key: String, limit: Limit, held: Held, used: u64) {
        self.worker().charge(key, What::Settle { limit, held, used });
    }

    pub(super) fn give_back(self: &Arc<Self>, key: String, held: Held) {
        self.worker().charge(key, What::GiveBack { held });
    }

    pub(super) fn leave(self: &Arc<Self>, key: String, id: u64) {
        self.worker().charge(key, What::Leave { id });
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.shared.is_unused.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn count<T>(&self, decided: &Result<T, Unavailable>) {
        if decided.is_ok() {
            self.figures.decided.fetch_add(1, Ordering::Relaxed);
        } else {
            self.figures.undecided.fetch_add(1, Ordering::Relaxed);
            self.observer.undecided();
        }
    }

    /// Tells that charges are given up; the log only when it is the first time.
    fn count_dropped(&self, charges: u64) {
        let before = self.figures.dropped.fetch_add(charges, Ordering::Relaxed);
        self.observer.dropped(charges);
        if before == 0 {
            tracing::error!(redis = %self.name, charges, "charges of limits are given up, because Redis has not taken them for too long");
        }
    }

    fn status(&self) -> RedisStatus {
        let circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        RedisStatus {
            name: self.name.clone(),
            is_answering: circuits.values().all(|circuit| circuit.is_well()),
            decided: self.figures.decided.load(Ordering::Relaxed),
            undecided: self.figures.undecided.load(Ordering::Relaxed),
            pending: u64::try_from(self.pending()).unwrap_or(u64::MAX),
            dropped: self.figures.dropped.load(Ordering::Relaxed),
        }
    }

    fn pending(&self) -> usize {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().map(|lane| lane.len()).sum()
    }

    fn new_lane(&self) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = Arc::new(Lane::new(&self.process, lanes.len()));
        lanes.push(lane.clone());
        lane
    }

    /// What is known of a server.
    fn circuit(&self, name: &str) -> Arc<Circuit> {
        let mut circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        let circuit = circuits
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Circuit::new(name.to_owned(), self.purpose, self.observer.clone())));
        circuit.clone()
    }

    /// Whether no limit uses it any more.
    fn is_unused(&self) -> bool {
        self.is_unused.load(Ordering::Relaxed)
    }

    /// The time scripts use: 0 is that of the server.
    #[cfg(not(test))]
    fn now_ms(&self) -> u64 {
        0
    }

    #[cfg(test)]
    fn now_ms(&self) -> u64 {
        self.given_now_ms.load(Ordering::Relaxed)
    }

    fn login(&self) -> RedisConnectionInfo {
        let login = &self.settings.login;
        let database = i64::from(self.settings.database);
        sign_in(&login.username, &login.password).set_db(database)
    }

    fn sentinel_login(&self) -> RedisConnectionInfo {
        let login = &self.settings.login;
        sign_in(&login.sentinel_username, &login.sentinel_password)
    }
}

/// Reads bytes as the answers that are read of a server: of scripts, and which node has which keys. For the fuzzer.
pub fn fuzz_answer(bytes: &[u8]) {
    let Ok(answer) = redis::parse_redis_value(bytes) else {
        return;
    };
    let _ = worker::rows::<4>(&answer);
    let _ = worker::rows::<2>(&answer);
    let asked = Address {
        host: "asked".to_owned(),
        port: 6379,
    };
    if let Some(map) = slots::SlotMap::read(&answer, &asked) {
        for slot in [0, 1, 8191, u16::MAX] {
            assert!(
                map.node(slot)
                    .is_none_or(|node| map.nodes().any(|known| known == node))
            );
        }
    }
}

fn sign_in(username: &Option<String>, password: &Option<tollgate_resources::Secret>) -> RedisConnectionInfo {
    let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
    // As APISIX has it: without a password nobody signs in.
    if let Some(password) = password.as_ref().filter(|password| !password.expose().is_empty()) {
        info = info.set_password(password.expose());
        if let Some(username) = username {
            info = info.set_username(username);
        }
    }
    info
}

#[cfg(test)]
mod tests;
