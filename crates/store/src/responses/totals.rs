//! How much each owner has, so that a full store takes from whoever has most.

use std::collections::HashMap;

use super::record::OwnerKey;

/// Bytes by owner.
#[derive(Debug, Default)]
pub(super) struct Totals {
    by_owner: HashMap<OwnerKey, u64>,
    all: u64,
}

impl Totals {
    /// Bytes of all owners.
    pub(super) fn all(&self) -> u64 {
        self.all
    }

    pub(super) fn add(&mut self, owner: OwnerKey, bytes: u64) {
        let total = self.by_owner.entry(owner).or_default();
        *total = total.saturating_add(bytes);
        self.all = self.all.saturating_add(bytes);
    }

    pub(super) fn remove(&mut self, owner: OwnerKey, bytes: u64) {
        let Some(total) = self.by_owner.get_mut(&owner) else {
            return;
        };
        let taken = bytes.min(*total);
        *total -= taken;
        self.all = self.all.saturating_sub(taken);
        if *total == 0 {
            self.by_owner.remove(&owner);
        }
    }

    /// An owner turns out to have nothing.
    pub(super) fn forget(&mut self, owner: OwnerKey) {
        let bytes = self.by_owner.get(&owner).copied().unwrap_or_default();
        self.remove(owner, bytes);
        self.by_owner.remove(&owner);
    }

    /// Who has most.
    pub(super) fn biggest(&self) -> Option<OwnerKey> {
        let biggest = self.by_owner.iter().max_by_key(|(_, bytes)| **bytes);
        biggest.map(|(owner, _)| *owner)
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = OwnerKey> {
        self.by_owner.keys().copied()
    }
}
