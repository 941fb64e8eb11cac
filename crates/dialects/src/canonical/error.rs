//! Errors: of a provider, and of decoding.

use thiserror::Error;

use crate::json::RawJson;

/// What an error of a provider means, independent of its dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong.
    BadRequest,
    /// The prompt does not fit the model's context window.
    ContextTooLong,
    /// The provider's content policy refused the request.
    ContentPolicy,
    /// The credential is wrong.
    Authentication,
    /// The credential may not do this.
    Permission,
    /// No money or quota; waiting does not help.
    Billing,
    /// The model or resource does not exist.
    NotFound,
    /// The request is too large.
    TooLarge,
    /// Too many requests or tokens; waiting helps.
    RateLimit,
    /// The provider is overloaded.
    Overloaded,
    /// The provider took too long.
    Timeout,
    /// The provider failed.
    Server,
    /// Another call changed the same thing.
    Conflict,
}

/// An error as a provider told it, in an error answer or in the middle of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderError {
    /// What it means.
    pub kind: ErrorKind,
    /// The HTTP status; for an error inside a stream the status it would have had.
    pub status: u16,
    /// The provider's text for a person.
    pub message: String,
    /// The provider's `type`, as written.
    pub native_type: Option<String>,
    /// The provider's `code`, as text.
    pub code: Option<String>,
    /// The field it complains about (OpenAI's `param`).
    pub param: Option<String>,
    /// The error document as it was written, for exact repetition in the same dialect.
    pub raw: Option<RawJson>,
}

/// A document that is not what its dialect says, with the place and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{problem}", if .path.is_empty() { String::new() } else { format!("{}: ", .path) })]
pub struct DecodeError {
    /// Path of the field, such as `messages[2].content[0].type`; empty for the whole document.
    pub path: String,
    /// What is wrong and what was expected.
    pub problem: String,
}

impl DecodeError {
    /// An error at `path`.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        DecodeError {
            path: path.into(),
            problem: problem.into(),
        }
    }
}
