//! Conversations: what clients of OpenAI's Responses API may refer to later, kept for each consumer and for a time.
//!
//! There are three homes: a file in the data directory ([`embedded`]), Redis, which several gateways share ([`remote`]), and
//! this process' memory ([`memory`]). A [`Record`] is one turn; it names the one before it, so that a long conversation is not
//! written anew with every turn, and [`ResponseStore::chain`] walks from the last to the first, within bounds.
//!
//! * Who may read what: a record is found under its owner and its id only. A foreign id is as unknown as one that never was.
//! * Writing: [`ResponseStore::remember`] returns at once; a thread of the store writes ([`writer`]). What waits to be written
//!   is found already. The queue is bounded, and what does not fit is told to the [`Observer`].
//! * Time: a record that has expired is not found, and removed soon. When a chain goes on, all of it is kept for as long as its
//!   newest record.
//! * Space: a file and memory have a bound. When it is reached, the oldest records of whoever has most make room.
//! * Encryption: records in the file are sealed (AES-256-GCM, a key of its own for each, see [`StoreKey`]), in Redis when there is
//!   a key for them. Owners and ids are hashed. What can be seen is how many there are, how long, and when they expire.

mod embedded;
mod memory;
mod record;
mod remote;
mod totals;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_rustls::rustls::ClientConfig;

use self::embedded::Embedded;
use self::memory::{Cost, Memory};
use self::record::{Key, Name, Sealing};
use self::remote::Remote;
use self::writer::{Job, What, Writer};
use crate::counters::redis::{Purpose, Redis};
use crate::counters::{Observer as ConnectionObserver, RedisSettings, Unavailable};
use crate::error::StoreError;
use crate::key::StoreKey;

pub use record::Record;

/// How often a record that is not there is looked for in a shared file, and the time between two looks.
const OTHERS_WRITES: u32 = 10;
const OTHERS_TIME: Duration = Duration::from_millis(50);

/// Where conversations are kept.
pub struct ResponseStore {
    shared: Arc<Shared>,
    /// `None` for records in memory, which need no thread.
    writer: Option<Writer>,
}

/// How records are kept.
pub struct Settings {
    /// How long, in seconds; above 0.
    pub ttl_s: u64,
    /// Longest record, in bytes. A longer one is refused.
    pub max_record_bytes: u64,
    /// Bytes of all records together; of those in Redis, Redis' own configuration decides.
    pub max_bytes: u64,
    /// The current time in seconds since 1970.
    pub clock: Clock,
    /// Is told what happens to records.
    pub observer: Arc<dyn Observer>,
}

/// Tells the time in seconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Is told what happens to records, at the moment it happens. It must not block.
pub trait Observer: Send + Sync {
    /// So many records were kept.
    fn kept(&self, records: u64);
    /// So many records were not kept.
    fn refused(&self, why: Refusal, records: u64);
    /// So many records have made room for others before their time.
    fn evicted(&self, records: u64);
    /// So many records have expired and were removed. Redis does not tell.
    fn expired(&self, records: u64);
    /// So many bytes are in the file or in memory.
    fn holds(&self, bytes: u64);
}

/// Tells nobody.
impl Observer for () {
    fn kept(&self, _: u64) {}
    fn refused(&self, _: Refusal, _: u64) {}
    fn evicted(&self, _: u64) {}
    fn expired(&self, _: u64) {}
    fn holds(&self, _: u64) {}
}

/// Why a record was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It is too large.
    TooLarge,
    /// Too many wait to be written.
    QueueFull,
    /// The disk or Redis did not take it.
    Failed,
}

impl Refusal {
    /// All.
    pub const ALL: [Refusal; 3] = [Refusal::TooLarge, Refusal::QueueFull, Refusal::Failed];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::TooLarge => "too_large",
            Refusal::QueueFull => "queue_full",
            Refusal::Failed => "failed",
        }
    }
}

/// Why nothing could be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ResponseStoreError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] StoreError),
    /// Redis cannot be asked.
    #[error("Redis: {0}")]
    Redis(#[from] Unavailable),
    /// A record was written with another key, or was changed since.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It was not kept.
    #[error("not kept: {}", .0.name())]
    Refused(Refusal),
    /// The system gives no thread.
    #[error("the thread that writes cannot be started: {0}")]
    Thread(std::io::Error),
    /// The thread that writes has ended.
    #[error("the store is closed")]
    Closed,
}

