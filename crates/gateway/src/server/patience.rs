//! How long a client's connection may stand still where hyper sets no limit: before the HTTP version is known, and while the
//! client takes nothing of what is sent to it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Bytes after which the HTTP version is known at the latest: the length of HTTP/2's preface.
const OPENING_BYTES: usize = 24;

/// A connection that fails when its client stands still for too long.
pub(super) struct Patient<S> {
    stream: S,
    /// While the HTTP version is not known: the bytes still missing and the time they may take.
    opening: Option<(usize, Pin<Box<Sleep>>)>,
    send_timeout: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// A fresh connection, which must say its HTTP version within `opening_timeout` and may take nothing of what is sent for
    /// `send_timeout`.
    pub(super) fn new(stream: S, opening_timeout: Duration, send_timeout: Duration) -> Self {
        Patient {
            stream,
            opening: Some((OPENING_BYTES, Box::pin(sleep(opening_timeout)))),
            send_timeout,
            stalled: None,
        }
    }

    /// Passes on what became of a write, unless it has stood still for too long.
    fn sent<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let limit = self.send_timeout;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        match timer.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some((missing, timer)) = &mut self.opening else {
            return outcome;
        };
        *missing = missing.saturating_sub(buffer.filled().len() - before);
        if *missing == 0 {
            self.opening = None;
        } else if outcome.is_pending() && timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Whoever is answered has said enough.
        self.opening = None;
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.sent(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.opening = None;
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.sent(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.sent(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.sent(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::{OPENING_BYTES, Patient};

    const NEVER: Duration = Duration::from_secs(3600);
    const SOON: Duration = Duration::from_millis(1);

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test);
    }

    #[test]
    fn a_client_that_says_too_little_is_left() {
        run(async {
            let (mut client, server) = duplex(64);
            let mut server = Patient::new(server, SOON, NEVER);
            client.write_all(&[b'P'; OPENING_BYTES - 1]).await.unwrap();
            let failed = server.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::TimedOut);
        });
    }

    #[test]
    fn a_client_that_has_said_enough_or_was_answered_may_be_silent() {
        run(async {
            for answered in [false, true] {
                let (mut client, server) = duplex(64);
                let mut server = Patient::new(server, SOON, NEVER);
                if answered {
                    server.write_all(b"x").await.unwrap();
                } else {
                    client.write_all(&[b'P'; OPENING_BYTES]).await.unwrap();
                    server.read_exact(&mut [0; OPENING_BYTES]).await.unwrap();
                }
                assert!(server.opening.is_none());
            }
        });
    }

    #[test]
    fn a_client_that_takes_nothing_is_left() {
        run(async {
            let (client, server) = duplex(64);
            let mut server = Patient::new(server, NEVER, SOON);
            let failed = server.write_all(&[0; 65]).await.unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::TimedOut);
            drop(client);
        });
    }
}
