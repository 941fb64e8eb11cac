//! The answer of a server on its way to the client, frame by frame.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};
use tollgate_policy::balance::InFlight;

use super::exchange::Patience;
use crate::pipeline::{Cut, Record};
use crate::upstream::Lease;

/// An answer that is passed on as it comes. Dropping it before its end closes the connection to the server.
pub struct Passed {
    status: StatusCode,
    body: Incoming,
    /// `None` once the answer has ended or failed.
    lease: Option<Lease>,
    patience: Patience,
    /// Since when the server is waited for; while the client takes nothing, nobody waits.
    waits_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    in_flight: Option<InFlight>,
}

impl Passed {
    /// An answer whose head has come.
    pub fn new(
        status: StatusCode,
        body: Incoming,
        lease: Lease,
        patience: Patience,
        in_flight: InFlight,
    ) -> Self {
        Passed {
            status,
            body,
            lease: Some(lease),
            patience,
            waits_since: None,
            timer: None,
            in_flight: Some(in_flight),
        }
    }

    /// Ends the call at once if the answer has no body.
    pub fn settle_empty(&mut self, record: &mut Record) {
        if self.body.is_end_stream() {
            self.ended(record);
        }
    }

    /// The next part of the answer.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        record: &mut Record,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.waits_since = None;
                record.sent(frame.data_ref().map_or(&[], |bytes| bytes));
                // A client that has its last byte may leave without asking whether there is more.
                if self.body.is_end_stream() {
                    self.ended(record);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.cut("cut", "upstream_connection_lost", &error.to_string(), record)
            }
            Poll::Ready(None) => {
                self.ended(record);
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_patience(cx, record),
        }
    }

    /// Whether nothing more comes.
    pub fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    /// How much is still to come.
    pub fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    /// Nothing is there: how long may that last?
    fn poll_patience(
        &mut self,
        cx: &mut Context<'_>,
        record: &mut Record,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        loop {
            let look_again = self.patience.look_again(since);
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(look_again)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= self.patience.until(since) {
                return self.cut("timeout", "upstream_timeout", "nothing came for too long", record);
            }
            // The timer is set anew only when it fires, not for every frame.
            timer.as_mut().reset(look_again);
        }
    }

    fn ended(&mut self, record: &mut Record) {
        self.in_flight = None;
        let Some(lease) = self.lease.take() else { return };
        // A request that is still being sent would be in the way of the next one.
        if self.patience.request_is_sent() {
            lease.give_back();
        }
        record.end_attempt("ok", Some(self.status), None);
        record.complete();
    }

    fn cut(
        &mut self,
        outcome: &'static str,
        code: &'static str,
        detail: &str,
        record: &mut Record,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.lease = None;
        self.in_flight = None;
        record.end_attempt(outcome, Some(self.status), Some(detail));
        record.error_code = Some(code.into());
        record.complete();
        Poll::Ready(Some(Err(Cut)))
    }
}
