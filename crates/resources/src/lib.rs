//! The resource model of the gateway, and the front ends that lower what people write into it.
//!
//! ```text
//! tollgate.yaml --native--+
//!                         +--> Resources --> (gateway: snapshot, data plane)
//! rbac.json -----rbac-----+
//! config.yaml --apisix----> Server, Admin, Deployment
//! apisix.yaml --apisix----> objects, as the Admin API takes them
//!
//! adc.yaml ------adc------> objects of the Admin API --> (command line: sync, diff)
//! manifests --kubernetes--> objects of the Admin API --> (command line: convert)
//! ```
//!
//! This crate knows what a configuration means and how to say what is wrong with one: all mistakes at once, each with its
//! place and what is allowed. It refuses to know sockets, clocks, files and the process environment; contents of files and
//! the look-up of variables are passed in.

pub mod adc;
pub mod apisix;
mod check;
pub mod egress;
mod glob;
pub mod governance;
mod json;
pub mod kubernetes;
mod lowered;
mod mistake;
pub mod model;
mod named;
mod native;
mod network;
pub mod objects;
mod rbac;
mod report;
mod secret;
mod suggest;
mod tree;
mod yaml;

pub use glob::Glob;
pub use json::Json;
pub use lowered::Lowered;
pub use mistake::Mistake;
pub use model::Resources;
pub use named::Named;
pub use native::{QUICKSTART, QUICKSTART_NAME, access_log_format, lower_native, native_schema};
pub use network::{InvalidNetwork, Networks};
pub use rbac::lower_rbac;
pub use secret::{MissingVariable, NamelessReference, Secret, SecretRef};
pub use yaml::{DumpError, to_yaml};
