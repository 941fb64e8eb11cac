//! The attempt loop: tries candidates in order until one has an answer that may be given to the client.

use super::answer::{self, Answer};
use super::ask::Asked;
use super::choose::{Candidate, Plan};
use super::encode::{Decoded, encode};
use super::head::{Endpoint, Head};
use super::record::{Attempt, Record, Slot};
use super::{Worker, encode_ai, local, passed};
use std::time::Duration;

use http::StatusCode;

use crate::error::{AttemptError, CallError};
use crate::manners::Manners;
use crate::providers::Operation;
use crate::upstream::Pools;

use super::send::send;

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
}

/// Tries the candidates of a plan until one answers. Nothing reaches the client before that.
///
/// # Errors
/// The last failure, when no candidate could answer or another try would not help.
pub async fn run(
    worker: &Worker,
    head: &Head,
    plan: &Plan,
    asked: &Asked,
    record: &Record,
) -> Result<Answer, CallError> {
    let call = Common {
        pools: &worker.pools,
        head,
        asked,
        decoded: &Decoded::default(),
        record,
    };
    let mut slot = Slot::new(record);
    let mut last = None;
    let mut attempts = 0;
    let mut wants_another = false;
    for candidate in plan.candidates() {
        let candidate = &candidate;
        let total = candidate.model.timeouts.total;
        let begun = slot.begin(candidate);
        let started = begun.started;
        let attempt = attempt(&call, candidate, begun);
        let result = match tokio::time::timeout(total, attempt).await {
            Ok(result) => result,
            Err(_) => Err(AttemptError::timeout("total_timeout", total)),
        };
        match result {
            Ok(answer) => return Ok(answer),
            Err(mut failure) => {
                if record.manners == Manners::ApisixStrict {
                    failure.error.status = as_in_apisix(&failure);
                }
                slot.end(failure.outcome, failure.status, failure.error.detail.as_deref());
                attempts += 1;
                wants_another = another_may_help(&failure, candidate, attempts, started.elapsed());
                // What a provider said tells the caller more than that another one could not be asked.
                if failure.outcome != "not_sent" || last.is_none() {
                    last = Some(failure.error);
                }
                if !wants_another {
                    break;
                }
            }
        }
    }
    if let (Endpoint::CountTokens, Some("unsupported_endpoint")) =
        (&head.endpoint, last.as_ref().map(|error| &*error.code))
    {
        return local::estimate_tokens(asked);
    }
    let mut error = last
        .unwrap_or_else(|| CallError::gateway("no_instances", "this model has no provider at the moment"));
    // APISIX's word for nobody being left, whatever the last one said.
    if record.manners == Manners::ApisixStrict && wants_another && attempts > 1 {
        error.status = StatusCode::BAD_GATEWAY;
    }
    Err(error)
}

/// The status of a failed attempt in APISIX: without an answer it is 504 when time ran out, else 500.
fn as_in_apisix(failure: &AttemptError) -> StatusCode {
    match (&*failure.error.code, failure.outcome) {
        ("upstream_unreachable", "connect_timeout") => StatusCode::GATEWAY_TIMEOUT,
        ("upstream_unreachable" | "upstream_connection_lost", _) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => failure.error.status,
    }
}

/// One try of one candidate, up to the point where its answer can be committed to.
async fn attempt(
    call: &Common<'_>,
    candidate: &Candidate,
    attempt: &mut Attempt,
) -> Result<Answer, AttemptError> {
    let encoded = match (&candidate.instance.ai, call.head.endpoint.clone()) {
        (Some(ai), Endpoint::Api(protocol)) => encode_ai::encode(call, protocol, candidate, ai).await?,
        _ => encode(call, candidate)?,
    };
    attempt.losses = encoded.losses.clone();
    let upstream = send(call, candidate, &encoded, attempt).await?;
    if let Some(protocol) = encoded.passed_as {
        let status = upstream.status;
        let diverted = candidate
            .instance
            .ai
            .as_ref()
            .is_some_and(|ai| ai.retry.statuses.contains(&status.as_u16()));
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() || diverted {
            let dialect = encoded.operation.dialect();
            let mut failure = answer::refused(upstream, dialect, candidate, attempt.started).await;
            if let Some(verbatim) = &mut failure.error.verbatim {
                verbatim.dialect = None;
            }
            return Err(failure);
        }
        return passed::pass(call, protocol, candidate, &encoded, upstream, attempt).await;
    }
    if upstream.status != StatusCode::OK {
        let dialect = encoded.operation.dialect();
        return Err(answer::refused(upstream, dialect, candidate, attempt.started).await);
    }
    if call.asked.stream && matches!(encoded.operation, Operation::Chat(_)) {
        answer::stream(call, candidate, &encoded, upstream, attempt).await
    } else {
        answer::whole(call, candidate, &encoded, upstream, attempt).await
    }
}

fn another_may_help(
    failure: &AttemptError,
    candidate: &Candidate,
    attempts: usize,
    elapsed: Duration,
) -> bool {
    if let Some(ai) = &candidate.instance.ai {
        let status = failure.status.filter(|status| status.as_u16() >= 400);
        return ai
            .retry
            .allows(status.map(|status| status.as_u16()), attempts, elapsed);
    }
    match failure.status {
        // An error status is the provider's word on the request; the configured rule decides.
        Some(status) if status.is_client_error() || status.is_server_error() => {
            candidate.model.fallback_on.includes(status.as_u16())
        }
        // No connection, no answer in time, an answer that broke or made no sense (a redirect to somewhere else, a 204);
        // or it was never sent because this instance cannot express it.
        _ => true,
    }
}
