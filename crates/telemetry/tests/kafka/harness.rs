//! A hub of its own for each test, and waiting within bounds.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tollgate_telemetry::Metrics;
use tollgate_telemetry::delivery::{Hub, Pushed, Queue, Tally};
use tollgate_telemetry::kafka::{Broker, Record, Sasl, Sender, Settings};

/// How long a cluster may take for what a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A hub, stopped with the test.
pub struct Telemetry {
    pub hub: Hub,
    pub metrics: Arc<Metrics>,
}

impl Telemetry {
    pub fn start() -> Self {
        let metrics = Arc::new(Metrics::default());
        let hub = Hub::start(metrics.clone()).expect("a thread");
        Telemetry { hub, metrics }
    }

    pub fn producer(&self, settings: Settings) -> Producer {
        let limits = settings.limits();
        let connect = move || Sender::new(settings.clone(), &self.metrics);
        Producer(self.hub.queue("kafka", limits, connect))
    }
}

/// A queue whose peer is Kafka.
pub struct Producer(Queue<Record>);

impl Producer {
    pub fn send(&self, record: Record) -> Pushed {
        let bytes = record.size();
        self.0.push(record, bytes)
    }

    pub fn queue(&self) -> &Queue<Record> {
        &self.0
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.hub.flush_and_stop(Duration::ZERO);
    }
}

/// Settings that are in a hurry.
pub fn settings(brokers: &[(String, u16)], sasl: Option<&Sasl>, topic: &str) -> Settings {
    let brokers = brokers.iter().map(|(host, port)| Broker {
        host: host.clone(),
        port: *port,
        sasl: sasl.cloned(),
    });
    Settings {
        linger: Duration::from_millis(5),
        ..Settings::new(brokers.collect(), topic)
    }
}

/// A record without a key.
pub fn record(value: impl Into<String>) -> Record {
    Record::new(None, Bytes::from(value.into()))
}

/// A record with a key.
pub fn keyed(key: &str, value: impl Into<String>) -> Record {
    Record::new(Some(Bytes::from(key.to_owned())), Bytes::from(value.into()))
}

/// Waits until it is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Waits until so many records are delivered.
pub fn until_sent(producer: &Producer, records: u64) -> Tally {
    until(&format!("{records} records are delivered"), || {
        producer.queue().tally().sent >= records
    });
    producer.queue().tally()
}
