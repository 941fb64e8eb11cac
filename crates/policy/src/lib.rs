//! Decisions that need no I/O: which route a path belongs to, who calls, which instances are tried in which order.
//!
//! Time and randomness are passed in. This crate refuses to know sockets, HTTP and files.

mod balance;
pub mod expr;
mod keys;
mod network;
mod plan;
pub mod router;
mod routes;
mod sharded;

pub use balance::smooth_sequence;
pub use keys::KeyIndex;
pub use network::{InvalidNetwork, Networks};
pub use plan::order;
pub use routes::RouteTable;
pub use sharded::ShardedMap;