/// A record was written with another key, or was changed since.
#[derive(Debug, thiserror::Error)]
#[error("a record cannot be read with the key there is")]
pub struct Unreadable;

/// How far a chain is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Most records.
    pub max_records: usize,
    /// Bytes of all their bodies together.
    pub max_bytes: usize,
}

/// Why there is no chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// A record of it is not there: the last one, or one before it that was deleted, or whose time was over.
    #[error("there is no record {id}")]
    Missing {
        /// Its id.
        id: String,
    },
    /// It has more records than it may.
    #[error("more than {0} records")]
    TooLong(usize),
    /// It has more bytes than it may.
    #[error("more than {0} bytes")]
    TooLarge(usize),
    /// It could not be read.
    #[error(transparent)]
    Store(#[from] ResponseStoreError),
}

/// A record of a chain, with its id.
pub type Link = (String, Arc<Record>);

struct Shared {
    home: Home,
    settings: Settings,
    waiting: Mutex<writer::Waiting>,
}

enum Home {
    Memory(Memory),
    Embedded(Embedded),
    Remote(Remote),
}

impl ResponseStore {
    /// A store that is empty again when the process ends.
    pub fn in_memory(settings: Settings) -> Self {
        let memory = Memory::new(settings.max_bytes);
        ResponseStore {
            shared: Shared::new(Home::Memory(memory), settings),
            writer: None,
        }
    }

    /// Opens `<directory>/responses.db`, or creates it (mode 0600, in a directory with mode 0700).
    ///
    /// # Errors
    /// The file cannot be used, or the system gives no thread.
    pub fn open(directory: &Path, key: StoreKey, settings: Settings) -> Result<Self, ResponseStoreError> {
        Self::open_file(directory, key, settings, false)
    }

    /// As [`ResponseStore::open`], beside another process that has called [`ResponseStore::share`].
    ///
    /// # Errors
    /// As there.
    pub fn open_shared(
        directory: &Path,
        key: StoreKey,
        settings: Settings,
    ) -> Result<Self, ResponseStoreError> {
        Self::open_file(directory, key, settings, true)
    }

    fn open_file(
        directory: &Path,
        key: StoreKey,
        settings: Settings,
        is_shared: bool,
    ) -> Result<Self, ResponseStoreError> {
        let embedded = Embedded::open(directory, key, settings.max_bytes, is_shared)?;
        settings.observer.holds(embedded.cost().kept_bytes);
        Self::with_writer(Home::Embedded(embedded), settings)
    }

