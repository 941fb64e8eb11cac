//! The listener of the Admin API.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tollgate_gateway::server::{Encrypted, EncryptedStream};

use crate::admin::{Admin, DataPlane};
use crate::guarded::Guarded;

/// How often the store is asked for what has outlived its time.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// How long requests may take to end after the end was asked for.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// The client's address.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub SocketAddr);

/// A listener of any kind, as a type of ours: only of those can a [`Client`] be told.
struct Clients<L>(L);

/// A listener that stops accepting when it is told to, while what it has accepted is still served.
pub struct Pausable<L> {
    listener: L,
    is_paused: watch::Receiver<bool>,
}

impl<L> Pausable<L> {
    /// Accepts until `is_paused` is true.
    pub fn new(listener: L, is_paused: watch::Receiver<bool>) -> Self {
        Pausable { listener, is_paused }
    }
}

impl<L: Listener> Listener for Pausable<L> {
    type Io = L::Io;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let paused = async {
            // Nobody can pause it any more if the other side is gone.
            if self.is_paused.wait_for(|is_paused| *is_paused).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = paused => std::future::pending().await,
            accepted = self.listener.accept() => accepted,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A listener for TLS.
pub struct TlsListener(pub Encrypted);

impl Listener for TlsListener {
    type Io = EncryptedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        self.0.accept().await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl<L: Listener> Listener for Clients<L> {
    type Io = L::Io;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        self.0.accept().await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl<L: Listener<Addr = SocketAddr>> Connected<IncomingStream<'_, Clients<L>>> for Client {
    fn connect_info(stream: IncomingStream<'_, Clients<L>>) -> Self {
        Client(*stream.remote_addr())
    }
}

/// All paths of the Admin API. It needs to know the [`Client`] of each request.
pub fn router<D: DataPlane>(admin: Arc<Admin<D>>) -> Router {
    Router::new().fallback(respond::<D>).with_state(admin)
}

async fn respond<D: DataPlane>(
    State(admin): State<Arc<Admin<D>>>,
    ConnectInfo(client): ConnectInfo<Client>,
    request: Request,
) -> Response {
    admin.respond(client.0.ip(), request).await
}

/// Serves the Admin API until `shutdown` is done, then finishes the requests and writes that are under way. Requests that do
/// not end soon are given up; writes are not.
///
/// # Errors
/// The listener fails for good.
pub async fn serve<L, D>(
    listener: L,
    admin: Arc<Admin<D>>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()>
where
    L: Listener<Addr = SocketAddr>,
    D: DataPlane,
{
    let service = router(Arc::clone(&admin)).into_make_service_with_connect_info::<Client>();
    let (stopped, mut stopping) = watch::channel(false);
    let closing = admin.closing.clone();
    let shutdown = async move {
        shutdown.await;
        closing.send_replace(true);
        stopped.send_replace(true);
    };
    let given_up = async move {
        // It is gone unsaid only if nobody can stop this any more.
        if stopping.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(LAST_REQUESTS).await;
    };
    let serving = axum::serve(Clients(Guarded::new(listener)), service)
        .with_graceful_shutdown(shutdown)
        .into_future();
    let served = tokio::select! {
        served = serving => served,
        () = expire(&admin) => Ok(()),
        () = given_up => {
            tracing::warn!("requests to the Admin API that did not end in time were given up");
            Ok(())
        }
    };
    admin.drain().await;
    served
}

/// Looks for objects whose time has ended, for ever.
async fn expire<D: DataPlane>(admin: &Arc<Admin<D>>) {
    let mut ticks = tokio::time::interval(EXPIRY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let expiring = Arc::clone(admin);
        // Runs to its end even if the server stops meanwhile. A failure is in the log, and the next tick tries again.
        let _ = admin.finish(async move { expiring.expire().await }).await;
    }
}
