//! The attempt loop: tries instances until one has an answer that may be given to the client.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Answer};
use super::ask::Asked;
use super::choose::{Candidate, Plan};
use super::encode::{Decoded, Encoded, encode};
use super::explain::Explanation;
use super::head::{Endpoint, Head};
use super::picks::{Pick, Picks};
use super::record::{Attempt, Record, Slot};
use super::send::{UpstreamAnswer, send};
use super::{Worker, encode_ai, hedge, in_step, local, passed, vectors};
use crate::error::{AttemptError, CallError};
use crate::manners::Manners;
use crate::pool::{Reason, Signal, retry_after_in};
use crate::providers::Operation;
use crate::snapshot::Model;
use crate::upstream::{Pools, UpstreamBody};

/// What all attempts of a call share. Only reads: two of them may be under way at the same time.
#[derive(Clone, Copy)]
pub struct Common<'a> {
    /// Connections to providers.
    pub pools: &'a Pools,
    /// What the client wants.
    pub head: &'a Head,
    /// Its request.
    pub asked: &'a Asked,
    /// The same in canonical form, once needed.
    pub decoded: &'a Decoded,
    /// What is known about the call.
    pub record: &'a Record,
    /// When the last attempt ends that has no answer, and how long that is; `None` is never.
    pub deadline: Option<(Instant, Duration)>,
}

/// How the attempts of a call have gone so far.
#[derive(Default)]
pub struct Course {
    attempts: usize,
    /// How many of them the provider refused for its rate limit.
    limited: usize,
    /// The shortest time a provider has asked for, and how it said so.
    soonest: Option<(Duration, HeaderValue)>,
    /// Why another attempt is made; `None` if none is.
    again: Option<Reason>,
    last: Option<CallError>,
}

