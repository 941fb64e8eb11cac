//! Tells a connection that waits for its next request from one on which a request has begun to arrive.
//!
//! A client may well keep a connection idle for a minute, but who takes that long to send a request head holds the connection
//! for its own sake.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tollgate_telemetry::metrics::Limit;

use super::places::Held;

/// What a connection is doing; shared by its socket and its calls, all on one thread. Atomic only because a socket that may
/// become a tunnel has to be sendable.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    doing: AtomicU8,
    /// Calls under way; several with HTTP/2.
    calls: AtomicU32,
    /// How many calls there have been: tells one time of waiting from another.
    begun: AtomicU32,
    /// Whether frames come at any time, and are no sign of a request.
    is_framed: AtomicBool,
    /// Bytes of the head that is arriving.
    head_bytes: AtomicU32,
    /// The limit that ended the connection.
    cut_by: AtomicU8,
}

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
        match self.0.doing.load(Ordering::Relaxed) {
            IDLE => Doing::Idle,
            HEAD => Doing::Head,
            _ => Doing::Call,
        }
    }

    /// The head of a request is complete. Returns how many calls are under way now.
    pub fn call_begins(&self) -> u32 {
        self.0.doing.store(CALL, Ordering::Relaxed);
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// An answer was given.
    pub fn call_ends(&self) {
        if self.0.calls.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.doing.store(IDLE, Ordering::Relaxed);
        }
    }

    /// The connection speaks in frames.
    pub fn is_framed(&self) {
        self.0.is_framed.store(true, Ordering::Relaxed);
    }

    /// Bytes of the head that was arriving last.
    pub fn head_bytes(&self) -> usize {
        self.0.head_bytes.load(Ordering::Relaxed) as usize
    }

    /// A limit has ended the connection.
    pub fn cut_by(&self, limit: Limit) {
        self.0.cut_by.store(limit as u8, Ordering::Relaxed);
    }

    /// The limit that has ended the connection, if one has.
    pub fn was_cut_by(&self) -> Option<Limit> {
        Limit::of_number(self.0.cut_by.load(Ordering::Relaxed))
    }

    /// So many bytes have come.
    fn received(&self, bytes: usize) {
        let inner = &*self.0;
        if inner.is_framed.load(Ordering::Relaxed) {
            return;
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        match self.doing() {
            Doing::Idle => {
                inner.doing.store(HEAD, Ordering::Relaxed);
                inner.head_bytes.store(bytes, Ordering::Relaxed);
            }
            Doing::Head => {
                inner.head_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Doing::Call => {}
        }
    }

    /// Which time of which waiting it is.
    fn period(&self) -> (Doing, u32) {
        (self.doing(), self.0.begun.load(Ordering::Relaxed))
    }
}

/// A socket that fails when nothing is asked for too long, or a request head takes too long from its first byte on.
pub(super) struct TimedSocket<I> {
    io: I,
    activity: Activity,
    limits: Limits,
    /// What the timer was set for.
    timed: (Doing, u32),
    timer: Pin<Box<Sleep>>,
    _held: Option<Held>,
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
    pub(super) fn new(io: I, activity: Activity, limits: Limits, held: Option<Held>) -> Self {
        let timer = Box::pin(sleep(limits.idle));
        TimedSocket {
            io,
            timed: activity.period(),
            activity,
            limits,
            timer,
            _held: held,
        }
    }

    /// So many bytes of a head have come before it was waited for.
    pub(super) fn began(&self, bytes: usize) {
        self.activity.received(bytes);
    }

    /// The limit that is over, for what the connection is doing now.
    fn late(&mut self, cx: &mut Context<'_>) -> Option<Limit> {
        let now = self.activity.period();
        let (limit, time) = match now.0 {
            Doing::Idle => (Limit::IdleTimeout, self.limits.idle),
            Doing::Head => (Limit::HeaderTimeout, self.limits.head),
            Doing::Call => {
                self.timed = now;
                return None;
            }
        };
        if self.timed != now {
            self.timed = now;
            self.timer.as_mut().reset(Instant::now() + time);
        }
        self.timer.as_mut().poll(cx).is_ready().then_some(limit)
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for TimedSocket<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if polled.is_ready() {
            let came = buffer.filled().len() - before;
            if came > 0 {
                self.activity.received(came);
            }
            return polled;
        }
        let Some(limit) = self.late(cx) else {
            return Poll::Pending;
        };
        self.activity.cut_by(limit);
        let late = io::Error::new(io::ErrorKind::TimedOut, "no request came in time");
        Poll::Ready(Err(late))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for TimedSocket<I> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_with_several_calls_is_idle_after_the_last_of_them() {
        let activity = Activity::default();
        activity.is_framed();
        assert_eq!((activity.call_begins(), activity.call_begins()), (1, 2));
        activity.received(17);
        activity.call_ends();
        assert_eq!(activity.doing(), Doing::Call);
        let busy = activity.period();
        activity.call_ends();
        activity.received(17);
        assert_eq!(activity.doing(), Doing::Idle, "frames are no sign of a request");
        activity.call_begins();
        activity.call_ends();
        assert_ne!(
            activity.period(),
            (Doing::Idle, busy.1),
            "another time of waiting"
        );
    }

    #[test]
    fn the_bytes_of_a_head_are_those_since_the_last_call() {
        let activity = Activity::default();
        activity.received(10);
        activity.received(5);
        assert_eq!((activity.doing(), activity.head_bytes()), (Doing::Head, 15));
        activity.call_begins();
        activity.received(100);
        activity.call_ends();
        activity.received(7);
        assert_eq!(activity.head_bytes(), 7);
    }
}
