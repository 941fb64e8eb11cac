//! Policies that count in Redis: APISIX's fields, and the counters they mean.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_resources::Secret;
use tollgate_resources::objects::schema;
use tollgate_store::counters::{
    Address, Counters, Encryption, Login, Memory, Observer, Redis, RedisSettings, Servers, Spread,
};
use tollgate_telemetry::Metrics;
use tollgate_telemetry::metrics::{Counter, Gauge};

use super::super::spec::{SharedState, Unusable, read};
use super::Policy;
use crate::upstream::{TlsSettings, client_config};

/// Redis' own port.
const PORT: u16 = 6379;

/// Where one use of a plugin counts. `name` is that of its state; in Redis it is the same in all gateways that have the same
/// configuration.
pub(crate) fn counters(
    policy: Policy,
    conf: &Value,
    name: &str,
    spread: Spread,
    state: &SharedState,
) -> Result<Counters, Unusable> {
    let Some(settings) = settings(policy, conf)? else {
        return Ok(Counters::in_memory(state.of::<Memory>(name)));
    };
    let tls = tls(settings.encryption)?;
    let redis = Redis::shared(settings, tls, |name| Arc::new(Meters::new(state.metrics(), name)));
    Ok(Counters::in_redis(redis, name, spread))
}

/// Counts how a Redis does that counters are in.
pub fn redis_observer(metrics: &Arc<Metrics>, name: &str) -> Arc<dyn Observer> {
    Arc::new(Meters::new(metrics, name))
}

/// Whether the fields of a policy can be read.
pub(crate) fn check(policy: Policy, conf: &Value) -> Result<(), Unusable> {
    settings(policy, conf).map(drop)
}

/// Numbers about one Redis.
struct Meters {
    metrics: Arc<Metrics>,
    undecided: Counter,
    dropped: Counter,
    /// By server; they are shown as long as they are kept.
    answering: Mutex<BTreeMap<String, Gauge>>,
}

impl Meters {
    fn new(metrics: &Arc<Metrics>, name: &str) -> Self {
        Meters {
            metrics: metrics.clone(),
            undecided: metrics.counter(
                "tollgate_redis_undecided_total",
                "Decisions of limits that Redis did not make, so that allow_degradation decided.",
                &["redis"],
                &[name],
            ),
            dropped: metrics.counter(
                "tollgate_redis_dropped_charges_total",
                "Charges of limits that were given up, because Redis did not take them for too long.",
                &["redis"],
                &[name],
            ),
            answering: Mutex::default(),
        }
    }
}

impl Observer for Meters {
    fn answering(&self, server: &str, is_answering: bool) {
        let mut answering = self.answering.lock().unwrap_or_else(PoisonError::into_inner);
        let gauge = answering.entry(server.to_owned()).or_insert_with(|| {
            self.metrics.gauge(
                "tollgate_redis_answering",
                "Whether a Redis server that limits count in answers.",
                &["redis"],
                &[server],
            )
        });
        gauge.set(i64::from(is_answering));
    }

    fn undecided(&self) {
        self.undecided.add(1);
    }

    fn dropped(&self, charges: u64) {
        self.dropped.add(charges);
    }
}

/// What a plugin counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// What is used in a time.
    Windows,
    /// Who is in at the same time. In Redis places have a time to live; APISIX knows no sentinels for them.
    Places,
}

