//! `tollgate run`: wires everything together, watches the configuration, obeys signals.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tollgate_admin::Node;
use tollgate_gateway::server::{self, Running};
use tollgate_gateway::{Forwarding, Gateway, Setting};
use tollgate_resources::Resources;
use tollgate_resources::egress::Egress;
use tollgate_resources::model::{Admin, ConfigProvider, Deployment, Server};
use tollgate_resources::objects::ObjectKey;
use tollgate_store::counters;

use crate::banner::Served;
use crate::cli::{Failure, RunArguments, Source};
use crate::file_objects::FileObjects;
use crate::load::{Files, Loaded, env};
use crate::secret_files::lookup;
use crate::spending::Spending;
use crate::upgrade::{
    AdminSettings, Control, Exclusive, HandedOver, Invocation, PidFile, Predecessor, Sockets,
};
use crate::{
    administration, banner, conversations, core_dumps, last_used, listening, memory, observation, own_log,
    prices, telemetry, trust, upgrade,
};

/// How often the configuration files are looked at. Reading them is cheap, and works where notifications do not
/// (network file systems, mounted config maps).
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// How long writing what calls have used of limits in Redis may take at the end.
const CHARGES_TIME: Duration = Duration::from_secs(2);

/// How long handing on what is told of the last calls may take at the end.
const TELEMETRY_TIME: Duration = Duration::from_secs(5);

/// `SIGXFSZ`, the same number on all of Linux but MIPS.
const FILE_TOO_LARGE: i32 = 25;

/// How long workers may take to close their calls when nothing is waited for any more.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Starts the gateway and serves until it is told to stop.
///
/// # Errors
/// The configuration has mistakes, or an address cannot be listened on.
pub fn run(arguments: &RunArguments) -> Result<(), Failure> {
    own_log::start();
    core_dumps::forbid();
    let invocation = Invocation::of_this_process();
    let result = Predecessor::find().and_then(|found| {
        let (mut predecessor, sockets) = found.unzip();
        let result = serve(
            arguments,
            &invocation,
            &mut predecessor,
            sockets.unwrap_or_default(),
        );
        if let (Err(failure), Some(predecessor)) = (&result, &mut predecessor) {
            predecessor.tell(failure);
        }
        result
    });
    // Before anything else is told: what was told last may say why.
    own_log::flush();
    result
}

