//! `GET /tollgate/v1/status`: what this gateway is and where it listens.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::{Map, Value, json};
use tollgate_resources::objects::Kind;
use tollgate_store::Store;
use tollgate_telemetry::ledger::time_text;

use crate::settings::Settings;

/// What a gateway is, as it was started.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Where calls are served: `http` or `https`, and the address.
    pub listeners: Vec<(&'static str, SocketAddr)>,
    /// Where its configuration comes from, for people.
    pub source: String,
    /// The files of it.
    pub files: Vec<String>,
    /// Whether usage is kept.
    pub keeps_usage: bool,
    /// Whether limits are shared over Redis.
    pub has_redis: bool,
    /// The file that holds a key of the Admin API and nothing else, if there is one.
    pub key_file: Option<String>,
    /// Calls that work, to be tried: what each is, and the line for a shell.
    pub trials: Vec<(String, String)>,
}

impl Node {
    /// Where clients call, the one without TLS first: whether it has TLS, and its address.
    pub(crate) fn front_door(&self) -> Option<(bool, SocketAddr)> {
        let plain = self.listeners.iter().find(|(scheme, _)| *scheme == "http");
        let (scheme, address) = plain.or_else(|| self.listeners.first())?;
        Some((*scheme == "https", reachable(*address)))
    }
}

/// An address that a client on this machine can use.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        }
    }
    address
}

/// Tells it.
pub(crate) fn told(
    node: &Node,
    settings: &Settings,
    has_oidc: bool,
    store: &Store,
    ready: Result<(), String>,
    started_s: u64,
    now_s: u64,
) -> Value {
    let mut counts = Map::new();
    for object in store.all() {
        let count = counts
            .entry(object.key.kind.collection())
            .or_insert(Value::from(0_u64));
        *count = (count.as_u64().unwrap_or(0) + 1).into();
    }
    for kind in Kind::ALL {
        counts.entry(kind.collection()).or_insert(Value::from(0_u64));
    }
    let listeners: Vec<Value> = node
        .listeners
        .iter()
        .map(|(scheme, address)| {
            let url = format!("{scheme}://{}", reachable(*address));
            json!({"scheme": scheme, "address": address.to_string(), "url": url})
        })
        .collect();
    let trials: Vec<Value> = node
        .trials
        .iter()
        .map(|(what, line)| json!({"what": what, "line": line}))
        .collect();
    let seconds = |time: u64| time_text(i64::try_from(time).unwrap_or(i64::MAX));
    let playground: Vec<&str> = settings.playground.iter().map(|role| role.word()).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": ready.is_ok(),
        "not_ready_because": ready.err(),
        "started_at": seconds(started_s),
        "time": seconds(now_s),
        "uptime_s": now_s.saturating_sub(started_s),
        "listeners": listeners,
        "configuration": {"source": node.source, "files": node.files},
        "key_file": node.key_file,
        "features": {"usage": node.keeps_usage, "redis": node.has_redis, "oidc": has_oidc},
        "playground": {"roles": playground},
        "objects": counts,
        "trials": trials,
    })
}

/// Leaves out what belongs to no team: where the configuration is, what is in it, and calls to try, which name consumers.
pub(crate) fn leave_out_what_is_of_no_team(told: &mut Value) {
    told["configuration"] = json!({"source": "", "files": []});
    told["key_file"] = Value::Null;
    told["objects"] = json!({});
    told["trials"] = json!([]);
}
