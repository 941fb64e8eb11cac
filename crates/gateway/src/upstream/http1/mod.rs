//! One connection of HTTP/1.1 to a provider, for calls whose body is at hand.
//!
//! The library that serves clients could do it too, but with a task, channels and buffers of its own for each connection,
//! which cost more than all else that a call needs (docs/performance.md). Here the call itself writes and reads. A
//! connection that waits holds no buffer: bytes are read into one that the thread has, and what is the body is copied from
//! there, without its framing, so that many pieces of a stream that come together go on together.

mod following;
mod head;
pub(crate) mod scripted;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use self::following::Following;
use super::body::RequestBody;
use crate::http1::framing::{Framing, Garbled, Progress};
use crate::http1::scratch::poll_read;

/// Largest head of an answer in bytes. A larger head fails the attempt.
const MAX_HEAD: usize = 256 * 1024;

/// Parts of a request that are written at once.
const PARTS: usize = 16;

/// What is asked.
#[derive(Clone, Copy)]
pub struct CallRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query.
    pub target: &'a str,
    /// The headers. `content-length` is added where it is missing.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a RequestBody,
}

impl CallRequest<'_> {
    /// Whether the target can stand in the first line of a request.
    pub fn is_sound(&self) -> bool {
        head::is_target(self.target)
    }
}

/// The head of an answer.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
}

/// Why there is no answer, or not all of it.
#[derive(Debug, Error)]
pub enum Broken {
    /// It is not HTTP.
    #[error("the answer is not HTTP: {0}")]
    Garbled(#[from] Garbled),
    /// Its head is larger than 256 KiB.
    #[error("the head of the answer is larger than 256 KiB")]
    HeadTooLarge,
    /// The connection was closed before the answer was complete.
    #[error("the connection was closed {}", match (.begun, .in_body) {
        (_, true) => "within the answer",
        (true, false) => "within the head of the answer",
        (false, false) => "without an answer",
    })]
    Closed {
        /// Whether a part of the answer had come.
        begun: bool,
        /// Whether the head was complete.
        in_body: bool,
    },
    /// The connection failed.
    #[error("the connection broke: {error}")]
    Io {
        /// How.
        error: io::Error,
        /// Whether a part of the answer had come.
        begun: bool,
    },
}

impl Broken {
    /// Whether nothing of an answer has come.
    pub fn is_silent(&self) -> bool {
        matches!(
            self,
            Broken::Closed { begun: false, .. } | Broken::Io { begun: false, .. }
        )
    }
}

/// A connection, over which one request at a time is sent.
pub struct Connection<S> {
    stream: S,
    state: State,
}

/// What is known of the answer that is being read.
#[derive(Debug)]
struct State {
    /// The body of the answer under way.
    framing: Framing,
    /// Whether anything has come.
    begun: bool,
    /// Bytes of a head that is not complete.
    head: Vec<u8>,
    /// Bytes of the body that came already.
    body: BytesMut,
    /// What is wrong with the framing behind that.
    broken: Option<Garbled>,
    /// Whether another request may be sent when this body has ended.
    keeps: bool,
}

impl Default for State {
    fn default() -> Self {
        State {
            framing: Framing::Length(0),
            begun: false,
            head: Vec::new(),
            body: BytesMut::new(),
            broken: None,
            keeps: true,
        }
    }
}

impl State {
    /// Takes bytes that were read while the head was not complete; the head, once it is.
    fn take_head(&mut self, asked: &Method, bytes: &[u8]) -> Result<Option<Answered>, Broken> {
        self.begun = true;
        if self.head.is_empty() {
            let (answered, used) = self.heads(asked, bytes)?;
            if answered.is_none() {
                self.head.extend_from_slice(bytes.get(used..).unwrap_or_default());
            }
            return Ok(answered);
        }
        let mut all = std::mem::take(&mut self.head);
        all.extend_from_slice(bytes);
        let (answered, used) = self.heads(asked, &all)?;
        if answered.is_none() {
            all.drain(..used);
            self.head = all;
        }
        Ok(answered)
    }

