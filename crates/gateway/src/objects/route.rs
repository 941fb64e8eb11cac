//! One route of the Admin API, compiled.

use std::cmp::Ordering;
use std::fmt;
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
    /// Its name, where it has one.
    pub name: Option<String>,
    /// The service it belongs to.
    pub service_id: Option<Arc<str>>,
    /// That service's name, where it has one.
    pub service_name: Option<String>,
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

/// The hosts or paths of a route that can be read. The others lead nowhere, as in APISIX: without the whole route, what its
/// plugins guard at the rest of them could be open to everybody by another route.
///
/// # Errors
/// The last mistake, when there are some and none can be read: no host at all would mean any.
pub(super) fn readable<'t, T, E: fmt::Display>(
    route: &str,
    texts: impl IntoIterator<Item = &'t str>,
    parse: impl Fn(&'t str) -> Result<T, E>,
) -> Result<Vec<T>, String> {
    let mut read = Vec::new();
    let mut mistake = None;
    for text in texts {
        match parse(text) {
            Ok(one) => read.push(one),
            Err(error) => {
                let problem = error.to_string();
                tracing::error!(
                    route,
                    text,
                    problem,
                    "a host or path of a route cannot be read and leads nowhere"
                );
                mistake = Some(problem);
            }
        }
    }
    match mistake {
        Some(problem) if read.is_empty() => Err(problem),
        _ => Ok(read),
    }
}

#[cfg(test)]
mod tests {
    use tollgate_policy::router::{HostPattern, Pattern};

    use super::readable;

    #[test]
    fn one_path_that_cannot_be_read_does_not_take_the_others_away() {
        let paths = |texts: &[&'static str]| {
            readable("r", texts.iter().copied(), Pattern::parse).map(|patterns| {
                let texts = patterns.iter().map(|pattern| pattern.as_str().to_owned());
                texts.collect::<Vec<_>>()
            })
        };
        assert_eq!(
            paths(&["/admin/*", "relative", "/:a/:a", "/b"]).unwrap(),
            ["/admin/*", "/b"]
        );
        assert!(paths(&["relative", "/:a/:a"]).is_err());
    }

    #[test]
    fn hosts_that_cannot_be_read_do_not_become_any_host() {
        let hosts = |texts: &[&'static str]| {
            readable("r", texts.iter().copied(), HostPattern::parse).map(|hosts| hosts.len())
        };
        assert_eq!(hosts(&[]), Ok(0));
        assert_eq!(hosts(&["a.example", "a b"]), Ok(1));
        assert!(hosts(&["a b"]).is_err());
    }
}
