//! One HTTP exchange with a manager: sends a request, reads a small answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method, Request, StatusCode, Uri};

use super::fetch::FetchError;
use crate::upstream::{Endpoint, Pools, RequestBody, SendError, UpstreamBody};

/// Largest answer of a manager, in bytes. Secrets themselves are at most 64 KiB with AWS and Google.
const MAX_ANSWER: usize = 1024 * 1024;

/// Makes exchanges on connections that are kept for the next.
#[derive(Default)]
pub(super) struct Exchanges(Pools);

/// Exchanges with a time limit.
#[derive(Clone, Copy)]
pub(super) struct Limited<'a> {
    pools: &'a Pools,
    limit: Duration,
}

/// What is sent.
pub(super) struct Outgoing<'a> {
    pub(super) method: Method,
    pub(super) endpoint: &'a Endpoint,
    /// Path with query, as it is sent.
    pub(super) path: &'a str,
    /// Without `host` and `content-length`.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Exchanges {
    /// Exchanges whose steps take at most `limit` each.
    pub(super) fn within(&self, limit: Duration) -> Limited<'_> {
        Limited {
            pools: &self.0,
            limit,
        }
    }

    /// Closes connections that have been idle too long.
    pub(super) fn close_idle(&self) {
        self.0.close_idle();
    }
}

impl Limited<'_> {
    /// Sends a request and reads the whole answer. Dropping the future closes the connection.
    pub(super) async fn exchange(&self, request: &Outgoing<'_>) -> Result<(StatusCode, Bytes), FetchError> {
        let uri: Uri = request
            .path
            .parse()
            .map_err(|_| FetchError::Reference("a path that can stand in an address"))?;
        let build = || {
            let mut headers = request.headers.clone();
            headers.insert(HOST, request.endpoint.authority.clone());
            if request.method != Method::GET {
                headers.insert(CONTENT_LENGTH, request.body.len().into());
            }
            let mut built = Request::new(RequestBody::from(request.body.clone()));
            *built.method_mut() = request.method.clone();
            *built.uri_mut() = uri.clone();
            *built.headers_mut() = headers;
            built
        };
        let received = self
            .pools
            .send(request.endpoint, build, self.limit, self.limit)
            .await
            .map_err(|error| match error {
                SendError::Late => FetchError::Late,
                SendError::Connect(_) | SendError::Broken(_) => FetchError::Unreachable(error.to_string()),
            })?;
        let status = received.response.status();
        let mut body = UpstreamBody::Network {
            body: received.response.into_body(),
            lease: Some(received.lease),
        };
        let mut bytes = BytesMut::new();
        while let Some(data) = body.data().await {
            bytes.extend_from_slice(&data.map_err(FetchError::Unreachable)?);
            if bytes.len() > MAX_ANSWER {
                return Err(FetchError::Unreadable("it is larger than 1 MiB"));
            }
        }
        Ok((status, bytes.freeze()))
    }
}
