//! Connections to providers: where they are, how to reach them, and the pool that keeps connections open.

mod answer_body;
mod body;
mod calls;
mod connect;
mod endpoint;
pub(crate) mod http1;
mod http2;
mod names;
mod passed;
mod pool;
pub(crate) mod reach;
mod shelf;

pub use answer_body::UpstreamBody;
pub use body::{ClientStream, Outgoing, RequestBody, WaitsFor};
pub use calls::{Received, SendError, Within};
pub use endpoint::{ClientIdentity, Endpoint, EndpointError, Scheme, TlsSettings, client_config};
pub use http1::CallRequest;
pub use passed::{Lease, Unanswered};
pub use pool::{Keep, Pools};
pub use reach::Reach;
