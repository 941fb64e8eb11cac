//! Decisions that need no I/O: which route a path belongs to, who calls, which instance of a pool is tried next.
//!
//! Time and randomness are passed in. This crate refuses to know sockets, HTTP and files.

pub mod balance;
pub mod cost;
pub mod expr;
mod first_token;
pub mod health;
mod keys;
mod retry_budget;
pub mod router;
mod routes;
mod sharded;

pub use first_token::{FirstTokenTimes, HedgeBudget};
pub use keys::KeyIndex;
pub use retry_budget::{RetryBudget, RetryLimits};
pub use routes::RouteTable;
pub use sharded::ShardedMap;
pub use tollgate_resources::{InvalidNetwork, Networks};
