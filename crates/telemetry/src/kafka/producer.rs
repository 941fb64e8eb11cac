//! The producer: a queue whose peer is Kafka.

use std::sync::Arc;

use super::record::Record;
use super::sender::Sender;
use super::settings::Settings;
use crate::delivery::{Hub, Pushed, Queue};

/// Sends records to a topic, from any thread. Clones are cheap and share everything.
///
/// What is handed over stays buffered until the brokers have it, however long they are away. Beyond the bounds of the
/// settings, records are dropped, counted (`tollgate_delivery_dropped_total`) and told in our own log. When the last clone is
/// dropped, what is buffered is still sent; after half a minute without success it is given up.
#[derive(Clone)]
pub struct Producer {
    queue: Queue<Record>,
    /// As long as somebody holds it, nothing is given up.
    _wanted: Arc<()>,
}

impl Producer {
    /// A producer on the hub's thread. `name` tells it from others in metrics and in our own log. Nothing is connected to
    /// before there is something to send.
    pub fn new(settings: Settings, name: &str, hub: &Hub) -> Producer {
        let wanted = Arc::new(());
        let limits = settings.limits();
        let settings = Arc::new(settings);
        let queue = hub.queue(name, limits, || {
            Sender::shared(settings.clone(), hub.metrics()).while_wanted(Arc::downgrade(&wanted))
        });
        Producer {
            queue,
            _wanted: wanted,
        }
    }

    /// Hands over a record. Never waits.
    ///
    /// # Errors
    /// The buffer is full, or the hub was stopped. The record is lost and counted.
    pub fn send(&self, record: Record) -> Pushed {
        let bytes = record.size();
        self.queue.push(record, bytes)
    }

    /// The queue, which tells its numbers.
    pub fn queue(&self) -> &Queue<Record> {
        &self.queue
    }
}
