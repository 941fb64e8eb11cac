//! The numbers that APISIX's plugin `prometheus` tells, under its names, with its labels, buckets and units, so that
//! dashboards made for it keep working.
//!
//! <https://apisix.apache.org/docs/apisix/plugins/prometheus/>

mod families;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use self::families::METRICS;
use self::families::{Families, LABELS_OF_ALL, Labels};
use super::calls::{micros, next_id};
use super::keys::{Kept, Key, Known};
use super::names::{Names, was_asked};
use super::number::{Counter, Gauge, Histogram};
use super::{CallLabels, Metrics};
use crate::entry::{Told, shown};
use crate::record::{CallRecord, RequestType};
use crate::telemetry::{CallSink, RouteLogger, Wants};

/// What can be set about all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What every name begins with.
    pub prefix: String,
    /// Bounds of `http_latency`, in milliseconds.
    pub latency_buckets: Vec<f64>,
    /// Bounds of `llm_latency`, in milliseconds.
    pub llm_latency_buckets: Vec<f64>,
    /// Bounds of `llm_prompt_tokens_dist`.
    pub prompt_tokens_buckets: Vec<f64>,
    /// Bounds of `llm_completion_tokens_dist`.
    pub completion_tokens_buckets: Vec<f64>,
    /// What is set about single metrics, by their names without the prefix.
    pub metrics: BTreeMap<String, MetricSettings>,
    /// Different names of models that are counted apart; those that come later are counted as `other`.
    pub max_models: usize,
    /// Series of each metric at most.
    pub max_series: usize,
}

/// What can be set about one metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricSettings {
    /// Labels beside the usual ones: names, and the variables (`$name`) whose values they have, as log formats know them. A
    /// variable that is not known is empty.
    pub extra_labels: Vec<(String, String)>,
    /// After what time a series that does not change is forgotten; `None` for never.
    pub expire: Option<Duration>,
}

impl Settings {
    /// APISIX's.
    pub const DEFAULT_PREFIX: &str = "apisix_";
    /// APISIX's, in milliseconds.
    pub const DEFAULT_LATENCY_BUCKETS: [f64; 15] = [
        1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 30000.0,
        60000.0,
    ];
    /// APISIX's.
    pub const DEFAULT_TOKEN_BUCKETS: [f64; 16] = [
        1.0,
        10.0,
        50.0,
        100.0,
        200.0,
        500.0,
        1000.0,
        2000.0,
        5000.0,
        10000.0,
        20000.0,
        50000.0,
        100_000.0,
        200_000.0,
        500_000.0,
        1_000_000.0,
    ];
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            prefix: Settings::DEFAULT_PREFIX.to_owned(),
            latency_buckets: Settings::DEFAULT_LATENCY_BUCKETS.to_vec(),
            llm_latency_buckets: Settings::DEFAULT_LATENCY_BUCKETS.to_vec(),
            prompt_tokens_buckets: Settings::DEFAULT_TOKEN_BUCKETS.to_vec(),
            completion_tokens_buckets: Settings::DEFAULT_TOKEN_BUCKETS.to_vec(),
            metrics: BTreeMap::new(),
            max_models: CallLabels::DEFAULT_MAX_MODELS,
            max_series: CallLabels::DEFAULT_MAX_SERIES,
        }
    }
}

/// How the calls of one place are counted: what its plugin is set to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Whether routes and services are told by their names, where they have some, instead of their ids.
    pub prefer_name: bool,
    /// Labels that are left empty.
    pub disabled: DisabledLabels,
}

/// Labels that are left empty, by metric, in the order of [`METRICS`]: a bit for each label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisabledLabels([u16; METRICS.len()]);

impl DisabledLabels {
    /// Leaves a label of a metric empty. Names that are unknown change nothing.
    pub fn disable(&mut self, metric: &str, label: &str) {
        let metrics = METRICS.iter().zip(LABELS_OF_ALL).zip(&mut self.0);
        for ((_, labels), bits) in metrics.filter(|((name, _), _)| **name == metric) {
            for number in (0..labels.len()).filter(|number| labels.get(*number) == Some(&label)) {
                *bits |= 1 << number;
            }
        }
    }
}

