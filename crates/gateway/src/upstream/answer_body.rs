//! The body of a provider's answer, wherever it comes from.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;

use super::pool::Lease;
use crate::providers::simulated::Script;

/// The body of an answer. Dropping it before its end closes the connection, so that the provider stops working.
pub enum UpstreamBody {
    /// From a connection.
    Network {
        /// The bytes.
        body: Incoming,
        /// The connection; taken when the body was read to its end.
        lease: Option<Lease>,
    },
    /// From the built-in provider.
    Simulated(Script),
    /// Read already; `None` once it was taken.
    Read(Option<Bytes>),
}

impl UpstreamBody {
    /// The next bytes; `None` at the end. At the end the connection goes back to its pool.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        match self {
            UpstreamBody::Simulated(script) => script.poll_data(cx),
            UpstreamBody::Read(bytes) => Poll::Ready(bytes.take().map(Ok)),
            UpstreamBody::Network { body, lease } => loop {
                match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.to_string()))),
                    Poll::Ready(None) => {
                        if let Some(lease) = lease.take() {
                            lease.give_back();
                        }
                        return Poll::Ready(None);
                    }
                }
            },
        }
    }

    /// The next bytes; `None` at the end.
    pub async fn data(&mut self) -> Option<Result<Bytes, String>> {
        std::future::poll_fn(|cx| self.poll_data(cx)).await
    }
}
