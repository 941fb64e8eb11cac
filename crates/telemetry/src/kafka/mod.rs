//! A producer for Kafka: records go to the leaders of a topic's partitions.
//!
//! A [`Sender`] is the peer of a queue of [`delivery`](crate::delivery), which bounds and counts what waits
//! ([`Settings::limits`]). It knows the cluster: it asks who leads which partition, makes one batch for each partition, has
//! requests under way at all brokers at once, and knows what helps against each of their errors.
//!
//! What a record means, and where settings come from, is not known here. The protocol is in `wire`, sign-in in `scram`.

mod cluster;
mod connection;
mod error;
mod identity;
mod partition;
mod plan;
mod record;
mod scram;
mod sender;
mod settings;
mod wire;

pub use error::KafkaError;
pub use partition::Partitioner;
pub use record::Record;
#[doc(hidden)]
pub use scram::fuzz_scram;
pub use sender::Sender;
pub use settings::{Acks, Broker, Mechanism, Sasl, Settings};
#[doc(hidden)]
pub use wire::read_answer;
