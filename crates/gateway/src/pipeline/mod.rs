//! A request's way, one step per file, in the order in which a call passes them:
//!
//! `head` → `identify` → `body` → `ask` → `choose` → (`encode` → `send` → `answer`)* → `relay` → `record`
//!
//! `choose` to `answer` is the only loop: the attempts. Nothing reaches the client before one attempt has succeeded.
//! Cancellation is dropping the future: it closes the connection to the provider and writes the record.

mod address;
mod admit;
mod ai;
mod answer;
mod ask;
mod attempt;
mod authorize;
mod begin;
mod body;
mod bounds;
mod boxed;
mod chain;
mod choose;
mod conversation;
mod early;
mod encode;
mod encode_ai;
pub(crate) mod explain;
mod guest;
pub(crate) mod head;
mod hedge;
mod identify;
mod local;
mod mask;
mod objects;
mod passed;
mod picks;
mod proof;
mod record;
mod refuse;
mod relay;
mod relayed;
mod send;
mod step;
mod transform;
mod turns;
mod vectors;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use tollgate_dialects::Dialect;
use tollgate_telemetry::{RouteLogger, Telemetry};

pub(crate) use address::Address;
pub(crate) use answer::Answer;
pub(crate) use answer::Content;
pub(crate) use body::ClientBody;
pub use bounds::Bounds;
pub(crate) use chain::Passing;
pub use guest::Guest;
pub(crate) use record::{Arrival, Record};
pub use relay::{AnswerBody, Cut};
pub use send::UpstreamAnswer;
pub(crate) use step::in_step;

use crate::certificates::Handshake;
use crate::error::CallError;
use crate::gateway::Gateway;
use crate::governance::{self, ME_PATH};
use crate::overload::Overload;
use crate::proxy::Tunnels;
use crate::server::{Activity, Arriving};
use crate::snapshot::Snapshot;
use crate::upstream::Pools;
use boxed::boxed;
use early::{Terms, Waiting};
use explain::Explanation;
pub(crate) use head::Endpoint;
use head::Head;
use turns::Turns;

/// What one worker thread owns.
pub struct Worker {
    /// Shared by all workers.
    pub gateway: Arc<Gateway>,
    /// Idle connections to providers.
    pub pools: Pools,
    /// Who is told of calls that have ended.
    pub telemetry: Telemetry,
    /// Who is told of those of our own routes beside that.
    pub native_logger: Arc<dyn RouteLogger>,
    /// Open tunnels.
    pub tunnels: Tunnels,
    /// What a request head may be like.
    pub bounds: Bounds,
    /// What the process can still take on.
    pub overload: Arc<Overload>,
    /// Where it is told what would become of a call, if the worker is there for that only.
    pub(crate) explains: Option<Explanation>,
    /// Calls under way, and how many may be.
    pub calls: Cell<usize>,
    pub max_calls: usize,
    /// Whether another process accepts clients now: connections end with their next answer.
    pub leaving: Cell<bool>,
    /// Lets calls begin, not too many before all else.
    turns: Turns,
}

impl Worker {
    /// A worker without connections.
    pub fn new(gateway: Arc<Gateway>, bounds: Bounds, max_calls: usize) -> Self {
        let telemetry = gateway.telemetry().clone();
        let overload = gateway.overload().clone();
        Worker {
            bounds,
            gateway,
            pools: Pools::default(),
            native_logger: telemetry.native_logger(),
            telemetry,
            tunnels: Tunnels::default(),
            overload,
            explains: None,
            calls: Cell::new(0),
            max_calls,
            leaving: Cell::new(false),
            turns: Turns::default(),
        }
    }

    /// Whether connections are to end with their next answer.
    fn ends_connections(&self) -> bool {
        self.leaving.get() || self.overload.ends_connections()
    }
}

/// The client's end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address.
    pub address: SocketAddr,
    /// The address and port it connected to; `None` if the system does not know.
    pub server: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// What its handshake has settled, where certificates go by names.
    pub handshake: Option<Arc<Handshake>>,
    /// What the connection is doing.
    pub activity: Activity,
    /// Who calls, where the process itself says so: no client can.
    pub guest: Option<Arc<Guest>>,
}

/// Serves one call. Never fails: every failure becomes an answer in the client's dialect.
pub fn serve(
    worker: Rc<Worker>,
    peer: Peer,
    request: Request<Arriving>,
) -> impl Future<Output = Response<AnswerBody>> {
    let ends = (request.version() <= Version::HTTP_11).then(|| worker.clone());
    let arrival = Arrival::now();
    let waits = worker.clone();
    let waiting = Waiting::default();
    let told = waiting.clone();
    // Boxed, with the request in it: a connection keeps room for the future of a call, so an idle one would otherwise pay for
    // its size. The call begins when it is polled first, not before: until then it is not counted.
    let call = boxed(|| async move {
        let (parts, body) = request.into_parts();
        let mut record = Record::new(&worker, peer, parts, arrival);
        let snapshot = worker.gateway.snapshot();
        let head = Head::read(&record.request);
        record.dialect = if snapshot.native.serves_all_dialects {
            head.dialect
        } else {
            head.dialect_of_objects(&record.request)
        };
        let mut outcome = match worker.overload.admit(worker.calls.get(), worker.max_calls) {
            Ok(()) => answer_call(&worker, &snapshot, &head, body, &mut record, &told).await,
            Err(overloaded) => Err(overloaded),
        };
        if let (Err(_), Some(wrong_keys)) = (&outcome, worker.gateway.wrong_keys()) {
            let client = record.client().ip();
            outcome = outcome.map_err(|error| wrong_keys.judged(error, client));
        }
        in_step().await;
        (record, outcome)
    });
    async move {
        waits.turns.next(waits.calls.get()).await;
        drop(waits);
        let mut response = early::answer(call, &waiting).await;
        if ends.is_some_and(|worker| worker.ends_connections()) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().entry(CONNECTION).or_insert(close);
        }
        response
    }
}

