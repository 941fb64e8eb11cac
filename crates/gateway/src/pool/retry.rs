//! After which failures of an attempt another instance is tried.

use std::time::Duration;

use tollgate_dialects::canonical::ErrorKind;
use tollgate_resources::model::FallbackOn;

use crate::error::AttemptError;

/// After which failures of an attempt another instance is tried.
pub enum Retry {
    /// As the configuration's own models say.
    OfModel(FallbackOn),
    /// As `ai-proxy-multi` says.
    OfPlugin(PluginRule),
}

impl Default for Retry {
    fn default() -> Self {
        Retry::OfPlugin(PluginRule::default())
    }
}

/// The rule of `ai-proxy-multi`. The default tries nobody else.
#[derive(Clone, Debug, Default)]
pub struct PluginRule {
    /// After 429.
    pub on_429: bool,
    /// After an answer with a good status that tells of the rate limit.
    pub on_429_inside: bool,
    /// After 500 to 599, and where there was no answer.
    pub on_5xx: bool,
    /// After these statuses.
    pub statuses: Vec<u16>,
    /// When the prompt does not fit the model's context window.
    pub on_context_window: bool,
    /// When the provider's content policy refuses the request.
    pub on_content_policy: bool,
    /// When nothing was sent, because there was no connection.
    pub on_unsent: bool,
    /// Most further attempts; `None` is as many as there are instances.
    pub max_retries: Option<u64>,
    /// Only after attempts that failed within this time.
    pub within: Option<Duration>,
}

/// Why another instance is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The provider refuses for its rate limit.
    RateLimited,
    /// The provider fails, or has not answered.
    Failed,
    /// There was no connection.
    Unsent,
    /// A status that the configuration names.
    Status,
    /// The prompt does not fit the model's context window.
    ContextWindow,
    /// The provider's content policy refuses the request.
    ContentPolicy,
    /// The instance cannot express the request.
    Untranslatable,
}

impl Reason {
    /// All there are.
    pub const ALL: [Reason; 7] = [
        Reason::RateLimited,
        Reason::Failed,
        Reason::Unsent,
        Reason::Status,
        Reason::ContextWindow,
        Reason::ContentPolicy,
        Reason::Untranslatable,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Reason::RateLimited => "rate_limited",
            Reason::Failed => "failed",
            Reason::Unsent => "unsent",
            Reason::Status => "status",
            Reason::ContextWindow => "context_window",
            Reason::ContentPolicy => "content_policy",
            Reason::Untranslatable => "untranslatable",
        }
    }
}

impl Retry {
    /// Why another instance is tried after attempt number `attempt` (from 1), which failed after `elapsed`; `None` if none
    /// is tried.
    pub fn reason(&self, failure: &AttemptError, attempt: usize, elapsed: Duration) -> Option<Reason> {
        match self {
            Retry::OfModel(statuses) => of_model(statuses, failure),
            Retry::OfPlugin(rule) => rule.reason(failure, attempt, elapsed),
        }
    }

    /// Whether an answer of the provider with this status is a failure of the attempt, and not passed on as it is.
    pub fn diverts(&self, status: u16) -> bool {
        let named = match self {
            Retry::OfModel(_) => false,
            Retry::OfPlugin(rule) => rule.statuses.contains(&status),
        };
        named || status == 429 || (500..=599).contains(&status)
    }

    /// Whether it depends on what an answer says why a request is refused.
    pub fn looks_into_refusals(&self) -> bool {
        match self {
            Retry::OfModel(_) => false,
            Retry::OfPlugin(rule) => rule.on_context_window || rule.on_content_policy,
        }
    }

    /// Whether an answer that tells this error is a failure of the attempt, whatever its status.
    pub fn diverts_kind(&self, kind: ErrorKind) -> bool {
        match self {
            Retry::OfModel(_) => false,
            Retry::OfPlugin(rule) => rule.on_kind(kind).is_some(),
        }
    }
}

fn of_model(statuses: &FallbackOn, failure: &AttemptError) -> Option<Reason> {
    match failure.status {
        // An error status is the provider's word on the request; the configured rule decides.
        Some(status) if status.is_client_error() || status.is_server_error() => {
            statuses.includes(status.as_u16()).then(|| match status.as_u16() {
                429 => Reason::RateLimited,
                500..=599 => Reason::Failed,
                _ => Reason::Status,
            })
        }
        // No connection, no answer in time, an answer that broke or made no sense (a redirect to somewhere else, a 204);
        // or it was never sent because this instance cannot express it.
        _ if failure.outcome == "not_sent" => Some(Reason::Untranslatable),
        _ if failure.is_unsent() => Some(Reason::Unsent),
        _ => Some(Reason::Failed),
    }
}

impl PluginRule {
    fn reason(&self, failure: &AttemptError, attempt: usize, elapsed: Duration) -> Option<Reason> {
        let ended = self.max_retries.is_some_and(|most| attempt as u64 > most)
            || self.within.is_some_and(|within| elapsed > within);
        if ended {
            return None;
        }
        let status = failure
            .status
            .map(|status| status.as_u16())
            .filter(|status| *status >= 400);
        self.on_kind(failure.error.kind)
            .or_else(|| self.on_status(status, failure))
    }

