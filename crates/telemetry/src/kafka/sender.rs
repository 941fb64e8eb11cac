//! Hands over batches: finds the leaders, asks them all at once, and knows what helps against each of their errors.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Weak};
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
use super::wire::{
    BatchHead, Code, InitProducerId, Metadata, Produce, ProduceAnswer, ProducePartition, Remedy, Request,
    record_batch,
};
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

/// How often in a row a partition may answer with an error that may be the fault of the records themselves.
const DOUBTFUL_TRIES: u32 = 10;

/// How long a producer that nobody wants any more goes on trying.
const LEAVE_AFTER: Duration = Duration::from_secs(30);

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
    /// Batches that may have been stored although no answer says so, by partition: the numbers of their records.
    repeated: HashMap<usize, Vec<u64>>,
    /// Errors in a row that may be the records' own fault, by partition.
    doubts: HashMap<usize, u32>,
    /// Where the next records without a key go.
    next_open: usize,
    /// Brokers that failed lately: records without a key go elsewhere, if they can.
    avoided: HashSet<Address>,
    /// A broker once refused a larger batch.
    max_bytes: usize,
    failures: u32,
    pause: Duration,
    wanted: Option<Weak<()>>,
    unwanted_since: Option<Instant>,
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
        Sender::shared(Arc::new(settings), metrics)
    }

    pub(super) fn shared(settings: Arc<Settings>, metrics: &Arc<Metrics>) -> Sender {
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
            repeated: HashMap::new(),
            doubts: HashMap::new(),
            next_open: 0,
            avoided: HashSet::new(),
            failures: 0,
            pause: LONGEST_PAUSE,
            wanted: None,
            unwanted_since: None,
        }
    }

    /// Gives up, some time after this is gone, what cannot be handed over.
    pub(super) fn while_wanted(mut self, wanted: Weak<()>) -> Sender {
        self.wanted = Some(wanted);
        self
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
        if fates.contains(&Fate::Again) && self.is_to_leave() {
            self.repeated.clear();
            self.identity.forget();
            return Err(SendError::lasting(cause));
        }
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

    /// Gives records their fates, and draws conclusions about the cluster.
    fn conclude(
        &mut self,
        exchange: Exchange,
        batch: &[Record],
        fates: &mut [Fate],
    ) -> Result<(), KafkaError> {
        let Exchange {
            address,
            connection,
            chunks,
            result,
            was_sent,
            has_connected,
        } = exchange;
        if has_connected {
            self.meters.connections.add(1);
        }
        let answers = match result {
            Ok(answers) => answers,
            Err(error) => {
                for (chunk, _) in chunks {
                    if was_sent {
                        self.repeat(&chunk, batch);
                    }
                }
                // The broker may be gone, and somebody else leads its partitions.
                self.cluster.outdated();
                self.avoided.insert(address);
                return Err(error);
            }
        };
        if let Some(connection) = connection {
            self.connections.insert(address.clone(), connection);
        }
        self.avoided.remove(&address);
        let mut first_error = None;
        for (chunk, head) in chunks {
            let answer = answers
                .iter()
                .find(|answer| usize::try_from(answer.index).is_ok_and(|index| index == chunk.partition));
            let Some(answer) = answer else {
                self.repeat(&chunk, batch);
                first_error.get_or_insert(KafkaError::NotKafka {
                    broker: address.to_string(),
                    cause: format!("the answer says nothing of partition {}", chunk.partition),
                });
                continue;
            };
            let remedy = self.remedy(&chunk, answer.code);
            if answer.code.is_error() {
                self.meters.failed(&answer.code.to_string());
            }
            let error = || {
                KafkaError::refused(
                    &address.to_string(),
                    "Produce",
                    answer.code,
                    answer.message.as_deref(),
                )
            };
            let fate = match remedy {
                Remedy::None => {
                    self.identity.stored(chunk.partition, head, chunk.places.len());
                    Fate::Delivered
                }
                Remedy::Split if chunk.places.len() == 1 => Fate::TooLarge,
                Remedy::Drop => Fate::Refused,
                Remedy::Split => {
                    let bytes: usize = chunk
                        .places
                        .iter()
                        .filter_map(|place| batch.get(*place))
                        .map(Record::size)
                        .sum();
                    self.max_bytes = self.max_bytes.min(bytes / 2);
                    self.release(chunk.partition);
                    continue;
                }
                Remedy::NewProducer => {
                    self.repeated.clear();
                    self.identity.forget();
                    first_error.get_or_insert_with(error);
                    continue;
                }
                Remedy::Refresh => {
                    self.cluster.outdated();
                    self.repeat(&chunk, batch);
                    first_error.get_or_insert_with(error);
                    continue;
                }
                Remedy::Retry | Remedy::RetryFew => {
                    self.repeat(&chunk, batch);
                    first_error.get_or_insert_with(error);
                    continue;
                }
            };
            if fate == Fate::Delivered {
                self.repeated.remove(&chunk.partition);
            } else {
                tracing::warn!(
                    topic = self.settings.topic,
                    partition = chunk.partition,
                    records = chunk.places.len(),
                    error = %error(),
                    "records are lost: Kafka will never take them"
                );
                self.release(chunk.partition);
            }
            for place in chunk.places {
                if let Some(of) = fates.get_mut(place) {
                    *of = fate;
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// What helps. Errors that may be the records' own fault are believed to be after some time.
    fn remedy(&mut self, chunk: &Chunk, code: Code) -> Remedy {
        let remedy = code.remedy();
        if remedy != Remedy::RetryFew {
            self.doubts.remove(&chunk.partition);
            return remedy;
        }
        let doubts = self.doubts.entry(chunk.partition).or_default();
        *doubts += 1;
        if *doubts < DOUBTFUL_TRIES {
            return remedy;
        }
        self.doubts.remove(&chunk.partition);
        Remedy::Drop
    }

    /// The broker may have stored the chunk. If batches are numbered, it has to be sent again as it was.
    fn repeat(&mut self, chunk: &Chunk, batch: &[Record]) {
        if self.identity.is_known() {
            let records = chunk.places.iter().filter_map(|place| batch.get(*place));
            let numbers = records.map(|record| record.number).collect();
            self.repeated.insert(chunk.partition, numbers);
        }
    }

    /// The partition's chunk will not be sent again as it was. If it may have been stored, its number must not be used for
    /// another one: that would be taken for the one that is there, and be lost.
    fn release(&mut self, partition: usize) {
        if self.repeated.remove(&partition).is_some() {
            self.repeated.clear();
            self.identity.forget();
        }
    }

    /// Whoever calls may have given up records that were to be sent again.
    fn forget_strangers(&mut self, batch: &[Record]) {
        if self.repeated.is_empty() {
            return;
        }
        let numbers: HashSet<u64> = batch.iter().map(|record| record.number).collect();
        let mut repeated = self.repeated.values().flatten();
        if !repeated.all(|number| numbers.contains(number)) {
            self.repeated.clear();
            self.identity.forget();
        }
    }

    /// Asks who leads the partitions. Each broker that is known is tried in turn.
    async fn refresh(&mut self) -> Result<(), KafkaError> {
        let settings = self.settings.clone();
        let request = Metadata {
            topic: &settings.topic,
        };
        let mut last = None;
        for address in self.cluster.candidates(&settings) {
            let sasl = self.cluster.sasl(&address, &settings);
            let asked = async {
                let mut connection = self.connection(&address).await?;
                let answer = connection.ask(&request, settings.timeout).await?;
                self.connections.insert(address.clone(), connection);
                match answer.code {
                    // Some partitions have no leader yet.
                    Code::NONE | Code::LEADER_NOT_AVAILABLE if !answer.partitions.is_empty() => Ok(answer),
                    code => Err(KafkaError::refused(
                        &address.to_string(),
                        Metadata::NAME,
                        code,
                        None,
                    )),
                }
            };
            match asked.await {
                Ok(answer) => {
                    let partitions = answer.partitions.len();
                    self.cluster.learn(answer, sasl.as_ref());
                    if self.cluster.partitions() != partitions {
                        tracing::debug!(topic = settings.topic, partitions, "partitions have gaps");
                    }
                    self.repeated_beyond(self.cluster.partitions());
                    let brokers: HashSet<Address> = self.cluster.candidates(&settings).into_iter().collect();
                    self.connections.retain(|address, _| brokers.contains(address));
                    return Ok(());
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| self.no_leader(0)))
    }

    /// A topic that was made anew has fewer partitions: what was sent to the others goes elsewhere.
    fn repeated_beyond(&mut self, partitions: usize) {
        if self.repeated.keys().any(|partition| *partition >= partitions) {
            self.repeated.clear();
            self.identity.forget();
        }
    }

    /// Asks for a producer id. Where there is none to be had, it goes without.
    async fn identify(&mut self) -> Result<(), KafkaError> {
        let Some(address) = self
            .cluster
            .candidates(&self.settings)
            .into_iter()
            .find(|address| !self.avoided.contains(address) || self.connections.contains_key(address))
        else {
            self.avoided.clear();
            return Err(self.no_leader(0));
        };
        let connection = self.connection(&address).await;
        let mut connection = connection.inspect_err(|_| {
            self.avoided.insert(address.clone());
        })?;
        if !connection.knows::<InitProducerId>() {
            self.connections.insert(address, connection);
            self.identity = Identity::without();
            return Ok(());
        }
        let answer = connection.ask(&InitProducerId, self.settings.timeout).await?;
        let broker = connection.broker().to_owned();
        self.connections.insert(address, connection);
        match answer.code {
            Code::NONE => self.identity.assume(answer.id, answer.epoch),
            Code::CLUSTER_AUTHORIZATION_FAILED | Code::UNSUPPORTED_VERSION => {
                tracing::warn!(
                    topic = self.settings.topic,
                    broker,
                    error = %answer.code,
                    "the broker gives no producer id: batches that are sent again may be stored twice"
                );
                self.identity = Identity::without();
            }
            code => {
                return Err(KafkaError::refused(&broker, InitProducerId::NAME, code, None));
            }
        }
        Ok(())
    }

    /// The connection to a broker, made if there is none. It is taken out until it is put back.
    async fn connection(&mut self, address: &Address) -> Result<Connection, KafkaError> {
        if let Some(connection) = self.connections.remove(address) {
            return Ok(connection);
        }
        let sasl = self.cluster.sasl(address, &self.settings);
        let connection = Connection::open(address, &self.settings, sasl.as_ref()).await?;
        self.meters.connections.add(1);
        Ok(connection)
    }

    /// Partitions for records without a key: those whose leader is well, beginning where it was left off.
    fn open_partitions(&mut self) -> Vec<usize> {
        let open = |avoided: &HashSet<Address>| -> Vec<usize> {
            (0..self.cluster.partitions())
                .filter(|partition| {
                    let leader = self.cluster.leader(*partition);
                    leader.is_some_and(|leader| !avoided.contains(leader))
                })
                .collect()
        };
        let mut partitions = open(&self.avoided);
        if partitions.is_empty() {
            self.avoided = HashSet::new();
            partitions = open(&HashSet::new());
        }
        let start = self.next_open.checked_rem(partitions.len()).unwrap_or(0);
        partitions.rotate_left(start);
        partitions
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

    fn is_to_leave(&mut self) -> bool {
        if self
            .wanted
            .as_ref()
            .is_none_or(|wanted| wanted.strong_count() > 0)
        {
            return false;
        }
        let since = *self.unwanted_since.get_or_insert_with(Instant::now);
        since.elapsed() >= LEAVE_AFTER
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
