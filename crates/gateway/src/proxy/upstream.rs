//! An upstream of the Admin API, compiled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use rustls::ClientConfig;
use serde_json::Value;
use tokio::time::Instant;
use tollgate_policy::balance::{self, Algorithm, Ask, Balancer, Member, PoolMemory};
use tollgate_policy::expr::Template;
use tollgate_resources::objects::{self, HashOn, KeepalivePool, PassHost, RouteTimeout, Ssl, UpstreamScheme};

use super::checks::Checks;
use super::node::{Node, places};
use crate::plugins::{HashKey, SharedState};
use crate::secrets::Secrets;
use crate::upstream::{ClientIdentity, Keep, TlsSettings, client_config};

/// Time limit of each kind where none is configured, as in APISIX.
const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

/// Most further tries of one call, whatever is configured: a node that refuses is asked again at once.
const MAX_RETRIES: u32 = 100;

/// Servers that calls are passed to.
pub struct Upstream {
    /// Those that take calls.
    pub(super) nodes: Vec<Node>,
    /// Chooses among them.
    pub(super) balancer: Balancer,
    /// Numbers the choices that are left to chance.
    draws: AtomicU64,
    /// What a consistent hash is made of.
    pub(super) hash_key: HashKey,
    /// Further tries after the first.
    pub(super) retries: u32,
    /// After this time since the first try there is no further one.
    pub(super) retry_within: Option<Duration>,
    pub(super) limits: Limits,
    pub(super) host: Host,
    /// `None` for plain HTTP.
    pub(super) tls: Option<Tls>,
    pub(super) keep: Keep,
    /// How the health of the nodes is found out.
    pub(super) checks: Option<Checks>,
}

/// Time limits of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To connect, name resolution and TLS included.
    pub connect: Duration,
    /// Between two writes.
    pub send: Duration,
    /// Between two reads.
    pub read: Duration,
}

/// Which `Host` a server sees.
pub enum Host {
    /// The client's.
    Client,
    /// The node's own.
    Node,
    /// This one.
    Fixed(HeaderValue),
}

/// TLS to the servers.
pub struct Tls {
    /// Trust, and our certificate.
    pub config: Arc<ClientConfig>,
    /// Tells connections with different settings apart.
    pub identity: String,
}

/// What an upstream is compiled with.
pub struct UpstreamSettings<'a> {
    /// Identity of the object that carries it, such as `upstream/1` or `route/7`: names the state it keeps (positions,
    /// health), which outlives a change.
    pub identity: &'a str,
    /// The object in which it is written, such as `upstream/1` or `service/2`: whose health is told.
    pub owner: &'a str,
    /// Time limits of the route, over its own.
    pub timeout: Option<RouteTimeout>,
    /// Looks certificates for `tls.client_cert_id` up.
    pub client_certificate: &'a dyn Fn(&str) -> Option<Ssl>,
    /// Values of secrets.
    pub secrets: &'a Secrets,
    /// State that outlives configurations.
    pub state: &'a SharedState,
}

impl Upstream {
    /// What tells two configurations of an upstream apart.
    #[cfg(test)]
    pub(crate) fn figures(&self) -> (u32, Limits, bool) {
        (self.retries, self.limits, self.tls.is_some())
    }

    /// Compiles an upstream.
    ///
    /// # Errors
    /// What is wrong with it, for the log.
    pub fn compile(upstream: &objects::Upstream, settings: &UpstreamSettings<'_>) -> Result<Self, String> {
        let default_port = match upstream.scheme {
            UpstreamScheme::Http => 80,
            UpstreamScheme::Https => 443,
            other => {
                let name = format!("{other:?}").to_ascii_lowercase();
                return Err(format!("upstreams of scheme `{name}` are not served"));
            }
        };
        let places = places(&upstream.nodes, default_port)?;
        let retries = match upstream.retries {
            Some(retries) => retries,
            None => u32::try_from(places.len().saturating_sub(1)).unwrap_or(u32::MAX),
        };
        let places: Vec<_> = places.into_iter().filter(|place| place.weight > 0).collect();
        let names: Vec<Arc<str>> = places.iter().map(|place| place.name().into()).collect();
        let memory = settings
            .state
            .of::<PoolMemory>(&format!("proxy/{}", settings.identity));
        let members = places.iter().zip(&names).zip(memory.of(&names));
        let members = members.map(|((place, name), state)| Member {
            name: name.clone(),
            weight: place.weight,
            priority: i64::from(place.priority),
            cost: None,
            state,
        });
        let algorithm = algorithm(upstream.balancer.as_deref())?;
        let balancer = Balancer::new(algorithm, members.collect(), memory);
        let nodes = places
            .iter()
            .zip(&names)
            .map(|(place, name)| {
                Ok(Node {
                    name: name.clone(),
                    host: place.host.clone(),
                    port: place.port,
                    authority: HeaderValue::from_str(&place.authority(default_port))
                        .map_err(|_| format!("`{}` is not a host", place.host))?,
                    checked: None,
                })
            })
            .collect::<Result<Vec<Node>, String>>()?;
        let host = host(upstream)?;
        let unchecked = |problem: String| {
            let of = settings.owner;
            tracing::error!(of, problem, "servers cannot be checked, and count as well");
        };
        let checks = upstream
            .checks
            .as_ref()
            .and_then(|written| Checks::read(written).map_err(unchecked).ok());
        let mut nodes = nodes;
        if let Some(checks) = &checks {
            let fixed = match &host {
                Host::Fixed(host) => Some(host),
                Host::Client | Host::Node => None,
            };
            for node in &mut nodes {
                node.checked = checks.enlist(node, fixed, settings).map_err(unchecked).ok();
            }
        }
        Ok(Upstream {
            nodes,
            balancer,
            draws: AtomicU64::new(0),
            hash_key: hash_key(upstream.hash_on, upstream.key.as_deref()),
            retries: retries.min(MAX_RETRIES),
            retry_within: upstream
                .retry_timeout
                .filter(|seconds| *seconds > 0.0)
                .map(|seconds| duration(seconds, DEFAULT_LIMIT)),
            limits: limits(settings.timeout.or(upstream.timeout)),
            host,
            tls: match upstream.scheme {
                UpstreamScheme::Https => Some(tls(upstream, settings)?),
                _ => None,
            },
            keep: keep(upstream.keepalive_pool),
            checks,
        })
    }

