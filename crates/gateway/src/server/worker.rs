//! One thread per core, each with its own runtime, sockets and connections to providers. A call never leaves its thread.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tollgate_telemetry::metrics::{Ending, Limit, Limits as Reached};

use super::activity::{Activity, Limits, TimedSocket};
use super::patience::Patient;
use super::places::{Held, Place, Places};
use super::tls::Tls;
use super::{ending, taking};
use crate::Gateway;
use crate::pipeline::{Bounds, Peer, Worker, serve};

/// How often a worker closes connections to providers that have been idle too long.
const IDLE_SWEEP: Duration = Duration::from_secs(10);

/// How long accepting pauses when the system has no descriptors left, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Headers of a request that the HTTP library keeps room for by itself.
const HTTP1_HEADERS: usize = 100;

/// How long connections stay open after the listeners were handed over, if their clients send nothing. A request that comes
/// meanwhile is answered, with the word that the connection ends. To close at once would reset what is on its way.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// How often it is looked whether all of them have gone before that.
const LOOK: Duration = Duration::from_millis(50);

/// How often an HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// What the listeners need to know. Fixed for the life of the process.
#[derive(Clone)]
pub struct Settings {
    /// What a request head may be like.
    pub bounds: Bounds,
    /// How long a connection may wait for a request.
    pub limits: Limits,
    /// How long a client may take for the TLS handshake.
    pub handshake_timeout: Duration,
    /// How long a client may take nothing of what is sent to it (nginx's `send_timeout`). While it does, the provider's stream
    /// waits too, without any of its own limits running.
    pub send_timeout: Duration,
    /// Whether a client that has ended its side of the connection still gets its answer. Then it is only noticed that one has
    /// left when something is sent to it.
    pub half_close: bool,
    /// Most clients that are connected at once.
    pub max_connections: usize,
    /// Most calls under way at once; each worker has its share. `None` for any number.
    pub max_calls: Option<usize>,
    /// How long open calls may go on after a stop was asked for.
    pub drain: Duration,
    /// How long they may go on after another process has taken over.
    pub upgrade_drain: Duration,
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
    /// Accept nobody, another process does; connections end with their next answer, open calls may finish.
    HandOver,
    /// Accept nobody; open calls may finish within the drain time.
    Drain,
    /// Close open calls now.
    Close,
}

/// Cuts the drain time short.
pub struct Closer(watch::Sender<Stage>);

impl Closer {
    /// Gives open calls no longer than the drain time from now on.
    pub fn drain(&self) {
        advance(&self.0, Stage::Drain);
    }

    /// Closes open calls at once. Their records are still written.
    pub fn close(&self) {
        advance(&self.0, Stage::Close);
    }
}

/// Goes on to a later stage, never back.
fn advance(stages: &watch::Sender<Stage>, to: Stage) {
    stages.send_if_modified(|stage| {
        let is_later = to > *stage;
        *stage = to.max(*stage);
        is_later
    });
}

impl Running {
    /// What can end [`Running::stop`] early.
    pub fn closer(&self) -> Closer {
        Closer(self.stage.clone())
    }

    /// Stops accepting, lets open calls finish within the drain time, closes the rest, and waits for all workers.
    pub fn stop(self) {
        self.end(Stage::Drain);
    }

    /// Stops accepting because another process does so on the same sockets. Requests that come over open connections within
    /// some seconds are answered, and open calls finish within their own drain time; waits for all workers.
    pub fn hand_over(self) {
        self.end(Stage::HandOver);
    }

