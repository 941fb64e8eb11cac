//! How `limit-count` is configured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Unusable;
use super::super::limits::{KeyType, Number, Policy};

/// How many calls may come in which time.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["count", "time_window"]}, {"required": ["rules"]}]))]
pub(super) struct Config {
    /// Calls within the time, or a text with variables that gives them.
    pub(super) count: Option<Number>,
    /// The time in seconds, or a text with variables that gives them.
    pub(super) time_window: Option<Number>,
    /// How the time passes.
    #[serde(default)]
    #[schemars(extend("default" = "fixed"))]
    pub(super) window_type: WindowType,
    /// Several limits, all of which must hold.
    pub(super) rules: Option<Vec<Rule>>,
    /// Name under which routes count together.
    pub(super) group: Option<String>,
    /// What calls are counted by.
    #[serde(default = "remote_addr")]
    pub(super) key: String,
    /// How the key is written.
    #[serde(default)]
    pub(super) key_type: KeyType,
    /// Status of the answer to calls that are refused.
    #[serde(default = "unavailable")]
    #[schemars(range(min = 200, max = 599))]
    pub(super) rejected_code: u16,
    /// Text of that answer.
    #[schemars(length(min = 1))]
    pub(super) rejected_msg: Option<String>,
    /// Where calls are counted.
    #[serde(default)]
    #[schemars(extend("default" = "local"))]
    pub(super) policy: Policy,
    /// Whether calls go through when they cannot be counted.
    #[serde(default)]
    pub(super) allow_degradation: bool,
    /// Whether answers tell the limit, what is left of it, and until when.
    #[serde(default = "yes")]
    pub(super) show_limit_quota_header: bool,
    /// Seconds between exchanges with Redis in APISIX; -1 exchanges at each call. Here each call is counted when it comes.
    #[serde(default = "at_each_call")]
    #[schemars(extend("default" = -1))]
    pub(super) sync_interval: f64,
}

impl Config {
    /// APISIX's rules for the field, though nothing depends on it here.
    pub(super) fn check_sync_interval(&self) -> Result<(), Unusable> {
        let is_used = (self.sync_interval - at_each_call()).abs() > f64::EPSILON;
        if matches!(self.policy, Policy::Local) || !is_used {
            return Ok(());
        }
        let refused = |text: &str| Err(Unusable(text.to_owned()));
        if self.sync_interval < 0.1 {
            return refused("sync_interval should not be smaller than 0.1");
        }
        match self.time_window {
            #[expect(clippy::cast_precision_loss, reason = "compared with seconds")]
            Some(Number::Fixed(seconds)) if self.sync_interval >= seconds as f64 => {
                refused("sync_interval should be smaller than time_window")
            }
            _ => Ok(()),
        }
    }
}

fn remote_addr() -> String {
    "remote_addr".to_owned()
}

fn unavailable() -> u16 {
    503
}

fn yes() -> bool {
    true
}

fn at_each_call() -> f64 {
    -1.0
}

/// One limit of several.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Rule {
    /// Calls within the time, or a text with variables that gives them.
    pub(super) count: Number,
    /// The time in seconds, or a text with variables that gives them.
    pub(super) time_window: Number,
    /// What calls are counted by, with variables; the rule does not apply to calls that have none of them.
    pub(super) key: String,
    /// What stands before `RateLimit-` in the names of this rule's headers; the number of the rule when it is absent.
    pub(super) header_prefix: Option<String>,
}

/// How the time of a limit passes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum WindowType {
    /// From the first call on; then the count begins anew.
    #[default]
    Fixed,
    /// All the time: calls of the window before count in part.
    Sliding,
}

/// Names of the headers that tell limits.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Metadata {
    /// Tells the limit.
    pub(super) limit_header: String,
    /// Tells how many calls are left.
    pub(super) remaining_header: String,
    /// Tells in how many seconds the limit begins anew.
    pub(super) reset_header: String,
}

impl Default for Metadata {
    fn default() -> Self {
        Metadata {
            limit_header: "X-RateLimit-Limit".to_owned(),
            remaining_header: "X-RateLimit-Remaining".to_owned(),
            reset_header: "X-RateLimit-Reset".to_owned(),
        }
    }
}
