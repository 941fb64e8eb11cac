//! What the head of an answer says about its body (RFC 9112, section 6).

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode};

use crate::http1::framing::{Chunks, Framing, Garbled, keeps};

/// What the head of an answer says about what follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Following {
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the connection can serve another request after it.
    pub keeps: bool,
}

impl Following {
    /// Reads it off the head.
    ///
    /// # Errors
    /// The head contradicts itself, or names a coding that nobody asked for.
    pub(super) fn of(
        asked: &Method,
        is_http_1_1: bool,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Following, Garbled> {
        let keeps = keeps(is_http_1_1, headers);
        let length = length(headers)?;
        let is_chunked = is_chunked(headers)?;
        if *asked == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            return Ok(Following {
                framing: Framing::Length(0),
                keeps,
            });
        }
        Ok(match (is_chunked, length) {
            (true, length) => Following {
                framing: Framing::Chunked(Chunks::default()),
                // Who says both may mean either: what comes behind may be the rest of this answer.
                keeps: keeps && length.is_none() && is_http_1_1,
            },
            (false, Some(length)) => Following {
                framing: Framing::Length(length),
                keeps,
            },
            (false, None) => Following {
                framing: Framing::UntilClosed,
                keeps: false,
            },
        })
    }
}

/// The length that the head states, in bytes. The same one may be said several times.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Garbled> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for text in value.as_bytes().split(|byte| *byte == b',') {
            let text = text.trim_ascii();
            let stated = match text.iter().all(u8::is_ascii_digit) {
                true => str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
                false => None,
            };
            let stated: u64 = stated.ok_or(Garbled("content-length is no number"))?;
            if length.is_some_and(|length| length != stated) {
                return Err(Garbled("two different lengths"));
            }
            length = Some(stated);
        }
    }
    Ok(length)
}

fn is_chunked(headers: &HeaderMap) -> Result<bool, Garbled> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).into_iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err(Garbled("a transfer coding that was not asked for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn of(lines: &[(&'static str, &'static str)]) -> Result<(Framing, bool), Garbled> {
        Following::of(&Method::POST, true, StatusCode::OK, &headers(lines))
            .map(|following| (following.framing, following.keeps))
    }

    #[test]
    fn the_head_says_where_the_body_ends() {
        let chunked = || Framing::Chunked(Chunks::default());
        for (lines, expected) in [
            (&[("content-length", "5")][..], (Framing::Length(5), true)),
            (
                &[("content-length", "5, 5"), ("content-length", "5")],
                (Framing::Length(5), true),
            ),
            (
                &[("content-length", "5"), ("connection", "x, Close")],
                (Framing::Length(5), false),
            ),
            (&[("transfer-encoding", "Chunked")], (chunked(), true)),
            (
                &[("transfer-encoding", "chunked"), ("content-length", "5")],
                (chunked(), false),
            ),
            (&[], (Framing::UntilClosed, false)),
        ] {
            assert_eq!(of(lines), Ok(expected), "{lines:?}");
        }
        for lines in [
            &[("content-length", "5"), ("content-length", "6")][..],
            &[("content-length", "+5")],
            &[("content-length", "")],
            &[("content-length", "5,")],
            &[("content-length", "18446744073709551616")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        ] {
            assert!(of(lines).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn some_answers_have_no_body_whatever_their_head_says() {
        let lines = headers(&[("content-length", "5")]);
        for (asked, status) in [
            (Method::HEAD, StatusCode::OK),
            (Method::POST, StatusCode::NO_CONTENT),
            (Method::GET, StatusCode::NOT_MODIFIED),
        ] {
            let following = Following::of(&asked, true, status, &lines).unwrap();
            assert_eq!(following.framing, Framing::Length(0), "{asked} {status}");
            assert!(following.keeps);
        }
    }

    #[test]
    fn a_connection_of_http_1_0_is_kept_only_where_it_is_said() {
        let keeps = |line: &[(&'static str, &'static str)]| {
            let mut lines = headers(line);
            lines.insert("content-length", 5.into());
            Following::of(&Method::POST, false, StatusCode::OK, &lines)
                .unwrap()
                .keeps
        };
        assert!(!keeps(&[]));
        assert!(keeps(&[("connection", "Keep-Alive")]));
    }
}
