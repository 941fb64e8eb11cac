//! The body of a request that is still on its connection.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::SizeHint;
use thiserror::Error;

use super::wire::Wire;
use crate::http1::framing::Garbled;

/// Why a body is not read to its end.
#[derive(Clone, Copy, Debug, Error)]
pub enum BodyError {
    /// The client has left, or says nothing more.
    #[error("the connection was closed within the body")]
    Closed,
    /// Nobody can tell where it ends.
    #[error("the body is not HTTP: {0}")]
    Garbled(Garbled),
    /// The connection failed.
    #[error("the connection broke within the body: {0}")]
    Lost(io::ErrorKind),
}

impl From<io::Error> for BodyError {
    fn from(error: io::Error) -> Self {
        BodyError::Lost(error.kind())
    }
}

/// The body of a request that is still on its connection.
pub struct Http1Body(Wire);

impl Http1Body {
    /// The body behind the head that was read last.
    pub(super) fn new(wire: Wire) -> Self {
        Http1Body(wire)
    }

    /// Whether all of it was read.
    pub fn is_end(&self) -> bool {
        self.0.left() == Some(0)
    }

    /// How much of it is still to come.
    pub fn size_hint(&self) -> SizeHint {
        self.0.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    /// All of it, if it came with its head.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        self.0.take_whole()
    }

    /// Puts a further part of it behind `body`; tells whether there was one.
    ///
    /// # Errors
    /// It cannot be read to its end.
    pub async fn read_into(&mut self, body: &mut BytesMut) -> Result<bool, BodyError> {
        poll_fn(|cx| self.0.poll_into(cx, body)).await
    }

    /// The next part; `None` at the end.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.0.poll_piece(cx)
    }
}
