//! Listeners that crowds and silent clients cannot take: a bound on connections, and an end for those on which nothing moves.
//!
//! What they hold is the process's, descriptors above all, and the data plane needs it too.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at once; further clients wait in the system's queue.
const MOST: usize = 256;

/// How long nothing may move on a connection: longer than any answer takes, and than load balancers keep idle connections.
const SILENCE: Duration = Duration::from_secs(75);

/// A listener of at most so many connections, each of which has to move.
pub(crate) struct Guarded<L> {
    listener: L,
    places: Arc<Semaphore>,
    silence: Duration,
}

impl<L> Guarded<L> {
    /// Guards a listener.
    pub(crate) fn new(listener: L) -> Self {
        Guarded::with(listener, MOST, SILENCE)
    }

    fn with(listener: L, most: usize, silence: Duration) -> Self {
        Guarded {
            listener,
            places: Arc::new(Semaphore::new(most)),
            silence,
        }
    }
}

impl<L: Listener> Listener for Guarded<L> {
    type Io = Moving<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // Nobody closes it.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (io, address) = self.listener.accept().await;
        let moving = Moving {
            io,
            silence: self.silence,
            timer: Box::pin(sleep(self.silence)),
            _place: place,
        };
        (moving, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that fails when nothing has moved on it for too long.
pub struct Moving<I> {
    io: I,
    silence: Duration,
    timer: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl<I> Moving<I> {
    fn moved<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            let until = Instant::now() + self.silence;
            self.timer.as_mut().reset(until);
            return outcome;
        }
        let late = || io::Error::new(io::ErrorKind::TimedOut, "nothing has moved for too long");
        self.timer.as_mut().poll(cx).map(|()| Err(late()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Moving<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_read(cx, buffer);
        self.moved(cx, outcome)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Moving<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.moved(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.moved(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::IntoFuture;
    use std::net::SocketAddr;

    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn silent_clients_are_left_and_make_room_for_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let guarded = Guarded::with(listener, 2, Duration::from_millis(50));
        let router = Router::new().route("/", get(|| async { "served" }));
        tokio::select! {
            _ = axum::serve(guarded, router).into_future() => panic!("it serves no more"),
            () = two_in_the_way(address) => {}
        }
    }

    async fn two_in_the_way(address: SocketAddr) {
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        // Waits for a place until the others have lost theirs.
        let mut waiting = TcpStream::connect(address).await.unwrap();
        waiting
            .write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        waiting.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("served"), "{answer}");
        for left in [&mut silent, &mut slow] {
            let mut rest = Vec::new();
            left.read_to_end(&mut rest).await.unwrap();
            assert!(!rest.starts_with(b"HTTP/1.1 2"));
        }
    }
}
