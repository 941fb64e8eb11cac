//! Connections and calls as they come and go, whatever they are about.

use super::limits::Limits;
use super::number::Counter;
use super::{Description, Metrics};

/// What is under way, and what has been. Clones count together.
#[derive(Clone, Default)]
pub struct Traffic {
    accepted: Counter,
    closed: Counter,
    begun: Counter,
    ended: Counter,
    limits: Limits,
}

impl Traffic {
    /// Traffic that is shown: under names of ours, and under APISIX's names, which begin with `prefix`.
    pub fn shown(metrics: &Metrics, prefix: &str) -> Self {
        let traffic = Traffic::default();
        traffic.limits.show(metrics);
        let described = |name: &'static str, help| Description::new(name, help, &[]);
        let copy = || traffic.clone();
        let read = |read: Count| {
            let traffic = copy();
            move || Some(read(&traffic))
        };
        metrics.read_counter(
            described(
                "tollgate_connections_accepted_total",
                "Connections of clients that were accepted.",
            ),
            &[],
            read(|traffic| traffic.accepted.value()),
        );
        metrics.read_gauge(
            described(
                "tollgate_connections_open",
                "Connections of clients that are open.",
            ),
            &[],
            read(Traffic::open),
        );
        metrics.read_counter(
            described("tollgate_calls_begun_total", "Calls whose head has been read."),
            &[],
            read(|traffic| traffic.begun.value()),
        );
        metrics.read_gauge(
            described("tollgate_calls_in_flight", "Calls that have not ended yet."),
            &[],
            read(Traffic::in_flight),
        );
        metrics.read_gauge(
            Description::new(
                format!("{prefix}http_requests_total"),
                "Calls since the start.",
                &[],
            ),
            &[],
            read(|traffic| traffic.begun.value()),
        );
        // A connection is written to while it has a call, and waits for one otherwise. What is being read of a head has
        // not begun yet.
        let states: [(&str, Count); 6] = [
            ("accepted", |traffic| traffic.accepted.value()),
            ("active", Traffic::open),
            ("handled", |traffic| traffic.accepted.value()),
            ("reading", |_| 0),
            ("waiting", |traffic| {
                traffic.open().saturating_sub(traffic.in_flight())
            }),
            ("writing", Traffic::in_flight),
        ];
        for (state, count) in states {
            metrics.read_gauge(
                Description::new(
                    format!("{prefix}nginx_http_current_connections"),
                    "Connections of clients by state.",
                    &["state"],
                ),
                &[state],
                read(count),
            );
        }
        traffic
    }

    /// What clients ran into.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A connection was accepted. It is open until what comes of this is dropped.
    pub fn connection(&self) -> OpenConnection {
        self.accepted.add(1);
        OpenConnection(self.closed.clone())
    }

    /// A call begins.
    pub fn call_begins(&self) {
        self.begun.add(1);
    }

    /// A call has ended.
    pub fn call_ends(&self) {
        self.ended.add(1);
    }

    fn open(&self) -> u64 {
        // The smaller number first: between the two more may come and go.
        let closed = self.closed.value();
        self.accepted.value().saturating_sub(closed)
    }

    fn in_flight(&self) -> u64 {
        let ended = self.ended.value();
        self.begun.value().saturating_sub(ended)
    }
}

/// A number of traffic.
type Count = fn(&Traffic) -> u64;

/// A connection that is open as long as this is there.
pub struct OpenConnection(Counter);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_shown_under_both_names() {
        let metrics = Metrics::default();
        let traffic = Traffic::shown(&metrics, "apisix_");
        let first = traffic.connection();
        let second = traffic.connection();
        traffic.call_begins();
        traffic.call_begins();
        traffic.call_ends();
        drop(first);
        let text = metrics.text();
        for line in [
            "tollgate_connections_accepted_total 2",
            "tollgate_connections_open 1",
            "tollgate_calls_begun_total 2",
            "tollgate_calls_in_flight 1",
            "apisix_http_requests_total 2",
            r#"apisix_nginx_http_current_connections{state="active"} 1"#,
            r#"apisix_nginx_http_current_connections{state="writing"} 1"#,
            r#"apisix_nginx_http_current_connections{state="waiting"} 0"#,
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
        drop(second);
    }
}
