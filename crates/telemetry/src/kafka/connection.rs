//! A connection to one broker: made, signed in, asked.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::error::{KafkaError, said};
use super::scram::{First, Hash};
use super::settings::{Mechanism, Sasl, Settings};
use super::wire::{
    ApiVersions, Code, MAX_ANSWER, Reader, Request, SaslAuthenticate, SaslHandshake, Versions, Writer,
};
use crate::outbound::{Place, Stream, Tls, connect};

/// The number, version and id of a request before its client's name, and the length before all of it.
const REQUEST_HEAD: usize = 4 + 2 + 2 + 4;

/// A broker's answer to a request that waits for replicas may take the time it was given for that, and this on top.
pub(super) const ON_THE_WAY: Duration = Duration::from_secs(1);

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

/// A connection that is signed in.
pub(super) struct Connection {
    stream: Stream,
    /// Host and port, as errors tell it.
    broker: String,
    client_id: String,
    versions: Versions,
    next_id: i32,
    /// When the broker stops taking requests, unless one signs in again.
    expires: Option<Instant>,
}

impl Connection {
    /// Connects and signs in, all of it within the time limit of the settings.
    pub(super) async fn open(
        address: &Address,
        settings: &Settings,
        sasl: Option<&Sasl>,
    ) -> Result<Connection, KafkaError> {
        let within = settings.timeout;
        let opening = async {
            let tls = match &settings.tls {
                None => None,
                Some(config) => Some(Tls::new(config, &address.host, &[])?),
            };
            let place = Place {
                host: address.host.clone(),
                port: address.port,
                tls,
                origin: settings.origin,
            };
            let stream = connect(&place, within).await?;
            let mut connection = Connection {
                stream,
                broker: address.to_string(),
                client_id: settings.client_id.clone(),
                versions: Versions::only_api_versions(),
                next_id: 0,
                expires: None,
            };
            connection.learn_versions(within).await?;
            if let Some(sasl) = sasl {
                connection.sign_in(sasl, within).await?;
            }
            Ok(connection)
        };
        match timeout(within, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(KafkaError::Late {
                broker: address.to_string(),
                request: "connecting and signing in",
                within,
            }),
        }
    }

    /// Whether it can be used, as far as can be told without asking.
    pub(super) fn is_usable(&mut self) -> bool {
        if self.expires.is_some_and(|expires| Instant::now() >= expires) {
            return false;
        }
        // Brokers close connections that are not used for some time. They say nothing that was not asked for, so that what
        // can be read now is either the end or garbage.
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut context = Context::from_waker(Waker::noop());
        matches!(
            Pin::new(&mut self.stream).poll_read(&mut context, &mut buffer),
            Poll::Pending
        )
    }

    /// Host and port.
    pub(super) fn broker(&self) -> &str {
        &self.broker
    }

    /// Whether the broker knows a request.
    pub(super) fn knows<R: Request>(&self) -> bool {
        self.versions.of::<R>().is_some()
    }

    /// Asks, and waits for the answer. After an error the connection must not be used any more.
    pub(super) async fn ask<R: Request>(
        &mut self,
        request: &R,
        within: Duration,
    ) -> Result<R::Answer, KafkaError> {
        let asking = async {
            let (version, id) = self.write(request).await?;
            let answer = self.read(R::NAME).await?;
            let mut reader = Reader::new(&answer);
            let answered = reader
                .i32()
                .map_err(|garbled| KafkaError::garbled(&self.broker, R::NAME, garbled))?;
            if answered != id {
                return Err(KafkaError::NotKafka {
                    broker: self.broker.clone(),
                    cause: format!("{}: the answer is one to another request", R::NAME),
                });
            }
            R::read(version, &mut reader)
                .map_err(|garbled| KafkaError::garbled(&self.broker, R::NAME, garbled))
        };
        match timeout(within, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(self.late(R::NAME, within)),
        }
    }

    /// Says something to which there is no answer.
    pub(super) async fn tell<R: Request>(&mut self, request: &R, within: Duration) -> Result<(), KafkaError> {
        match timeout(within, self.write(request)).await {
            Ok(written) => written.map(drop),
            Err(_) => Err(self.late(R::NAME, within)),
        }
    }

    async fn write<R: Request>(&mut self, request: &R) -> Result<(i16, i32), KafkaError> {
        let version = self.versions.of::<R>().ok_or_else(|| KafkaError::Unsupported {
            broker: self.broker.clone(),
            request: R::NAME,
        })?;
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let mut body = Writer::default();
        request.write(version, &mut body);
        let body = Zeroizing::new(body.into_bytes());
        let mut head = Writer::default();
        head.length(REQUEST_HEAD - 4 + 2 + self.client_id.len() + body.len());
        head.i16(R::KEY);
        head.i16(version);
        head.i32(id);
        head.text(Some(&self.client_id));
        let written = async {
            self.stream.write_all(&head.into_bytes()).await?;
            self.stream.write_all(&body).await?;
            self.stream.flush().await
        };
        match written.await {
            Ok(()) => Ok((version, id)),
            Err(error) => Err(self.lost(R::NAME, &error)),
        }
    }

