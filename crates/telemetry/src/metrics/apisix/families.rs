//! The metrics, and which labels each of them has, in APISIX's order.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::family::{Description, Family};
use super::super::keys::Key;
use super::super::number::{Counter, Gauge, Histogram};
use super::{Extra, Metrics, Settings, Shape, node, source, without_disabled};
use crate::record::CallRecord;

/// The names of the metrics that count calls, without their prefix.
pub const METRICS: [&str; 9] = [
    "http_status",
    "http_latency",
    "bandwidth",
    "llm_latency",
    "llm_prompt_tokens",
    "llm_completion_tokens",
    "llm_active_connections",
    "llm_prompt_tokens_dist",
    "llm_completion_tokens_dist",
];

// Their places in the list.
const STATUS: usize = 0;
const LATENCY: usize = 1;
const BANDWIDTH: usize = 2;
const LLM_LATENCY: usize = 3;
pub(super) const PROMPT: usize = 4;
pub(super) const COMPLETION: usize = 5;
pub(super) const ACTIVE: usize = 6;
pub(super) const PROMPT_DIST: usize = 7;
pub(super) const COMPLETION_DIST: usize = 8;

const OF_STATUS: &[&str] = &[
    "code",
    "route",
    "matched_uri",
    "matched_host",
    "service",
    "consumer",
    "node",
    "request_type",
    "request_llm_model",
    "llm_model",
    "response_source",
];
const OF_TRAFFIC: &[&str] = &[
    "type",
    "route",
    "service",
    "consumer",
    "node",
    "request_type",
    "request_llm_model",
    "llm_model",
];
const OF_LLM_LATENCY: &[&str] = &[
    "type",
    "route_id",
    "service_id",
    "consumer",
    "node",
    "request_type",
    "request_llm_model",
    "llm_model",
];
const OF_TOKENS: &[&str] = &[
    "route_id",
    "service_id",
    "consumer",
    "node",
    "request_type",
    "request_llm_model",
    "llm_model",
];
const OF_ACTIVE: &[&str] = &[
    "route",
    "route_id",
    "matched_uri",
    "matched_host",
    "service",
    "service_id",
    "consumer",
    "node",
    "request_type",
    "request_llm_model",
    "llm_model",
];

/// The labels of [`METRICS`].
pub(super) const LABELS_OF_ALL: [&[&str]; METRICS.len()] = [
    OF_STATUS,
    OF_TRAFFIC,
    OF_TRAFFIC,
    OF_LLM_LATENCY,
    OF_TOKENS,
    OF_TOKENS,
    OF_ACTIVE,
    OF_TOKENS,
    OF_TOKENS,
];

/// The families of [`METRICS`].
pub(super) struct Families {
    pub(super) status: Arc<Family<Counter>>,
    pub(super) latency: Arc<Family<Histogram>>,
    pub(super) bandwidth: Arc<Family<Counter>>,
    pub(super) llm_latency: Arc<Family<Histogram>>,
    pub(super) prompt: Arc<Family<Counter>>,
    pub(super) completion: Arc<Family<Counter>>,
    pub(super) active: Arc<Family<Gauge>>,
    pub(super) prompt_dist: Arc<Family<Histogram>>,
    pub(super) completion_dist: Arc<Family<Histogram>>,
}

/// Latencies are counted in microseconds and shown in milliseconds.
const MICROS_PER_MILLI: u64 = 1_000;

impl Families {
    pub(super) fn new(metrics: &Metrics, settings: &Settings) -> Self {
        let describe = |metric: usize, help| {
            let name = METRICS.get(metric).copied().unwrap_or_default();
            let usual = LABELS_OF_ALL.get(metric).copied().unwrap_or_default();
            let of_metric = settings.metrics.get(name);
            let extra = of_metric.map(|metric| &*metric.extra_labels).unwrap_or_default();
            let labels = usual.iter().map(|label| Cow::Borrowed(*label));
            let extra = extra.iter().map(|(label, _)| Cow::Owned(label.clone()));
            Description {
                labels: labels.chain(extra).collect(),
                max_series: settings.max_series,
                expire: of_metric.and_then(|metric| metric.expire),
                ..Description::new(format!("{}{name}", settings.prefix), help, &[])
            }
        };
        let counters = |metric, help| metrics.counters_of(describe(metric, help));
        let histograms = |metric, help, per: u64, buckets: &[f64]| {
            let description = Description {
                per,
                ..describe(metric, help)
            };
            metrics.histograms_of(description, &bounds(buckets, per))
        };
        Families {
            status: counters(STATUS, "HTTP statuses of calls by route and service."),
            latency: histograms(
                LATENCY,
                "Latency of calls in milliseconds: all of it, the upstream's part, and the gateway's.",
                MICROS_PER_MILLI,
                &settings.latency_buckets,
            ),
            bandwidth: counters(BANDWIDTH, "Bytes of requests and answers."),
            llm_latency: histograms(
                LLM_LATENCY,
                "Latency of models in milliseconds: until the answer is complete, and of streams until it begins.",
                MICROS_PER_MILLI,
                &settings.llm_latency_buckets,
            ),
            prompt: counters(PROMPT, "Tokens of prompts."),
            completion: counters(COMPLETION, "Tokens of completions."),
            active: metrics.gauges_of(describe(
                ACTIVE,
                "Calls that wait for a model or are being answered by one.",
            )),
            prompt_dist: histograms(
                PROMPT_DIST,
                "Tokens of the prompt of a call.",
                1,
                &settings.prompt_tokens_buckets,
            ),
            completion_dist: histograms(
                COMPLETION_DIST,
                "Tokens of the completion of a call.",
                1,
                &settings.completion_tokens_buckets,
            ),
        }
    }
}

