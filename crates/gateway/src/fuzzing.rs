//! Doors for the fuzz targets to parsers that nobody else has to reach. Not part of the crate's interface.

use std::time::SystemTime;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri};
use serde_json::Value;

use crate::pipeline::head::Head;
use crate::plugins::{Verifier, basic_auth, call_variables, jwt_auth, query, variables};
use crate::responses::serve;
use crate::secret_managers;
use crate::upstream::http1::{self, scripted::Scripted};

/// Reads the head of a call as the native routes do.
pub fn head(request: &Parts) {
    let head = Head::read(request);
    let _ = head.dialect_of_objects(request);
}

/// The path that routes are matched by.
pub fn normalised_path(path: &str) -> Option<String> {
    query::normalised_path(path).map(|path| path.into_owned())
}

/// The first argument of a name.
pub fn argument(query: &str, name: &str) -> Option<String> {
    query::first(query, name).map(|value| value.into_owned())
}

/// An address without the arguments of a name.
pub fn without_argument(uri: &Uri, name: &str) -> Uri {
    let mut uri = uri.clone();
    query::remove(&mut uri, name);
    uri
}

/// The names of the cookies.
pub fn cookies(headers: &HeaderMap) -> Vec<&str> {
    variables::cookies(headers).map(|(name, _)| name).collect()
}

/// The headers without a cookie.
pub fn without_cookie(headers: &HeaderMap, name: &str) -> HeaderMap {
    let mut headers = headers.clone();
    jwt_auth::remove_cookie(&mut headers, name);
    headers
}

/// User and password of an `authorization` header.
pub fn basic_credentials(value: &HeaderValue) -> Option<(String, String)> {
    basic_auth::shown(value)
}

/// Whether a text is a token that is signed as a verifier wants it.
pub fn is_signed_token(text: &str, verifier: &Verifier) -> bool {
    jwt_auth::is_signed_token(text, verifier)
}

/// The fields of a form of several parts.
pub fn form_fields(text: &str, boundary: &str) -> serde_json::Map<String, Value> {
    call_variables::form_fields(text, boundary)
}

/// Reads the arguments that choose a page of a conversation's items.
pub fn page(arguments: &str) -> bool {
    serve::Page::read(arguments).is_ok()
}

/// Reads what managers of secrets answer, and references to what they keep.
pub fn secret_answer(answer: &[u8], key: &str) {
    secret_managers::fuzz_answer(answer, key);
}

/// Reads an answer with vectors for `count` texts. Returns how many it has.
pub fn vectors(answer: &[u8], count: usize) -> Option<usize> {
    crate::ai::semantic::fuzz_vectors(answer, count)
}

/// Reads how long a peer wants to be left alone, from a header and from a body.
pub fn wait(value: &HeaderValue, body: &[u8], now: SystemTime) {
    let _ = crate::pool::wait_of(value, now);
    let _ = crate::pool::retry_after_in(body);
}

pub use crate::upstream::http1::scripted::Exchanged;

/// Reads an answer to a request of this method, as a provider sends it in pieces of `step` bytes before it closes the
/// connection.
///
/// # Errors
/// There is no answer; the text says why.
pub fn upstream_answer(bytes: &[u8], step: usize, method: &http::Method) -> Result<Exchanged, String> {
    let mut connection = http1::Connection::new(Scripted::cut(bytes, step));
    match http1::scripted::exchange(&mut connection, method) {
        Some(exchanged) => exchanged.map_err(|error| error.to_string()),
        None => Err("nothing came".to_owned()),
    }
}
