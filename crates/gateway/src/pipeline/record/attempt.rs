//! What is known about one attempt. Two attempts of a call may run side by side, so nothing of this belongs to the call.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;
use tollgate_dialects::canonical::{Part, Response, Usage};
use tollgate_dialects::passing::Noted;
use tollgate_dialects::{Dialect, Losses, estimate};
use tollgate_telemetry::LlmTokens;
use tollgate_telemetry::metrics::apisix::ActiveCall;
use tollgate_telemetry::traces::SpanId;

use super::Record;
use crate::ai::protocol::Protocol;
use crate::ai::reading::Facts;
use crate::error::AttemptError;
use crate::manners::Manners;
use crate::pipeline::choose::Candidate;
use crate::pipeline::transform::Transform;
use crate::pool::{Account, Signal};
use crate::snapshot::Instance;
use crate::upstream::{Endpoint as Address, Scheme};

/// The word for an attempt that was left because another one of the same call has answered sooner.
const OUTRUN: &str = "outrun";

/// Whom an attempt asks.
pub(super) enum Asks {
    /// An instance of a model.
    Instance {
        instance: Arc<Instance>,
        /// The name under which its model was reached, which is the provider's where the instance has no other one.
        public_name: Arc<str>,
    },
    /// A server that calls are passed to as they are.
    Server {
        /// Its address as it is configured.
        name: Arc<str>,
        scheme: &'static str,
        /// The `Host` it is sent.
        host: HeaderValue,
    },
}

impl Asks {
    pub(super) fn name(&self) -> &Arc<str> {
        match self {
            Asks::Instance { instance, .. } => &instance.name,
            Asks::Server { name, .. } => name,
        }
    }

    pub(super) fn provider(&self) -> Option<&'static str> {
        match self {
            Asks::Instance { instance, .. } => Some(instance.provider),
            Asks::Server { .. } => None,
        }
    }

    pub(super) fn model(&self) -> Option<&str> {
        match self {
            Asks::Instance {
                instance,
                public_name,
            } => Some(instance.model.as_deref().unwrap_or(public_name)),
            Asks::Server { .. } => None,
        }
    }

    pub(super) fn scheme(&self) -> &'static str {
        match self {
            Asks::Instance { instance, .. } => match instance.endpoint.scheme {
                Scheme::Https { .. } => "https",
                Scheme::Http => "http",
                Scheme::Simulated { .. } => "simulated",
            },
            Asks::Server { scheme, .. } => scheme,
        }
    }

    /// The address as APISIX logs it for the calls its AI plugins answer: as configured, whether or not it was reached.
    fn apisix_address(&self) -> Option<Arc<str>> {
        match self {
            Asks::Instance { instance, .. } if instance.ai.is_some() => {
                let Address { host, port, .. } = &instance.endpoint;
                Some(
                    match host.contains(':') {
                        true => format!("[{host}]:{port}"),
                        false => format!("{host}:{port}"),
                    }
                    .into(),
                )
            }
            Asks::Instance { .. } | Asks::Server { .. } => None,
        }
    }

    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Asks::Instance { instance, .. } => instance.endpoint.authority.to_str().ok(),
            Asks::Server { host, .. } => host.to_str().ok(),
        }
    }
}

