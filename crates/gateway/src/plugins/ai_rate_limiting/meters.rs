//! Numbers about limits of tokens, for Prometheus.

use tollgate_telemetry::Metrics;
use tollgate_telemetry::metrics::Counter;

/// Numbers about the limits of one object.
#[derive(Default)]
pub(super) struct Meters {
    refused: Counter,
    stated: Counter,
    estimated: Counter,
}

impl Meters {
    /// Those of an object, such as `route/1`.
    pub(super) fn new(metrics: &Metrics, object: &str) -> Self {
        let charged = |usage: &str| {
            metrics.counter(
                "tollgate_limit_tokens_charged_total",
                "Tokens charged to limits: as providers have stated them, or by our estimate.",
                &["object", "usage"],
                &[object, usage],
            )
        };
        Meters {
            refused: metrics.counter(
                "tollgate_limit_tokens_refused_total",
                "Times a limit of tokens had nothing left for a call, which was refused or went to another instance.",
                &["object"],
                &[object],
            ),
            stated: charged("stated"),
            estimated: charged("estimated"),
        }
    }

    /// A limit has nothing left for a call.
    pub(super) fn refused(&self) {
        self.refused.add(1);
    }

    /// So much was charged for an attempt.
    pub(super) fn charged(&self, cost: u64, is_estimate: bool) {
        let counter = if is_estimate {
            &self.estimated
        } else {
            &self.stated
        };
        counter.add(cost);
    }
}
