//! Accepts clients: sockets, workers, TLS, and the orderly end.

mod activity;
mod arriving;
mod bind;
mod closing;
mod encrypted;
mod ending;
mod http1;
mod inside;
mod patience;
mod places;
mod spoken;
mod taking;
mod tls;
mod version;
mod worker;

pub use rustls::ServerConfig;

pub use crate::pipeline::Bounds;
pub use activity::{Activity, Limits};
pub(crate) use arriving::{Arriving, ArrivingError};
pub use bind::{BindError, bind, join};
pub use encrypted::{Encrypted, EncryptedStream};
pub use http1::scripted::requests as client_requests;
pub use http1::{ClientUpgrade, Switched};
pub use inside::{Inside, InsideBody, InsideCall, InsideError};
pub(crate) use taking::body_was_asked;
pub use tls::{ByName, Offer, ServerTlsError, Tls, server_config};
pub use worker::{Closer, Listening, Running, Settings, start};
