//! What the gateway would do with a call, found out by taking it along the same way as every other, up to where it would be sent.
//!
//! The call goes through a worker of its own that tells nobody: no line is logged, nothing is counted, reserved or taken a turn
//! of, no token is fetched, and no provider hears of it. Plugins that could only answer by counting are left out, and said to be.

mod question;
mod story;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use thiserror::Error;
use tokio::task::LocalSet;

use super::early::Waiting;
use super::head::Head;
use super::record::{Arrival, Record};
use super::relay::AnswerBody;
use super::{Peer, Worker, answer_call, refuse};
use crate::error::{AttemptError, CallError};
use crate::gateway::Gateway;
use crate::server::{Activity, Arriving};

pub use question::{Question, QuestionError};
pub(crate) use story::Explanation;

/// The code of the error that ends a call where it would be sent. No client ever sees it.
const NOT_SENT: &str = "explained";

/// How long an explanation may take: counters in Redis may have to be asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// Room for what is on its way between the asking and the answering side.
const BETWEEN: usize = 64 * 1024;

/// Why a call could not be explained.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// There is no thread, or no runtime.
    #[error("the explanation cannot be made: {0}")]
    System(#[from] std::io::Error),
    /// It is no request that can be sent.
    #[error("this is no request that a gateway would take: {0}")]
    Request(String),
    /// Counters of limits did not answer.
    #[error("the explanation took longer than {} s", PATIENCE.as_secs())]
    Late,
}

/// Explains what would become of a call. Blocks its thread.
///
/// # Errors
/// It is no request that could be sent to a gateway, or it takes too long.
pub fn explain(gateway: &Arc<Gateway>, question: Question) -> Result<Value, ExplainError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let worker = Rc::new(Worker::explaining(gateway.clone()));
    let follow = async {
        tokio::time::timeout(PATIENCE, follow(worker, question))
            .await
            .map_err(|_| ExplainError::Late)?
    };
    LocalSet::new().block_on(&runtime, follow)
}

/// Hands the question over as a request of HTTP, so that it is read as every other.
async fn follow(worker: Rc<Worker>, question: Question) -> Result<Value, ExplainError> {
    let no_request = |error: &dyn std::fmt::Display| ExplainError::Request(error.to_string());
    let peer = Peer {
        address: SocketAddr::new(question.client, 0),
        server: None,
        tls: question.tls,
        handshake: None,
        activity: Activity::default(),
        guest: question
            .guest
            .and_then(|guest| guest.asks(question.target.path())),
    };
    let (ours, theirs) = tokio::io::duplex(BETWEEN);
    let service = service_fn(move |request: Request<Incoming>| {
        let (worker, peer) = (worker.clone(), peer.clone());
        async move {
            let told = call(&worker, peer, request).await;
            let body = Full::new(Bytes::from(told.to_string()));
            Ok::<_, std::convert::Infallible>(Response::new(body))
        }
    });
    tokio::task::spawn_local(
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service),
    );
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(ours))
        .await
        .map_err(|error| no_request(&error))?;
    tokio::task::spawn_local(connection);
    let mut request = Request::new(Full::new(question.body));
    *request.method_mut() = question.method;
    *request.uri_mut() = question.target;
    *request.headers_mut() = question.headers;
    let headers = request.headers_mut();
    headers.entry(HOST).or_insert(HeaderValue::from_static("gateway"));
    headers
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| no_request(&error))?;
    let bytes = answer
        .into_body()
        .collect()
        .await
        .map_err(|error| no_request(&error))?;
    serde_json::from_slice(&bytes.to_bytes()).map_err(|error| no_request(&error))
}

/// Takes a call along its way, and tells what is known of it in the end.
async fn call(worker: &Rc<Worker>, peer: Peer, request: Request<Incoming>) -> Value {
    let (parts, body) = request.map(Arriving::Library).into_parts();
    let mut record = Record::new(worker, peer, parts, Arrival::now());
    let snapshot = worker.gateway.snapshot();
    let head = Head::read(&record.request);
    record.dialect = if snapshot.native.serves_all_dialects {
        head.dialect
    } else {
        head.dialect_of_objects(&record.request)
    };
    let outcome = answer_call(worker, &snapshot, &head, body, &mut record, &Waiting::default()).await;
    let mut told = record.explained();
    if let Some(identity) = record.identity() {
        // With what is left of each budget and limit, of all levels.
        let standing = worker.gateway.governance().standing(&identity).await;
        told.insert("caller".to_owned(), standing);
    }
    let answer = match outcome {
        Ok(answer) => Some(answer.into_response(record)),
        Err(error) if error.code == NOT_SENT => None,
        Err(error) => {
            told.insert("error_code".to_owned(), (*error.code).into());
            Some(refuse::refuse(&error, record))
        }
    };
    if let Some(explanation) = &worker.explains {
        told.extend(explanation.told());
    }
    if let Some(answer) = answer {
        told.insert("answer".to_owned(), answered(answer).await);
    }
    told.into()
}

/// What a client would be told by the gateway itself.
async fn answered(answer: Response<AnswerBody>) -> Value {
    let (parts, body) = answer.into_parts();
    // What the gateway says itself does not break off.
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    json!({
        "status": parts.status.as_u16(),
        "headers": story::headers(&parts.headers, |_, value| value),
        "body": story::text(&body),
    })
}

impl Worker {
    /// A worker that serves nobody: it tells what would become of one call.
    fn explaining(gateway: Arc<Gateway>) -> Self {
        let mut worker = Worker::new(gateway, super::Bounds::NONE, usize::MAX);
        worker.telemetry = worker.telemetry.to_nobody();
        worker.explains = Some(Explanation::default());
        worker
    }
}

/// Ends an attempt that would be sent now.
pub(super) fn not_sent() -> AttemptError {
    super::encode::refused(ended())
}

/// Ends a call that would be passed on now.
pub(crate) fn ended() -> CallError {
    CallError::gateway(NOT_SENT, "this call is only explained")
}

/// Headers of an answer.
pub(super) fn shown_headers(headers: &HeaderMap) -> Value {
    story::headers(headers, |_, value| value)
}

/// Headers as members, names in lower case; several of a name are a list.
fn members<'a>(headers: impl Iterator<Item = (&'a HeaderName, String)>) -> Map<String, Value> {
    let mut members = Map::new();
    for (name, value) in headers {
        match members.get_mut(name.as_str()) {
            None => {
                members.insert(name.to_string(), value.into());
            }
            Some(Value::Array(values)) => values.push(value.into()),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    members
}
