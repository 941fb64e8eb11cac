//! What all workers share: the current snapshot, and state that outlives snapshots.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use serde_json::Value;
use tollgate_resources::model::{OnUnknownPrice, TlsVersion};
use tollgate_resources::objects::{Kind, ObjectKey};
use tollgate_resources::{Resources, Secret};
use tollgate_telemetry::metrics::Changes;
use tollgate_telemetry::{Metrics, Prices, Telemetry};

use crate::forwarding::Forwarding;
use crate::governance::Governance;
use crate::health::{self, Roster};
use crate::objects::{Change, Compiler};
use crate::overload::Overload;
use crate::pipeline::explain::{self, ExplainError, Question};
use crate::plugins::SharedState;
use crate::pool::Register;
use crate::prices::PricesInForce;
use crate::responses::{Places, Responses, ResponsesError};
use crate::secret_managers::{Agent, Timing, Wanted};
use crate::secrets::{Env, Secrets};
use crate::snapshot::{CompileError, Native, Snapshot};
use crate::wrong_keys::WrongKeys;

/// The gateway as all workers see it.
pub struct Gateway {
    snapshot: ArcSwap<Snapshot>,
    /// Held while a snapshot is made and published, so that no change is lost between two of them.
    compiler: Mutex<Compiler>,
    /// Changes that wait for secrets. Locked after the compiler, never before.
    waiting: Mutex<Waiting>,
    secrets: Arc<Secrets>,
    secret_agent: OnceLock<Agent>,
    /// State of models that outlives snapshots.
    states: Arc<SharedState>,
    health_agent: OnceLock<health::Agent>,
    responses: OnceLock<Responses>,
    pepper: [u8; 32],
    telemetry: Telemetry,
    changes: Changes,
    forwarding: Forwarding,
    wrong_keys: Option<WrongKeys>,
    /// What the process can still take on.
    overload: Arc<Overload>,
}

/// What a gateway is made with beside its configuration.
pub struct Setting {
    /// Random; hides client keys in memory.
    pub pepper: [u8; 32],
    /// Who is told of calls that have ended.
    pub telemetry: Telemetry,
    /// Looks up the environment variables that objects of the Admin API refer to.
    pub env: Env,
    /// Whether routes written with APISIX's plugins behave as in APISIX to the letter.
    pub strict_apisix: bool,
    /// Names of the plugins that may be used; `None` means all. A use of another one refuses its calls.
    pub plugins: Option<Vec<String>>,
    /// What is believed of requests that other proxies have passed on.
    pub forwarding: Forwarding,
    /// Versions of TLS that certificates of objects allow when they name none; empty for all there are.
    pub tls_versions: Vec<TlsVersion>,
}

/// Changes that are not applied yet, in the order in which they were handed in.
#[derive(Default)]
struct Waiting {
    queue: VecDeque<(u64, Vec<Change>)>,
    last: u64,
}

impl Waiting {
    fn changes(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.queue.iter().flat_map(|(_, changes)| changes)
    }

    fn take_up_to(&mut self, number: u64) -> Vec<Change> {
        let mut taken = Vec::new();
        while self.queue.front().is_some_and(|(waits, _)| *waits <= number)
            && let Some((_, changes)) = self.queue.pop_front()
        {
            taken.extend(changes);
        }
        taken
    }
}

