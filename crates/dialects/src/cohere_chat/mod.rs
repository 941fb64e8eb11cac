//! Cohere Chat v2, `POST /v2/chat`.

use crate::canonical::{DecodeError, ErrorKind, Event, ProviderError, Request, Response};
use crate::{Losses, Renames, Target};

const NOT_YET: &str = "this dialect is not translated yet";

/// Reads a request.
///
/// # Errors
/// Always.
pub fn decode_request(_body: &str) -> Result<Request, DecodeError> {
    Err(DecodeError::new("", NOT_YET))
}

/// Writes a request for a model; what it cannot express is added to `losses`.
pub fn encode_request(_request: &Request, _target: &Target<'_>, losses: &mut Losses) -> Vec<u8> {
    losses.rejected("", NOT_YET);
    Vec::new()
}

/// The tools of a request that [`encode_request`] sends under another name.
pub fn renames(_request: &Request) -> Renames {
    Renames::default()
}

/// Reads a whole answer.
///
/// # Errors
/// Always.
pub fn decode_response(_body: &str) -> Result<Response, DecodeError> {
    Err(DecodeError::new("", NOT_YET))
}

/// Writes a whole answer; what it cannot express is added to `losses`.
pub fn encode_response(_response: &Response, losses: &mut Losses) -> Vec<u8> {
    losses.rejected("", NOT_YET);
    Vec::new()
}

/// Reads an error answer, whatever it looks like.
pub fn decode_error(status: u16, _body: &[u8]) -> ProviderError {
    ProviderError {
        status,
        ..decode_error_inside("")
    }
}

/// Reads an error that came inside a stream or an answer with a status of success.
pub fn decode_error_inside(_document: &str) -> ProviderError {
    ProviderError {
        kind: ErrorKind::Server,
        status: 500,
        message: NOT_YET.to_owned(),
        native_type: None,
        code: None,
        param: None,
        raw: None,
    }
}

/// Writes an error answer.
pub fn encode_error(error: &ProviderError) -> Vec<u8> {
    error.message.clone().into_bytes()
}

/// Reads a streamed answer from chunks cut anywhere.
#[derive(Debug)]
pub struct StreamDecoder;

impl StreamDecoder {
    /// A decoder at the beginning of a stream. Events above `max_event_bytes` are refused.
    pub fn new(_max_event_bytes: usize) -> Self {
        StreamDecoder
    }

    /// Takes the next bytes and reports the events they complete.
    ///
    /// # Errors
    /// Always.
    pub fn feed(&mut self, _bytes: &[u8], _sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        Err(DecodeError::new("", NOT_YET))
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// Always.
    pub fn finish(&mut self, _sink: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
        Err(DecodeError::new("", NOT_YET))
    }
}

/// Writes a streamed answer.
#[derive(Debug)]
pub struct StreamEncoder;

impl StreamEncoder {
    #[allow(clippy::new_without_default, reason = "a style follows")]
    /// An encoder at the beginning of a stream.
    pub fn new() -> Self {
        StreamEncoder
    }

    /// Writes one event; what it cannot express is added to `losses`.
    pub fn encode(&mut self, _event: &Event<'_>, losses: &mut Losses, _out: &mut Vec<u8>) {
        losses.rejected("", NOT_YET);
    }
}
