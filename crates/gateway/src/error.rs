//! The one error that crosses the pipeline. It is encoded once, in the client's dialect, by [`crate::pipeline::refuse`].

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::{ErrorKind, ProviderError};

use crate::plugins::{Key, Reply};

/// The code of an error that the provider told without a code of its own.
pub const TOLD_BY_PROVIDER: &str = "upstream_error";

/// The code of a request whose end is ambiguous. Its connection is closed, because nobody knows where the next one begins.
pub const INVALID_FRAMING: &str = "invalid_framing";

/// The code of a call that is refused because too much is going on.
pub const OVERLOADED: &str = "overloaded";

/// The code of a body that is longer than allowed.
pub const REQUEST_TOO_LARGE: &str = "request_too_large";

/// The code of a body that does not come.
pub const REQUEST_TIMEOUT: &str = "request_timeout";

/// How an attempt ends whose address may not be connected to.
pub const ADDRESS_REFUSED: &str = "address_refused";

/// Whose fault an error is; decides log level and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller sent something we cannot serve.
    Client,
    /// The provider failed or refused.
    Upstream,
    /// We failed.
    Gateway,
}

/// Why a call was not answered as asked. In a box: everything that may fail keeps room for its error.
#[derive(Clone, Debug)]
pub struct CallError(Box<Failure>);

impl Deref for CallError {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl DerefMut for CallError {
    fn deref_mut(&mut self) -> &mut Failure {
        &mut self.0
    }
}

/// What is known of an error.
#[derive(Clone, Debug)]
pub struct Failure {
    /// HTTP status for the caller.
    pub status: StatusCode,
    /// Stable machine-readable code, used in the answer, the log and metrics alike.
    pub code: Cow<'static, str>,
    /// What it means, independent of dialect.
    pub kind: ErrorKind,
    /// Text for the caller. Never holds an address, a key, a path or a type name.
    pub message: Cow<'static, str>,
    /// Text for the operator, for the log only.
    pub detail: Option<String>,
    /// Whose fault it is.
    pub fault: Fault,
    /// The request field at fault, where one is known.
    pub param: Option<String>,
    /// How long the caller should wait, as the provider or we say it (raw header value).
    pub retry_after: Option<http::HeaderValue>,
    /// The provider's own error answer, repeated verbatim to a client of the same dialect.
    pub verbatim: Option<Box<Verbatim>>,
    /// How APISIX tells it, on routes written with its plugins.
    pub form: Form,
    /// A plugin's own answer, on routes written with APISIX's plugins.
    pub reply: Option<Box<PluginReply>>,
}

/// A plugin's own answer to a call.
#[derive(Clone, Debug)]
pub struct PluginReply {
    /// What the plugin says.
    pub reply: Reply,
    /// The configured body that replaces it (`_meta.error_response`).
    pub replaced_by: Option<serde_json::Value>,
}

/// How APISIX tells an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// With the server's page for the status.
    #[default]
    Page,
    /// As JSON under this key.
    Json(Key),
    /// As plain text.
    Text,
}

/// An error answer of a provider, as it came (credentials masked).
#[derive(Clone, Debug)]
pub struct Verbatim {
    /// The dialect it is written in; `None` if every client of the call understands it.
    pub dialect: Option<Dialect>,
    /// Its content type.
    pub content_type: Option<http::HeaderValue>,
    /// What Amazon calls the error (`x-amzn-errortype`).
    pub error_type: Option<http::HeaderValue>,
    /// Its body.
    pub body: Bytes,
}

impl CallError {
    /// A mistake of the caller.
    #[cold]
    pub fn client(
        status: StatusCode,
        kind: ErrorKind,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(status, kind, code, message, Fault::Client)
    }

    /// A failure of the provider or of the way to it. `message` is for the caller, `detail` for the log.
    #[cold]
    pub fn upstream(
        status: StatusCode,
        kind: ErrorKind,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        let mut error = Self::new(status, kind, code, message, Fault::Upstream);
        error.detail = Some(detail.into());
        error
    }

