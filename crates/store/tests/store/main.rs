//! The store as its users see it, with real files and real processes.
#![expect(clippy::unwrap_used, reason = "helpers of tests count as tests")]

mod behaviour;
mod common;
mod crash;
mod file;
mod key;
mod model;
mod past;
mod responses_crash;
