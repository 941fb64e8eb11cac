//! The state of the Admin API: the store it writes, the data plane it tells, the plugins it knows.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use http::Response;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tollgate_gateway::governance::Governance;
use tollgate_gateway::health::ForOwner;
use tollgate_gateway::plugins::{PLUGINS, Spec};
use tollgate_gateway::pool::{InstanceStatus, Standing};
use tollgate_gateway::server::{InsideBody, InsideCall, InsideError};
use tollgate_gateway::{ExplainError, Question};
use tollgate_resources::objects::{Object, ObjectKey};
use tollgate_store::{Applied, Change, Store, StoreError};
use tollgate_telemetry::ledger::{Lately, Reader};
use tollgate_telemetry::metrics::Metrics;

use crate::actor::Actor;
use crate::audit;
use crate::code::Code;
use crate::errors::Refusal;
use crate::live::Live;
use crate::log::LogLines;
use crate::node::Node;
use crate::oidc::Oidc;
use crate::playground::Told;
use crate::registry::{CheckVars, Registry};
use crate::sessions::{KEPT_AS, Sessions, Wrong};
use crate::settings::{Role, Settings};
use crate::standalone::Document;
use crate::usage;
use crate::v1::Problem;

/// How many ids of deleted services are remembered.
const REMEMBERED: usize = 1024;

/// What tells how it is doing.
pub trait Observed: Send + Sync + 'static {
    /// The health of what its objects have in service.
    fn health(&self) -> Vec<ForOwner> {
        Vec::new()
    }

    /// Whether there is an object of this kind and id.
    fn has(&self, _object: &ObjectKey) -> bool {
        false
    }

    /// Numbers, in Prometheus' text format, in parts to be sent one after the other.
    fn metrics(&self) -> Box<dyn Iterator<Item = String> + Send> {
        Box::new(std::iter::empty())
    }

    /// The instances that serve models.
    fn instances(&self) -> Vec<InstanceStatus> {
        Vec::new()
    }

    /// Takes an instance into service or out of it.
    fn set_standing(&self, _owner: &str, _name: &str, _standing: Standing) {}

    /// What would become of a call. Blocks its thread.
    ///
    /// # Errors
    /// It is no call, or takes too long.
    fn explain(&self, _question: Question) -> Result<Value, ExplainError> {
        Err(ExplainError::System(std::io::ErrorKind::Unsupported.into()))
    }

    /// Virtual keys, teams, budgets and limits; `None` where no calls are served.
    fn governance(&self) -> Option<Arc<Governance>> {
        None
    }

    /// The models that the configuration's consumers may use, by name.
    fn models_of_consumers(&self) -> BTreeMap<String, Vec<String>> {
        BTreeMap::new()
    }

    /// Where usage of calls is kept, to be read; `None` where it is not kept.
    fn usage(&self) -> Option<Reader> {
        None
    }

    /// What calls of teams add up to, for who watches; `None` where usage is not kept.
    fn lately(&self) -> Option<Arc<Lately>> {
        None
    }

    /// The numbers themselves, to be looked at often.
    fn numbers(&self) -> Option<&Metrics> {
        None
    }

    /// What the gateway is.
    fn node(&self) -> Arc<Node> {
        Arc::default()
    }

    /// The last lines of its own log.
    fn log(&self) -> Option<Arc<LogLines>> {
        None
    }
}

/// What serves the calls, and is told about every change.
pub trait DataPlane: Observed {
    /// Makes changes take effect: objects as they are now, `None` for those that are gone. When it returns, the next
    /// request sees them.
    fn apply(&self, changes: Vec<(ObjectKey, Option<Arc<Object>>)>) -> impl Future<Output = ()> + Send;

    /// Makes a call from within, which goes the way of every other.
    ///
    /// # Errors
    /// Too many are under way, or nobody serves calls here.
    fn call(
        &self,
        _call: InsideCall,
    ) -> impl Future<Output = Result<Response<InsideBody>, InsideError>> + Send {
        std::future::ready(Err(InsideError::System(std::io::ErrorKind::Unsupported.into())))
    }

