//! What a request head may be like, the same for HTTP/1.1 and HTTP/2, and to the byte. Connections have limits too, beyond which
//! they read no further.

use http::StatusCode;
use http::request::Parts;
use tollgate_dialects::canonical::ErrorKind;

use crate::error::CallError;

/// The code of a target that is too long.
pub const URI_TOO_LONG: &str = "uri_too_long";

/// The code of a head that is too long.
pub const HEADERS_TOO_LARGE: &str = "headers_too_large";

/// The code of a head with too many lines.
pub const TOO_MANY_HEADERS: &str = "too_many_headers";

/// What a request head may be like, and how many calls a connection may have.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Longest head in bytes, as HTTP/1.1 writes it.
    pub max_header: usize,
    /// Most header lines.
    pub max_headers: usize,
    /// Longest target, which is path and query, in bytes.
    pub max_uri: usize,
    /// Most calls at once on one connection of HTTP/2.
    pub max_streams: u32,
}

impl Bounds {
    /// Anything may come.
    pub const NONE: Bounds = Bounds {
        max_header: usize::MAX,
        max_headers: usize::MAX,
        max_uri: usize::MAX,
        max_streams: u32::MAX,
    };

    /// Checks a head.
    ///
    /// # Errors
    /// 414 for a long target, 431 for many or long headers.
    pub fn check(&self, request: &Parts) -> Result<(), CallError> {
        let refused =
            |status, code, text: String| Err(CallError::client(status, ErrorKind::BadRequest, code, text));
        let target = request
            .uri
            .path_and_query()
            .map_or(0, |target| target.as_str().len());
        if target > self.max_uri {
            let text = format!("the URL is longer than {} bytes", self.max_uri);
            return refused(StatusCode::URI_TOO_LONG, URI_TOO_LONG, text);
        }
        if request.headers.len() > self.max_headers {
            let text = format!("the request has more than {} header lines", self.max_headers);
            return refused(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                TOO_MANY_HEADERS,
                text,
            );
        }
        let lines = request
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + LINE);
        let head = request.method.as_str().len() + target + REQUEST_LINE + lines.sum::<usize>();
        if head > self.max_header {
            let text = format!("the head of the request is longer than {} bytes", self.max_header);
            return refused(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                HEADERS_TOO_LARGE,
                text,
            );
        }
        Ok(())
    }
}

/// Bytes of a header line beside its name and value: colon, space, line break.
const LINE: usize = 4;

/// Bytes of a head beside method, target and header lines: two spaces, `HTTP/1.1`, two line breaks.
const REQUEST_LINE: usize = 14;

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn each_bound_holds_to_the_byte() {
        let bounds = Bounds {
            max_header: 60,
            max_headers: 2,
            max_uri: 20,
            max_streams: 1,
        };
        let code = |path: usize, headers: &[usize]| {
            let mut request = Request::get(format!("/{}", "p".repeat(path - 1)));
            for (number, length) in headers.iter().enumerate() {
                request = request.header(format!("x-{number}"), "v".repeat(*length));
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            bounds
                .check(&parts)
                .err()
                .map(|error| error.code.clone().into_owned())
        };
        assert_eq!(code(19, &[1]), None);
        assert_eq!(code(20, &[1]), None);
        assert_eq!(code(21, &[1]).as_deref(), Some(URI_TOO_LONG));
        assert_eq!(code(1, &[1, 1]), None);
        assert_eq!(code(1, &[1, 1, 1]).as_deref(), Some(TOO_MANY_HEADERS));
        // GET / HTTP/1.1 and two line breaks are 18 bytes, `x-0: ` and its line break 7.
        assert_eq!(code(1, &[34]), None);
        assert_eq!(code(1, &[35]), None);
        assert_eq!(code(1, &[36]).as_deref(), Some(HEADERS_TOO_LARGE));
    }
}
