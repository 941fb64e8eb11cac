//! Accepts clients: sockets, workers, TLS, and the orderly end.

mod activity;
mod bind;
mod patience;
mod tls;
mod worker;

pub use activity::{Activity, Limits};
pub use bind::{BindError, bind};
pub use tls::{ServerTlsError, server_config};
pub use worker::{Closer, Running, Settings, start};