    async fn read(&mut self, request: &'static str) -> Result<Vec<u8>, KafkaError> {
        let mut size = [0; 4];
        if let Err(error) = self.stream.read_exact(&mut size).await {
            return Err(self.lost(request, &error));
        }
        let length = match usize::try_from(i32::from_be_bytes(size)) {
            Ok(length) if (4..=MAX_ANSWER).contains(&length) => length,
            _ => return Err(self.not_kafka(size)),
        };
        // What was announced may never come; room is made for what does.
        let mut answer = Vec::new();
        let mut limited = (&mut self.stream).take(u64::try_from(length).unwrap_or(u64::MAX));
        match limited.read_to_end(&mut answer).await {
            Ok(read) if read == length => Ok(answer),
            Ok(_) => Err(self.lost(request, &std::io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.lost(request, &error)),
        }
    }

    async fn learn_versions(&mut self, within: Duration) -> Result<(), KafkaError> {
        let versions = self.ask(&ApiVersions, within).await?;
        if versions.code.is_error() {
            return Err(KafkaError::refused(
                &self.broker,
                ApiVersions::NAME,
                versions.code,
                None,
            ));
        }
        self.versions = versions;
        Ok(())
    }

    async fn sign_in(&mut self, sasl: &Sasl, within: Duration) -> Result<(), KafkaError> {
        let mechanism = sasl.mechanism.as_str();
        let failed = |broker: &str, cause: String| KafkaError::SignIn {
            broker: broker.to_owned(),
            user: sasl.user.clone(),
            mechanism,
            cause,
        };
        let answer = self.ask(&SaslHandshake { mechanism }, within).await?;
        if answer.code == Code::UNSUPPORTED_SASL_MECHANISM {
            let enabled = answer.enabled.join(", ");
            let cause = format!("the broker has not switched it on, but: {enabled}");
            return Err(failed(&self.broker, cause));
        }
        if answer.code.is_error() {
            let cause = format!("{}: {}", answer.code, answer.code.advice());
            return Err(failed(&self.broker, cause));
        }
        let hash = match sasl.mechanism {
            Mechanism::Plain => {
                let message = Zeroizing::new(format!("\0{}\0{}", sasl.user, sasl.password.expose()));
                self.authenticate(sasl, message.as_bytes(), within).await?;
                return Ok(());
            }
            Mechanism::ScramSha256 => Hash::Sha256,
            Mechanism::ScramSha512 => Hash::Sha512,
        };
        let (first, message) =
            First::new(hash, &sasl.user).map_err(|error| failed(&self.broker, error.to_string()))?;
        let challenge = self.authenticate(sasl, message.as_bytes(), within).await?;
        let (last, message) = first
            .answer(&challenge, sasl.password.expose())
            .map_err(|error| failed(&self.broker, error.to_string()))?;
        let proof = self.authenticate(sasl, message.as_bytes(), within).await?;
        last.check(&proof)
            .map_err(|error| failed(&self.broker, error.to_string()))
    }

    /// Sends one message of the exchange. Gives the broker's next one.
    async fn authenticate(
        &mut self,
        sasl: &Sasl,
        message: &[u8],
        within: Duration,
    ) -> Result<Vec<u8>, KafkaError> {
        let answer = self.ask(&SaslAuthenticate { message }, within).await?;
        if answer.code.is_error() {
            return Err(KafkaError::SignIn {
                broker: self.broker.clone(),
                user: sasl.user.clone(),
                mechanism: sasl.mechanism.as_str(),
                cause: format!(
                    "{}: {}",
                    said(answer.code, answer.error.as_deref()),
                    answer.code.advice()
                ),
            });
        }
        if let Ok(lifetime @ 1..) = u64::try_from(answer.lifetime) {
            // A request that is under way at the end would be refused.
            let usable = Duration::from_millis(lifetime).mul_f64(0.8);
            self.expires = Instant::now().checked_add(usable);
        }
        Ok(answer.message)
    }

    fn lost(&self, request: &'static str, error: &std::io::Error) -> KafkaError {
        let closed = error.kind() == std::io::ErrorKind::UnexpectedEof;
        let advice = match (closed, request) {
            // Brokers that are spoken to in clear on a port for TLS, or without sign-in, close without a word.
            (true, "ApiVersions") => "; if the broker's listener uses TLS, switch it on here too",
            (true, "Metadata") => "; if the broker's listener wants sign-in, set sasl_config",
            _ => "",
        };
        KafkaError::Lost {
            broker: self.broker.clone(),
            cause: match closed {
                true => format!("the broker closed it instead of answering {request}"),
                false => format!("{request}: {error}"),
            },
            advice,
        }
    }

    fn late(&self, request: &'static str, within: Duration) -> KafkaError {
        KafkaError::Late {
            broker: self.broker.clone(),
            request,
            within,
        }
    }

    /// What begins with these bytes in place of the length of an answer.
    fn not_kafka(&self, first: [u8; 4]) -> KafkaError {
        let cause = match &first {
            b"HTTP" => "this is a web server, not a Kafka broker: correct host and port",
            // A TLS alert of any version.
            [0x15, 0x03, ..] => "the broker's listener uses TLS: switch it on here too",
            _ => "the answer is too long or none of Kafka's: correct host and port",
        };
        KafkaError::NotKafka {
            broker: self.broker.clone(),
            cause: cause.to_owned(),
        }
    }
}
