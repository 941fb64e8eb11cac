//! What is told of calls beside the access log, and where.

use serde::{Deserialize, Serialize};

use super::{HostPort, UpstreamTls};
use crate::json::Json;
use crate::secret::SecretRef;

/// What log entries tell of model calls, and the loggers that hear of all calls.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Logging {
    /// Whether entries tell what a model call used.
    pub summaries: bool,
    /// Whether entries tell what was asked and answered.
    pub payloads: bool,
    /// Bytes of the messages, and of the answer's text, at most.
    pub max_payload_bytes: u64,
    /// Names of parts of payloads that are taken out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<String>,
    /// Who is told of all calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loggers: Vec<Logger>,
}

impl Logging {
    /// A long conversation in text.
    pub const DEFAULT_PAYLOAD_BYTES: u64 = 64 * 1024;

    /// Whether nothing of it was written.
    pub fn is_default(&self) -> bool {
        *self == Logging::default()
    }
}

impl Default for Logging {
    fn default() -> Self {
        Logging {
            summaries: false,
            payloads: false,
            max_payload_bytes: Logging::DEFAULT_PAYLOAD_BYTES,
            redact: Vec::new(),
            loggers: Vec::new(),
        }
    }
}

/// A logger of all calls.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Logger {
    /// Where entries go.
    #[serde(flatten)]
    pub place: LogPlace,
    /// Members of entries in place of the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<Json>,
    /// Members beside the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format_extra: Option<Json>,
    /// Bytes of the request's body at most; `None` is nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_body_bytes: Option<u64>,
    /// Bytes of the answer's body at most; `None` is nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body_bytes: Option<u64>,
}

/// Where entries go.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogPlace {
    /// Lines of a file.
    File(String),
    /// Bodies of requests to a server.
    Http(HttpLog),
    /// Messages of a topic.
    Kafka(KafkaLog),
}

/// A server that takes entries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpLog {
    /// Its address.
    pub url: String,
    /// `Authorization` of the requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<SecretRef>,
    /// How long a request may take, in milliseconds.
    pub timeout_ms: u64,
    /// How the connection is secured, where the address is of `https`.
    pub tls: UpstreamTls,
    /// Whether entries of a batch stand on lines of their own; else they are a JSON array.
    pub lines: bool,
    /// How entries are gathered.
    pub batch: LogBatch,
}

/// A topic that takes entries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KafkaLog {
    /// Some brokers of the cluster.
    pub brokers: Vec<HostPort>,
    /// The topic.
    pub topic: String,
    /// Decides about the partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Who must have stored a message.
    pub acks: LogAcks,
    /// How long a broker may take, in milliseconds.
    pub timeout_ms: u64,
    /// How long a message waits for others, in milliseconds.
    pub linger_ms: u64,
    /// Messages that wait at most.
    pub queue: usize,
    /// How to sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<KafkaSasl>,
    /// How connections are secured; `None` for not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
}

/// Who must have stored a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogAcks {
    /// The leader of its partition.
    #[default]
    Leader,
    /// All replicas that are in sync.
    All,
}

/// How to sign in at brokers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KafkaSasl {
    /// The mechanism.
    pub mechanism: KafkaMechanism,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: SecretRef,
}

/// How a password is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum KafkaMechanism {
    /// As it is: with TLS only.
    #[default]
    #[serde(rename = "PLAIN")]
    Plain,
    /// By a proof with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// By a proof with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// How entries are gathered and sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogBatch {
    /// Entries of a batch at most.
    pub size: usize,
    /// A batch is sent when no entry came for this long, in milliseconds.
    pub inactive_ms: u64,
    /// A batch is sent this long after its first entry, in milliseconds.
    pub longest_ms: u64,
    /// How often a batch is sent again.
    pub retries: u32,
    /// The time before it is, in milliseconds.
    pub retry_delay_ms: u64,
    /// Entries that wait at most.
    pub queue: usize,
}

impl Default for LogBatch {
    fn default() -> Self {
        LogBatch {
            size: 1000,
            inactive_ms: 5_000,
            longest_ms: 60_000,
            retries: 3,
            retry_delay_ms: 1_000,
            queue: 8192,
        }
    }
}
