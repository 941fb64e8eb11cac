//! What is counted of the health of one instance.

use tollgate_policy::health::{Found, Reason, Rules};
use tollgate_telemetry::Metrics;
use tollgate_telemetry::metrics::{Counter, Gauge};

/// Labels of all that is counted of an instance: whose it is, such as `route/1`, and its name.
const INSTANCE: &[&str] = &["owner", "instance_name"];

/// The numbers of one instance.
pub(super) struct Meters {
    name: String,
    healthy: Gauge,
    /// In the order of [`Reason::ALL`].
    ejections: [Counter; Reason::ALL.len()],
    withheld: Counter,
    /// In the order of [`RESULTS`].
    probes: [Counter; RESULTS.len()],
}

/// How checks end.
const RESULTS: [&str; 5] = ["success", "bad_status", "other_status", "connection", "timeout"];

impl Meters {
    pub(super) fn new(metrics: &Metrics, owner: &str, instance: &str) -> Self {
        Meters {
            name: format!("{owner}/{instance}"),
            healthy: metrics.gauge(
                "tollgate_instance_healthy",
                "Whether an instance takes calls as usual (1), or is ejected, probing or found ill by checks (0).",
                INSTANCE,
                &[owner, instance],
            ),
            ejections: Reason::ALL.map(|reason| {
                metrics.counter(
                    "tollgate_instance_ejections_total",
                    "How often calls had an instance ejected, by cause.",
                    &["owner", "instance_name", "cause"],
                    &[owner, instance, reason.name()],
                )
            }),
            withheld: metrics.counter(
                "tollgate_instance_ejections_withheld_total",
                "Failures for which an instance would have been ejected, had not enough of its pool been already.",
                INSTANCE,
                &[owner, instance],
            ),
            probes: RESULTS.map(|result| {
                metrics.counter(
                    "tollgate_instance_probes_total",
                    "Active checks of an instance's addresses, by result.",
                    &["owner", "instance_name", "result"],
                    &[owner, instance, result],
                )
            }),
        }
    }

    /// The instance's name in the log: whose it is and its own.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn show(&self, is_healthy: bool) {
        self.healthy.set(i64::from(is_healthy));
    }

    pub(super) fn ejected(&self, reason: Reason) {
        let ejections = Reason::ALL.iter().zip(&self.ejections);
        for (_, counter) in ejections.filter(|(of, _)| **of == reason) {
            counter.add(1);
        }
    }

    pub(super) fn withheld(&self) {
        self.withheld.add(1);
    }

    pub(super) fn probed(&self, found: Found, rules: &Rules) {
        let [success, bad_status, other_status, connection, timeout] = &self.probes;
        let counter = match found {
            Found::Connected => success,
            Found::Status(status) if rules.good_statuses.contains(&status) => success,
            Found::Status(status) if rules.bad_statuses.contains(&status) => bad_status,
            Found::Status(_) => other_status,
            Found::Broken => connection,
            Found::Late => timeout,
        };
        counter.add(1);
    }
}