/// The labels of a metric that can be left empty: all but those that say what it counts.
pub fn labels_that_can_be_disabled(metric: &str) -> Vec<&'static str> {
    let labels = METRICS
        .iter()
        .zip(LABELS_OF_ALL)
        .find(|(name, _)| **name == metric);
    let structural: &[&str] = match metric {
        "http_status" => &["code"],
        "http_latency" | "bandwidth" | "llm_latency" => &["type"],
        _ => &[],
    };
    labels
        .map(|(_, labels)| {
            labels
                .iter()
                .copied()
                .filter(|label| !structural.contains(label))
                .collect()
        })
        .unwrap_or_default()
}

/// Whether the metric counts calls, so that something can be set about it.
pub fn counts_calls(metric: &str) -> bool {
    METRICS.contains(&metric)
}

/// Counts calls as APISIX does.
pub struct ApisixMetrics {
    metrics: Arc<Metrics>,
    families: Families,
    models: Names,
    /// Names of variables by metric, in the order of [`METRICS`].
    extra: [Vec<String>; METRICS.len()],
    has_extra: bool,
    id: u64,
}

impl ApisixMetrics {
    /// One that counts in `metrics`.
    pub fn new(metrics: Arc<Metrics>, settings: &Settings) -> Self {
        let extra = METRICS.map(|name| {
            let of_metric = settings.metrics.get(name);
            let labels = of_metric.map(|metric| &*metric.extra_labels).unwrap_or_default();
            let variable = |text: &str| text.strip_prefix('$').unwrap_or(text).to_owned();
            labels.iter().map(|(_, text)| variable(text)).collect()
        });
        ApisixMetrics {
            families: Families::new(&metrics, settings),
            metrics,
            models: Names::new(settings.max_models),
            has_extra: extra.iter().any(|labels: &Vec<_>| !labels.is_empty()),
            extra,
            id: next_id(),
        }
    }

    /// Counts a call that has ended.
    pub fn call(&self, call: &CallRecord<'_>, shape: &Shape) {
        MINE.with_borrow_mut(|mine| self.count(call, shape, mine));
    }

    /// A call is handed to a model of this instance. It counts among the active ones until what comes of this is dropped.
    pub fn begins(&self, labels: &ActiveLabels<'_>, shape: &Shape) -> ActiveCall {
        let gauge = MINE.with_borrow_mut(|mine| {
            let epoch = self.metrics.epoch();
            let mut labels = *labels;
            labels.write(&mut mine.key, self.id, shape);
            if let Some(kept) = mine.active.find(&mine.key, epoch) {
                return kept;
            }
            labels.request_model = self.models.admit(labels.request_model, true);
            labels.upstream_model = self.models.admit(labels.upstream_model, true);
            labels.write(&mut mine.key, self.id, shape);
            if let Some(kept) = mine.active.find(&mine.key, epoch) {
                return kept;
            }
            let gauge = self.families.active.with(&labels.values(shape));
            mine.active.keep(&mine.key, gauge)
        });
        gauge.add(1);
        ActiveCall(gauge)
    }

    fn count(&self, call: &CallRecord<'_>, shape: &Shape, mine: &mut Mine) {
        let epoch = self.metrics.epoch();
        let mut digits = itoa::Buffer::new();
        let mut labels = Labels::of(call, shape.prefer_name, digits.format(call.status));
        self.write_extra(call, &mut mine.extra);
        labels.write(&mut mine.key, self.id, shape, &mine.extra);
        let numbers = match mine.calls.find(&mine.key, epoch) {
            Some(numbers) => numbers,
            None => {
                let is_asked = was_asked(call);
                labels.request_model = self.models.admit(labels.request_model, is_asked);
                labels.upstream_model = self.models.admit(labels.upstream_model, is_asked);
                labels.write(&mut mine.key, self.id, shape, &mine.extra);
                mine.calls.find(&mine.key, epoch).unwrap_or_else(|| {
                    mine.calls.keep(
                        &mine.key,
                        Numbers::new(&self.families, &labels, shape, &mine.extra),
                    )
                })
            }
        };
        numbers.count(call, &self.families, &labels, shape, &mine.extra);
    }

    /// The values of the labels beside the usual ones.
    fn write_extra(&self, call: &CallRecord<'_>, extra: &mut Extra) {
        if !self.has_extra {
            extra.clear();
            return;
        }
        extra.resize_with(METRICS.len(), Vec::new);
        for (values, variables) in extra.iter_mut().zip(&self.extra) {
            values.clear();
            values.extend(variables.iter().map(|variable| value(call, variable)));
        }
    }
}

