//! How `limit-conn` is configured.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::limits::{Number, Policy};

/// How many calls may be under way at the same time.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["conn", "burst", "default_conn_delay", "key"]},
    {"required": ["default_conn_delay", "rules"]},
]))]
pub(super) struct Config {
    /// Calls at the same time that are not held up, or a text with variables that gives their number.
    pub(super) conn: Option<Number>,
    /// Calls beyond those that are held up instead of being refused, or a text with variables that gives their number.
    pub(super) burst: Option<BurstNumber>,
    /// Seconds by which calls are held up, times how often `conn` goes into the calls before them.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(super) default_conn_delay: f64,
    /// Whether calls are held up by `default_conn_delay`, however many there are.
    #[serde(default)]
    pub(super) only_use_default_delay: bool,
    /// What calls are counted by.
    pub(super) key: Option<String>,
    /// How the key is written.
    #[serde(default)]
    #[schemars(extend("default" = "var"))]
    pub(super) key_type: VariableKey,
    /// Where calls are counted.
    #[serde(default)]
    #[schemars(extend("default" = "local"))]
    pub(super) policy: ConnPolicy,
    /// Status of the answer to calls that are refused.
    #[serde(default = "unavailable")]
    #[schemars(range(min = 200, max = 599))]
    pub(super) rejected_code: u16,
    /// Text of that answer.
    #[schemars(length(min = 1))]
    pub(super) rejected_msg: Option<String>,
    /// Whether calls go through when they cannot be counted.
    #[serde(default)]
    pub(super) allow_degradation: bool,
    /// Several limits, all of which must hold.
    pub(super) rules: Option<Vec<Rule>>,
}

fn unavailable() -> u16 {
    503
}

/// One limit of several.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Rule {
    /// Calls at the same time that are not held up, or a text with variables that gives their number.
    pub(super) conn: Number,
    /// Calls beyond those that are held up instead of being refused, or a text with variables that gives their number.
    pub(super) burst: BurstNumber,
    /// What calls are counted by, with variables; the rule does not apply to calls that have none of them.
    pub(super) key: String,
}

/// A number that may be 0, or a text with variables that gives one.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum BurstNumber {
    Fixed(u64),
    Template(String),
}

impl JsonSchema for BurstNumber {
    fn schema_name() -> Cow<'static, str> {
        "BurstNumber".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "oneOf": [{"type": "integer", "minimum": 0}, {"type": "string"}],
        })
    }
}

/// How a key is written.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum VariableKey {
    /// The name of a variable.
    #[default]
    Var,
    /// A text with variables in it.
    VarCombination,
}

/// Where calls are counted.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ConnPolicy {
    /// On a Redis server.
    Redis,
    /// In a Redis cluster.
    RedisCluster,
    /// In this process.
    #[default]
    Local,
}

impl From<ConnPolicy> for Policy {
    fn from(policy: ConnPolicy) -> Self {
        match policy {
            ConnPolicy::Redis => Policy::Redis,
            ConnPolicy::RedisCluster => Policy::RedisCluster,
            ConnPolicy::Local => Policy::Local,
        }
    }
}
