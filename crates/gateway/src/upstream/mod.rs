//! Connections to providers: where they are, how to reach them, and the pool that keeps connections open.

mod answer_body;
mod body;
mod connect;
mod endpoint;
mod pool;
pub(crate) mod reach;

pub use answer_body::UpstreamBody;
pub use body::{ClientStream, Outgoing, RequestBody, WaitsFor};
pub use endpoint::{ClientIdentity, Endpoint, EndpointError, Scheme, TlsSettings, client_config};
pub use pool::{Keep, Lease, Pools, Received, SendError, Unanswered};
pub use reach::Reach;
