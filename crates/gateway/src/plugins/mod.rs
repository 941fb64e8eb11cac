//! The plugins of APISIX's routes: one file each, with its configuration type, its checks and what it does.
//!
//! Adding one is its file and its line in [`PLUGINS`]. A plugin works in two phases, both before the call is answered:
//! `rewrite` finds out who calls, `access` decides whether and how the call goes on. Within a phase plugins run by
//! priority, highest first. What has to be set on the answer is put into [`Call::answer_headers`] in either phase.

mod call;
mod spec;

pub use call::{Attached, Call, Flow, Key, Reply};
pub use spec::{Plugin, SchemaType, Scope, Setup, Spec, Unusable};

/// All plugins the gateway knows, in any order.
pub static PLUGINS: &[&Spec] = &[];

/// The plugin of a name.
pub fn find(name: &str) -> Option<&'static Spec> {
    PLUGINS.iter().copied().find(|spec| spec.name == name)
}
