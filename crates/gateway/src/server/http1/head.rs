//! The head of a request, from bytes (RFC 9112, sections 2 to 6).

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};

use crate::http1::framing::{Chunks, Framing, keeps};
use crate::http1::part;

/// Header lines that there is room for without asking for memory.
const USUAL_HEADERS: usize = 64;

/// The longest target that can be said, in bytes; a limit of [`Uri`].
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// The head of a request, and what it says about what follows.
#[derive(Debug)]
pub(super) struct Head {
    /// Method, target, version and headers.
    pub(super) request: Request<()>,
    /// How the body is framed.
    pub(super) framing: Framing,
    /// Whether the connection can serve another request after it.
    pub(super) keeps: bool,
    /// Whether the client waits for a word before it sends the body.
    pub(super) expects: bool,
    /// Bytes of it, the empty line included.
    pub(super) length: usize,
}

/// A head that is no request. Nothing behind it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Refused {
    /// It breaks the grammar: how.
    Malformed(&'static str),
    /// It is of another version.
    Version,
    /// Its target is longer than can be said.
    TargetTooLong,
    /// It has more header lines than allowed.
    TooManyHeaders,
    /// It is longer than allowed.
    TooLarge,
}

impl Refused {
    /// What the client is told: the status, the code of the error, and its text.
    pub(super) fn told(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Refused::Malformed(how) => (StatusCode::BAD_REQUEST, "malformed_request", how),
            Refused::Version => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "unknown_http_version",
                "this is neither HTTP/1 nor HTTP/2",
            ),
            Refused::TargetTooLong => (
                StatusCode::URI_TOO_LONG,
                "uri_too_long",
                "the URL is longer than 65534 bytes",
            ),
            Refused::TooManyHeaders => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "too_many_headers",
                "the request has more header lines than allowed",
            ),
            Refused::TooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                "the head of the request is longer than allowed",
            ),
        }
    }
}

/// Reads the head of a request; `None` if there is more to come.
///
/// # Errors
/// It is no head of HTTP/1, has more than `max_headers` lines, or does not say where its body ends.
pub(super) fn read(bytes: &[u8], max_headers: usize) -> Result<Option<Head>, Refused> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
    let places = usual
        .get_mut(..max_headers.min(USUAL_HEADERS))
        .unwrap_or_default();
    match parse(bytes, places) {
        Err(Refused::TooManyHeaders) if max_headers > USUAL_HEADERS => {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            let places = std::iter::repeat_with(MaybeUninit::uninit).take(lines.min(max_headers));
            parse(bytes, &mut places.collect::<Vec<_>>())
        }
        read => read,
    }
}

fn parse<'a>(
    bytes: &'a [u8],
    places: &mut [MaybeUninit<httparse::Header<'a>>],
) -> Result<Option<Head>, Refused> {
    const BROKEN_LINE: Refused = Refused::Malformed("the first line of the request is broken");
    let mut parsed = httparse::Request::new(&mut []);
    let read =
        httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, bytes, places);
    let length = match read {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => {
            return Err(match error {
                httparse::Error::HeaderName => Refused::Malformed("a header has a broken name"),
                httparse::Error::HeaderValue => Refused::Malformed("a header has a broken value"),
                httparse::Error::NewLine => Refused::Malformed("a line of the request's head is broken"),
                httparse::Error::TooManyHeaders => Refused::TooManyHeaders,
                httparse::Error::Version => Refused::Version,
                _ => BROKEN_LINE,
            });
        }
    };
    // One copy, which the target and all values are parts of.
    let own = Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default());
    let is_http_1_1 = parsed.version == Some(1);
    let target = parsed.path.unwrap_or_default().as_bytes();
    if target.len() > MAX_TARGET {
        return Err(Refused::TargetTooLong);
    }
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes());
    let target = Uri::from_maybe_shared(part(&own, bytes, target));
    let (Ok(method), Ok(target)) = (method, target) else {
        return Err(BROKEN_LINE);
    };
    let mut says = Says::default();
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(part(&own, bytes, header.value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Refused::Malformed("a header is broken"));
        };
        says.hear(&name, &value, is_http_1_1)?;
        if headers.try_append(name, value).is_err() {
            return Err(Refused::TooManyHeaders);
        }
    }
    let keeps = says.is_clear() && keeps(is_http_1_1, &headers);
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = target;
    *request.version_mut() = match is_http_1_1 {
        true => Version::HTTP_11,
        false => Version::HTTP_10,
    };
    *request.headers_mut() = headers;
    Ok(Some(Head {
        request,
        framing: says.framing()?,
        keeps,
        expects: says.expects && is_http_1_1,
        length,
    }))
}

/// What the headers say about the body.
#[derive(Default)]
struct Says {
    /// How many bytes it has. The same number may be said several times.
    length: Option<u64>,
    /// How many codings there are.
    codings: usize,
    /// Whether the last of them is `chunked`.
    is_chunked: bool,
    expects: bool,
}

