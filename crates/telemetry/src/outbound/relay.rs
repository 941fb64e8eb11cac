//! One request on a connection of its own, whose answer is passed on while it comes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::client::Driver;
use super::connect::{Place, connect};
use super::error::{OutboundError, with_causes};

/// Sends a request over HTTP/1.1 and gives the answer as soon as its head is there. The connection ends with the answer's
/// body, also when that is dropped in the middle.
///
/// # Errors
/// There is no connection within `within`, or no head of an answer.
pub async fn relay(
    place: &Place,
    within: Duration,
    request: Request<Full<Bytes>>,
) -> Result<Response<Relayed>, OutboundError> {
    let broken = |error: hyper::Error| OutboundError::Broken {
        place: place.to_string(),
        reason: with_causes(&error),
        handed_over: true,
    };
    let stream = connect(place, within).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = Driver::start(connection);
    let answer = sender.send_request(request).await.map_err(broken)?;
    Ok(answer.map(|body| Relayed {
        body,
        _driver: driver,
    }))
}

/// The body of an answer that is passed on.
pub struct Relayed {
    body: Incoming,
    _driver: Driver,
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
