//! Upstreams as the gateway reads them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::RouteTimeout;

/// Servers that calls are passed to. An upstream without nodes answers 503.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Upstream {
    /// Id; set by the store.
    #[serde(deserialize_with = "super::who::id_text")]
    pub id: String,
    /// How a node is chosen: `roundrobin`, `chash`, `least_conn`, `ewma`.
    #[serde(rename = "type")]
    pub balancer: Option<String>,
    /// The servers.
    pub nodes: Nodes,
    /// What the consistent hash is made of.
    pub hash_on: HashOn,
    /// The variable, header or cookie that `hash_on` means.
    pub key: Option<String>,
    /// How the servers are spoken to.
    pub scheme: UpstreamScheme,
    /// Further tries after the first; `None`: as many as there are other nodes.
    #[serde(deserialize_with = "super::clamped::to_optional_u32")]
    pub retries: Option<u32>,
    /// Time for all tries together, in seconds; 0 or `None` is no limit.
    pub retry_timeout: Option<f64>,
    /// Time limits of a try.
    pub timeout: Option<RouteTimeout>,
    /// Which `Host` the servers see.
    pub pass_host: PassHost,
    /// The `Host` for [`PassHost::Rewrite`].
    pub upstream_host: Option<String>,
    /// Connections kept for later calls.
    pub keepalive_pool: Option<KeepalivePool>,
    /// Certificates for the connection.
    pub tls: Option<UpstreamTlsConf>,
    /// Health checks.
    pub checks: Option<Value>,
}

/// A list of servers, in either of the two ways to write it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Nodes {
    /// In full.
    List(Vec<Node>),
    /// `host:port` and weight.
    Map(#[serde(deserialize_with = "super::clamped::to_weights")] BTreeMap<String, u32>),
}

impl Default for Nodes {
    fn default() -> Self {
        Nodes::List(Vec::new())
    }
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Node {
    /// Name or address; may carry `:port`.
    pub host: String,
    /// Port; `None`: that of the scheme.
    #[serde(default)]
    pub port: Option<u16>,
    /// Share of the calls; 0 takes none.
    #[serde(deserialize_with = "super::clamped::to_u32")]
    pub weight: u32,
    /// Larger is used first; lower ones only when no node of a higher priority is left.
    #[serde(default, deserialize_with = "super::clamped::to_i32")]
    pub priority: i32,
}

/// What a consistent hash is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashOn {
    /// A variable named by `key`.
    #[default]
    Vars,
    /// A header named by `key`.
    Header,
    /// A cookie named by `key`.
    Cookie,
    /// The consumer.
    Consumer,
    /// A text with several variables, in `key`.
    VarsCombinations,
}

/// How servers are spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamScheme {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// gRPC; not served.
    Grpc,
    /// gRPC over TLS; not served.
    Grpcs,
    /// Layer 4; not served.
    Tcp,
    /// Layer 4; not served.
    Tls,
    /// Layer 4; not served.
    Udp,
    /// Kafka; not served.
    Kafka,
}

/// Which `Host` a server sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassHost {
    /// The client's.
    #[default]
    Pass,
    /// The node's own.
    Node,
    /// `upstream_host`.
    Rewrite,
}

/// Connections kept for later calls.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct KeepalivePool {
    /// How many at most.
    #[serde(deserialize_with = "super::clamped::to_u32")]
    pub size: u32,
    /// How long, in seconds.
    pub idle_timeout: f64,
    /// Calls over one connection before it is closed.
    #[serde(deserialize_with = "super::clamped::to_u64")]
    pub requests: u64,
}

impl Default for KeepalivePool {
    fn default() -> Self {
        KeepalivePool {
            size: 320,
            idle_timeout: 60.0,
            requests: 1000,
        }
    }
}

/// Certificates for the connection to an upstream.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct UpstreamTlsConf {
    /// Id of an ssl object of type `client`.
    #[serde(deserialize_with = "super::who::optional_id_text")]
    pub client_cert_id: Option<String>,
    /// Our certificate, PEM.
    pub client_cert: Option<String>,
    /// Its key, PEM.
    pub client_key: Option<String>,
    /// Whether the server's certificate is verified. APISIX's default is not to.
    pub verify: Option<bool>,
}
