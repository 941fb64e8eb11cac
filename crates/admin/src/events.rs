//! Answers that go on: server-sent events, made at a beat while somebody listens.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body::Frame;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use crate::answer::Answer;

/// Silent beats after which a sign of life is sent: less than what proxies on the way wait.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Tells proxies not to gather what is sent.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Answers with events until the client leaves or the Admin API ends. At every beat `next` is asked for what is to be sent.
pub(crate) fn answer(
    beat: Duration,
    closing: &watch::Sender<bool>,
    next: impl FnMut() -> Option<Bytes> + Send + Unpin + 'static,
) -> Answer {
    let mut closing = closing.subscribe();
    let mut beats = tokio::time::interval(beat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = Events {
        beats,
        next,
        silent: Duration::ZERO,
        beat,
        closed: Box::pin(async move {
            // Its sender is gone only when the Admin API is.
            let _ = closing.wait_for(|is_closing| *is_closing).await;
        }),
    };
    Answer::streamed(StatusCode::OK, Body::new(events))
        .with(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))
        .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .with(UNBUFFERED, HeaderValue::from_static("no"))
}

/// One event with JSON in it.
pub(crate) fn event(json: &impl std::fmt::Display) -> Bytes {
    format!("data: {json}\n\n").into()
}

struct Events<N> {
    beats: Interval,
    beat: Duration,
    /// For how long nothing was sent.
    silent: Duration,
    next: N,
    closed: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<N: FnMut() -> Option<Bytes> + Unpin> http_body::Body for Events<N> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.closed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        loop {
            if self.beats.poll_tick(cx).is_pending() {
                return Poll::Pending;
            }
            if let Some(event) = (self.next)() {
                self.silent = Duration::ZERO;
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            let beat = self.beat;
            self.silent += beat;
            if self.silent >= SIGN_OF_LIFE {
                self.silent = Duration::ZERO;
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b":\n\n")))));
            }
        }
    }
}
