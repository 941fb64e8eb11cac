//! `tollgate run`: wires everything together, watches the configuration, obeys signals.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tollgate_gateway::server::{self, Bounds, ByName, Limits, Listening, Running, Settings, Tls};
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
use crate::{
    administration, banner, conversations, core_dumps, files, observation, own_log, prices, telemetry, trust,
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
    let result = serve(arguments);
    // Before anything else is told: what was told last may say why.
    own_log::flush();
    result
}

fn serve(arguments: &RunArguments) -> Result<(), Failure> {
    let files = arguments.source.read();
    let mut loaded = arguments.source.lower(&files)?;
    let is_native = arguments.source.is_native(&files);
    let fixed = Fixed::of(&loaded);
    with_arguments(&mut loaded, arguments)?;
    let (mut resources, notes, deployment) = (loaded.resources, loaded.notes, loaded.deployment);
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
    conversations::keep(&gateway, &resources.responses, arguments, &deployment, is_native)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let mut file_objects = FileObjects::default();
    let mut objects = file_objects.changes(&served(loaded.objects, &deployment)?);
    let store = if loaded.admin.is_some() || administration::has_store(&deployment, is_native) {
        administration::open_store(&deployment)?
    } else {
        None
    };
    objects.extend(store.iter().flat_map(|store| administration::stored(store)));
    // Secrets of managers are waited for, so that the first call finds them.
    runtime.block_on(gateway.apply_with_secrets(objects));
    let workers = resources.server.workers.unwrap_or_else(cores).max(1);
    let (listeners, addresses) = listen(&resources.server, workers)?;
    let settings = settings(&resources.server);
    // Before anybody is told that the gateway runs: a signal that comes first would kill it.
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    let running = server::start(&gateway, listeners, &settings).map_err(Failure::new)?;
    let observations = observation::start(&resources.metrics, &deployment, &gateway)?;
    // Last, because whoever changes the configuration may expect that it is served.
    let administration = match (&loaded.admin, store) {
        (Some(admin), Some(store)) => Some(administration::start(
            admin,
            &deployment,
            arguments.source.config.as_deref(),
            store,
            gateway.clone(),
            usage,
        )?),
        _ => None,
    };
    let files = if administration.is_some() {
        arguments.source.read_again(&files)
    } else {
        files
    };
    banner::print(
        &resources,
        &notes,
        &addresses,
        &arguments.source,
        administration.as_ref(),
        &observations.addresses,
    );
    runtime.block_on(supervise(
        &gateway,
        &arguments.source,
        files,
        &resources,
        &fixed,
        &mut file_objects,
        &mut signals,
    ));
    if let Some(administration) = administration {
        administration.stop();
    }
    observations.stop();
    stop(running, &runtime, &mut signals);
    // What the last calls have used; tells the log what is left.
    let _ = counters::write_pending(CHARGES_TIME);
    conversations::finish(&gateway);
    telemetry.flush_and_stop(TELEMETRY_TIME);
    Ok(())
}

/// The signals that mean something to the gateway, listened to for its whole life, so that none is missed between two
/// steps.
struct Signals {
    hangup: Signal,
    /// Never looked at: to listen to it is what keeps a limit on the size of files from ending the process.
    _file_too_large: Signal,
    reopen: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        Ok(Signals {
            hangup: on(SignalKind::hangup())?,
            _file_too_large: on(SignalKind::from_raw(FILE_TOO_LARGE))?,
            reopen: on(SignalKind::user_defined1())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }
}

/// Watches files and signals until the gateway is told to stop.
async fn supervise(
    gateway: &Gateway,
    source: &Source,
    mut files: Files,
    resources: &Resources,
    fixed: &Fixed,
    file_objects: &mut FileObjects,
    signals: &mut Signals,
) {
    let mut ticks = tokio::time::interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut serving = resources.clone();
    let (mut is_asked, mut last) = (false, None::<Instant>);
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.reopen.recv() => {
                gateway.telemetry().reopen();
                continue;
            }
            _ = signals.hangup.recv() => is_asked = true,
            _ = ticks.tick() => {}
        }
        // Whoever asks a hundred times in a second is answered at once, and then with the next look at the files.
        if is_asked && last.is_some_and(|last| last.elapsed() < WATCH_INTERVAL) {
            continue;
        }
        let now = source.read_again(&files);
        if is_asked || now != files {
            reload(gateway, source, &now, &mut serving, fixed, file_objects);
            files = now;
            is_asked = false;
            last = Some(Instant::now());
        }
    }
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
fn served(mut objects: Written, deployment: &Deployment) -> Result<Written, Failure> {
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
fn env_for_objects(name: &str) -> Option<String> {
    (name != administration::STORE_KEY_VARIABLE).then(|| env(name))?
}

/// Whose word is taken about clients. Only APISIX's configuration says; elsewhere it is nobody's.
fn forwarding(deployment: &Deployment, is_native: bool) -> Result<Forwarding, Failure> {
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

/// Drains; a second signal ends the process at once, with open answers cut. What they have used is still logged.
fn stop(running: Running, runtime: &tokio::runtime::Runtime, signals: &mut Signals) {
    tracing::info!("stopping: no new connections, open answers may finish");
    let closer = running.closer();
    let (done, mut drained) = tokio::sync::oneshot::channel();
    let drain = std::thread::spawn(move || {
        running.stop();
        // The receiver is gone only if the workers were given up.
        let _ = done.send(());
    });
    runtime.block_on(async {
        tokio::select! {
            _ = &mut drained => return,
            _ = signals.terminate.recv() => {}
            _ = signals.interrupt.recv() => {}
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

/// Opens all sockets. Gives them by worker, and where they are, with the scheme of each.
fn listen(server: &Server, workers: usize) -> Result<(Vec<Vec<Listening>>, Vec<Served>), Failure> {
    let mut by_worker: Vec<Vec<Listening>> = (0..workers).map(|_| Vec::new()).collect();
    let mut bound = Vec::new();
    let mut open = |address: SocketAddr, tls: &Tls| -> Result<(), Failure> {
        let sockets = server::bind(address, workers).map_err(Failure::new)?;
        let address = sockets.first().and_then(|socket| socket.local_addr().ok());
        bound.extend(address.map(|address| Served {
            scheme: if matches!(tls, Tls::Off) { "http" } else { "https" },
            address,
        }));
        for (worker, socket) in by_worker.iter_mut().zip(sockets) {
            worker.push(Listening {
                socket,
                tls: tls.clone(),
            });
        }
        Ok(())
    };
    let tls = trust::of_listeners(server)?;
    for address in &server.listen {
        open(*address, &tls)?;
    }
    if let Some(https) = &server.https {
        let by_name = ByName::new(https.fallback_name.as_deref()).map_err(Failure::new)?;
        for address in &https.listen {
            open(*address, &Tls::ByName(by_name.clone()))?;
        }
    }
    Ok((by_worker, bound))
}

fn settings(server: &Server) -> Settings {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let time = Duration::from_millis;
    Settings {
        bounds: Bounds {
            max_header: bytes(server.max_header_bytes),
            max_headers: bytes(server.max_headers),
            max_uri: bytes(server.max_uri_bytes),
            max_streams: server.max_streams,
        },
        limits: Limits {
            idle: time(server.idle_timeout_ms),
            head: time(server.header_timeout_ms),
        },
        handshake_timeout: time(server.handshake_timeout_ms),
        send_timeout: time(server.send_timeout_ms),
        half_close: server.half_close,
        max_connections: files::connections(server.max_connections),
        drain: time(server.drain_ms),
    }
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
