//! The limits of tokens that hold for one call.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;
use tollgate_policy::cost::CostError;
use tollgate_store::counters::{self, Act, Ask, Decision, Reservation, Together, Verdict, Windows};

use super::super::limits::seconds;
use super::super::{Call, Key, Reply};
use super::{Headers, Limit, Scheme, TokenLimits, Used};
use crate::error::CallError;

/// The limits of one configuration for one call: what variables stand for is known.
pub struct CallLimits {
    limits: Arc<TokenLimits>,
    /// Replaces the body of refusals.
    error_response: Option<Arc<Value>>,
    holds: Holds,
}

/// What tokens of this call are counted by. A limit that its variables do not give is `None`.
enum Holds {
    Instances(Vec<Option<counters::Limit>>),
    /// Number of the rule, key, limit.
    Rules(Vec<(usize, String, Option<counters::Limit>)>),
}

/// Something that tokens of a call are counted against.
struct Window {
    key: counters::Key,
    limit: counters::Limit,
    headers: Option<Headers>,
}

/// Why a call may not have an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing is left for so many milliseconds.
    Full { reset_ms: u64 },
    /// The call does not say which limits hold for it.
    Unclear,
    /// What is left cannot be found out.
    Unavailable,
}

/// What limits say to a call.
pub(crate) struct Answer {
    pub(crate) refusal: Option<Refusal>,
    /// What was reserved, one for each window; nothing where nothing is reserved.
    pub(crate) reservations: Vec<Reservation>,
    /// What the client is told.
    pub(crate) headers: HeaderMap,
}

impl TokenLimits {
    /// The limits for a call.
    pub fn of(self: &Arc<Self>, call: &Call<'_>, error_response: Option<Arc<Value>>) -> CallLimits {
        let holds = match &self.terms.scheme {
            Scheme::Instances { limits, .. } => {
                Holds::Instances(limits.iter().map(|limit| limit.of(call)).collect())
            }
            // A rule counts only calls that have its key; what does not say a limit must not switch it off, though.
            Scheme::Rules(rules) => Holds::Rules(
                rules
                    .iter()
                    .enumerate()
                    .filter_map(|(number, rule)| Some((number, rule.key.of(call)?, rule.limit.of(call))))
                    .collect(),
            ),
        };
        CallLimits {
            limits: self.clone(),
            error_response,
            holds,
        }
    }
}

impl Limit {
    fn of(&self, call: &Call<'_>) -> Option<counters::Limit> {
        Some(counters::Limit {
            amount: self.amount.of(call)?,
            window_ms: self.seconds.of(call)?.saturating_mul(1000),
            windows: Windows::Fixed,
        })
    }
}

impl CallLimits {
    /// Whether what is left depends on the instance, so that another one may have room.
    pub(crate) fn is_by_instance(&self) -> bool {
        matches!(self.holds, Holds::Instances(_))
    }

    /// Tokens of the answer to reserve where a call sets no limit to them; `None` if nothing is reserved.
    pub(crate) fn reserved_output(&self) -> Option<u64> {
        self.limits.terms.reserve
    }

    /// What calls that use an instance are counted against, with the headers that tell it if it is `told`; `None` if that
    /// cannot be said.
    fn windows(&self, instance: &str, told: bool) -> Option<Vec<Window>> {
        let told = told && self.limits.terms.show_headers;
        match (&self.holds, &self.limits.terms.scheme) {
            (Holds::Instances(limits), Scheme::Instances { own, others, .. }) => {
                let Some(number) = own.get(instance).or(others.as_ref()) else {
                    return Some(Vec::new());
                };
                Some(vec![Window {
                    key: instance.into(),
                    limit: limits.get(*number).copied().flatten()?,
                    headers: told.then(|| Headers::of_instance(instance)).flatten(),
                }])
            }
            (Holds::Rules(holding), Scheme::Rules(rules)) if !holding.is_empty() => holding
                .iter()
                .map(|(number, key, limit)| {
                    let headers = rules.get(*number).map(|rule| rule.headers.clone());
                    Some(Window {
                        key: format!("{}:{key}", number + 1).into(),
                        limit: (*limit)?,
                        headers: headers.filter(|_| told),
                    })
                })
                .collect(),
            _ => None,
        }
    }

    /// Whether an instance is known to have nothing left. Asks nobody outside of this process, reserves nothing, tells nothing.
    pub(crate) fn is_known_full(&self, instance: &str, now: SystemTime) -> bool {
        let windows = self.windows(instance, false).unwrap_or_default();
        let asks = windows.iter().map(|window| window.ask(None)).collect();
        match self.limits.counters.decide(asks, Together::InTurn, now) {
            Decision::Made(verdicts) => verdicts.iter().any(|verdict| !verdict.is_allowed),
            Decision::Later(_) => false,
        }
    }

    /// Asks whether there is room for the call at an instance, and reserves `estimate` if there is.
    pub(crate) async fn ask(&self, instance: &str, estimate: Option<u64>, now: SystemTime) -> Answer {
        let answer = self.verdict(instance, estimate, now).await;
        if matches!(answer.refusal, Some(Refusal::Full { .. })) {
            self.limits.meters.refused();
        }
        answer
    }

