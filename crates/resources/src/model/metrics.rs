//! Numbers for Prometheus.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

/// How calls are counted, and where the numbers are told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// Where they are told, to every address that may connect; `None` for nowhere but the Admin API's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Which labels calls are counted by.
    pub labels: MetricLabels,
    /// Different names of models that are counted apart.
    pub max_models: usize,
    /// Series of each metric of calls at most.
    pub max_series: usize,
    /// After what time a series of calls that does not change is forgotten, in seconds.
    pub expire_s: u64,
}

/// Which labels calls are counted by; others are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MetricLabels {
    /// The consumer.
    pub consumer: bool,
    /// The model that the client asks for.
    pub model: bool,
    /// The model that the provider is asked for.
    pub upstream_model: bool,
    /// The instance of an attempt.
    pub instance: bool,
}

impl Metrics {
    /// As many models as providers have on offer, a few times over.
    pub const DEFAULT_MAX_MODELS: usize = 500;
    /// A histogram of so many series is about 10 MB of text.
    pub const DEFAULT_MAX_SERIES: usize = 2_000;
    /// More is more than Prometheus likes to fetch.
    pub const MOST: usize = 100_000;
    /// Long enough for what is used once a day.
    pub const DEFAULT_EXPIRE_S: u64 = 48 * 3600;

    /// Whether nothing was said about it.
    pub fn is_default(&self) -> bool {
        *self == Metrics::default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            listen: None,
            labels: MetricLabels::default(),
            max_models: Metrics::DEFAULT_MAX_MODELS,
            max_series: Metrics::DEFAULT_MAX_SERIES,
            expire_s: Metrics::DEFAULT_EXPIRE_S,
        }
    }
}

impl Default for MetricLabels {
    fn default() -> Self {
        MetricLabels {
            consumer: true,
            model: true,
            upstream_model: true,
            instance: true,
        }
    }
}

/// What APISIX's `plugin_attr.prometheus` says about numbers under APISIX's names.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PrometheusAttributes {
    /// Another path at which they are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export_uri: Option<String>,
    /// What names begin with; `None` is `apisix_`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_prefix: Option<String>,
    /// Bounds of `http_latency`, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_buckets: Option<Vec<f64>>,
    /// Bounds of `llm_latency`, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm_latency_buckets: Option<Vec<f64>>,
    /// Bounds of `llm_prompt_tokens_dist`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm_prompt_tokens_buckets: Option<Vec<f64>>,
    /// Bounds of `llm_completion_tokens_dist`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm_completion_tokens_buckets: Option<Vec<f64>>,
    /// What is said about single metrics.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricAttributes>,
}

/// What is said about one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MetricAttributes {
    /// Labels beside the usual ones, with the variables (`$name`) that they have the values of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_labels: Vec<(String, String)>,
    /// After what time a series that does not change is forgotten, in seconds; 0 for never.
    pub expire_s: u64,
}

impl PrometheusAttributes {
    /// Whether nothing was said about them.
    pub fn is_default(&self) -> bool {
        *self == PrometheusAttributes::default()
    }
}
