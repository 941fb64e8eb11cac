//! What all workers share: the current snapshot, and state that outlives snapshots.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tollgate_resources::Resources;
use tollgate_telemetry::AccessLog;

use crate::snapshot::{CompileError, Snapshot};

/// The gateway as all workers see it.
pub struct Gateway {
    snapshot: ArcSwap<Snapshot>,
    positions: Positions,
    pepper: [u8; 32],
    access_log: AccessLog,
}

/// Round-robin positions by model, kept across snapshots so that a reload does not restart every rotation.
#[derive(Default)]
pub(crate) struct Positions(Mutex<HashMap<String, Arc<AtomicUsize>>>);

impl Positions {
    /// The position of `identity`, shared by all snapshots.
    pub(crate) fn of(&self, identity: &str) -> Arc<AtomicUsize> {
        let mut positions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        positions.entry(identity.to_owned()).or_default().clone()
    }

    fn forget_all_but_used(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, position| Arc::strong_count(position) > 1);
    }
}

impl Gateway {
    /// Compiles the first snapshot. `pepper` is random; it hides client keys in memory.
    ///
    /// # Errors
    /// The resources cannot be compiled; every reason is listed.
    pub fn new(
        resources: &Resources,
        env: &dyn Fn(&str) -> Option<String>,
        pepper: [u8; 32],
        access_log: AccessLog,
    ) -> Result<Self, Vec<CompileError>> {
        let positions = Positions::default();
        let snapshot = Snapshot::compile(resources, env, &pepper, &positions)?;
        Ok(Gateway {
            snapshot: ArcSwap::from_pointee(snapshot),
            positions,
            pepper,
            access_log,
        })
    }

    /// Compiles new resources and serves them from the next call on. On an error nothing changes.
    ///
    /// # Errors
    /// The resources cannot be compiled; every reason is listed.
    pub fn replace(
        &self,
        resources: &Resources,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), Vec<CompileError>> {
        let snapshot = Snapshot::compile(resources, env, &self.pepper, &self.positions)?;
        self.snapshot.store(Arc::new(snapshot));
        self.positions.forget_all_but_used();
        Ok(())
    }

    /// The snapshot that a call beginning now runs on.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The access log.
    pub fn access_log(&self) -> &AccessLog {
        &self.access_log
    }
}
