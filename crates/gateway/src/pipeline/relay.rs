//! The body of an answer on its way to the client. It owns the record of the call: when the body has ended, or the client
//! has left and the body is dropped, the record is settled and written.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};

use super::begin::Begun;
use super::choose::Candidate;
use super::early::{Early, Given, Sign};
use super::mask::{masked, masked_error, may_tell_error};
use super::record::Record;
use super::transform::Transform;
use crate::error::{AttemptError, CallError, Fault, TOLD_BY_PROVIDER};
use crate::http1::told::Headers;
use crate::proxy::Passed;
use crate::responses::Tap;
use crate::server::body_was_asked;
use crate::snapshot::Instance;
use crate::upstream::UpstreamBody;

/// How long the connection may take to end after the provider's end mark. Then the answer is complete without it.
const END_GRACE: Duration = Duration::from_secs(1);

/// Bytes that are collected for the client as long as more are there at once. Nothing ever waits to be collected.
const BATCH_BYTES: usize = 16 * 1024;

/// How much of a whole answer a stream of HTTP/2 is given at once.
const PIECE: usize = 64 * 1024;

/// The body of an answer.
pub struct AnswerBody(Inner);

enum Inner {
    Whole {
        bytes: Option<Bytes>,
        record: Box<Record>,
    },
    Stream {
        streaming: Box<Streaming>,
        record: Box<Record>,
    },
    Passed {
        passed: Box<Passed>,
        record: Box<Record>,
    },
    /// There is no answer yet.
    Early(Box<Early>),
    None,
}

/// An answer that is passed on as it comes has broken off. The client sees it by its connection being closed.
#[derive(Debug, Error)]
#[error("the answer broke off")]
pub struct Cut;