/// The value of a variable as a label. Credentials are masked: who reads metrics need not know them.
fn value(call: &CallRecord<'_>, variable: &str) -> String {
    match shown(call, variable) {
        None => String::new(),
        Some(Told::Text(text)) => text.into_owned(),
        Some(Told::Number(number)) => number.to_string(),
        Some(Told::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Counts the calls of one place.
pub struct ApisixLogger {
    metrics: Arc<ApisixMetrics>,
    shape: Shape,
}

impl ApisixLogger {
    /// One that counts in this way.
    pub fn new(metrics: Arc<ApisixMetrics>, shape: Shape) -> Self {
        ApisixLogger { metrics, shape }
    }
}

impl CallSink for ApisixLogger {
    fn call(&self, call: &CallRecord<'_>) {
        self.metrics.call(call, &self.shape);
    }

    fn reads_details(&self) -> bool {
        false
    }
}

impl RouteLogger for ApisixLogger {
    fn wants(&self) -> Wants {
        Wants::default()
    }

    fn is_told_once(&self) -> bool {
        true
    }

    fn begins(&self, labels: &ActiveLabels<'_>) -> Option<ActiveCall> {
        Some(self.metrics.begins(labels, &self.shape))
    }
}

/// A call that is active as long as this is there. It never leaves the thread that serves the call.
#[derive(Debug)]
pub struct ActiveCall(Rc<Known<Gauge>>);

impl Drop for ActiveCall {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// The labels of calls that are under way.
#[derive(Clone, Copy, Debug, Default)]
pub struct ActiveLabels<'a> {
    /// The route's name.
    pub route_name: &'a str,
    /// The route's id.
    pub route: &'a str,
    /// The pattern that the path fits.
    pub matched_uri: &'a str,
    /// The pattern that the host fits.
    pub matched_host: &'a str,
    /// The service's name.
    pub service_name: &'a str,
    /// The service's id.
    pub service: &'a str,
    /// Who calls.
    pub consumer: &'a str,
    /// The instance.
    pub node: &'a str,
    /// `ai_chat` or `ai_stream`.
    pub request_type: &'a str,
    /// The model that the client asks for.
    pub request_model: &'a str,
    /// The model that the provider is asked for.
    pub upstream_model: &'a str,
}

impl<'a> ActiveLabels<'a> {
    fn all(&self) -> [&'a str; 11] {
        [
            self.route_name,
            self.route,
            self.matched_uri,
            self.matched_host,
            self.service_name,
            self.service,
            self.consumer,
            self.node,
            self.request_type,
            self.request_model,
            self.upstream_model,
        ]
    }

    fn values(&self, shape: &Shape) -> Vec<&'a str> {
        without_disabled(self.all().to_vec(), shape, families::ACTIVE)
    }

    fn write(&self, key: &mut Key, id: u64, shape: &Shape) {
        shape.write(key.of(id));
        for value in self.all() {
            key.and(value);
        }
    }
}

impl Shape {
    fn write(&self, key: &mut Key) {
        let has_disabled = self.disabled != DisabledLabels::default();
        key.number(u64::from(self.prefer_name) | u64::from(has_disabled) << 1);
        if has_disabled {
            for bits in self.disabled.0 {
                key.number(u64::from(bits));
            }
        }
    }
}

fn without_disabled<'a>(mut values: Vec<&'a str>, shape: &Shape, metric: usize) -> Vec<&'a str> {
    let bits = shape.disabled.0.get(metric).copied().unwrap_or(0);
    for (number, value) in values.iter_mut().enumerate() {
        if bits & (1 << number) != 0 {
            *value = "";
        }
    }
    values
}

/// Values of labels beside the usual ones, by metric; empty where there are none.
type Extra = Vec<Vec<String>>;

/// What calls of the same labels are counted with.
struct Numbers {
    status: Counter,
    request_latency: Histogram,
    upstream_latency: OnceCell<Histogram>,
    own_latency: Histogram,
    ingress: Counter,
    egress: Counter,
    llm: Option<LlmNumbers>,
}

/// What calls of models are counted with.
struct LlmNumbers {
    total: OnceCell<Histogram>,
    first_token: OnceCell<Histogram>,
    prompt: Counter,
    prompt_dist: Histogram,
    completion: Counter,
    completion_dist: Histogram,
}

