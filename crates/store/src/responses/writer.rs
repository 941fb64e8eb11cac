//! The thread that writes, so that no call waits for a disk or for Redis.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::embedded::{Change, Embedded};
use super::memory::Cost;
use super::record::{Key, Name, Record};
use super::remote::Remote;
use super::{Home, Refusal, ResponseStoreError, Shared};

/// Jobs that may wait.
const MAX_JOBS: usize = 4096;

/// Bytes of records that may wait.
const MAX_WAITING_BYTES: usize = 128 * 1024 * 1024;

/// Jobs that are written in one transaction, or to Redis at the same time.
const BATCH: usize = 64;

/// Time between two looks for what has expired.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Expired records that are removed in one transaction, so that those that are written need not wait for long.
const SWEEP: usize = 1000;

/// Something to be done, in the order of its parts.
pub(super) struct Job {
    pub(super) parts: Vec<What>,
    when_done: Option<WhenDone>,
    /// The number under which its parts wait.
    number: u64,
}

type WhenDone = Box<dyn FnOnce(Result<Vec<bool>, ResponseStoreError>) + Send + Sync>;

/// A part of a job.
pub(super) enum What {
    /// Keep a record.
    Put(Name, Arc<Record>),
    /// Keep one that is there for longer.
    Renew(Key),
    /// Remove one.
    Delete(Name),
}

impl Job {
    pub(super) fn new(parts: Vec<What>) -> Self {
        Job {
            parts,
            when_done: None,
            number: 0,
        }
    }

    /// Calls this with, for each part, whether the record was there.
    pub(super) fn when_done(
        &mut self,
        when_done: impl FnOnce(Result<Vec<bool>, ResponseStoreError>) + Send + Sync + 'static,
    ) {
        self.when_done = Some(Box::new(when_done));
    }

    /// How many records it keeps.
    pub(super) fn records(&self) -> u64 {
        let puts = self.parts.iter().filter(|part| matches!(part, What::Put(..)));
        puts.count() as u64
    }

    fn bytes(&self) -> usize {
        let sizes = self.parts.iter().map(|part| match part {
            What::Put(_, record) => record.size(),
            What::Renew(_) | What::Delete(_) => 0,
        });
        sizes.sum()
    }

    /// The records it changes, with what they become.
    fn changed(&self) -> impl Iterator<Item = (Key, Option<&Arc<Record>>)> {
        self.parts.iter().filter_map(|part| match part {
            What::Put(name, record) => Some((name.key(), Some(record))),
            What::Delete(name) => Some((name.key(), None)),
            What::Renew(_) => None,
        })
    }

    fn end(&mut self, result: Result<Vec<bool>, ResponseStoreError>) {
        if let Some(when_done) = self.when_done.take() {
            when_done(result);
        }
    }
}

/// What waits to be written: it counts as written for those who read.
#[derive(Default)]
pub(super) struct Waiting {
    records: HashMap<Key, (u64, Option<Arc<Record>>)>,
    last: u64,
}

impl Waiting {
    /// What becomes of a record; `None` if nothing does.
    pub(super) fn get(&self, key: &Key) -> Option<Option<Arc<Record>>> {
        self.records.get(key).map(|(_, record)| record.clone())
    }

    fn add(&mut self, job: &mut Job) {
        self.last += 1;
        job.number = self.last;
        for (key, record) in job.changed() {
            self.records.insert(key, (job.number, record.cloned()));
        }
    }

    /// A job is done, or will not be done. What a later job does to the same records still waits.
    fn remove(&mut self, job: &Job) {
        for (key, _) in job.changed() {
            if self
                .records
                .get(&key)
                .is_some_and(|(number, _)| *number == job.number)
            {
                self.records.remove(&key);
            }
        }
    }
}

