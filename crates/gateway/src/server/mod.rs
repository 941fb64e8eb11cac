//! Accepts clients: sockets, workers, TLS, and the orderly end.

mod bind;
mod patience;
mod tls;
mod worker;

pub use bind::{BindError, bind};
pub use tls::{ServerTlsError, server_config};
pub use worker::{Closer, Running, Settings, start};