/// What is known about one try of one instance or server.
pub struct Attempt {
    pub(super) asks: Asks,
    /// When it began.
    pub started: Instant,
    /// The address that the log tells; known when it has ended.
    pub(super) address: Option<Arc<str>>,
    pub(super) status: Option<u16>,
    /// `None` while it is in progress.
    pub(super) outcome: Option<&'static str>,
    /// From its beginning to its end; zero until then.
    pub(super) duration: Duration,
    /// Path and query that were sent.
    pub uri: String,
    /// Where it was connected to.
    pub connected_to: Option<Arc<str>>,
    /// Whether it has a connection, so that the provider may have the request.
    pub handed_over: Cell<bool>,
    /// The API in which the answer is passed on as it is; `None` if it is decoded.
    pub passed_as: Option<Protocol>,
    /// What the translation could not carry over.
    pub losses: Losses,
    pub(super) first_byte: Option<Duration>,
    pub(super) usage: Option<Usage>,
    /// The provider's usage object as it was written, where `usage` does not hold it.
    pub(super) usage_object: Option<Box<str>>,
    pub(super) answered_model: Option<String>,
    /// The dialect spoken with the provider, once decided; only if its answer is not passed on.
    pub dialect: Option<Dialect>,
    /// The tier at which it was served, by the provider's word.
    pub(super) service_tier: Option<Box<str>>,
    pub(super) has_tool_calls: bool,
    /// Its span, if calls are traced.
    pub(super) span: Option<SpanId>,
    /// The provider's id of the answer; only if calls are traced.
    pub(super) response_id: Option<Box<str>>,
    /// Why the answer ended; only if calls are traced.
    pub(super) finish_reason: Option<Box<str>>,
    /// Whether limits of tokens have charged it.
    pub(super) is_charged: bool,
    /// Whether budgets have charged it.
    pub(super) is_settled: bool,
    /// Our estimate of the input tokens of the call, for when the provider tells none.
    estimated_input: u64,
    strict: bool,
    /// What its pool is told of it, as long as it is under way.
    account: Option<Account>,
    /// Whether the pool was told that the answer has begun.
    has_begun: bool,
    /// Counts it among the active ones as long as it is under way.
    active: Option<ActiveCall>,
}

impl Attempt {
    pub(super) fn new(asks: Asks, account: Option<Account>, record: &Record) -> Box<Self> {
        Box::new(Attempt {
            active: record.active(&asks),
            asks,
            started: Instant::now(),
            address: None,
            status: None,
            outcome: None,
            duration: Duration::ZERO,
            uri: String::new(),
            connected_to: None,
            handed_over: Cell::new(false),
            passed_as: None,
            losses: Losses::new(),
            first_byte: None,
            usage: None,
            usage_object: None,
            answered_model: None,
            dialect: None,
            service_tier: None,
            has_tool_calls: false,
            span: record.trace.as_ref().map(|_| SpanId::random()),
            response_id: None,
            finish_reason: None,
            is_charged: false,
            is_settled: false,
            estimated_input: record.estimated_input,
            strict: record.manners == Manners::ApisixStrict,
            account,
            has_begun: false,
        })
    }

    /// Writes the headers that make the server's spans children of this attempt's, if calls are traced.
    pub fn write_trace(&self, record: &Record, headers: &mut HeaderMap) {
        if let (Some(trace), Some(span)) = (&record.trace, self.span) {
            trace.write(span, headers);
        }
    }

