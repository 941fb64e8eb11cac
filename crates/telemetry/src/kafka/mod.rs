//! A producer for Kafka: records go to the leaders of a topic's partitions, and stay buffered until these have them.
//!
//! A [`Producer`] is a queue of [`delivery`](crate::delivery) whose peer is a [`Sender`]. The queue bounds and counts what
//! waits. The sender knows the cluster: it asks who leads which partition, makes one batch for each partition, has
//! requests under way at all brokers at once, and knows what helps against each of their errors. Whoever wants to know at
//! once how it went gives a sender to a queue of its own.
//!
//! What a record means, and where settings come from, is not known here. The protocol is in `wire`, sign-in in `scram`.

mod cluster;
mod connection;
mod error;
mod identity;
mod partition;
mod plan;
mod producer;
mod record;
mod scram;
mod sender;
mod settings;
mod wire;

pub use error::KafkaError;
pub use partition::Partitioner;
pub use producer::Producer;
pub use record::Record;
pub use sender::Sender;
pub use settings::{Acks, Broker, Mechanism, Sasl, Settings};
#[doc(hidden)]
pub use wire::read_answer;
