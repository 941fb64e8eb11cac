//! A client's connection of HTTP/1: requests in, answers out, one at a time.
//!
//! The HTTP library could do it too, but keeps two buffers of 8 KiB for each connection, and reads a body piece by piece, which
//! are joined then (docs/performance.md). Here nothing is kept for a connection that waits: bytes are read into a buffer that
//! the thread has, a head is copied out of it once, and a body is read to where it is needed. A call is served within the
//! task of its connection; when the client leaves, the call is dropped.

mod answer;
mod body;
mod date;
mod head;
pub(crate) mod scripted;
mod upgrade;
mod wire;

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::header::UPGRADE;
use http::{Response, StatusCode};
use serde_json::json;
use thiserror::Error;
use tokio::io::AsyncWrite;

pub(super) use self::head::Refused;
pub use body::{BodyError, Http1Body};
pub use upgrade::{ClientUpgrade, Switched};
pub(super) use wire::{Stream, Wire};

use self::answer::Asks;
use self::head::Head;
use self::upgrade::Promised;
use self::wire::Partial;
use super::arriving::Arriving;
use super::closing::Asked;
use crate::http1::scratch::poll_read;
use crate::pipeline::{AnswerBody, Bounds, Peer, Worker, serve};

/// The least that a head may have, in bytes, whatever the limit: with less, no client could be told what is wrong.
const LEAST_HEAD: usize = 8192;

/// How long a client may go on sending what nobody reads, after its last answer. To close at once would make its system throw
/// away the answer.
const LINGER: Duration = Duration::from_secs(2);

/// Why a connection ended before its time.
#[derive(Debug, Error)]
pub(super) enum Broken {
    /// What came is no request.
    #[error("the head of a request is refused: {0:?}")]
    Refused(Refused),
    /// The client has left within a request or an answer.
    #[error("the client has left")]
    Left,
    /// The answer has broken off.
    #[error("the answer broke off")]
    Cut,
    /// The connection failed, or a limit is over.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Refused> for Broken {
    fn from(refused: Refused) -> Self {
        Broken::Refused(refused)
    }
}

/// Serves a connection until its end.
///
/// # Errors
/// It ended before its time.
pub(super) async fn connection(
    wire: Wire,
    bounds: Bounds,
    worker: Rc<Worker>,
    peer: &Peer,
    mut asked: Asked,
) -> Result<(), Broken> {
    loop {
        let Some((mut asks, promised, response)) =
            exchange(&wire, &bounds, &worker, peer, &mut asked).await?
        else {
            close(&wire, true).await;
            return Ok(());
        };
        let is_read = wire.is_read();
        asks.keeps &= is_read && !asked.is_asked();
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let keeps = answer::send(&wire, response, asks).await?;
        if switches {
            if let (Some(promised), Some(switched)) = (promised, wire.switch()) {
                // Fails only if nobody waits for it any more.
                let _ = promised.send(switched);
            }
            return Ok(());
        }
        if !keeps {
            close(&wire, is_read).await;
            return Ok(());
        }
    }
}

/// Reads a request and waits for its answer. `None` if there is no further one.
async fn exchange(
    wire: &Wire,
    bounds: &Bounds,
    worker: &Rc<Worker>,
    peer: &Peer,
    asked: &mut Asked,
) -> Result<Option<(Asks, Option<Promised>, Response<AnswerBody>)>, Broken> {
    let mut partial = Partial::new(bounds.max_header.max(LEAST_HEAD), bounds.max_headers);
    let (asks, call, promised) = match poll_fn(|cx| wire.poll_head(cx, &mut partial, asked)).await {
        Ok(Some(head)) => begin(wire, head, worker, peer),
        Ok(None) => return Ok(None),
        Err(Broken::Refused(refused)) => {
            // Boxed: connections whose requests are fine shall not pay for its size.
            Box::pin(refuse(wire, refused)).await;
            return Err(refused.into());
        }
        Err(broken) => return Err(broken),
    };
    let mut call = pin!(call);
    // As long as the client waits.
    let answered = poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending if wire.has_left(cx) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    let response = answered.await.ok_or(Broken::Left)?;
    Ok(Some((asks, promised, response)))
}

/// Hands a request over. Whoever asks to speak something else is promised the connection.
fn begin(
    wire: &Wire,
    head: Head,
    worker: &Rc<Worker>,
    peer: &Peer,
) -> (
    Asks,
    impl Future<Output = Response<AnswerBody>> + use<>,
    Option<Promised>,
) {
    let asks = Asks::of(&head.request, head.keeps);
    let mut request = head
        .request
        .map(|()| Arriving::Http1(Http1Body::new(wire.clone())));
    let promised = request.headers().contains_key(UPGRADE).then(|| {
        let (upgrade, promised) = ClientUpgrade::new();
        request.extensions_mut().insert(upgrade);
        promised
    });
    (asks, serve(worker.clone(), peer.clone(), request), promised)
}

/// Says what is wrong with a head. The client's dialect is not known.
async fn refuse(wire: &Wire, refused: Refused) {
    let (status, code, text) = refused.told();
    let told =
        json!({"error": {"message": text, "type": "invalid_request_error", "param": null, "code": code}});
    // What is counted is the refusal, whether the client is still there to hear of it or not.
    let _ = answer::send_text(wire, status, told.to_string()).await;
    close(wire, false).await;
}

/// Ends the connection; what the client still sends is read for a while, if there may be something.
async fn close(wire: &Wire, is_read: bool) {
    // Nothing is lost if the client has gone already.
    let _ = poll_fn(|cx| wire.with(|socket| Pin::new(socket).poll_shutdown(cx))).await;
    if !is_read {
        let end = poll_fn(|cx| {
            loop {
                match wire.with(|socket| poll_read(socket, cx, <[u8]>::is_empty)) {
                    Poll::Ready(Ok(false)) => {}
                    Poll::Ready(Ok(true) | Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        let _ = tokio::time::timeout(LINGER, end).await;
    }
}

#[cfg(test)]
mod tests;
