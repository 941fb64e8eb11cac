//! What an attempt says about the instance that was asked.

use std::time::{Duration, SystemTime};

use tollgate_dialects::canonical::ErrorKind;

use super::wait_of;
use crate::error::AttemptError;

/// What an attempt says about the instance that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The first token of a stream, or the whole of another answer, is there.
    Answered,
    /// It is well, and has refused this one request.
    Refused,
    /// It did not answer, broke off, or said that it or our access to it is not well.
    Failed,
    /// It wants to be asked less.
    RateLimited {
        /// How long it wants to be left alone, if it has told.
        retry_after: Option<Duration>,
    },
    /// Another instance has answered sooner.
    Outrun,
}

impl Signal {
    /// What a failed attempt says; `None` if it says nothing about the instance.
    pub fn of(failure: &AttemptError) -> Option<Signal> {
        if failure.outcome == "not_sent" {
            return None;
        }
        let retry_after = failure
            .error
            .retry_after
            .as_ref()
            .and_then(|value| wait_of(value, SystemTime::now()));
        let limited = Signal::RateLimited { retry_after };
        Some(match failure.status.map(|status| status.as_u16()) {
            Some(429) => limited,
            Some(503 | 529) if retry_after.is_some() => limited,
            // Our credentials are not good there any more, or there is no money: nobody can do anything with it.
            Some(401 | 402 | 408) => Signal::Failed,
            Some(400..=499) => Signal::Refused,
            // An error inside an answer with a good status.
            Some(200) if failure.outcome == "error_event" => match failure.error.kind {
                ErrorKind::RateLimit => limited,
                ErrorKind::BadRequest
                | ErrorKind::ContextTooLong
                | ErrorKind::ContentPolicy
                | ErrorKind::Permission
                | ErrorKind::NotFound
                | ErrorKind::TooLarge
                | ErrorKind::Conflict => Signal::Refused,
                ErrorKind::Authentication
                | ErrorKind::Billing
                | ErrorKind::Overloaded
                | ErrorKind::Timeout
                | ErrorKind::Server => Signal::Failed,
            },
            _ => Signal::Failed,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, StatusCode};
    use tollgate_dialects::canonical::ErrorKind;

    use super::Signal;
    use crate::error::{AttemptError, CallError};

    fn told(status: u16, kind: ErrorKind, retry_after: Option<&'static str>) -> AttemptError {
        let status = StatusCode::from_u16(status).unwrap();
        let mut error = CallError::upstream(status, kind, "x", "x", "x");
        error.retry_after = retry_after.map(HeaderValue::from_static);
        AttemptError {
            outcome: if status == StatusCode::OK {
                "error_event"
            } else {
                "status"
            },
            status: Some(status),
            error,
        }
    }

    #[test]
    fn an_instance_is_not_blamed_for_the_request() {
        for status in [400, 403, 404, 413, 422] {
            let failure = told(status, ErrorKind::BadRequest, None);
            assert_eq!(Signal::of(&failure), Some(Signal::Refused), "{status}");
        }
        let failure = told(200, ErrorKind::ContextTooLong, None);
        assert_eq!(Signal::of(&failure), Some(Signal::Refused));
    }

    #[test]
    fn an_instance_that_asks_for_patience_is_heard() {
        let wait = Signal::RateLimited {
            retry_after: Some(Duration::from_secs(7)),
        };
        for status in [429, 503, 529] {
            assert_eq!(
                Signal::of(&told(status, ErrorKind::Overloaded, Some("7"))),
                Some(wait),
                "{status}"
            );
        }
        assert_eq!(
            Signal::of(&told(200, ErrorKind::RateLimit, None)),
            Some(Signal::RateLimited { retry_after: None })
        );
        assert_eq!(
            Signal::of(&told(503, ErrorKind::Overloaded, None)),
            Some(Signal::Failed)
        );
    }

    #[test]
    fn what_is_broken_or_locked_out_has_failed() {
        for status in [401, 402, 408, 500, 502, 504] {
            let failure = told(status, ErrorKind::Server, None);
            assert_eq!(Signal::of(&failure), Some(Signal::Failed), "{status}");
        }
        let unreachable = AttemptError::connect("dns_error", "x");
        assert_eq!(Signal::of(&unreachable), Some(Signal::Failed));
    }
}
