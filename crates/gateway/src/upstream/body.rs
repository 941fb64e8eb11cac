//! Request bodies as connections send them: made of pieces of the client's body and of new bytes between them, so that
//! nothing is copied; or passed on while the client still sends.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;
use thiserror::Error;
use tokio::time::Instant;

use crate::server::{Arriving, ArrivingError};

/// The pieces of a request body in order. Cloning clones references.
#[derive(Clone, Debug, Default)]
pub struct RequestBody {
    /// Mostly there is one.
    pieces: SmallVec<[Bytes; 1]>,
    /// How many of them were sent.
    sent: usize,
    length: u64,
}

impl RequestBody {
    /// Appends a piece; empty pieces are left out.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length += piece.len() as u64;
            self.pieces.push(piece);
        }
    }

    /// Length of all pieces in bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.left().iter().map(|piece| &**piece)
    }

    /// The pieces in order, as references.
    pub fn shared_pieces(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.left().iter().cloned()
    }

    /// All pieces in one; copies unless there is only one.
    pub fn to_bytes(&self) -> Bytes {
        match self.left() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => many.iter().flatten().copied().collect(),
        }
    }

    fn left(&self) -> &[Bytes] {
        self.pieces.get(self.sent..).unwrap_or_default()
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        let mut body = RequestBody::default();
        body.push(bytes);
        body
    }
}

impl From<Vec<u8>> for RequestBody {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let sent = self.sent;
        let piece = self.pieces.get_mut(sent).map(std::mem::take);
        if let Some(piece) = &piece {
            self.sent += 1;
            self.length -= piece.len() as u64;
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

/// What a connection sends as the body of a request.
pub enum Outgoing {
    /// All of it is here.
    Buffered(RequestBody),
    /// It comes from the client.
    Streamed(ClientStream),
}

impl From<RequestBody> for Outgoing {
    fn from(body: RequestBody) -> Self {
        Outgoing::Buffered(body)
    }
}

/// Why a body cannot be sent to its end.
#[derive(Debug, Error)]
pub enum Unsendable {
    /// The client broke it off.
    #[error(transparent)]
    Broken(#[from] ArrivingError),
    /// It is longer than allowed.
    #[error("the client's body is too long")]
    TooLarge,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Unsendable;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unsendable>>> {
        match self.get_mut() {
            Outgoing::Buffered(body) => Pin::new(body).poll_frame(cx).map(|frame| {
                let Ok(frame) = frame?;
                Some(Ok(frame))
            }),
            Outgoing::Streamed(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Outgoing::Buffered(body) => body.is_end_stream(),
            Outgoing::Streamed(body) => body.0.incoming.borrow().is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Buffered(body) => body.size_hint(),
            Outgoing::Streamed(body) => body.0.incoming.borrow().size_hint(),
        }
    }
}

/// The client's body on its way to a server. Clones share it: as long as nobody has begun to read, another connection can
/// still send it from its beginning.
#[derive(Clone)]
pub struct ClientStream(Rc<Flow>);

struct Flow {
    incoming: RefCell<Arriving>,
    /// Longest body in bytes.
    limit: u64,
    /// Bytes of it that may still come; `None` if more have.
    left: Cell<Option<u64>>,
    begun: Cell<bool>,
    broken: Cell<bool>,
    waits_for: Cell<WaitsFor>,
    since: Cell<Instant>,
    kept: RefCell<Option<Kept>>,
}

/// The beginning of a body that loggers want to see.
struct Kept {
    bytes: Vec<u8>,
    limit: usize,
    /// Bytes that went by.
    passed: u64,
}

impl Kept {
    fn pass(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.passed += bytes.len() as u64;
    }
}

/// What a body on its way waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The client sends nothing.
    Client,
    /// The server takes nothing.
    Server,
    /// Nothing: the server has all of it.
    Nothing,
}

impl ClientStream {
    /// A body nobody has read from, of at most `limit` bytes.
    pub fn new(incoming: Arriving, limit: u64) -> Self {
        let waits_for = if incoming.is_end_stream() {
            WaitsFor::Nothing
        } else {
            WaitsFor::Server
        };
        ClientStream(Rc::new(Flow {
            incoming: RefCell::new(incoming),
            limit,
            left: Cell::new(Some(limit)),
            begun: Cell::new(false),
            broken: Cell::new(false),
            waits_for: Cell::new(waits_for),
            since: Cell::new(Instant::now()),
            kept: RefCell::new(None),
        }))
    }

    /// Keeps so many bytes of what passes from now on.
    pub fn keep(&self, limit: usize) {
        *self.0.kept.borrow_mut() = Some(Kept {
            bytes: Vec::new(),
            limit,
            passed: 0,
        });
    }

    /// What was kept, and how many bytes have passed.
    pub fn take_kept(&self) -> Option<(Vec<u8>, u64)> {
        let kept = self.0.kept.borrow_mut().take()?;
        Some((kept.bytes, kept.passed))
    }

    /// Whether a part of it was read, so that it cannot be sent again.
    pub fn has_begun(&self) -> bool {
        self.0.begun.get()
    }

    /// Whether the client broke it off.
    pub fn is_broken(&self) -> bool {
        self.0.broken.get()
    }

    /// The most bytes it may have, if it has more.
    pub fn exceeded(&self) -> Option<u64> {
        self.0.left.get().is_none().then_some(self.0.limit)
    }

    /// What it waits for, and since when.
    pub fn waits(&self) -> (WaitsFor, Instant) {
        (self.0.waits_for.get(), self.0.since.get())
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Unsendable>>> {
        let flow = &*self.0;
        loop {
            let polled = Pin::new(&mut *flow.incoming.borrow_mut()).poll_frame(cx);
            // What has not been read is still all there: only what gave something is a beginning.
            let (waits_for, moved) = match &polled {
                Poll::Pending => (WaitsFor::Client, flow.waits_for.get() != WaitsFor::Client),
                Poll::Ready(Some(Ok(_))) => (WaitsFor::Server, true),
                Poll::Ready(Some(Err(_))) => (WaitsFor::Client, true),
                Poll::Ready(None) => (WaitsFor::Nothing, true),
            };
            flow.waits_for.set(waits_for);
            if moved {
                flow.since.set(Instant::now());
            }
            if polled.is_ready() {
                flow.begun.set(true);
            }
            flow.broken.set(matches!(polled, Poll::Ready(Some(Err(_)))));
            match polled {
                // A client's trailers are not passed on: servers may take them for headers.
                Poll::Ready(Some(Ok(frame))) if !frame.is_data() => continue,
                Poll::Ready(Some(Ok(frame))) => {
                    let length = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                    let left = flow.left.get().and_then(|left| left.checked_sub(length));
                    flow.left.set(left);
                    if left.is_none() {
                        return Poll::Ready(Some(Err(Unsendable::TooLarge)));
                    }
                    if let (Some(kept), Some(bytes)) = (&mut *flow.kept.borrow_mut(), frame.data_ref()) {
                        kept.pass(bytes);
                    }
                    if flow.incoming.borrow().is_end_stream() {
                        flow.waits_for.set(WaitsFor::Nothing);
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                other => return other.map_err(Unsendable::from),
            }
        }
    }
}
