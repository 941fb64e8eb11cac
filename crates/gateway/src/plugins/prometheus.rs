//! `prometheus`: calls of the route, or of all routes in a global rule, are counted under APISIX's names.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollgate_resources::objects::schema;
use tollgate_telemetry::RouteLogger;
use tollgate_telemetry::metrics::apisix::{
    ApisixLogger, DisabledLabels, METRICS, Shape, labels_that_can_be_disabled,
};

use super::spec::{Made, Setup, read};
use super::{Plugin, SchemaType, Scope, Spec};

/// `prometheus`.
pub(super) static SPEC: Spec = Spec {
    name: "prometheus",
    priority: 500,
    version: 0.2,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| match kind {
        SchemaType::Route => Some(schema::of::<Config>()),
        SchemaType::Consumer => None,
        SchemaType::Metadata => Some(metadata_schema()),
    },
    check: |_, _| Ok(()),
    setup,
    secret_fields: &[],
};

/// How calls are counted.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Config {
    /// Whether routes and services are told by their names, where they have some, instead of their ids.
    prefer_name: bool,
}

/// What holds wherever the plugin stands.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    /// Labels that are left empty, by metric.
    disabled_labels: Map<String, Value>,
}

struct Prometheus(Option<Arc<ApisixLogger>>);

impl Plugin for Prometheus {
    fn acts(&self) -> bool {
        false
    }

    fn logger(&self) -> Option<Arc<dyn RouteLogger>> {
        self.0.clone().map(|logger| -> Arc<dyn RouteLogger> { logger })
    }

    fn is_alike_everywhere(&self) -> bool {
        true
    }
}

fn setup(conf: &Value, setup: &Setup<'_>) -> Made {
    let config: Config = read(conf)?;
    let metadata: Metadata = setup.metadata.map(read).transpose()?.unwrap_or_default();
    let mut disabled = DisabledLabels::default();
    for (metric, labels) in &metadata.disabled_labels {
        let labels = labels.as_array().map(Vec::as_slice).unwrap_or_default();
        for label in labels.iter().filter_map(Value::as_str) {
            disabled.disable(metric, label);
        }
    }
    let shape = Shape {
        prefer_name: config.prefer_name,
        disabled,
    };
    let metrics = setup.state.apisix().cloned();
    let logger = metrics.map(|metrics| Arc::new(ApisixLogger::new(metrics, shape)));
    Ok(Arc::new(Prometheus(logger)))
}

/// Labels that say what a metric counts cannot be disabled. Numbers about `ai-cache` are not there, but settings that name
/// them fit.
fn metadata_schema() -> Value {
    let mut properties = Map::new();
    for metric in METRICS {
        properties.insert(metric.to_owned(), labels(&labels_that_can_be_disabled(metric)));
    }
    for metric in CACHE_METRICS {
        properties.insert((*metric).to_owned(), labels(CACHE_LABELS));
    }
    json!({
        "type": "object",
        "properties": {
            "disabled_labels": {
                "type": "object",
                "properties": properties,
                "additionalProperties": false
            }
        }
    })
}

fn labels(names: &[&str]) -> Value {
    json!({"type": "array", "items": {"type": "string", "enum": names}})
}

const CACHE_METRICS: &[&str] = &[
    "ai_cache_hits_total",
    "ai_cache_misses_total",
    "ai_cache_bypasses_total",
    "ai_cache_embedding_latency",
];

const CACHE_LABELS: &[&str] = &[
    "route",
    "route_id",
    "service",
    "service_id",
    "consumer",
    "node",
    "request_type",
    "request_llm_model",
    "llm_model",
];

#[cfg(test)]
mod tests {
    use tollgate_resources::objects::schema::Schema;

    use super::*;

    fn verdict(metadata: &Value) -> Result<(), String> {
        Schema::new(&metadata_schema()).unwrap().check(metadata)
    }

    #[test]
    fn labels_can_be_disabled_but_for_those_that_say_what_is_counted() {
        let disable = |metric: &str, label: &str| verdict(&json!({"disabled_labels": {metric: [label]}}));
        assert_eq!(disable("http_status", "node"), Ok(()));
        assert_eq!(disable("llm_prompt_tokens", "request_llm_model"), Ok(()));
        assert_eq!(disable("ai_cache_hits_total", "route"), Ok(()));
        for (metric, label) in [
            ("http_status", "code"),
            ("http_latency", "type"),
            ("ai_cache_hits_total", "layer"),
            ("no_such_metric", "node"),
            ("bandwidth", "no_such_label"),
        ] {
            assert!(disable(metric, label).is_err(), "{metric} {label}");
        }
        assert_eq!(verdict(&json!({})), Ok(()));
    }
}
