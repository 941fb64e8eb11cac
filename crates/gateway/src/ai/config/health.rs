//! How the health of an instance is found out.

use serde::Deserialize;
use tollgate_policy::health::Settings;

/// How an instance's health is found out.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[schemars(extend("x-beyond-apisix" = {"required": ["active"]}))]
pub struct Checks {
    /// By asking it.
    pub active: Option<ActiveCheck>,
    /// By the calls that it answers or fails to answer. Not in APISIX.
    #[schemars(extend("x-beyond-apisix" = true))]
    pub passive: Option<PassiveCheck>,
}

/// When an instance takes no calls for a while, because of those it took.
#[derive(Clone, Debug, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct PassiveCheck {
    /// Whether calls have a say at all.
    pub enabled: bool,
    /// Failures in a row that are needed.
    #[schemars(range(min = 1))]
    pub consecutive_failures: u32,
    /// Share of failed calls within the window that is needed.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub error_rate: f64,
    /// Calls that the window must hold before their share counts.
    #[schemars(range(min = 1))]
    pub min_calls: u32,
    /// Length of the window, in milliseconds.
    #[schemars(range(min = 10))]
    pub window_ms: u64,
    /// An answer whose first token takes longer counts as a failure; in milliseconds. None if not said.
    #[schemars(range(min = 1))]
    pub slow_first_token_ms: Option<u64>,
    /// How long the first ejection is, in milliseconds; each that follows without a recovery is twice as long.
    #[schemars(range(min = 1))]
    pub ejection_ms: u64,
    /// How long an ejection is at most, in milliseconds.
    #[schemars(range(min = 1))]
    pub max_ejection_ms: u64,
    /// Calls that may run at once after an ejection, and that have to be answered.
    #[schemars(range(min = 1))]
    pub trial_calls: u32,
    /// How many of the instances beside each other may be ejected because of failures, in percent; one always may.
    #[schemars(range(min = 0, max = 100))]
    pub max_ejected_percent: u32,
}

/// How an instance is asked.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct ActiveCheck {
    /// What a check is.
    #[serde(rename = "type")]
    pub kind: CheckKind,
    /// Seconds for one check.
    pub timeout: f64,
    /// Checks at once.
    pub concurrency: i64,
    /// The name in the `host` header.
    #[schemars(regex(pattern = r"^\*$|^\*?[0-9a-zA-Z-._\[\]:]+$"))]
    pub host: Option<String>,
    /// Another port.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    /// Method.
    #[schemars(schema_with = "super::schema::methods")]
    pub http_method: String,
    /// Path and query.
    pub http_path: String,
    /// Body.
    pub http_req_body: String,
    /// Whether certificates are checked.
    pub https_verify_certificate: bool,
    /// When an instance counts as well again.
    pub healthy: Healthy,
    /// When an instance counts as ill.
    pub unhealthy: Unhealthy,
    /// Further headers as lines, such as `User-Agent: curl`.
    #[schemars(length(min = 1))]
    pub req_headers: Option<Vec<String>>,
}

/// What a check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// A request.
    #[default]
    Http,
    /// A request over TLS.
    Https,
    /// A connection.
    Tcp,
}

/// When an instance counts as well again.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Healthy {
    /// Seconds between checks of instances that are well.
    #[schemars(range(min = 1))]
    pub interval: u64,
    /// Statuses that count as success.
    #[schemars(schema_with = "super::schema::check_statuses")]
    pub http_statuses: Vec<u16>,
    /// Successes in a row that are needed.
    #[schemars(range(min = 1, max = 254))]
    pub successes: u32,
}

/// When an instance counts as ill.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Unhealthy {
    /// Seconds between checks of instances that are ill.
    #[schemars(range(min = 1))]
    pub interval: u64,
    /// Statuses that count as failure.
    #[schemars(schema_with = "super::schema::check_statuses")]
    pub http_statuses: Vec<u16>,
    /// Bad statuses in a row that are needed.
    #[schemars(range(min = 1, max = 254))]
    pub http_failures: u32,
    /// Failed connections in a row that are needed.
    #[schemars(range(min = 1, max = 254))]
    pub tcp_failures: u32,
    /// Timeouts in a row that are needed.
    #[schemars(range(min = 1, max = 254))]
    pub timeouts: u32,
}

impl Default for PassiveCheck {
    fn default() -> Self {
        let settings = Settings::default();
        PassiveCheck {
            enabled: true,
            consecutive_failures: settings.consecutive_failures,
            error_rate: settings.error_rate,
            min_calls: settings.min_calls,
            window_ms: settings.window_ms,
            slow_first_token_ms: settings.slow_first_token_ms,
            ejection_ms: settings.ejection_ms,
            max_ejection_ms: settings.max_ejection_ms,
            trial_calls: settings.trial_calls,
            max_ejected_percent: settings.max_ejected_percent,
        }
    }
}

impl PassiveCheck {
    /// The rules; `None` if calls have no say.
    pub fn settings(&self) -> Option<Settings> {
        self.enabled.then_some(Settings {
            consecutive_failures: self.consecutive_failures,
            error_rate: self.error_rate,
            min_calls: self.min_calls,
            window_ms: self.window_ms,
            slow_first_token_ms: self.slow_first_token_ms,
            ejection_ms: self.ejection_ms,
            max_ejection_ms: self.max_ejection_ms,
            trial_calls: self.trial_calls,
            max_ejected_percent: self.max_ejected_percent,
        })
    }
}

impl Default for ActiveCheck {
    fn default() -> Self {
        ActiveCheck {
            kind: CheckKind::Http,
            timeout: 1.0,
            concurrency: 10,
            host: None,
            port: None,
            http_method: "GET".to_owned(),
            http_path: "/".to_owned(),
            http_req_body: String::new(),
            https_verify_certificate: true,
            healthy: Healthy::default(),
            unhealthy: Unhealthy::default(),
            req_headers: None,
        }
    }
}

impl Default for Healthy {
    fn default() -> Self {
        Healthy {
            interval: 1,
            http_statuses: vec![200, 302],
            successes: 2,
        }
    }
}

impl Default for Unhealthy {
    fn default() -> Self {
        Unhealthy {
            interval: 1,
            http_statuses: vec![429, 404, 500, 501, 502, 503, 504, 505],
            http_failures: 5,
            tcp_failures: 2,
            timeouts: 3,
        }
    }
}