/// The thread and its queue.
pub(super) struct Writer {
    /// `None` when it shall end.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    waiting_bytes: Arc<AtomicUsize>,
    waiting_records: Arc<AtomicUsize>,
    /// Says nothing; its other side is gone when the thread has ended.
    ended: Mutex<blocking::Receiver<()>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(MAX_JOBS);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let waiting_records = Arc::new(AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let work = Work {
            shared,
            waiting_bytes: waiting_bytes.clone(),
            waiting_records: waiting_records.clone(),
            has_failed: AtomicBool::new(false),
        };
        let (ends, ended) = blocking::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("responses".to_owned())
            .spawn(move || {
                let _ends: blocking::SyncSender<()> = ends;
                runtime.block_on(work.run(queue));
            })?;
        Ok(Writer {
            jobs: Mutex::new(Some(jobs)),
            waiting_bytes,
            waiting_records,
            ended: Mutex::new(ended),
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn enqueue(&self, shared: &Shared, mut job: Job) -> Result<(), Refusal> {
        let (bytes, records) = (job.bytes(), usize::try_from(job.records()).unwrap_or(usize::MAX));
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        // Both locks are held until it is in the queue, so that jobs for one record are numbered in the order of the queue.
        let mut waiting = shared.waiting();
        let waiting_bytes = self.waiting_bytes.load(Ordering::Acquire).saturating_add(bytes);
        if bytes > 0 && waiting_bytes > MAX_WAITING_BYTES {
            return Err(Refusal::QueueFull);
        }
        let place = match jobs.as_ref().map(mpsc::Sender::try_reserve) {
            Some(Ok(place)) => place,
            Some(Err(mpsc::error::TrySendError::Full(()))) => return Err(Refusal::QueueFull),
            Some(Err(mpsc::error::TrySendError::Closed(()))) | None => return Err(Refusal::Failed),
        };
        self.waiting_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.waiting_records.fetch_add(records, Ordering::AcqRel);
        waiting.add(&mut job);
        place.send(job);
        Ok(())
    }

    /// Takes nothing more, and waits until what is in the queue is written, for so long at most. Tells how many records are
    /// left.
    pub(super) fn finish(&self, patience: Duration) -> usize {
        self.close();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(patience) == Err(blocking::RecvTimeoutError::Timeout) {
            // It is not waited for again when this is dropped.
            drop(self.thread());
        }
        self.waiting_records.load(Ordering::Acquire)
    }

    fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn thread(&self) -> Option<JoinHandle<()>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Writes what waits, so that the file is closed when this is gone.
impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.thread() {
            // If it has panicked, that was told.
            let _ = thread.join();
        }
    }
}

/// What the thread does.
struct Work {
    shared: Arc<Shared>,
    waiting_bytes: Arc<AtomicUsize>,
    waiting_records: Arc<AtomicUsize>,
    /// Whether the last batch failed, so that the log is told only once.
    has_failed: AtomicBool,
}

impl Work {
    async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut sweeps = tokio::time::interval(SWEEP_INTERVAL);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut jobs = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                received = queue.recv_many(&mut jobs, BATCH) => {
                    if received == 0 {
                        return;
                    }
                    self.write(&mut jobs).await;
                }
                _ = sweeps.tick() => {
                    if self.sweep() {
                        // There are more; but what waits has its turn in between.
                        sweeps.reset_immediately();
                    }
                }
            }
        }
    }

    async fn write(&self, jobs: &mut Vec<Job>) {
        match &self.shared.home {
            Home::Embedded(embedded) => self.write_to_file(embedded, jobs),
            Home::Remote(_) => self.write_to_redis(jobs).await,
            Home::Memory(_) => {}
        }
        for job in jobs.drain(..) {
            self.waiting_bytes.fetch_sub(job.bytes(), Ordering::AcqRel);
            let records = usize::try_from(job.records()).unwrap_or(usize::MAX);
            self.waiting_records.fetch_sub(records, Ordering::AcqRel);
        }
    }

    fn write_to_file(&self, embedded: &Embedded, jobs: &mut [Job]) {
        let expires_s = self.shared.expires_s();
        let parts = jobs.iter().flat_map(|job| &job.parts);
        let changes: Vec<Change<'_>> = parts
            .map(|part| match part {
                What::Put(name, record) => Change::Put {
                    name,
                    record,
                    expires_s,
                },
                What::Renew(key) => Change::Renew { key: *key, expires_s },
                What::Delete(name) => Change::Delete { key: name.key() },
            })
            .collect();
        if changes.is_empty() {
            jobs.iter_mut().for_each(|job| job.end(Ok(Vec::new())));
            return;
        }
        let records = jobs.iter().map(Job::records).sum();
        match embedded.apply(&changes, self.shared.now_s()) {
            Ok(done) => {
                let mut found = done.found.into_iter();
                self.succeeded(records, done.cost);
                for job in jobs {
                    let found = found.by_ref().take(job.parts.len()).collect();
                    self.shared.waiting().remove(job);
                    job.end(Ok(found));
                }
            }
            Err(error) => {
                self.failed(records, &error);
                for job in jobs {
                    self.shared.waiting().remove(job);
                    job.end(Err(ResponseStoreError::Refused(Refusal::Failed)));
                }
            }
        }
    }

    /// Writes jobs side by side, but those for the same record one after the other.
    async fn write_to_redis(&self, jobs: &mut Vec<Job>) {
        let mut rest = std::mem::take(jobs).into_iter().peekable();
        while rest.peek().is_some() {
            let mut keys = HashSet::new();
            let mut writing = JoinSet::new();
            while let Some(job) = rest.next_if(|job| job.changed().all(|(key, _)| !keys.contains(&key))) {
                keys.extend(job.changed().map(|(key, _)| key));
                let shared = self.shared.clone();
                writing.spawn(async move {
                    let result = match &shared.home {
                        Home::Remote(remote) => write_job(remote, &job, shared.settings.ttl_s).await,
                        Home::Memory(_) | Home::Embedded(_) => Ok(Vec::new()),
                    };
                    (job, result)
                });
            }
            while let Some(written) = writing.join_next().await {
                let Ok((mut job, result)) = written else {
                    continue;
                };
                match &result {
                    Ok(_) => self.succeeded(job.records(), Cost::default()),
                    Err(error) => self.failed(job.records(), error),
                }
                self.shared.waiting().remove(&job);
                job.end(result);
                jobs.push(job);
            }
        }
    }

    /// Removes some of what has expired; whether there is more.
    fn sweep(&self) -> bool {
        let Home::Embedded(embedded) = &self.shared.home else {
            return false;
        };
        match embedded.sweep(SWEEP, self.shared.now_s()) {
            Ok(cost) => {
                self.shared.tell(0, cost);
                cost.expired >= SWEEP as u64
            }
            Err(error) => {
                self.failed(0, &error);
                false
            }
        }
    }

    fn succeeded(&self, records: u64, cost: Cost) {
        if self.has_failed.swap(false, Ordering::Relaxed) {
            tracing::info!("conversations are kept again");
        }
        self.shared.tell(records, cost);
    }

    fn failed(&self, records: u64, error: &dyn std::fmt::Display) {
        if records > 0 {
            self.shared.settings.observer.refused(Refusal::Failed, records);
        }
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "conversations cannot be kept; until they can, they cannot be continued either");
        }
    }
}

/// Writes the parts of a job in their order.
async fn write_job(remote: &Remote, job: &Job, ttl_s: u64) -> Result<Vec<bool>, ResponseStoreError> {
    let mut found = Vec::with_capacity(job.parts.len());
    for part in &job.parts {
        found.push(match part {
            What::Put(name, record) => {
                remote.put(name, record, ttl_s).await?;
                false
            }
            What::Renew(key) => {
                remote.renew(key, ttl_s).await?;
                false
            }
            What::Delete(name) => remote.delete(&name.key()).await?,
        });
    }
    Ok(found)
}