impl Numbers {
    fn new(families: &Families, labels: &Labels<'_>, shape: &Shape, extra: &Extra) -> Self {
        let latency = |kind| families.latency.with(&labels.of_latency(kind, shape, extra));
        let bandwidth = |kind| families.bandwidth.with(&labels.of_bandwidth(kind, shape, extra));
        let tokens = |metric| labels.of_tokens(metric, shape, extra);
        let is_llm = labels.request_type != RequestType::TraditionalHttp.as_str();
        Numbers {
            status: families.status.with(&labels.of_status(shape, extra)),
            request_latency: latency("request"),
            upstream_latency: OnceCell::new(),
            own_latency: latency("apisix"),
            ingress: bandwidth("ingress"),
            egress: bandwidth("egress"),
            llm: is_llm.then(|| LlmNumbers {
                total: OnceCell::new(),
                first_token: OnceCell::new(),
                prompt: families.prompt.with(&tokens(families::PROMPT)),
                prompt_dist: families.prompt_dist.with(&tokens(families::PROMPT_DIST)),
                completion: families.completion.with(&tokens(families::COMPLETION)),
                completion_dist: families.completion_dist.with(&tokens(families::COMPLETION_DIST)),
            }),
        }
    }

    fn count(
        &self,
        call: &CallRecord<'_>,
        families: &Families,
        labels: &Labels<'_>,
        shape: &Shape,
        extra: &Extra,
    ) {
        self.status.add(1);
        self.request_latency.observe(micros(call.request_time));
        let upstream: Duration = call.attempts.iter().map(|attempt| attempt.duration).sum();
        if !call.attempts.is_empty() {
            let latency = || {
                families
                    .latency
                    .with(&labels.of_latency("upstream", shape, extra))
            };
            self.upstream_latency
                .get_or_init(latency)
                .observe(micros(upstream));
        }
        self.own_latency
            .observe(micros(call.request_time.saturating_sub(upstream)));
        self.ingress.add(request_length(call));
        self.egress.add(call.bytes_sent.unwrap_or(call.body_bytes_sent));
        let Some(llm) = &self.llm else { return };
        // Latencies measure answers, not errors.
        if let Some(first) = call.time_to_first_token.filter(|_| call.status < 400) {
            let latency = |kind| {
                families
                    .llm_latency
                    .with(&labels.of_llm_latency(kind, shape, extra))
            };
            let total = call.upstream_response_time.unwrap_or(first);
            llm.total.get_or_init(|| latency("total")).observe(micros(total));
            if call.request_type == RequestType::AiStream {
                llm.first_token
                    .get_or_init(|| latency("ttft"))
                    .observe(micros(first));
            }
        }
        let used = call.llm_tokens.of(call.usage.unwrap_or_default());
        llm.prompt.add(used.prompt);
        llm.prompt_dist.observe(used.prompt);
        llm.completion.add(used.completion);
        llm.completion_dist.observe(used.completion);
    }
}

/// The bytes of a request: its line and headers as they are written in HTTP/1, and its body.
fn request_length(call: &CallRecord<'_>) -> u64 {
    // Two spaces and four ends: of the line and of the head.
    let line = call.method.len() + call.request_uri.len() + call.http_version.len() + 6;
    let headers: usize = call
        .request_headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    call.request_bytes + (line + headers) as u64
}

/// Whom the last attempt asked: an instance by its name, a server by its address without the port.
fn node<'a>(call: &CallRecord<'a>) -> &'a str {
    let Some(last) = call.attempts.last() else {
        return "";
    };
    if last.provider.is_some() {
        return last.instance;
    }
    let Some(address) = last.upstream_addr else {
        return "";
    };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    match address.parse::<SocketAddr>() {
        Ok(SocketAddr::V6(_)) => host.trim_start_matches('[').trim_end_matches(']'),
        _ => host,
    }
}

/// Who has made the answer.
fn source(call: &CallRecord<'_>) -> &'static str {
    match call.attempts.last() {
        None => "apisix",
        Some(last) if last.status.is_some() => "upstream",
        // APISIX makes calls to models by itself, and leaves others to nginx.
        Some(last) if last.provider.is_some() => "apisix",
        Some(_) => "nginx",
    }
}

/// What a thread keeps.
#[derive(Default)]
struct Mine {
    key: Key,
    extra: Extra,
    calls: Kept<Numbers>,
    active: Kept<Gauge>,
}

thread_local! {
    static MINE: RefCell<Mine> = RefCell::default();
}

#[cfg(test)]
mod tests;
