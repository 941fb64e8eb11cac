//! The client's socket, shared by those who need it: the connection, and the body of the request that is served.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::head::{self, Head, Refused};
use super::upgrade::Switched;
use super::{BodyError, Broken};
use crate::http1::framing::{Framing, Progress};
use crate::http1::scratch::{self, poll_read_most};
use crate::server::activity::TimedSocket;
use crate::server::closing::Asked;
use crate::server::patience::Patient;

/// What a connection is made over.
pub(in crate::server) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A client's socket with the limits of its waiting.
pub(in crate::server) type Socket = TimedSocket<Patient<Box<dyn Stream>>>;

/// Bytes that are read at once where a head may begin. What comes with a head is copied.
const HEAD: usize = 16 * 1024;

/// Bytes of a body that are given on at once.
const PIECE: u64 = 64 * 1024;

/// What a client that waits for a word before it sends its body is told.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A client's socket. Everybody who has it is in the same thread, and none holds on to it while it waits.
#[derive(Clone)]
pub(in crate::server) struct Wire(Rc<RefCell<State>>);

struct State {
    /// `None` once it has become something else.
    socket: Option<Socket>,
    /// What came and nobody has taken.
    came: Bytes,
    /// The body of the request under way.
    framing: Framing,
    /// What the client is told before its body is read.
    interim: &'static [u8],
    /// Why nothing more of the body can be read.
    broken: Option<BodyError>,
    /// The connection, if it waits until the body is read by somebody else.
    waits: Option<Waker>,
    /// Whether a client that says nothing more still gets its answer.
    half_close: bool,
}

impl State {
    fn socket(&mut self) -> io::Result<&mut Socket> {
        self.socket
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Takes a part of the body from what came already; `None` if that is none of it.
    fn take_came(&mut self) -> Option<Bytes> {
        if self.came.is_empty() || self.framing.is_ended() {
            return None;
        }
        if let Framing::Length(left) = &mut self.framing {
            let fits = usize::try_from(*left).map_or(self.came.len(), |left| left.min(self.came.len()));
            *left -= fits as u64;
            return Some(self.came.split_to(fits));
        }
        let mut body = BytesMut::new();
        let came = std::mem::take(&mut self.came);
        match self.framing.take(&came, &mut body) {
            Ok(Progress::More) => {}
            Ok(Progress::Ended(left)) => self.came = came.slice(came.len() - left..),
            Err(garbled) => self.broken = Some(BodyError::Garbled(garbled)),
        }
        Some(body.freeze()).filter(|body| !body.is_empty())
    }

    /// Reads further bytes of the body, and puts those that are the body's own behind `body`.
    fn poll_more(&mut self, cx: &mut Context<'_>, body: &mut BytesMut) -> Poll<Result<(), BodyError>> {
        while !self.interim.is_empty() {
            let interim = self.interim;
            let written = ready!(Pin::new(self.socket()?).poll_write(cx, interim))?;
            if written == 0 {
                return Poll::Ready(Err(BodyError::Closed));
            }
            self.interim = interim.get(written..).unwrap_or_default();
            if self.interim.is_empty() {
                // Fails with the next read too.
                let _ = Pin::new(self.socket()?).poll_flush(cx);
            }
        }
        let State { socket, framing, .. } = self;
        let socket = socket.as_mut().ok_or(BodyError::Closed)?;
        if let Framing::Length(left) = framing {
            // Read to where it is needed, and nothing of what may follow it.
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            let mut room = body.limit(most);
            let read = ready!(pin!(socket.read_buf(&mut room)).poll(cx))?;
            if read == 0 {
                return Poll::Ready(Err(BodyError::Closed));
            }
            *left -= read as u64;
            return Poll::Ready(Ok(()));
        }
        let taken = ready!(scratch::poll_read(socket, cx, |bytes| match bytes {
            [] => Err(BodyError::Closed),
            bytes => match framing.take(bytes, body) {
                Ok(Progress::More) => Ok(Bytes::new()),
                Ok(Progress::Ended(left)) => {
                    Ok(Bytes::copy_from_slice(
                        bytes.get(bytes.len() - left..).unwrap_or_default(),
                    ))
                }
                Err(garbled) => Err(BodyError::Garbled(garbled)),
            },
        }))?;
        self.came = taken?;
        Poll::Ready(Ok(()))
    }

    /// The connection is told that the body is read, so that it looks whether the client is still there.
    fn tell_end(&mut self) {
        if self.framing.is_ended()
            && let Some(waits) = self.waits.take()
        {
            waits.wake();
        }
    }
}

impl Wire {
    /// A socket over which nothing came.
    pub(in crate::server) fn new(socket: Socket, half_close: bool) -> Self {
        Wire(Rc::new(RefCell::new(State {
            socket: Some(socket),
            came: Bytes::new(),
            framing: Framing::Length(0),
            interim: b"",
            broken: None,
            waits: None,
            half_close,
        })))
    }

