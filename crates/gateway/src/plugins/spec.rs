//! What a plugin says about itself, and what it is given to set itself up.

use std::any::Any;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use aws_lc_rs::digest;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use tollgate_telemetry::metrics::apisix::ApisixMetrics;
use tollgate_telemetry::{Metrics, Outlets, RouteLogger, Telemetry};

use super::{AiPlugin, Call, Flow, TokenLimits};
use crate::governance::Governance;
use crate::health::Roster;
use crate::pool::Register;
use crate::prices::PricesInForce;

/// Which of a plugin's schemas is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaType {
    /// On routes, services, plugin configs, consumer groups, global rules.
    Route,
    /// On consumers and credentials.
    Consumer,
    /// As plugin metadata.
    Metadata,
}

/// Where a plugin may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On single routes and everywhere else.
    Any,
    /// In global rules only.
    Global,
}

/// A plugin as it is registered.
pub struct Spec {
    /// Its name in configurations.
    pub name: &'static str,
    /// Larger runs earlier. APISIX's numbers.
    pub priority: i32,
    /// Its version, as APISIX tells it.
    pub version: f64,
    /// Whether it finds out who calls: then it may stand in credentials.
    pub is_auth: bool,
    /// Where it may stand.
    pub scope: Scope,
    /// Its schemas, made from its configuration types by [`tollgate_resources::objects`]' schema helper; `None` where it
    /// has none (no consumer or metadata part).
    pub schema: fn(SchemaType) -> Option<Value>,
    /// What the schema cannot say. Called with a configuration that fits the schema. The error is the text for the person
    /// who wrote it, with the field in it.
    pub check: fn(&Value, SchemaType) -> Result<(), String>,
    /// Sets one use of the plugin up. References to secrets are already resolved in `conf`.
    pub setup: fn(&Value, &Setup<'_>) -> Made,
    /// Paths of fields that hold secrets, such as `auth.header.*`; told to tools and masked in everything shown.
    pub secret_fields: &'static [&'static str],
}

/// What comes of setting a plugin up.
pub type Made = Result<Arc<dyn Plugin>, Unusable>;

/// A configuration that fits its schema but cannot work here, such as a certificate that is none.
#[derive(Clone, Debug, Error)]
#[error("{0}")]
pub struct Unusable(pub String);

/// Reads a configuration into its type.
pub(super) fn read<T: DeserializeOwned>(conf: &Value) -> Result<T, Unusable> {
    serde_json::from_value(conf.clone()).map_err(|error| Unusable(error.to_string()))
}

/// Reads a status of a configuration.
pub(super) fn status(field: &str, code: u16) -> Result<StatusCode, Unusable> {
    StatusCode::from_u16(code).map_err(|_| Unusable(format!("{field}: {code} is not a status")))
}

/// One configured use of a plugin.
///
/// Both phases run on the worker's thread and must not block.
pub trait Plugin: Send + Sync + Any {
    /// Before the consumer's own plugins are known. Plugins that find out who calls set [`Call::consumer`] here.
    fn rewrite(&self, _call: &mut Call<'_>) -> Flow {
        Flow::Next
    }

    /// When it is known who calls.
    fn access(&self, _call: &mut Call<'_>) -> Flow {
        Flow::Next
    }

    /// What [`Plugin::access`] would say to a call that is only explained: nothing is counted, and nothing waited for but
    /// counters. `None` if it cannot tell without counting.
    fn preview(&self, call: &mut Call<'_>) -> Option<Flow> {
        Some(self.access(call))
    }

    /// Whether it does anything in these two phases; calls need not be shown to it otherwise.
    fn acts(&self) -> bool {
        true
    }

    /// The plugin as one that answers calls from AI providers, if it is one.
    fn ai(&self) -> Option<&Arc<AiPlugin>> {
        None
    }

    /// Who is told of the calls of the plugin's place when they have ended, if the plugin is a logger. Calls that other plugins
    /// refuse are told too.
    fn logger(&self) -> Option<Arc<dyn RouteLogger>> {
        None
    }

    /// The plugin as one that limits tokens, if it is one.
    fn token_limits(&self) -> Option<&Arc<TokenLimits>> {
        None
    }

    /// Whether all that has the same configuration may have this one use: it keeps nothing of its own, and does not look at whose
    /// it is. Of ten thousand routes calls then find in the processor's cache what other routes have just used.
    fn is_alike_everywhere(&self) -> bool {
        false
    }
}

