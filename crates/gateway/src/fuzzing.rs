//! Doors for the fuzz targets to parsers that nobody else has to reach. Not part of the crate's interface.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri};
use serde_json::Value;
use tollgate_dialects::scan::scan;
use tollgate_telemetry::Metrics;

use crate::http1::scripted::Scripted;
use crate::pipeline::head::Head;
use crate::plugins::{Verifier, basic_auth, call_variables, jwt_auth, query, variables};
use crate::responses::serve::{self, Question};
use crate::responses::{Purpose, Responses};
use crate::secret_managers;
use crate::upstream::http1;

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

/// What a conversation of one turn gives.
#[derive(Debug, Default)]
pub struct Conversation {
    /// Documents that are to be JSON: the request as it goes on, what can be asked about it, and the next request.
    pub documents: Vec<Bytes>,
    /// The answer as its client sees it; `None` if the request is refused.
    pub answer: Option<Bytes>,
    /// The same bytes taken for a stream, cut in pieces of this length.
    pub streams: Vec<Vec<u8>>,
}

/// Takes a request of the Responses API and an answer through everything that keeps conversations.
pub fn conversation(request: &[u8], answer: &[u8], cuts: &[usize]) -> Conversation {
    const OWNER: &str = "somebody";
    const MAX_BYTES: u64 = 1024 * 1024;
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
        return Conversation::default();
    };
    runtime.block_on(async {
        let mut given = Conversation::default();
        let responses = Responses::in_memory(&Arc::new(Metrics::default()));
        let expand = async |id: &str, body: &Bytes| {
            let members = scan(body).ok()?;
            let expanded =
                responses.expand(OWNER, id.to_owned(), Purpose::Answer, (body, &members), MAX_BYTES);
            expanded.await.ok()?
        };
        let answer = Bytes::copy_from_slice(answer);
        let Some(expanded) = expand("resp_1", &Bytes::copy_from_slice(request)).await else {
            return given;
        };
        given.documents.push(expanded.body);
        for cut in cuts {
            let Some(mut tap) = responses.tap(&expanded.asked) else {
                break;
            };
            let mut stream = Vec::new();
            for piece in answer.chunks((*cut).max(1)) {
                stream.extend_from_slice(&tap.feed(&Bytes::copy_from_slice(piece)));
            }
            stream.extend_from_slice(&tap.finish());
            given.streams.push(stream);
        }
        given.answer = Some(responses.whole(&answer, &expanded.asked));
        let Some(store) = responses.store() else {
            return given;
        };
        for below in ["resp_1", "resp_1/input_items"] {
            let Some(question) = Question::read(below) else {
                continue;
            };
            given
                .documents
                .extend(serve::answer(store, OWNER, &question, &Method::GET, "limit=3").await);
        }
        let next = Bytes::from_static(br#"{"input":"And?","previous_response_id":"resp_1"}"#);
        given
            .documents
            .extend(expand("resp_2", &next).await.map(|expanded| expanded.body));
        given
    })
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

pub use crate::server::client_requests;
pub use crate::upstream::http1::scripted::Exchanged;

/// Reads an answer to a request of this method, as a provider sends it in pieces of `step` bytes before it closes the
/// connection.
///
/// # Errors
/// There is no answer; the text says why.
pub fn upstream_answer(bytes: &[u8], step: usize, method: &Method) -> Result<Exchanged, String> {
    let mut connection = http1::Connection::new(Scripted::cut(bytes, step));
    match http1::scripted::exchange(&mut connection, method) {
        Some(exchanged) => exchanged.map_err(|error| error.to_string()),
        None => Err("nothing came".to_owned()),
    }
}
