//! How the health of an instance is found out by asking it.

use serde::Deserialize;

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
