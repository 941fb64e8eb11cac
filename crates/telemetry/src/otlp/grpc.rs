//! A unary call of gRPC: one message there, one back, a status at the end.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Request};

use super::http::{RETRY_AFTER_STATUS, USER_AGENT_VALUE, retry_after};
use super::settings::{Settings, Signal};
use super::verdict::Verdict;
use crate::outbound::Answer;

/// Binary headers come with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes before a message: whether it is compressed, and its length.
pub(super) const FRAME_HEAD: usize = 5;

/// The call of a signal's method with a framed message.
pub(super) fn request(
    settings: &Settings,
    signal: Signal,
    message: Bytes,
) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::post(signal.method()).body(message)?;
    let headers = request.headers_mut();
    headers.extend(settings.headers.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    // Proxies on the way that do not pass trailers on are to be found out.
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(
        http::header::USER_AGENT,
        HeaderValue::from_static(USER_AGENT_VALUE),
    );
    let timeout = format!("{}m", settings.timeout.as_millis().min(MAX_TIMEOUT_MS));
    headers.insert("grpc-timeout", HeaderValue::from_str(&timeout)?);
    Ok(request)
}

/// The head of a message of this length.
pub(super) fn frame_head(length: usize) -> [u8; FRAME_HEAD] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [0, a, b, c, d]
}

/// What the answer says.
pub(super) fn verdict(answer: &Answer) -> Verdict {
    // The status comes at the end, or at once where there is nothing but a status.
    let told = [answer.trailers.as_ref(), Some(&answer.headers)];
    let Some(headers) = told
        .into_iter()
        .flatten()
        .find(|headers| headers.contains_key(STATUS))
    else {
        return without_status(answer);
    };
    let code = text(headers, STATUS).and_then(|code| code.parse().ok());
    if code == Some(OK) {
        return match unframe(&answer.body) {
            Some(message) => Verdict::of_success(message),
            // The collector says that it has everything.
            None => Verdict::Taken,
        };
    }
    let message = text(headers, "grpc-message").map(percent_decoded);
    let details = headers.get("grpc-status-details-bin");
    let details = details.and_then(|details| BASE64.decode(details.as_bytes()).ok());
    Verdict::of_grpc(
        code.unwrap_or(UNKNOWN),
        message.as_deref().unwrap_or_default(),
        details.as_deref().unwrap_or_default(),
    )
}

/// Something on the way answered that does not speak gRPC.
fn without_status(answer: &Answer) -> Verdict {
    let status = answer.status.as_u16();
    let reason = format!("no gRPC status in an answer with HTTP status {status}; is this a port for gRPC?");
    match RETRY_AFTER_STATUS.contains(&status) {
        true => Verdict::Later {
            reason,
            after: retry_after(&answer.headers),
        },
        false => Verdict::Never { reason },
    }
}

/// The message of a body that holds one, uncompressed: we never offer to take others.
pub(super) fn unframe(body: &[u8]) -> Option<&[u8]> {
    let (head, message) = body.split_first_chunk::<FRAME_HEAD>()?;
    (*head == frame_head(message.len())).then_some(message)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// gRPC writes `%` and what is not printable ASCII as `%XX`.
fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let hex = after.get(..2).filter(|_| byte == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(meant) => {
                decoded.push(meant);
                rest = after.get(2..).unwrap_or_default();
            }
            None => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The header and trailer with the code.
const STATUS: &str = "grpc-status";

const OK: u32 = 0;
const UNKNOWN: u32 = 2;

/// Eight digits are allowed.
const MAX_TIMEOUT_MS: u128 = 99_999_999;

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn answer(
        status: u16,
        headers: &[(&'static str, &str)],
        trailers: Option<&[(&'static str, &str)]>,
    ) -> Answer {
        let map = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| {
                    (
                        http::HeaderName::from_static(name),
                        HeaderValue::from_str(value).unwrap(),
                    )
                })
                .collect()
        };
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: map(headers),
            body: Bytes::new(),
            trailers: trailers.map(map),
            is_whole: true,
        }
    }

    #[test]
    fn the_status_is_found_in_trailers_and_in_answers_without_a_body() {
        assert_eq!(
            verdict(&answer(200, &[], Some(&[("grpc-status", "0")]))),
            Verdict::Taken
        );
        assert_eq!(
            verdict(&answer(200, &[("grpc-status", "0")], None)),
            Verdict::Taken
        );
        let late = verdict(&answer(
            200,
            &[],
            Some(&[("grpc-status", "14"), ("grpc-message", "50%25 full%0a")]),
        ));
        let Verdict::Later { reason, .. } = late else {
            panic!("{late:?}")
        };
        assert!(reason.ends_with("50% full "), "{reason}");
    }

    #[test]
    fn something_else_than_grpc_is_told() {
        let refused = verdict(&answer(404, &[], None));
        assert!(
            matches!(&refused, Verdict::Never { reason } if reason.contains("404")),
            "{refused:?}"
        );
        let busy = verdict(&answer(503, &[("retry-after", "3")], None));
        assert!(
            matches!(&busy, Verdict::Later { after: Some(after), .. } if after.as_secs() == 3),
            "{busy:?}"
        );
    }

    #[test]
    fn a_status_that_is_no_number_is_an_unknown_error() {
        let odd = verdict(&answer(200, &[], Some(&[("grpc-status", "fine")])));
        assert!(matches!(odd, Verdict::Never { .. }), "{odd:?}");
    }

    #[test]
    fn only_whole_plain_messages_are_taken_out_of_frames() {
        assert_eq!(unframe(b"\0\0\0\0\x02ab"), Some(&b"ab"[..]));
        for odd in [
            &b""[..],
            b"\0\0\0",
            b"\x01\0\0\0\x02ab",
            b"\0\0\0\0\x03ab",
            b"\0\0\0\0\x01ab",
        ] {
            assert_eq!(unframe(odd), None, "{odd:?}");
        }
    }
}