    /// The next head. `None` if the client has left, or the connection shall end before another request has begun.
    pub(super) fn poll_head(
        &self,
        cx: &mut Context<'_>,
        partial: &mut Partial,
        asked: &mut Asked,
    ) -> Poll<Result<Option<Head>, Broken>> {
        let state = &mut *self.0.borrow_mut();
        loop {
            let came = std::mem::take(&mut state.came);
            let found = if came.is_empty() {
                if asked.poll(cx) && partial.bytes.is_empty() {
                    return Poll::Ready(Ok(None));
                }
                match ready!(poll_read_most(state.socket()?, cx, HEAD, |bytes| match bytes {
                    [] => None,
                    bytes => Some(partial.take(bytes)),
                }))? {
                    Some(found) => found?,
                    None if partial.bytes.is_empty() => return Poll::Ready(Ok(None)),
                    None => {
                        // What is there may show already that it would have become no request.
                        partial.read(&partial.bytes)?;
                        return Poll::Ready(Err(Broken::Left));
                    }
                }
            } else {
                // It came while the call before was served.
                state.socket()?.began(came.len());
                partial.take(&came)?
            };
            if let Some((head, rest)) = found {
                state.came = rest;
                state.framing = head.framing.clone();
                state.interim = if head.expects { CONTINUE } else { b"" };
                state.broken = None;
                return Poll::Ready(Ok(Some(head)));
            }
        }
    }

    /// Whether the client has left while its call is served. What else comes is kept for later.
    pub(super) fn has_left(&self, cx: &mut Context<'_>) -> bool {
        let state = &mut *self.0.borrow_mut();
        if !state.framing.is_ended() {
            // Who reads the body sees it.
            state.waits = Some(cx.waker().clone());
            return false;
        }
        if state.half_close || !state.came.is_empty() {
            return false;
        }
        let State { socket, came, .. } = state;
        let Some(socket) = socket else { return false };
        let read = poll_read_most(socket, cx, HEAD, |bytes| {
            *came = Bytes::copy_from_slice(bytes);
            bytes.is_empty()
        });
        !matches!(read, Poll::Pending | Poll::Ready(Ok(false)))
    }

    /// Whether all of the body was read, or is here to be left out because nobody wants it any more.
    pub(super) fn is_read(&self) -> bool {
        let is_wanted = Rc::strong_count(&self.0) > 1;
        let state = &mut *self.0.borrow_mut();
        if !is_wanted {
            while state.take_came().is_some() {}
        }
        state.framing.is_ended() && state.broken.is_none()
    }

    /// No word is said any more before the body comes: the answer has begun.
    pub(super) fn is_answered(&self) {
        self.0.borrow_mut().interim = b"";
    }