fn serve(
    arguments: &RunArguments,
    invocation: &Invocation,
    predecessor: &mut Option<Predecessor>,
    mut sockets: Sockets,
) -> Result<(), Failure> {
    let files = arguments.source.read();
    let mut loaded = arguments.source.lower(&files)?;
    let is_native = arguments.source.is_native(&files);
    let is_offered = offer_admin(&mut loaded, arguments);
    let fixed = Fixed::of(&loaded);
    with_arguments(&mut loaded, arguments)?;
    let (mut resources, mut notes, deployment) = (loaded.resources, loaded.notes, loaded.deployment);
    if !arguments.listen.is_empty() {
        resources.server.listen.clone_from(&arguments.listen);
    }
    Egress::new(&resources.server.egress)
        .map_err(Failure::new)?
        .establish();
    // Before anything is compiled: what is trusted is settled when an upstream is.
    trust::reach(&deployment)?.establish();
    let (telemetry, usage) = telemetry::start(&resources, &deployment)?;
    let setting = Setting {
        pepper: pepper()?,
        telemetry: telemetry.clone(),
        env: Box::new(env_for_objects),
        strict_apisix: deployment.strict,
        plugins: deployment.plugins.clone(),
        forwarding: forwarding(&deployment, is_native)?,
        tls_versions: trust::versions(&resources.server),
    };
    let gateway = Arc::new(Gateway::new(&resources, &lookup, setting).map_err(Failure::all)?);
    telemetry::observe_health(&gateway, &deployment);
    gateway.start_secret_agent().map_err(Failure::new)?;
    gateway.start_health_agent().map_err(Failure::new)?;
    gateway.set_prices(prices::in_force(&resources.prices)?, resources.prices.unknown);
    // All that could be wrong with the configuration is known: now for what only one process may have.
    if let Some(predecessor) = predecessor {
        predecessor.wait_for_store()?;
    }
    conversations::keep(
        &gateway,
        &resources.responses,
        arguments,
        &deployment,
        is_native,
        predecessor.is_some(),
    )?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let mut file_objects = FileObjects::default();
    let mut objects = file_objects.changes(&served(loaded.objects, &deployment)?);
    let store = if loaded.admin.is_some() || administration::has_store(&deployment, is_native) {
        match administration::open_store(&deployment) {
            Ok(store) => store,
            Err(failure) if is_offered => {
                notes.extend(not_served(&failure));
                None
            }
            Err(failure) => return Err(failure),
        }
    } else {
        None
    };
    gateway
        .governance()
        .set(store.iter().flat_map(|store| store.own()));
    let spending = Spending::count(gateway.governance(), usage.as_ref(), predecessor.is_some());
    if let Some(usage) = &usage {
        last_used::follow(gateway.governance(), &usage.reader);
    }
    objects.extend(store.iter().flat_map(|store| administration::stored(store)));
    for (owner, name, standing) in store
        .iter()
        .flat_map(|store| tollgate_admin::kept_standings(store))
    {
        gateway.pools().set(&owner, &name, standing);
    }
    // Secrets of managers are waited for, so that the first call finds them.
    runtime.block_on(gateway.apply_with_secrets(objects));
    let workers = resources.server.workers.unwrap_or_else(cores).max(1);
    let (listeners, addresses) = listening::listen(&resources.server, workers, &mut sockets)?;
    let settings = listening::settings(&resources.server);
    // Before anybody is told that the gateway runs: a signal that comes first would kill it.
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    let running = server::start(&gateway, listeners, &settings).map_err(Failure::new)?;
    memory::watch(&gateway, resources.server.max_memory_bytes).map_err(Failure::new)?;
    let observations = observation::start(&resources.metrics, &deployment, &gateway, &mut sockets)?;
    let mut exclusive = Exclusive::new(gateway.clone(), deployment.clone());
    // Last, because whoever changes the configuration may expect that it is served.
    if let (Some(admin), Some(store)) = (&loaded.admin, store) {
        let node = node(&resources, &arguments.source, &addresses, usage.is_some());
        let started =
            administration::keys(admin, &deployment, arguments.source.config.as_deref()).and_then(|keys| {
                let node = Node {
                    key_file: keys.file(),
                    ..node
                };
                let settings = AdminSettings {
                    admin: admin.clone(),
                    keys,
                    usage,
                    node: Arc::new(node),
                };
                exclusive.administrate(settings, store, &mut sockets)
            });
        match started {
            Err(failure) if is_offered => notes.extend(not_served(&failure)),
            started => started?,
        }
    }
    let files = if exclusive.administration().is_some() {
        arguments.source.read_again(&files)
    } else {
        files
    };
    banner::print(
        &resources,
        &notes,
        &addresses,
        &arguments.source,
        exclusive.administration(),
        &observations.addresses,
    );
    if let Some(predecessor) = predecessor {
        predecessor.take_over()?;
    }
    sockets.forget_the_rest();
    let pid_file = PidFile::write(
        arguments.pid_file.as_deref(),
        deployment.data_dir.as_ref(),
        predecessor.is_some(),
    )?;
    running.accept();
    if predecessor.is_none() {
        upgrade::notify_ready();
    }
    let mut upgrading = Upgrading {
        invocation,
        sockets: &sockets,
        exclusive: &mut exclusive,
        patience: Duration::from_millis(resources.server.upgrade_timeout_ms),
        successor: None,
    };
    let taken_over = predecessor.take();
    let mut before =
        runtime.block_on(async { taken_over.and_then(|predecessor| predecessor.into_end().ok()) });
    let end = runtime.block_on(supervise(
        &gateway,
        &arguments.source,
        files,
        &resources,
        &fixed,
        &mut file_objects,
        &mut signals,
        &mut upgrading,
        &mut before,
        &spending,
    ));
    let successor = upgrading.successor.take();
    exclusive.stop();
    observations.stop();
    if matches!(end, End::Asked) {
        upgrade::notify_stopping();
    }
    // Who has handed over keeps nobody waiting in them; otherwise clients are refused from now on.
    drop(sockets);
    stop(running, end, &runtime, &mut signals);
    pid_file.remove();
    // What the last calls have used; tells the log what is left.
    let _ = counters::write_pending(CHARGES_TIME);
    conversations::finish(&gateway);
    telemetry.flush_and_stop(TELEMETRY_TIME);
    if successor.is_some() && before.is_some() {
        // The successor takes the end of this process for that of all before it: those write into shared files too.
        runtime.block_on(async {
            tokio::select! {
                () = end_of(&mut before) => {}
                _ = signals.terminate.recv() => {}
                _ = signals.interrupt.recv() => {}
            }
        });
    }
    // Now the files that were shared are the successor's alone.
    drop(successor);
    Ok(())
}

