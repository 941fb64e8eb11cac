//! The families, and which labels each of them has.

use std::sync::Arc;

use super::super::bounds;
use super::super::family::{Description, Family};
use super::super::number::{Counter, Histogram};
use super::super::{Metrics, calls::CallLabels};

/// The families that have to do with single calls.
pub(super) struct CallFamilies {
    pub(super) calls: Arc<Family<Counter>>,
    pub(super) errors: Arc<Family<Counter>>,
    pub(super) duration: Arc<Family<Histogram>>,
    pub(super) first_token: Arc<Family<Histogram>>,
    pub(super) between_tokens: Arc<Family<Histogram>>,
    pub(super) bytes: Arc<Family<Counter>>,
    pub(super) tokens: Arc<Family<Counter>>,
    pub(super) cost: Arc<Family<Counter>>,
    pub(super) unpriced: Arc<Family<Counter>>,
    pub(super) attempts: Arc<Family<Counter>>,
    pub(super) attempt_duration: Arc<Family<Histogram>>,
}

/// Label values of a call or of an attempt.
#[derive(Clone, Copy)]
pub(super) struct Labels<'a> {
    pub(super) route: &'a str,
    pub(super) consumer: &'a str,
    /// Asked for by the client.
    pub(super) model: &'a str,
    /// Asked of the provider.
    pub(super) upstream_model: &'a str,
    pub(super) provider: &'a str,
    pub(super) instance: &'a str,
    /// `ai_chat`, `ai_stream` or `traditional_http`.
    pub(super) kind: &'static str,
    /// The class of the status.
    pub(super) status: &'static str,
    pub(super) outcome: &'static str,
}

const CALLS: &[&str] = &[
    "route",
    "consumer",
    "model",
    "upstream_model",
    "provider",
    "type",
    "status",
    "outcome",
];
const TIMES: &[&str] = &["route", "model", "provider", "type"];
const TOKENS_TIMES: &[&str] = &["route", "model", "provider"];
const TOKENS: &[&str] = &["route", "consumer", "model", "upstream_model", "provider", "kind"];
const COST: &[&str] = &["route", "consumer", "model", "upstream_model", "provider"];
const ATTEMPTS: &[&str] = &["route", "provider", "instance_name", "outcome"];

impl<'a> Labels<'a> {
    pub(super) fn of_calls(&self) -> [&'a str; 8] {
        [
            self.route,
            self.consumer,
            self.model,
            self.upstream_model,
            self.provider,
            self.kind,
            self.status,
            self.outcome,
        ]
    }

    pub(super) fn of_times(&self) -> [&'a str; 4] {
        [self.route, self.model, self.provider, self.kind]
    }

    pub(super) fn of_tokens_times(&self) -> [&'a str; 3] {
        [self.route, self.model, self.provider]
    }

    pub(super) fn of_tokens(&self, kind: &'a str) -> [&'a str; 6] {
        [
            self.route,
            self.consumer,
            self.model,
            self.upstream_model,
            self.provider,
            kind,
        ]
    }

    pub(super) fn of_cost(&self) -> [&'a str; 5] {
        [
            self.route,
            self.consumer,
            self.model,
            self.upstream_model,
            self.provider,
        ]
    }

    pub(super) fn of_attempts(&self) -> [&'a str; 4] {
        [self.route, self.provider, self.instance, self.outcome]
    }
}

impl CallFamilies {
    pub(super) fn new(metrics: &Metrics, wanted: &CallLabels) -> Self {
        let describe = |name: &'static str, help, labels| Description {
            max_series: wanted.max_series,
            expire: wanted.expire,
            ..Description::new(name, help, labels)
        };
        let in_micros = |description| Description {
            per: 1_000_000,
            ..description
        };
        let counters = |name, help, labels| metrics.counters_of(describe(name, help, labels));
        let times = |name, help, labels, bounds| {
            metrics.histograms_of(in_micros(describe(name, help, labels)), bounds)
        };
        CallFamilies {
            calls: counters("tollgate_calls_total", "Calls that have ended.", CALLS),
            errors: counters(
                "tollgate_call_errors_total",
                "Calls whose client was told of an error, by its code.",
                &["route", "code"],
            ),
            duration: times(
                "tollgate_call_duration_seconds",
                "From the first byte of a call to the last byte of its answer.",
                TIMES,
                bounds::DURATION,
            ),
            first_token: times(
                "tollgate_time_to_first_token_seconds",
                "Streams: from the start of the attempt that answered to the first bytes of its answer.",
                TOKENS_TIMES,
                bounds::FIRST_TOKEN,
            ),
            between_tokens: times(
                "tollgate_time_per_output_token_seconds",
                "Streams: the time after the first token, divided by the tokens that came in it.",
                TOKENS_TIMES,
                bounds::BETWEEN_TOKENS,
            ),
            bytes: counters(
                "tollgate_body_bytes_total",
                "Bytes of bodies received from clients and sent to them.",
                &["route", "direction"],
            ),
            tokens: counters(
                "tollgate_tokens_total",
                "Tokens used by all attempts, by kind; no kind is part of another.",
                TOKENS,
            ),
            cost: metrics.counters_of(in_micros(describe(
                "tollgate_cost_usd_total",
                "What calls have cost in US dollars, as far as prices are known.",
                COST,
            ))),
            unpriced: counters(
                "tollgate_unknown_prices_total",
                "Calls that used something without a known price.",
                &["provider", "upstream_model"],
            ),
            attempts: counters(
                "tollgate_attempts_total",
                "Attempts at instances and servers, by how they ended.",
                ATTEMPTS,
            ),
            attempt_duration: times(
                "tollgate_attempt_duration_seconds",
                "From the start of an attempt to its end.",
                &["provider", "instance_name"],
                bounds::DURATION,
            ),
        }
    }
}
