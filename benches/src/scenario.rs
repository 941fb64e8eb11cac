//! What is measured, and what is good enough.

use std::time::Duration;

use crate::load::Pace;
use crate::profile::Profile;
use crate::targets::Wire;

/// One thing to measure.
#[derive(Clone)]
pub struct Scenario {
    /// Its short name.
    pub id: String,
    /// What it is, in a line.
    pub what: &'static str,
    /// How the provider answers.
    pub profile: Profile,
    /// How much is asked.
    pub pace: Pace,
    /// Whether a stream is asked for.
    pub is_stream: bool,
    /// Bytes that make the request larger.
    pub padding: usize,
    /// Whether the gateway translates to Anthropic's format; nginx passes the untranslated call then.
    pub translates: bool,
    /// What the ratio to nginx may be at most.
    pub limits: Limits,
}

/// What the gateway is held to, as ratios to nginx in the same run unless said otherwise.
#[derive(Clone, Copy, Default)]
pub struct Limits {
    /// Processor time for one answer, or for one piece of a stream.
    pub cpu: Option<f64>,
    /// The same with nothing switched on.
    pub cpu_bare: Option<f64>,
    /// Answers per second, at least.
    pub throughput: Option<f64>,
    /// Memory of one open stream, in KiB (no ratio).
    pub stream_kib: Option<f64>,
    /// Delay of a piece, 99 of 100.
    pub piece_p99: Option<f64>,
    /// What may be added to the median of a direct call, in milliseconds (no ratio).
    pub added_p50_ms: Option<f64>,
    /// What may be added to 99 of 100, in milliseconds (no ratio).
    pub added_p99_ms: Option<f64>,
}

impl Scenario {
    /// Pieces of each stream.
    pub fn pieces(&self) -> Option<u32> {
        self.is_stream.then_some(self.profile.chunks)
    }

    /// How long a run takes beside the time asked for: streams that are slow have to begin, over TLS with a handshake each.
    pub fn warm_up(&self, wire: Wire) -> Duration {
        match (self.profile.chunk_delay_us, wire) {
            (0, _) => Duration::from_millis(500),
            (_, Wire::Plain) => Duration::from_millis(1500),
            (_, Wire::Tls) => Duration::from_millis(4000),
        }
    }
}

/// All of them, over TLS on both sides: held to the same ratios, to nginx over TLS.
pub fn all_over_tls() -> Vec<Scenario> {
    let over_tls = |scenario: Scenario| Scenario {
        id: format!("{}-tls", scenario.id),
        limits: Limits {
            // What is no ratio is for plain HTTP.
            stream_kib: None,
            added_p50_ms: None,
            added_p99_ms: None,
            ..scenario.limits
        },
        ..scenario
    };
    all().into_iter().map(over_tls).collect()
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    let fast = Profile::default();
    let none = Limits::default();
    vec![
        Scenario {
            id: "S4".to_owned(),
            what: "1,000 slow streams at once, 50 pieces each, 20 ms apart",
            profile: Profile {
                chunks: 50,
                chunk_delay_us: 20_000,
                ..fast
            },
            pace: Pace::Connections(1000),
            is_stream: true,
            padding: 100,
            translates: false,
            limits: Limits {
                cpu: Some(1.3),
                stream_kib: Some(20.0),
                piece_p99: Some(1.0),
                ..none
            },
        },
        Scenario {
            id: "S1".to_owned(),
            what: "small chat, 32 connections",
            profile: fast,
            pace: Pace::Connections(32),
            is_stream: false,
            padding: 100,
            translates: false,
            limits: Limits {
                cpu: Some(1.35),
                cpu_bare: Some(1.2),
                throughput: Some(0.75),
                ..none
            },
        },
        Scenario {
            id: "S2".to_owned(),
            what: "request of 200 KiB, 16 connections",
            profile: Profile {
                answer_bytes: 1600,
                ..fast
            },
            pace: Pace::Connections(16),
            is_stream: false,
            padding: 200 * 1024,
            translates: false,
            limits: Limits {
                cpu: Some(1.1),
                ..none
            },
        },
        Scenario {
            id: "S3".to_owned(),
            what: "streams of 200 pieces at full speed, 16 connections",
            profile: fast,
            pace: Pace::Connections(16),
            is_stream: true,
            padding: 100,
            translates: false,
            limits: Limits {
                cpu: Some(1.3),
                ..none
            },
        },
        Scenario {
            id: "S5a".to_owned(),
            what: "OpenAI's client, Anthropic's provider: small chat",
            profile: fast,
            pace: Pace::Connections(32),
            is_stream: false,
            padding: 100,
            translates: true,
            limits: Limits {
                cpu: Some(2.0),
                ..none
            },
        },
        Scenario {
            id: "S5b".to_owned(),
            what: "OpenAI's client, Anthropic's provider: streams of 200 pieces",
            profile: fast,
            pace: Pace::Connections(16),
            is_stream: true,
            padding: 100,
            translates: true,
            limits: Limits {
                cpu: Some(1.3),
                ..none
            },
        },
        Scenario {
            id: "S6".to_owned(),
            what: "1,000 requests per second, the provider thinks for 5 ms",
            profile: Profile {
                think_us: 5_000,
                ..fast
            },
            pace: Pace::Rate(1000),
            is_stream: false,
            padding: 100,
            translates: false,
            limits: Limits {
                added_p50_ms: Some(0.10),
                added_p99_ms: Some(0.5),
                ..none
            },
        },
    ]
}
