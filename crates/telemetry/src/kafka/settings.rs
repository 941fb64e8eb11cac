//! Where the brokers are, and how records are handed over.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tollgate_resources::Secret;
use tollgate_resources::egress::Origin;

use super::partition::Partitioner;
use crate::delivery::Limits;
use crate::outbound::ClientConfig;

/// Where the brokers are, and how records are handed over. [`Settings::new`] has the defaults, which are those of APISIX's
/// `kafka-logger` where it has them.
#[derive(Clone)]
pub struct Settings {
    /// Brokers of the cluster, of which one has to answer; it names the others. At least one.
    pub brokers: Vec<Broker>,
    /// The topic.
    pub topic: String,
    /// Whom to trust, if connections are encrypted.
    pub tls: Option<Arc<ClientConfig>>,
    /// Who has named the brokers.
    pub origin: Origin,
    /// Who has to have stored a record before it counts as delivered.
    pub acks: Acks,
    /// How long connecting may take, TLS and sign-in included, how long a broker may wait for its replicas, and how long any
    /// other answer is waited for.
    pub timeout: Duration,
    /// After how long it is asked again which partitions there are and who leads them. What brokers refuse because another
    /// one leads by now makes that happen at once.
    pub metadata_refresh: Duration,
    /// Records in one batch of a partition at most. At least 1.
    pub batch_records: usize,
    /// Bytes of one batch at most, but for a batch of one record.
    pub batch_bytes: usize,
    /// How long a record waits for others before it is sent, if there are fewer than `batch_records`.
    pub linger: Duration,
    /// Records that wait or are under way at most; more are dropped.
    pub max_buffered_records: usize,
    /// Bytes of all those records at most; more are dropped.
    pub max_buffered_bytes: usize,
    /// How often what brokers do not take is handed over again after the first time before it is given up. Each time a few tries are
    /// made.
    pub max_retry_count: u32,
    /// The time before it is handed over again, on top of what lies between tries.
    pub retry_delay: Duration,
    /// How the partition of a key is chosen.
    pub partitioner: Partitioner,
    /// Whether batches are numbered, so that brokers recognise one that is sent again because its answer was lost. Works with
    /// [`Acks::All`] only, and where brokers know it and allow it; else such a batch may be stored twice.
    pub is_idempotent: bool,
    /// What brokers call this client in their logs and quotas.
    pub client_id: String,
}

/// A broker.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How to sign in there. At brokers that are only known because this one named them it is done in the same way.
    pub sasl: Option<Sasl>,
}

/// Who signs in, and how.
#[derive(Clone)]
pub struct Sasl {
    /// How.
    pub mechanism: Mechanism,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: Arc<Secret>,
}

/// How to sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// The password is said as it is (RFC 4616). Use it with TLS only.
    #[default]
    Plain,
    /// Both sides prove that they know the password, by SHA-256 (RFC 7677).
    ScramSha256,
    /// As before, by SHA-512.
    ScramSha512,
}

/// Who has to have stored a record before it counts as delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Acks {
    /// Nobody: what is written to the connection counts. Whatever goes wrong then is neither known nor counted.
    None,
    /// The leader of the partition.
    #[default]
    Leader,
    /// All replicas that are in sync.
    All,
}

impl Settings {
    /// These brokers and this topic, and the defaults.
    pub fn new(brokers: Vec<Broker>, topic: impl Into<String>) -> Settings {
        Settings {
            brokers,
            topic: topic.into(),
            tls: None,
            origin: Origin::Operator,
            acks: Acks::default(),
            timeout: Duration::from_secs(3),
            metadata_refresh: Duration::from_secs(30),
            batch_records: 200,
            batch_bytes: 1 << 20,
            linger: Duration::from_secs(1),
            max_buffered_records: 50_000,
            max_buffered_bytes: 64 << 20,
            max_retry_count: u32::MAX,
            retry_delay: Duration::ZERO,
            partitioner: Partitioner::default(),
            is_idempotent: true,
            client_id: "tollgate".to_owned(),
        }
    }

    /// The bounds of a queue whose peer is a [`Sender`](super::Sender).
    pub fn limits(&self) -> Limits {
        Limits {
            batch_max_size: self.batch_records.max(1),
            batch_max_bytes: self.batch_bytes,
            inactive_timeout: self.linger,
            buffer_duration: self.linger,
            max_retry_count: self.max_retry_count,
            retry_delay: self.retry_delay,
            max_pending_entries: self.max_buffered_records,
            max_pending_bytes: self.max_buffered_bytes,
            // With a second one, batches of one partition would overtake each other.
            senders: 1,
        }
    }
}

impl Mechanism {
    /// Its registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Acks {
    /// As the protocol writes it.
    pub(super) fn code(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
