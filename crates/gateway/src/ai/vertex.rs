//! OpenAI's embeddings as predictions of Google's Vertex AI.

use thiserror::Error;

/// What cannot be translated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct VertexError(String);

/// Translates a request for embeddings.
///
/// # Errors
/// The request has no input, or one that has no translation.
pub fn request(body: &[u8]) -> Result<Vec<u8>, VertexError> {
    let _ = body;
    Err(VertexError(String::new()))
}

/// Translates an answer. `model` is the one the client asked for.
///
/// # Errors
/// The answer has no vectors.
pub fn answer(body: &[u8], model: Option<&str>) -> Result<Vec<u8>, VertexError> {
    let _ = (body, model);
    Err(VertexError(String::new()))
}
