//! Hands over batches: finds the leaders, asks them all at once, and knows what helps against each of their errors.

mod outcome;
mod reach;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::connection::{Address, Connection, ON_THE_WAY};
use super::error::KafkaError;
use super::identity::Identity;
use super::plan::{Chunk, Plan};
use super::record::Record;
use super::settings::{Acks, Settings};
use super::wire::{BatchHead, Code, Produce, ProduceAnswer, ProducePartition, record_batch};
use crate::delivery::{Fate, SendError, Sent, Sink};
use crate::metrics::{Counter, Metrics};

/// Tries of one call before it says that it did not work. Whoever calls may call again.
const TRIES: u32 = 3;

/// The wait before the second try; it doubles with each that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest wait between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The wait where a broker does not let us in: asking often looks like guessing passwords.
const SIGN_IN_PAUSE: Duration = Duration::from_secs(10);

/// Hands over batches to Kafka, and says what became of each record.
///
/// Each call tries a few times, which takes a few times [`Settings::timeout`] where brokers do not answer. What it could not
/// hand over it remembers: it should be called again with the same records, in the same order and before any others. Records
/// of one partition arrive in the order in which they are handed over.
pub struct Sender {
    settings: Arc<Settings>,
    meters: Meters,
    cluster: Cluster,
    connections: HashMap<Address, Connection>,
    identity: Identity,
    /// How often in a row a producer id was refused.
    id_refusals: u32,
    /// Batches that may have been stored although no answer says so, by partition: the numbers of their records.
    repeated: HashMap<usize, Vec<u64>>,
    /// Errors in a row that may be the records' own fault, by partition.
    doubts: HashMap<usize, u32>,
    /// Where the next records without a key go.
    next_open: usize,
    /// Brokers that failed lately, and when: records without a key go elsewhere, if they can.
    avoided: HashMap<Address, Instant>,
    /// A broker once refused a larger batch.
    max_bytes: usize,
    failures: u32,
    pause: Duration,
}

struct Meters {
    metrics: Arc<Metrics>,
    topic: String,
    connections: Counter,
}

/// A request to one broker, and how it went.
struct Exchange {
    address: Address,
    connection: Option<Connection>,
    chunks: Vec<(Chunk, BatchHead)>,
    result: Result<Vec<ProduceAnswer>, KafkaError>,
    /// Whether the broker may have the request.
    was_sent: bool,
    has_connected: bool,
}

impl Sender {
    /// A sender that is not connected to anything yet.
    pub fn new(settings: Settings, metrics: &Arc<Metrics>) -> Sender {
        let settings = Arc::new(settings);
        let identity = match settings.is_idempotent && settings.acks == Acks::All {
            true => Identity::default(),
            false => Identity::without(),
        };
        Sender {
            meters: Meters {
                metrics: metrics.clone(),
                topic: settings.topic.clone(),
                connections: metrics.counter(
                    "tollgate_kafka_connections_total",
                    "Connections made to Kafka's brokers.",
                    &["topic"],
                    &[&settings.topic],
                ),
            },
            max_bytes: settings.batch_bytes,
            settings,
            cluster: Cluster::default(),
            connections: HashMap::new(),
            identity,
            id_refusals: 0,
            repeated: HashMap::new(),
            doubts: HashMap::new(),
            next_open: 0,
            avoided: HashMap::new(),
            failures: 0,
            pause: LONGEST_PAUSE,
        }
    }

    async fn deliver(&mut self, batch: &[Record]) -> Result<Sent, SendError> {
        self.forget_strangers(batch);
        let mut fates = vec![Fate::Again; batch.len()];
        let mut cause = None;
        for _ in 0..TRIES {
            self.wait_after_failure().await;
            match self.attempt(batch, &mut fates).await {
                Ok(()) => {
                    self.failures = 0;
                    break;
                }
                Err(error) => {
                    self.note(&error);
                    cause = Some(error);
                }
            }
        }
        if fates.iter().all(|fate| *fate == Fate::Delivered) {
            return Ok(Sent::All);
        }
        let cause = cause.map_or_else(
            || "brokers refuse records for good".to_owned(),
            |cause| cause.to_string(),
        );
        if fates.iter().all(|fate| *fate == Fate::Again) {
            return Err(SendError::passing(cause));
        }
        Ok(Sent::Each {
            fates,
            cause: cause.into(),
        })
    }

    /// Hands over all that has no fate yet, as long as nothing fails.
    ///
    /// # Errors
    /// Something failed; some records may have their fates all the same.
    async fn attempt(&mut self, batch: &[Record], fates: &mut [Fate]) -> Result<(), KafkaError> {
        self.connections.retain(|_, connection| connection.is_usable());
        let avoided_for = self.settings.metadata_refresh;
        self.avoided.retain(|_, failed| failed.elapsed() < avoided_for);
        if self.cluster.wants_refresh(&self.settings)
            && let Err(error) = self.refresh().await
        {
            if !self.cluster.is_known() {
                return Err(error);
            }
            // What is known may still be so.
            self.meters.failed(error.kind());
        }
        while fates.contains(&Fate::Again) {
            if self.identity.is_wanted() {
                self.identify().await?;
            }
            self.round(batch, fates).await?;
        }
        Ok(())
    }

