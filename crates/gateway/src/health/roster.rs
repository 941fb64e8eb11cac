//! Which instances are in service.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use tollgate_policy::health::Settings;

use super::InstanceHealth;
use super::check::Check;
use super::meters::Meters;
use crate::plugins::SharedState;

/// The instances in service, in the order in which they came.
#[derive(Default)]
pub struct Roster {
    lists: Mutex<Lists>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Lists {
    /// By a number that grows.
    on_duty: BTreeMap<u64, Weak<OnDuty>>,
    next: u64,
}

/// What an instance is when it comes into service.
pub struct Duty<'a> {
    /// Whose it is, such as `route/1`.
    pub owner: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Where it is: another place is another instance, of which nothing is known yet.
    pub place: &'a str,
    /// How calls tell about it; `None` if they do not.
    pub passive: Option<Settings>,
    /// How it is asked; `None` if it is not.
    pub check: Option<Check>,
}

/// An instance in service. It leaves when this is dropped.
pub struct OnDuty {
    /// Whose it is, such as `route/1`.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// How it is asked; `None` if it is not.
    pub check: Option<Arc<Check>>,
    /// What is known of it.
    pub health: Arc<InstanceHealth>,
    /// They are shown as long as the instance is in service.
    _meters: Arc<Meters>,
    roster: Weak<Roster>,
    number: u64,
}

impl Roster {
    /// Takes an instance into service. What was known of it before stays known, as long as the configuration that had it
    /// is in service, or was until the last change.
    pub fn enlist(self: &Arc<Self>, duty: Duty<'_>, state: &SharedState) -> Arc<OnDuty> {
        let Duty {
            owner,
            name,
            place,
            passive,
            check,
        } = duty;
        let health: Arc<InstanceHealth> = state.of(&format!("health/{owner}/{name}/{place}"));
        let check = check.map(Arc::new);
        let meters = Arc::new(Meters::new(state.metrics(), owner, name));
        health.configure(passive, check.as_ref(), &meters);
        let mut lists = self.lock();
        let number = lists.next;
        lists.next += 1;
        let on_duty = Arc::new(OnDuty {
            owner: owner.to_owned(),
            name: name.to_owned(),
            check,
            health,
            _meters: meters,
            roster: Arc::downgrade(self),
            number,
        });
        lists.on_duty.insert(number, Arc::downgrade(&on_duty));
        drop(lists);
        self.changed.notify_one();
        on_duty
    }

    /// The instances in service, each once: of several configurations of one instance the newest, which took the place of
    /// the others or, of a service, is alike.
    pub fn on_duty(&self) -> Vec<Arc<OnDuty>> {
        let all: Vec<Arc<OnDuty>> = self.lock().on_duty.values().filter_map(Weak::upgrade).collect();
        let mut seen = HashSet::new();
        let newest = all.iter().rev();
        let mut one_each: Vec<Arc<OnDuty>> = newest
            .filter(|one| seen.insert((&one.owner, &one.name)))
            .cloned()
            .collect();
        one_each.reverse();
        one_each
    }

    /// Told whenever somebody comes or goes, and when the roster itself goes.
    pub(super) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Roster {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

impl Drop for OnDuty {
    fn drop(&mut self) {
        if let Some(roster) = self.roster.upgrade() {
            roster.lock().on_duty.remove(&self.number);
            roster.changed.notify_one();
        }
    }
}
