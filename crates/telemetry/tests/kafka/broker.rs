//! A broker that wants sign-in or TLS, and that misbehaves when it is told to. One node, one topic, records in memory.
//!
//! Its messages are read and written by the crate kafka-protocol, not by our own code. That it signs clients in as Kafka does
//! is shown by kcat, which it has to satisfy as well.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, MetadataRequest, MetadataResponse, ProduceRequest,
    ProduceResponse, ProducerId, ResponseHeader, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, StrBytes, decode_request_header_from_buffer,
};
use kafka_protocol::records::RecordBatchDecoder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tollgate_telemetry::kafka::Mechanism;

use super::scram::Server;

/// A running broker. It ends with the test.
pub struct TestBroker {
    pub port: u16,
    state: Arc<Mutex<State>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How a broker is.
#[derive(Clone, Default)]
pub struct Nature {
    pub partitions: i32,
    pub tls: Option<TlsAcceptor>,
    pub login: Option<Login>,
    /// After so many milliseconds a client has to sign in again, as the broker says. It does not insist on it.
    pub lifetime: i64,
    /// Versions of requests it does not know.
    pub highest: HashMap<i16, i16>,
}

/// Who may sign in, and how the broker cheats.
#[derive(Clone, Debug)]
pub struct Login {
    pub mechanism: Mechanism,
    pub user: String,
    pub password: String,
    pub cheat: Option<Cheat>,
    pub iterations: u32,
    /// Whether the exchange has to be that of the RFC to the letter. Kafka's need not.
    pub is_strict: bool,
}

/// How a broker cheats while a client signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cheat {
    /// Its nonce does not begin with the client's.
    Nonce,
    /// It signs with another password.
    Signature,
    /// It lets the client in without having proved anything.
    NoSignature,
}

/// What happens to the next request for records.
#[derive(Clone, Debug)]
pub enum Mischief {
    /// They are stored, and the connection is closed in place of an answer.
    StoreAndClose,
    /// They are not stored, and the connection is closed.
    Close,
    /// They are not stored; this is answered.
    Code(i16, Option<&'static str>),
    /// They are stored, and these bytes are the answer, length and all.
    Bytes(Vec<u8>),
    /// They are stored, and the answer is that to another request.
    WrongId,
    /// They are stored, and the answer says nothing of them.
    Silence,
    /// They are stored and answered for, and the connection is closed.
    AnswerAndClose,
    /// The broker has forgotten all producers.
    ForgetProducers,
}

#[derive(Default)]
struct State {
    nature: Nature,
    stored: Vec<Stored>,
    mischief: VecDeque<Mischief>,
    connections: usize,
    closed: usize,
    /// By producer and partition: the numbers of the last batch's first record and of the one after its last.
    sequences: HashMap<(i64, i32), (i32, i32)>,
    next_producer: i64,
    /// Batches that were recognised as stored before.
    repeated: usize,
    clients: Vec<String>,
}

/// A record that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub partition: i32,
    pub key: Option<Bytes>,
    pub value: Bytes,
    pub timestamp: i64,
}

impl TestBroker {
    pub fn start(nature: Nature) -> TestBroker {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            nature,
            ..State::default()
        }));
        let (end, ended) = oneshot::channel();
        let served = state.clone();
        let thread = thread::spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = accept(listener, port, served) => {}
                    _ = ended => {}
                }
            });
        });
        TestBroker {
            port,
            state,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// Where it is, as settings want it.
    pub fn address(&self) -> Vec<(String, u16)> {
        vec![("localhost".to_owned(), self.port)]
    }

    pub fn stored(&self) -> Vec<Stored> {
        lock(&self.state).stored.clone()
    }

    pub fn values(&self) -> Vec<String> {
        let stored = self.stored().into_iter();
        stored
            .map(|record| String::from_utf8(record.value.to_vec()).unwrap())
            .collect()
    }

    /// Connections that got through TLS.
    pub fn connections(&self) -> usize {
        lock(&self.state).connections
    }

    /// Connections that are over.
    pub fn closed(&self) -> usize {
        lock(&self.state).closed
    }

    /// Batches that were recognised as stored before.
    pub fn repeated(&self) -> usize {
        lock(&self.state).repeated
    }

    /// The names by which clients called themselves.
    pub fn clients(&self) -> Vec<String> {
        lock(&self.state).clients.clone()
    }

    /// What happens to the next requests for records.
    pub fn misbehave(&self, mischief: impl IntoIterator<Item = Mischief>) {
        lock(&self.state).mischief.extend(mischief);
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

async fn accept(listener: TcpListener, port: u16, state: Arc<Mutex<State>>) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let state = state.clone();
        let tls = lock(&state).nature.tls.clone();
        #[expect(clippy::disallowed_methods, reason = "it ends with the broker's runtime")]
        tokio::spawn(async move {
            match tls {
                None => serve(tcp, port, state).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        serve(stream, port, state).await;
                    }
                }
            }
        });
    }
}