/// Adds the fields of policies in Redis to the schema of a plugin, in APISIX's manner: those of a policy hold where it is
/// chosen.
pub(crate) fn with_redis_fields(mut schema: Value, counted: Counted) -> Value {
    let mut fields = [
        ("redis", schema::of::<OneFields>()),
        ("redis-cluster", schema::of::<ClusterFields>()),
        ("redis-sentinel", schema::of::<SentinelFields>()),
    ];
    if counted == Counted::Windows {
        for (_, fields) in &mut fields {
            if let Some(properties) = fields.pointer_mut("/properties").and_then(Value::as_object_mut) {
                properties.remove("key_ttl");
            }
        }
    }
    let policies = fields
        .into_iter()
        .take(if counted == Counted::Windows { 3 } else { 2 });
    let mut otherwise: Option<Value> = None;
    for (policy, fields) in policies.rev() {
        let mut choice = json!({
            // A policy that is not written is the default one.
            "if": {"properties": {"policy": {"enum": [policy]}}, "required": ["policy"]},
            "then": {"properties": fields["properties"], "required": fields["required"]},
        });
        if let Some(otherwise) = otherwise {
            choice["else"] = otherwise;
        }
        otherwise = Some(choice);
    }
    if let (Some(schema), Some(Value::Object(choice))) = (schema.as_object_mut(), otherwise) {
        schema.extend(choice);
    }
    schema
}

/// How a single server is reached.
#[derive(Deserialize, JsonSchema)]
struct OneFields {
    /// Name or address of the server.
    #[schemars(length(min = 2))]
    redis_host: String,
    /// Its port.
    #[serde(default = "port")]
    #[schemars(range(min = 1))]
    redis_port: u16,
    /// The user of Redis' access control list.
    #[schemars(length(min = 1))]
    redis_username: Option<String>,
    /// The password.
    #[schemars(with = "Option<String>")]
    redis_password: Option<Secret>,
    /// Number of the database.
    #[serde(default)]
    redis_database: u32,
    /// Milliseconds a decision waits at most.
    #[serde(default = "second")]
    #[schemars(range(min = 1))]
    redis_timeout: u64,
    /// Whether the connection is encrypted.
    #[serde(default)]
    redis_ssl: bool,
    /// Whether the server's certificate is checked.
    #[serde(default)]
    redis_ssl_verify: bool,
    #[serde(flatten)]
    _kept: Kept,
}

/// How a cluster is reached.
#[derive(Deserialize, JsonSchema)]
struct ClusterFields {
    /// Some of its nodes, as `host:port`.
    #[schemars(length(min = 1), inner(length(min = 2, max = 100)))]
    redis_cluster_nodes: Vec<String>,
    /// A name for the cluster. It is not used for anything.
    #[serde(rename = "redis_cluster_name")]
    _redis_cluster_name: String,
    /// The user of Redis' access control list.
    #[schemars(length(min = 1))]
    redis_username: Option<String>,
    /// The password.
    #[schemars(with = "Option<String>")]
    redis_password: Option<Secret>,
    /// Milliseconds a decision waits at most.
    #[serde(default = "second")]
    #[schemars(range(min = 1))]
    redis_timeout: u64,
    /// Whether connections are encrypted.
    #[serde(default)]
    redis_cluster_ssl: bool,
    /// Whether the certificates of the nodes are checked.
    #[serde(default)]
    redis_cluster_ssl_verify: bool,
    #[serde(flatten)]
    _kept: Kept,
}

/// How the master that sentinels name is reached.
#[derive(Deserialize, JsonSchema)]
struct SentinelFields {
    /// The sentinels.
    #[schemars(length(min = 1))]
    redis_sentinels: Vec<SentinelFieldsAddress>,
    /// The name by which they know the master.
    #[schemars(length(min = 1))]
    redis_master_name: String,
    /// Which of the servers is asked. Counting needs the master, so it is asked whatever is written here.
    #[serde(default, rename = "redis_role")]
    #[schemars(extend("default" = "master"))]
    _redis_role: Role,
    /// Milliseconds that connecting may take.
    #[serde(default = "second")]
    #[schemars(range(min = 1))]
    redis_connect_timeout: u64,
    /// Milliseconds an answer may take. A decision waits for the longer of both at most.
    #[serde(default = "second")]
    #[schemars(range(min = 1))]
    redis_read_timeout: u64,
    /// Number of the database.
    #[serde(default)]
    redis_database: u32,
    /// The user of Redis' access control list.
    #[schemars(length(min = 1))]
    redis_username: Option<String>,
    /// The password.
    #[schemars(with = "Option<String>")]
    redis_password: Option<Secret>,
    /// The user at the sentinels.
    #[schemars(length(min = 1))]
    sentinel_username: Option<String>,
    /// The password at the sentinels.
    #[schemars(with = "Option<String>")]
    sentinel_password: Option<Secret>,
    /// Whether connections to the sentinels and to the master are encrypted.
    #[serde(default)]
    redis_ssl: bool,
    /// Whether their certificates are checked.
    #[serde(default)]
    redis_ssl_verify: bool,
    /// Accepted; connections stay open.
    #[serde(default = "minute", rename = "redis_keepalive_timeout")]
    #[schemars(range(min = 1))]
    _redis_keepalive_timeout: u64,
}

