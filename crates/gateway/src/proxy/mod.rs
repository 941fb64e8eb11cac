//! Passes calls to servers as they are: what a route with an upstream and no AI plugin does.

mod pass;
mod upstream;

pub use pass::pass;
pub use upstream::{Upstream, UpstreamSettings};
