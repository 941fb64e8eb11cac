//! Calls over a connection to nobody, for tests and fuzz targets.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, Method};

use super::{Broken, CallRequest, Connection};
use crate::http1::scripted::Scripted;
use crate::upstream::RequestBody;

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// The status.
    pub status: u16,
    /// The headers, as text.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// Why it is not complete.
    pub broken: Option<String>,
    /// Whether another request may be sent; not if more comes that nobody asked for.
    pub is_free: bool,
}

/// Sends a request with an empty body and reads the whole answer, of what is there now. `None` if that is not enough.
///
/// # Errors
/// There is no answer.
pub fn exchange(connection: &mut Connection<Scripted>, method: &Method) -> Option<Result<Exchanged, Broken>> {
    let asked = CallRequest {
        method,
        target: "/",
        headers: &HeaderMap::new(),
        body: &RequestBody::default(),
    };
    let all = async {
        let answered = connection.send(&asked).await?;
        let (mut body, mut broken) = (Vec::new(), None);
        while let Some(bytes) = poll_fn(|cx| connection.poll_body(cx)).await {
            match bytes {
                Ok(bytes) => body.extend_from_slice(&bytes),
                Err(error) => {
                    broken = Some(error.to_string());
                    break;
                }
            }
        }
        let headers = answered.headers.iter();
        let text = |value: &http::HeaderValue| value.as_bytes().escape_ascii().to_string();
        Ok(Exchanged {
            status: answered.status.as_u16(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            is_free: broken.is_none() && connection.is_free() && connection.stream.reads.is_empty(),
            body,
            broken,
        })
    };
    match pin!(all).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(exchanged) => Some(exchanged),
        Poll::Pending => None,
    }
}