    fn end(self, stage: Stage) {
        advance(&self.stage, stage);
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
) -> io::Result<Running> {
    let (stage, stages) = watch::channel(Stage::Serve);
    let places = Places::new(settings.max_connections, gateway.overload().clone());
    let max_calls = settings
        .max_calls
        .map_or(usize::MAX, |most| most.div_ceil(listeners.len().max(1)));
    let mut threads = Vec::new();
    for (number, sockets) in listeners.into_iter().enumerate() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (gateway, settings, stages) = (gateway.clone(), settings.clone(), stages.clone());
        let places = places.clone();
        threads.push(
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    tokio::task::LocalSet::new().block_on(
                        &runtime,
                        work(gateway, sockets, settings, max_calls, places, stages),
                    );
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
    max_calls: usize,
    places: Arc<Places>,
    mut stages: watch::Receiver<Stage>,
) {
    let worker = Rc::new(Worker::new(gateway, settings.bounds, max_calls));
    let graceful = Rc::new(GracefulShutdown::new());
    let mut accepting = Vec::new();
    for Listening { socket, tls } in sockets {
        match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => accepting.push(tokio::task::spawn_local(accept(
                listener,
                tls,
                worker.clone(),
                settings.clone(),
                places.clone(),
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
    if *stages.borrow() == Stage::HandOver {
        worker.leaving.set(true);
        tokio::select! {
            () = last_requests(&graceful) => {}
            _ = stages.wait_for(|stage| *stage > Stage::HandOver) => {}
        }
    }
    let open = graceful.count() + worker.tunnels.count();
    tokio::select! {
        () = async {
            graceful.shutdown().await;
            worker.tunnels.ended().await;
        } => {}
        drain = drain_time(&settings, stages.clone()) => tracing::warn!(
            open,
            drain_ms = drain.as_millis() as u64,
            "drain time is over, closing open calls"
        ),
        _ = stages.wait_for(|stage| *stage == Stage::Close) => {}
    }
}

/// Waits until all clients have gone, but not for those that ask nothing any more.
async fn last_requests(graceful: &GracefulShutdown) {
    let until = Instant::now() + LAST_REQUESTS;
    while graceful.count() > 0 && Instant::now() < until {
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until open calls have had their time, and tells how much that was.
async fn drain_time(settings: &Settings, mut stages: watch::Receiver<Stage>) -> Duration {
    if *stages.borrow() == Stage::HandOver {
        tokio::select! {
            () = tokio::time::sleep(settings.upgrade_drain) => return settings.upgrade_drain,
            _ = stages.wait_for(|stage| *stage > Stage::HandOver) => {}
        }
    }
    tokio::time::sleep(settings.drain).await;
    settings.drain
}

async fn accept(
    listener: tokio::net::TcpListener,
    tls: Tls,
    worker: Rc<Worker>,
    settings: Settings,
    places: Arc<Places>,
    graceful: Rc<GracefulShutdown>,
    mut stages: watch::Receiver<Stage>,
) {
    let limits = worker.telemetry.traffic().limits();
    let mut paused = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stages.wait_for(|stage| *stage > Stage::Serve) => return,
        };
        match accepted {
            Ok((tcp, address)) => {
                if std::mem::take(&mut paused) {
                    tracing::info!("connections are accepted again");
                }
                // Closed at once, so that whoever distributes clients over gateways asks another one.
                if worker.overload.closes_connection() {
                    continue;
                }
                let Some(place) = places.take() else {
                    limits.reached(Limit::MaxConnections);
                    continue;
                };
                tokio::task::spawn_local(connection(
                    tcp,
                    address,
                    tls.clone(),
                    worker.clone(),
                    settings.clone(),
                    graceful.watcher(),
                    place,
                ));
            }
            Err(error) if is_about_one_client(&error) => limits.broke(Ending::Lost),
            // Nothing is left of what a connection needs. Clients wait in the system's queue until something is.
            Err(error) => {
                limits.paused();
                if !std::mem::replace(&mut paused, true) {
                    tracing::warn!(%error, "no connection can be accepted, trying again");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether accepting failed because of the client that would have been next.
fn is_about_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

async fn connection(
    tcp: TcpStream,
    address: SocketAddr,
    tls: Tls,
    worker: Rc<Worker>,
    settings: Settings,
    watcher: Watcher,
    place: Place,
) {
    let traffic = worker.telemetry.traffic();
    let held = Held {
        _place: place,
        _open: traffic.connection(),
    };
    // An answer's last small packet must not wait for an acknowledgement. Fails only on a socket that is already gone.
    let _ = tcp.set_nodelay(true);
    let peer = Peer {
        address,
        server: tcp.local_addr().ok(),
        tls: !matches!(tls, Tls::Off),
        handshake: None,
        activity: Activity::default(),
        guest: None,
    };
    match tls {
        Tls::Off => http(tcp, peer, worker, &settings, watcher, held).await,
        // Boxed: connections without encryption shall not pay for its size.
        _ => Box::pin(encrypted(tcp, tls, peer, worker, settings, watcher, held)).await,
    }
}

async fn encrypted(
    tcp: TcpStream,
    tls: Tls,
    mut peer: Peer,
    worker: Rc<Worker>,
    settings: Settings,
    watcher: Watcher,
    held: Held,
) {
    let limits = worker.telemetry.traffic().limits().clone();
    let address = peer.address;
    let shaken = match &tls {
        Tls::Off => return,
        Tls::Fixed(config) => {
            let handshake = TlsAcceptor::from(config.clone()).accept(tcp);
            tokio::time::timeout(settings.handshake_timeout, handshake)
                .await
                .map(|accepted| accepted.map(|stream| (stream, None)))
        }
        Tls::ByName(by_name) => {
            let current = || worker.gateway.snapshot().plane.certificates.clone();
            tokio::time::timeout(settings.handshake_timeout, by_name.accept(tcp, current))
                .await
                .map(|accepted| accepted.map(|(stream, handshake)| (stream, Some(handshake))))
        }
    };
    match shaken {
        Ok(Ok((stream, handshake))) => {
            peer.handshake = handshake.map(Arc::new);
            http(stream, peer, worker, &settings, watcher, held).await;
        }
        Ok(Err(error)) => {
            limits.broke(Ending::Handshake);
            tracing::debug!(%address, %error, "TLS handshake failed");
        }
        Err(_) => {
            limits.reached(Limit::HandshakeTimeout);
            tracing::debug!(%address, "TLS handshake took too long");
        }
    }
}

async fn http<S>(stream: S, peer: Peer, worker: Rc<Worker>, settings: &Settings, watcher: Watcher, held: Held)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let address = peer.address;
    let activity = peer.activity.clone();
    let max_header = settings.bounds.max_header;
    let limits = worker.telemetry.traffic().limits().clone();
    if let Err(error) = spoken(stream, peer, worker, settings, watcher, held).await {
        ending::count(&*error, &activity, max_header, &limits);
        tracing::debug!(%address, %error, "connection ended early");
    }
}

/// What is said over a connection, until its end. Made outside of any future, each of which would keep room for all that it
/// is made of; and boxed, so that it is moved no more.
fn spoken<S>(
    stream: S,
    peer: Peer,
    worker: Rc<Worker>,
    settings: &Settings,
    watcher: Watcher,
    held: Held,
) -> Spoken
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Bounds {
        max_header,
        max_headers,
        max_streams,
        ..
    } = settings.bounds;
    let mut builder = auto::Builder::new(OnThisThread {
        send_timeout: settings.send_timeout,
        limits: worker.telemetry.traffic().limits().clone(),
    });
    builder
        .http1()
        .half_close(settings.half_close)
        .max_buf_size(max_header.max(8192));
    // With a limit of its own the library keeps its list of headers on the heap.
    if max_headers != HTTP1_HEADERS {
        builder.http1().max_headers(max_headers);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .max_concurrent_streams(max_streams)
        .max_header_list_size(u32::try_from(max_header).unwrap_or(u32::MAX));
    let activity = peer.activity.clone();
    let service =
        service_fn(move |request: http::Request<Incoming>| serve(worker.clone(), peer.clone(), request));
    let patient = Patient::new(stream, activity.clone(), settings.send_timeout);
    let io = TokioIo::new(TimedSocket::new(patient, activity, settings.limits, held));
    let connection = builder.serve_connection_with_upgrades(io, service).into_owned();
    Box::pin(watcher.watch(connection))
}

/// See [`spoken`].
type Spoken = Pin<Box<dyn Future<Output = Result<(), Box<dyn Error + Send + Sync>>>>>;

/// Runs hyper's own tasks, which are the streams of HTTP/2, on the worker's thread.
#[derive(Clone)]
struct OnThisThread {
    send_timeout: Duration,
    limits: Reached,
}

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, stream: F) {
        let watched = taking::unless_left_lying(stream, self.send_timeout, self.limits.clone());
        tokio::task::spawn_local(watched);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        fn size<A, B, C, D, E, F, G, H: Future>(_: fn(A, B, C, D, E, F, G) -> H) -> usize {
            size_of::<H>()
        }
        // Every open connection pays for it, and for what is said over it, which is boxed.
        let bytes = size(connection);
        assert!(bytes < 1_500, "{bytes} bytes");
    }
}
