//! The plugins of APISIX's routes: one file each, with its configuration type, its checks and what it does.
//!
//! Adding one is its file and its line in [`PLUGINS`]. A plugin works in two phases, both before the call is answered:
//! `rewrite` finds out who calls, `access` decides whether and how the call goes on. Within a phase plugins run by
//! priority, highest first. What has to be set on the answer is put into [`Call::answer_headers`] in either phase.

mod ai_proxy;
pub mod auth;
mod basic_auth;
mod call;
mod call_variables;
mod consumer_restriction;
mod cors;
mod ip_restriction;
mod jwt_auth;
mod key_auth;
mod limit_count;
mod limit_req;
mod limits;
mod query;
mod request_id;
mod spec;
#[cfg(test)]
mod testing;
pub mod variables;

pub use ai_proxy::{AiInstance, AiPlugin};
pub use call::{Attached, Call, Flow, Key, Reply, ReplyBody};
pub use call_variables::CallVariables;
pub use jwt_auth::{JwtClaims, Verifier};
pub use spec::{Plugin, SchemaType, Scope, Setup, SharedState, Spec, Unusable};

/// All plugins the gateway knows, in any order.
pub static PLUGINS: &[&Spec] = &[
    &ai_proxy::SPEC,
    &basic_auth::SPEC,
    &consumer_restriction::SPEC,
    &cors::SPEC,
    &ip_restriction::SPEC,
    &jwt_auth::SPEC,
    &key_auth::SPEC,
    &limit_count::SPEC,
    &limit_req::SPEC,
    &request_id::SPEC,
];

/// The plugin of a name.
pub fn find(name: &str) -> Option<&'static Spec> {
    PLUGINS.iter().copied().find(|spec| spec.name == name)
}