/// Answers until the client leaves, or the broker wants it to.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, port: u16, state: Arc<Mutex<State>>) {
    lock(&state).connections += 1;
    let login = lock(&state).nature.login.clone();
    let mut session = Session {
        is_signed_in: login.is_none(),
        login,
        scram: None,
        port,
        state,
        is_over: false,
    };
    while let Some(frame) = read_frame(&mut stream).await {
        let Some(answer) = session.answer(frame) else {
            break;
        };
        if stream.write_all(&answer).await.is_err() || session.is_over {
            break;
        }
    }
    drop(stream);
    lock(&session.state).closed += 1;
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<Bytes> {
    let length = stream.read_i32().await.ok()?;
    let length = usize::try_from(length).ok().filter(|length| *length < 64 << 20)?;
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await.ok()?;
    Some(frame.into())
}

struct Session {
    login: Option<Login>,
    is_signed_in: bool,
    scram: Option<Server>,
    port: u16,
    state: Arc<Mutex<State>>,
    is_over: bool,
}

impl Session {
    /// The answer, length and all; none to close the connection.
    fn answer(&mut self, mut frame: Bytes) -> Option<Vec<u8>> {
        let header = decode_request_header_from_buffer(&mut frame).expect("a request of Kafka's");
        let (version, id) = (header.request_api_version, header.correlation_id);
        if let Some(client) = &header.client_id {
            lock(&self.state).clients.push(client.to_string());
        }
        let key = ApiKey::try_from(header.request_api_key).ok()?;
        let is_signing_in = matches!(
            key,
            ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate
        );
        // As Kafka does it: whoever has not signed in, or not again, is left without a word.
        if !is_signing_in && !self.is_signed_in {
            return None;
        }
        match key {
            ApiKey::ApiVersions => Some(framed(id, version, &self.api_versions())),
            ApiKey::SaslHandshake => {
                let request = SaslHandshakeRequest::decode(&mut frame, version).unwrap();
                Some(framed(id, version, &self.handshake(&request)))
            }
            ApiKey::SaslAuthenticate => {
                let request = SaslAuthenticateRequest::decode(&mut frame, version).unwrap();
                Some(framed(
                    id,
                    version,
                    &self.authenticate(&request.auth_bytes, version),
                ))
            }
            ApiKey::Metadata => {
                let request = MetadataRequest::decode(&mut frame, version).unwrap();
                Some(framed(id, version, &self.metadata(request, version)))
            }
            ApiKey::InitProducerId => {
                let mut state = lock(&self.state);
                state.next_producer += 1;
                let answer = InitProducerIdResponse::default()
                    .with_producer_id(ProducerId(state.next_producer))
                    .with_producer_epoch(0);
                Some(framed(id, version, &answer))
            }
            ApiKey::Produce => {
                self.produce(&ProduceRequest::decode(&mut frame, version).unwrap(), id, version)
            }
            _ => None,
        }
    }

    fn api_versions(&self) -> ApiVersionsResponse {
        let highest = &lock(&self.state).nature.highest;
        // As of Kafka 3.9.
        let known = [
            (ApiKey::Produce, 3, 8),
            // It is not answered, but librdkafka infers from it which format of batches the broker knows.
            (ApiKey::Fetch, 4, 11),
            (ApiKey::Metadata, 0, 12),
            (ApiKey::SaslHandshake, 0, 1),
            (ApiKey::ApiVersions, 0, 4),
            (ApiKey::InitProducerId, 0, 4),
            (ApiKey::SaslAuthenticate, 0, 2),
        ];
        let known = known.into_iter().filter_map(|(key, min, max)| {
            let key = key as i16;
            let max = highest.get(&key).copied().unwrap_or(max);
            let version = ApiVersion::default()
                .with_api_key(key)
                .with_min_version(min)
                .with_max_version(max);
            (max >= min).then_some(version)
        });
        ApiVersionsResponse::default().with_api_keys(known.collect())
    }

    fn handshake(&mut self, request: &SaslHandshakeRequest) -> SaslHandshakeResponse {
        let login = self.login.as_ref();
        let enabled = login.map_or("", |login| login.mechanism.as_str());
        let code = match enabled == request.mechanism.as_str() {
            true => 0,
            false => 33,
        };
        SaslHandshakeResponse::default()
            .with_error_code(code)
            .with_mechanisms(vec![StrBytes::from_static_str(enabled)])
    }

    fn authenticate(&mut self, message: &[u8], version: i16) -> SaslAuthenticateResponse {
        let login = self.login.clone().expect("nobody signs in where nobody has to");
        let reply = match (login.mechanism, self.scram.take()) {
            (Mechanism::Plain, _) => {
                let expected = format!("\0{}\0{}", login.user, login.password);
                (message == expected.as_bytes()).then(Vec::new)
            }
            (_, None) => Server::challenge(&login, message).map(|(server, challenge)| {
                self.scram = Some(server);
                challenge
            }),
            (_, Some(server)) => server.finish(message),
        };
        let Some(reply) = reply else {
            return SaslAuthenticateResponse::default()
                .with_error_code(58)
                .with_error_message(Some(StrBytes::from_static_str(
                    "Authentication failed during authentication due to invalid credentials",
                )));
        };
        self.is_signed_in = self.scram.is_none();
        let lifetime = lock(&self.state).nature.lifetime;
        let answer = SaslAuthenticateResponse::default().with_auth_bytes(reply.into());
        match self.is_signed_in && version >= 1 && lifetime > 0 {
            true => answer.with_session_lifetime_ms(lifetime),
            false => answer,
        }
    }

