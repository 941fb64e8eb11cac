//! Numbers about kept conversations.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tollgate_store::counters::Observer as ConnectionObserver;
use tollgate_store::responses::{Observer, Refusal};
use tollgate_telemetry::Metrics;
use tollgate_telemetry::metrics::{Counter, Gauge};

/// The word for answers that could not be read.
const NOT_UNDERSTOOD: &str = "not_understood";

/// Numbers about kept conversations.
pub(super) struct Meters {
    kept: Counter,
    refused: [(Refusal, Counter); 3],
    not_understood: Counter,
    evicted: Counter,
    expired: Counter,
    bytes: Gauge,
    has_evicted: AtomicBool,
    /// Whether the last answer was not kept, so that the log is told only once.
    has_refused: AtomicBool,
}

impl Meters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let refused = |reason: &str| {
            metrics.counter(
                "tollgate_responses_refused_total",
                "Records of conversations that were not kept.",
                &["reason"],
                &[reason],
            )
        };
        let total = |name, help| metrics.counter(name, help, &[], &[]);
        Meters {
            kept: total(
                "tollgate_responses_kept_total",
                "Records of conversations that were kept.",
            ),
            refused: Refusal::ALL.map(|why| (why, refused(why.name()))),
            not_understood: refused(NOT_UNDERSTOOD),
            evicted: total(
                "tollgate_responses_evicted_total",
                "Records of conversations that made room for others before their time.",
            ),
            expired: total(
                "tollgate_responses_expired_total",
                "Records of conversations whose time was over.",
            ),
            bytes: metrics.gauge(
                "tollgate_responses_bytes",
                "Bytes of kept conversations in the file or in memory.",
                &[],
                &[],
            ),
            has_evicted: AtomicBool::new(false),
            has_refused: AtomicBool::new(false),
        }
    }

    /// An answer could not be read.
    pub(super) fn not_understood(&self) {
        self.not_understood.add(1);
        self.warn(NOT_UNDERSTOOD);
    }

    fn warn(&self, reason: &str) {
        if !self.has_refused.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "a turn is not kept; its conversation cannot be continued");
        }
    }
}

impl Observer for Meters {
    fn kept(&self, records: u64) {
        self.kept.add(records);
        if self.has_refused.load(Ordering::Relaxed) {
            self.has_refused.store(false, Ordering::Relaxed);
        }
    }

    fn refused(&self, why: Refusal, records: u64) {
        // The store has told the log why the disk or Redis does not work.
        if why != Refusal::Failed {
            self.warn(why.name());
        }
        if let Some((_, counter)) = self.refused.iter().find(|(refusal, _)| *refusal == why) {
            counter.add(records);
        }
    }

    fn evicted(&self, records: u64) {
        self.evicted.add(records);
        if !self.has_evicted.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the space for conversations is used up: the oldest turns of whoever has most are removed; responses.max_size sets it"
            );
        }
    }

    fn expired(&self, records: u64) {
        self.expired.add(records);
    }

    fn holds(&self, bytes: u64) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

/// Numbers about the connections to Redis.
pub(super) fn of_redis(metrics: Arc<Metrics>) -> Arc<dyn ConnectionObserver> {
    Arc::new(OfRedis {
        metrics,
        answering: Mutex::default(),
    })
}

struct OfRedis {
    metrics: Arc<Metrics>,
    /// By server; they are shown as long as they are kept.
    answering: Mutex<BTreeMap<String, Gauge>>,
}

impl ConnectionObserver for OfRedis {
    fn answering(&self, server: &str, is_answering: bool) {
        let mut answering = self.answering.lock().unwrap_or_else(PoisonError::into_inner);
        let gauge = answering.entry(server.to_owned()).or_insert_with(|| {
            self.metrics.gauge(
                "tollgate_responses_redis_answering",
                "Whether a Redis server that conversations are kept in answers.",
                &["redis"],
                &[server],
            )
        });
        gauge.set(i64::from(is_answering));
    }

    fn undecided(&self) {}

    fn dropped(&self, _: u64) {}
}
