//! `plugin_attr.prometheus` and `tollgate.metrics`: numbers for Prometheus.

use super::deployment::refuse_others;
use super::ignored;
use super::units::milliseconds;
use super::view::View;
use crate::model::{MetricAttributes, MetricLabels, Metrics, PrometheusAttributes};
use crate::report::{Report, quote};

/// Lowers `plugin_attr.prometheus`, but for where numbers are told.
pub(super) fn lower_attributes(prometheus: &View<'_>, report: &mut Report) -> PrometheusAttributes {
    ignored::note(prometheus, &ignored::PROMETHEUS, report);
    let mut attributes = PrometheusAttributes::default();
    if let Some(path) = prometheus.text("export_uri", report) {
        if !path.starts_with('/') {
            report.mistake(&prometheus.path.key("export_uri"), "a path begins with `/`");
        }
        attributes.export_uri = Some(path.to_owned());
    }
    if let Some(prefix) = prometheus.text("metric_prefix", report) {
        if !is_name(prefix) {
            let prefix = quote(prefix);
            report.mistake(
                &prometheus.path.key("metric_prefix"),
                format!("`{prefix}` cannot begin a name; use letters, digits and `_`"),
            );
        }
        attributes.metric_prefix = Some(prefix.to_owned());
    }
    attributes.default_buckets = buckets(prometheus, "default_buckets", report);
    attributes.llm_latency_buckets = buckets(prometheus, "llm_latency_buckets", report);
    attributes.llm_prompt_tokens_buckets = buckets(prometheus, "llm_prompt_tokens_buckets", report);
    attributes.llm_completion_tokens_buckets = buckets(prometheus, "llm_completion_tokens_buckets", report);
    let Some(metrics) = prometheus.section("metrics", report) else {
        return attributes;
    };
    for name in metrics.keys() {
        if let Some(metric) = metrics.section(name, report) {
            let metric = lower_metric(&metric, report);
            attributes.metrics.insert(name.to_owned(), metric);
        }
    }
    attributes
}

fn lower_metric(metric: &View<'_>, report: &mut Report) -> MetricAttributes {
    let mut attributes = MetricAttributes::default();
    if let Some(expire) = metric.get("expire") {
        match expire.as_number() {
            Some(seconds) => attributes.expire_s = seconds,
            None => expire.wrong("a number of seconds", report),
        }
    }
    let Some(labels) = metric.get("extra_labels") else {
        return attributes;
    };
    if !labels.is_list() {
        labels.wrong("a list", report);
    }
    for label in labels.items() {
        let Some(name) = label.keys().next() else {
            label.wrong(
                "a label with its variable, such as `{upstream_addr: $upstream_addr}`",
                report,
            );
            continue;
        };
        if !is_name(name) {
            let shown = quote(name);
            let problem = format!("`{shown}` is no name of a label; use letters, digits and `_`");
            report.mistake(&label.path.key(name), problem);
        } else if let Some(variable) = label.text(name, report) {
            attributes
                .extra_labels
                .push((name.to_owned(), variable.to_owned()));
        }
    }
    attributes
}

fn buckets(prometheus: &View<'_>, key: &str, report: &mut Report) -> Option<Vec<f64>> {
    let list = prometheus.get(key)?;
    if !list.is_list() {
        list.wrong("a list of numbers", report);
        return None;
    }
    let mut bounds = Vec::new();
    for item in list.items() {
        match item.as_float().filter(|bound| *bound >= 0.0) {
            Some(bound) => bounds.push(bound),
            None => item.wrong("a number from 0", report),
        }
    }
    Some(bounds)
}

/// Lowers `tollgate.metrics`.
pub(super) fn lower_metrics(section: &View<'_>, report: &mut Report) -> Metrics {
    refuse_others(section, &["labels", "max_models", "max_series", "expire"], report);
    let mut metrics = Metrics::default();
    if let Some(labels) = section.section("labels", report) {
        refuse_others(
            &labels,
            &["consumer", "model", "upstream_model", "instance"],
            report,
        );
        let mut is_on = |label| labels.bool(label, report).unwrap_or(true);
        metrics.labels = MetricLabels {
            consumer: is_on("consumer"),
            model: is_on("model"),
            upstream_model: is_on("upstream_model"),
            instance: is_on("instance"),
        };
    }
    let mut bounded = |key, default| {
        let Some(view) = section.get(key) else {
            return default;
        };
        let number = view.as_number().and_then(|number| usize::try_from(number).ok());
        match number.filter(|number| (1..=Metrics::MOST).contains(number)) {
            Some(number) => number,
            None => {
                view.wrong(&format!("a number from 1 to {}", Metrics::MOST), report);
                default
            }
        }
    };
    metrics.max_models = bounded("max_models", Metrics::DEFAULT_MAX_MODELS);
    metrics.max_series = bounded("max_series", Metrics::DEFAULT_MAX_SERIES);
    if let Some(expire) = section.get("expire") {
        let written = expire.as_written();
        match written.and_then(|text| milliseconds(&text)).map(|ms| ms / 1000) {
            Some(seconds) if seconds > 0 => metrics.expire_s = seconds,
            _ => expire.wrong("a time with its unit, such as `48h`", report),
        }
    }
    metrics
}

fn is_name(text: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    !text.is_empty() && !text.starts_with(|first: char| first.is_ascii_digit()) && text.chars().all(is_part)
}
