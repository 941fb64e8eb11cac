//! APISIX's ways of saying what a gateway does: its Admin API, its files and its plugins, against the real binary.

mod adc;
mod administration;
mod balancing;
mod beside_native;
mod body_limits;
mod consumers;
mod documents;
mod errors;
mod examples;
mod health;
mod hedging;
mod kubernetes;
mod multi;
mod node;
mod past;
mod planted_secrets;
mod providers;
mod reaching;
mod semantic;
mod shared_limits;
mod sign_in;
mod standalone;
mod storing;
mod token_limits;
mod upstream_health;
mod vendors;

pub use node::{ADMIN_KEY, CHAT, Node, NodeSetup, chat_route};