/// What a plugin is given to set itself up.
pub struct Setup<'a> {
    /// Identity of the object that carries the configuration, such as `route/1`; stable over changes of the configuration.
    pub owner: &'a str,
    /// Whether differences from APISIX are switched off.
    pub strict: bool,
    /// The plugin's metadata, if any is stored.
    pub metadata: Option<&'a Value>,
    /// State that outlives the configuration.
    pub state: &'a SharedState,
}

/// State that outlives configurations: that of plugins (counters), by type and name, numbers about calls, which
/// instances are in service, and what models cost. What no configuration uses any more is
/// forgotten at the next change.
#[derive(Default)]
pub struct SharedState {
    named: Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>,
    /// What is made of configurations alone, by their digests.
    alike: Mutex<HashMap<Digest, Weak<dyn Any + Send + Sync>>>,
    plugins: Mutex<HashMap<Digest, Weak<dyn Plugin>>>,
    outlets: Outlets,
    /// `None` where nothing but configurations is looked at.
    apisix: Option<Arc<ApisixMetrics>>,
    roster: Arc<Roster>,
    pools: Arc<Register>,
    prices: PricesInForce,
    governance: Arc<Governance>,
}

impl SharedState {
    /// No state yet. Loggers write where these calls are told, and what counts, counts there.
    pub fn new(telemetry: &Telemetry) -> Self {
        SharedState {
            outlets: telemetry.outlets().clone(),
            apisix: Some(telemetry.apisix().clone()),
            governance: Arc::new(Governance::new(telemetry.outlets())),
            ..SharedState::default()
        }
    }

    /// Virtual keys, teams, budgets and limits.
    pub fn governance(&self) -> &Arc<Governance> {
        &self.governance
    }

    /// The state of a name, made when it is not there yet. Choose names that begin with the plugin's.
    pub fn of<T: Default + Send + Sync + 'static>(&self, name: &str) -> Arc<T> {
        let mut states = lock(&self.named);
        if let Some(state) = states.get(name)
            && let Ok(state) = Arc::downcast::<T>(state.clone())
        {
            return state;
        }
        let state = Arc::new(T::default());
        states.insert(name.to_owned(), state.clone());
        state
    }

    /// What was made of something of this digest, made when it is not there any more. `T` and the digest say together what it is.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn alike<T: Send + Sync + 'static, E>(
        &self,
        digest: Digest,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let known = lock(&self.alike).get(&digest).and_then(Weak::upgrade);
        if let Some(Ok(known)) = known.map(Arc::downcast::<T>) {
            return Ok(known);
        }
        // Without the lock: others of its parts may be found in here.
        let made = Arc::new(make()?);
        let kept: Arc<dyn Any + Send + Sync> = made.clone();
        lock(&self.alike).insert(digest, Arc::downgrade(&kept));
        Ok(made)
    }

    /// The use of a plugin that was made of something of this digest and is alike everywhere, made when it is not there.
    pub(crate) fn plugin(&self, digest: Digest, make: impl FnOnce() -> Made) -> Made {
        if let Some(known) = lock(&self.plugins).get(&digest).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let made = make()?;
        if made.is_alike_everywhere() {
            lock(&self.plugins).insert(digest, Arc::downgrade(&made));
        }
        Ok(made)
    }

    /// The numbers that are told to Prometheus.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.outlets.metrics()
    }

    /// Where loggers write.
    pub fn outlets(&self) -> &Outlets {
        &self.outlets
    }

    /// What counts calls under APISIX's names.
    pub fn apisix(&self) -> Option<&Arc<ApisixMetrics>> {
        self.apisix.as_ref()
    }

    /// The instances in service.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// The pools in service.
    pub fn pools(&self) -> &Arc<Register> {
        &self.pools
    }

    /// What models cost.
    pub fn prices(&self) -> &PricesInForce {
        &self.prices
    }

    /// Forgets what nobody holds.
    pub fn forget_unused(&self) {
        lock(&self.named).retain(|_, state| Arc::strong_count(state) > 1);
        lock(&self.alike).retain(|_, made| made.strong_count() > 0);
        lock(&self.plugins).retain(|_, made| made.strong_count() > 0);
    }
}

/// What tells configurations apart of which the same is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of what something is called and of all that it is made of. Members of objects are in order, so the same values have the
    /// same digest.
    pub fn of(name: &str, values: &[&Value]) -> Self {
        let mut written = Digesting(digest::Context::new(&digest::SHA256));
        written.0.update(name.as_bytes());
        for value in values {
            written.0.update(b"\0");
            // Values can always be written, and a digest takes everything.
            let _ = serde_json::to_writer(&mut written, value);
        }
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(written.0.finish().as_ref()) {
            *to = *from;
        }
        Digest(digest)
    }
}

struct Digesting(digest::Context);

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
