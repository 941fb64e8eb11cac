//! The Admin API from outside: requests in, statuses, texts and headers out, and what the data plane is told.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail the test, and take values so that calls read well"
)]

mod access;
mod common;
mod consumers;
mod dashboard;
mod documents;
mod history;
mod lists;
mod objects;
mod observed;
mod patches;
mod plugins;
mod served;
mod signed_in;
mod usage;
