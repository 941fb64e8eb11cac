//! Doors for the fuzz targets to parsers that nobody else has to reach. Not part of the crate's interface.

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::errors::Refusal;
use crate::query::{Query, segments};
use crate::target::Target;
use crate::{body, document};

/// The segments of a path, decoded.
pub fn path(path: &str) -> Vec<String> {
    segments(path)
}

/// The parameters of a query, decoded.
pub fn parameters(query: &str) -> Vec<(String, String)> {
    let query = Query::parse(query);
    let pairs = query.iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Reads what a path below `/apisix/admin/` means, and gives the key of the object it names.
pub fn object(segments: &[String]) -> Option<String> {
    let target = Target::parse(segments).ok()?;
    Some(target.object()?.path())
}

/// Reads the body of a request for one object; the error is what the client is told.
///
/// # Errors
/// It is no JSON.
pub fn json(bytes: &[u8]) -> Result<Option<Value>, String> {
    body::json(bytes).map_err(|refusal| match refusal {
        Refusal::Body { error, .. } => error,
        _ => String::new(),
    })
}

/// Reads the body of a request for a whole configuration.
pub fn document(headers: &HeaderMap, bytes: &[u8]) -> Option<Map<String, Value>> {
    document::parse(headers, bytes).ok()
}
