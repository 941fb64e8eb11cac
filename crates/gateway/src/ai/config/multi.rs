//! The configuration of `ai-proxy-multi`.

use std::collections::BTreeMap;

use serde::Deserialize;
use tollgate_policy::RetryLimits;
use tollgate_resources::Secret;

use super::health::Checks;
use super::{InstanceConf, Limits};

/// The configuration of `ai-proxy-multi`.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct AiProxyMultiConf {
    /// How an instance is chosen.
    #[serde(default)]
    pub balancer: Balancer,
    /// Where requests may go.
    #[schemars(length(min = 1))]
    pub instances: Vec<Instance>,
    /// How an instance is chosen by meaning.
    pub semantic_opts: Option<SemanticOptions>,
    /// When another instance is tried.
    pub fallback_strategy: Option<FallbackStrategy>,
    /// Further statuses with which another instance is tried.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::statuses")]
    pub fallback_http_statuses: Option<Vec<u16>>,
    /// Most further attempts; none if not said.
    pub max_retries: Option<u64>,
    /// Attempts that failed later than after so many milliseconds are not repeated.
    #[schemars(range(min = 1))]
    pub retry_on_failure_within_ms: Option<u64>,
    /// Milliseconds for all attempts of a call until its answer begins.
    #[schemars(range(min = 1), extend("x-beyond-apisix" = true))]
    pub deadline_ms: Option<u64>,
    /// How many further attempts all calls together may make.
    #[schemars(extend("x-beyond-apisix" = true))]
    pub retry_budget: Option<Budget>,
    /// When a second attempt is made beside the first.
    #[schemars(extend("x-beyond-apisix" = true))]
    pub hedge: Option<Hedge>,
    /// Limits and connections.
    #[serde(flatten)]
    pub limits: Limits,
}

/// One place where requests may go.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Instance {
    /// Name, unique among the instances.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// Larger groups are preferred.
    #[serde(default)]
    pub priority: i64,
    /// Share of the requests within its group.
    pub weight: u64,
    /// The vendor and what is changed in requests.
    #[serde(flatten)]
    pub conf: InstanceConf,
    /// How its health is found out.
    pub checks: Option<Checks>,
    /// What it asks for tokens, for `least_cost`; the price list counts where it is not said.
    #[schemars(extend("x-beyond-apisix" = true))]
    pub price: Option<TokenPrice>,
    /// Texts that stand for what this instance is for.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::examples")]
    pub examples: Option<Vec<String>>,
    /// Least similarity for this instance.
    #[schemars(range(min = -1.0, max = 1.0))]
    pub threshold: Option<f64>,
}

/// What an instance asks for tokens, in US dollars for a million.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenPrice {
    /// Of prompts.
    #[schemars(range(min = 0.0))]
    pub input: f64,
    /// Of answers.
    #[schemars(range(min = 0.0))]
    pub output: f64,
}

/// How many further attempts all calls together may make, so that an outage is not doubled.
#[derive(Clone, Copy, Debug, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Budget {
    /// Share of the calls of the last ten seconds, in percent.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub percent: f64,
    /// So many in a second are allowed whatever the share.
    pub min_per_second: u32,
}

impl Default for Budget {
    fn default() -> Self {
        let RetryLimits {
            percent,
            min_per_second,
        } = RetryLimits::default();
        Budget {
            percent,
            min_per_second,
        }
    }
}

/// When a second attempt is made beside the first, which still waits for its first token.
#[derive(Clone, Copy, Debug, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Hedge {
    /// When so many percent of first tokens usually have come.
    #[schemars(range(min = 1.0, max = 99.9))]
    pub percentile: f64,
    /// For at most so many percent of the calls.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub max_percent: f64,
    /// Never sooner than after so many milliseconds.
    pub min_ms: u64,
}

impl Default for Hedge {
    fn default() -> Self {
        Hedge {
            percentile: 95.0,
            max_percent: 10.0,
            min_ms: 50,
        }
    }
}

/// How an instance is chosen.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Balancer {
    /// The rule.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// What is hashed.
    #[serde(default)]
    pub hash_on: HashOn,
    /// Name of what is hashed.
    pub key: Option<String>,
}

impl Default for Balancer {
    fn default() -> Self {
        Balancer {
            algorithm: Algorithm::Roundrobin,
            hash_on: HashOn::Vars,
            key: None,
        }
    }
}

