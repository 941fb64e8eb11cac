//! APISIX's own files, taken unchanged.
//!
//! ```text
//! conf/config.yaml  --lower_bootstrap-->   Server, Admin, Deployment   (sockets, keys, where the configuration comes from)
//! conf/apisix.yaml  --lower_standalone-->  objects                     (routes, consumers, …, as the Admin API takes them)
//! ```
//!
//! This module knows the keys of both files and what they mean here. What APISIX knows and we do not need is told in a
//! note, never refused; what an object may contain is not decided here. [`detect`] tells which front end a file is for.

mod admin;
mod bootstrap;
mod deployment;
mod detect;
mod generated;
mod https;
mod ignored;
mod places;
mod prometheus;
mod server;
mod standalone;
#[cfg(test)]
mod tests;
mod units;
mod variables;
mod view;

pub use bootstrap::{Bootstrap, Own, log_format_line, lower_bootstrap};
pub use detect::{FileKind, detect};
pub use generated::with_admin_key;
pub use standalone::{Standalone, lower_standalone};

/// Looks up an environment variable.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;
