//! Decisions that need no I/O: which route a path belongs to, who calls, which instances are tried in which order.
//!
//! Time and randomness are passed in. This crate refuses to know sockets, HTTP and files.

mod balance;
mod keys;
mod plan;
mod routes;
mod sharded;

pub use balance::smooth_sequence;
pub use keys::KeyIndex;
pub use plan::order;
pub use routes::RouteTable;
pub use sharded::ShardedMap;