    /// Sends the next chunk of every partition, and waits for all answers.
    async fn round(&mut self, batch: &[Record], fates: &mut [Fate]) -> Result<(), KafkaError> {
        let undecided = fates
            .iter()
            .enumerate()
            .filter(|(_, fate)| **fate == Fate::Again)
            .map(|(place, _)| place);
        let open = self.open_partitions();
        let plan = Plan {
            batch,
            partitions: self.cluster.partitions(),
            partitioner: self.settings.partitioner,
            max_records: self.settings.batch_records.max(1),
            max_bytes: self.max_bytes,
            repeated: &self.repeated,
        };
        let chunks = plan.chunks(undecided, &open);
        self.next_open = self.next_open.wrapping_add(chunks.len().max(1));

        let mut first_error = None;
        let mut requests: BTreeMap<Address, Vec<Chunk>> = BTreeMap::new();
        for chunk in chunks {
            match self.cluster.leader(chunk.partition) {
                Some(address) => requests.entry(address.clone()).or_default().push(chunk),
                None => first_error = Some(self.no_leader(chunk.partition)),
            }
        }
        if requests.is_empty() {
            self.cluster.outdated();
            return Err(first_error.unwrap_or_else(|| self.no_leader(0)));
        }
        let mut exchanges = JoinSet::new();
        for (address, chunks) in requests {
            exchanges.spawn(self.exchange(address, chunks, batch));
        }
        while let Some(ended) = exchanges.join_next().await {
            let Ok(exchange) = ended else { continue };
            if let Err(error) = self.conclude(exchange, batch, fates) {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// A request with these chunks; it has everything it needs.
    fn exchange(
        &mut self,
        address: Address,
        chunks: Vec<Chunk>,
        batch: &[Record],
    ) -> impl Future<Output = Exchange> + Send + 'static {
        let records = |chunk: &Chunk, head| {
            let records = chunk.places.iter().filter_map(|place| batch.get(*place));
            ProducePartition {
                index: i32::try_from(chunk.partition).unwrap_or(i32::MAX),
                batch: record_batch(head, records),
            }
        };
        let chunks: Vec<_> = chunks
            .into_iter()
            .map(|chunk| {
                let head = self.identity.head(chunk.partition);
                (chunk, head)
            })
            .collect();
        let partitions: Vec<_> = chunks.iter().map(|(chunk, head)| records(chunk, *head)).collect();
        let settings = self.settings.clone();
        let sasl = self.cluster.sasl(&address, &settings);
        let connection = self.connections.remove(&address);
        async move {
            let mut exchange = Exchange {
                has_connected: connection.is_none(),
                address,
                connection,
                chunks,
                result: Ok(Vec::new()),
                was_sent: false,
            };
            let mut connection = match exchange.connection.take() {
                Some(connection) => connection,
                None => match Connection::open(&exchange.address, &settings, sasl.as_ref()).await {
                    Ok(connection) => connection,
                    Err(error) => {
                        exchange.has_connected = false;
                        exchange.result = Err(error);
                        return exchange;
                    }
                },
            };
            exchange.was_sent = true;
            exchange.result = produce(&mut connection, &settings, &partitions).await;
            exchange.connection = exchange.result.is_ok().then_some(connection);
            exchange
        }
    }

    async fn wait_after_failure(&self) {
        let Some(doublings) = self.failures.checked_sub(1) else {
            return;
        };
        let pause = FIRST_PAUSE
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(self.pause);
        // Gateways that lost the same broker should not come back all at once.
        let mut random = [0];
        let _ = rand::fill(&mut random);
        let share = 0.8 + 0.2 * f64::from(random[0]) / 255.0;
        sleep(pause.mul_f64(share)).await;
    }

    fn note(&mut self, error: &KafkaError) {
        self.failures = self.failures.saturating_add(1);
        self.pause = LONGEST_PAUSE;
        if matches!(error, KafkaError::SignIn { .. }) {
            self.pause = SIGN_IN_PAUSE;
        }
        if !matches!(
            error,
            KafkaError::Refused {
                request: "Produce",
                ..
            }
        ) {
            self.meters.failed(error.kind());
        }
        tracing::debug!(topic = self.settings.topic, error = %error, "a try to reach Kafka failed");
    }

    fn no_leader(&self, partition: usize) -> KafkaError {
        KafkaError::NoLeader {
            topic: self.settings.topic.clone(),
            partition: i32::try_from(partition).unwrap_or(i32::MAX),
        }
    }
}

impl Sink<Record> for Sender {
    fn send(&mut self, batch: &[Record]) -> impl Future<Output = Result<Sent, SendError>> + Send {
        self.deliver(batch)
    }
}

impl Meters {
    fn failed(&self, error: &str) {
        let counter = self.metrics.counter(
            "tollgate_kafka_errors_total",
            "Requests to Kafka's brokers that failed, by Kafka's name of the error or what happened to the connection.",
            &["topic", "error"],
            &[&self.topic, error],
        );
        counter.add(1);
    }
}

/// Sends a request and waits for its answer, if there is one.
async fn produce(
    connection: &mut Connection,
    settings: &Settings,
    partitions: &[ProducePartition],
) -> Result<Vec<ProduceAnswer>, KafkaError> {
    let request = Produce {
        topic: &settings.topic,
        acks: settings.acks.code(),
        timeout: i32::try_from(settings.timeout.as_millis()).unwrap_or(i32::MAX),
        partitions,
    };
    let within = settings.timeout + ON_THE_WAY;
    if settings.acks != Acks::None {
        return connection.ask(&request, within).await;
    }
    connection.tell(&request, within).await?;
    let taken = |partition: &ProducePartition| ProduceAnswer {
        index: partition.index,
        code: Code::NONE,
        message: None,
    };
    Ok(partitions.iter().map(taken).collect())
}