    /// The first byte of the provider's answer has come. Later calls change nothing.
    pub fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.started.elapsed());
        }
    }

    /// What has come so far may be given to the client.
    pub fn answers(&mut self) {
        if let Some(account) = &mut self.account {
            account.tell(Signal::Answered, self.started.elapsed());
            self.has_begun = true;
        }
    }

    /// The attempt has failed before anything of it was given to the client. `signal` is what that says about the instance,
    /// if anything.
    pub fn fails(&mut self, call: &str, failure: &AttemptError, signal: Option<Signal>) {
        if let (Some(mut account), Some(signal)) = (self.account.take(), signal) {
            account.tell(signal, self.started.elapsed());
        }
        self.end(
            call,
            failure.outcome,
            failure.status,
            failure.error.detail.as_deref(),
        );
    }

    /// Another attempt of the call has answered sooner.
    fn is_outrun(&mut self, call: &str) {
        if let Some(mut account) = self.account.take() {
            account.tell(Signal::Outrun, self.started.elapsed());
        }
        self.settle_cancelled();
        self.end(call, OUTRUN, None, None);
    }

    /// The attempt has ended. Later calls change nothing. `call` is the id of the call, for the log.
    pub fn end(
        &mut self,
        call: &str,
        outcome: &'static str,
        status: Option<StatusCode>,
        detail: Option<&str>,
    ) {
        if self.outcome.is_some() {
            return;
        }
        self.outcome = Some(outcome);
        self.active = None;
        self.status = status.map(|status| status.as_u16());
        self.duration = self.started.elapsed();
        if let Some(mut account) = self.account.take() {
            match outcome {
                "ok" if !self.has_begun => account.tell(Signal::Answered, self.duration),
                "ok" | "cancelled" => {}
                _ => account.tell(Signal::Failed, self.duration),
            }
        }
        let written = (self.strict && outcome != "not_sent")
            .then(|| self.asks.apisix_address())
            .flatten();
        self.address = written.or_else(|| match (&self.asks, &self.connected_to) {
            (_, Some(address)) => Some(address.clone()),
            (Asks::Server { name, .. }, None) => Some(name.as_ref().into()),
            (Asks::Instance { .. }, None) => None,
        });
        if outcome == "status" {
            // An error is all the provider said, and it has been read by now.
            self.first_byte.get_or_insert(self.duration);
        }
        if !matches!(outcome, "ok" | "not_sent" | OUTRUN) {
            tracing::info!(
                request_id = call,
                instance = %self.asks.name(),
                outcome,
                status = self.status,
                detail,
                "attempt failed"
            );
        }
    }

    /// Notes the model and usage of a whole answer.
    pub fn answered(&mut self, response: &Response) {
        self.answered_model = Some(response.model.clone());
        self.service_tier = response.service_tier.as_deref().map(Box::from);
        self.has_tool_calls = response
            .choices
            .iter()
            .flat_map(|choice| &choice.parts)
            .any(|part| matches!(part, Part::ToolCall(_)));
        if self.span.is_some() {
            self.response_id = Some(response.id.as_str())
                .filter(|id| !id.is_empty())
                .map(Box::from);
            let stop = response
                .choices
                .first()
                .and_then(|choice| choice.stop.native.as_deref());
            self.finish_reason = stop.map(Box::from);
        }
        let told = response.usage.clone();
        self.usage = told.or_else(|| Some(self.estimated(estimate::response_tokens(response))));
    }

    /// Whether a trace tells more of it than the log.
    pub fn is_traced(&self) -> bool {
        self.span.is_some()
    }

    /// Notes what a plain answer says, which the client gets as it is.
    pub fn noted(&mut self, noted: Noted<'_>) {
        self.answered_model = Some(noted.model.into_owned());
        self.service_tier = noted.service_tier.as_deref().map(Box::from);
        self.has_tool_calls = noted.has_tool_calls;
        self.usage = Some(noted.usage);
        self.usage_object = Some(noted.usage_object.into());
    }

    /// Notes what an answer that was passed on says about itself. What it does not tell stays unknown: nobody knows what an
    /// answer of an unknown kind used.
    pub fn read(&mut self, facts: Facts) {
        self.answered_model = facts.model;
        self.service_tier = facts.service_tier.map(Into::into);
        self.has_tool_calls = facts.tool_calls;
        self.usage = facts.usage;
    }

    /// Notes the usage of embeddings; `None` if the provider told none.
    pub fn embedded(&mut self, usage: Option<Usage>) {
        self.usage = usage.or_else(|| Some(self.estimated(0)));
    }

    fn estimated(&self, output: u64) -> Usage {
        Usage {
            input: self.estimated_input,
            output,
            estimated: true,
            ..Usage::default()
        }
    }

    /// The stream has ended or was left: settles what it used. What the provider did not tell is estimated and marked so.
    pub(super) fn settle_stream(&mut self, transform: &mut Transform) {
        self.losses.extend(transform.take_losses().within("answer"));
        let seen = transform.seen();
        self.answered_model = seen.model.clone();
        self.service_tier = seen.service_tier.as_deref().map(Box::from);
        self.has_tool_calls = seen.tool_calls;
        if self.span.is_some() {
            self.response_id.clone_from(&seen.id);
            self.finish_reason.clone_from(&seen.stop);
        }
        let mut usage = seen.usage.clone();
        if transform.is_estimated() {
            let told = usage.unwrap_or_default();
            let input_known = told.input_total() > 0;
            let input = if input_known {
                told.input
            } else {
                self.estimated_input
            };
            let output = told.output.max(seen.estimated_output);
            usage = Some(Usage {
                input,
                output,
                total: None,
                estimated: true,
                ..told
            });
        }
        self.usage = usage;
    }

    /// The model that answered, by its own word.
    pub(super) fn answered_model(&self) -> Option<&str> {
        self.answered_model.as_deref().filter(|model| !model.is_empty())
    }

    /// The tier at which it was served, by the provider's word: beside the answer, or in what it tells of usage.
    pub(super) fn tier(&self) -> Option<&str> {
        let in_usage = || {
            let members = &self.usage.as_ref()?.ext.0;
            let (_, tier) = members.iter().find(|(name, _)| name == "service_tier")?;
            tier.text().strip_prefix('"')?.strip_suffix('"')
        };
        self.service_tier.as_deref().or_else(in_usage)
    }

    /// The name of the dialect spoken with the provider, once decided.
    pub(super) fn dialect_name(&self) -> Option<&'static str> {
        let passed = self.passed_as.map(Protocol::dialect_name);
        passed.or_else(|| self.dialect.map(Dialect::name))
    }

    /// How its tokens are told.
    pub(super) fn llm_tokens(&self) -> LlmTokens {
        match self.passed_as {
            Some(Protocol::AnthropicMessages) if self.strict => LlmTokens::CacheApart,
            Some(Protocol::Passthrough) if self.strict => LlmTokens::Untold,
            _ => LlmTokens::Inclusive,
        }
    }

    /// It was left while it was under way and had told nothing yet: if the provider has been given the input, it may bill
    /// it.
    pub(super) fn settle_cancelled(&mut self) {
        let billed = self.handed_over.get() && self.estimated_input > 0;
        if self.outcome.is_none() && billed && self.usage.is_none() {
            self.usage = Some(self.estimated(0));
        }
    }
}