/// The signals that mean something to the gateway, listened to for its whole life, so that none is missed between two
/// steps.
struct Signals {
    hangup: Signal,
    /// Never looked at: to listen to it is what keeps a limit on the size of files from ending the process.
    _file_too_large: Signal,
    reopen: Signal,
    upgrade: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        Ok(Signals {
            hangup: on(SignalKind::hangup())?,
            _file_too_large: on(SignalKind::from_raw(FILE_TOO_LARGE))?,
            reopen: on(SignalKind::user_defined1())?,
            upgrade: on(SignalKind::user_defined2())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }
}

/// Why a gateway stops accepting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was told to.
    Asked,
    /// Another process has taken over.
    HandedOver,
}

/// What another process needs to take over.
struct Upgrading<'a> {
    invocation: &'a Invocation,
    sockets: &'a Sockets,
    exclusive: &'a mut Exclusive,
    patience: Duration,
    /// Who has taken over.
    successor: Option<HandedOver>,
}

impl Upgrading<'_> {
    /// Hands over to the binary that is on the disk now. Returns whether it has taken over.
    async fn attempt(&mut self, mut control: Control) -> bool {
        if let Some(obstacle) = upgrade::obstacle(self.exclusive) {
            control.failed(obstacle).await;
            return false;
        }
        let (exclusive, patience) = (&mut *self.exclusive, self.patience);
        match upgrade::hand_over(self.invocation, self.sockets, exclusive, patience, &mut control).await {
            Ok(successor) => {
                let (new, own) = (successor.process, std::process::id());
                upgrade::notify_successor(new);
                self.successor = Some(successor);
                let text =
                    format!("process {new} serves now; process {own} finishes its open calls and ends");
                control.done(&text).await;
                true
            }
            Err(reason) => {
                control.failed(&reason).await;
                false
            }
        }
    }
}

/// Watches files and signals until the gateway is told to stop, or another process has taken over.
#[expect(clippy::too_many_arguments, reason = "all that a running gateway consists of")]
async fn supervise(
    gateway: &Gateway,
    source: &Source,
    mut files: Files,
    resources: &Resources,
    fixed: &Fixed,
    file_objects: &mut FileObjects,
    signals: &mut Signals,
    upgrading: &mut Upgrading<'_>,
    before: &mut Option<UnixStream>,
    spending: &Spending,
) -> End {
    let mut ticks = tokio::time::interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut serving = resources.clone();
    let (mut is_asked, mut last) = (false, None::<Instant>);
    let listener = upgrade::Listener::open();
    loop {
        let control = tokio::select! {
            _ = signals.terminate.recv() => return End::Asked,
            _ = signals.interrupt.recv() => return End::Asked,
            _ = signals.upgrade.recv() => Some(Control::nobody()),
            control = listener.asked() => Some(control),
            () = end_of(before) => {
                tracing::info!("the process before has finished its calls and ended");
                gateway.responses().share(false);
                spending.predecessor_has_ended();
                continue;
            }
            _ = signals.reopen.recv() => {
                gateway.telemetry().reopen();
                continue;
            }
            _ = signals.hangup.recv() => {
                is_asked = true;
                None
            }
            _ = ticks.tick() => None,
        };
        if let Some(control) = control {
            // Told to stop meanwhile: the new process is killed.
            let has_taken_over = tokio::select! {
                _ = signals.terminate.recv() => return End::Asked,
                _ = signals.interrupt.recv() => return End::Asked,
                has_taken_over = upgrading.attempt(control) => has_taken_over,
            };
            if has_taken_over {
                return End::HandedOver;
            }
            continue;
        }
        // Whoever asks a hundred times in a second is answered at once, and then with the next look at the files.
        if is_asked && last.is_some_and(|last| last.elapsed() < WATCH_INTERVAL) {
            continue;
        }
        let now = source.read_again(&files);
        if is_asked || now != files {
            let before = serving.clone();
            reload(gateway, source, &now, &mut serving, fixed, file_objects);
            if let Some(administration) = upgrading.exclusive.administration()
                && serving != before
            {
                let file = source.config.as_deref().unwrap_or("built-in".as_ref());
                administration.file_was_reloaded(&file.display().to_string(), &before, &serving);
            }
            files = now;
            is_asked = false;
            last = Some(Instant::now());
        }
    }
}

/// Waits until the process before has ended, and forgets it; for ever if there is none.
async fn end_of(before: &mut Option<UnixStream>) {
    let Some(stream) = before else {
        return std::future::pending().await;
    };
    // It says nothing more.
    let _ = stream.read(&mut [0]).await;
    *before = None;
}

