//! How many instances of a pool may be ejected.
//!
//! An ejected instance leaves its calls to the others. If those are overloaded already, which is what made it fail, each ejection
//! brings the next one about; so only a share of a pool may be ejected because of failures.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tollgate_policy::health::Settings;

use super::InstanceHealth;

/// The instances of a pool.
pub(super) struct Companions {
    members: Vec<Weak<InstanceHealth>>,
    /// Held while one of them is being ejected, so that two at once do not both find room for one.
    deciding: Mutex<()>,
}

/// From now on the instances of a pool know of each other.
pub fn introduce<'a>(members: impl Iterator<Item = &'a Arc<InstanceHealth>> + Clone) {
    let companions = Arc::new(Companions {
        members: members.clone().map(Arc::downgrade).collect(),
        deciding: Mutex::default(),
    });
    for member in members {
        member.is_beside(companions.clone());
    }
}

impl Companions {
    /// Nobody else is ejected meanwhile.
    pub(super) fn decide(&self) -> MutexGuard<'_, ()> {
        self.deciding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more may be ejected. Those that their providers wanted to be left alone do not count.
    pub(super) fn can_do_without_one(&self, settings: &Settings) -> bool {
        let members = self.members.iter().filter_map(Weak::upgrade);
        let set_aside = members.filter(|member| member.is_set_aside()).count();
        set_aside < settings.most_ejected(self.members.len())
    }
}
