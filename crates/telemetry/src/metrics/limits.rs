//! How often a client ran into a limit of the listeners, and why its connection ended before its time.

use std::sync::Arc;

use tollgate_resources::egress;

use super::number::Counter;
use super::{Description, Metrics};

/// A limit of the listeners, by its name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Limit {
    /// Bytes of a request's head.
    MaxHeader = 1,
    /// Header lines of a request.
    MaxHeaders,
    /// Bytes of a request's target.
    MaxUri,
    /// Bytes of a request's body.
    MaxBody,
    /// Connections of clients at once.
    MaxConnections,
    /// Calls at once on one connection.
    MaxStreams,
    /// Wrong keys of one address.
    MaxWrongKeys,
    /// Time for the TLS handshake.
    HandshakeTimeout,
    /// Time for a request's head.
    HeaderTimeout,
    /// Time for a request's body.
    BodyTimeout,
    /// Time between two requests.
    IdleTimeout,
    /// Time in which a client takes nothing.
    SendTimeout,
}

/// Why a connection ended other than by one side closing it between two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ending {
    /// What came is no HTTP/1.1.
    Malformed = 1,
    /// What came breaks the rules of HTTP/2.
    Http2,
    /// More was asked of us over HTTP/2 than a client has reason to.
    Flood,
    /// The TLS handshake failed.
    Handshake,
    /// The client left, or the network did.
    Lost,
}

impl Limit {
    /// All, in the order of their numbers.
    pub const ALL: [Limit; 12] = [
        Limit::MaxHeader,
        Limit::MaxHeaders,
        Limit::MaxUri,
        Limit::MaxBody,
        Limit::MaxConnections,
        Limit::MaxStreams,
        Limit::MaxWrongKeys,
        Limit::HandshakeTimeout,
        Limit::HeaderTimeout,
        Limit::BodyTimeout,
        Limit::IdleTimeout,
        Limit::SendTimeout,
    ];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Limit::MaxHeader => "max_header",
            Limit::MaxHeaders => "max_headers",
            Limit::MaxUri => "max_uri",
            Limit::MaxBody => "max_body",
            Limit::MaxConnections => "max_connections",
            Limit::MaxStreams => "max_streams",
            Limit::MaxWrongKeys => "max_wrong_keys",
            Limit::HandshakeTimeout => "handshake_timeout",
            Limit::HeaderTimeout => "header_timeout",
            Limit::BodyTimeout => "body_timeout",
            Limit::IdleTimeout => "idle_timeout",
            Limit::SendTimeout => "send_timeout",
        }
    }

    /// The one of this number.
    pub fn of_number(number: u8) -> Option<Self> {
        Limit::ALL.into_iter().find(|limit| *limit as u8 == number)
    }
}

impl Ending {
    const ALL: [Ending; 5] = [
        Ending::Malformed,
        Ending::Http2,
        Ending::Flood,
        Ending::Handshake,
        Ending::Lost,
    ];

    fn name(self) -> &'static str {
        match self {
            Ending::Malformed => "malformed",
            Ending::Http2 => "http2_error",
            Ending::Flood => "http2_flood",
            Ending::Handshake => "tls_handshake",
            Ending::Lost => "lost",
        }
    }
}

/// Counts what clients ran into. Clones count together.
#[derive(Clone, Default)]
pub struct Limits(Arc<Counted>);

#[derive(Default)]
struct Counted {
    limits: [Counter; Limit::ALL.len()],
    endings: [Counter; Ending::ALL.len()],
    pauses: Counter,
}

impl Limits {
    /// Shows them.
    pub(super) fn show(&self, metrics: &Metrics) {
        let of_limits = || {
            let help = "How often a client ran into a limit of the listeners, by the limit's name.";
            Description::new("tollgate_limits_reached_total", help, &["limit"])
        };
        for (limit, counter) in Limit::ALL.into_iter().zip(&self.0.limits) {
            let counter = counter.clone();
            metrics.read_counter(of_limits(), &[limit.name()], move || Some(counter.value()));
        }
        let of_endings = || {
            let help = "Connections of clients that ended before their time, other than by a limit.";
            Description::new("tollgate_connections_broken_total", help, &["reason"])
        };
        for (ending, counter) in Ending::ALL.into_iter().zip(&self.0.endings) {
            let counter = counter.clone();
            metrics.read_counter(of_endings(), &[ending.name()], move || Some(counter.value()));
        }
        let help = "Connections that were not made because `egress` refuses the address.";
        metrics.read_counter(
            Description::new("tollgate_egress_refused_total", help, &[]),
            &[],
            || Some(egress::refused()),
        );
        let pauses = self.0.pauses.clone();
        let help = "How often no connection could be accepted because the system had nothing left for one.";
        metrics.read_counter(
            Description::new("tollgate_accept_pauses_total", help, &[]),
            &[],
            move || Some(pauses.value()),
        );
    }

    /// A client ran into a limit.
    pub fn reached(&self, limit: Limit) {
        if let Some(counter) = self.0.limits.get(limit as usize - 1) {
            counter.add(1);
        }
    }

    /// A connection broke.
    pub fn broke(&self, ending: Ending) {
        if let Some(counter) = self.0.endings.get(ending as usize - 1) {
            counter.add(1);
        }
    }

    /// The system had nothing left for a connection.
    pub fn paused(&self) {
        self.0.pauses.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_and_each_ending_is_counted_under_its_own_name() {
        let metrics = Metrics::default();
        let limits = Limits::default();
        limits.show(&metrics);
        for limit in Limit::ALL {
            assert_eq!(Limit::of_number(limit as u8), Some(limit));
            limits.reached(limit);
        }
        assert_eq!(Limit::of_number(0), None);
        limits.reached(Limit::SendTimeout);
        for ending in Ending::ALL {
            limits.broke(ending);
        }
        limits.paused();
        let text = metrics.text();
        for line in [
            r#"tollgate_limits_reached_total{limit="max_header"} 1"#,
            r#"tollgate_limits_reached_total{limit="send_timeout"} 2"#,
            r#"tollgate_connections_broken_total{reason="malformed"} 1"#,
            r#"tollgate_connections_broken_total{reason="lost"} 1"#,
            "tollgate_accept_pauses_total 1",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
        assert_eq!(
            text.matches("tollgate_limits_reached_total{").count(),
            Limit::ALL.len()
        );
    }
}
