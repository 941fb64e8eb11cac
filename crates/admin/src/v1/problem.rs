//! Why a request below `/tollgate/v1/` is refused: `{"error": {"code", "message", "field"}}`.

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde_json::json;
use tollgate_store::StoreError;

use crate::answer::Answer;
use crate::errors::Refusal;

/// Why a request is refused. Its message says what to do instead.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The status it is told with.
    pub(crate) status: StatusCode,
    /// For programs: never changes.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) message: String,
    /// The member of the body, or the parameter, that is wrong.
    pub(crate) field: Option<String>,
    /// After how many seconds it may work.
    pub(crate) retry_after_s: Option<u64>,
}

#[allow(dead_code, reason = "each area uses those that it needs")]
impl Problem {
    /// A problem that no field is to blame for.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Problem {
        Problem {
            status,
            code,
            message: message.into(),
            field: None,
            retry_after_s: None,
        }
    }

    /// A member of the body or a parameter is wrong.
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem {
            field: Some(field.into()),
            ..Problem::new(StatusCode::BAD_REQUEST, "invalid", message)
        }
    }

    /// There is no such thing.
    pub(crate) fn unknown(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The path does not know the method.
    pub(crate) fn method(allowed: &str) -> Problem {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("use {allowed}"),
        )
    }

    /// The sender's role does not allow it.
    pub(crate) fn forbidden(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// What is to be changed is not as the writer has seen it.
    pub(crate) fn changed(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::PRECONDITION_FAILED, "changed", message)
    }

    /// It contradicts something that is there.
    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, code, message)
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        if matches!(error, StoreError::Changed { .. }) {
            return Problem::changed(
                "it was changed by somebody else meanwhile: read it again and decide anew",
            );
        }
        Problem::from(Refusal::from(error))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::Token(_) => "unauthorized",
            Refusal::WrongKeys(_) => "too_many_wrong_keys",
            Refusal::Address | Refusal::Page(_) => "forbidden",
            Refusal::NoPath
            | Refusal::NoKind(_)
            | Refusal::NoMethod
            | Refusal::NoObject
            | Refusal::Missing(_) => "not_found",
            Refusal::Method { .. } | Refusal::NotAllowed(_) => "method_not_allowed",
            Refusal::Body { .. } | Refusal::Invalid(_) | Refusal::Plain(_) | Refusal::Document(_) => {
                "invalid"
            }
            Refusal::Stale(_) => "changed",
            Refusal::Store(_) => "store_unavailable",
            Refusal::Full => "store_full",
            Refusal::Fault => "internal",
        };
        let message = match &refusal {
            Refusal::Token("missing apikey") => {
                "send a key of the Admin API as X-API-KEY, or sign in with POST /tollgate/v1/session"
                    .to_owned()
            }
            Refusal::Token("wrong apikey") => "no key of the Admin API is this one".to_owned(),
            _ => refusal.to_string(),
        };
        Problem {
            retry_after_s: match &refusal {
                Refusal::WrongKeys(seconds) => Some(*seconds),
                _ => None,
            },
            ..Problem::new(refusal.status(), code, message)
        }
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let mut error = json!({"code": problem.code, "message": problem.message});
        if let Some(field) = problem.field {
            error["field"] = field.into();
        }
        let answer = Answer::json(problem.status, json!({"error": error}));
        match problem.retry_after_s {
            Some(seconds) => answer.with(RETRY_AFTER, HeaderValue::from(seconds)),
            None => answer,
        }
    }
}