/// Where a sentinel is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SentinelFieldsAddress {
    /// Name or address.
    #[schemars(length(min = 2))]
    host: String,
    /// Port.
    #[schemars(range(min = 1))]
    port: u16,
}

/// Which server sentinels are asked for.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Role {
    #[default]
    Master,
    Slave,
}

/// Fields that are accepted because APISIX has them: each worker keeps one connection, which stays open.
#[derive(Deserialize, JsonSchema)]
struct Kept {
    /// Accepted; connections stay open.
    #[serde(default = "ten_seconds", rename = "redis_keepalive_timeout")]
    #[schemars(range(min = 1000))]
    _redis_keepalive_timeout: u64,
    /// Accepted; each worker has one connection to each server.
    #[serde(default = "hundred", rename = "redis_keepalive_pool")]
    #[schemars(range(min = 1))]
    _redis_keepalive_pool: u64,
    /// Seconds after which a place counts as free, though nobody has given it back.
    #[serde(default = "hour", rename = "key_ttl")]
    _key_ttl: i64,
}

fn port() -> u16 {
    PORT
}

fn second() -> u64 {
    1000
}

fn ten_seconds() -> u64 {
    10_000
}

fn minute() -> u64 {
    60_000
}

fn hundred() -> u64 {
    100
}

fn hour() -> i64 {
    3600
}

/// What a policy says about Redis; nothing of one that counts in memory.
fn settings(policy: Policy, conf: &Value) -> Result<Option<RedisSettings>, Unusable> {
    Ok(Some(match policy {
        Policy::Local => return Ok(None),
        Policy::Redis => {
            let fields: OneFields = read(conf)?;
            RedisSettings {
                servers: Servers::One(Address {
                    host: fields.redis_host,
                    port: fields.redis_port,
                }),
                login: login(fields.redis_username, fields.redis_password),
                database: fields.redis_database,
                timeout: Duration::from_millis(fields.redis_timeout),
                encryption: encryption(fields.redis_ssl, fields.redis_ssl_verify),
            }
        }
        Policy::RedisCluster => {
            let fields: ClusterFields = read(conf)?;
            let nodes: Result<_, _> = fields
                .redis_cluster_nodes
                .iter()
                .map(|node| address(node))
                .collect();
            RedisSettings {
                servers: Servers::Cluster(nodes?),
                login: login(fields.redis_username, fields.redis_password),
                database: 0,
                timeout: Duration::from_millis(fields.redis_timeout),
                encryption: encryption(fields.redis_cluster_ssl, fields.redis_cluster_ssl_verify),
            }
        }
        Policy::RedisSentinel => {
            let fields: SentinelFields = read(conf)?;
            let sentinels = fields.redis_sentinels.into_iter().map(|sentinel| Address {
                host: sentinel.host,
                port: sentinel.port,
            });
            let timeout = fields.redis_connect_timeout.max(fields.redis_read_timeout);
            RedisSettings {
                servers: Servers::Sentinel {
                    sentinels: sentinels.collect(),
                    master: fields.redis_master_name,
                },
                login: Login {
                    sentinel_username: fields.sentinel_username,
                    sentinel_password: fields.sentinel_password,
                    ..login(fields.redis_username, fields.redis_password)
                },
                database: fields.redis_database,
                timeout: Duration::from_millis(timeout),
                encryption: encryption(fields.redis_ssl, fields.redis_ssl_verify),
            }
        }
    }))
}