/// Bounds as they are counted, ascending.
fn bounds(shown: &[f64], per: u64) -> Vec<u64> {
    // Negative numbers and what is no number become 0, large ones the largest.
    let mut bounds: Vec<u64> = shown
        .iter()
        .map(|bound| (bound * per as f64).round() as u64)
        .collect();
    bounds.sort_unstable();
    bounds.dedup();
    bounds
}

/// Label values of a call.
pub(super) struct Labels<'a> {
    code: &'a str,
    route: &'a str,
    matched_uri: &'a str,
    matched_host: &'a str,
    service: &'a str,
    consumer: &'a str,
    node: &'a str,
    pub(super) request_type: &'static str,
    pub(super) request_model: &'a str,
    pub(super) upstream_model: &'a str,
    source: &'static str,
}

impl<'a> Labels<'a> {
    pub(super) fn of(call: &CallRecord<'a>, prefer_name: bool, code: &'a str) -> Self {
        let named = |id: Option<&'a str>, name: Option<&'a str>| {
            let name = name.filter(|name| prefer_name && !name.is_empty());
            name.or(id).unwrap_or_default()
        };
        Labels {
            code,
            route: named(call.route, call.route_name),
            matched_uri: call.matched_uri,
            matched_host: call.matched_host,
            service: named(call.service, call.service_name),
            consumer: call.consumer.unwrap_or_default(),
            node: node(call),
            request_type: call.request_type.as_str(),
            request_model: call.request_model.unwrap_or_default(),
            upstream_model: call.upstream_model.unwrap_or_default(),
            source: source(call),
        }
    }

    pub(super) fn write(&self, key: &mut Key, id: u64, shape: &Shape, extra: &Extra) {
        shape.write(key.of(id));
        key.and(self.code)
            .and(self.route)
            .and(self.matched_uri)
            .and(self.matched_host)
            .and(self.service)
            .and(self.consumer)
            .and(self.node)
            .and(self.request_type)
            .and(self.request_model)
            .and(self.upstream_model)
            .and(self.source);
        for value in extra.iter().flatten() {
            key.and(value);
        }
    }

    pub(super) fn of_status<'b>(&'b self, shape: &Shape, extra: &'b Extra) -> Vec<&'b str> {
        let usual = vec![
            self.code,
            self.route,
            self.matched_uri,
            self.matched_host,
            self.service,
            self.consumer,
            self.node,
            self.request_type,
            self.request_model,
            self.upstream_model,
            self.source,
        ];
        finish(usual, STATUS, shape, extra)
    }

    pub(super) fn of_latency<'b>(
        &'b self,
        kind: &'static str,
        shape: &Shape,
        extra: &'b Extra,
    ) -> Vec<&'b str> {
        finish(self.typed(kind), LATENCY, shape, extra)
    }

    pub(super) fn of_bandwidth<'b>(
        &'b self,
        kind: &'static str,
        shape: &Shape,
        extra: &'b Extra,
    ) -> Vec<&'b str> {
        finish(self.typed(kind), BANDWIDTH, shape, extra)
    }

    pub(super) fn of_llm_latency<'b>(
        &'b self,
        kind: &'static str,
        shape: &Shape,
        extra: &'b Extra,
    ) -> Vec<&'b str> {
        finish(self.typed(kind), LLM_LATENCY, shape, extra)
    }

    pub(super) fn of_tokens<'b>(&'b self, metric: usize, shape: &Shape, extra: &'b Extra) -> Vec<&'b str> {
        finish(self.untyped().to_vec(), metric, shape, extra)
    }

    fn untyped(&self) -> [&'a str; 7] {
        [
            self.route,
            self.service,
            self.consumer,
            self.node,
            self.request_type,
            self.request_model,
            self.upstream_model,
        ]
    }

    fn typed(&self, kind: &'static str) -> Vec<&'a str> {
        let mut values = vec![kind];
        values.extend(self.untyped());
        values
    }
}

/// Empties the labels that are disabled and adds those beside the usual ones.
fn finish<'a>(usual: Vec<&'a str>, metric: usize, shape: &Shape, extra: &'a Extra) -> Vec<&'a str> {
    let mut values = without_disabled(usual, shape, metric);
    let extra = extra.get(metric).map(Vec::as_slice).unwrap_or_default();
    values.extend(extra.iter().map(String::as_str));
    values
}