    /// A store in Redis. With a key, records are sealed; all gateways that share them need the same one. `tls` is what
    /// encrypted connections use; the settings of Redis say whether they are.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn in_redis(
        redis: RedisSettings,
        tls: Option<Arc<ClientConfig>>,
        key: Option<StoreKey>,
        connection_observer: impl FnOnce(&str) -> Arc<dyn ConnectionObserver>,
        settings: Settings,
    ) -> Result<Self, ResponseStoreError> {
        let remote = Remote {
            redis: Redis::shared_for(Purpose::Responses, redis, tls, connection_observer),
            sealing: key.map_or(Sealing::Off, Sealing::On),
        };
        Self::with_writer(Home::Remote(remote), settings)
    }

    fn with_writer(home: Home, settings: Settings) -> Result<Self, ResponseStoreError> {
        let shared = Shared::new(home, settings);
        let writer = Writer::start(shared.clone()).map_err(ResponseStoreError::Thread)?;
        Ok(ResponseStore {
            shared,
            writer: Some(writer),
        })
    }

    /// Lets other processes use the file too, until this is called with `false`. Each use then opens and closes it, which
    /// is slow: it is meant for the short time in which one process takes over from another.
    pub fn share(&self, is_shared: bool) {
        if let Home::Embedded(embedded) = &self.shared.home {
            embedded.share(is_shared);
        }
    }

    /// How long records are kept, in seconds.
    pub fn ttl_s(&self) -> u64 {
        self.shared.settings.ttl_s
    }

    /// A record, if it is there and this owner's.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn get(&self, owner: &str, id: &str) -> Result<Option<Arc<Record>>, ResponseStoreError> {
        let name = Name::new(owner, id);
        if let Home::Embedded(_) = &self.shared.home {
            return self.blocking(move |shared| shared.look(&name)).await;
        }
        self.shared.find(&name).await
    }

    /// The chain that ends with a record, first record first.
    ///
    /// # Errors
    /// A record of it is missing, it goes too far, or the store cannot be read.
    pub async fn chain(&self, owner: &str, id: &str, reach: Reach) -> Result<Vec<Link>, ChainError> {
        let mut walk = Walk::new(owner, id, reach);
        if let Home::Embedded(_) = &self.shared.home {
            let walk = move |shared: &Shared| {
                let mut walk = walk;
                while let Some(name) = walk.next.take() {
                    match shared.look(&name) {
                        Ok(found) => walk.step(name, found)?,
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(walk.end())
            };
            return self.blocking(walk).await;
        }
        while let Some(name) = walk.next.take() {
            let found = self.shared.find(&name).await?;
            walk.step(name, found)?;
        }
        Ok(walk.end())
    }

    /// Keeps records of one owner, and those with the ids `renew` for as long. Returns at once: they are found from now on,
    /// and written soon. Later records of the same ids replace them.
    ///
    /// # Errors
    /// One is too large, or too many wait to be written; then none is kept, and the [`Observer`] is told.
    pub fn remember(
        &self,
        owner: &str,
        records: Vec<(String, Record)>,
        renew: &[String],
    ) -> Result<(), ResponseStoreError> {
        let job = self.put_job(owner, records, renew)?;
        self.enqueue(job)
    }

    /// As [`ResponseStore::remember`], but returns when they are written.
    ///
    /// # Errors
    /// They could not be written.
    pub async fn put(
        &self,
        owner: &str,
        records: Vec<(String, Record)>,
        renew: &[String],
    ) -> Result<(), ResponseStoreError> {
        let job = self.put_job(owner, records, renew)?;
        self.enqueue_and_wait(job).await.map(drop)
    }

    /// Removes a record of this owner. Returns when it is gone for good, and whether it was there.
    ///
    /// # Errors
    /// It could not be removed.
    pub async fn delete(&self, owner: &str, id: &str) -> Result<bool, ResponseStoreError> {
        let job = Job::new(vec![What::Delete(Name::new(owner, id))]);
        let found = self.enqueue_and_wait(job).await?;
        Ok(found.contains(&true))
    }

    /// Writes what waits, for so long at most. Tells how many records are left. For the end of the process; must not be
    /// called on a runtime.
    pub fn finish(&self, patience: Duration) -> usize {
        match &self.writer {
            Some(writer) => writer.finish(patience),
            None => 0,
        }
    }

    fn put_job(
        &self,
        owner: &str,
        records: Vec<(String, Record)>,
        renew: &[String],
    ) -> Result<Job, ResponseStoreError> {
        let settings = &self.shared.settings;
        let count = records.len() as u64;
        let is_small = |record: &Record| {
            record.size() as u64 <= settings.max_record_bytes
                && record
                    .previous
                    .as_ref()
                    .is_none_or(|id| u16::try_from(id.len()).is_ok())
        };
        if !records.iter().all(|(_, record)| is_small(record)) {
            return Err(self.refused(Refusal::TooLarge, count));
        }
        let renew = renew.iter().map(|id| What::Renew(Key::new(owner, id)));
        let records = records
            .into_iter()
            .map(|(id, record)| What::Put(Name::new(owner, &id), Arc::new(record)));
        Ok(Job::new(renew.chain(records).collect()))
    }

    fn enqueue(&self, job: Job) -> Result<(), ResponseStoreError> {
        let Some(writer) = &self.writer else {
            self.shared.apply_in_memory(&job);
            return Ok(());
        };
        let records = job.records();
        writer
            .enqueue(&self.shared, job)
            .map_err(|why| self.refused(why, records))
    }

    async fn enqueue_and_wait(&self, mut job: Job) -> Result<Vec<bool>, ResponseStoreError> {
        if self.writer.is_none() {
            return Ok(self.shared.apply_in_memory(&job));
        }
        let (done, result) = oneshot::channel();
        job.when_done(move |result| {
            // Nobody waits for it any more.
            let _ = done.send(result);
        });
        self.enqueue(job)?;
        result.await.map_err(|_| ResponseStoreError::Closed)?
    }

    fn refused(&self, why: Refusal, records: u64) -> ResponseStoreError {
        self.shared.settings.observer.refused(why, records);
        ResponseStoreError::Refused(why)
    }

    /// Runs something that blocks for the disk where it blocks nobody.
    async fn blocking<T: Send + 'static, E: From<ResponseStoreError> + Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let shared = self.shared.clone();
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(result) => result,
            Err(_) => Err(ResponseStoreError::Closed.into()),
        }
    }
}

