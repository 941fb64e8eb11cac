//! A connection to nobody, for tests and fuzz targets: what is read comes in given cuts, what is written is kept.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What comes over the connection.
#[derive(Debug, Default)]
pub struct Scripted {
    /// What is read, each of them at once if there is room.
    pub reads: VecDeque<Vec<u8>>,
    /// Whether the connection stays open behind them.
    pub stays_open: bool,
    /// What was written.
    pub written: Vec<u8>,
    /// Bytes that may still be written.
    pub room: Option<usize>,
}

impl Scripted {
    /// Bytes that come in pieces of `step`, after which the connection is closed.
    pub fn cut(bytes: &[u8], step: usize) -> Self {
        Scripted {
            reads: bytes.chunks(step.max(1)).map(<[u8]>::to_vec).collect(),
            ..Scripted::default()
        }
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.reads.pop_front() {
            Some(mut bytes) => {
                let rest = bytes.split_off(bytes.len().min(buffer.remaining()));
                buffer.put_slice(&bytes);
                if !rest.is_empty() {
                    self.reads.push_front(rest);
                }
            }
            None if self.stays_open => return Poll::Pending,
            None => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let fits = self.room.unwrap_or(usize::MAX).min(bytes.len());
        if fits == 0 {
            return Poll::Pending;
        }
        self.room = self.room.map(|room| room - fits);
        self.written
            .extend_from_slice(bytes.get(..fits).unwrap_or_default());
        Poll::Ready(Ok(fits))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