    /// Does something with the socket.
    pub(super) fn with<T>(
        &self,
        with: impl FnOnce(&mut Socket) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.0.borrow_mut().socket() {
            Ok(socket) => with(socket),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Takes the socket away, and what came over it.
    pub(super) fn switch(&self) -> Option<Switched> {
        let state = &mut *self.0.borrow_mut();
        let came = std::mem::take(&mut state.came);
        state.socket.take().map(|socket| Switched::new(came, socket))
    }

    /// Bytes of the body that are still to come; `None` if nobody has said.
    pub(super) fn left(&self) -> Option<u64> {
        let framing = &self.0.borrow().framing;
        match framing {
            Framing::Length(left) => Some(*left),
            framing => framing.is_ended().then_some(0),
        }
    }

    /// The whole body, if it came with its head, without another copy.
    pub(super) fn take_whole(&self) -> Option<Bytes> {
        let state = &mut *self.0.borrow_mut();
        match state.framing {
            Framing::Length(left) if left <= state.came.len() as u64 => {
                Some(state.take_came().unwrap_or_default())
            }
            _ => None,
        }
    }

    /// Puts a further part of the body behind `body`; tells whether there was one.
    pub(super) fn poll_into(
        &self,
        cx: &mut Context<'_>,
        body: &mut BytesMut,
    ) -> Poll<Result<bool, BodyError>> {
        let state = &mut *self.0.borrow_mut();
        let before = body.len();
        loop {
            if let Some(came) = state.take_came() {
                body.put(came);
            }
            if body.len() > before {
                state.tell_end();
                return Poll::Ready(Ok(true));
            }
            if let Some(error) = &state.broken {
                return Poll::Ready(Err(*error));
            }
            if state.framing.is_ended() {
                state.tell_end();
                return Poll::Ready(Ok(false));
            }
            ready!(state.poll_more(cx, body)).map_err(|error| *state.broken.insert(error))?;
        }
    }

    /// The next part of the body; `None` at its end.
    pub(super) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let came = self.0.borrow_mut().take_came();
        if let Some(came) = came {
            self.0.borrow_mut().tell_end();
            return Poll::Ready(Some(Ok(came)));
        }
        let room = match self.left() {
            Some(left) => left.min(PIECE),
            None => 0,
        };
        let mut body = BytesMut::with_capacity(usize::try_from(room).unwrap_or(0));
        match ready!(self.poll_into(cx, &mut body)) {
            Ok(true) => Poll::Ready(Some(Ok(body.freeze()))),
            Ok(false) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

/// A head on its way.
pub(super) struct Partial {
    bytes: Vec<u8>,
    /// Bytes there were when it was last tried to read them.
    tried: usize,
    max_header: usize,
    max_headers: usize,
}

impl Partial {
    /// A head of at most so many bytes and lines, of which nothing has come.
    pub(super) fn new(max_header: usize, max_headers: usize) -> Self {
        Partial {
            bytes: Vec::new(),
            tried: 0,
            max_header,
            max_headers,
        }
    }

    /// Takes further bytes. Gives the head once it is whole, and what came behind it.
    fn take(&mut self, bytes: &[u8]) -> Result<Option<(Head, Bytes)>, Refused> {
        let found = if self.bytes.is_empty() {
            // Some clients end a body with a line break that is not part of it (RFC 9112, section 2.2).
            let begins = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
            let bytes = begins.and_then(|begins| bytes.get(begins..)).unwrap_or_default();
            let found = self.read(bytes)?;
            if found.is_none() {
                self.bytes.extend_from_slice(bytes);
                self.tried = bytes.len();
            }
            found
        } else {
            let end = self.bytes.len().saturating_sub(3);
            self.bytes.extend_from_slice(bytes);
            let may_be_whole = has_empty_line(self.bytes.get(end..).unwrap_or_default());
            // Trying for every byte that trickles in would cost its square.
            if may_be_whole || self.bytes.len() >= 2 * self.tried {
                self.tried = self.bytes.len();
                self.read(&self.bytes)?
            } else {
                None
            }
        };
        match &found {
            Some(_) => self.bytes = Vec::new(),
            None if self.bytes.len() >= self.max_header => return Err(Refused::TooLarge),
            None => {}
        }
        Ok(found)
    }

    fn read(&self, bytes: &[u8]) -> Result<Option<(Head, Bytes)>, Refused> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let head = head::read(bytes, self.max_headers)?;
        Ok(head.map(|head| {
            let rest = Bytes::copy_from_slice(bytes.get(head.length..).unwrap_or_default());
            (head, rest)
        }))
    }
}

/// Whether bytes have a line without anything in it.
fn has_empty_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}