async fn answer_call(
    worker: &Worker,
    snapshot: &Snapshot,
    head: &Head,
    body: Arriving,
    record: &mut Record,
    waiting: &Waiting,
) -> Result<Answer, CallError> {
    let route = head::route(&snapshot.native, &record.request, &head.endpoint).cloned();
    let is_ours = route.is_ok() || (snapshot.native.has_routes && snapshot.plane.is_empty());
    let key = match head.dialect {
        Dialect::Gemini if is_ours => address::take_key(&mut record.request),
        _ => None,
    };
    worker.bounds.check(&record.request)?;
    head::check_framing(&record.request)?;
    head::check_expectation(&record.request)?;
    head::check_host(&record.request)?;
    proof::check(&snapshot.plane.certificates, record)?;
    if record.request.uri.path() == ME_PATH && !worker.gateway.governance().index().is_empty() {
        // Boxed: calls of models shall not pay for its size.
        return Box::pin(me(worker, snapshot, record)).await;
    }
    let route = match route {
        Ok(route) => route,
        Err(miss) if is_ours => return Err(miss),
        Err(_) => {
            record.dialect = head.dialect_of_objects(&record.request);
            // Boxed: calls of our own routes shall not pay for its size.
            return boxed(|| objects::answer_call(worker, snapshot, body, record)).await;
        }
    };
    record.route = Some(route.id.clone());
    record.log_to(None, worker.native_logger.clone());
    record.manners = route.manners();
    record.keep_alive = snapshot.native.keep_alive;
    let caller = identify::identify(
        snapshot,
        worker.gateway.governance(),
        &route,
        head,
        &record.request.headers,
        key.as_deref(),
        record.guest(),
    )?;
    record.consumer = caller.name().cloned();
    record.is(caller.identity.as_ref());
    match &head.endpoint {
        Endpoint::Response(question) => conversation::serve(worker, &caller, question, record).await,
        Endpoint::Models => Ok(local::list_models(&route, &caller, head)),
        Endpoint::Model(id) => local::show_model(&route, &caller, head, id),
        Endpoint::Chat(_)
        | Endpoint::Completions
        | Endpoint::CountTokens(_)
        | Endpoint::Embeddings(_)
        | Endpoint::Rerank(_)
        | Endpoint::Invoke => {
            record.enter().await?;
            let bytes = body::read(
                &snapshot.native,
                &route,
                &record.request.headers,
                body,
                &worker.overload,
            )
            .await?;
            let mut asked = ask::Asked::read(head, &route, bytes)?;
            let head = &*ask::told_by_body(head, &asked, &record.request.headers)?;
            record.dialect = head.dialect;
            record.asked(&asked, &head.endpoint);
            record.may_use(&asked.model)?;
            record.tell_words_as_set(&asked);
            let kept =
                conversation::expand(worker, &snapshot.native, &caller, head, &mut asked, record).await?;
            let mut plan = choose::plan(&route, &caller, &asked)?;
            if asked.stream {
                waiting.replace(Terms::of(head, record));
            }
            let answer = attempt::run(worker, head, &mut plan, &asked, record).await?;
            Ok(kept.answer(worker, answer))
        }
        Endpoint::Api(_) | Endpoint::Unknown => Err(head::not_found()),
    }
}

/// Tells a caller what it may use and spend.
async fn me(worker: &Worker, snapshot: &Snapshot, record: &mut Record) -> Result<Answer, CallError> {
    let governance = worker.gateway.governance();
    let (method, headers) = (&record.request.method, &record.request.headers);
    let (headers, text) = governance::me(governance, snapshot, method, headers).await?;
    Ok(Answer {
        status: StatusCode::OK,
        headers,
        content: Content::Whole(text.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_keeps_room_for_is_small() {
        fn size<A, B, C, D: Future>(_: fn(A, B, C) -> D) -> usize {
            size_of::<D>()
        }
        // A connection that waits for its next call pays for it too.
        let bytes = size(serve);
        assert!(bytes < 400, "{bytes} bytes");
    }

    #[test]
    fn the_state_of_a_call_is_small() {
        fn size<A, B, C, D, E, F, G: Future>(_: fn(A, B, C, D, E, F) -> G) -> usize {
            size_of::<G>()
        }
        // It is copied for every call. What few calls need, such as a new connection, is boxed.
        let bytes = size(answer_call);
        assert!(bytes < 3_600, "{bytes} bytes");
    }
}
