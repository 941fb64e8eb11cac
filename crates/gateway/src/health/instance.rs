//! What is known about the health of one instance.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tollgate_policy::health::{
    Active, Change, Found, Outcome, Passive, Reason, Rules, Settings, State, Ticket,
};

use super::check::Check;
use super::companions::Companions;
use super::meters::Meters;

/// The health of one instance. It is shared by all cores and outlives configurations.
///
/// A healthy instance costs an attempt two atomic reads when it is chosen and a lock of its own for a moment when it is
/// reported on.
#[derive(Default)]
pub struct InstanceHealth {
    /// `None`: calls say nothing about it.
    passive: Mutex<Option<Passive>>,
    /// What is to be seen of `passive` without its lock, under which it is written: see [`glance`].
    glance: AtomicU64,
    /// Its pool, as far as it matters for an ejection. `None`: it may be ejected.
    companions: ArcSwapOption<Companions>,
    checked: Mutex<Checked>,
    /// Whether checks found all of its addresses ill.
    is_ill: AtomicBool,
    /// The addresses that calls may go to, if it is checked.
    addresses: ArcSwapOption<Addresses>,
    /// Of the configuration in service, if there is one.
    meters: Mutex<Weak<Meters>>,
}

/// How an attempt went, as far as it tells something about the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It was answered, be it with an error that is the client's fault.
    Answered {
        /// Time from sending the request to the first token, if there was one.
        first_token: Option<Duration>,
    },
    /// There was no answer, or one that says that the instance is not well.
    Failed,
    /// The provider refused because of a rate limit.
    RateLimited {
        /// How long it wants to be left alone, if it told.
        retry_after: Option<Duration>,
    },
}

/// An attempt that has begun. While the instance is probing it holds a trial slot; dropping it gives the slot back.
pub struct UnderWay {
    health: Arc<InstanceHealth>,
    ticket: Ticket,
}

/// What checks found.
#[derive(Default)]
struct Checked {
    check: Option<Arc<Check>>,
    /// By the address that calls go to.
    found: BTreeMap<SocketAddr, Active>,
}

type Addresses = Arc<[SocketAddr]>;

impl InstanceHealth {
    /// Whether an attempt could begin now. Changes nothing.
    pub fn is_usable(&self, now: Instant) -> bool {
        if self.is_ill.load(Ordering::Relaxed) {
            return false;
        }
        is_open(self.glance.load(Ordering::Acquire))
            || self
                .passive()
                .as_ref()
                .is_none_or(|passive| passive.is_usable(milliseconds(now)))
    }

    /// Whether checks have found all of its addresses ill. Changes nothing.
    pub fn is_ill(&self) -> bool {
        self.is_ill.load(Ordering::Relaxed)
    }

    /// Whether its provider has asked to be left alone, and the time for that is not over. Changes nothing.
    pub fn wants_rest(&self, now: Instant) -> bool {
        if is_open(self.glance.load(Ordering::Acquire)) {
            return false;
        }
        matches!(
            self.passive_state(now),
            Some(State::Ejected {
                reason: Reason::RateLimited,
                ..
            })
        )
    }

    /// Whether calls have put it out of service, or on trial, and not its provider's wish. Changes nothing.
    pub(super) fn is_set_aside(&self) -> bool {
        self.glance.load(Ordering::Acquire) & SET_ASIDE != 0
    }

    /// From now on its pool has a say in whether it is ejected.
    pub(super) fn is_beside(&self, companions: Arc<Companions>) {
        self.companions.store(Some(companions));
    }

    /// Begins an attempt, if one can begin. While the instance is probing this takes a trial slot.
    pub fn begin(self: &Arc<Self>, now: Instant) -> Option<UnderWay> {
        if self.is_ill.load(Ordering::Relaxed) {
            return None;
        }
        let glance = self.glance.load(Ordering::Acquire);
        if is_open(glance) {
            return Some(self.under_way(Ticket::of_epoch(epoch(glance))));
        }
        let mut passive = self.passive();
        let Some(passive) = passive.as_mut() else {
            return Some(self.under_way(Ticket::of_epoch(0)));
        };
        let (ticket, change) = passive.begin(milliseconds(now))?;
        self.changed(passive, change);
        Some(self.under_way(ticket))
    }

    /// Begins an attempt whatever the state is, without a trial slot: for calls that have nowhere else to go.
    pub fn begin_anyway(self: &Arc<Self>) -> UnderWay {
        self.under_way(Ticket::of_epoch(epoch(self.glance.load(Ordering::Acquire))))
    }

