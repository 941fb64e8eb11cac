//! What becomes of a connection on which client and server agree to speak something else.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::wire::Socket;

/// The promise of a client's connection, among the extensions of a request that asks to speak something else. It is kept once
/// the answer has been sent that agrees.
#[derive(Clone)]
pub struct ClientUpgrade(Arc<Mutex<Option<oneshot::Receiver<Switched>>>>);

/// Who keeps the promise.
pub(super) type Promised = oneshot::Sender<Switched>;

impl ClientUpgrade {
    /// A promise, and who keeps it.
    pub(super) fn new() -> (Self, Promised) {
        let (promised, waits) = oneshot::channel();
        (ClientUpgrade(Arc::new(Mutex::new(Some(waits)))), promised)
    }

    /// Waits for the connection; `None` if the client has left, or somebody else has it.
    pub async fn switched(self) -> Option<Switched> {
        let waits = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        waits?.await.ok()
    }
}

/// A connection that speaks something else now.
pub struct Switched {
    /// What came before the answer had been sent.
    came: Bytes,
    socket: Socket,
}

impl Switched {
    /// A connection over which these bytes came already.
    pub(super) fn new(came: Bytes, socket: Socket) -> Self {
        Switched { came, socket }
    }
}

impl AsyncRead for Switched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.came.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buffer);
        }
        let fits = self.came.len().min(buffer.remaining());
        buffer.put_slice(&self.came.split_to(fits));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Switched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
