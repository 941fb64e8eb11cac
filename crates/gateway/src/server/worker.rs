//! One thread per core, each with its own runtime, sockets and connections to providers. A call never leaves its thread.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Limits, TimedSocket};
use super::patience::Patient;
use super::tls::Tls;
use crate::Gateway;
use crate::pipeline::{Peer, Worker, serve};

/// How often a worker closes connections to providers that have been idle too long.
const IDLE_SWEEP: Duration = Duration::from_secs(10);

/// How long accepting pauses when the system has no descriptors left, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a client may take for the TLS handshake.
pub(super) const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take nothing of what is sent to it (nginx's `send_timeout`). While it does, the provider's stream
/// waits too, without any of its own limits running.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// How often an HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// What the listeners need to know. Fixed for the life of the process.
#[derive(Clone)]
pub struct Settings {
    /// Largest request head in bytes.
    pub max_header_bytes: usize,
    /// Most header fields of a request.
    pub max_headers: usize,
    /// How long a connection may wait for a request.
    pub limits: Limits,
    /// How long open calls may go on after a stop was asked for.
    pub drain: Duration,
}

/// A socket that calls come in on.
pub struct Listening {
    /// The socket.
    pub socket: TcpListener,
    /// What it speaks.
    pub tls: Tls,
}

/// The running workers.
pub struct Running {
    stage: watch::Sender<Stage>,
    threads: Vec<JoinHandle<()>>,
}

/// What the workers are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Accept and serve.
    Serve,
    /// Accept nobody; open calls may finish within the drain time.
    Drain,
    /// Close open calls now.
    Close,
}

/// Cuts the drain time short.
pub struct Closer(watch::Sender<Stage>);

impl Closer {
    /// Closes open calls at once. Their records are still written.
    pub fn close(&self) {
        self.0.send_replace(Stage::Close);
    }
}

impl Running {
    /// What can end [`Running::stop`] early.
    pub fn closer(&self) -> Closer {
        Closer(self.stage.clone())
    }

    /// Stops accepting, lets open calls finish within the drain time, closes the rest, and waits for all workers.
    pub fn stop(self) {
        self.stage.send_if_modified(|stage| {
            let serving = *stage == Stage::Serve;
            *stage = (*stage).max(Stage::Drain);
            serving
        });
        for thread in self.threads {
            // A worker that panicked has already reported it; there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

/// Starts one worker per element of `listeners`; each serves all sockets of its element.
///
/// # Errors
/// The system gives no thread or no runtime.
pub fn start(
    gateway: &Arc<Gateway>,
    listeners: Vec<Vec<Listening>>,
    settings: &Settings,
) -> std::io::Result<Running> {
    let (stage, stages) = watch::channel(Stage::Serve);
    let mut threads = Vec::new();
    for (number, sockets) in listeners.into_iter().enumerate() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (gateway, settings, stages) = (gateway.clone(), settings.clone(), stages.clone());
        threads.push(
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    tokio::task::LocalSet::new().block_on(&runtime, work(gateway, sockets, settings, stages));
                    // A name that is still being looked up must not hold up the end.
                    runtime.shutdown_background();
                })?,
        );
    }
    Ok(Running { stage, threads })
}

async fn work(
    gateway: Arc<Gateway>,
    sockets: Vec<Listening>,
    settings: Settings,
    mut stages: watch::Receiver<Stage>,
) {
    let worker = Rc::new(Worker::new(gateway));
    let graceful = Rc::new(GracefulShutdown::new());
    let mut accepting = Vec::new();
    for Listening { socket, tls } in sockets {
        match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => accepting.push(tokio::task::spawn_local(accept(
                listener,
                tls,
                worker.clone(),
                settings.clone(),
                graceful.clone(),
                stages.clone(),
            ))),
            Err(error) => tracing::error!(%error, "a listening socket could not be used"),
        }
    }
    let sweep = tokio::task::spawn_local({
        let worker = worker.clone();
        async move {
            loop {
                tokio::time::sleep(IDLE_SWEEP).await;
                worker.pools.close_idle();
            }
        }
    });
    for task in accepting {
        let _ = task.await;
    }
    sweep.abort();
    // The accepting tasks have ended and given up their shares.
    let Ok(graceful) = Rc::try_unwrap(graceful) else {
        return;
    };
    let open = graceful.count() + worker.tunnels.count();
    tokio::select! {
        () = async {
            graceful.shutdown().await;
            worker.tunnels.ended().await;
        } => {}
        () = tokio::time::sleep(settings.drain) => tracing::warn!(
            open,
            drain_ms = settings.drain.as_millis() as u64,
            "drain time is over, closing open calls"
        ),
        _ = stages.wait_for(|stage| *stage == Stage::Close) => {}
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    tls: Tls,
    worker: Rc<Worker>,
    settings: Settings,
    graceful: Rc<GracefulShutdown>,
    mut stages: watch::Receiver<Stage>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stages.wait_for(|stage| *stage > Stage::Serve) => return,
        };
        match accepted {
            Ok((tcp, address)) => {
                tokio::task::spawn_local(connection(
                    tcp,
                    address,
                    tls.clone(),
                    worker.clone(),
                    settings.clone(),
                    graceful.watcher(),
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    tcp: TcpStream,
    address: SocketAddr,
    tls: Tls,
    worker: Rc<Worker>,
    settings: Settings,
    watcher: Watcher,
) {
    let _open = worker.telemetry.traffic().connection();
    // An answer's last small packet must not wait for an acknowledgement. Fails only on a socket that is already gone.
    let _ = tcp.set_nodelay(true);
    let mut peer = Peer {
        address,
        server: tcp.local_addr().ok(),
        tls: !matches!(tls, Tls::Off),
        handshake: None,
        activity: Activity::default(),
    };
    let shaken = match &tls {
        Tls::Off => return http(tcp, peer, worker, &settings, watcher).await,
        Tls::Fixed(config) => {
            let handshake = TlsAcceptor::from(config.clone()).accept(tcp);
            tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, handshake)
                .await
                .map(|accepted| accepted.map(|stream| (stream, None)))
        }
        Tls::ByName(by_name) => {
            let current = || worker.gateway.snapshot().plane.certificates.clone();
            tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, by_name.accept(tcp, current))
                .await
                .map(|accepted| accepted.map(|(stream, handshake)| (stream, Some(handshake))))
        }
    };
    match shaken {
        Ok(Ok((stream, handshake))) => {
            peer.handshake = handshake.map(Arc::new);
            http(stream, peer, worker, &settings, watcher).await;
        }
        Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
    }
}

async fn http<S>(stream: S, peer: Peer, worker: Rc<Worker>, settings: &Settings, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(OnThisThread);
    builder
        .http1()
        .max_buf_size(settings.max_header_bytes.max(8192))
        .max_headers(settings.max_headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .max_header_list_size(u32::try_from(settings.max_header_bytes).unwrap_or(u32::MAX));
    let address = peer.address;
    let activity = peer.activity.clone();
    let service =
        service_fn(move |request: http::Request<Incoming>| serve(worker.clone(), peer.clone(), request));
    let io = TimedSocket::new(
        TokioIo::new(Patient::new(stream, SEND_TIMEOUT)),
        activity,
        settings.limits,
    );
    let connection = builder.serve_connection_with_upgrades(io, service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%address, %error, "connection ended early");
    }
}

/// Runs hyper's own tasks on the worker's thread.
#[derive(Clone, Copy)]
struct OnThisThread;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