impl Shared {
    fn new(home: Home, settings: Settings) -> Arc<Self> {
        Arc::new(Shared {
            home,
            settings,
            waiting: Mutex::default(),
        })
    }

    fn now_s(&self) -> u64 {
        (self.settings.clock)()
    }

    fn expires_s(&self) -> u64 {
        self.now_s().saturating_add(self.settings.ttl_s)
    }

    fn waiting(&self) -> MutexGuard<'_, writer::Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a record where that blocks nobody.
    async fn find(&self, name: &Name) -> Result<Option<Arc<Record>>, ResponseStoreError> {
        let Home::Remote(remote) = &self.home else {
            return self.look(name);
        };
        let waiting = self.waiting().get(&name.key());
        match waiting {
            Some(record) => Ok(record),
            None => Ok(remote.get(name).await?.map(Arc::new)),
        }
    }

    /// Finds a record in memory or in the file. Blocks for the disk.
    fn look(&self, name: &Name) -> Result<Option<Arc<Record>>, ResponseStoreError> {
        match &self.home {
            Home::Memory(memory) => Ok(memory.get(&name.key(), self.now_s())),
            Home::Embedded(embedded) => {
                let waiting = self.waiting().get(&name.key());
                match waiting {
                    Some(record) => Ok(record),
                    None => self.read(embedded, name),
                }
            }
            Home::Remote(_) => Ok(None),
        }
    }

    /// Reads a record from the file. What another process may be about to write is waited for a little: it cannot tell when it
    /// has. Only while an upgrade lasts, and only on threads that wait for the disk.
    #[expect(clippy::disallowed_methods, reason = "on threads that wait for the disk")]
    fn read(&self, embedded: &Embedded, name: &Name) -> Result<Option<Arc<Record>>, ResponseStoreError> {
        for _ in 0..OTHERS_WRITES {
            let found = embedded.get(name, self.now_s())?;
            if found.is_some() || !embedded.is_shared() {
                return Ok(found.map(Arc::new));
            }
            std::thread::sleep(OTHERS_TIME);
        }
        Ok(embedded.get(name, self.now_s())?.map(Arc::new))
    }

    /// Does in memory what a job says. Tells for each part whether the record was there.
    fn apply_in_memory(&self, job: &Job) -> Vec<bool> {
        let Home::Memory(memory) = &self.home else {
            return Vec::new();
        };
        let (now_s, expires_s) = (self.now_s(), self.expires_s());
        let mut found = Vec::with_capacity(job.parts.len());
        for part in &job.parts {
            found.push(match part {
                What::Put(name, record) => {
                    let cost = memory.put(name.key(), record.clone(), expires_s, now_s);
                    self.tell(1, cost);
                    false
                }
                What::Renew(key) => {
                    memory.renew(key, expires_s, now_s);
                    false
                }
                What::Delete(name) => memory.delete(&name.key(), now_s),
            });
        }
        found
    }

    fn tell(&self, kept: u64, cost: Cost) {
        let observer = &self.settings.observer;
        if kept > 0 {
            observer.kept(kept);
        }
        if cost.expired > 0 {
            observer.expired(cost.expired);
        }
        if cost.evicted > 0 {
            observer.evicted(cost.evicted);
        }
        observer.holds(cost.kept_bytes);
    }
}

/// The way from the last record of a chain to its first.
struct Walk {
    owner: String,
    reach: Reach,
    next: Option<Name>,
    /// Last record first.
    links: Vec<Link>,
    bytes: usize,
}

impl Walk {
    fn new(owner: &str, id: &str, reach: Reach) -> Self {
        Walk {
            owner: owner.to_owned(),
            reach,
            next: Some(Name::new(owner, id)),
            links: Vec::new(),
            bytes: 0,
        }
    }

    fn step(&mut self, name: Name, found: Option<Arc<Record>>) -> Result<(), ChainError> {
        let Some(record) = found else {
            return Err(ChainError::Missing { id: name.id });
        };
        if self.links.len() >= self.reach.max_records {
            return Err(ChainError::TooLong(self.reach.max_records));
        }
        self.bytes = self.bytes.saturating_add(record.body.len());
        if self.bytes > self.reach.max_bytes {
            return Err(ChainError::TooLarge(self.reach.max_bytes));
        }
        self.next = record.previous.as_deref().map(|id| Name::new(&self.owner, id));
        self.links.push((name.id, record));
        Ok(())
    }

    fn end(mut self) -> Vec<Link> {
        self.links.reverse();
        self.links
    }
}

#[cfg(test)]
mod tests;