    /// The next node for a call that has tried these; `None` when there is no other. A single node is tried again. `key` is
    /// what the consistent hash is made of.
    pub(super) fn pick(&self, tried: &[usize], key: &[u8]) -> Option<usize> {
        if self.nodes.len() == 1 {
            return Some(0);
        }
        let now = Instant::now().into_std();
        let is_usable = |node: usize| {
            let checked = self.nodes.get(node).and_then(|node| node.checked.as_ref());
            checked.is_none_or(|on_duty| on_duty.health.is_usable(now))
        };
        self.balancer.pick(&Ask {
            tried,
            usable: &is_usable,
            barred: &|_| false,
            peeks: false,
            key,
            prefix: &[],
            streams: false,
            now,
            draw: self.draws.fetch_add(1, Ordering::Relaxed),
        })
    }
}

fn algorithm(name: Option<&str>) -> Result<Algorithm, String> {
    match name.unwrap_or("roundrobin") {
        "roundrobin" => Ok(Algorithm::RoundRobin),
        "chash" => Ok(Algorithm::ConsistentHash),
        "least_conn" => Ok(Algorithm::LeastBusy),
        "ewma" => Ok(Algorithm::Ewma),
        other => Err(format!(
            "there is no balancer `{other}`; use roundrobin, chash, least_conn or ewma"
        )),
    }
}

fn hash_key(on: HashOn, key: Option<&str>) -> HashKey {
    let key = key.unwrap_or_default();
    match on {
        HashOn::Vars => HashKey::Variable(key.to_owned()),
        HashOn::Header => HashKey::header(key),
        HashOn::Cookie => HashKey::cookie(key),
        HashOn::Consumer => HashKey::Consumer,
        HashOn::VarsCombinations => HashKey::Text(Template::parse(key)),
    }
}

fn limits(configured: Option<RouteTimeout>) -> Limits {
    let of = |seconds: fn(&RouteTimeout) -> f64| {
        configured.map_or(DEFAULT_LIMIT, |limits| duration(seconds(&limits), DEFAULT_LIMIT))
    };
    Limits {
        connect: of(|limits| limits.connect),
        send: of(|limits| limits.send),
        read: of(|limits| limits.read),
    }
}

/// A time in seconds, unless it is none.
fn duration(seconds: f64, otherwise: Duration) -> Duration {
    /// Beyond this a limit is none, and sums of times stay within what clocks can tell.
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
    Duration::try_from_secs_f64(seconds).map_or(otherwise, |duration| duration.min(LONGEST))
}

fn host(upstream: &objects::Upstream) -> Result<Host, String> {
    match upstream.pass_host {
        PassHost::Pass => Ok(Host::Client),
        PassHost::Node => Ok(Host::Node),
        PassHost::Rewrite => {
            let host = upstream
                .upstream_host
                .as_deref()
                .filter(|host| !host.is_empty())
                .ok_or("pass_host is `rewrite`, but there is no upstream_host")?;
            let host = HeaderValue::from_str(host).map_err(|_| format!("`{host}` is not a host"))?;
            Ok(Host::Fixed(host))
        }
    }
}

