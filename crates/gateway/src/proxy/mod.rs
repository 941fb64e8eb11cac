//! Passes calls to servers as they are: what a route with an upstream and no AI plugin does.
//!
//! `upstream` compiles an upstream and chooses among its nodes, `headers` makes the head that a server gets, `pass`
//! tries servers until one answers, `exchange` is one such try. `passed` is the answer on its way to the client, `tunnel`
//! what a connection becomes when both sides agree to speak something else.

mod checks;
mod exchange;
mod headers;
mod node;
mod pass;
mod passed;
mod tunnel;
mod upstream;

pub(crate) use headers::remove_named_by_connection;
pub use pass::pass;
pub(crate) use passed::Passed;
pub(crate) use tunnel::Tunnel;
pub use tunnel::Tunnels;
pub use upstream::{Upstream, UpstreamSettings};
