//! Decisions that need no I/O: which route a path belongs to, who calls, which instances are tried in which order.
//!
//! Time and randomness are passed in. This crate refuses to know sockets, HTTP and files.

pub mod balance;
pub mod cost;
pub mod expr;
mod first_token;
pub mod health;
mod keys;
mod network;
mod plan;
mod retry_budget;
pub mod router;
mod routes;
mod sharded;

pub use balance::smooth_sequence;
pub use first_token::{FirstTokenTimes, HedgeBudget};
pub use keys::KeyIndex;
pub use network::{InvalidNetwork, Networks};
pub use plan::order;
pub use retry_budget::{RetryBudget, RetryLimits};
pub use routes::RouteTable;
pub use sharded::ShardedMap;
