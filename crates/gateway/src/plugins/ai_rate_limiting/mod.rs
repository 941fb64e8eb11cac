//! `ai-rate-limiting`: so many tokens in so much time, for each instance that answers or by keys of calls.
//!
//! Knows limits, what is counted against them and what callers are told. It does not act in a phase of its own: whether an
//! instance has room is asked where instances are chosen, and what was used is charged when a call has ended. Both is the
//! work of [`Admission`](crate::pipeline::Admission), which takes the limits of a call from here.

mod call;
mod config;
mod cost;
mod meters;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderName, StatusCode};
use serde_json::Value;
use tollgate_resources::objects::schema;
use tollgate_store::counters::{Counters, Spread};

use self::config::{Admission, Config};
use self::cost::Cost;
use self::meters::Meters;
use super::auth::header_name;
use super::limits::{self, Amount, KeyType, Number};
use super::spec::{read, status};
use super::{Digest, Plugin, SchemaType, Scope, Setup, Spec, Unusable};

pub use call::CallLimits;
pub(crate) use call::Refusal;
pub use cost::Used;

const NAME: &str = "ai-rate-limiting";

/// `ai-rate-limiting`.
pub(super) static SPEC: Spec = Spec {
    name: NAME,
    priority: 1030,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| {
        (kind == SchemaType::Route)
            .then(|| limits::with_redis_fields(schema::of::<Config>(), limits::Counted::Windows))
    },
    check: |conf, kind| match kind {
        SchemaType::Route => read::<Config>(conf)
            .and_then(|config| {
                limits::check_redis(config.policy, conf)?;
                Cost::new(config.limit_strategy, config.cost_expr.as_deref()).map_err(Unusable)
            })
            .map(drop)
            .map_err(|unusable| unusable.0),
        SchemaType::Consumer | SchemaType::Metadata => Ok(()),
    },
    setup: |conf, setup: &Setup<'_>| {
        let state = limits::state_name(NAME, setup, conf);
        let terms = setup
            .state
            .alike(Digest::of(NAME, &[conf, &setup.strict.into()]), || {
                Terms::new(conf, setup.strict)
            })?;
        // The rules of a call are asked together, its instances one at a time.
        let spread = match terms.scheme {
            Scheme::Rules(_) => Spread::Together,
            Scheme::Instances { .. } => Spread::ByKey,
        };
        let counters = limits::counters(terms.policy, conf, &state, spread, setup.state)?;
        Ok(Arc::new(AiRateLimiting(Arc::new(TokenLimits {
            terms,
            counters,
            meters: Meters::new(setup.state.metrics(), setup.owner),
        }))))
    },
    secret_fields: &["redis_password", "sentinel_password"],
};

struct AiRateLimiting(Arc<TokenLimits>);

impl Plugin for AiRateLimiting {
    fn acts(&self) -> bool {
        false
    }

    fn token_limits(&self) -> Option<&Arc<TokenLimits>> {
        Some(&self.0)
    }
}

/// Limits of tokens, as one object has them.
pub struct TokenLimits {
    /// Those of all objects with the same configuration.
    terms: Arc<Terms>,
    counters: Counters,
    meters: Meters,
}

/// What a configuration says.
struct Terms {
    policy: limits::Policy,
    scheme: Scheme,
    cost: Cost,
    /// Tokens of the answer to reserve where a call sets no limit to them; `None` if nothing is reserved.
    reserve: Option<u64>,
    status: StatusCode,
    text: Option<String>,
    allow_degradation: bool,
    show_headers: bool,
    /// Whether differences from APISIX are switched off.
    strict: bool,
}

/// What tokens are counted by.
enum Scheme {
    /// By the instance that answers.
    Instances {
        limits: Vec<Limit>,
        /// Which limit is that of an instance.
        own: HashMap<String, usize>,
        /// Which one is that of each instance that has none of its own.
        others: Option<usize>,
    },
    /// By keys of calls, whoever answers.
    Rules(Vec<Rule>),
}

struct Limit {
    amount: Amount,
    seconds: Amount,
}

struct Rule {
    key: limits::Key,
    limit: Limit,
    headers: Headers,
}

/// Names of the headers that tell a limit.
#[derive(Clone)]
struct Headers {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

impl Terms {
    fn new(conf: &Value, strict: bool) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        Ok(Terms {
            policy: config.policy,
            cost: Cost::new(config.limit_strategy, config.cost_expr.as_deref()).map_err(Unusable)?,
            reserve: (config.admission == Admission::Reserve).then_some(config.reserved_completion_tokens),
            status: status("rejected_code", config.rejected_code)?,
            text: config.rejected_msg.clone(),
            allow_degradation: config.allow_degradation,
            show_headers: config.show_limit_quota_header,
            strict,
            scheme: Scheme::new(config)?,
        })
    }
}

impl Scheme {
    fn new(config: Config) -> Result<Self, Unusable> {
        if let Some(written) = config.rules {
            let mut rules = Vec::with_capacity(written.len());
            for (index, rule) in written.into_iter().enumerate() {
                let prefix = rule.header_prefix.unwrap_or_else(|| (index + 1).to_string());
                rules.push(Rule {
                    key: limits::Key::new(KeyType::VarCombination, rule.key),
                    limit: Limit::new("rules", rule.count, rule.time_window)?,
                    headers: Headers::new(&format!("X-AI-{prefix}-RateLimit"), "")?,
                });
            }
            return Ok(Scheme::Rules(rules));
        }
        let (mut limits, mut own) = (Vec::new(), HashMap::new());
        for instance in config.instances.unwrap_or_default() {
            limits.push(Limit::new("instances", instance.limit, instance.time_window)?);
            if own.insert(instance.name.clone(), limits.len() - 1).is_some() {
                tracing::warn!(
                    plugin = NAME,
                    instance = instance.name,
                    "the instance has several limits, of which the last one holds"
                );
            }
        }
        let others = match (config.limit, config.time_window) {
            (Some(amount), Some(seconds)) => {
                limits.push(Limit::new("limit", amount, seconds)?);
                Some(limits.len() - 1)
            }
            _ => None,
        };
        Ok(Scheme::Instances { limits, own, others })
    }
}

impl Limit {
    fn new(field: &str, amount: Number, seconds: Number) -> Result<Self, Unusable> {
        Ok(Limit {
            amount: Amount::new(field, amount)?,
            seconds: Amount::new("time_window", seconds)?,
        })
    }
}

impl Headers {
    fn new(before: &str, after: &str) -> Result<Self, Unusable> {
        let name = |word: &str| header_name("header", &format!("{before}-{word}{after}"));
        Ok(Headers {
            limit: name("Limit")?,
            remaining: name("Remaining")?,
            reset: name("Reset")?,
        })
    }

    /// Those of an instance; nothing for one whose name cannot stand in a header's.
    fn of_instance(name: &str) -> Option<Self> {
        KNOWN.with_borrow_mut(|known| {
            if let Some(headers) = known.get(name) {
                return headers.clone();
            }
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            let headers = Headers::new("X-AI-RateLimit", &format!("-{name}")).ok();
            known.insert(name.to_owned(), headers.clone());
            headers
        })
    }
}

/// Instances whose headers a thread remembers at most.
const MAX_KNOWN: usize = 1024;

thread_local! {
    /// The headers of instances: they are wanted for every call.
    static KNOWN: RefCell<HashMap<String, Option<Headers>>> = RefCell::default();
}

#[cfg(test)]
mod tests;