    /// Says whether calls can be served, and if not, why.
    ///
    /// # Errors
    /// The reason, for people.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The Admin API: its settings, and what it works on.
pub struct Admin<D> {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<Store>,
    pub(crate) data_plane: D,
    pub(crate) registry: Registry,
    now_s: Box<dyn Fn() -> u64 + Send + Sync>,
    steady_s: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Held from the checks of a write until the data plane knows it, so that what was checked is what takes effect.
    pub(crate) writing: tokio::sync::Mutex<()>,
    /// The document of [`Mode::ApiDriven`](crate::Mode::ApiDriven); `None` before the first.
    pub(crate) document: Mutex<Option<Arc<Document>>>,
    /// Services that were deleted lately; see [`Admin::was_service`].
    deleted_services: Mutex<VecDeque<String>>,
    /// Bounds how many questions about usage are answered at once.
    pub(crate) asking: Arc<Semaphore>,
    /// Who is signed in.
    pub(crate) sessions: Sessions,
    /// The provider at which people sign in.
    pub(crate) oidc: Option<Oidc>,
    /// Wrong keys by where they came from.
    pub(crate) wrong_keys: Wrong,
    /// What signs one person in once.
    pub(crate) code: Code,
    /// Of whom the audit log has said lately that they use the playground.
    pub(crate) played: Told,
    /// What is told of the calls of this second.
    pub(crate) live: Live,
    /// When this was put together, in seconds since 1970.
    pub(crate) started_s: u64,
    /// True when answers that would go on for ever have to end.
    pub(crate) closing: watch::Sender<bool>,
    /// Writes under way. They are finished even when the client goes away, so that the data plane never misses one.
    tasks: Mutex<JoinSet<()>>,
}

/// What an [`Admin`] is made with beside its settings, its store and its data plane. The default fits production.
pub struct Parts {
    /// The plugins that objects may use.
    pub plugins: Vec<&'static Spec>,
    /// Says what is wrong with an expression over variables of a request (`vars` of routes, `_meta.filter` of plugins).
    pub check_vars: CheckVars,
    /// The time, in seconds since 1970.
    pub now_s: Box<dyn Fn() -> u64 + Send + Sync>,
    /// The same by a clock that nobody can set; times to live end by it.
    pub steady_s: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Default for Parts {
    fn default() -> Self {
        Parts {
            plugins: PLUGINS.to_vec(),
            check_vars: Box::new(tollgate_gateway::check_expression),
            now_s: Box::new(|| {
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |since| since.as_secs())
            }),
            steady_s: Box::new(tollgate_gateway::clock::steady_s),
        }
    }
}

impl<D: DataPlane> Admin<D> {
    /// Puts the Admin API together.
    pub fn new(mut settings: Settings, store: Arc<Store>, data_plane: D, parts: Parts) -> Arc<Admin<D>> {
        if !settings.key_required {
            tracing::warn!("the Admin API asks nobody for a key; set admin_key_required and a strong key");
        }
        let registry = Registry::new(&parts.plugins, settings.strict, parts.check_vars);
        let oidc = settings.oidc.take().map(Oidc::new);
        let sessions = Sessions::default();
        let kept = store.kept(KEPT_AS);
        let records = kept
            .iter()
            .map(|(name, record)| (name.as_str(), record.as_slice()));
        let ended = sessions.take_up(records, &settings, (parts.now_s)());
        if !ended.is_empty()
            && let Err(error) = store.keep(None, ended.into_iter().map(|name| (name, None)).collect())
        {
            tracing::error!(%error, "sessions that have ended could not be removed from the store");
        }
        let wrong_keys = Wrong::new(settings.wrong_keys.filter(|_| !settings.strict));
        Arc::new(Admin {
            settings,
            store,
            data_plane,
            registry,
            code: Code::default(),
            played: Told::default(),
            live: Live::default(),
            started_s: (parts.now_s)(),
            closing: watch::Sender::new(false),
            now_s: parts.now_s,
            steady_s: parts.steady_s,
            writing: tokio::sync::Mutex::new(()),
            document: Mutex::new(None),
            deleted_services: Mutex::new(VecDeque::new()),
            sessions,
            oidc,
            wrong_keys,
            asking: Arc::new(Semaphore::new(usage::AT_ONCE)),
            tasks: Mutex::new(JoinSet::new()),
        })
    }

    /// A code that signs one person in once, as an administrator, at `/ui/#code=…`. Codes made before are good no more.
    /// `None` where nobody needs to sign in.
    pub fn sign_in_code(&self) -> Option<String> {
        let has_key = self.settings.keys.iter().any(|key| key.role == Role::Admin);
        (self.settings.key_required && has_key)
            .then(|| self.code.make(self.now_s()))
            .flatten()
    }

    /// Tells the audit log that a file of the gateway's configuration has changed and is in effect: what it meant before, and
    /// what it means now, with secrets hidden. Blocks until the store has it.
    pub fn file_was_reloaded(&self, file: &str, before: &Map<String, Value>, after: &Map<String, Value>) {
        if let Some(entry) = audit::reloaded(file, before, after)
            && let Err(error) = self.store.tell(self.now_s(), entry)
        {
            tracing::error!(%error, "a change of the configuration file could not be told to the audit log");
        }
    }

