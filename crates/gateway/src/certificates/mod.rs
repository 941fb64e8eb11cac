//! Certificates that come as objects (`ssl`): what is shown to a client that asks for a name, and what is asked of it.
//!
//! It knows names, keys and who vouches for clients. It refuses to know sockets: [`crate::server`] asks it during the
//! handshake, and the pipeline asks it again, because a call may name another host than the handshake did.

mod check;
mod clients;
mod index;
mod pem;
mod served;

pub use check::check_ssl;
pub use clients::Demand;
pub use index::Certificates;
pub use served::{Handshake, Served};
