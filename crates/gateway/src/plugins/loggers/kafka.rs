//! `kafka-logger`: entries as messages of a topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_resources::Secret;
use tollgate_resources::egress::Origin;
use tollgate_telemetry::Outlets;
use tollgate_telemetry::delivery::{Fate, Limits, Queue, SendError, Sent, Sink};
use tollgate_telemetry::kafka::{Acks, Broker, Mechanism, Record, Sasl, Sender, Settings};

use super::super::spec::read;
use super::super::{Made, Scope, Setup, Spec, Unusable};
use super::conf::{Batching, Content, Metadata, joined, size};
use super::{Form, Logger, LoggerPlugin, Outlet};
use crate::upstream::{TlsSettings, client_config};

/// `kafka-logger`.
pub static SPEC: Spec = Spec {
    name: "kafka-logger",
    priority: 403,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: super::conf::schemas::<Config, Metadata>,
    check: super::conf::check,
    setup,
    secret_fields: &["brokers.sasl_config.password"],
};

/// Which topic of which brokers, and how.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["broker_list", "kafka_topic"]},
    {"required": ["brokers", "kafka_topic"]},
]))]
struct Config {
    /// What entries tell: members, or the request as it came.
    #[serde(default)]
    #[schemars(extend("default" = "default"))]
    meta_format: MetaFormat,
    /// Ports by the brokers' hosts; `brokers` is newer.
    #[schemars(extend("minProperties" = 1, "patternProperties" = {
        ".*": {"description": "the port of kafka broker", "type": "integer", "minimum": 1, "maximum": 65535},
    }))]
    broker_list: Option<BTreeMap<String, Value>>,
    /// The brokers.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    brokers: Option<Vec<BrokerConf>>,
    /// Encrypted connections.
    tls: Option<TlsConf>,
    /// The topic.
    kafka_topic: Option<String>,
    /// Whether messages wait for others and for brokers that are away (`async`), or are sent at once and given up when that does not
    /// work `max_retry_count` times more (`sync`).
    #[serde(default)]
    #[schemars(extend("default" = "async"))]
    producer_type: ProducerType,
    /// Who must have stored a message: 1 the leader, -1 all replicas.
    #[serde(default = "one")]
    #[schemars(extend("enum" = [1, -1]))]
    required_acks: i64,
    /// Decides about the partition.
    key: Option<String>,
    /// Seconds that a broker may take.
    #[serde(default = "three")]
    #[schemars(range(min = 1))]
    timeout: u64,
    #[serde(flatten)]
    content: Content,
    /// A number of the cluster. It has no meaning here.
    #[serde(default = "one_cluster")]
    #[schemars(range(min = 1))]
    #[expect(
        dead_code,
        reason = "accepted, as connections are shared by all that makes them differ"
    )]
    cluster_name: u64,
    /// Messages of one request for a partition at most.
    #[serde(default = "batch_num")]
    #[schemars(range(min = 1))]
    producer_batch_num: u64,
    /// Bytes of one request for a partition at most.
    #[serde(default = "batch_size")]
    #[schemars(range(min = 0))]
    producer_batch_size: u64,
    /// Messages that wait at most; more are dropped.
    #[serde(default = "max_buffering")]
    #[schemars(range(min = 1))]
    producer_max_buffering: u64,
    /// Seconds that a message waits for others.
    #[serde(default = "linger")]
    #[schemars(range(min = 1))]
    producer_time_linger: u64,
    /// Seconds after which the brokers are asked anew who leads which partition.
    #[serde(default = "refresh")]
    #[schemars(range(min = 1))]
    meta_refresh_interval: u64,
    /// Version of the produce request in APISIX. Here the newest is used that both sides know.
    #[serde(default = "one")]
    #[schemars(extend("enum" = [0, 1, 2]))]
    #[expect(dead_code, reason = "accepted; versions are agreed upon with the broker")]
    api_version: i64,
    /// The name in logs.
    #[serde(default = "name")]
    #[expect(
        dead_code,
        reason = "a queue may be shared by routes that name it differently"
    )]
    name: String,
    #[serde(flatten)]
    batching: Batching,
}

/// What entries tell.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum MetaFormat {
    /// Members.
    #[default]
    Default,
    /// The request as it came.
    Origin,
}

/// Whether messages wait for others.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum ProducerType {
    /// They do.
    #[default]
    Async,
    /// They do not.
    Sync,
}

