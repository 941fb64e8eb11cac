//! A POST with a message in its body.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request};

use super::settings::{Settings, Signal};
use super::verdict::Verdict;
use crate::outbound::Answer;

/// How we name ourselves.
pub(super) const USER_AGENT_VALUE: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));

/// Statuses that may pass.
pub(super) const RETRY_AFTER_STATUS: [u16; 4] = [429, 502, 503, 504];

/// The request with a message of a signal.
pub(super) fn request(
    settings: &Settings,
    signal: Signal,
    message: Bytes,
) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::post(signal.path(&settings.endpoint)).body(message)?;
    let headers = request.headers_mut();
    headers.extend(settings.headers.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
    Ok(request)
}

/// What the answer says.
pub(super) fn verdict(answer: &Answer) -> Verdict {
    Verdict::of_http(answer.status.as_u16(), retry_after(&answer.headers), &answer.body)
}

/// How long a server wants to be left alone: seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let told = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = told.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(told).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}
