//! The pools in service, and what operators say of their instances: for people who want to see which there are, and to take
//! one out of service without changing the configuration.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tollgate_policy::balance::MemberState;

use crate::snapshot::Instance;

/// What operators say of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It takes calls.
    #[default]
    InService,
    /// It takes calls only if there is nobody else for them; those under way go on.
    Draining,
    /// It takes none; those under way go on.
    Disabled,
}

impl Standing {
    /// All there are.
    pub const ALL: [Standing; 3] = [Standing::InService, Standing::Draining, Standing::Disabled];

    /// Its name in the Admin API.
    pub const fn name(self) -> &'static str {
        match self {
            Standing::InService => "in_service",
            Standing::Draining => "draining",
            Standing::Disabled => "disabled",
        }
    }

    /// The one of a name.
    pub fn of_name(name: &str) -> Option<Standing> {
        Standing::ALL.into_iter().find(|standing| standing.name() == name)
    }
}

/// All pools in service, and what is said of instances, also of those that are not in service at the moment.
#[derive(Default)]
pub struct Register {
    lists: Mutex<Lists>,
    has_words: Arc<AtomicBool>,
}

#[derive(Default)]
struct Lists {
    /// By a number that grows.
    pools: BTreeMap<u64, Weak<Registered>>,
    next: u64,
    /// By owner and name; those in service are not listed.
    words: HashMap<(String, String), Standing>,
}

/// A pool in service. It is in the register until it is dropped.
pub struct Registered {
    /// Whose it is, such as `route/1`, or `model/<route>/<model>` of models of the configuration.
    pub owner: String,
    /// Its members, in the order in which they were written.
    pub members: Vec<RegisteredMember>,
    number: u64,
    register: Weak<Register>,
}

/// An instance of a pool in service.
pub struct RegisteredMember {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Share of the calls within its tier.
    pub weight: u32,
    /// Its tier; larger is used first.
    pub priority: i64,
    /// Calls under way and measured times; `None` where there is nothing to choose.
    pub load: Option<Arc<MemberState>>,
    standing: AtomicU8,
}

impl RegisteredMember {
    /// An instance of which nothing is said yet.
    pub fn new(instance: Arc<Instance>, weight: u32, priority: i64, load: Option<Arc<MemberState>>) -> Self {
        RegisteredMember {
            instance,
            weight,
            priority,
            load,
            standing: AtomicU8::default(),
        }
    }

    /// What operators say of it.
    pub fn standing(&self) -> Standing {
        let number = usize::from(self.standing.load(Ordering::Relaxed));
        Standing::ALL.get(number).copied().unwrap_or_default()
    }

    fn set(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::Relaxed);
    }
}

impl Register {
    /// A pool comes into service.
    pub fn enter(self: &Arc<Self>, owner: &str, members: Vec<RegisteredMember>) -> Arc<Registered> {
        let mut lists = self.lock();
        for member in &members {
            // Hardly ever is anything said.
            if !lists.words.is_empty() {
                let key = (owner.to_owned(), (*member.instance.name).to_owned());
                member.set(lists.words.get(&key).copied().unwrap_or_default());
            }
        }
        let number = lists.next;
        lists.next += 1;
        let registered = Arc::new(Registered {
            owner: owner.to_owned(),
            members,
            number,
            register: Arc::downgrade(self),
        });
        lists.pools.insert(number, Arc::downgrade(&registered));
        registered
    }

    /// Whether operators have ever said anything: hardly ever they have, and then no instance has to be asked for its standing.
    pub fn has_words(&self) -> &Arc<AtomicBool> {
        &self.has_words
    }

    /// The pools in service by owner, each once: of several configurations of one the newest.
    pub fn pools(&self) -> Vec<Arc<Registered>> {
        let all: Vec<Arc<Registered>> = self.lock().pools.values().filter_map(Weak::upgrade).collect();
        let newest: BTreeMap<String, Arc<Registered>> =
            all.into_iter().map(|pool| (pool.owner.clone(), pool)).collect();
        newest.into_values().collect()
    }

    /// What operators say of an instance from now on, whether it is in service or not.
    pub fn set(&self, owner: &str, name: &str, standing: Standing) {
        let mut lists = self.lock();
        self.has_words.store(true, Ordering::Relaxed);
        let key = (owner.to_owned(), name.to_owned());
        if standing == Standing::InService {
            lists.words.remove(&key);
        } else {
            lists.words.insert(key, standing);
        }
        let pools: Vec<Arc<Registered>> = lists.pools.values().filter_map(Weak::upgrade).collect();
        // Under the lock, so that a pool that comes meanwhile hears of it too.
        for pool in pools.iter().filter(|pool| pool.owner == owner) {
            let named = pool
                .members
                .iter()
                .filter(|member| *member.instance.name == *name);
            named.for_each(|member| member.set(standing));
        }
        // A pool that goes now takes the lock.
        drop(lists);
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(register) = self.register.upgrade() {
            register.lock().pools.remove(&self.number);
        }
    }
}
