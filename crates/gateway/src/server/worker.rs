//! One thread per core, each with its own runtime, sockets and connections to providers. A call never leaves its thread.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tollgate_telemetry::metrics::{Ending, Limit};

use super::activity::{Activity, Limits};
use super::closing::{Closing, Open};
use super::http1::Stream;
use super::places::{Held, Place, Places};
use super::spoken::spoken;
use super::tls::Tls;
use super::version::{self, Unknown, Version};
use crate::Gateway;
use crate::pipeline::{Bounds, Peer, Worker};

/// How often a worker closes connections to providers that have been idle too long.
const IDLE_SWEEP: Duration = Duration::from_secs(10);

/// How long accepting pauses when the system has no descriptors left, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long connections stay open after the listeners were handed over, if their clients send nothing. A request that comes
/// meanwhile is answered, with the word that the connection ends. To close at once would reset what is on its way.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// How often it is looked whether all of them have gone before that.
const LOOK: Duration = Duration::from_millis(50);

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
    /// Accept nobody yet: clients wait in the system's queue.
    Wait,
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
    /// Begins to accept. Whom a process has accepted is lost with it: so this comes when nothing can go wrong any more.
    pub fn accept(&self) {
        advance(&self.stage, Stage::Serve);
    }

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

/// Starts one worker per element of `listeners`; each serves all sockets of its element, once it is told to accept.
///
/// # Errors
/// The system gives no thread or no runtime.
pub fn start(
    gateway: &Arc<Gateway>,
    listeners: Vec<Vec<Listening>>,
    settings: &Settings,
) -> io::Result<Running> {
    let (stage, stages) = watch::channel(Stage::Wait);
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
    let closing = Closing::new();
    let mut accepting = Vec::new();
    for Listening { socket, tls } in sockets {
        match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => accepting.push(tokio::task::spawn_local(accept(
                listener,
                tls,
                worker.clone(),
                settings.clone(),
                places.clone(),
                closing.clone(),
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
    if *stages.borrow() == Stage::HandOver {
        worker.leaving.set(true);
        tokio::select! {
            () = last_requests(&closing) => {}
            _ = stages.wait_for(|stage| *stage > Stage::HandOver) => {}
        }
    }
    let open = closing.count() + worker.tunnels.count();
    tokio::select! {
        () = async {
            closing.end().await;
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
async fn last_requests(closing: &Closing) {
    let until = Instant::now() + LAST_REQUESTS;
    while closing.count() > 0 && Instant::now() < until {
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
    closing: Rc<Closing>,
    mut stages: watch::Receiver<Stage>,
) {
    let limits = worker.telemetry.traffic().limits();
    let mut paused = false;
    match stages.wait_for(|stage| *stage > Stage::Wait).await.as_deref() {
        Ok(Stage::Serve) => {}
        _ => return,
    }
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
                    closing.open(),
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
    open: Open,
    place: Place,
) {
    let traffic = worker.telemetry.traffic();
    let held = Held {
        _place: place,
        _open: traffic.connection(),
    };
    // An answer's last small packet must not wait for an acknowledgement. Fails only on a socket that is already gone.
    let _ = tcp.set_nodelay(true);
    let mut peer = Peer {
        address,
        server: tcp.local_addr().ok(),
        tls: !matches!(tls, Tls::Off),
        handshake: None,
        activity: Activity::default(),
        guest: None,
    };
    // Boxed: what is needed until both sides know what they speak is not kept for as long as they do.
    let agreed = match tls {
        Tls::Off => Box::pin(plain(tcp, address, &worker, &settings, &open)).await,
        _ => Box::pin(encrypted(tcp, &tls, &mut peer, &worker, &settings)).await,
    };
    if let Some((stream, version)) = agreed {
        spoken(stream, version, peer, worker, &settings, open, held).await;
    }
}

/// What a client speaks, and over what.
type Agreed = (Box<dyn Stream>, Version);

async fn plain(
    tcp: TcpStream,
    address: SocketAddr,
    worker: &Worker,
    settings: &Settings,
    open: &Open,
) -> Option<Agreed> {
    let begun = tokio::select! {
        begun = version::begun(&tcp, settings.limits) => begun,
        () = open.shall_end() => return None,
    };
    let limits = worker.telemetry.traffic().limits();
    match begun {
        Ok(version) => return Some((Box::new(tcp), version)),
        Err(Unknown::Late(limit)) => {
            limits.reached(limit);
            tracing::debug!(%address, "no request came in time");
        }
        Err(Unknown::Lost(error)) => {
            limits.broke(Ending::Lost);
            tracing::debug!(%address, %error, "connection ended early");
        }
    }
    None
}

async fn encrypted(
    tcp: TcpStream,
    tls: &Tls,
    peer: &mut Peer,
    worker: &Worker,
    settings: &Settings,
) -> Option<Agreed> {
    let limits = worker.telemetry.traffic().limits();
    let address = peer.address;
    let shaken = match tls {
        Tls::Off => return None,
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
            let version = version::agreed(&stream);
            return Some((Box::new(stream), version));
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
    None
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::gateway::tests::gateway;

    fn settings() -> Settings {
        let while_it_lasts = Duration::from_secs(60);
        Settings {
            bounds: Bounds {
                max_header: 8192,
                max_headers: 100,
                max_uri: 8192,
                max_streams: 100,
            },
            limits: Limits {
                idle: while_it_lasts,
                head: while_it_lasts,
            },
            handshake_timeout: while_it_lasts,
            send_timeout: while_it_lasts,
            half_close: false,
            max_connections: 10,
            max_calls: None,
            drain: Duration::ZERO,
            upgrade_drain: Duration::ZERO,
        }
    }

    /// A socket, and another holder of it, as in another process.
    fn sockets() -> (TcpListener, TcpListener) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let other_holder = socket.try_clone().unwrap();
        (socket, other_holder)
    }

    #[test]
    fn workers_leave_clients_to_others_until_they_are_told_to_accept() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(tokio::task::LocalSet::new().run_until(async {
            let (socket, other_holder) = sockets();
            let worker = Rc::new(Worker::new(Arc::new(gateway()), settings().bounds, usize::MAX));
            let places = Places::new(10, worker.overload.clone());
            let (_stage, stages) = watch::channel(Stage::Wait);
            let listener = tokio::net::TcpListener::from_std(socket).unwrap();
            let address = listener.local_addr().unwrap();
            let closing = Closing::new();
            let accepting = accept(listener, Tls::Off, worker, settings(), places, closing, stages);
            tokio::task::spawn_local(accepting);
            let _client = TcpStream::connect(address).await.unwrap();
            // Who hears of a later connection has heard of this one, and has had a turn.
            let later = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(later.local_addr().unwrap());
            let (client, accepted) = tokio::join!(client, later.accept());
            assert!(client.is_ok() && accepted.is_ok());
            tokio::task::yield_now().await;
            assert!(other_holder.accept().is_ok());
        }));
    }

    #[test]
    fn who_has_waited_is_served_once_workers_are_told_to_accept() {
        let (socket, _other_holder) = sockets();
        let mut client = std::net::TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        let tls = Tls::Off;
        let listening = Listening { socket, tls };
        let running = start(&Arc::new(gateway()), vec![vec![listening]], &settings()).unwrap();
        assert_eq!(*running.stage.borrow(), Stage::Wait);
        running.accept();
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        client.write_all(request).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        running.stop();
    }

    #[test]
    fn a_connection_is_small() {
        fn size<A, B, C, D, E, F, G, H: Future>(_: fn(A, B, C, D, E, F, G) -> H) -> usize {
            size_of::<H>()
        }
        // Every open connection pays for it, and for what is said over it, which is boxed.
        let bytes = size(connection);
        assert!(bytes < 700, "{bytes} bytes");
    }
}
