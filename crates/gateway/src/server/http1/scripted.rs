//! Requests over a connection from nobody, for tests and fuzz targets.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;

use super::body::Http1Body;
use super::wire::{Partial, Socket, Stream, Wire};
use crate::http1::scripted::Scripted;
use crate::server::activity::{Activity, Limits, TimedSocket};
use crate::server::closing::{Asked, Closing};
use crate::server::patience::Patient;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A request that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The method, the target and the version.
    pub line: String,
    /// The headers, as text.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// Why it is not complete.
    pub broken: Option<String>,
}

/// What a client has said.
#[derive(Debug, PartialEq, Eq)]
pub struct Requests {
    /// The requests, in their order.
    pub told: Vec<Told>,
    /// Why there are no more of them; `None` if the client has left.
    pub refused: Option<String>,
}

/// A socket with this behind it. Needs a runtime, for the limits of waiting.
pub(super) fn socket(stream: impl Stream + 'static) -> Socket {
    let activity = Activity::default();
    let patient = Patient::new(Box::new(stream) as Box<dyn Stream>, activity.clone(), DAY);
    let limits = Limits { idle: DAY, head: DAY };
    TimedSocket::new(patient, activity, limits, None)
}

/// Reads all requests that come in pieces of `step` bytes before the connection is closed.
pub fn requests(bytes: &[u8], step: usize) -> Requests {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    // Only a test or a fuzzer calls it, which may end by it.
    #[expect(clippy::expect_used)]
    let runtime = runtime.expect("a runtime");
    let _entered = runtime.enter();
    let wire = Wire::new(socket(Scripted::cut(bytes, step)), false);
    let mut asked = Asked::new(Closing::new().open());
    let mut cx = Context::from_waker(Waker::noop());
    let mut told = Vec::new();
    loop {
        let mut partial = Partial::new(usize::MAX, usize::MAX);
        let head = match wire.poll_head(&mut cx, &mut partial, &mut asked) {
            Poll::Ready(Ok(Some(head))) => head,
            Poll::Ready(Ok(None)) | Poll::Pending => return Requests { told, refused: None },
            Poll::Ready(Err(error)) => {
                let refused = Some(error.to_string());
                return Requests { told, refused };
            }
        };
        let (parts, ()) = head.request.into_parts();
        let (mut body, mut broken) = (BytesMut::new(), None);
        let mut arriving = Http1Body::new(wire.clone());
        if let Some(whole) = arriving.take_whole() {
            body.extend_from_slice(&whole);
        }
        loop {
            match pin!(arriving.read_into(&mut body)).poll(&mut cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) | Poll::Pending => break,
                Poll::Ready(Err(error)) => {
                    broken = Some(error.to_string());
                    break;
                }
            }
        }
        let text = |value: &http::HeaderValue| value.as_bytes().escape_ascii().to_string();
        let ends = broken.is_some() || !head.keeps;
        told.push(Told {
            line: format!("{} {} {:?}", parts.method, parts.uri, parts.version),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            body: body.to_vec(),
            broken,
        });
        if ends {
            return Requests { told, refused: None };
        }
    }
}
