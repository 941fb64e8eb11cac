//! Tells a connection that waits for its next request from one on which a request has begun to arrive.
//!
//! The HTTP library has one timer for both, and none before the first byte. A client may well keep a connection idle for a
//! minute, but who takes that long to send a request head holds the connection for its own sake.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Instant, Sleep, sleep};

/// What a connection is doing; shared by its socket and its calls, all on one thread. Atomic only because a socket that may
/// become a tunnel has to be sendable.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<AtomicU8>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Waits for a request.
    Idle,
    /// The head of a request has begun to arrive.
    Head,
    /// A call is served.
    Call,
}

impl Activity {
    fn doing(&self) -> Doing {
        match self.0.load(Ordering::Relaxed) {
            IDLE => Doing::Idle,
            HEAD => Doing::Head,
            _ => Doing::Call,
        }
    }

    /// The head of a request is complete.
    pub fn call_begins(&self) {
        self.0.store(CALL, Ordering::Relaxed);
    }

    /// The answer was given.
    pub fn call_ends(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }
}

/// A socket that fails when nothing is asked for too long, or a request head takes too long from its first byte on.
pub struct TimedSocket<I> {
    io: I,
    activity: Activity,
    limits: Limits,
    /// What the timer was set for.
    timed: Option<Doing>,
    timer: Pin<Box<Sleep>>,
}

/// How long a connection may wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the first byte of a request.
    pub idle: Duration,
    /// From there for the rest of its head.
    pub head: Duration,
}

impl<I> TimedSocket<I> {
    /// Watches a socket.
    pub fn new(io: I, activity: Activity, limits: Limits) -> Self {
        let timer = Box::pin(sleep(limits.idle));
        TimedSocket {
            io,
            activity,
            limits,
            timed: Some(Doing::Idle),
            timer,
        }
    }

    /// Whether time is up, for what the connection is doing now.
    fn is_late(&mut self, doing: Doing, cx: &mut Context<'_>) -> bool {
        let limit = match doing {
            Doing::Idle => self.limits.idle,
            Doing::Head => self.limits.head,
            Doing::Call => {
                self.timed = None;
                return false;
            }
        };
        if self.timed != Some(doing) {
            self.timed = Some(doing);
            self.timer.as_mut().reset(Instant::now() + limit);
        }
        self.timer.as_mut().poll(cx).is_ready()
    }
}

impl<I: Read + Unpin> Read for TimedSocket<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        let doing = self.activity.doing();
        if polled.is_ready() {
            if doing == Doing::Idle {
                self.activity.0.store(HEAD, Ordering::Relaxed);
            }
            return polled;
        }
        if self.is_late(doing, cx) {
            let late = io::Error::new(io::ErrorKind::TimedOut, "no request came in time");
            return Poll::Ready(Err(late));
        }
        Poll::Pending
    }
}

impl<I: Write + Unpin> Write for TimedSocket<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const CALL: u8 = 2;