impl Says {
    fn hear(&mut self, name: &HeaderName, value: &HeaderValue, is_http_1_1: bool) -> Result<(), Refused> {
        if *name == CONTENT_LENGTH {
            let text = value.as_bytes();
            let stated = match text.iter().all(u8::is_ascii_digit) {
                true => str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
                false => None,
            };
            let stated: u64 = stated.ok_or(Refused::Malformed("`Content-Length` is no number"))?;
            if self.length.is_some_and(|length| length != stated) {
                return Err(Refused::Malformed("there are two different `Content-Length`"));
            }
            self.length = Some(stated);
        } else if *name == TRANSFER_ENCODING {
            if !is_http_1_1 {
                // Who passes it on without knowing it sends a body that ends elsewhere (RFC 9112, section 6.1).
                return Err(Refused::Malformed("HTTP/1.0 knows no `Transfer-Encoding`"));
            }
            for coding in value.as_bytes().split(|byte| *byte == b',') {
                self.codings += 1;
                self.is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
        } else if *name == EXPECT {
            self.expects |= value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        }
        Ok(())
    }

    /// Whether all readers would find the same end of the body.
    fn is_clear(&self) -> bool {
        self.codings == 0 || (self.codings == 1 && self.length.is_none())
    }

    fn framing(&self) -> Result<Framing, Refused> {
        match (self.codings, self.is_chunked) {
            (0, _) => Ok(Framing::Length(self.length.unwrap_or(0))),
            // Other codings before it, and a length beside it, are refused in the words of the client's dialect.
            (_, true) => Ok(Framing::Chunked(Chunks::of_request())),
            (_, false) => Err(Refused::Malformed(
                "the last `Transfer-Encoding` of a request has to be `chunked`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100;

    fn head(text: &str) -> Result<Option<Head>, Refused> {
        read(text.as_bytes(), LIMIT)
    }

    fn whole(text: &str) -> Head {
        head(text).expect("a request").expect("a whole one")
    }

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let text = "POST /v1/x?a=b HTTP/1.1\r\nHost: h\r\nX: \r\nx: 2\r\nContent-Length: 4\r\n\r\nbody";
        let read = whole(text);
        assert_eq!(read.request.method(), Method::POST);
        assert_eq!(read.request.uri(), "/v1/x?a=b");
        assert_eq!(read.request.version(), Version::HTTP_11);
        let values: Vec<_> = read.request.headers().get_all("x").iter().collect();
        assert_eq!(values, ["", "2"]);
        assert_eq!(read.framing, Framing::Length(4));
        assert!(read.keeps && !read.expects);
        assert_eq!(read.length, text.len() - 4);
        for end in 0..text.len() - 4 {
            assert!(head(&text[..end]).expect("no mistake").is_none(), "{end}");
        }
    }

    #[test]
    fn the_head_says_whether_the_connection_goes_on() {
        for (version, line, keeps) in [
            ("1.1", "x: y", true),
            ("1.1", "connection: x, Close", false),
            ("1.1", "transfer-encoding: Chunked", true),
            ("1.1", "transfer-encoding: chunked\r\ncontent-length: 5", false),
            ("1.1", "transfer-encoding: gzip, chunked", false),
            ("1.0", "x: y", false),
            ("1.0", "connection: keep-alive", true),
        ] {
            let read = whole(&format!("GET / HTTP/{version}\r\n{line}\r\n\r\n"));
            assert_eq!(read.keeps, keeps, "{version} {line}");
        }
    }

    #[test]
    fn only_a_client_of_http_1_1_waits_for_a_word() {
        let expects =
            |version| whole(&format!("PUT / HTTP/{version}\r\nexpect: 100-Continue\r\n\r\n")).expects;
        assert!(expects("1.1") && !expects("1.0"));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let many = |lines: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(lines));
        assert!(head(&many(LIMIT)).is_ok());
        assert_eq!(head(&many(LIMIT + 1)).err(), Some(Refused::TooManyHeaders));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "p".repeat(MAX_TARGET));
        assert_eq!(head(&long).err(), Some(Refused::TargetTooLong));
        assert_eq!(head("GET / HTTP/2.0\r\n\r\n").err(), Some(Refused::Version));
        for text in [
            "SSH-2.0-x\r\n",
            "G\u{e4}T / HTTP/1.1\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET /{ HTTP/1.1 \r\n\r\n",
            "GET / HTTP/1.1\r\na b: c\r\n\r\n",
            "GET / HTTP/1.1\r\na : c\r\n\r\n",
            "GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\na: \0\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: 5, 5\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: +5\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: \r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: 18446744073709551616\r\n\r\n",
            "GET / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
            "GET / HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n\r\n",
            "GET / HTTP/1.1\r\ntransfer-encoding:\r\n\r\n",
            "GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
        ] {
            assert!(
                matches!(head(text), Err(Refused::Malformed(_))),
                "{text:?}: {:?}",
                head(text)
            );
        }
    }
}
