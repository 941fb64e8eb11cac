//! One route of the Admin API, compiled.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use tollgate_policy::Networks;
use tollgate_policy::expr::{Expr, Variables};
use tollgate_policy::router::{HostPattern, Pattern, Rank};

use super::Chain;
use crate::proxy::Upstream;

/// One route.
pub struct ObjectRoute {
    /// Its id.
    pub id: Arc<str>,
    /// The service it belongs to.
    pub service_id: Option<Arc<str>>,
    /// Methods it takes, upper case; empty means all.
    pub methods: Vec<String>,
    /// Clients it takes; `None` means all.
    pub clients: Option<Networks>,
    /// What must hold for a call.
    pub condition: Option<Expr>,
    /// Whether `condition` looks into the body.
    pub needs_body: bool,
    /// Its plugins, those of its plugin config and service included.
    pub chain: Chain,
    /// Where its calls are passed to.
    pub upstream: Option<Arc<Upstream>>,
    /// Why it cannot serve: the status, and what is missing.
    pub broken: Option<Broken>,
    /// Whether its connections may become WebSockets.
    pub websocket: bool,
}

/// Why a route cannot serve.
#[derive(Clone, Debug)]
pub struct Broken {
    /// What callers are told.
    pub status: http::StatusCode,
    /// For the log.
    pub reason: String,
}

/// Where a route stands in the router.
pub struct Entry {
    /// The route.
    pub route: Arc<ObjectRoute>,
    /// Its hosts; empty means any.
    pub hosts: Vec<HostPattern>,
    /// Its paths.
    pub patterns: Vec<Pattern>,
    /// Its place among routes of the same path.
    pub rank: Rank,
}

impl ObjectRoute {
    /// Whether the route takes a call of this method and client, as far as the head tells.
    pub fn takes(&self, method: &str, client: IpAddr) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|allowed| allowed == method))
            && self
                .clients
                .as_ref()
                .is_none_or(|networks| networks.contains(client))
    }

    /// Whether the route's condition holds.
    pub fn condition_holds(&self, variables: &dyn Variables) -> bool {
        self.condition
            .as_ref()
            .is_none_or(|condition| condition.eval(variables))
    }
}

/// By id, which orders routes of the same rank.
impl Ord for ObjectRoute {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id)
    }
}

impl PartialOrd for ObjectRoute {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ObjectRoute {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ObjectRoute {}
