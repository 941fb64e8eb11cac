//! Streams whose answer is long in coming. Proxies on the way give up a connection on which nothing moves, so a client that
//! has waited for a while gets the head of its answer, and signs of life until a provider has begun to answer.
//!
//! The attempts go on as before: another instance is tried if one fails. What comes of them can then be told within the
//! stream only.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use tokio::time::{Instant, Sleep, sleep_until};
use tollgate_dialects::Dialect;
use tollgate_dialects::gemini::Framing;

use super::answer::{Answer, stream_headers};
use super::head::Head;
use super::record::{CALL_ID, Record, request_id_header};
use super::refuse;
use super::relay::AnswerBody;
use crate::error::CallError;

/// What comes of a call, with its record.
pub type Outcome = (Box<Record>, Result<Answer, CallError>);

/// A call under way.
pub type Call = Pin<Box<dyn Future<Output = Outcome>>>;

/// What the call has said about how long its client may be kept waiting.
pub type Waiting = Rc<RefCell<Option<Terms>>>;

/// How a client is kept waiting.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The sign of life in its dialect.
    pub sign: Sign,
    /// How long it may get nothing.
    pub patience: Duration,
    /// Our id of the call.
    pub request_id: String,
    /// The dialect of its stream.
    pub dialect: Dialect,
}

/// A sign of life: bytes that mean nothing in a stream.
pub type Sign = &'static [u8];

/// The sign of life in a client's stream; `None` where there is no place for one.
pub fn sign_for(client: Dialect, framing: Framing) -> Option<Sign> {
    match (client, framing) {
        (Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::CohereChat, _) => {
            Some(b": keep-alive\n\n")
        }
        (Dialect::AnthropicMessages, _) => Some(b"event: ping\ndata: {\"type\": \"ping\"}\n\n"),
        // Google's SDK for Python takes a comment for a document.
        (Dialect::Gemini, Framing::Events) => Some(b"\n"),
        (Dialect::Gemini, Framing::Array) | (Dialect::BedrockConverse, _) => None,
    }
}

impl Terms {
    /// The terms of a streamed call; `None` where its client waits in silence.
    pub fn of(head: &Head, record: &Record) -> Option<Self> {
        if record.manners.is_apisix() || record.manners.is_demo() {
            return None;
        }
        Some(Terms {
            sign: sign_for(head.dialect, head.framing)?,
            patience: record.keep_alive,
            request_id: record.request_id.clone(),
            dialect: head.dialect,
        })
    }
}

/// Waits for what comes of a call, but no longer than its terms allow.
pub async fn answer(mut call: Call, waiting: &Waiting) -> Response<AnswerBody> {
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    let outcome = std::future::poll_fn(|cx| {
        if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        let terms = waiting.borrow();
        let Some(terms) = terms.as_ref() else {
            return Poll::Pending;
        };
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + terms.patience)));
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await;
    match (outcome, waiting.take()) {
        (Some((record, Ok(answer))), _) => answer.into_response(record),
        (Some((record, Err(error))), _) => refuse::refuse(&error, record),
        (None, Some(terms)) => begin(call, terms),
        // The terms are never taken back.
        (None, None) => finished(call.await, None),
    }
}

/// Gives the head to the client before there is an answer.
fn begin(call: Call, terms: Terms) -> Response<AnswerBody> {
    let mut headers = HeaderMap::new();
    stream_headers(terms.dialect, Framing::Events, &mut headers);
    if let Ok(id) = HeaderValue::from_str(&terms.request_id) {
        headers.insert(request_id_header(terms.dialect), id.clone());
        headers.insert(CALL_ID.clone(), id);
    }
    let early = Early {
        call,
        timer: Box::pin(sleep_until(Instant::now())),
        terms,
        told: 0,
    };
    let mut response = Response::new(AnswerBody::early(Box::new(early)));
    *response.headers_mut() = headers;
    response
}

/// The body of an answer that has not begun.
pub struct Early {
    call: Call,
    timer: Pin<Box<Sleep>>,
    terms: Terms,
    /// Bytes of signs so far.
    told: usize,
}

/// What an early body has to give.
pub enum Given {
    /// A sign of life.
    Sign(Bytes),
    /// The call has ended: its own body follows.
    Body(Box<AnswerBody>),
}

impl Early {
    /// A sign of life when it is due, or the body that follows.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Given> {
        if let Poll::Ready(outcome) = self.call.as_mut().poll(cx) {
            let mut body = finished(outcome, Some(self.terms.dialect)).into_body();
            body.sent_before(self.told);
            return Poll::Ready(Given::Body(Box::new(body)));
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.timer.as_mut().reset(Instant::now() + self.terms.patience);
        self.told += self.terms.sign.len();
        Poll::Ready(Given::Sign(Bytes::from_static(self.terms.sign)))
    }
}

/// The answer to a call that has ended; `begun` is the dialect of a stream that has begun with nothing.
fn finished((record, outcome): Outcome, begun: Option<Dialect>) -> Response<AnswerBody> {
    match (outcome, begun) {
        (Ok(answer), _) => answer.into_response(record),
        (Err(error), Some(dialect)) => refuse::within_stream(&error, dialect, record),
        (Err(error), None) => refuse::refuse(&error, record),
    }
}
