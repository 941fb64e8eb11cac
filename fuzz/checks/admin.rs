//! What must hold for any request to the Admin API.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use tollgate_admin::fuzzing;

/// A name, and what must hold for any bytes given to a parser.
pub(crate) type FuzzTarget = (&'static str, fn(&[u8]));

/// All targets of this crate.
pub(crate) const TARGETS: &[FuzzTarget] = &[("admin_request", request)];

/// The first line is a path with a query, the rest a body. What is decoded has no encoded parts left that were not written
/// twice, an object that is named is below its collection, and what is wrong with a body is told in one line with a place in it.
fn request(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, body) = bytes.split_at(end.unwrap_or(bytes.len()));
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    if let Ok(line) = std::str::from_utf8(line) {
        let (path, query) = line.split_once('?').unwrap_or((line, ""));
        let segments = fuzzing::path(path);
        assert!(
            segments
                .iter()
                .all(|segment| !segment.is_empty() && !segment.contains('/'))
        );
        if let Some(object) = fuzzing::object(&segments) {
            assert!(object.starts_with("/apisix/"), "{object}");
        }
        let parameters = fuzzing::parameters(query);
        assert!(parameters.len() <= query.split('&').count());
    }
    if let Err(told) = fuzzing::json(body) {
        assert!(!told.is_empty() && !told.contains('\n'), "{told:?}");
        if let Some((_, place)) = told.split_once(" at character ") {
            let place: usize = place.parse().expect("a number");
            assert!((1..=body.len() + 1).contains(&place), "{told} of {}", body.len());
        }
    }
    for media_type in ["application/json", "application/yaml"] {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        let _ = fuzzing::document(&headers, body);
    }
}
