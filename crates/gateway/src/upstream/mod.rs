//! Connections to providers: where they are, how to reach them, and the pool that keeps connections open.

mod answer_body;
mod body;
mod connect;
mod endpoint;
mod pool;
mod reach;

pub use answer_body::UpstreamBody;
pub use body::RequestBody;
pub use endpoint::{Endpoint, EndpointError, Scheme, TlsSettings};
pub use pool::{Lease, Pools, Received, SendError};
pub use reach::Reach;