    /// A failure of ours.
    #[cold]
    pub fn gateway(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::Server,
            code,
            message,
            Fault::Gateway,
        )
    }

    /// Checks have found every instance ill, and ask again after this time.
    #[cold]
    pub fn nobody_is_well(again_in: Duration) -> Self {
        let mut error = Self::upstream(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Overloaded,
            "no_healthy_instance",
            "no provider of this model is well at the moment",
            "checks have found every instance ill",
        );
        let seconds = again_in.as_secs() + u64::from(again_in.subsec_nanos() > 0);
        error.retry_after = Some(seconds.max(1).into());
        error
    }

    /// Operators have disabled every instance.
    #[cold]
    pub fn switched_off() -> Self {
        let mut error = Self::gateway(
            "model_disabled",
            "this model is switched off; whoever runs the gateway can enable one of its instances",
        );
        error.status = StatusCode::SERVICE_UNAVAILABLE;
        error
    }

    /// The body of a request is longer than `limit` bytes.
    #[cold]
    pub fn too_large(limit: u64) -> Self {
        CallError::client(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::TooLarge,
            REQUEST_TOO_LARGE,
            format!("the request body is larger than {limit} bytes"),
        )
    }

    /// The body of a request does not come.
    #[cold]
    pub fn body_is_late() -> Self {
        CallError::client(
            StatusCode::REQUEST_TIMEOUT,
            ErrorKind::Timeout,
            REQUEST_TIMEOUT,
            "the request body did not arrive in time",
        )
    }

    /// Names the request field at fault.
    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    #[cold]
    fn new(
        status: StatusCode,
        kind: ErrorKind,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
        fault: Fault,
    ) -> Self {
        CallError(Box::new(Failure {
            status,
            code: Cow::Borrowed(code),
            kind,
            message: message.into(),
            detail: None,
            fault,
            param: None,
            retry_after: None,
            verbatim: None,
            form: Form::Page,
            reply: None,
        }))
    }

    /// Says that APISIX tells this as JSON under a key.
    #[must_use]
    pub fn told_as(mut self, key: Key) -> Self {
        self.form = Form::Json(key);
        self
    }

    /// Says that APISIX tells this as plain text.
    #[must_use]
    pub fn told_as_text(mut self) -> Self {
        self.form = Form::Text;
        self
    }

    /// The same error as the dialects' encoders take it. `client` decides the status words that only it knows (529).
    pub fn to_provider_error(&self) -> ProviderError {
        // A provider's code is a word of its dialect: a client of another one is told the word for the kind instead.
        let has_own_code = self.verbatim.is_none() && self.code != TOLD_BY_PROVIDER;
        ProviderError {
            kind: self.kind,
            status: self.status.as_u16(),
            message: self.message.clone().into_owned(),
            native_type: None,
            code: has_own_code.then(|| self.code.clone().into_owned()),
            param: self.param.clone(),
            raw: None,
        }
    }

    /// The status for a client of `dialect`: overload is 529 for Anthropic's clients and 503 for all others; 424 (a
    /// provider's model failed) means nothing to a caller and becomes 502. A wrong key is forbidden at Amazon.
    pub fn status_for(&self, dialect: Dialect) -> StatusCode {
        match (self.status.as_u16(), dialect, self.kind) {
            (503, Dialect::AnthropicMessages, ErrorKind::Overloaded) => overloaded(),
            (529, Dialect::AnthropicMessages, _) => self.status,
            (529, _, _) => StatusCode::SERVICE_UNAVAILABLE,
            (424, _, _) => StatusCode::BAD_GATEWAY,
            (401, Dialect::BedrockConverse, _) => StatusCode::FORBIDDEN,
            _ => self.status,
        }
    }
}

/// Anthropic's status for an overloaded service.
fn overloaded() -> StatusCode {
    StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// How one attempt failed, before anything reached the client.
#[derive(Debug)]
pub struct AttemptError {
    /// The word for logs and headers, such as `connect_error`.
    pub outcome: &'static str,
    /// The provider's status, if it answered.
    pub status: Option<StatusCode>,
    /// What the caller sees if no other attempt succeeds.
    pub error: CallError,
}

impl AttemptError {
    /// The connection could not be made.
    #[cold]
    pub fn connect(outcome: &'static str, detail: impl Into<String>) -> Self {
        let status = if outcome == "connect_timeout" {
            StatusCode::GATEWAY_TIMEOUT
        } else {
            StatusCode::BAD_GATEWAY
        };
        AttemptError {
            outcome,
            status: None,
            error: CallError::upstream(
                status,
                ErrorKind::Server,
                "upstream_unreachable",
                "the provider could not be reached",
                detail,
            ),
        }
    }

    /// The provider took too long.
    #[cold]
    pub fn timeout(outcome: &'static str, waited: Duration) -> Self {
        AttemptError {
            outcome,
            status: None,
            error: CallError::upstream(
                StatusCode::GATEWAY_TIMEOUT,
                ErrorKind::Timeout,
                "upstream_timeout",
                "the provider did not answer in time",
                format!("{outcome} after {} ms", waited.as_millis()),
            ),
        }
    }

    /// The time for all attempts of the call is over.
    #[cold]
    pub fn deadline(waited: Duration) -> Self {
        AttemptError {
            outcome: "deadline",
            status: None,
            error: CallError::upstream(
                StatusCode::GATEWAY_TIMEOUT,
                ErrorKind::Timeout,
                "deadline_exceeded",
                format!("no provider answered within {} ms", waited.as_millis()),
                "deadline_ms is over",
            ),
        }
    }

    /// Whether nothing of the request was sent, because there was no connection.
    pub fn is_unsent(&self) -> bool {
        matches!(
            self.outcome,
            "connect_error" | "connect_timeout" | "dns_error" | "tls_error" | ADDRESS_REFUSED
        )
    }

    /// The connection broke while the answer was expected or read.
    #[cold]
    pub fn broken(outcome: &'static str, detail: impl Into<String>) -> Self {
        AttemptError {
            outcome,
            status: None,
            error: CallError::upstream(
                StatusCode::BAD_GATEWAY,
                ErrorKind::Server,
                "upstream_connection_lost",
                "the connection to the provider was lost before the answer was complete",
                detail,
            ),
        }
    }

    /// The provider answered something that is not its dialect.
    #[cold]
    pub fn garbled(outcome: &'static str, status: StatusCode, detail: impl Into<String>) -> Self {
        AttemptError {
            outcome,
            status: Some(status),
            error: CallError::upstream(
                StatusCode::BAD_GATEWAY,
                ErrorKind::Server,
                "upstream_bad_answer",
                "the provider's answer could not be understood",
                detail,
            ),
        }
    }
}