/// Takes a changed configuration into service, as a whole or not at all.
fn reload(
    gateway: &Gateway,
    source: &Source,
    files: &Files,
    serving: &mut Resources,
    fixed: &Fixed,
    file_objects: &mut FileObjects,
) {
    let result = source.lower(files).and_then(|mut lowered| {
        let objects = served(std::mem::take(&mut lowered.objects), &lowered.deployment)?;
        let prices = prices::in_force(&lowered.resources.prices)?;
        gateway
            .replace(&lowered.resources, &lookup)
            .map_err(Failure::all)
            .map(|()| {
                gateway.set_prices(prices, lowered.resources.prices.unknown);
                (lowered, objects)
            })
    });
    if result.is_err() {
        gateway.changes().refused();
    }
    match result {
        Ok((lowered, objects)) => {
            gateway.apply(&file_objects.changes(&objects));
            let mut resources = lowered.resources;
            // What belongs to the process stays as it was started.
            if !same_process(&resources.server, &serving.server) {
                tracing::warn!(
                    "a change of `server` other than `max_body` and `body_timeout` takes effect after a restart"
                );
            }
            if resources.responses != serving.responses {
                tracing::warn!("a change of `responses` takes effect after a restart");
                resources.responses.clone_from(&serving.responses);
            }
            if resources.logging != serving.logging {
                tracing::warn!("a change of `logging` or `loggers` takes effect after a restart");
                resources.logging.clone_from(&serving.logging);
            }
            if resources.traces != serving.traces {
                tracing::warn!("a change of `traces` takes effect after a restart");
                resources.traces.clone_from(&serving.traces);
            }
            if resources.usage != serving.usage {
                tracing::warn!("a change of `usage` takes effect after a restart");
                resources.usage.clone_from(&serving.usage);
            }
            if resources.metrics != serving.metrics {
                tracing::warn!("a change of `metrics` takes effect after a restart");
                resources.metrics.clone_from(&serving.metrics);
            }
            if Fixed(lowered.admin, lowered.deployment) != *fixed {
                tracing::warn!(
                    "a change of the Admin API (its keys too), of `tollgate`, `compat` or `plugins` takes effect after a restart"
                );
            }
            resources.server.listen.clone_from(&serving.server.listen);
            for note in &lowered.notes {
                tracing::info!("{note}");
            }
            tracing::info!("configuration reloaded");
            *serving = resources;
        }
        Err(failure) => {
            for reason in failure.reasons() {
                tracing::error!("configuration refused: {reason}");
            }
            tracing::error!("the previous configuration keeps serving");
        }
    }
}

/// Objects as a file has them.
type Written = Vec<(ObjectKey, Map<String, Value>)>;

/// The objects of a file that can be served. One that cannot refuses the whole file: without it, another one might let in
/// what it kept out. APISIX leaves such objects out one by one.
pub(crate) fn served(mut objects: Written, deployment: &Deployment) -> Result<Written, Failure> {
    let refusals = tollgate_admin::refusals(&objects, deployment.strict, deployment.plugins.as_deref());
    if !deployment.strict && !refusals.is_empty() {
        return Err(Failure::all(
            refusals
                .into_iter()
                .map(|(key, reason)| format!("{key}: {reason}")),
        ));
    }
    let mut refused = HashSet::new();
    for (key, reason) in refusals {
        tracing::error!(object = %key, reason, "an object of the configuration file is left out");
        refused.insert(key.clone());
    }
    objects.retain(|(key, _)| !refused.contains(key));
    Ok(objects)
}

/// Whether two servers are alike but for what a reload takes into service (limits of bodies) and the addresses, which the
/// command line may have replaced.
fn same_process(a: &Server, b: &Server) -> bool {
    let a = Server {
        listen: b.listen.clone(),
        max_body_bytes: b.max_body_bytes,
        body_timeout_ms: b.body_timeout_ms,
        ..a.clone()
    };
    a == *b
}

/// Who says nothing of a configuration gets a dashboard. Returns whether that was done: calls are served without it too.
fn offer_admin(loaded: &mut Loaded, arguments: &RunArguments) -> bool {
    let source = &arguments.source;
    let is_said = source.config.is_some() || source.rbac.is_some() || arguments.admin.is_some();
    if is_said || loaded.admin.is_some() {
        return false;
    }
    loaded.admin = Some(Admin::default());
    true
}

/// Why there is no dashboard though nothing was said against it.
fn not_served(failure: &Failure) -> impl Iterator<Item = String> {
    failure.reasons().iter().map(|reason| {
        format!(
            "no dashboard, but calls are served: {reason}; --admin ADDRESS and --data-dir DIR choose others"
        )
    })
}