    /// Asks whether there is room for `estimate` at an instance. Reserves nothing, and is not counted.
    pub(crate) async fn peek(&self, instance: &str, estimate: Option<u64>, now: SystemTime) -> Answer {
        let mut answer = self.verdict(instance, estimate, now).await;
        // Dropping them gives them back.
        answer.reservations.clear();
        answer
    }

    async fn verdict(&self, instance: &str, estimate: Option<u64>, now: SystemTime) -> Answer {
        let mut answer = Answer {
            refusal: None,
            reservations: Vec::new(),
            headers: HeaderMap::new(),
        };
        let Some(windows) = self.windows(instance, true) else {
            answer.refusal = self.unless_degraded(Refusal::Unclear);
            return answer;
        };
        if windows.is_empty() {
            return answer;
        }
        let asks = windows.iter().map(|window| window.ask(estimate)).collect();
        let together = match estimate {
            Some(_) => Together::AllOrNone,
            None => Together::InTurn,
        };
        let verdicts = match self.limits.counters.decide(asks, together, now).wait().await {
            Ok(verdicts) => verdicts,
            Err(error) => {
                // The counters tell the log when that begins and ends.
                tracing::debug!(%error, allowed = self.limits.terms.allow_degradation, "tokens cannot be counted");
                answer.refusal = self.unless_degraded(Refusal::Unavailable);
                return answer;
            }
        };
        for (window, verdict) in windows.iter().zip(verdicts) {
            window.tell(&verdict, &mut answer.headers);
            if !verdict.is_allowed {
                answer.refusal = Some(Refusal::Full {
                    reset_ms: verdict.reset_ms,
                });
            }
            answer.reservations.extend(verdict.reservation);
        }
        answer
    }

    fn unless_degraded(&self, refusal: Refusal) -> Option<Refusal> {
        (!self.limits.terms.allow_degradation).then_some(refusal)
    }

    /// What a call costs that is estimated to use so many tokens.
    pub(crate) fn estimate(&self, input: u64, output: u64) -> u64 {
        let cost = self.limits.terms.cost.estimate(input, output);
        // A formula that has no value for an estimate must not let calls in for nothing.
        cost.unwrap_or_else(|_| input.saturating_add(output))
    }

    /// What an attempt costs; `None` for estimates that APISIX would not know.
    ///
    /// # Errors
    /// The formula has no value.
    pub(crate) fn cost(&self, used: &Used<'_>) -> Result<Option<u64>, CostError> {
        if self.limits.terms.strict && used.usage.estimated {
            return Ok(None);
        }
        self.limits.terms.cost.of(used).map(Some)
    }

    /// Notes what was charged for an attempt.
    pub(crate) fn note_charge(&self, cost: u64, is_estimate: bool) {
        self.limits.meters.charged(cost, is_estimate);
    }

    /// Counts what an attempt at an instance has cost.
    pub(crate) fn charge(&self, instance: &str, cost: u64, is_estimate: bool, now: SystemTime) {
        let windows = self.windows(instance, false).unwrap_or_default();
        for window in &windows {
            self.limits.counters.add(&window.key, &window.limit, cost, now);
        }
        if !windows.is_empty() {
            self.note_charge(cost, is_estimate);
        }
    }

    /// What a refused client is told.
    pub(crate) fn error(&self, refusal: &Refusal) -> CallError {
        let reply = match refusal {
            Refusal::Unclear => Reply::status(StatusCode::INTERNAL_SERVER_ERROR, "limit_unclear"),
            Refusal::Unavailable => Reply::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "limit_unavailable",
                Key::ErrorMsg,
                "failed to limit count",
            ),
            Refusal::Full { reset_ms } => {
                let reply = match &self.limits.terms.text {
                    Some(text) => Reply::error(
                        self.limits.terms.status,
                        "quota_exceeded",
                        Key::ErrorMsg,
                        text.clone(),
                    ),
                    None => Reply::status(self.limits.terms.status, "quota_exceeded"),
                };
                match self.limits.terms.strict {
                    true => reply,
                    false => reply.with(RETRY_AFTER, HeaderValue::from(reset_ms.div_ceil(1000).max(1))),
                }
            }
        };
        CallError::of_plugin(self.error_response.as_deref(), reply)
    }
}

impl Window {
    fn ask(&self, estimate: Option<u64>) -> Ask {
        let (key, limit) = (self.key.clone(), self.limit);
        match estimate {
            None => Ask::peek(key, limit),
            Some(amount) => Ask {
                key,
                limit,
                act: Act::Reserve {
                    // What is larger than the limit takes all of it; otherwise it could never be admitted.
                    amount: amount.min(limit.amount),
                    // What is held ends with its window.
                    lease_ms: limit.window_ms,
                },
            },
        }
    }

    fn tell(&self, verdict: &Verdict, told: &mut HeaderMap) {
        let Some(names) = &self.headers else { return };
        let remaining = if verdict.is_allowed { verdict.remaining } else { 0 };
        told.insert(names.limit.clone(), HeaderValue::from(self.limit.amount));
        told.insert(names.remaining.clone(), HeaderValue::from(remaining));
        if let Ok(reset) = HeaderValue::try_from(seconds(verdict.reset_ms)) {
            told.insert(names.reset.clone(), reset);
        }
    }
}
