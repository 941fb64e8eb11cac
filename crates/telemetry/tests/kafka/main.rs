//! The producer for Kafka against brokers that are not ours: librdkafka's mock cluster, read back by kcat; and against brokers
//! that want sign-in and TLS, misbehave or lie.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod broker;
mod cluster;
mod harness;
#[path = "../../../../tests/servers/kafka.rs"]
mod kafka;
mod peers;
mod scram;