    /// Reads heads: those of interim answers, which are left out, and the answer's own. Tells too how many bytes were used.
    fn heads(&mut self, asked: &Method, bytes: &[u8]) -> Result<(Option<Answered>, usize), Broken> {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            let head = match rest {
                [] => None,
                _ => head::read(rest)?,
            };
            let Some(head) = head else {
                return match rest.len() <= MAX_HEAD {
                    true => Ok((None, used)),
                    false => Err(Broken::HeadTooLarge),
                };
            };
            used += head.length;
            if head.length > MAX_HEAD {
                return Err(Broken::HeadTooLarge);
            }
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(Garbled("it switches to a protocol that nobody asked for").into());
            }
            if head.status.is_informational() {
                continue;
            }
            let Following { framing, keeps } =
                Following::of(asked, head.is_http_1_1, head.status, &head.headers)?;
            self.framing = framing;
            self.keeps &= keeps;
            self.take_body(bytes.get(used..).unwrap_or_default());
            let answered = Answered {
                status: head.status,
                headers: head.headers,
            };
            return Ok((Some(answered), bytes.len()));
        }
    }

    /// Takes bytes that were read behind the head. What came before the framing broke is still the body.
    fn take_body(&mut self, bytes: &[u8]) {
        let left = match self.framing.is_ended() {
            true => bytes.len(),
            false => match self.framing.take(bytes, &mut self.body) {
                Ok(Progress::Ended(left)) => left,
                Ok(Progress::More) => 0,
                Err(garbled) => {
                    self.broken = Some(garbled);
                    return;
                }
            },
        };
        // Nobody asked for what comes behind an answer: it must not answer the next request.
        self.keeps &= left == 0;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection over which nothing was sent.
    pub fn new(stream: S) -> Self {
        Connection {
            stream,
            state: State::default(),
        }
    }

    /// Sends a request and waits for the head of the answer, however long that takes. An answer may come before all of the
    /// request was sent; the rest is not sent then.
    ///
    /// Not cancel-safe: a connection whose request was given up must be dropped.
    ///
    /// # Errors
    /// The connection broke, or what came is no answer.
    pub async fn send(&mut self, asked: &CallRequest<'_>) -> Result<Answered, Broken> {
        let mut head = Vec::with_capacity(1024);
        head::write(asked, &mut head);
        let mut sending = Sending::new(head, asked.body);
        self.rest();
        poll_fn(|cx| self.poll_exchange(cx, asked.method, &mut sending)).await
    }

    fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        asked: &Method,
        sending: &mut Sending<'_>,
    ) -> Poll<Result<Answered, Broken>> {
        let written = sending.poll(&mut self.stream, cx);
        // An answer may come while the request is still being sent, and also when it cannot be sent any more: it says why.
        loop {
            let begun = self.state.begun;
            let state = &mut self.state;
            let read = poll_read(&mut self.stream, cx, |bytes| match bytes {
                [] => Err(Broken::Closed {
                    begun,
                    in_body: false,
                }),
                bytes => state.take_head(asked, bytes),
            });
            match read {
                Poll::Ready(Ok(Ok(Some(answered)))) => {
                    self.state.keeps &= sending.is_flushed;
                    return Poll::Ready(Ok(answered));
                }
                Poll::Ready(Ok(Ok(None))) => {}
                Poll::Ready(Ok(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Io { error, begun })),
                Poll::Pending => {
                    return match written {
                        Poll::Ready(Err(error)) => Poll::Ready(Err(Broken::Io { error, begun })),
                        Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
    }

    /// The next bytes of the body; `None` at its end.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            if !self.state.body.is_empty() {
                return Poll::Ready(Some(Ok(self.state.body.split().freeze())));
            }
            if let Some(garbled) = self.state.broken {
                return Poll::Ready(Some(Err(garbled.into())));
            }
            if self.state.framing.is_ended() {
                return Poll::Ready(None);
            }
            let state = &mut self.state;
            let read = ready!(poll_read(&mut self.stream, cx, |bytes| match bytes {
                [] if state.framing == Framing::UntilClosed => {
                    state.framing = Framing::Length(0);
                    Ok(())
                }
                [] => Err(Broken::Closed {
                    begun: true,
                    in_body: true,
                }),
                bytes => {
                    state.take_body(bytes);
                    Ok(())
                }
            }));
            match read {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Poll::Ready(Some(Err(error))),
                Err(error) => return Poll::Ready(Some(Err(Broken::Io { error, begun: true }))),
            }
        }
    }

    /// Whether another request may be sent: the answer was read to its end, and so was all that came.
    pub fn is_free(&self) -> bool {
        self.state.keeps
            && self.state.broken.is_none()
            && self.state.framing.is_ended()
            && self.state.body.is_empty()
    }

    /// Frees what only an answer under way needs.
    pub fn rest(&mut self) {
        self.state = State::default();
    }

    /// Whether a connection that is free has stayed silent: it was not closed, and nothing came that nobody asked for.
    pub fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        poll_read(&mut self.stream, &mut cx, |_| ()).is_pending()
    }
}

/// A request that is being sent.
struct Sending<'a> {
    /// Given back when all was sent: the answer may be waited for much longer than that takes.
    head: Vec<u8>,
    body: &'a RequestBody,
    /// Bytes that were sent, those of the head included.
    sent: u64,
    is_flushed: bool,
}

impl<'a> Sending<'a> {
    fn new(head: Vec<u8>, body: &'a RequestBody) -> Self {
        Sending {
            head,
            body,
            sent: 0,
            is_flushed: false,
        }
    }

    fn poll<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_flushed {
            return Poll::Ready(Ok(()));
        }
        let length = self.head.len() as u64 + self.body.len();
        while self.sent < length {
            let mut parts = [IoSlice::new(&[]); PARTS];
            let filled = self.next(&mut parts);
            let parts = parts.get(..filled).unwrap_or_default();
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, parts))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written as u64;
        }
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.is_flushed = true;
        self.head = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Puts what is to be sent next into `parts`; tells how many of them it takes.
    fn next<'b>(&'b self, parts: &mut [IoSlice<'b>]) -> usize {
        let mut skipped = self.sent;
        let mut filled = 0;
        for piece in std::iter::once(&*self.head).chain(self.body.pieces()) {
            let length = piece.len() as u64;
            if skipped >= length {
                skipped -= length;
                continue;
            }
            // Less than the length of a piece in memory.
            let unsent = usize::try_from(skipped)
                .ok()
                .and_then(|skipped| piece.get(skipped..));
            skipped = 0;
            let (Some(part), Some(unsent)) = (parts.get_mut(filled), unsent) else {
                break;
            };
            *part = IoSlice::new(unsent);
            filled += 1;
        }
        filled
    }
}

#[cfg(test)]
mod tests;
