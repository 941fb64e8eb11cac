//! Reads the body of a request, once, within its limits.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body::Body;
use tollgate_dialects::canonical::ErrorKind;
use tollgate_resources::model::Compat;

use crate::error::CallError;
use crate::overload::{Held, Overload, UNCOUNTED};
use crate::server::Arriving;
use crate::snapshot::{Native, Route};

/// What is reserved at once for a body whose length is announced; more grows as it really arrives.
const MAX_RESERVED: u64 = 1024 * 1024;

/// The body of a request that may not be needed, or not as a whole.
pub enum ClientBody {
    /// Still on the connection.
    Unread(Arriving),
    /// Read.
    Read(Bytes),
    /// Failed to be read; nothing is left of it.
    Lost,
}

impl ClientBody {
    /// The bytes, if they have been read.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            ClientBody::Read(bytes) => Some(bytes),
            ClientBody::Unread(_) | ClientBody::Lost => None,
        }
    }
}

/// Reads a body as a whole, unless that has been done.
///
/// # Errors
/// 413 above `limit` bytes, 408 when the client is too slow, 400 when it breaks off, 503 when there is no memory for it.
pub async fn read_into(
    body: &mut ClientBody,
    limit: u64,
    patience: Duration,
    overload: &Arc<Overload>,
) -> Result<Bytes, CallError> {
    let incoming = match std::mem::replace(body, ClientBody::Lost) {
        ClientBody::Unread(incoming) => incoming,
        ClientBody::Read(bytes) => {
            *body = ClientBody::Read(bytes.clone());
            // It may have been read for a route's condition, under another limit.
            return if bytes.len() as u64 > limit {
                Err(CallError::too_large(limit))
            } else {
                Ok(bytes)
            };
        }
        ClientBody::Lost => return Err(incomplete("the body was lost".to_owned())),
    };
    let bytes = read_within(incoming, limit, patience, overload).await?;
    *body = ClientBody::Read(bytes.clone());
    Ok(bytes)
}

/// Reads a request body.
///
/// # Errors
/// 415 for a media type or coding we do not read, 413 above the size limit, 408 when the client is too slow, 400 when it
/// breaks off, 503 when there is no memory for it.
pub async fn read(
    snapshot: &Native,
    route: &Route,
    headers: &HeaderMap,
    body: Arriving,
    overload: &Arc<Overload>,
) -> Result<Bytes, CallError> {
    if route.models.compat != Compat::NginxDemo {
        check_media_type(headers)?;
    }
    check_coding(headers)?;
    read_within(body, snapshot.max_body_bytes, snapshot.body_timeout, overload).await
}

async fn read_within(
    mut body: Arriving,
    limit: u64,
    patience: Duration,
    overload: &Arc<Overload>,
) -> Result<Bytes, CallError> {
    let announced = body.size_hint().lower();
    if announced > limit {
        return Err(too_large_by(announced, limit));
    }
    // What came with the head is used as it is.
    if announced <= UNCOUNTED as u64
        && let Some(whole) = body.take_whole()
    {
        return Ok(whole);
    }
    match tokio::time::timeout(patience, collect(body, limit, announced, overload)).await {
        Ok(read) => read,
        Err(_) => Err(CallError::body_is_late()),
    }
}

async fn collect(
    mut body: Arriving,
    limit: u64,
    announced: u64,
    overload: &Arc<Overload>,
) -> Result<Bytes, CallError> {
    // What is announced is held at once: of many that come together some get through, instead of none.
    let mut held: Option<Held> = None;
    if announced > UNCOUNTED as u64 {
        held.insert(Held::new(overload)).grow(announced)?;
    }
    let bytes = match body.take_whole() {
        Some(whole) => whole,
        None => {
            let room = announced.min(MAX_RESERVED).try_into().unwrap_or(0);
            let mut read = BytesMut::with_capacity(room);
            while body
                .read_into(&mut read)
                .await
                .map_err(|error| incomplete(error.to_string()))?
            {
                if read.len() as u64 > limit {
                    return Err(CallError::too_large(limit));
                }
                if read.len() > UNCOUNTED {
                    held.get_or_insert_with(|| Held::new(overload))
                        .grow(read.len() as u64)?;
                }
            }
            read.freeze()
        }
    };
    Ok(match held {
        Some(held) => Bytes::from_owner(LongBody { bytes, _held: held }),
        None => bytes,
    })
}

/// A long body, which counts until nobody needs it any more.
struct LongBody {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for LongBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), CallError> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let text = value.to_str().unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    let subtype = media_type
        .split_once('/')
        .filter(|(kind, _)| kind.eq_ignore_ascii_case("application"))
        .map_or("", |(_, subtype)| subtype);
    let suffix = subtype.rsplit_once('+').map_or(subtype, |(_, suffix)| suffix);
    if suffix.eq_ignore_ascii_case("json") {
        return Ok(());
    }
    Err(CallError::client(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::BadRequest,
        "unsupported_content_type",
        "the request body must be JSON; send `Content-Type: application/json`",
    ))
}

fn check_coding(headers: &HeaderMap) -> Result<(), CallError> {
    match headers.get(CONTENT_ENCODING) {
        Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"identity") => Err(CallError::client(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorKind::BadRequest,
            "unsupported_content_encoding",
            "compressed request bodies are not accepted; send the body as it is",
        )),
        _ => Ok(()),
    }
}

fn incomplete(detail: String) -> CallError {
    let mut error = CallError::client(
        StatusCode::BAD_REQUEST,
        ErrorKind::BadRequest,
        "incomplete_body",
        "the request body broke off before it was complete",
    );
    error.detail = Some(detail);
    error
}

fn too_large_by(announced: u64, limit: u64) -> CallError {
    let mut error = CallError::too_large(limit);
    error.detail = Some(format!("{announced} bytes were announced"));
    error
}
