//! The attempt loop: tries candidates in order until one has an answer that may be given to the client.

use super::answer::{self, Answer};
use super::ask::Asked;
use super::choose::{Candidate, Plan};
use super::encode::{Decoded, encode};
use super::head::{Endpoint, Head};
use super::record::Record;
use super::{Worker, encode_ai, local, passed};
use std::time::Duration;

use http::StatusCode;

use crate::error::{AttemptError, CallError};
use crate::manners::Manners;
use crate::providers::Operation;
use crate::upstream::Pools;

use super::send::send;

/// Tries the candidates of a plan until one answers. Nothing reaches the client before that.
///
/// # Errors
/// The last failure, when no candidate could answer or another try would not help.
pub async fn run(
    worker: &Worker,
    head: &Head,
    manners: Manners,
    plan: &Plan,
    asked: &Asked,
    record: &mut Record,
) -> Result<Answer, CallError> {
    let decoded = Decoded::default();
    let mut last = None;
    let mut attempts = 0;
    let mut wants_another = false;
    for candidate in plan.candidates() {
        let candidate = &candidate;
        record.begin_attempt(candidate);
        let total = candidate.model.timeouts.total;
        let attempt = attempt(&worker.pools, head, manners, candidate, asked, &decoded, record);
        let result = match tokio::time::timeout(total, attempt).await {
            Ok(result) => result,
            Err(_) => Err(AttemptError::timeout("total_timeout", total)),
        };
        match result {
            Ok(answer) => return Ok(answer),
            Err(mut failure) => {
                if manners == Manners::ApisixStrict {
                    failure.error.status = as_in_apisix(&failure);
                }
                record.end_attempt(failure.outcome, failure.status, failure.error.detail.as_deref());
                attempts += 1;
                let elapsed = record.attempt_started().elapsed();
                wants_another = another_may_help(&failure, candidate, attempts, elapsed);
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
    if manners == Manners::ApisixStrict && wants_another && attempts > 1 {
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
    pools: &Pools,
    head: &Head,
    manners: Manners,
    candidate: &Candidate,
    asked: &Asked,
    decoded: &Decoded,
    record: &mut Record,
) -> Result<Answer, AttemptError> {
    let encoded = match (&candidate.instance.ai, head.endpoint.clone()) {
        (Some(ai), Endpoint::Api(protocol)) => {
            encode_ai::encode(pools, protocol, asked, decoded, candidate, ai, record).await?
        }
        _ => encode(head, asked, decoded, candidate)?,
    };
    record.losses = encoded.losses.clone();
    let upstream = send(pools, head, candidate, &encoded, asked.stream, record).await?;
    if let Some(protocol) = encoded.passed_as {
        let status = upstream.status;
        let diverted = candidate
            .instance
            .ai
            .as_ref()
            .is_some_and(|ai| ai.retry.statuses.contains(&status.as_u16()));
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() || diverted {
            let dialect = encoded.operation.dialect();
            let mut failure = answer::refused(upstream, dialect, candidate, record.attempt_started()).await;
            if let Some(verbatim) = &mut failure.error.verbatim {
                verbatim.dialect = None;
            }
            return Err(failure);
        }
        return passed::pass(manners, protocol, candidate, &encoded, upstream, record).await;
    }
    if upstream.status != StatusCode::OK {
        let dialect = encoded.operation.dialect();
        return Err(answer::refused(upstream, dialect, candidate, record.attempt_started()).await);
    }
    if asked.stream && matches!(encoded.operation, Operation::Chat(_)) {
        answer::stream(head, manners, asked, candidate, &encoded, upstream, record).await
    } else {
        answer::whole(head, manners, candidate, &encoded, upstream, record).await
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
