//! The thread `telemetry` and the queues that are served there.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle as Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::counters::Counters;
use super::limits::Limits;
use super::queue::{Handle, Queue};
use super::report::{self, Report};
use super::sender;
use super::shared::Shared;
use super::sink::Sink;
use crate::metrics::Metrics;

/// A handle to the thread that delivers; clones are cheap. It runs until [`flush_and_stop`](Hub::flush_and_stop).
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Runtime,
    metrics: Arc<Metrics>,
    registry: Mutex<Registry>,
    /// Told when a queue is over.
    ended: Condvar,
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Registry {
    /// Queues that have senders, also those that only send what is left.
    running: HashMap<u64, Arc<dyn Running>>,
    /// Queues that can be shared, by the type of their entries and their identity.
    known: HashMap<(TypeId, String), Weak<dyn Any + Send + Sync>>,
    next: u64,
    is_stopped: bool,
}

/// A queue of any type, as a shutdown sees it.
trait Running: Send + Sync {
    fn close(&self);
    fn abandon(&self);
    fn report(&self) -> &Report;
}

impl<T: Send + 'static> Running for Shared<T> {
    fn close(&self) {
        Shared::close(self);
    }

    fn abandon(&self) {
        Shared::abandon(self);
    }

    fn report(&self) -> &Report {
        &self.report
    }
}

impl Hub {
    /// Starts the thread.
    ///
    /// # Errors
    /// The thread or its runtime cannot be made.
    pub fn start(metrics: Arc<Metrics>) -> io::Result<Hub> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let hub = Hub::on(runtime.handle().clone(), metrics);
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(move || {
                // Also ends when the hub is gone.
                let _ = runtime.block_on(stopped);
                // A name that is being looked up must not hold up the end.
                runtime.shutdown_background();
            })?;
        *hub.inner.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(Thread { stop, thread });
        Ok(hub)
    }

    /// A hub whose queues are served by a runtime that somebody else runs.
    pub(crate) fn on(runtime: Runtime, metrics: Arc<Metrics>) -> Hub {
        Hub {
            inner: Arc::new(Inner {
                runtime,
                metrics,
                registry: Mutex::default(),
                ended: Condvar::new(),
                thread: Mutex::new(None),
            }),
        }
    }

    /// The numbers that queues count into.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.metrics
    }

    /// Runs something on the thread. It must not block it; it is dropped when the hub stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.inner.runtime.spawn(task));
    }

    /// The thread's runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.inner.runtime
    }

    /// A new queue. `sink` names it in metrics and in our own log; `connect` makes the peer of each sender.
    pub fn queue<T, S>(&self, sink: &str, limits: Limits, connect: impl Fn() -> S) -> Queue<T>
    where
        T: Send + Sync + 'static,
        S: Sink<T>,
    {
        let report = Arc::new(Report::new(sink));
        let counters = Counters::new(&self.inner.metrics, sink);
        let shared = Arc::new(Shared::new(limits, counters, report));
        let mut registry = self.inner.registry();
        if registry.is_stopped {
            shared.close();
            return Queue::new(shared);
        }
        let number = registry.next;
        registry.next += 1;
        registry.running.insert(number, shared.clone());
        drop(registry);
        let mut senders = JoinSet::new();
        for _ in 0..limits.senders.max(1) {
            senders.spawn_on(sender::run(shared.clone(), connect()), &self.inner.runtime);
        }
        let reporter = self.inner.runtime.spawn(report::run(shared.report.clone()));
        let inner = Arc::downgrade(&self.inner);
        let queue = shared.clone();
        self.spawn(async move {
            while senders.join_next().await.is_some() {}
            // Nobody sends any more, so nobody may wait.
            queue.abandon();
            reporter.abort();
            queue.report.tell();
            if let Some(inner) = inner.upgrade() {
                inner.registry().running.remove(&number);
                inner.ended.notify_all();
            }
        });
        Queue::new(shared)
    }

    /// The queue of this identity if somebody still keeps it, else a new one as by [`queue`](Hub::queue).
    ///
    /// The identity holds all that makes two queues differ, such as a configuration's text: so a queue outlives a change
    /// of the configuration that does not change it.
    pub fn shared_queue<T, S>(
        &self,
        identity: &str,
        sink: &str,
        limits: Limits,
        connect: impl Fn() -> S,
    ) -> Queue<T>
    where
        T: Send + Sync + 'static,
        S: Sink<T>,
    {
        let key = (TypeId::of::<T>(), identity.to_owned());
        let there = self.inner.registry().known.get(&key).and_then(Weak::upgrade);
        if let Some(handle) = there.and_then(|handle| handle.downcast::<Handle<T>>().ok()) {
            return Queue::of(handle);
        }
        let queue = self.queue(sink, limits, connect);
        let handle: Arc<dyn Any + Send + Sync> = queue.handle().clone();
        let mut registry = self.inner.registry();
        registry.known.retain(|_, handle| handle.strong_count() > 0);
        registry.known.insert(key, Arc::downgrade(&handle));
        queue
    }

    /// Takes no entries any more, sends those that wait, for at most `wait`, and ends the thread. Blocks its caller.
    ///
    /// Returns whether every entry has its fate. Those that do not are counted as dropped and told in our own log.
    pub fn flush_and_stop(&self, wait: Duration) -> bool {
        self.close_all();
        let deadline = Instant::now() + wait;
        let mut registry = self.inner.registry();
        while !registry.running.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            registry = self
                .inner
                .ended
                .wait_timeout(registry, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let left: Vec<_> = registry.running.values().cloned().collect();
        drop(registry);
        for queue in &left {
            queue.abandon();
        }
        let thread = self
            .inner
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Thread { stop, thread }) = thread {
            drop(stop);
            let _ = thread.join();
        }
        for queue in &left {
            queue.report().tell();
        }
        left.is_empty()
    }

    fn close_all(&self) {
        let mut registry = self.inner.registry();
        registry.is_stopped = true;
        for queue in registry.running.values() {
            queue.close();
        }
    }
}

impl Inner {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hub").finish_non_exhaustive()
    }
}
