//! Keeps the values in use fresh: knows what is due when, runs the fetches, and tells the gateway what they gave.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};
use tollgate_resources::Secret;

use super::fetch::{FetchError, Fetcher, Reference};
use super::{Ask, Timing};
use crate::Gateway;

/// Fetches that run at the same time, so that a manager is not flooded.
const MAX_FETCHES: usize = 16;

/// Serves asks and looks for what is due, until nobody can ask any more.
pub(super) async fn run(gateway: Weak<Gateway>, timing: Timing, mut asks: mpsc::Receiver<Ask>) {
    let mut looks = interval_at(Instant::now() + timing.look_every, timing.look_every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let keeper = Rc::new(Keeper {
        gateway,
        timing,
        entries: RefCell::default(),
        paused: RefCell::default(),
        fetches: Cell::default(),
        permits: Semaphore::new(MAX_FETCHES),
        fetcher: Fetcher::default(),
    });
    keeper.look(None);
    loop {
        tokio::select! {
            _ = looks.tick() => keeper.look(None),
            ask = asks.recv() => match ask {
                Some(Ask::Fetch { wanted, done }) => {
                    keeper.paused.borrow_mut().retain(|manager, _| !wanted.managers.contains(manager));
                    keeper.fetch(wanted.references, done);
                }
                #[cfg(test)]
                Some(Ask::Look { done }) => keeper.look(Some(done)),
                None => return,
            },
        }
    }
}

struct Keeper {
    gateway: Weak<Gateway>,
    timing: Timing,
    /// By reference.
    entries: RefCell<HashMap<String, Entry>>,
    /// Until when managers are left alone, by `<manager>/<id>`.
    paused: RefCell<HashMap<String, Duration>>,
    /// Fetches so far.
    fetches: Cell<u64>,
    permits: Semaphore,
    fetcher: Fetcher,
}

/// What is known about fetching one reference.
#[derive(Default)]
struct Entry {
    /// When it is fetched next.
    due: Duration,
    /// Number of its last fetch. Only what that gives counts: an earlier one may have asked a manager's old address.
    fetch: u64,
}

impl Keeper {
    fn now(&self) -> Duration {
        (self.timing.clock)().running
    }

    /// Starts fetching what is due, and forgets what is not in use any more.
    fn look(self: &Rc<Self>, done: Option<oneshot::Sender<()>>) {
        let Some(gateway) = self.gateway.upgrade() else {
            return;
        };
        let used = gateway.references_to_managers();
        let now = self.now();
        let mut unused = Vec::new();
        let due: BTreeSet<String> = {
            let mut entries = self.entries.borrow_mut();
            entries.retain(|reference, _| {
                let is_used = used.contains(reference);
                if !is_used {
                    unused.push((reference.clone(), None));
                }
                is_used
            });
            used.into_iter()
                .filter(|reference| entries.get(reference).is_none_or(|entry| entry.due <= now))
                .collect()
        };
        self.fetch(due, done);
        gateway.set_secrets(unused);
        self.fetcher.close_idle();
    }

    /// Starts fetching.
    fn fetch(self: &Rc<Self>, references: BTreeSet<String>, done: Option<oneshot::Sender<()>>) {
        let next = self.now() + self.timing.retry_after;
        let mut entries = self.entries.borrow_mut();
        let batch: Vec<(String, u64)> = references
            .into_iter()
            .map(|reference| {
                let entry = entries.entry(reference.clone()).or_default();
                // Whatever comes of this fetch sets the time anew.
                entry.due = next;
                self.fetches.set(self.fetches.get() + 1);
                entry.fetch = self.fetches.get();
                (reference, entry.fetch)
            })
            .collect();
        drop(entries);
        tokio::task::spawn_local(self.clone().run_batch(batch, done));
    }

    /// Fetches all of a batch and tells the gateway: after the time of one fetch what has arrived, later the rest.
    async fn run_batch(self: Rc<Self>, batch: Vec<(String, u64)>, mut done: Option<oneshot::Sender<()>>) {
        let mut running = JoinSet::new();
        for (reference, fetch) in batch {
            let keeper = self.clone();
            running.spawn_local(async move {
                let outcome = keeper.fetch_one(&reference).await;
                (reference, fetch, outcome)
            });
        }
        loop {
            let deadline = Instant::now() + self.timing.fetch_within;
            let mut told = Vec::new();
            let all_ended = loop {
                match timeout_at(deadline, running.join_next()).await {
                    Ok(Some(Ok((reference, fetch, outcome)))) => {
                        told.extend(self.record(reference, fetch, outcome));
                    }
                    // One that panicked has told so; its reference is due again after the time of a failure.
                    Ok(Some(Err(_))) => {}
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            if let Some(gateway) = self.gateway.upgrade() {
                gateway.set_secrets(told);
            }
            if let Some(done) = done.take() {
                // Nobody may be waiting any more.
                let _ = done.send(());
            }
            if all_ended {
                return;
            }
        }
    }

    async fn fetch_one(&self, reference: &str) -> Result<Secret, FetchError> {
        let reference = Reference::parse(reference)?;
        // Never closed, so there always is one in the end.
        let _permit = self.permits.acquire().await;
        let is_paused = |until: &Duration| self.now() < *until;
        if self
            .paused
            .borrow()
            .get(&reference.manager)
            .is_some_and(is_paused)
        {
            return Err(FetchError::LeftAlone);
        }
        let Some(gateway) = self.gateway.upgrade() else {
            return Err(FetchError::NoManager(reference.manager));
        };
        let conf = gateway
            .manager_of_secrets(&reference.manager)
            .ok_or_else(|| FetchError::NoManager(reference.manager.clone()))?;
        let conf = gateway.secrets().resolve(&conf)?;
        drop(gateway);
        let now = (self.timing.clock)();
        let limit = self.timing.fetch_within;
        let outcome = match timeout(limit, self.fetcher.fetch(&reference, &conf, now, limit)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::Late),
        };
        if matches!(outcome, Err(FetchError::Late)) {
            let until = self.now() + self.timing.pause;
            self.paused.borrow_mut().insert(reference.manager, until);
        }
        outcome
    }

    /// Notes how a fetch ended. Gives what the gateway is to be told: the value, or that there is none any more.
    fn record(
        &self,
        reference: String,
        fetch: u64,
        outcome: Result<Secret, FetchError>,
    ) -> Option<(String, Option<Secret>)> {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.get_mut(&reference).filter(|entry| entry.fetch == fetch)?;
        let now = self.now();
        match outcome {
            Ok(value) => {
                entry.due = now + self.timing.fresh_for;
                Some((reference, Some(value)))
            }
            Err(error) => {
                let wait = match error {
                    FetchError::LeftAlone => self.timing.pause,
                    _ => self.timing.retry_after,
                };
                entry.due = now + wait;
                tracing::error!(secret = reference, %error, "a secret could not be fetched; it is tried again");
                // A manager that cannot be asked says nothing about the secret: its last value holds.
                error.means_gone().then_some((reference, None))
            }
        }
    }
}
