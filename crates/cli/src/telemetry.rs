//! Starts everything that is told of calls: the access log, and what else the configuration asks for.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tollgate_admin::{APISIX_VERSION, statuses_of_addresses};
use tollgate_gateway::{Gateway, health};
use tollgate_resources::Resources;
use tollgate_resources::model::{self, Deployment, LogPath, PrometheusAttributes, Server};
use tollgate_telemetry::metrics::apisix::{MetricSettings, Settings};
use tollgate_telemetry::metrics::{CallLabels, CallMetrics, Description, observe_build, observe_process};
use tollgate_telemetry::{AccessLog, CallSink, Metrics, Outlets, Target, Telemetry};

use crate::cli::Failure;
use crate::load::log_format;
use crate::usage::{self, Kept};
use crate::{loggers, otlp, own_log};

/// Starts what a configuration wants to be told of calls. With it comes the usage that is kept, if any is.
///
/// # Errors
/// A file cannot be opened, or a thread cannot be started.
pub fn start(resources: &Resources, deployment: &Deployment) -> Result<(Telemetry, Option<Kept>), Failure> {
    let access_log = open_access_log(&resources.server)?;
    let metrics = Arc::new(Metrics::default());
    let apisix = apisix_settings(&resources.metrics, &deployment.prometheus_attributes);
    observe(&metrics, &access_log, &apisix);
    let calls = CallMetrics::new(metrics.clone(), labels(&resources.metrics));
    let mut sinks: Vec<Arc<dyn CallSink>> = vec![Arc::new(calls)];
    let kept = usage::begin(&resources.usage, deployment, &metrics)?;
    if let Some(kept) = &kept {
        sinks.push(Arc::new(kept.ledger.clone()));
    }
    let outlets = Outlets::new(metrics);
    let loggers = loggers::start(&resources.logging, &outlets)?;
    let mut telemetry = Telemetry::with_outlets(access_log, outlets, &apisix, sinks).with_loggers(loggers);
    if let Some(config) = &resources.traces {
        let traces = otlp::traces(config, telemetry.outlets())?;
        telemetry = telemetry.with_traces(traces);
    }
    Ok((telemetry, kept))
}

/// Shows which addresses of upstreams are well, under APISIX's name.
pub fn observe_health(gateway: &Arc<Gateway>, deployment: &Deployment) {
    let prefix = deployment.prometheus_attributes.metric_prefix.as_deref();
    let name = format!("{}upstream_status", prefix.unwrap_or(Settings::DEFAULT_PREFIX));
    let help = "Whether an address is well (1) or not (0), where addresses are checked.";
    let watched = Arc::downgrade(gateway);
    gateway
        .metrics()
        .list_gauges(Description::new(name, help, &["name", "ip", "port"]), move || {
            let Some(gateway) = watched.upgrade() else {
                return Vec::new();
            };
            let health = health::status(gateway.roster(), Instant::now(), SystemTime::now());
            statuses_of_addresses(health)
        });
}

/// How calls are counted under names of ours.
fn labels(metrics: &model::Metrics) -> CallLabels {
    CallLabels {
        consumer: metrics.labels.consumer,
        model: metrics.labels.model,
        upstream_model: metrics.labels.upstream_model,
        instance: metrics.labels.instance,
        max_models: metrics.max_models,
        max_series: metrics.max_series,
        expire: Some(Duration::from_secs(metrics.expire_s)),
    }
}

/// How calls are counted under APISIX's names.
fn apisix_settings(metrics: &model::Metrics, attributes: &PrometheusAttributes) -> Settings {
    let usual = Settings::default();
    let said = |bounds: &Option<Vec<f64>>, usual: Vec<f64>| bounds.clone().unwrap_or(usual);
    Settings {
        prefix: attributes.metric_prefix.clone().unwrap_or(usual.prefix),
        latency_buckets: said(&attributes.default_buckets, usual.latency_buckets),
        llm_latency_buckets: said(&attributes.llm_latency_buckets, usual.llm_latency_buckets),
        prompt_tokens_buckets: said(&attributes.llm_prompt_tokens_buckets, usual.prompt_tokens_buckets),
        completion_tokens_buckets: said(
            &attributes.llm_completion_tokens_buckets,
            usual.completion_tokens_buckets,
        ),
        metrics: attributes
            .metrics
            .iter()
            .map(|(name, metric)| {
                let settings = MetricSettings {
                    extra_labels: metric.extra_labels.clone(),
                    expire: (metric.expire_s > 0).then(|| Duration::from_secs(metric.expire_s)),
                };
                (name.clone(), settings)
            })
            .collect(),
        max_models: metrics.max_models,
        max_series: metrics.max_series,
    }
}

/// Shows what is counted elsewhere: by the system, and by the access log.
fn observe(metrics: &Metrics, access_log: &AccessLog, apisix: &Settings) {
    observe_process(metrics);
    observe_build(metrics, env!("CARGO_PKG_VERSION"), APISIX_VERSION, &apisix.prefix);
    let log = access_log.clone();
    let dropped = "Lines of the access log that were lost because its file or reader did not keep up.";
    metrics.read_counter(
        Description::new("tollgate_access_log_dropped_lines_total", dropped, &[]),
        &[],
        move || Some(log.dropped()),
    );
    let log = access_log.clone();
    let errors = "Failed tries to write the access log or to open its file.";
    metrics.read_counter(
        Description::new("tollgate_access_log_errors_total", errors, &[]),
        &[],
        move || Some(log.write_errors()),
    );
    let dropped =
        "Messages of the gateway's own that were lost because the reader of standard error did not keep up.";
    metrics.read_counter(
        Description::new("tollgate_own_log_dropped_messages_total", dropped, &[]),
        &[],
        || Some(own_log::dropped()),
    );
}

fn open_access_log(server: &Server) -> Result<AccessLog, Failure> {
    let target = match &server.access_log.path {
        LogPath::Stdout => Target::Stdout,
        LogPath::Off => Target::Off,
        LogPath::File(path) => Target::File(path.into()),
    };
    let format = log_format(&server.access_log.format).map_err(Failure::new)?;
    AccessLog::start(target, format).map_err(|error| {
        Failure::new(format!(
            "server.access_log.path: cannot open {}: {error}",
            server.access_log.path.as_str()
        ))
    })
}