/// Changes that wait for secrets. They are applied when this is dropped, so that none is lost with the future that waits.
struct Pending<'a> {
    gateway: &'a Gateway,
    number: u64,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.gateway.apply_up_to(self.number);
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
        let states = Arc::new(SharedState::new(&setting.telemetry));
        states
            .governance()
            .configure(resources, env)
            .map_err(governance_error)?;
        let native = Arc::new(Native::compile(resources, env, &setting.pepper, &states)?);
        let secrets = Arc::new(Secrets::new(setting.env));
        let mut compiler = Compiler::new(
            &setting.pepper,
            setting.strict_apisix,
            setting.plugins,
            setting.tls_versions,
            states.clone(),
        );
        let plane = compiler.apply(&[], &secrets);
        Ok(Gateway {
            snapshot: ArcSwap::from_pointee(Snapshot { native, plane }),
            compiler: Mutex::new(compiler),
            waiting: Mutex::default(),
            secrets,
            secret_agent: OnceLock::new(),
            states,
            health_agent: OnceLock::new(),
            responses: OnceLock::new(),
            pepper: setting.pepper,
            changes: Changes::shown(setting.telemetry.metrics()),
            overload: Overload::shown(setting.telemetry.metrics()),
            telemetry: setting.telemetry,
            forwarding: setting.forwarding,
            wrong_keys: WrongKeys::new(resources.server.max_wrong_keys),
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
        // Held from here on, so that of two replacements the one that began later stays.
        let publishing = self.compiler();
        let started = Instant::now();
        let native = Arc::new(Native::compile(resources, env, &self.pepper, &self.states)?);
        self.states
            .governance()
            .configure(resources, env)
            .map_err(governance_error)?;
        let plane = self.snapshot.load().plane.clone();
        self.snapshot.store(Arc::new(Snapshot { native, plane }));
        drop(publishing);
        self.changes.taken(started.elapsed());
        self.states.forget_unused();
        Ok(())
    }

    /// Takes changed objects into service: when this returns, the next call sees them. Only what they touch is compiled.
    ///
    /// Secrets of managers that they name and that are not known yet follow when they are fetched.
    pub fn apply(&self, changes: &[Change]) {
        let number = self.enqueue(changes.to_vec());
        let wanted = self.wanted(changes);
        self.apply_up_to(number);
        if let Some(agent) = self.secret_agent.get()
            && !wanted.references.is_empty()
        {
            agent.fetch_later(wanted);
        }
    }

    /// Takes changed objects into service as [`Gateway::apply`] does, but fetches the secrets of managers first that they
    /// name, so that these are in use when this returns. Waits for them 3 seconds at most; what could not be fetched by
    /// then is told in the log, and follows when it is there.
    ///
    /// Changes take effect in the order in which they were handed in, also if later ones need not wait. If the future is
    /// dropped after it was polled, the changes are applied at once.
    pub async fn apply_with_secrets(&self, changes: Vec<Change>) {
        let _applied_at_the_end = Pending {
            gateway: self,
            number: self.enqueue(changes.clone()),
        };
        // Looked for after they were noted: two writes at once, a manager and what names it, see each other.
        let wanted = self.wanted(&changes);
        if let Some(agent) = self.secret_agent.get()
            && !wanted.references.is_empty()
        {
            agent.fetch(wanted).await;
        }
    }

    /// Starts the thread that fetches secrets of managers. It ends with the gateway. Without it no such secret is known.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub fn start_secret_agent(self: &Arc<Self>) -> std::io::Result<()> {
        self.start_secret_agent_with(Timing::default())
    }

    /// Starts the thread that fetches secrets of managers, with other times than the usual ones.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub fn start_secret_agent_with(self: &Arc<Self>, timing: Timing) -> std::io::Result<()> {
        // If there is one already, the new one ends at once.
        let _ = self.secret_agent.set(Agent::start(Arc::downgrade(self), timing)?);
        Ok(())
    }

    /// Starts the thread that asks instances whether they are well. It ends with the gateway. Without it only calls tell.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub fn start_health_agent(&self) -> std::io::Result<()> {
        // If there is one already, the new one ends at once.
        let _ = self.health_agent.set(health::Agent::start(
            self.states.roster(),
            health::Names::default(),
        )?);
        Ok(())
    }

    /// Opens where conversations are kept. Without it they are kept in memory.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn keep_responses(
        &self,
        config: &tollgate_resources::model::Responses,
        places: Places,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), ResponsesError> {
        let responses = Responses::open(config, places, env, self.states.metrics())?;
        // If there is one already, the new one ends at once.
        let _ = self.responses.set(responses);
        Ok(())
    }

    /// Lets other prices count from the next call on. Where instances are chosen by cost, that follows when their
    /// configuration is compiled the next time: set prices before it is.
    pub fn set_prices(&self, prices: Arc<Prices>, unknown: OnUnknownPrice) {
        self.states.prices().set(prices, unknown);
    }

    /// Virtual keys, teams, budgets and limits.
    pub fn governance(&self) -> &Arc<Governance> {
        self.states.governance()
    }

    /// What models cost.
    pub(crate) fn prices(&self) -> &PricesInForce {
        self.states.prices()
    }

    /// What the process can still take on.
    pub fn overload(&self) -> &Arc<Overload> {
        &self.overload
    }

    /// What becomes of conversations.
    pub fn responses(&self) -> &Responses {
        self.responses
            .get_or_init(|| Responses::in_memory(self.states.metrics()))
    }

    /// Keeps what managers of secrets have told, and compiles the objects again that name what is new. References are
    /// written `<manager>/<id>/<path>`.
    pub fn set_secrets(&self, told: impl IntoIterator<Item = (String, Option<Secret>)>) {
        let changed: BTreeSet<String> = told
            .into_iter()
            .filter_map(|(reference, value)| self.secrets.set(&reference, value).then_some(reference))
            .collect();
        if changed.is_empty() {
            return;
        }
        let mut compiler = self.compiler();
        let users = compiler.users_of_secrets(&changed);
        if !users.is_empty() {
            let plane = compiler.refresh(&users, &self.secrets);
            self.publish(plane);
        }
        drop(compiler);
    }

    /// Fetches the secrets that are due, and waits until that is done.
    #[cfg(test)]
    pub(crate) async fn look_for_secrets(&self) {
        if let Some(agent) = self.secret_agent.get() {
            agent.look().await;
        }
    }

    /// The values of references.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The references to managers of secrets in all objects, also in those that wait for them.
    pub(crate) fn references_to_managers(&self) -> BTreeSet<String> {
        let compiler = self.compiler();
        let waiting = self.waiting();
        let mut named: BTreeSet<String> = compiler.named_secrets().cloned().collect();
        for object in waiting.changes().filter_map(|(_, object)| object.as_ref()) {
            named.append(&mut Secrets::managed_by(object));
        }
        named
    }

    /// The settings of a manager of secrets, as the last change has them. `id` is written `<manager>/<id>`.
    pub(crate) fn manager_of_secrets(&self, id: &str) -> Option<Value> {
        let key = ObjectKey::new(Kind::Secret, id);
        let compiler = self.compiler();
        let waiting = self.waiting();
        let object = match waiting.changes().rfind(|(changed, _)| *changed == key) {
            Some((_, object)) => object.as_ref(),
            None => compiler.object(&key),
        };
        object.map(|object| Value::Object(object.value.clone()))
    }

    /// What has to be fetched for these changes: what they name and is not known, and everything of managers that change.
    fn wanted(&self, changes: &[Change]) -> Wanted {
        let mut wanted = Wanted::default();
        for (key, object) in changes {
            if key.kind == Kind::Secret {
                wanted.managers.insert(key.id.clone());
            }
            if let Some(object) = object {
                wanted.references.append(&mut Secrets::managed_by(object));
            }
        }
        let is_of_changed = |reference: &String| {
            let end = reference.match_indices('/').nth(1).map(|(at, _)| at);
            end.and_then(|end| reference.get(..end))
                .is_some_and(|manager| wanted.managers.contains(manager))
        };
        wanted
            .references
            .retain(|reference| is_of_changed(reference) || !self.secrets.is_known(reference));
        if !wanted.managers.is_empty() {
            let all = self.references_to_managers();
            wanted.references.extend(all.into_iter().filter(is_of_changed));
        }
        wanted
    }

    /// Notes changes that are to be applied, and gives the number under which they wait.
    fn enqueue(&self, changes: Vec<Change>) -> u64 {
        let mut waiting = self.waiting();
        waiting.last += 1;
        let number = waiting.last;
        waiting.queue.push_back((number, changes));
        number
    }

    /// Applies changes that wait, in their order, to those with this number.
    fn apply_up_to(&self, number: u64) {
        let mut compiler = self.compiler();
        let changes = self.waiting().take_up_to(number);
        if !changes.is_empty() {
            let started = Instant::now();
            let plane = compiler.apply(&changes, &self.secrets);
            self.publish(plane);
            self.changes.taken(started.elapsed());
        }
        drop(compiler);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, plane: crate::objects::Plane) {
        let native = self.snapshot.load().native.clone();
        self.snapshot.store(Arc::new(Snapshot { native, plane }));
    }

    fn compiler(&self) -> MutexGuard<'_, Compiler> {
        self.compiler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The snapshot that a call beginning now runs on.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// How many wrong keys come from where; `None` where nobody counts.
    pub fn wrong_keys(&self) -> Option<&WrongKeys> {
        self.wrong_keys.as_ref()
    }

    /// What is believed of requests that other proxies have passed on.
    pub fn forwarding(&self) -> &Forwarding {
        &self.forwarding
    }

    /// Whether there is an object of this kind and id.
    pub fn has(&self, object: &ObjectKey) -> bool {
        self.compiler().object(object).is_some()
    }

    /// The instances in service.
    pub fn roster(&self) -> &Roster {
        self.states.roster()
    }

    /// Explains what would become of a call. Nothing is sent, counted or logged. Blocks its thread.
    ///
    /// # Errors
    /// It is no request that could be sent to a gateway, or it takes too long.
    pub fn explain(self: &Arc<Self>, question: Question) -> Result<Value, ExplainError> {
        explain::explain(self, question)
    }

    /// The pools in service, and what operators say of their instances.
    pub fn pools(&self) -> &Register {
        self.states.pools()
    }

    /// The numbers that are told to Prometheus.
    pub fn metrics(&self) -> &Metrics {
        self.states.metrics()
    }

    /// Counts changes of the configuration, for those that are refused before they come here.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Who is told of calls that have ended.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}