/// What the Admin API tells of this gateway.
fn node(resources: &Resources, source: &Source, addresses: &[Served], keeps_usage: bool) -> Node {
    let files = source.rbac.iter().chain(&source.config);
    let files: Vec<String> = files.map(|path| path.display().to_string()).collect();
    Node {
        listeners: addresses
            .iter()
            .map(|served| (served.scheme, served.address))
            .collect(),
        source: match files.is_empty() {
            true => "built in".to_owned(),
            false => files.join(", "),
        },
        files,
        keeps_usage,
        key_file: None,
        has_redis: resources.responses.redis.is_some(),
        trials: banner::trials(resources, addresses),
    }
}

/// What the command line says over the configuration.
fn with_arguments(loaded: &mut Loaded, arguments: &RunArguments) -> Result<(), Failure> {
    let from_file =
        matches!(loaded.deployment.provider, ConfigProvider::File { .. }) || !loaded.objects.is_empty();
    if let Some(address) = arguments.admin {
        if from_file {
            return Err(Failure::new(
                "--admin: the objects of this configuration come from a file, which is where they are changed; leave --admin out",
            ));
        }
        loaded.admin.get_or_insert_default().listen = vec![address];
    }
    if let Some(directory) = &arguments.data_dir {
        loaded.deployment.data_dir.clone_from(directory);
    }
    if loaded.admin.is_none() && loaded.deployment.status.is_some() {
        loaded
            .notes
            .push("apisix.status: nothing listens there, because this node has no Admin API".to_owned());
    }
    Ok(())
}

/// What a configuration says of the process beside its sockets; it stays as it was at the start.
#[derive(PartialEq)]
struct Fixed(Option<Admin>, Deployment);

impl Fixed {
    fn of(loaded: &Loaded) -> Self {
        Fixed(loaded.admin.clone(), loaded.deployment.clone())
    }
}

/// The environment as objects of the Admin API may refer to it: all but the key of the store they are kept in.
pub(crate) fn env_for_objects(name: &str) -> Option<String> {
    (name != administration::STORE_KEY_VARIABLE).then(|| env(name))?
}

/// Whose word is taken about clients. Only APISIX's configuration says; elsewhere it is nobody's.
pub(crate) fn forwarding(deployment: &Deployment, is_native: bool) -> Result<Forwarding, Failure> {
    if is_native {
        return Ok(Forwarding::default());
    }
    let real_ip = &deployment.real_ip;
    Forwarding::new(
        &real_ip.header,
        &real_ip.from,
        real_ip.recursive,
        deployment.trusted_addresses.as_deref().unwrap_or_default(),
    )
    .map_err(Failure::new)
}

/// Drains; a second signal ends the process at once, with open answers cut. What they have used is still logged. After another
/// process has taken over, the first signal only shortens the time.
fn stop(running: Running, end: End, runtime: &tokio::runtime::Runtime, signals: &mut Signals) {
    if end == End::Asked {
        tracing::info!("stopping: no new connections, open answers may finish");
    }
    let closer = running.closer();
    let (done, mut drained) = tokio::sync::oneshot::channel();
    let drain = std::thread::spawn(move || {
        match end {
            End::Asked => running.stop(),
            End::HandedOver => running.hand_over(),
        }
        // The receiver is gone only if the workers were given up.
        let _ = done.send(());
    });
    runtime.block_on(async {
        let mut signals_left = if end == End::HandedOver { 2 } else { 1 };
        while signals_left > 0 {
            tokio::select! {
                _ = &mut drained => return,
                _ = signals.terminate.recv() => {}
                _ = signals.interrupt.recv() => {}
            }
            signals_left -= 1;
            if signals_left > 0 {
                tracing::info!("stopping: open answers may finish within the drain time");
                closer.drain();
            }
        }
        tracing::warn!("stopped at once, open answers are cut");
        closer.close();
        if tokio::time::timeout(CLOSE_TIME, drained).await.is_err() {
            tracing::error!("a worker does not end, its open calls are not logged");
        }
    });
    if drain.is_finished() {
        // It has nothing left to do but return.
        let _ = drain.join();
    }
}

fn on(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(format!("cannot listen to signals: {error}")))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Random bytes that hide client keys in memory; new for each process.
fn pepper() -> Result<[u8; 32], Failure> {
    let mut pepper = [0; 32];
    aws_lc_rs::rand::fill(&mut pepper).map_err(|_| Failure::new("the system gives no random numbers"))?;
    Ok(pepper)
}
