//! What a connection becomes when client and server agree to speak something else over it, such as WebSocket: bytes both
//! ways, until one side ends or both are silent for too long.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tollgate_policy::balance::InFlight;

use crate::pipeline::Record;
use crate::server::ClientUpgrade;
use crate::upstream::Lease;

/// How long the client's side may take to become a tunnel once it has its answer.
const BEGIN_PATIENCE: Duration = Duration::from_secs(60);

/// The open tunnels of a worker; a drain waits for them.
#[derive(Clone, Default)]
pub struct Tunnels(Rc<Open>);

#[derive(Default)]
struct Open {
    count: Cell<usize>,
    changed: Notify,
}

struct Counted(Tunnels);

/// A tunnel about to begin.
pub struct Tunnel {
    /// The client's side.
    pub client: ClientUpgrade,
    /// The server's side.
    pub server: OnUpgrade,
    /// The connection to the server.
    pub lease: Lease,
    /// How long both sides may be silent.
    pub silence: Duration,
    /// Counts as a call of its node.
    pub in_flight: InFlight,
    /// Where it is counted.
    pub tunnels: Tunnels,
}

impl Tunnels {
    /// How many are open.
    pub fn count(&self) -> usize {
        self.0.count.get()
    }

    /// Waits until none is open.
    pub async fn ended(&self) {
        while self.count() > 0 {
            self.0.changed.notified().await;
        }
    }

    fn counted(&self) -> Counted {
        self.0.count.set(self.count() + 1);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let open = &self.0.0;
        open.count.set(open.count.get().saturating_sub(1));
        open.changed.notify_waiters();
    }
}

impl Tunnel {
    /// Runs the tunnel on this worker; the record goes with it and is written at its end.
    pub fn start(self: Box<Self>, record: Box<Record>) {
        let counted = self.tunnels.counted();
        tokio::task::spawn_local(async move {
            let _counted = counted;
            self.run(record).await;
        });
    }

    async fn run(self: Box<Self>, mut record: Box<Record>) {
        let Tunnel {
            client,
            server,
            lease,
            silence,
            in_flight,
            ..
        } = *self;
        let sides = async { Some((server.await.ok()?, client.switched().await?)) };
        let (server, client) = match tokio::time::timeout(BEGIN_PATIENCE, sides).await {
            Ok(Some(sides)) => sides,
            // The client has left; the record says so.
            Ok(None) | Err(_) => return,
        };
        let moved = Rc::new(Moved::new());
        let mut server = Watched::new(TokioIo::new(server), &moved);
        let mut client = Watched::new(client, &moved);
        let ended = copy_until_silent(&mut client, &mut server, &moved, silence).await;
        record.sent_unseen(server.read);
        let outcome = match ended {
            Ok(()) => "ok",
            Err(_) => "cut",
        };
        record.end_attempt(outcome, Some(StatusCode::SWITCHING_PROTOCOLS), None);
        record.complete();
        drop((lease, in_flight));
    }
}

/// Copies both ways. A side that has said its last byte may still be told the rest by the other.
async fn copy_until_silent<C, S>(
    client: &mut Watched<C>,
    server: &mut Watched<S>,
    moved: &Moved,
    silence: Duration,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut copying = pin!(tokio::io::copy_bidirectional(client, server));
    loop {
        tokio::select! {
            biased;
            copied = &mut copying => return copied.map(|_| ()),
            () = sleep_until(moved.last.get() + silence) => {
                if Instant::now() >= moved.last.get() + silence {
                    return Ok(());
                }
            }
        }
    }
}

/// When a byte was last moved.
struct Moved {
    last: Cell<Instant>,
}

impl Moved {
    fn new() -> Self {
        Moved {
            last: Cell::new(Instant::now()),
        }
    }
}

/// One side of a tunnel.
struct Watched<S> {
    io: S,
    moved: Rc<Moved>,
    /// Bytes read from this side.
    read: usize,
}

impl<S> Watched<S> {
    fn new(io: S, moved: &Rc<Moved>) -> Self {
        Watched {
            io,
            moved: moved.clone(),
            read: 0,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        let read = buffer.filled().len() - before;
        if read > 0 {
            self.read += read;
            self.moved.last.set(Instant::now());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        if polled.is_ready() {
            self.moved.last.set(Instant::now());
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