/// A place for one attempt that is under way. What is in it goes to the record, also when the call is dropped in the middle.
pub struct Slot<'a> {
    record: &'a Record,
    /// Boxed: the call's state has room for two of them, and most calls have one.
    attempt: Option<Box<Attempt>>,
}

impl<'a> Slot<'a> {
    /// An empty place.
    pub fn new(record: &'a Record) -> Self {
        Slot {
            record,
            attempt: None,
        }
    }

    /// An attempt begins. The one before it goes to the record.
    pub fn begin(&mut self, candidate: &Candidate, account: Option<Account>) -> &mut Attempt {
        self.keep();
        let asks = Asks::Instance {
            instance: candidate.instance.clone(),
            public_name: candidate.public_name.clone(),
        };
        self.attempt.insert(Attempt::new(asks, account, self.record))
    }

    /// The attempt has failed and goes to the record; tells how long it was under way.
    pub fn end(&mut self) -> Duration {
        let duration = self
            .attempt
            .as_ref()
            .map_or(Duration::ZERO, |attempt| attempt.duration);
        if let Some(attempt) = &mut self.attempt {
            self.record.admission.release(attempt.asks.name());
            self.record.settle_attempt(attempt);
        }
        self.keep();
        duration
    }

    /// Another attempt of the call has answered sooner; this one goes to the record. It is charged at once: the other answer
    /// may take minutes, in which nothing is to be held for this one. One that has failed by then stays a failure.
    pub fn is_outrun(&mut self) {
        match &mut self.attempt {
            Some(attempt) if attempt.outcome.is_none() => {
                attempt.is_outrun(&self.record.request_id);
                self.record.charge_attempt(attempt, false);
                self.record.settle_attempt(attempt);
            }
            _ => {
                self.end();
            }
        }
        self.keep();
    }

    /// Hands the attempt to the record, where it is the last one.
    fn keep(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.record.keep_attempt(attempt);
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.keep();
    }
}
