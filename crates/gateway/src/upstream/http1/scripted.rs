//! A connection to nobody, for tests and fuzz targets: what is read comes in given cuts, what is written is kept.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, Method};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Broken, CallRequest, Connection};
use crate::upstream::RequestBody;

/// What comes over the connection.
#[derive(Debug, Default)]
pub struct Scripted {
    /// What is read, each of them at once.
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
            Some(bytes) => buffer.put_slice(&bytes),
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

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// The status.
    pub status: u16,
    /// The headers, as text.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// Why it is not complete.
    pub broken: Option<String>,
    /// Whether another request may be sent; not if more comes that nobody asked for.
    pub is_free: bool,
}

/// Sends a request with an empty body and reads the whole answer, of what is there now. `None` if that is not enough.
///
/// # Errors
/// There is no answer.
pub fn exchange(connection: &mut Connection<Scripted>, method: &Method) -> Option<Result<Exchanged, Broken>> {
    let asked = CallRequest {
        method,
        target: "/",
        headers: &HeaderMap::new(),
        body: &RequestBody::default(),
    };
    let all = async {
        let answered = connection.send(&asked).await?;
        let (mut body, mut broken) = (Vec::new(), None);
        while let Some(bytes) = poll_fn(|cx| connection.poll_body(cx)).await {
            match bytes {
                Ok(bytes) => body.extend_from_slice(&bytes),
                Err(error) => {
                    broken = Some(error.to_string());
                    break;
                }
            }
        }
        let headers = answered.headers.iter();
        let text = |value: &http::HeaderValue| value.as_bytes().escape_ascii().to_string();
        Ok(Exchanged {
            status: answered.status.as_u16(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            is_free: broken.is_none() && connection.is_free() && connection.stream.reads.is_empty(),
            body,
            broken,
        })
    };
    match pin!(all).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(exchanged) => Some(exchanged),
        Poll::Pending => None,
    }
}