/// Tries the instances of a plan until one answers. Nothing reaches the client before that.
///
/// # Errors
/// The last failure, when no instance could answer or another try would not help.
pub async fn run(
    worker: &Worker,
    head: &Head,
    plan: &mut Plan,
    asked: &Asked,
    record: &Record,
) -> Result<Answer, CallError> {
    let mut begun = plan.begun.take();
    plan.clues.peeks = record.explains().is_some();
    let plan = &*plan;
    let first = plan.models().next().map(|(model, _)| model);
    let limit = first.and_then(|model| model.pool.rules.deadline);
    let call = Common {
        pools: &worker.pools,
        head,
        asked,
        decoded: &Decoded::default(),
        record,
        deadline: limit.map(|limit| (Instant::now() + limit, limit)),
    };
    if let Some(explanation) = record.explains() {
        explanation.plan(plan);
    } else if let Some(model) = first {
        model.pool.call_begins();
    }
    let mut course = Course::default();
    for (model, public_name) in plan.models() {
        let mut picks = Picks::new(model, public_name, &plan.clues, asked.stream);
        if let Some(begun) = begun.take() {
            picks.resume(*begun);
        }
        loop {
            let Some(mut pick) = picks.next(record).await? else {
                break;
            };
            if let (Some(reason), Some(first)) = (course.again, first)
                && !may_go_on(&call, first, reason)
            {
                return course.end(&call);
            }
            let patience = model.pool.hedge_after(asked.stream);
            let is_first = course.attempts == 0 && record.explains().is_none();
            let answer = match patience.filter(|_| is_first) {
                // Boxed: calls that are not hedged shall not pay for the size of two attempts.
                Some(patience) => {
                    let both = hedge::attempts(&call, pick, patience, &mut picks, &mut course);
                    Box::pin(both).await?
                }
                None => alone(&call, &mut pick, &mut course).await,
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
            if course.again.is_none() || record.explains().is_some_and(Explanation::is_told) {
                return course.end(&call);
            }
        }
        if picks.passed_over && course.attempts == 0 {
            course.last = record.admission.nobody_left();
        } else if let (Some(again_in), 0) = (picks.down, course.attempts) {
            course.last = Some(CallError::nobody_is_well(again_in));
        } else if picks.is_switched_off && course.last.is_none() {
            course.last = Some(CallError::switched_off());
        } else if course.last.is_none() {
            course.last = picks.unpriced;
        }
    }
    course.end(&call)
}

/// Whether there is time and budget for another attempt. `first` is the model that was asked for.
fn may_go_on(call: &Common<'_>, first: &Model, reason: Reason) -> bool {
    let in_time = call.deadline.is_none_or(|(until, _)| Instant::now() < until);
    if in_time && !first.pool.may_try_again(reason) {
        tracing::info!(request_id = %call.record.request_id, "no further attempt: the retry budget is used up");
        return false;
    }
    in_time
}

/// One attempt, and no other beside it.
async fn alone(call: &Common<'_>, pick: &mut Pick, course: &mut Course) -> Option<Answer> {
    let mut slot = Slot::new(call.record);
    let candidate = &pick.candidate;
    match attempt(call, candidate, slot.begin(candidate, pick.account.take())).await {
        Ok(answer) => Some(answer),
        Err(failure) => {
            course.failed(failure, candidate, slot.end());
            None
        }
    }
}

impl Course {
    /// An attempt has failed after this time.
    pub fn failed(&mut self, failure: AttemptError, candidate: &Candidate, after: Duration) {
        self.attempts += 1;
        if let Some(Signal::RateLimited { retry_after }) = Signal::of(&failure) {
            self.limited += 1;
            if let (Some(wait), Some(value)) = (retry_after, &failure.error.retry_after)
                && self.soonest.as_ref().is_none_or(|(soonest, _)| wait < *soonest)
            {
                self.soonest = Some((wait, value.clone()));
            }
        }
        let retry = &candidate.model.pool.rules.retry;
        self.again = retry.reason(&failure, self.attempts, after);
        // What a provider said tells the caller more than that another one could not be asked.
        if failure.outcome != "not_sent" || self.last.is_none() {
            self.last = Some(failure.error);
        }
    }

    /// No other attempt is made: what the client is told.
    fn end(self, call: &Common<'_>) -> Result<Answer, CallError> {
        if let (Endpoint::CountTokens(dialect), Some("unsupported_endpoint")) =
            (&call.head.endpoint, self.last.as_ref().map(|error| &*error.code))
        {
            return local::estimate_tokens(*dialect, call.asked);
        }
        let strict = call.record.manners == Manners::ApisixStrict;
        let mut error = self.last.unwrap_or_else(|| {
            CallError::gateway("no_instances", "this model has no provider at the moment")
        });
        // APISIX's word for nobody being left, whatever the last one said.
        if strict && self.again.is_some() && self.attempts > 1 {
            error.status = StatusCode::BAD_GATEWAY;
        }
        // The first of them to be ready again is worth asking.
        if !strict
            && self.limited == self.attempts
            && let Some((_, value)) = self.soonest
        {
            error.retry_after = Some(value);
        }
        Err(error)
    }
}

/// The status of a failed attempt in APISIX: without an answer it is 504 when time ran out, else 500.
fn as_in_apisix(failure: &AttemptError) -> StatusCode {
    match (&*failure.error.code, failure.outcome) {
        ("upstream_unreachable", "connect_timeout") => StatusCode::GATEWAY_TIMEOUT,
        ("upstream_unreachable" | "upstream_connection_lost", _) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => failure.error.status,
    }
}

/// One try of one instance, up to the point where its answer can be committed to. Its pool is told how it went.
pub async fn attempt(
    call: &Common<'_>,
    candidate: &Candidate,
    attempt: &mut Attempt,
) -> Result<Answer, AttemptError> {
    let total = candidate.model.timeouts.total;
    let late = attempt.started + total;
    let (until, deadline) = match call.deadline {
        Some((deadline, limit)) if deadline < late => (deadline, Some(limit)),
        _ => (late, None),
    };
    let mut failure = match timeout_at(until, answered(call, candidate, attempt)).await {
        Ok(Ok(answer)) => {
            attempt.answers();
            return Ok(answer);
        }
        Ok(Err(failure)) => failure,
        Err(_) => match deadline {
            Some(limit) => AttemptError::deadline(limit),
            None => AttemptError::timeout("total_timeout", total),
        },
    };
    if call.record.manners == Manners::ApisixStrict {
        failure.error.status = as_in_apisix(&failure);
    } else if failure.error.retry_after.is_none()
        && failure.status == Some(StatusCode::TOO_MANY_REQUESTS)
        && let Some(told) = &failure.error.verbatim
    {
        failure.error.retry_after = retry_after_in(&told.body);
    }
    let signal = match deadline {
        // Others have used up the time in which it could have answered.
        Some(limit) if failure.outcome == "deadline" && until - attempt.started < limit / 2 => None,
        _ => Signal::of(&failure),
    };
    attempt.fails(&call.record.request_id, &failure, signal);
    Err(failure)
}

async fn answered(
    call: &Common<'_>,
    candidate: &Candidate,
    attempt: &mut Attempt,
) -> Result<Answer, AttemptError> {
    let encoded = match (&candidate.instance.ai, call.head.endpoint.clone()) {
        (Some(ai), Endpoint::Api(protocol)) => encode_ai::encode(call, protocol, candidate, ai).await?,
        _ => encode(call, candidate)?,
    };
    attempt.losses = encoded.losses.clone();
    attempt.dialect = Some(encoded.operation.dialect());
    in_step().await;
    let mut upstream = send(call, candidate, &encoded, attempt).await?;
    if let Some(protocol) = encoded.passed_as {
        if may_be_diverted(&upstream, candidate) {
            // Boxed: calls that are answered shall not pay for its size.
            upstream = Box::pin(not_diverted(upstream, candidate, &encoded, attempt.started)).await?;
        }
        return passed::pass(call, protocol, candidate, &encoded, &mut upstream, attempt).await;
    }
    if upstream.status != StatusCode::OK {
        return Err(refused(upstream, candidate, &encoded, attempt.started).await);
    }
    if let Some(inquiry) = &encoded.inquiry {
        // Boxed: few calls pay for its size.
        return Box::pin(vectors::answer(
            call, candidate, &encoded, inquiry, upstream, attempt,
        ))
        .await;
    }
    if call.asked.stream && matches!(encoded.operation, Operation::Chat(_)) {
        answer::stream(call, candidate, &encoded, &mut upstream, attempt).await
    } else {
        answer::whole(call, candidate, &encoded, &mut upstream, attempt).await
    }
}

/// What a refusal says. Boxed: calls that are answered shall not pay for its size.
async fn refused(
    upstream: UpstreamAnswer,
    candidate: &Candidate,
    encoded: &Encoded,
    started: Instant,
) -> AttemptError {
    let dialect = encoded.operation.dialect();
    Box::pin(answer::refused(upstream, dialect, candidate, started)).await
}

/// Whether the pool's rules may make an answer that is passed on a failure of the attempt.
fn may_be_diverted(upstream: &UpstreamAnswer, candidate: &Candidate) -> bool {
    let retry = &candidate.model.pool.rules.retry;
    let is_looked_into = upstream.status.is_client_error()
        && retry.looks_into_refusals()
        && !answer::is_coded(&upstream.headers);
    retry.diverts(upstream.status.as_u16()) || is_looked_into
}

/// Such an answer, unless the rules do.
async fn not_diverted(
    upstream: UpstreamAnswer,
    candidate: &Candidate,
    encoded: &Encoded,
    started: Instant,
) -> Result<UpstreamAnswer, AttemptError> {
    let retry = &candidate.model.pool.rules.retry;
    let status = upstream.status;
    let diverted = retry.diverts(status.as_u16());
    let (headers, sent) = (upstream.headers.clone(), upstream.sent);
    let mut failure = refused(upstream, candidate, encoded, started).await;
    let kind = failure.error.kind;
    match &mut failure.error.verbatim {
        Some(verbatim) if !diverted && !retry.diverts_kind(kind) => Ok(UpstreamAnswer {
            status,
            headers,
            body: UpstreamBody::Read(Some(std::mem::take(&mut verbatim.body))),
            sent,
        }),
        verbatim => {
            if let Some(verbatim) = verbatim {
                verbatim.dialect = None;
            }
            Err(failure)
        }
    }
}
