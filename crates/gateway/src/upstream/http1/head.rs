//! The head of a request as bytes, and the head of an answer from bytes (RFC 9112, sections 2 to 5).

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::CallRequest;
use crate::http1::framing::Garbled;
use crate::http1::part;

/// Headers of an answer at most.
const MAX_HEADERS: usize = 100;

/// Whether a text can stand in the first line of a request.
pub(super) fn is_target(target: &str) -> bool {
    target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// Writes the head of a request.
pub(super) fn write(asked: &CallRequest<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(asked.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(asked.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in asked.headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    // Some servers wait for a body where nothing is said about one (RFC 9110, section 8.6).
    let has_body =
        !asked.body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].contains(asked.method);
    if has_body && !asked.headers.contains_key(CONTENT_LENGTH) {
        out.extend_from_slice(b"content-length: ");
        out.extend_from_slice(itoa::Buffer::new().format(asked.body.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) is_http_1_1: bool,
    pub(super) headers: HeaderMap,
    /// Bytes of it, the empty line included.
    pub(super) length: usize,
}

/// Reads the head of an answer; `None` if there is more to come.
///
/// # Errors
/// It is no head of HTTP/1, or has too many headers.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Head>, Garbled> {
    let mut places = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let read =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut places);
    let length = match read {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => {
            return Err(Garbled(match error {
                httparse::Error::HeaderName => "a header with a broken name",
                httparse::Error::HeaderValue => "a header with a broken value",
                httparse::Error::TooManyHeaders => "more than 100 headers",
                httparse::Error::Status => "a broken status",
                httparse::Error::Version => "not HTTP/1",
                _ => "a broken line in its head",
            }));
        }
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    // One copy, which all values are parts of.
    let own = Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default());
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(part(&own, bytes, header.value));
        match (name, value) {
            (Ok(name), Ok(value)) => headers.append(name, value),
            _ => return Err(Garbled("a broken header")),
        };
    }
    Ok(Some(Head {
        status: status.ok_or(Garbled("a broken status"))?,
        is_http_1_1: parsed.version == Some(1),
        headers,
        length,
    }))
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;
    use crate::upstream::RequestBody;

    /// Status, whether it is HTTP/1.1, length, headers.
    type Told = (u16, bool, usize, Vec<(String, String)>);

    fn told(bytes: &[u8]) -> Result<Option<Told>, Garbled> {
        Ok(read(bytes)?.map(|head| {
            let text = |value: &HeaderValue| value.as_bytes().escape_ascii().to_string();
            let headers = head.headers.iter();
            let headers = headers.map(|(name, value)| (name.to_string(), text(value)));
            (
                head.status.as_u16(),
                head.is_http_1_1,
                head.length,
                headers.collect(),
            )
        }))
    }

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nx: \xe4 \r\nx:\r\n\r\nbody";
        let headers = [("content-type", "a/b"), ("x", "\\xe4"), ("x", "")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            told(bytes),
            Ok(Some((200, true, bytes.len() - 4, headers.to_vec())))
        );
        for end in 0..bytes.len() - 4 {
            assert_eq!(told(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(
            told(b"HTTP/1.0 404\r\n\r\n"),
            Ok(Some((404, false, 16, Vec::new())))
        );
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        for bytes in [
            &b"SSH-2.0-x\r\n"[..],
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            b"HTTP/1.1 200 OK\r\na : c\r\n\r\n",
            b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
            b"HTTP/1.1 200 OK\r\na: \0\r\n\r\n",
            many.as_bytes(),
        ] {
            assert!(told(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_request_is_written_with_the_length_of_its_body() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("h:1"));
        let written = |body: &'static [u8], headers: &HeaderMap| {
            let mut out = Vec::new();
            let asked = CallRequest {
                method: &Method::POST,
                target: "/v1/x?y=z",
                headers,
                body: &RequestBody::from(Bytes::from_static(body)),
            };
            write(&asked, &mut out);
            String::from_utf8(out).unwrap()
        };
        let begin = "POST /v1/x?y=z HTTP/1.1\r\nhost: h:1\r\n";
        assert_eq!(
            written(b"", &headers),
            format!("{begin}content-length: 0\r\n\r\n")
        );
        assert_eq!(
            written(b"12", &headers),
            format!("{begin}content-length: 2\r\n\r\n")
        );
        headers.insert(CONTENT_LENGTH, 2.into());
        assert_eq!(
            written(b"12", &headers),
            format!("{begin}content-length: 2\r\n\r\n")
        );
    }

    #[test]
    fn only_paths_can_be_asked_for() {
        assert!(is_target("/v1/chat?a=%20b"));
        for target in [
            "",
            "v1",
            "/a b",
            "/a#b",
            "/a\r\nx: y",
            "/\u{e4}",
            "http://x/",
            "*",
        ] {
            assert!(!is_target(target), "{target:?}");
        }
    }
}
