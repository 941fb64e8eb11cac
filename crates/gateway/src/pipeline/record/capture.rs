//! What is kept of a call for loggers that want more than the facts: bodies and the headers of the answer.

use bytes::Bytes;
use http::HeaderMap;
use tollgate_telemetry::{Excerpt, Wants};

use crate::upstream::ClientStream;

/// What is kept of one call.
#[derive(Default)]
pub(super) struct Capture {
    wants: Wants,
    request: Option<Bytes>,
    /// A request that is passed on as it comes.
    stream: Option<ClientStream>,
    /// Bytes of its body.
    request_bytes: usize,
    response: Vec<u8>,
    response_is_cut: bool,
    headers: Option<HeaderMap>,
}

impl Capture {
    /// Keeps what is wanted too, from now on.
    pub(super) fn want(&mut self, wants: Wants) {
        self.wants = self.wants.and(wants);
    }

    /// The body of the request. It is shared, not copied.
    pub(super) fn request(&mut self, body: &Bytes) {
        if self.wants.request_body > 0 {
            self.request_bytes = body.len();
            self.request = Some(body.clone());
        }
    }

    /// The body of a request that is passed on as it comes.
    pub(super) fn watch(&mut self, body: &ClientStream) {
        if self.wants != Wants::default() {
            body.keep(self.wants.request_body);
            self.stream = Some(body.clone());
        }
    }

    /// The call has ended: says how long the body was that was passed on, if one was.
    pub(super) fn settle(&mut self) -> Option<u64> {
        let (kept, passed) = self.stream.take()?.take_kept()?;
        self.request_bytes = usize::try_from(passed).unwrap_or(usize::MAX);
        self.request = Some(kept.into()).filter(|_| self.wants.request_body > 0);
        Some(passed)
    }

    /// The headers of the answer.
    pub(super) fn headers(&mut self, headers: &HeaderMap) {
        if self.wants.response_headers {
            self.headers = Some(headers.clone());
        }
    }

    /// The next bytes of the answer.
    pub(super) fn response(&mut self, bytes: &[u8]) {
        let room = self.wants.response_body.saturating_sub(self.response.len());
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.response.extend_from_slice(kept);
        self.response_is_cut |= kept.len() < bytes.len();
    }

    pub(super) fn told_request(&self) -> Option<Excerpt<'_>> {
        let body = self.request.as_deref()?;
        let bytes = body.get(..self.wants.request_body).unwrap_or(body);
        Some(Excerpt {
            bytes,
            is_cut: bytes.len() < self.request_bytes,
        })
    }

    pub(super) fn told_response(&self) -> Option<Excerpt<'_>> {
        (self.wants.response_body > 0).then_some(Excerpt {
            bytes: &self.response,
            is_cut: self.response_is_cut,
        })
    }

    pub(super) fn told_headers(&self) -> Option<&HeaderMap> {
        self.headers.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_cut_at_the_limit_of_the_logger_that_wants_most_and_are_said_to_be() {
        let mut capture = Capture::default();
        for limit in [3, 5] {
            capture.want(Wants {
                request_body: limit,
                response_body: limit,
                response_headers: false,
            });
        }
        capture.request(&Bytes::from_static(b"request"));
        for piece in [&b"ab"[..], b"cd", b"e"] {
            capture.response(piece);
        }
        let whole = Excerpt {
            bytes: b"abcde",
            is_cut: false,
        };
        assert_eq!(capture.told_response(), Some(whole));
        capture.response(b"f");
        assert_eq!(
            capture.told_response(),
            Some(Excerpt {
                is_cut: true,
                ..whole
            })
        );
        let request = Excerpt {
            bytes: b"reque",
            is_cut: true,
        };
        assert_eq!(capture.told_request(), Some(request));
    }

    #[test]
    fn what_nobody_wants_is_not_kept() {
        let mut capture = Capture::default();
        capture.want(Wants::default());
        capture.request(&Bytes::from_static(b"request"));
        capture.response(b"answer");
        capture.headers(&HeaderMap::new());
        assert_eq!(capture.told_request(), None);
        assert_eq!(capture.told_response(), None);
        assert!(capture.told_headers().is_none() && capture.response.is_empty());
    }
}
