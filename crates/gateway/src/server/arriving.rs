//! The body of a request that is still on its connection, of whatever version of HTTP that is.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use thiserror::Error;

use super::http1::{BodyError, Http1Body};

/// The body of a request that is still on its connection.
pub enum Arriving {
    /// On one of HTTP/1.
    Http1(Http1Body),
    /// On one that the HTTP library reads.
    Library(Incoming),
}

/// Why a body is not read to its end.
#[derive(Debug, Error)]
pub enum ArrivingError {
    /// On a connection of HTTP/1.
    #[error(transparent)]
    Http1(#[from] BodyError),
    /// The HTTP library's words.
    #[error(transparent)]
    Library(#[from] hyper::Error),
}

impl Arriving {
    /// All of it, if it came with its head.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        match self {
            Arriving::Http1(body) => body.take_whole(),
            Arriving::Library(_) => None,
        }
    }

    /// Puts a further part of it behind `body`; tells whether there was one. Trailers are left out.
    ///
    /// # Errors
    /// It cannot be read to its end.
    pub async fn read_into(&mut self, body: &mut BytesMut) -> Result<bool, ArrivingError> {
        let incoming = match self {
            Arriving::Http1(arriving) => return Ok(arriving.read_into(body).await?),
            Arriving::Library(incoming) => incoming,
        };
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame?.into_data() {
                body.extend_from_slice(&data);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = ArrivingError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ArrivingError>>> {
        match self.get_mut() {
            Arriving::Http1(body) => body
                .poll_piece(cx)
                .map(|piece| Some(piece?.map(Frame::data).map_err(ArrivingError::from))),
            Arriving::Library(incoming) => Pin::new(incoming)
                .poll_frame(cx)
                .map(|frame| Some(frame?.map_err(ArrivingError::from))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Arriving::Http1(body) => body.is_end(),
            Arriving::Library(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Arriving::Http1(body) => body.size_hint(),
            Arriving::Library(incoming) => incoming.size_hint(),
        }
    }
}