fn login(username: Option<String>, password: Option<Secret>) -> Login {
    Login {
        username,
        password,
        ..Login::default()
    }
}

fn encryption(is_on: bool, is_verified: bool) -> Encryption {
    match (is_on, is_verified) {
        (false, _) => Encryption::Off,
        (true, false) => Encryption::Unverified,
        (true, true) => Encryption::Verified,
    }
}

/// Reads `host:port`; without a port it is Redis' own.
fn address(text: &str) -> Result<Address, Unusable> {
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address without a port has colons too.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
        _ => (text, Some(PORT)),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    match port {
        Some(port) if !host.is_empty() => Ok(Address { host, port }),
        _ => Err(Unusable(format!(
            "redis_cluster_nodes: {text} is no address; write host:port"
        ))),
    }
}

fn tls(encryption: Encryption) -> Result<Option<Arc<ClientConfig>>, Unusable> {
    let verify = match encryption {
        Encryption::Off => return Ok(None),
        Encryption::Unverified => false,
        Encryption::Verified => true,
    };
    let settings = TlsSettings {
        ca_file: None,
        verify,
    };
    let config = client_config(&settings, None).map_err(|error| Unusable(format!("redis_ssl: {error}")))?;
    let mut config = ClientConfig::clone(&config);
    config.alpn_protocols.clear();
    Ok(Some(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_nodes_have_a_port_or_get_one() {
        for (text, host, port) in [
            ("10.0.0.1:7000", "10.0.0.1", 7000),
            ("redis", "redis", 6379),
            ("[::1]:7000", "::1", 7000),
            ("::1", "::1", 6379),
        ] {
            let host = host.to_owned();
            assert_eq!(address(text).ok(), Some(Address { host, port }), "{text}");
        }
        for text in ["redis:", ":7000", "redis:70000", "redis:x"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_policy_reads_its_own_fields() {
        let conf = json!({
            "redis_host": "r", "redis_timeout": 50, "redis_ssl": true, "redis_database": 2,
            "redis_username": "u", "redis_password": "p",
        });
        let one = settings(Policy::Redis, &conf).unwrap().unwrap();
        assert_eq!(one.servers.to_string(), "r:6379");
        assert_eq!(one.timeout, Duration::from_millis(50));
        assert_eq!((one.database, one.encryption), (2, Encryption::Unverified));
        assert_eq!(one.login.username.as_deref(), Some("u"));

        let conf = json!({"redis_cluster_nodes": ["a:1", "b:2"], "redis_cluster_name": "c", "redis_cluster_ssl": true,
            "redis_cluster_ssl_verify": true});
        let cluster = settings(Policy::RedisCluster, &conf).unwrap().unwrap();
        assert_eq!(cluster.servers.to_string(), "cluster a:1,b:2");
        assert_eq!(cluster.encryption, Encryption::Verified);

        let conf = json!({"redis_sentinels": [{"host": "s1", "port": 26379}], "redis_master_name": "m",
            "sentinel_password": "q", "redis_read_timeout": 2000});
        let sentinel = settings(Policy::RedisSentinel, &conf).unwrap().unwrap();
        assert_eq!(sentinel.servers.to_string(), "master m of s1:26379");
        assert_eq!(sentinel.timeout, Duration::from_secs(2));

        assert!(settings(Policy::Local, &json!({})).unwrap().is_none());
        for policy in [Policy::Redis, Policy::RedisCluster, Policy::RedisSentinel] {
            assert!(check(policy, &json!({})).is_err());
        }
    }
}
