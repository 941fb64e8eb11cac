//! What budgets and limits of the caller say to a call, and what they are told of it.

use tollgate_dialects::Dialect;
use tollgate_telemetry::prices::Asked as Priced;
use tollgate_telemetry::{Cost, TokenUsage};

use super::line::{cost, token_usage};
use super::{Asked, Attempt, Endpoint, OutputLimit, Record};
use crate::ai::protocol::Protocol;
use crate::error::CallError;
use crate::governance::{Charges, Expected, Governed, Identity};
use crate::snapshot::{Instance, Model};

/// Tokens that are reserved for an answer where nobody says how long it may become.
const OTHERWISE: u64 = 4096;

impl Record {
    /// Who calls, as far as budgets and limits go.
    pub fn is(&mut self, identity: Option<&Identity>) {
        let Some(identity) = identity else {
            return;
        };
        if let Some(key) = &identity.key {
            self.credential = Some(key.id.clone());
        }
        self.team.clone_from(&identity.team);
        let peeks = self.explains().is_some();
        self.governed = Governed::of(self.worker.gateway.governance(), identity.clone(), peeks);
    }

    /// Who calls, if anything counts for that one.
    pub fn identity(&self) -> Option<Identity> {
        self.governed.as_ref().map(|governed| governed.identity.clone())
    }

    /// Lets the call in, or not.
    ///
    /// # Errors
    /// A limit has no room for one more call, or a team is disabled.
    pub async fn enter(&self) -> Result<(), CallError> {
        match &self.governed {
            // A call that is only explained counts nowhere.
            Some(governed) if self.explains().is_none() => governed.enter().await,
            _ => Ok(()),
        }
    }

    /// Whether the caller may ask for a model. One that leaves it to the route is asked again when it is known.
    ///
    /// # Errors
    /// One of the levels does not let it.
    pub fn may_use(&self, model: &str) -> Result<(), CallError> {
        match &self.governed {
            Some(governed) if !model.is_empty() => governed.may_use(model),
            _ => Ok(()),
        }
    }

    /// Reserves what an attempt at an instance may use.
    ///
    /// # Errors
    /// A budget or a limit has no room for it.
    pub async fn reserve(&self, instance: &Instance, model: &Model, upstream: &str) -> Result<(), CallError> {
        let Some(governed) = &self.governed else {
            return Ok(());
        };
        if self.request_model.is_none() {
            governed.may_use(upstream)?;
        }
        if !governed.reserves() {
            return Ok(());
        }
        let output = self.output.as_ref().map_or(0, |output| {
            let otherwise = || {
                let known = || instance.capabilities(upstream).max_output_tokens;
                let of_model = || model.max_output_tokens.or_else(known).unwrap_or(OTHERWISE);
                governed.reserve_output().unwrap_or_else(of_model)
            };
            let conf = instance.ai.as_ref().map(|ai| &ai.conf);
            let asked = output.tokens(conf, false, otherwise);
            // What the operator sets for all requests counts, whatever the client has asked for.
            let set = instance.options.iter().filter(|(name, _)| is_limit(name));
            let set = set.filter_map(|(_, value)| value.parse().ok()).max();
            set.unwrap_or(asked)
        });
        let usage = TokenUsage {
            prompt: self.estimated_input,
            completion: output,
            total: self.estimated_input.saturating_add(output),
            ..TokenUsage::default()
        };
        let priced = Priced {
            provider: instance.provider,
            model: upstream,
            ..Priced::default()
        };
        let prices = self.worker.gateway.prices().current();
        let expected = Expected {
            micro_usd: prices.prices.cost(&priced, &usage, self.time).micro_usd(),
            tokens: usage.total,
        };
        governed.reserve(&instance.name, expected).await
    }

    /// An attempt at an instance is not made after all.
    pub fn release(&self, instance: &str) {
        if let Some(governed) = &self.governed {
            governed.release(instance);
        }
    }

    /// An attempt is over: it is charged what it was billed, as far as that is known. Later calls change nothing.
    pub(super) fn settle_attempt(&self, attempt: &mut Attempt) {
        let Some(governed) = &self.governed else {
            return;
        };
        if std::mem::replace(&mut attempt.is_settled, true) {
            return;
        }
        let usage = attempt.usage.as_ref().map(token_usage);
        let prices = self.worker.gateway.prices().current();
        let cost = cost(&prices.prices, attempt, usage, self.time);
        governed.settle(attempt.asks.name(), cost, usage);
    }

    /// The call has ended: charges what is left, by what the ledger is told. Returns the charges, for the ledger.
    pub(super) fn end_governed(&self, attempts: &[tollgate_telemetry::Attempt<'_>]) -> Charges<'_> {
        let Some(governed) = &self.governed else {
            return Charges::new();
        };
        let cost: Cost = attempts.iter().map(|attempt| attempt.cost).sum();
        let tokens = attempts.iter().filter_map(|attempt| attempt.usage);
        let tokens = tokens.map(|usage| usage.total).fold(0, u64::saturating_add);
        governed.end(cost, tokens)
    }
}

/// Whether a member of a request's body limits its answer.
fn is_limit(name: &str) -> bool {
    matches!(name, "max_tokens" | "max_completion_tokens" | "max_output_tokens")
}

/// What a request says about the length of its answer; `None` where there is none of tokens.
pub(super) fn output_limit(asked: &Asked, endpoint: &Endpoint) -> Option<OutputLimit> {
    let protocol = match endpoint {
        Endpoint::Api(protocol) => *protocol,
        Endpoint::Chat(Dialect::OpenaiChat) => Protocol::OpenaiChat,
        Endpoint::Chat(Dialect::AnthropicMessages) => Protocol::AnthropicMessages,
        Endpoint::Chat(Dialect::OpenaiResponses) => Protocol::OpenaiResponses,
        Endpoint::Chat(Dialect::BedrockConverse) => Protocol::BedrockConverse,
        Endpoint::Chat(Dialect::Gemini | Dialect::CohereChat) | Endpoint::Completions | Endpoint::Invoke => {
            Protocol::Passthrough
        }
        _ => return None,
    };
    Some(OutputLimit::of(protocol, &asked.body, &asked.members))
}