/// A broker.
#[derive(Clone, Deserialize, JsonSchema)]
struct BrokerConf {
    /// Its host.
    host: String,
    /// Its port.
    #[schemars(range(min = 1, max = 65535))]
    port: u16,
    /// How to sign in.
    sasl_config: Option<SaslConf>,
}

/// How to sign in.
#[derive(Clone, Deserialize, JsonSchema)]
struct SaslConf {
    /// The mechanism.
    #[serde(default)]
    #[schemars(extend("default" = "PLAIN"))]
    mechanism: MechanismConf,
    /// The user.
    user: String,
    /// Its password.
    password: String,
}

/// A mechanism.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
enum MechanismConf {
    /// The password as it is.
    #[default]
    #[serde(rename = "PLAIN")]
    Plain,
    /// SCRAM with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    Sha256,
    /// SCRAM with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    Sha512,
}

/// Encrypted connections.
#[derive(Clone, Deserialize, JsonSchema)]
struct TlsConf {
    /// Whether the brokers' certificates are checked.
    #[serde(default)]
    verify: bool,
}

fn setup(conf: &Value, setup: &Setup<'_>) -> Made {
    let config: Config = read(conf)?;
    let metadata: Metadata = setup.metadata.map(read).transpose()?.unwrap_or_default();
    let form = match config.meta_format {
        MetaFormat::Default => Form::Json {
            entry: Box::new(config.content.entry(
                metadata.log_format.as_ref(),
                metadata.log_format_extra.as_ref(),
                setup,
            )),
            is_line: false,
        },
        MetaFormat::Origin => Form::Origin {
            reveals_secrets: setup.strict,
        },
    };
    let (request_body, response_body) = config.content.bodies()?;
    let is_array = config.meta_format == MetaFormat::Default;
    let settings = settings(&config)?;
    let limits = Limits {
        max_retry_count: settings.max_retry_count,
        retry_delay: settings.retry_delay,
        ..config.batching.limits(&metadata)
    };
    let batches = (config.batching.batch_max_size != 1).then_some((limits, is_array));
    Ok(Arc::new(LoggerPlugin(Arc::new(Logger {
        form,
        matches: None,
        request_body,
        response_body,
        outlet: outlet(
            &identity(conf),
            &settings,
            config.key.as_deref(),
            batches,
            setup.state.outlets(),
        )?,
    }))))
}

/// Everything that makes two producers differ.
fn identity(conf: &Value) -> String {
    let connection: BTreeMap<&str, &Value> = conf
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !CONTENT_FIELDS.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    json!(connection).to_string()
}

/// Entries on their own become messages that wait in the producer; with limits of batches they wait before, until they become
/// one message.
pub(super) fn outlet(
    identity: &str,
    settings: &Settings,
    key: Option<&str>,
    batches: Option<(Limits, bool)>,
    outlets: &Outlets,
) -> Result<Box<dyn Outlet>, Unusable> {
    let hub = outlets.hub().map_err(|error| Unusable(error.to_string()))?;
    let key = key.map(|key| Bytes::copy_from_slice(key.as_bytes()));
    let identity = format!("{} {identity} {batches:?}", SPEC.name);
    let connect = || Sender::new(settings.clone(), hub.metrics());
    let Some((limits, is_array)) = batches else {
        let queue = hub.shared_queue(&identity, SPEC.name, settings.limits(), connect);
        return Ok(Box::new(Messages { queue, key }));
    };
    let queue = hub.shared_queue(&identity, SPEC.name, limits, || Batches {
        sender: connect(),
        key: key.clone(),
        is_array,
        last: None,
    });
    Ok(Box::new(Waiting(queue)))
}