fn tls(upstream: &objects::Upstream, settings: &UpstreamSettings<'_>) -> Result<Tls, String> {
    let conf = upstream.tls.clone().unwrap_or_default();
    let verify = conf.verify.unwrap_or(false);
    let (chain, key) = match &conf.client_cert_id {
        Some(id) => {
            let ssl = (settings.client_certificate)(id)
                .ok_or_else(|| format!("the client certificate {id} does not exist"))?;
            (ssl.cert, ssl.key)
        }
        None => (conf.client_cert, conf.client_key),
    };
    let mut identity = format!("verify={verify}");
    let shown = match (chain, key) {
        (None, None) => None,
        (Some(chain), Some(key)) => {
            let chain = secret(&chain, settings.secrets)?;
            let key = secret(&key, settings.secrets)?;
            // Connections of the old certificate must not serve for the new one.
            identity.push_str(&format!("|{:016x}", balance::hash(chain.as_bytes())));
            Some(ClientIdentity::from_pem(&chain, &key).map_err(|error| error.to_string())?)
        }
        _ => return Err("a client certificate needs its key".to_owned()),
    };
    let trust = TlsSettings {
        ca_file: None,
        verify,
    };
    Ok(Tls {
        config: client_config(&trust, shown).map_err(|error| error.to_string())?,
        identity,
    })
}

fn secret(text: &str, secrets: &Secrets) -> Result<String, String> {
    match secrets.resolve(&Value::String(text.to_owned())) {
        Ok(Value::String(value)) => Ok(value),
        Ok(_) => Err("a secret is no text".to_owned()),
        Err(missing) => Err(missing.to_string()),
    }
}

fn keep(pool: Option<KeepalivePool>) -> Keep {
    let pool = pool.unwrap_or_default();
    Keep {
        size: usize::try_from(pool.size).unwrap_or(usize::MAX),
        idle: duration(pool.idle_timeout, DEFAULT_LIMIT),
        requests: pool.requests.max(1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tollgate_resources::objects;

    use super::{Upstream, UpstreamSettings};
    use crate::plugins::SharedState;
    use crate::secrets::Secrets;

    fn compile(conf: Value) -> Result<Upstream, String> {
        compile_with(conf, &SharedState::default())
    }

    fn compile_with(conf: Value, state: &SharedState) -> Result<Upstream, String> {
        let upstream: objects::Upstream = serde_json::from_value(conf).unwrap();
        Upstream::compile(
            &upstream,
            &UpstreamSettings {
                identity: "upstream/1",
                owner: "upstream/1",
                timeout: None,
                client_certificate: &|_| None,
                secrets: &Secrets::new(Box::new(|_| None)),
                state,
            },
        )
    }

    #[test]
    fn what_cannot_be_served_is_told() {
        for (conf, told) in [
            (json!({"nodes": {"a": 1}, "scheme": "grpc"}), "scheme `grpc`"),
            (
                json!({"nodes": {"a": 1}, "type": "random"}),
                "no balancer `random`",
            ),
            (
                json!({"nodes": {"a": 1}, "pass_host": "rewrite"}),
                "upstream_host",
            ),
            (
                json!({"nodes": {"a": 1}, "scheme": "https", "tls": {"client_cert_id": "7"}}),
                "certificate 7",
            ),
            (
                json!({"nodes": {"a": 1}, "scheme": "https", "tls": {"client_cert": "x", "client_key": "y"}}),
                "PEM",
            ),
        ] {
            let problem = compile(conf.clone()).err().unwrap_or_default();
            assert!(problem.contains(told), "{conf}: {problem}");
        }
    }

    #[test]
    fn nodes_without_weight_take_nothing_but_count_for_the_tries() {
        let upstream = compile(json!({"nodes": {"a:1": 1, "b:1": 0, "c:1": 2}})).unwrap();
        let names: Vec<&str> = upstream.nodes.iter().map(|node| &*node.name).collect();
        assert_eq!(names, ["a:1", "c:1"]);
        assert_eq!(upstream.retries, 2);
        assert_eq!(compile(json!({"nodes": []})).unwrap().pick(&[], b""), None);
    }

    #[test]
    fn a_single_node_is_tried_again_and_of_several_each_once() {
        for balancer in ["roundrobin", "chash", "least_conn", "ewma"] {
            let one = compile(json!({"nodes": {"a:1": 1}, "type": balancer})).unwrap();
            assert_eq!(one.pick(&[0], b"key"), Some(0));
            let two = compile(json!({"nodes": {"a:1": 1, "b:1": 2}, "type": balancer})).unwrap();
            let first = two.pick(&[], b"key").unwrap();
            assert_eq!(two.pick(&[first], b"key"), Some(1 - first), "{balancer}");
            assert_eq!(two.pick(&[0, 1], b"key"), None, "{balancer}");
        }
    }

    #[test]
    fn a_change_goes_on_where_the_turns_were() {
        let state = SharedState::default();
        let picks = |conf: Value, count: usize| -> Vec<usize> {
            let upstream = compile_with(conf, &state).unwrap();
            (0..count).map(|_| upstream.pick(&[], b"").unwrap()).collect()
        };
        assert_eq!(picks(json!({"nodes": {"a:1": 1, "b:1": 1}}), 3), [0, 1, 0]);
        assert_eq!(
            picks(json!({"nodes": {"a:1": 1, "b:1": 1}, "retries": 1}), 2),
            [1, 0]
        );
    }
}
