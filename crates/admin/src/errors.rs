//! Why a request is refused, with APISIX's statuses and texts. All of them become answers here.

use std::io::ErrorKind;

use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::{Value, json};
use thiserror::Error;
use tollgate_store::StoreError;

use crate::answer::Answer;

/// Why a request is refused.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// No key, a wrong one, or one that does not open this.
    #[error("failed to check token: {0}")]
    Token(&'static str),
    /// A wrong key after too many others from the same address; in how many seconds they are forgotten.
    #[error("too many wrong keys came from your address; a right one is served")]
    WrongKeys(u64),
    /// The client's address is not on the list.
    #[error("address is not allowed")]
    Address,
    /// No such path.
    #[error("no such path")]
    NoPath,
    /// No such kind of object.
    #[error("Unsupported resource type: {0}")]
    NoKind(String),
    /// The resource does not know the method.
    #[error("not found")]
    NoMethod,
    /// The resource knows the method but does not allow it.
    #[error("not supported `{method}` method for {word}")]
    Method {
        /// The method.
        method: String,
        /// The kind of object.
        word: &'static str,
    },
    /// No such object.
    #[error("Key not found")]
    NoObject,
    /// A body that is no JSON. Its text goes back to the one who sent it, and nowhere else.
    #[error("invalid request body: {error}")]
    Body {
        /// What is wrong.
        error: String,
        /// The body.
        raw: String,
    },
    /// What was asked for is wrong; the text says how.
    #[error("{0}")]
    Invalid(String),
    /// Text without JSON around it, where APISIX has it so.
    #[error("{0}")]
    Plain(&'static str),
    /// What was asked for depends on something that is not there.
    #[error("{0}")]
    Missing(String),
    /// A method that only one path refuses.
    #[error("{0}")]
    NotAllowed(String),
    /// A document with mistakes, all of them.
    #[error("Configuration validation failed")]
    Document(Vec<Value>),
    /// The request comes from a page of somebody else; the text says what would let it in.
    #[error("{0}")]
    Page(&'static str),
    /// The object is not what its writer said it has to be.
    #[error("{0}")]
    Stale(String),
    /// The store cannot do it now.
    #[error("{0}")]
    Store(String),
    /// The store has no room for it.
    #[error("nothing was changed: the disk of the store is full")]
    Full,
    /// A fault of ours.
    #[error("internal error")]
    Fault,
}

impl Refusal {
    /// The status it is told with.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Refusal::Token(_) => StatusCode::UNAUTHORIZED,
            Refusal::WrongKeys(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Address | Refusal::Page(_) => StatusCode::FORBIDDEN,
            Refusal::NoPath
            | Refusal::NoKind(_)
            | Refusal::NoMethod
            | Refusal::NoObject
            | Refusal::Missing(_) => StatusCode::NOT_FOUND,
            Refusal::Method { .. } | Refusal::NotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Body { .. } | Refusal::Invalid(_) | Refusal::Plain(_) | Refusal::Document(_) => {
                StatusCode::BAD_REQUEST
            }
            Refusal::Stale(_) => StatusCode::PRECONDITION_FAILED,
            Refusal::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Full => StatusCode::INSUFFICIENT_STORAGE,
            Refusal::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// What the writer is told when the store refuses. Nothing of the operator's paths.
impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Self {
        let StoreError::Io { source, .. } = error else {
            return Refusal::Store(match error {
                StoreError::Changed { .. } => "value changed before overwritten".to_owned(),
                _ => UNSTORED.to_owned(),
            });
        };
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Refusal::Full,
            ErrorKind::ReadOnlyFilesystem => {
                Refusal::Store("nothing was changed: the disk of the store is read-only".to_owned())
            }
            _ => Refusal::Store(UNSTORED.to_owned()),
        }
    }
}

const UNSTORED: &str = "nothing was changed: the store cannot be written; the log says why";

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let status = refusal.status();
        let text = refusal.to_string();
        match refusal {
            Refusal::Token(why) => Answer::json(
                status,
                json!({"error_msg": "failed to check token", "description": why}),
            ),
            Refusal::WrongKeys(seconds) => Answer::json(
                status,
                json!({"error_msg": "failed to check token", "description": text}),
            )
            .with(RETRY_AFTER, seconds.into()),
            Refusal::Address | Refusal::NoPath => Answer::page(status),
            Refusal::NoObject => Answer::json(status, json!({"message": text})),
            Refusal::Body { raw, .. } => Answer::json(status, json!({"error_msg": text, "req_body": raw})),
            Refusal::Plain(text) => Answer::text(status, text),
            Refusal::Document(errors) => Answer::json(status, json!({"error_msg": text, "errors": errors})),
            _ => Answer::json(status, json!({"error_msg": text})),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn whoever_writes_is_told_why_the_disk_refuses_and_nothing_of_its_paths() {
        let told = |kind: ErrorKind| {
            let refusal = Refusal::from(&StoreError::Io {
                path: "/planted/tollgate.db".into(),
                source: io::Error::new(kind, "planted"),
            });
            let text = refusal.to_string();
            assert!(
                text.starts_with("nothing was changed: ") && !text.contains("planted"),
                "{text}"
            );
            (
                refusal.status().as_u16(),
                text.contains("full"),
                text.contains("read-only"),
            )
        };
        for kind in [
            ErrorKind::StorageFull,
            ErrorKind::QuotaExceeded,
            ErrorKind::FileTooLarge,
        ] {
            assert_eq!(told(kind), (507, true, false), "{kind}");
        }
        assert_eq!(told(ErrorKind::ReadOnlyFilesystem), (503, false, true));
        // EIO has no kind of its own.
        for kind in [ErrorKind::Other, ErrorKind::PermissionDenied, ErrorKind::NotFound] {
            assert_eq!(told(kind), (503, false, false), "{kind}");
        }
    }
}
