//! How the health of the servers of an upstream is found out: by asking them and, as in APISIX, by the calls they answer.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tollgate_policy::health::{Found, Rules};

use super::exchange::Failure;
use super::node::Node;
use super::upstream::UpstreamSettings;
use crate::ai::config::ActiveCheck;
use crate::health::{Check, CheckTarget, Credentials, Duty, OnDuty};

/// How the health of servers is found out.
pub struct Checks {
    active: ActiveCheck,
    /// What calls say; `None` if they say nothing.
    pub passive: Option<Rules>,
}

/// `checks` of an upstream; its schema demands `active`.
#[derive(Deserialize)]
struct Written {
    active: ActiveCheck,
    passive: Option<Passive>,
}

/// `checks.passive`. A limit of 0 is none.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Passive {
    healthy: Good,
    unhealthy: Bad,
}

#[derive(Deserialize)]
#[serde(default)]
struct Good {
    http_statuses: Vec<u16>,
    successes: u32,
}

#[derive(Deserialize)]
#[serde(default)]
struct Bad {
    http_statuses: Vec<u16>,
    http_failures: u32,
    tcp_failures: u32,
    timeouts: u32,
}

impl Default for Good {
    fn default() -> Self {
        Good {
            http_statuses: (200..=208).chain([226]).chain(300..=308).collect(),
            successes: 5,
        }
    }
}

impl Default for Bad {
    fn default() -> Self {
        Bad {
            http_statuses: vec![429, 500, 503],
            http_failures: 5,
            tcp_failures: 2,
            timeouts: 7,
        }
    }
}

impl Checks {
    /// Reads `checks` of an upstream.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(written: &Value) -> Result<Self, String> {
        let written: Written =
            serde_json::from_value(written.clone()).map_err(|error| format!("checks: {error}"))?;
        Ok(Checks {
            active: written.active,
            passive: written.passive.map(|passive| Rules {
                good_statuses: passive.healthy.http_statuses,
                bad_statuses: passive.unhealthy.http_statuses,
                successes: passive.healthy.successes,
                http_failures: passive.unhealthy.http_failures,
                tcp_failures: passive.unhealthy.tcp_failures,
                timeouts: passive.unhealthy.timeouts,
            }),
        })
    }

    /// Takes a server into service. `host` is the `Host` that all servers of the upstream see, if there is one.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn enlist(
        &self,
        node: &Node,
        host: Option<&HeaderValue>,
        settings: &UpstreamSettings<'_>,
    ) -> Result<Arc<OnDuty>, String> {
        let target = CheckTarget {
            host: node.host.clone(),
            port: node.port,
            authority: host.unwrap_or(&node.authority).clone(),
        };
        let nothing = Credentials {
            headers: &[],
            query: "",
        };
        let duty = Duty {
            owner: settings.owner,
            name: &node.name,
            place: &node.name,
            passive: None,
            check: Some(Check::new(&self.active, target, &nothing)?),
        };
        Ok(settings.state.roster().enlist(duty, settings.state))
    }

    /// Tells how a call to a server went.
    pub fn call_ended(&self, node: &Node, result: Result<(StatusCode, SocketAddr), &Failure>) {
        let (Some(rules), Some(on_duty)) = (&self.passive, &node.checked) else {
            return;
        };
        let (address, found) = match result {
            Ok((status, address)) => (Some(address), Found::Status(status.as_u16())),
            Err(failure) if !failure.is_servers() => return,
            Err(failure) if failure.counted_as == StatusCode::GATEWAY_TIMEOUT => (None, Found::Late),
            Err(_) => (None, Found::Broken),
        };
        on_duty.health.call_found(address, found, rules);
    }
}
