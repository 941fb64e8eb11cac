//! Passes calls to servers as they are: what a route with an upstream and no AI plugin does.

mod upstream;

pub use upstream::{Upstream, UpstreamSettings};