    /// The addresses that calls may go to, if the instance is actively checked and its name is known: those that are well,
    /// all if none is.
    pub fn addresses(&self) -> Option<Arc<[SocketAddr]>> {
        self.addresses.load().as_deref().cloned()
    }

    /// What calls tell; `None` if they are not asked.
    pub fn passive_state(&self, now: Instant) -> Option<State> {
        let passive = self.passive();
        passive.as_ref().map(|passive| passive.state(milliseconds(now)))
    }

    /// What checks found, by address; `None` if it is not checked.
    pub(super) fn found(&self) -> Option<Vec<(SocketAddr, Active)>> {
        let checked = self.checked();
        checked.check.as_ref()?;
        Some(
            checked
                .found
                .iter()
                .map(|(address, active)| (*address, *active))
                .collect(),
        )
    }

    /// Takes a configuration over. What was found out stays, but for what other checks have found.
    pub(super) fn configure(
        &self,
        settings: Option<Settings>,
        check: Option<&Arc<Check>>,
        meters: &Arc<Meters>,
    ) {
        let mut passive = self.passive();
        match (passive.as_mut(), settings) {
            (Some(passive), Some(settings)) => passive.configure(milliseconds(Instant::now()), settings),
            (None, Some(settings)) => *passive = Some(Passive::new(settings)),
            (_, None) => *passive = None,
        }
        self.glance.store(glance(passive.as_ref()), Ordering::Release);
        drop(passive);
        let mut checked = self.checked();
        if checked.check.as_ref() != check {
            checked.check = check.cloned();
            checked.found.clear();
            self.publish(&checked);
        }
        drop(checked);
        *self.lock_meters() = Arc::downgrade(meters);
        self.show_health();
    }

    /// Takes over to which addresses the name of a checked instance leads. New ones count as well.
    pub(super) fn resolved(&self, check: &Arc<Check>, addresses: &[SocketAddr]) {
        let mut checked = self.checked();
        if checked.check.as_ref() != Some(check) {
            return;
        }
        checked.found.retain(|address, _| addresses.contains(address));
        for address in addresses {
            checked.found.entry(*address).or_default();
        }
        self.publish(&checked);
        drop(checked);
        self.show_health();
    }

    /// Takes over what a check of an address found.
    pub(super) fn found_at(&self, check: &Arc<Check>, address: SocketAddr, found: Found) {
        self.take_over(check, address, found);
        // Who sees it counted can rely on it.
        if let Some(meters) = self.meters() {
            meters.probed(found, &check.rules);
        }
    }

    fn take_over(&self, check: &Arc<Check>, address: SocketAddr, found: Found) {
        let mut checked = self.checked();
        if checked.check.as_ref() != Some(check) {
            return;
        }
        let Some(active) = checked.found.get_mut(&address) else {
            return;
        };
        let Some(is_well) = active.tell(found, &check.rules) else {
            return;
        };
        self.publish(&checked);
        drop(checked);
        self.tell(address, is_well, found);
    }

    /// Takes over what a call to an address found; `None` for the only address there is, if there is but one.
    pub fn call_found(&self, address: Option<SocketAddr>, found: Found, rules: &Rules) {
        let mut checked = self.checked();
        let address = match (address, checked.found.len()) {
            (Some(address), _) => address,
            (None, 1) => match checked.found.keys().next() {
                Some(only) => *only,
                None => return,
            },
            (None, _) => return,
        };
        let change = checked
            .found
            .get_mut(&address)
            .and_then(|active| active.tell(found, rules));
        if let Some(is_well) = change {
            self.publish(&checked);
            drop(checked);
            self.tell(address, is_well, found);
        }
    }

    /// Whether an address is well, by checks.
    pub(super) fn is_well_at(&self, address: SocketAddr) -> bool {
        self.checked().found.get(&address).is_none_or(Active::is_healthy)
    }

    /// Tells that an address has become well or ill.
    fn tell(&self, address: SocketAddr, is_well: bool, found: Found) {
        self.show_health();
        let Some(meters) = self.meters() else { return };
        let instance = meters.name();
        if is_well {
            tracing::info!(instance, %address, "an address is found well again");
        } else {
            tracing::warn!(instance, %address, last = ?found, "an address is found ill");
        }
    }

    fn under_way(self: &Arc<Self>, ticket: Ticket) -> UnderWay {
        UnderWay {
            health: Arc::clone(self),
            ticket,
        }
    }

    fn passive(&self) -> MutexGuard<'_, Option<Passive>> {
        self.passive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meters(&self) -> Option<Arc<Meters>> {
        self.lock_meters().upgrade()
    }

