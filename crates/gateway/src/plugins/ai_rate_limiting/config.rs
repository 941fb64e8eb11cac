//! How `ai-rate-limiting` is configured.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::limits::{Number, Policy};

/// How many tokens may be used in which time.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend(
    "dependencies" = {"limit": ["time_window"], "time_window": ["limit"]},
    "oneOf" = [
        {"anyOf": [{"required": ["limit", "time_window"]}, {"required": ["instances"]}]},
        {"required": ["rules"]},
    ],
))]
pub(super) struct Config {
    /// Tokens within the time for each instance that has no limit of its own, or a text with variables that gives them.
    pub(super) limit: Option<Number>,
    /// The time in seconds, or a text with variables that gives them.
    pub(super) time_window: Option<Number>,
    /// Whether answers tell the limit, what is left of it, and until when.
    #[serde(default = "yes")]
    pub(super) show_limit_quota_header: bool,
    /// What is counted of an answer.
    #[serde(default)]
    #[schemars(extend("default" = "total_tokens"))]
    pub(super) limit_strategy: Strategy,
    /// What an answer costs, as a formula over what the provider tells of its usage: `input_tokens + 2 * output_tokens`. What
    /// it does not tell is 0.
    #[schemars(length(min = 1))]
    pub(super) cost_expr: Option<String>,
    /// Limits of single instances.
    #[schemars(length(min = 1))]
    pub(super) instances: Option<Vec<InstanceLimit>>,
    /// Status of the answer to calls that are refused.
    #[serde(default = "unavailable")]
    #[schemars(range(min = 200, max = 599))]
    pub(super) rejected_code: u16,
    /// Text of that answer.
    #[schemars(length(min = 1))]
    pub(super) rejected_msg: Option<String>,
    /// Where tokens are counted.
    #[serde(default)]
    #[schemars(extend("default" = "local"))]
    pub(super) policy: Policy,
    /// Whether calls go through when it cannot be told what is left.
    #[serde(default)]
    pub(super) allow_degradation: bool,
    /// Several limits by keys of calls, all of which must hold.
    pub(super) rules: Option<Vec<Rule>>,
    /// When tokens are counted.
    #[serde(default)]
    #[schemars(extend("default" = "charge_after"))]
    pub(super) admission: Admission,
    /// Tokens of the answer that are reserved for a call that sets no limit to its answer.
    #[serde(default = "reserved")]
    #[schemars(range(min = 1))]
    pub(super) reserved_completion_tokens: u64,
}

fn unavailable() -> u16 {
    503
}

fn yes() -> bool {
    true
}

fn reserved() -> u64 {
    1024
}

/// What is counted of an answer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Strategy {
    /// All tokens.
    #[default]
    TotalTokens,
    /// Those of the request.
    PromptTokens,
    /// Those of the answer.
    CompletionTokens,
    /// What `cost_expr` says.
    Expression,
}

/// When tokens are counted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Admission {
    /// When a call has ended. Calls that run at the same time do not know of each other.
    #[default]
    ChargeAfter,
    /// An estimate before the call, which what was used replaces when it has ended.
    Reserve,
}

/// The limit of one instance.
#[derive(Deserialize, JsonSchema)]
pub(super) struct InstanceLimit {
    /// Name of the instance.
    pub(super) name: String,
    /// Tokens within the time, or a text with variables that gives them.
    #[schemars(schema_with = "at_least_1")]
    pub(super) limit: Number,
    /// The time in seconds, or a text with variables that gives them.
    #[schemars(schema_with = "at_least_1")]
    pub(super) time_window: Number,
}

fn at_least_1(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "oneOf": [{"type": "integer", "minimum": 1}, {"type": "string"}],
    })
}

/// One limit of several.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Rule {
    /// Tokens within the time, or a text with variables that gives them.
    pub(super) count: Number,
    /// The time in seconds, or a text with variables that gives them.
    pub(super) time_window: Number,
    /// What tokens are counted by, with variables; the rule does not apply to calls that have none of them.
    pub(super) key: String,
    /// What stands before `RateLimit-` in the names of this rule's headers; the number of the rule when it is absent.
    pub(super) header_prefix: Option<String>,
}
