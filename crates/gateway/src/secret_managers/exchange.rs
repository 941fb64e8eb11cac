//! One HTTP exchange with a manager: sends a request, reads a small answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method, StatusCode};

use super::fetch::FetchError;
use crate::upstream::{CallRequest, Endpoint, Pools, RequestBody, SendError, Within};

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
        let mut headers = request.headers.clone();
        headers.insert(HOST, request.endpoint.authority.clone());
        if request.method != Method::GET {
            headers.insert(CONTENT_LENGTH, request.body.len().into());
        }
        let asked = CallRequest {
            method: &request.method,
            target: request.path,
            headers: &headers,
            body: &RequestBody::from(request.body.clone()),
        };
        if !asked.is_sound() {
            return Err(FetchError::Reference("a path that can stand in an address"));
        }
        let within = Within {
            connect: self.limit,
            answer: self.limit,
        };
        let received = self
            .pools
            .send(request.endpoint, None, &asked, within, || ())
            .await
            .map_err(|error| match error {
                SendError::Late => FetchError::Late,
                SendError::Connect(_) | SendError::Broken(_) => FetchError::Unreachable(error.to_string()),
            })?;
        let (status, mut body) = (received.status, received.body);
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