    fn lock_meters(&self) -> MutexGuard<'_, Weak<Meters>> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn checked(&self) -> MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets all see what checks have found.
    fn publish(&self, checked: &Checked) {
        let is_ill = !checked.found.is_empty() && !checked.found.values().any(Active::is_healthy);
        let addresses: Addresses = checked
            .found
            .iter()
            .filter(|(_, active)| is_ill || active.is_healthy())
            .map(|(address, _)| *address)
            .collect();
        self.addresses
            .store((!addresses.is_empty()).then(|| Arc::new(addresses)));
        self.is_ill.store(is_ill, Ordering::Relaxed);
    }

    /// What has to be done when the passive state has changed. Called with its lock held.
    fn changed(&self, passive: &Passive, change: Option<Change>) {
        let Some(change) = change else { return };
        self.glance.store(glance(Some(passive)), Ordering::Release);
        let Some(meters) = self.meters() else { return };
        let instance = meters.name();
        match change {
            Change::Ejected { reason, for_ms } => {
                meters.ejected(reason);
                tracing::warn!(
                    instance,
                    reason = reason.name(),
                    for_ms,
                    "an instance takes no calls for a while"
                );
            }
            Change::Withheld { reason } => {
                meters.withheld();
                // Told for each of its calls that fails.
                tracing::debug!(
                    instance,
                    reason = reason.name(),
                    "an instance takes calls on, because enough of its pool take none"
                );
            }
            Change::Probing => tracing::info!(instance, "an instance is tried again"),
            Change::Recovered => tracing::info!(instance, "an instance takes calls again"),
        }
        self.show_health();
    }

    fn show_health(&self) {
        if let Some(meters) = self.meters() {
            let is_open = is_open(self.glance.load(Ordering::Acquire));
            meters.show(is_open && !self.is_ill.load(Ordering::Relaxed));
        }
    }
}

impl UnderWay {
    /// Tells how the attempt goes. May be told more than once: an answer that began well can break.
    pub fn report(&self, now: Instant, signal: Signal) {
        let mut passive = self.health.passive();
        if let Some(passive) = passive.as_mut() {
            let companions = self.health.companions.load();
            // Held until all can see what has become of the instance.
            let mut deciding = None;
            let change = passive.report(self.ticket, milliseconds(now), signal.into(), |settings| {
                companions.as_ref().is_none_or(|companions| {
                    deciding = Some(companions.decide());
                    companions.can_do_without_one(settings)
                })
            });
            self.health.changed(passive, change);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.ticket.is_trial()
            && let Some(passive) = self.health.passive().as_mut()
        {
            passive.end(self.ticket);
        }
    }
}

impl From<Signal> for Outcome {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Answered { first_token } => Outcome::Answered {
                first_token_ms: first_token.map(whole_milliseconds),
            },
            Signal::Failed => Outcome::Failed,
            Signal::RateLimited { retry_after } => Outcome::RateLimited {
                retry_after_ms: retry_after.map(whole_milliseconds),
            },
        }
    }
}

/// Milliseconds since a fixed moment, as the state machines count.
pub(super) fn milliseconds(moment: Instant) -> u64 {
    // A little before the first moment that is asked for, which was taken before it came here.
    static BEGINNING: LazyLock<Instant> = LazyLock::new(|| {
        let now = Instant::now();
        now.checked_sub(Duration::from_secs(60)).unwrap_or(now)
    });
    whole_milliseconds(moment.saturating_duration_since(*BEGINNING))
}

/// How long it is from `now` until a moment that a state machine has told.
pub fn until(moment: u64, now: Instant) -> Duration {
    Duration::from_millis(moment.saturating_sub(milliseconds(now)))
}

fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Not every call can begin.
const CLOSED: u64 = 1;
/// See [`InstanceHealth::is_set_aside`].
const SET_ASIDE: u64 = 2;
const EPOCH_SHIFT: u32 = 2;

fn glance(passive: Option<&Passive>) -> u64 {
    passive.map_or(0, |passive| {
        let is_open = matches!(passive.state(u64::MAX), State::Healthy);
        let closed = if is_open { 0 } else { CLOSED };
        let set_aside = if passive.is_set_aside() { SET_ASIDE } else { 0 };
        (passive.epoch() << EPOCH_SHIFT) | closed | set_aside
    })
}

fn is_open(glance: u64) -> bool {
    glance & CLOSED == 0
}

fn epoch(glance: u64) -> u64 {
    glance >> EPOCH_SHIFT
}

#[cfg(test)]
mod tests;