/// Rules of choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("x-beyond-apisix" = ["least_latency", "least_busy", "least_cost", "prefix_affinity"]))]
pub enum Algorithm {
    /// By a hash, so that the same callers stay with the same instance.
    Chash,
    /// In turn, by weight.
    #[default]
    Roundrobin,
    /// By what the prompt is about.
    Semantic,
    /// The one whose first token is expected soonest.
    LeastLatency,
    /// The one with the fewest calls under way for its weight.
    LeastBusy,
    /// The cheapest.
    LeastCost,
    /// The one that was last sent the beginning of the prompt, so that the provider's cache is warm.
    PrefixAffinity,
}

/// What is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashOn {
    /// A variable.
    #[default]
    Vars,
    /// A header.
    Header,
    /// A cookie.
    Cookie,
    /// The consumer's name.
    Consumer,
    /// A text with variables.
    VarsCombinations,
}

/// When another instance is tried.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum FallbackStrategy {
    /// One word.
    One(Strategy),
    /// Several reasons.
    Several(Vec<Trigger>),
}

impl FallbackStrategy {
    /// Whether a reason is among those written. The word `instance_health_and_rate_limiting` stands for rate limits.
    pub fn has(&self, trigger: Trigger) -> bool {
        match self {
            FallbackStrategy::One(Strategy::InstanceHealthAndRateLimiting) => {
                trigger == Trigger::RateLimiting
            }
            FallbackStrategy::One(Strategy::Http429) => trigger == Trigger::Http429,
            FallbackStrategy::One(Strategy::Http5xx) => trigger == Trigger::Http5xx,
            FallbackStrategy::Several(triggers) => triggers.contains(&trigger),
        }
    }
}

/// Single words for [`FallbackStrategy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
pub enum Strategy {
    /// Instances that are ill or without quota are passed over.
    #[serde(rename = "instance_health_and_rate_limiting")]
    InstanceHealthAndRateLimiting,
    /// The vendor refuses for its rate limit.
    #[serde(rename = "http_429")]
    Http429,
    /// The vendor fails.
    #[serde(rename = "http_5xx")]
    Http5xx,
}

/// Reasons to try another instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[schemars(extend("x-beyond-apisix" = ["context_window", "content_policy"]))]
pub enum Trigger {
    /// The instance has no quota left.
    #[serde(rename = "rate_limiting")]
    RateLimiting,
    /// The vendor refuses for its rate limit.
    #[serde(rename = "http_429")]
    Http429,
    /// The vendor fails.
    #[serde(rename = "http_5xx")]
    Http5xx,
    /// The prompt does not fit the model's context window.
    #[serde(rename = "context_window")]
    ContextWindow,
    /// The vendor's content policy refuses the request.
    #[serde(rename = "content_policy")]
    ContentPolicy,
}

/// How an instance is chosen by meaning.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct SemanticOptions {
    /// Who turns texts into vectors.
    pub embeddings: Embeddings,
    /// Least cosine similarity.
    #[serde(default)]
    #[schemars(range(min = -1.0, max = 1.0))]
    pub threshold: f64,
    /// The instance for everything else; the first one if not said.
    #[schemars(length(min = 1))]
    pub fallback: Option<String>,
    /// Whether answers tell the scores in headers.
    #[serde(default)]
    pub debugging: bool,
}

/// Who turns texts into vectors.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Embeddings {
    /// The vendor.
    pub provider: EmbeddingsProvider,
    /// The model.
    #[schemars(length(min = 1))]
    pub model: String,
    /// Another address; the whole one for Azure.
    pub endpoint: Option<String>,
    /// Credentials.
    pub auth: PlainAuth,
    /// Milliseconds for the whole exchange.
    #[serde(default = "embeddings_timeout")]
    #[schemars(range(min = 1))]
    pub timeout: u64,
    /// Whether the vendor's certificate is checked.
    #[serde(default = "yes")]
    pub ssl_verify: bool,
}

/// Vendors of vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EmbeddingsProvider {
    /// OpenAI.
    Openai,
    /// Azure.
    AzureOpenai,
}

impl EmbeddingsProvider {
    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            EmbeddingsProvider::Openai => "openai",
            EmbeddingsProvider::AzureOpenai => "azure-openai",
        }
    }
}

/// Credentials that are sent as they are.
#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlainAuth {
    /// Headers.
    pub header: BTreeMap<String, Secret>,
    /// Arguments of the query.
    pub query: BTreeMap<String, Secret>,
}

fn embeddings_timeout() -> u64 {
    3_000
}

fn yes() -> bool {
    true
}