fn governance_error(problem: String) -> Vec<CompileError> {
    vec![CompileError {
        path: "governance".to_owned(),
        problem,
    }]
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};
    use std::thread;

    use serde_json::{Value, json};
    use tollgate_resources::Resources;
    use tollgate_resources::objects::{Kind, Object, ObjectKey};
    use tollgate_telemetry::{AccessLog, Format, Target, Telemetry};

    use super::{Gateway, Setting};
    use crate::forwarding::Forwarding;
    use crate::objects::Change;

    /// One that has nothing but itself.
    pub(crate) fn gateway() -> Gateway {
        let setting = Setting {
            pepper: [7; 32],
            telemetry: Telemetry::new(AccessLog::start(Target::Off, Format::Json).unwrap()),
            env: Box::new(|_| None),
            strict_apisix: false,
            plugins: None,
            forwarding: Forwarding::default(),
            tls_versions: Vec::new(),
        };
        Gateway::new(&Resources::default(), &|_| None, setting).unwrap()
    }

    fn route(id: &str) -> Change {
        let Value::Object(value) = json!({"uri": format!("/{id}")}) else {
            unreachable!("an object was written");
        };
        let key = ObjectKey::new(Kind::Route, id);
        let object = Object {
            key: key.clone(),
            value,
            created_index: 1,
            modified_index: 1,
        };
        (key, Some(Arc::new(object)))
    }

    #[test]
    fn writers_at_once_and_reloads_beside_them_lose_nothing() {
        let gateway = gateway();
        let begin = Barrier::new(4);
        thread::scope(|scope| {
            for writer in 0..3 {
                let (gateway, begin) = (&gateway, &begin);
                scope.spawn(move || {
                    begin.wait();
                    for number in 0..100 {
                        let id = format!("{writer}-{number}");
                        gateway.apply(&[route(&id), route("passing")]);
                        gateway.apply(&[(ObjectKey::new(Kind::Route, "passing"), None)]);
                        // When it returns, the next call sees it.
                        let plane = gateway.snapshot().plane.clone();
                        let path = format!("/{id}");
                        assert!(plane.router.find("a.com", &path, |_| true).is_some());
                    }
                });
            }
            begin.wait();
            for _ in 0..100 {
                gateway.replace(&Resources::default(), &|_| None).unwrap();
            }
        });
        assert_eq!(gateway.snapshot().plane.router.len(), 300);
    }

    /// A route moves from path to path. Who asks after a move was told sees it, at one path and at no earlier one; and what nobody
    /// uses any more is gone.
    #[test]
    fn no_call_that_begins_after_a_swap_sees_what_was_before_it() {
        const MOVES: usize = 200;
        let gateway = gateway();
        let (told, begin) = (AtomicUsize::new(0), Barrier::new(4));
        let at = |number: usize| {
            let (key, mut object) = route("moving");
            let object = object.as_mut().map(|object| {
                let mut object = Object::clone(object);
                object
                    .value
                    .insert("uri".to_owned(), format!("/{number}/").into());
                Arc::new(object)
            });
            (key, object)
        };
        gateway.apply(&[at(0)]);
        let mut before = vec![Arc::downgrade(&gateway.snapshot())];
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    begin.wait();
                    loop {
                        let least = told.load(Ordering::SeqCst);
                        let plane = gateway.snapshot().plane.clone();
                        let is_at = |number| {
                            plane
                                .router
                                .find("a.com", &format!("/{number}/"), |_| true)
                                .is_some()
                        };
                        assert!((0..least).rev().take(3).all(|gone| !is_at(gone)), "a stale pick");
                        let places = (least..=MOVES).filter(|number| is_at(*number)).count();
                        assert_eq!(places, 1, "in one place, never in none");
                        if least == MOVES {
                            break;
                        }
                    }
                });
            }
            begin.wait();
            for number in 1..=MOVES {
                gateway.apply(&[at(number)]);
                before.push(Arc::downgrade(&gateway.snapshot()));
                told.store(number, Ordering::SeqCst);
            }
        });
        let kept = before
            .iter()
            .filter(|snapshot| snapshot.strong_count() > 0)
            .count();
        assert_eq!(kept, 1, "snapshots that nobody uses are kept");
    }
}