/// A stream the gateway has committed to.
pub struct Streaming {
    ready: VecDeque<Bytes>,
    /// Length of all of them.
    ready_bytes: usize,
    transform: Transform,
    /// What looks at the client's bytes; `None` for most streams.
    tap: Option<Tap>,
    /// `None` once it has ended or failed; dropping it early closes the connection to the provider.
    upstream: Option<UpstreamBody>,
    /// What came with the beginning and was not looked at yet.
    rest: Bytes,
    instance: Arc<Instance>,
    silence: Duration,
    last_bytes: Instant,
    /// The sign of life for a client that gets nothing, and how long it may get nothing; `None` where it waits in silence.
    sign: Option<(Sign, Duration)>,
    /// When the client was last given something.
    last_told: Instant,
    /// Bytes that the provider may still send; `None` is no limit.
    bytes_left: Option<u64>,
    total: Duration,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Streaming {
    /// A stream that has begun. `started` is when the attempt began.
    pub fn new(
        begun: Begun,
        transform: Transform,
        upstream: UpstreamBody,
        candidate: &Candidate,
        started: Instant,
    ) -> Self {
        let now = Instant::now();
        let limits = candidate.model.timeouts;
        let deadline = started + limits.total;
        let mut streaming = Streaming {
            ready_bytes: begun.ready.iter().map(Bytes::len).sum(),
            ready: begun.ready.into(),
            transform,
            tap: None,
            upstream: Some(upstream),
            rest: begun.rest,
            instance: candidate.instance.clone(),
            silence: limits.between_chunks,
            last_bytes: now,
            sign: None,
            last_told: now,
            bytes_left: None,
            total: limits.total,
            deadline,
            timer: Box::pin(sleep_until(deadline.min(now + limits.between_chunks))),
        };
        if streaming.transform.seen().ended {
            streaming.expect_end();
        }
        streaming
    }

    /// Lets something look at all bytes on their way to the client.
    pub fn look_with(&mut self, tap: Tap) {
        self.tap = Some(tap);
        self.ready_bytes = 0;
        for bytes in std::mem::take(&mut self.ready) {
            self.push(bytes);
        }
    }

    /// Allows at most so many bytes from the provider; more are a failure.
    pub fn limit(&mut self, bytes: Option<u64>) {
        self.bytes_left = bytes;
    }

    /// Gives the client a sign of life whenever it has got nothing for so long.
    pub fn keep_alive(&mut self, sign: Sign, patience: Duration) {
        self.sign = Some((sign, patience));
        if !self.transform.seen().ended {
            let limits = self.limits();
            self.timer.as_mut().reset(limits);
        }
    }

    /// When the next limit is over, or the next sign of life is due.
    fn limits(&self) -> Instant {
        let limit = self.deadline.min(self.last_bytes + self.silence);
        match self.sign {
            Some((_, patience)) => limit.min(self.last_told + patience),
            None => limit,
        }
    }

    /// The provider's end mark has come; only the end of the connection is missing.
    fn expect_end(&mut self) {
        self.timer.as_mut().reset(Instant::now() + END_GRACE);
    }

    /// The provider's end mark has come: what the answer has used is charged before the client sees the end and calls again.
    fn charge(&mut self, record: &mut Record) {
        if !record.admission.is_open() {
            record.settle_stream(&mut self.transform);
            record.charge();
        }
    }

    fn received(&mut self, bytes: &Bytes, record: &mut Record) {
        record.first_byte();
        self.last_bytes = Instant::now();
        let ended_before = self.transform.seen().ended;
        match self.transform.feed(bytes) {
            Ok(out) => {
                if !out.is_empty() {
                    self.last_told = self.last_bytes;
                }
                self.push(self.without_keys(out));
            }
            // What follows the provider's end mark takes nothing from the answer.
            Err(_) if self.transform.seen().ended => return self.ended(record),
            Err(error) => {
                return self.fail(
                    AttemptError::garbled("garbled", StatusCode::OK, error.to_string()),
                    record,
                );
            }
        }
        if let Some(left) = &mut self.bytes_left {
            match left.checked_sub(bytes.len() as u64) {
                Some(rest) => *left = rest,
                // What has come is passed on; the client sees that it is not all.
                None => {
                    let failure =
                        AttemptError::garbled("too_large", StatusCode::OK, "max_response_bytes exceeded");
                    return self.fail(failure, record);
                }
            }
        }
        if !self.told_failure(record) && self.transform.seen().ended && !ended_before {
            self.expect_end();
            self.charge(record);
        }
    }

    /// What goes to the client. The provider's own words about a failure may quote the key. Frames that are no text carry
    /// checksums and pass as they are.
    fn without_keys(&self, out: Bytes) -> Bytes {
        let told = self.transform.seen().failed.is_some()
            || (self.transform.passes_events() && may_tell_error(&out));
        if told { masked(out, &self.instance) } else { out }
    }

    /// Whether the provider's own error event has come. It is passed on in the client's dialect, and nothing may follow it.
    fn told_failure(&mut self, record: &mut Record) -> bool {
        let Some(error) = &self.transform.seen().failed else {
            return false;
        };
        let error = masked_error(error, &self.instance);
        let code = error.code.map_or(TOLD_BY_PROVIDER.into(), Into::into);
        record.failed_midway("error_event", code, Some(&error.message));
        self.upstream = None;
        true
    }

    fn ended(&mut self, record: &mut Record) {
        self.upstream = None;
        match self.transform.finish() {
            Ok(out) => {
                let failed = self.told_failure(record);
                self.push(self.without_keys(out));
                if let Some(mut tap) = self.tap.take() {
                    self.push(tap.finish());
                }
                if !failed && let Some(reason) = self.transform.is_not_translatable() {
                    // The encoder has told the client that its dialect cannot say this answer.
                    record.failed_midway("not_translatable", "upstream_bad_answer".into(), Some(reason));
                } else if !failed {
                    record.end_attempt("ok", Some(StatusCode::OK), None);
                }
            }
            Err(error) => self.fail(AttemptError::broken("cut", error.to_string()), record),
        }
    }

    fn fail(&mut self, failure: AttemptError, record: &mut Record) {
        self.upstream = None;
        let error: CallError = failure.error;
        debug_assert_eq!(error.fault, Fault::Upstream);
        let told = self.transform.fail(&error);
        self.push(told);
        record.failed_midway(failure.outcome, error.code.clone(), error.detail.as_deref());
    }

    /// Whether the client has been given a complete answer.
    fn is_all_said(&self) -> bool {
        let seen = self.transform.seen();
        let failed = seen.failed.is_some() || self.transform.is_not_translatable().is_some();
        self.ready.is_empty() && seen.ended && !failed
    }

    fn push(&mut self, bytes: Bytes) {
        let bytes = match &mut self.tap {
            Some(tap) => tap.feed(&bytes),
            None => bytes,
        };
        if !bytes.is_empty() {
            self.ready_bytes += bytes.len();
            self.ready.push_back(bytes);
        }
    }

    /// The timer has fired: a limit is over, unless there were bytes in the meantime.
    fn timer_fired(&mut self, record: &mut Record) {
        let now = Instant::now();
        if self.transform.seen().ended {
            return self.ended(record);
        }
        let silent_until = self.last_bytes + self.silence;
        if now < silent_until.min(self.deadline) {
            if let Some((sign, patience)) = self.sign
                && now >= self.last_told + patience
            {
                self.last_told = now;
                self.push(Bytes::from_static(sign));
            }
            // The timer is set anew only when it fires, not for every chunk.
            let limits = self.limits();
            return self.timer.as_mut().reset(limits);
        }
        let failure = if now >= self.deadline {
            AttemptError::timeout("total_timeout", self.total)
        } else {
            AttemptError::timeout("between_chunks_timeout", self.silence)
        };
        self.fail(failure, record);
    }

    fn poll(&mut self, cx: &mut Context<'_>, record: &mut Record) -> Poll<Option<Bytes>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            self.received(&rest, record);
        }
        while self.ready_bytes < BATCH_BYTES
            && let Some(upstream) = &mut self.upstream
        {
            match upstream.poll_data(cx) {
                Poll::Ready(Some(Ok(bytes))) => self.received(&bytes, record),
                // The answer is complete; how the connection ends says nothing about it.
                Poll::Ready(Some(Err(_))) if self.transform.seen().ended => self.ended(record),
                Poll::Ready(Some(Err(detail))) => self.fail(AttemptError::broken("cut", detail), record),
                Poll::Ready(None) => self.ended(record),
                Poll::Pending if !self.ready.is_empty() => break,
                Poll::Pending => match self.timer.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => self.timer_fired(record),
                },
            }
        }
        Poll::Ready(self.take_ready())
    }

    /// All bytes that are ready, in one piece: a provider that writes token by token, faster than the client is written to,
    /// costs one write and not one for each.
    fn take_ready(&mut self) -> Option<Bytes> {
        let length = std::mem::take(&mut self.ready_bytes);
        if self.ready.len() <= 1 {
            return self.ready.pop_front();
        }
        let mut joined = BytesMut::with_capacity(length);
        for bytes in self.ready.drain(..) {
            joined.extend_from_slice(&bytes);
        }
        Some(joined.freeze())
    }
}

