//! The Admin API: APISIX's, so that its tools (curl, ADC, the ingress controller) work unchanged.
//!
//! ```text
//! request -> address, key -> path, method -> body -> checks -> store -> data plane -> answer
//!            auth.rs         dispatch.rs     body.rs check.rs  objects.rs / standalone.rs
//! ```
//!
//! A write is answered when it is durable and in effect: one lock is held from its checks until the data plane knows it, and
//! it is finished even when its client goes away. This crate knows APISIX's paths, statuses and texts. It refuses to know
//! what an object does: schemas and rules of objects come from `tollgate-resources`, those of plugins from the gateway.

mod actor;
mod admin;
mod answer;
mod audit;
mod auth;
mod beyond;
mod body;
mod check;
mod code;
mod condition;
mod dispatch;
mod document;
mod duplicates;
mod errors;
mod events;
mod files;
mod foreign;
#[doc(hidden)]
pub mod fuzzing;
mod guarded;
mod list;
mod live;
mod log;
mod node;
mod objects;
mod observe;
mod oidc;
mod openapi;
mod overview;
mod playground;
mod plugins;
mod query;
mod registry;
mod schema;
mod secured;
mod server;
mod sessions;
mod settings;
mod standalone;
mod status;
mod target;
mod time;
mod ui;
mod usage;
mod v1;

pub use actor::{Actor, Via};
pub use admin::{Admin, DataPlane, Observed, Parts};
pub use files::refusals;
pub use log::LogLines;
pub use node::{Node, reachable};
pub use observe::{Observation, serve_observed, statuses_of_addresses};
pub use oidc::OidcSettings;
pub use openapi::document as openapi_document;
pub use registry::CheckVars;
pub use server::{Client, Pausable, TlsListener, router, serve};
pub use settings::{
    APISIX_VERSION, BODY_LIMIT, Key, Mode, Network, NoNetwork, Role, SessionLimits, Settings,
};
pub use status::{serve_status, status_router};
pub use v1::kept_standings;
