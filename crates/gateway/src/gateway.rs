//! What all workers share: the current snapshot, and state that outlives snapshots.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tollgate_resources::{Resources, Secret};
use tollgate_telemetry::AccessLog;

use crate::objects::{Change, Compiler};
use crate::secrets::{Env, Secrets};
use crate::snapshot::{CompileError, Native, Snapshot};

/// The gateway as all workers see it.
pub struct Gateway {
    snapshot: ArcSwap<Snapshot>,
    /// Held while a snapshot is made and published, so that no change is lost between two of them.
    compiler: Mutex<Compiler>,
    secrets: Arc<Secrets>,
    positions: Positions,
    pepper: [u8; 32],
    access_log: AccessLog,
}

/// What a gateway is made with beside its configuration.
pub struct Setting {
    /// Random; hides client keys in memory.
    pub pepper: [u8; 32],
    /// The access log.
    pub access_log: AccessLog,
    /// Looks up the environment variables that objects of the Admin API refer to.
    pub env: Env,
    /// Whether routes written with APISIX's plugins behave as in APISIX to the letter.
    pub strict_apisix: bool,
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
    /// Compiles the first snapshot; it has no objects yet.
    ///
    /// # Errors
    /// The resources cannot be compiled; every reason is listed.
    pub fn new(
        resources: &Resources,
        env: &dyn Fn(&str) -> Option<String>,
        setting: Setting,
    ) -> Result<Self, Vec<CompileError>> {
        let positions = Positions::default();
        let native = Arc::new(Native::compile(resources, env, &setting.pepper, &positions)?);
        let secrets = Arc::new(Secrets::new(setting.env));
        let mut compiler = Compiler::new(&setting.pepper, setting.strict_apisix);
        let plane = compiler.apply(&[], &secrets);
        Ok(Gateway {
            snapshot: ArcSwap::from_pointee(Snapshot { native, plane }),
            compiler: Mutex::new(compiler),
            secrets,
            positions,
            pepper: setting.pepper,
            access_log: setting.access_log,
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
        let native = Arc::new(Native::compile(resources, env, &self.pepper, &self.positions)?);
        let publishing = self.compiler();
        let plane = self.snapshot.load().plane.clone();
        self.snapshot.store(Arc::new(Snapshot { native, plane }));
        drop(publishing);
        self.positions.forget_all_but_used();
        Ok(())
    }

    /// Takes changed objects into service: when this returns, the next call sees them. Only what they touch is compiled.
    pub fn apply(&self, changes: &[Change]) {
        let mut compiler = self.compiler();
        let plane = compiler.apply(changes, &self.secrets);
        self.publish(plane);
        drop(compiler);
    }

    /// Keeps what managers of secrets have told, and compiles the objects again that name secrets, if anything is new.
    /// References are written `<manager>/<id>/<path>`.
    pub fn set_secrets(&self, told: impl IntoIterator<Item = (String, Option<Secret>)>) {
        let mut is_new = false;
        for (reference, value) in told {
            is_new |= self.secrets.set(&reference, value);
        }
        if is_new {
            let mut compiler = self.compiler();
            let users = compiler.users_of_secrets();
            let plane = compiler.refresh(&users, &self.secrets);
            self.publish(plane);
            drop(compiler);
        }
    }

    fn publish(&self, plane: crate::objects::Plane) {
        let native = self.snapshot.load().native.clone();
        self.snapshot.store(Arc::new(Snapshot { native, plane }));
    }

    fn compiler(&self) -> std::sync::MutexGuard<'_, Compiler> {
        self.compiler.lock().unwrap_or_else(PoisonError::into_inner)
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
