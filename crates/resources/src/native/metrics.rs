//! `metrics`: numbers for Prometheus.

use super::file::MetricsEntry;
use super::units::Measure;
use crate::model::{MetricLabels, Metrics};
use crate::report::{Report, quote};
use crate::tree::Path;

/// Lowers `metrics`.
pub(crate) fn lower(entry: Option<&MetricsEntry>, report: &mut Report) -> Metrics {
    let Some(entry) = entry else {
        return Metrics::default();
    };
    let path = Path::of(["metrics"]);
    let listen = entry.listen.as_ref().and_then(|text| {
        let address = text.parse().ok();
        if address.is_none() {
            let text = quote(text);
            report.mistake(
                &path.key("listen"),
                format!("`{text}` is no address; write an IP address and a port, such as `127.0.0.1:9091`"),
            );
        }
        address
    });
    let mut bounded = |key: &str, value: Option<u64>, default: usize| {
        let Some(value) = value else { return default };
        match usize::try_from(value) {
            Ok(value) if (1..=Metrics::MOST).contains(&value) => value,
            _ => {
                let most = Metrics::MOST;
                report.mistake(&path.key(key), format!("must be from 1 to {most}"));
                default
            }
        }
    };
    let labels = entry.labels.as_ref();
    let is_on = |label: Option<bool>| label.unwrap_or(true);
    Metrics {
        listen,
        labels: labels.map_or_else(MetricLabels::default, |labels| MetricLabels {
            consumer: is_on(labels.consumer),
            model: is_on(labels.model),
            upstream_model: is_on(labels.upstream_model),
            instance: is_on(labels.instance),
        }),
        max_models: bounded("max_models", entry.max_models, Metrics::DEFAULT_MAX_MODELS),
        max_series: bounded("max_series", entry.max_series, Metrics::DEFAULT_MAX_SERIES),
        expire_s: entry.expire.map_or(Metrics::DEFAULT_EXPIRE_S, Measure::value),
    }
}
