//! The body of a provider's answer, wherever it comes from.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::calls::CallBody;
use super::http2::SharedBody;
use crate::providers::simulated::Script;

/// The body of an answer. Dropping it before its end closes the connection, so that the provider stops working.
pub enum UpstreamBody {
    /// From a connection.
    Call(CallBody),
    /// From a connection that others use too. Boxed: few answers come so.
    Shared(Box<SharedBody>),
    /// From the built-in provider.
    Simulated(Script),
    /// Read already; `None` once it was taken.
    Read(Option<Bytes>),
}

impl UpstreamBody {
    /// Takes what is left of it; nothing is left here.
    pub fn take(&mut self) -> UpstreamBody {
        std::mem::replace(self, UpstreamBody::Read(None))
    }

    /// The next bytes; `None` at the end.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        match self {
            UpstreamBody::Call(body) => body.poll_data(cx),
            UpstreamBody::Shared(body) => body.poll_data(cx),
            UpstreamBody::Simulated(script) => script.poll_data(cx),
            UpstreamBody::Read(bytes) => Poll::Ready(bytes.take().map(Ok)),
        }
    }

    /// The next bytes; `None` at the end.
    pub async fn data(&mut self) -> Option<Result<Bytes, String>> {
        std::future::poll_fn(|cx| self.poll_data(cx)).await
    }
}
