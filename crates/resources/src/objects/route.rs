//! Routes and services as the gateway reads them.

use serde::Deserialize;
use serde_json::Value;

use super::{Confs, Upstream};

/// Which calls are served, and how. Field meanings are those of APISIX's route.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Route {
    /// Id; set by the store.
    #[serde(deserialize_with = "super::who::id_text")]
    pub id: String,
    /// Name for people.
    pub name: Option<String>,
    /// One path: exact, or with a final `*`, or with `:name` and `*name` parts where the router knows them.
    pub uri: Option<String>,
    /// Several paths.
    pub uris: Vec<String>,
    /// Methods in upper case; empty means all.
    pub methods: Vec<String>,
    /// One host, exact or `*.example.com`.
    pub host: Option<String>,
    /// Several hosts.
    pub hosts: Vec<String>,
    /// One address or network of clients.
    pub remote_addr: Option<String>,
    /// Several of them.
    pub remote_addrs: Vec<String>,
    /// An expression over variables of the request.
    pub vars: Option<Value>,
    /// A Lua function; cannot be run here, so a route that has one is refused.
    pub filter_func: Option<String>,
    /// Larger wins among routes of the same path. APISIX's ingress controller writes values beyond 32 bits.
    #[serde(deserialize_with = "super::clamped::to_i64")]
    pub priority: i64,
    /// 0 hides the route.
    pub status: Option<u8>,
    /// What happens to a call.
    pub plugins: Confs,
    /// Plugins from elsewhere, for names that `plugins` does not have.
    #[serde(deserialize_with = "super::who::optional_id_text")]
    pub plugin_config_id: Option<String>,
    /// Where calls are passed to.
    pub upstream: Option<Upstream>,
    /// An upstream of its own.
    #[serde(deserialize_with = "super::who::optional_id_text")]
    pub upstream_id: Option<String>,
    /// What the route leaves open is taken from the service.
    #[serde(deserialize_with = "super::who::optional_id_text")]
    pub service_id: Option<String>,
    /// Time limits towards the upstream, over those of the upstream.
    pub timeout: Option<RouteTimeout>,
    /// Whether a connection may become a WebSocket.
    pub enable_websocket: Option<bool>,
}

impl Route {
    /// All its paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.uri.iter().chain(&self.uris).map(String::as_str)
    }

    /// All its hosts.
    pub fn all_hosts(&self) -> impl Iterator<Item = &str> {
        self.host.iter().chain(&self.hosts).map(String::as_str)
    }

    /// All its client networks.
    pub fn all_remote_addrs(&self) -> impl Iterator<Item = &str> {
        self.remote_addr
            .iter()
            .chain(&self.remote_addrs)
            .map(String::as_str)
    }

    /// Whether it takes part at all.
    pub fn is_enabled(&self) -> bool {
        self.status != Some(0)
    }
}

/// What several routes share.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Id; set by the store.
    #[serde(deserialize_with = "super::who::id_text")]
    pub id: String,
    /// Name for people.
    pub name: Option<String>,
    /// Hosts of routes that name none.
    pub hosts: Vec<String>,
    /// Plugins of routes that do not have them.
    pub plugins: Confs,
    /// Upstream of routes that have none.
    pub upstream: Option<Upstream>,
    /// An upstream of its own.
    #[serde(deserialize_with = "super::who::optional_id_text")]
    pub upstream_id: Option<String>,
    /// Whether connections may become WebSockets.
    pub enable_websocket: Option<bool>,
}

/// Time limits towards an upstream, in seconds, fractions allowed.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct RouteTimeout {
    /// To connect, name resolution and TLS included.
    pub connect: f64,
    /// Between two successful writes.
    pub send: f64,
    /// Between two successful reads.
    pub read: f64,
}

/// A value or a list of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Many.
    Many(Vec<T>),
}