impl AnswerBody {
    /// A complete body.
    pub(super) fn whole(bytes: Bytes, mut record: Box<Record>) -> Self {
        // Nobody asks a body that has none to give.
        if bytes.is_empty() || record.is_head() {
            record.complete();
        }
        AnswerBody(Inner::Whole {
            bytes: Some(bytes),
            record,
        })
    }

    /// A stream.
    pub(super) fn stream(mut streaming: Box<Streaming>, mut record: Box<Record>) -> Self {
        if streaming.transform.seen().ended {
            streaming.charge(&mut record);
        } else {
            record.let_go_of_buffers();
        }
        AnswerBody(Inner::Stream { streaming, record })
    }

    /// An answer that is passed on as it comes.
    pub(super) fn passed(mut passed: Box<Passed>, mut record: Box<Record>) -> Self {
        // Nobody asks a body that has none to give.
        passed.settle_empty(&mut record);
        AnswerBody(Inner::Passed { passed, record })
    }

    /// A stream that begins without an answer.
    pub(super) fn early(early: Box<Early>) -> Self {
        AnswerBody(Inner::Early(early))
    }

    /// So many bytes have gone to the client before this body.
    pub(super) fn sent_before(&mut self, bytes: usize) {
        match &mut self.0 {
            Inner::Whole { record, .. } | Inner::Stream { record, .. } | Inner::Passed { record, .. } => {
                record.sent_unseen(bytes);
            }
            Inner::Early(_) | Inner::None => {}
        }
    }

    /// Tells the headers that every answer carries, if those of this one do not have them yet.
    pub fn tell(&self, headers: &mut dyn Headers) {
        if let Inner::Whole { record, .. } | Inner::Stream { record, .. } = &self.0 {
            record.tell_now(headers);
        }
    }

    /// Nothing, and no record either.
    pub(super) fn none() -> Self {
        AnswerBody(Inner::None)
    }

    fn poll_inner(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Inner::Early(early) = &mut self.0 {
            match early.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Given::Sign(sign)) => return Poll::Ready(Some(Ok(Frame::data(sign)))),
                Poll::Ready(Given::Body(body)) => *self = *body,
            }
        }
        match &mut self.0 {
            // What follows an early body is none.
            Inner::Early(_) | Inner::None => Poll::Ready(None),
            Inner::Passed { passed, record } => passed.poll_frame(cx, record),
            Inner::Whole { bytes, record } => {
                let piece = match bytes.as_mut() {
                    // The HTTP library keeps what it was given until the client takes it.
                    Some(all) if all.len() > PIECE && record.is_http2() => Some(all.split_to(PIECE)),
                    _ => bytes.take(),
                };
                record.sent(piece.as_deref().unwrap_or_default());
                if bytes.is_none() {
                    record.complete();
                }
                Poll::Ready(
                    piece
                        .filter(|piece| !piece.is_empty())
                        .map(|piece| Ok(Frame::data(piece))),
                )
            }
            Inner::Stream { streaming, record } => {
                let polled = streaming.poll(cx, record);
                match &polled {
                    Poll::Ready(Some(bytes)) => record.sent(bytes),
                    Poll::Ready(None) => record.complete(),
                    Poll::Pending => {}
                }
                polled.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = self.poll_inner(cx);
        body_was_asked(polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole { bytes, .. } => bytes.as_ref().is_none_or(Bytes::is_empty),
            Inner::Stream { .. } | Inner::Early(_) => false,
            Inner::Passed { passed, .. } => passed.is_end_stream(),
            Inner::None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Inner::Stream { .. } | Inner::Early(_) => SizeHint::default(),
            Inner::Passed { passed, .. } => passed.size_hint(),
            Inner::None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Inner::Stream { streaming, record } = &mut self.0 {
            // Many clients leave at the end mark, without waiting for the end of the connection.
            if streaming.is_all_said() {
                record.end_attempt("ok", Some(StatusCode::OK), None);
                record.complete();
            }
            record.settle_stream(&mut streaming.transform);
        }
    }
}
