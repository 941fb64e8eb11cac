//! What both ends of HTTP/1 have in common: the client's connection (`server::http1`) and the provider's (`upstream::http1`).

pub mod framing;
pub mod scratch;
pub mod scripted;
pub mod told;

use bytes::Bytes;

/// What stands in `own`, a copy of the beginning of `bytes`, where `part` is in `bytes`.
pub fn part(own: &Bytes, bytes: &[u8], part: &[u8]) -> Bytes {
    let start = part.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
    match start.checked_add(part.len()) {
        Some(end) if end <= own.len() => own.slice(start..end),
        // A parser whose values are elsewhere.
        _ => Bytes::copy_from_slice(part),
    }
}