fn settings(config: &Config) -> Result<Settings, Unusable> {
    let listed = config.broker_list.iter().flatten().map(|(host, port)| {
        let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
        port.map(|port| Broker {
            host: host.clone(),
            port,
            sasl: None,
        })
    });
    let brokers = config.brokers.iter().flatten().cloned().map(|broker| {
        Some(Broker {
            host: broker.host,
            port: broker.port,
            sasl: broker.sasl_config.map(|sasl| Sasl {
                mechanism: match sasl.mechanism {
                    MechanismConf::Plain => Mechanism::Plain,
                    MechanismConf::Sha256 => Mechanism::ScramSha256,
                    MechanismConf::Sha512 => Mechanism::ScramSha512,
                },
                user: sasl.user,
                password: Arc::new(Secret::from(sasl.password)),
            }),
        })
    });
    let brokers: Option<Vec<Broker>> = brokers.chain(listed).collect();
    let brokers = brokers.ok_or_else(|| Unusable("broker_list: a port is no port".to_owned()))?;
    let topic = config.kafka_topic.as_deref().unwrap_or_default();
    let tls = config
        .tls
        .as_ref()
        .map(|tls| {
            client_config(
                &TlsSettings {
                    ca_file: None,
                    verify: tls.verify,
                },
                None,
            )
        })
        .transpose()
        .map_err(|error| Unusable(error.to_string()))?;
    let mut settings = Settings::new(brokers, topic);
    settings.tls = tls;
    settings.origin = Origin::Object;
    settings.acks = match config.required_acks {
        -1 => Acks::All,
        _ => Acks::Leader,
    };
    settings.timeout = Duration::from_secs(config.timeout);
    settings.metadata_refresh = Duration::from_secs(config.meta_refresh_interval);
    settings.batch_records = size(config.producer_batch_num);
    settings.batch_bytes = size(config.producer_batch_size);
    settings.max_buffered_records = size(config.producer_max_buffering);
    match config.producer_type {
        // What is buffered is not given up because brokers are away.
        ProducerType::Async => settings.linger = Duration::from_secs(config.producer_time_linger),
        ProducerType::Sync => {
            settings.linger = Duration::ZERO;
            settings.max_retry_count = config.batching.max_retry_count;
            settings.retry_delay = Duration::from_secs(config.batching.retry_delay);
        }
    }
    Ok(settings)
}

/// Each entry is a message.
struct Messages {
    queue: Queue<Record>,
    key: Option<Bytes>,
}

impl Outlet for Messages {
    fn take(&self, entry: &[u8]) {
        let record = Record::new(self.key.clone(), Bytes::copy_from_slice(entry));
        let bytes = record.size();
        // What is dropped is counted and told there.
        let _ = self.queue.push(record, bytes);
    }
}

/// Entries that become one message together.
struct Waiting(Queue<Bytes>);

impl Outlet for Waiting {
    fn take(&self, entry: &[u8]) {
        let _ = self.0.push(Bytes::copy_from_slice(entry), entry.len());
    }
}

/// Makes a message of each batch.
struct Batches {
    sender: Sender,
    key: Option<Bytes>,
    is_array: bool,
    /// The message that was tried last, so that it is recognised when it is tried again.
    last: Option<Record>,
}

impl Sink<Bytes> for Batches {
    async fn send(&mut self, batch: &[Bytes]) -> Result<Sent, SendError> {
        let value = match self.is_array {
            true => joined(batch, true),
            false => serde_json::to_vec(
                &batch
                    .iter()
                    .map(|entry| String::from_utf8_lossy(entry))
                    .collect::<Vec<_>>(),
            )
            .unwrap_or_default(),
        };
        let record = match self.last.take() {
            Some(last) if last.value == value => last,
            _ => Record::new(self.key.clone(), value.into()),
        };
        let record = self.last.insert(record);
        match self.sender.send(std::slice::from_ref(record)).await? {
            Sent::All => Ok(Sent::All),
            Sent::Each { fates, cause } => {
                let fate = fates.first().copied().unwrap_or(Fate::Again);
                Ok(Sent::Each {
                    fates: vec![fate; batch.len()],
                    cause,
                })
            }
        }
    }
}

/// Fields that say what entries tell, and nothing of where they go.
const CONTENT_FIELDS: [&str; 9] = [
    "log_format",
    "log_format_extra",
    "include_req_body",
    "include_req_body_expr",
    "include_resp_body",
    "include_resp_body_expr",
    "max_req_body_bytes",
    "max_resp_body_bytes",
    "name",
];

fn one() -> i64 {
    1
}

fn one_cluster() -> u64 {
    1
}

fn three() -> u64 {
    3
}

fn batch_num() -> u64 {
    200
}

fn batch_size() -> u64 {
    1_048_576
}

fn max_buffering() -> u64 {
    50_000
}

fn linger() -> u64 {
    1
}

fn refresh() -> u64 {
    30
}

fn name() -> String {
    "kafka logger".to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Config, settings};

    #[test]
    fn what_waits_for_kafka_is_given_up_only_where_it_is_sent_at_once() {
        let retries = |producer: &str| {
            let conf = serde_json::json!({
                "brokers": [{"host": "127.0.0.1", "port": 9092}],
                "kafka_topic": "logs",
                "producer_type": producer,
                "max_retry_count": 2,
            });
            let config: Config = serde_json::from_value(conf).unwrap();
            settings(&config).unwrap().max_retry_count
        };
        assert_eq!(retries("async"), u32::MAX);
        assert_eq!(retries("sync"), 2);
    }
}
