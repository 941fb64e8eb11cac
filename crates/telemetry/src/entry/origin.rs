//! An entry that is no JSON: the request as the client sent it.

use super::{Bodies, Scene, cut};
use crate::record::CallRecord;

/// Appends the request: its line, its headers and, up to so many bytes, its body.
pub fn write(call: &CallRecord<'_>, body: Option<usize>, reveals_secrets: bool, out: &mut Vec<u8>) {
    let scene = Scene {
        call,
        bodies: Bodies::default(),
        reveals: reveals_secrets,
    };
    let uri = scene.uri(call.request_uri);
    for part in [call.method, " ", &uri, " ", call.http_version, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in call.request_headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(&scene.header(name.as_str(), value.as_bytes()));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if let (Some(limit), Some(body)) = (body, call.request_body) {
        out.extend_from_slice(cut(body, limit));
    }
}