    fn on_kind(&self, kind: ErrorKind) -> Option<Reason> {
        match kind {
            ErrorKind::ContextTooLong if self.on_context_window => Some(Reason::ContextWindow),
            ErrorKind::ContentPolicy if self.on_content_policy => Some(Reason::ContentPolicy),
            _ => None,
        }
    }

    fn on_status(&self, status: Option<u16>, failure: &AttemptError) -> Option<Reason> {
        match status {
            Some(429) if self.on_429 => Some(Reason::RateLimited),
            Some(500..=599) if self.on_5xx => Some(Reason::Failed),
            Some(status) if self.statuses.contains(&status) => Some(Reason::Status),
            Some(_) => None,
            None if failure.is_unsent() && (self.on_unsent || self.on_5xx) => Some(Reason::Unsent),
            None if self.on_429_inside && failure.error.kind == ErrorKind::RateLimit => {
                Some(Reason::RateLimited)
            }
            // Where there was no answer, the status that the client would be told counts.
            None if self.statuses.contains(&failure.error.status.as_u16()) => Some(Reason::Status),
            None if !self.on_5xx => None,
            None if failure.outcome == "not_sent" => Some(Reason::Untranslatable),
            None => Some(Reason::Failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::error::CallError;

    const SOON: Duration = Duration::from_millis(5);

    fn told(status: u16, kind: ErrorKind) -> AttemptError {
        let status = StatusCode::from_u16(status).unwrap();
        AttemptError {
            outcome: "status",
            status: Some(status),
            error: CallError::upstream(status, kind, "x", "x", "x"),
        }
    }

    fn status(status: u16) -> AttemptError {
        told(status, ErrorKind::Server)
    }

    fn silent() -> AttemptError {
        AttemptError::timeout("first_byte_timeout", SOON)
    }

    #[test]
    fn another_instance_is_tried_only_after_the_failures_that_were_named() {
        let rule = PluginRule {
            on_5xx: true,
            statuses: vec![404],
            max_retries: Some(1),
            within: Some(Duration::from_secs(1)),
            ..PluginRule::default()
        };
        let retry = Retry::OfPlugin(rule);
        assert_eq!(retry.reason(&status(503), 1, SOON), Some(Reason::Failed));
        assert_eq!(
            retry.reason(&silent(), 1, SOON),
            Some(Reason::Failed),
            "no answer counts as 500"
        );
        assert_eq!(retry.reason(&status(404), 1, SOON), Some(Reason::Status));
        assert_eq!(retry.reason(&status(429), 1, SOON), None);
        assert_eq!(
            retry.reason(&status(503), 2, SOON),
            None,
            "one retry has been made"
        );
        assert_eq!(retry.reason(&status(503), 1, Duration::from_secs(2)), None);
    }

    #[test]
    fn without_a_strategy_every_failure_is_told_at_once() {
        let retry = Retry::default();
        for failure in [silent(), status(500), AttemptError::connect("dns_error", "x")] {
            assert_eq!(retry.reason(&failure, 1, Duration::ZERO), None);
        }
    }

    #[test]
    fn what_was_never_sent_may_go_elsewhere_unless_nothing_is_ever_repeated() {
        let rule = PluginRule {
            on_unsent: true,
            ..PluginRule::default()
        };
        let unsent = AttemptError::connect("connect_error", "x");
        let retry = Retry::OfPlugin(rule.clone());
        assert_eq!(retry.reason(&unsent, 3, SOON), Some(Reason::Unsent));
        assert_eq!(retry.reason(&silent(), 1, SOON), None, "it may have been sent");
        let never = PluginRule {
            max_retries: Some(0),
            ..rule
        };
        assert_eq!(Retry::OfPlugin(never).reason(&unsent, 1, SOON), None);
    }

    #[test]
    fn a_rate_limit_that_is_told_inside_an_answer_is_one() {
        let mut inside = told(429, ErrorKind::RateLimit);
        inside.outcome = "error_event";
        inside.status = Some(StatusCode::OK);
        let rule = PluginRule {
            on_429: true,
            on_429_inside: true,
            ..PluginRule::default()
        };
        assert_eq!(
            Retry::OfPlugin(rule).reason(&inside, 1, SOON),
            Some(Reason::RateLimited)
        );
        let to_the_letter = PluginRule {
            on_429: true,
            ..PluginRule::default()
        };
        assert_eq!(Retry::OfPlugin(to_the_letter).reason(&inside, 1, SOON), None);
    }

    #[test]
    fn what_a_request_is_refused_for_is_told_apart() {
        let retry = Retry::OfPlugin(PluginRule {
            on_context_window: true,
            ..PluginRule::default()
        });
        let long = told(400, ErrorKind::ContextTooLong);
        assert_eq!(retry.reason(&long, 1, SOON), Some(Reason::ContextWindow));
        assert_eq!(retry.reason(&told(400, ErrorKind::ContentPolicy), 1, SOON), None);
        assert_eq!(retry.reason(&told(400, ErrorKind::BadRequest), 1, SOON), None);
        assert!(retry.diverts_kind(ErrorKind::ContextTooLong));
        assert!(!retry.diverts_kind(ErrorKind::ContentPolicy));
    }
}