    fn metadata(&self, request: MetadataRequest, version: i16) -> MetadataResponse {
        let partitions = lock(&self.state).nature.partitions.max(1);
        let node = MetadataResponseBroker::default()
            .with_node_id(BrokerId(1))
            .with_host(StrBytes::from_static_str("localhost"))
            .with_port(i32::from(self.port));
        let topics = request.topics.unwrap_or_default().into_iter().map(|topic| {
            let partitions = (0..partitions).map(|index| {
                MetadataResponsePartition::default()
                    .with_partition_index(index)
                    .with_leader_id(BrokerId(1))
                    .with_replica_nodes(vec![BrokerId(1)])
                    .with_isr_nodes(vec![BrokerId(1)])
            });
            MetadataResponseTopic::default()
                .with_name(topic.name)
                .with_partitions(partitions.collect())
        });
        let answer = MetadataResponse::default()
            .with_brokers(vec![node])
            .with_controller_id(BrokerId(1))
            .with_topics(topics.collect());
        match version {
            2.. => answer.with_cluster_id(Some(StrBytes::from_static_str("test"))),
            _ => answer,
        }
    }

    fn produce(&mut self, request: &ProduceRequest, id: i32, version: i16) -> Option<Vec<u8>> {
        let mut state = lock(&self.state);
        let mischief = state.mischief.pop_front();
        let (refusal, message) = match &mischief {
            Some(Mischief::Close) => return None,
            Some(Mischief::Code(code, message)) => (Some(*code), *message),
            Some(Mischief::ForgetProducers) => {
                state.sequences.clear();
                (None, None)
            }
            _ => (None, None),
        };
        let topics = request.topic_data.iter().map(|topic| {
            let partitions = topic.partition_data.iter().map(|partition| {
                let code = refusal.unwrap_or_else(|| {
                    let records = partition.records.clone().expect("records");
                    state.store(partition.index, records)
                });
                let answer = PartitionProduceResponse::default()
                    .with_index(partition.index)
                    .with_error_code(code);
                match version {
                    8.. => answer.with_error_message(message.map(StrBytes::from_static_str)),
                    _ => answer,
                }
            });
            TopicProduceResponse::default()
                .with_name(topic.name.clone())
                .with_partition_responses(partitions.collect())
        });
        let answer = ProduceResponse::default().with_responses(topics.collect());
        match mischief {
            Some(Mischief::StoreAndClose) => None,
            Some(Mischief::AnswerAndClose) => {
                self.is_over = true;
                Some(framed(id, version, &answer))
            }
            Some(Mischief::Bytes(bytes)) => Some(bytes),
            Some(Mischief::WrongId) => Some(framed(id + 1, version, &answer)),
            Some(Mischief::Silence) => Some(framed(id, version, &ProduceResponse::default())),
            _ if request.acks == 0 => Some(Vec::new()),
            _ => Some(framed(id, version, &answer)),
        }
    }
}

impl State {
    /// Stores a batch as Kafka would. Gives the error's code.
    fn store(&mut self, partition: i32, mut batch: Bytes) -> i16 {
        // It checks the checksum too.
        let records = RecordBatchDecoder::decode(&mut batch).expect("a batch").records;
        let first = records.first().expect("no batch is empty");
        if first.producer_id >= 0 {
            let producer = (first.producer_id, partition);
            let after = first.sequence.wrapping_add(i32::try_from(records.len()).unwrap());
            match self.sequences.get(&producer) {
                Some((base, _)) if *base == first.sequence => {
                    self.repeated += 1;
                    return 0;
                }
                Some((_, next)) if *next != first.sequence => return 45,
                // A producer that it does not know may only begin.
                None if first.sequence != 0 => return 59,
                _ => {}
            }
            self.sequences.insert(producer, (first.sequence, after));
        }
        self.stored.extend(records.into_iter().map(|record| Stored {
            partition,
            key: record.key,
            value: record.value.expect("a value"),
            timestamp: record.timestamp,
        }));
        0
    }
}

fn framed<T: Encodable + HeaderVersion>(id: i32, version: i16, answer: &T) -> Vec<u8> {
    let mut body = BytesMut::new();
    ResponseHeader::default()
        .with_correlation_id(id)
        .encode(&mut body, T::header_version(version))
        .unwrap();
    answer.encode(&mut body, version).unwrap();
    let length = i32::try_from(body.len()).unwrap();
    [&length.to_be_bytes(), &body[..]].concat()
}
