//! The objects of APISIX's Admin API: what the store keeps, one by one, and what the gateway compiles.
//!
//! An [`Object`] is the JSON value as it was accepted (nothing is filled in, so that a client which compares finds what it
//! sent) with its revisions. The typed forms beside it ([`Route`], [`Upstream`], …) are how the gateway reads a value.
//! Configurations of plugins stay JSON here: each plugin owns its type, and its schema ([`schema::of`]).

mod affected;
mod check;
mod clamped;
mod kind;
mod object;
pub mod patch;
mod plugins;
pub mod refs;
mod route;
pub mod schema;
mod shown;
mod upstream;
mod who;

pub use affected::{Affected, affected};
pub use check::{Accepted, Lua, Refused, Write, check};
pub use kind::{Kind, Place};
pub use object::{Object, ObjectKey};
pub use plugins::{Conf, Confs, GlobalRule, PluginSet};
pub use route::{OneOrMany, Route, RouteTimeout, Service};
pub use shown::{Difference, differences, hidden, may_be_secret};
pub use upstream::{HashOn, KeepalivePool, Node, Nodes, PassHost, Upstream, UpstreamScheme, UpstreamTlsConf};
pub use who::{Consumer, Credential, SecretManager, Ssl, SslClient};