    /// The data plane it tells about changes.
    pub fn data_plane(&self) -> &D {
        &self.data_plane
    }

    pub(crate) fn now_s(&self) -> u64 {
        (self.now_s)()
    }

    /// The same by a clock that nobody can set; times to live end by it.
    pub(crate) fn steady_s(&self) -> u64 {
        (self.steady_s)()
    }

    /// Stores changes with what the audit log says of them, and makes them take effect. `action` is the word for them; it is
    /// found out where nothing is said. Only for whom holds [`Admin::writing`].
    pub(crate) async fn commit(
        &self,
        actor: &Actor,
        action: Option<&'static str>,
        expected: Vec<(ObjectKey, Option<u64>)>,
        changes: Vec<Change>,
    ) -> Result<Vec<Applied>, Refusal> {
        let store = Arc::clone(&self.store);
        let (steady_s, now_s) = (self.steady_s(), self.now_s());
        let actor = actor.clone();
        let tell = move |applied: &[Applied]| audit::notes(&actor, action, applied, now_s);
        let write = move || store.write_told(&expected, changes, steady_s, tell);
        let written = tokio::task::spawn_blocking(write).await;
        let applied = match written {
            Ok(Ok(applied)) => applied,
            Ok(Err(error)) => {
                if !matches!(error, StoreError::Changed { .. }) {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a change could not be stored"
                    );
                }
                return Err(Refusal::from(&error));
            }
            Err(_) => return Err(Refusal::Fault),
        };
        let changes = applied
            .iter()
            .map(|applied| (applied.key.clone(), applied.after.clone()))
            .collect();
        self.data_plane.apply(changes).await;
        Ok(applied)
    }

    /// Deletes what has outlived its time.
    pub(crate) async fn expire(&self) {
        let due = self.sessions.due(&self.settings, self.now_s());
        if !due.is_empty() {
            self.keep(None, due).await;
        }
        if self.store.next_expiry_s().is_none_or(|at| at > (self.steady_s)()) {
            return;
        }
        let _writing = self.writing.lock().await;
        let changes: Vec<Change> = self
            .store
            .expired((self.steady_s)())
            .into_iter()
            .map(|key| Change::Delete { key })
            .collect();
        // What cannot be deleted now is tried again at the next look; the error is in the log.
        let _ = self
            .commit(&Actor::system(), Some("expire"), Vec::new(), changes)
            .await;
    }

    /// Writes an entry of the audit log about something that changes no object, before it is done, and keeps records with it.
    pub(crate) async fn tell(
        &self,
        actor: &Actor,
        action: &'static str,
        object: &str,
        records: Vec<(String, Option<Vec<u8>>)>,
    ) -> Result<(), Problem> {
        let (store, now_s) = (Arc::clone(&self.store), self.now_s());
        let entry = audit::deed(actor, action, object);
        let told = tokio::task::spawn_blocking(move || store.keep(Some((now_s, entry)), records)).await;
        match told {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Problem::from(&error)),
            Err(_) => Err(Refusal::Fault.into()),
        }
    }

    /// Asks the store something that may take a while, a few questions at a time: neither calls nor other requests wait for it.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = Arc::clone(&self.asking)
            .acquire_owned()
            .await
            .map_err(|_| Refusal::Fault)?;
        let looked = tokio::task::spawn_blocking(move || {
            let found = look();
            drop(permit);
            found
        });
        looked.await.map_err(|_| Refusal::Fault)?
    }

    /// Runs a write to its end, whether or not somebody waits for it.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        write: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(async move {
                // Nobody waits any more if the client is gone.
                let _ = sender.send(write.await);
            });
        }
        receiver.await.map_err(|_| Refusal::Fault)
    }

    /// Waits for the writes that are under way.
    pub(crate) async fn drain(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }

    /// Remembers a service that was deleted.
    pub(crate) fn service_is_gone(&self, id: &str) {
        let mut gone = self
            .deleted_services
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if gone.len() == REMEMBERED {
            gone.pop_front();
        }
        gone.push_back(id.to_owned());
    }

    /// Tells whether a service of this id was deleted lately. ADC then also deletes the upstream of the same id, even if
    /// the service never had one, and takes an error for a failure of the whole.
    pub(crate) fn was_service(&self, id: &str) -> bool {
        self.deleted_services
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .any(|gone| gone == id)
    }
}
