//! `GET /tollgate/v1/me` on the data port: what a caller may use and spend, by the key that it shows.

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tollgate_dialects::canonical::ErrorKind;

use super::Governance;
use crate::error::CallError;
use crate::snapshot::Snapshot;

/// Its path.
pub const PATH: &str = "/tollgate/v1/me";

/// Where a key may stand, beside `Authorization: Bearer`.
const HEADERS: [&str; 4] = ["x-api-key", "api-key", "x-goog-api-key", "apikey"];

/// The text of the answer, and the name of who asks.
///
/// # Errors
/// Nobody is known by what was shown.
pub async fn answer(
    governance: &Governance,
    snapshot: &Snapshot,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(HeaderMap, String), CallError> {
    if method != Method::GET {
        return Err(CallError::client(
            StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::BadRequest,
            "method_not_allowed",
            "use GET",
        ));
    }
    let key = shown(headers).ok_or_else(|| {
        unauthorized(
            "missing_api_key",
            "no API key was sent; send yours as `Authorization: Bearer <key>`",
        )
    })?;
    let index = governance.index();
    let directory = &snapshot.plane.directory;
    let identity = match index.by_key(key)? {
        Some(key) => {
            let team = key.consumer.as_deref().and_then(|name| directory.consumer(name));
            index.of_key(&key, team.and_then(|consumer| consumer.team()))
        }
        None => match snapshot.native.consumer_by_key(key) {
            Some(consumer) => index.of_consumer(&consumer.name, None),
            None => {
                let credential = directory.credential("key-auth", key);
                let consumer = credential.and_then(|credential| directory.consumer(&credential.consumer));
                let consumer = consumer.ok_or_else(|| {
                    unauthorized("invalid_api_key", "the API key is not valid for this gateway")
                })?;
                index.of_consumer(&consumer.name, consumer.team())
            }
        },
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    Ok((headers, governance.standing(&identity).await.to_string()))
}

fn shown(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| {
        let mut values = HEADERS.iter().filter_map(|name| headers.get(*name));
        values.next().and_then(|value| value.to_str().ok())
    })
}

fn unauthorized(code: &'static str, message: &'static str) -> CallError {
    CallError::client(StatusCode::UNAUTHORIZED, ErrorKind::Authentication, code, message)
}
