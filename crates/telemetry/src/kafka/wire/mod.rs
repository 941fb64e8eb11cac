//! Kafka's protocol, as much of it as a producer needs: bytes in, bytes out, no sockets and no clocks.
//!
//! <https://kafka.apache.org/protocol> describes it. Requests are made in the last versions without "flexible" fields, which
//! all brokers since Kafka 0.11 (2017) understand. Answers are read with bounds: a length that is larger than what is left
//! of the answer is refused before anything is allocated for it.

mod batch;
mod code;
mod crc32c;
mod messages;
mod read;
mod sample;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use batch::{BatchHead, RECORD_OVERHEAD, record_batch};
pub(crate) use code::{Code, Remedy};
pub(crate) use messages::{
    ApiVersions, InitProducerId, Metadata, MetadataAnswer, MetadataPartition, Produce, ProduceAnswer,
    ProducePartition, Request, SaslAuthenticate, SaslHandshake, Versions,
};
pub(crate) use read::{Garbled, Reader};
pub use sample::read_answer;
pub(crate) use write::Writer;

/// The largest answer that is read, in bytes. A topic of ten thousand partitions takes less than one MiB.
pub(crate) const MAX_ANSWER: usize = 8 << 20;
