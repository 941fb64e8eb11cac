//! What of a request is kept while its stream goes on, for minutes maybe: copies. As it came, it lies in the buffer that the
//! connection was read with; without it the next read takes that buffer again instead of another one.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderValue, Uri, Version};

/// Bodies above this are not copied, bytes. They have come in several reads, and are on their own already.
const MOST_COPIED: usize = 4096;

/// Copies a request's head and body to where they take no more room than they have to.
pub(super) fn let_go(request: &mut Parts, body: &mut Bytes) {
    // Heads of HTTP/2 are made piece by piece.
    if request.version == Version::HTTP_2 {
        return;
    }
    let copied_body = Some(body).filter(|body| body.len() <= MOST_COPIED);
    let body_length = copied_body.as_ref().map_or(0, |body| body.len());
    let values: usize = request.headers.values().map(HeaderValue::len).sum();
    let path = request.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let mut copied = BytesMut::with_capacity(values + path + body_length);
    for value in request.headers.values_mut() {
        copied.extend_from_slice(value.as_bytes());
        // A value that was valid is valid as a copy too.
        if let Ok(mut copy) = HeaderValue::from_maybe_shared(copied.split().freeze()) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
    // Writing to a buffer that grows cannot fail.
    let _ = write!(copied, "{}", request.uri);
    if let Ok(copy) = Uri::from_maybe_shared(copied.split().freeze()) {
        request.uri = copy;
    }
    if let Some(body) = copied_body {
        copied.extend_from_slice(body);
        *body = copied.freeze();
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// A request as the HTTP library makes it: all of it lies in one buffer.
    fn read(uri: &str, body: &str) -> (Parts, Bytes, Bytes) {
        let buffer = Bytes::from(format!("{uri}|Bearer key|caf\u{e9}|{body}"));
        let text = std::str::from_utf8(&buffer).unwrap();
        let parts: Vec<_> = text
            .splitn(4, '|')
            .map(|part| buffer.slice_ref(part.as_bytes()))
            .collect();
        let [uri, key, name, body] = &parts[..] else {
            unreachable!("there are four parts");
        };
        let mut request = Request::new(()).into_parts().0;
        request.uri = Uri::from_maybe_shared(uri.clone()).unwrap();
        let mut key = HeaderValue::from_maybe_shared(key.clone()).unwrap();
        key.set_sensitive(true);
        request.headers.insert("authorization", key);
        let name = HeaderValue::from_maybe_shared(name.clone()).unwrap();
        request.headers.append("x-name", name.clone());
        request.headers.append("x-name", name);
        (request, body.clone(), buffer)
    }

    #[test]
    fn a_request_stays_the_same_and_holds_its_buffer_no_longer() {
        for uri in ["/v1/chat?a=%20b", "http://gateway.example:8080/v1/chat", "*"] {
            let (mut request, mut body, buffer) = read(uri, "{\"model\": \"m\"}");
            let_go(&mut request, &mut body);
            assert!(buffer.is_unique(), "{uri}");
            assert_eq!(request.uri, uri);
            assert_eq!(body, "{\"model\": \"m\"}");
            assert_eq!(request.headers.len(), 3);
            assert_eq!(request.headers["authorization"], "Bearer key");
            assert!(request.headers["authorization"].is_sensitive());
            for name in request.headers.get_all("x-name") {
                assert_eq!(name.as_bytes(), "caf\u{e9}".as_bytes());
            }
        }
    }

    #[test]
    fn long_bodies_are_not_copied() {
        let long = "x".repeat(MOST_COPIED + 1);
        let (mut request, mut body, buffer) = read("/", &long);
        let_go(&mut request, &mut body);
        assert!(!buffer.is_unique());
        assert_eq!(body, long);
    }
}
