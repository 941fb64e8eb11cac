//! The requests of a producer and their answers.

use super::code::Code;
use super::read::{Garbled, Reader};
use super::write::Writer;

/// Versions of one request, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VersionRange {
    pub(crate) min: i16,
    pub(crate) max: i16,
}

/// A request, and how its answer is read.
pub(crate) trait Request {
    /// The number of the request.
    const KEY: i16;
    /// Its name, for errors.
    const NAME: &'static str;
    /// The versions that can be written here.
    const VERSIONS: VersionRange;
    /// What is answered.
    type Answer;

    /// Writes the request after its head.
    fn write(&self, version: i16, writer: &mut Writer);

    /// Reads the answer after its head.
    fn read(version: i16, reader: &mut Reader<'_>) -> Result<Self::Answer, Garbled>;
}

/// Asks which requests the broker knows.
pub(crate) struct ApiVersions;

/// Which versions of which requests a broker knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) code: Code,
    /// Number of the request, lowest and highest version.
    known: Vec<(i16, VersionRange)>,
}

impl Versions {
    /// What is known of a broker before it was asked.
    pub(crate) fn only_api_versions() -> Self {
        Versions {
            code: Code::NONE,
            known: vec![(ApiVersions::KEY, ApiVersions::VERSIONS)],
        }
    }

    /// The highest version of a request that the broker and we know.
    pub(crate) fn of<R: Request>(&self) -> Option<i16> {
        let theirs = self.known.iter().find(|(key, _)| *key == R::KEY)?.1;
        let version = theirs.max.min(R::VERSIONS.max);
        (version >= theirs.min.max(R::VERSIONS.min)).then_some(version)
    }
}

impl Request for ApiVersions {
    const KEY: i16 = 18;
    const NAME: &'static str = "ApiVersions";
    // A broker that does not know a version answers in version 0; asking in it saves the second question.
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };
    type Answer = Versions;

    fn write(&self, _version: i16, _writer: &mut Writer) {}

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<Versions, Garbled> {
        Ok(Versions {
            code: Code(reader.i16()?),
            known: reader.array_of(6, |reader| {
                let key = reader.i16()?;
                let (min, max) = (reader.i16()?, reader.i16()?);
                Ok((key, VersionRange { min, max }))
            })?,
        })
    }
}

/// Asks who leads the partitions of a topic.
pub(crate) struct Metadata<'a> {
    pub(crate) topic: &'a str,
}

/// What a broker knows of its cluster and of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetadataAnswer {
    pub(crate) brokers: Vec<MetadataBroker>,
    /// What is wrong with the topic.
    pub(crate) code: Code,
    pub(crate) partitions: Vec<MetadataPartition>,
}

/// A broker of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetadataBroker {
    pub(crate) node: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A partition of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetadataPartition {
    pub(crate) index: i32,
    /// The broker that leads it; `None` if none does now.
    pub(crate) leader: Option<i32>,
}

impl Request for Metadata<'_> {
    const KEY: i16 = 3;
    const NAME: &'static str = "Metadata";
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 7 };
    type Answer = MetadataAnswer;

    fn write(&self, version: i16, writer: &mut Writer) {
        writer.length(1);
        writer.text(Some(self.topic));
        if version >= 4 {
            writer.i8(1); // brokers that create topics by themselves may create it
        }
    }

    fn read(version: i16, reader: &mut Reader<'_>) -> Result<MetadataAnswer, Garbled> {
        if version >= 3 {
            reader.i32()?; // throttled for so long
        }
        let brokers = reader.array_of(12, |reader| {
            let broker = MetadataBroker {
                node: reader.i32()?,
                host: reader.text()?.unwrap_or_default().to_owned(),
                port: u16::try_from(reader.i32()?).map_err(|_| Garbled("a port is out of range"))?,
            };
            reader.text()?; // rack
            Ok(broker)
        })?;
        if version >= 2 {
            reader.text()?; // id of the cluster
        }
        reader.i32()?; // controller
        let mut topics = reader.array_of(9, |reader| {
            let code = Code(reader.i16()?);
            reader.text()?; // name: there is only the one that was asked for
            reader.i8()?; // internal
            let partitions = reader.array_of(18, |reader| {
                reader.i16()?; // what is wrong with the partition: whether it has a leader says enough
                let index = reader.i32()?;
                let leader = reader.i32()?;
                if version >= 7 {
                    reader.i32()?; // epoch of the leader
                }
                reader.array_of(4, Reader::i32)?; // replicas
                reader.array_of(4, Reader::i32)?; // replicas in sync
                if version >= 5 {
                    reader.array_of(4, Reader::i32)?; // replicas that are offline
                }
                Ok(MetadataPartition {
                    index,
                    leader: (leader >= 0).then_some(leader),
                })
            })?;
            Ok((code, partitions))
        })?;
        let (code, partitions) = topics
            .pop()
            .ok_or(Garbled("the topic that was asked for is missing"))?;
        Ok(MetadataAnswer {
            brokers,
            code,
            partitions,
        })
    }
}

/// Hands over batches of records.
pub(crate) struct Produce<'a> {
    pub(crate) topic: &'a str,
    /// How many replicas have to have stored the records: 0, 1, or -1 for all in sync.
    pub(crate) acks: i16,
    /// How long the broker waits for the replicas, in milliseconds.
    pub(crate) timeout: i32,
    pub(crate) partitions: &'a [ProducePartition],
}

/// The batch for a partition.
pub(crate) struct ProducePartition {
    pub(crate) index: i32,
    pub(crate) batch: Vec<u8>,
}

/// How it went with a partition's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProduceAnswer {
    pub(crate) index: i32,
    pub(crate) code: Code,
    /// What the broker says of it, in words.
    pub(crate) message: Option<String>,
}

impl Request for Produce<'_> {
    const KEY: i16 = 0;
    const NAME: &'static str = "Produce";
    // Version 3 is the first with this format of batches.
    const VERSIONS: VersionRange = VersionRange { min: 3, max: 8 };
    type Answer = Vec<ProduceAnswer>;

    fn write(&self, _version: i16, writer: &mut Writer) {
        writer.text(None); // no transaction
        writer.i16(self.acks);
        writer.i32(self.timeout);
        writer.length(1);
        writer.text(Some(self.topic));
        writer.length(self.partitions.len());
        for partition in self.partitions {
            writer.i32(partition.index);
            writer.bytes(&partition.batch);
        }
    }

    fn read(version: i16, reader: &mut Reader<'_>) -> Result<Vec<ProduceAnswer>, Garbled> {
        let topics = reader.array_of(6, |reader| {
            reader.text()?; // name: there is only the one that was named
            reader.array_of(22, |reader| {
                let index = reader.i32()?;
                let code = Code(reader.i16()?);
                reader.i64()?; // offset
                reader.i64()?; // time it was appended
                if version >= 5 {
                    reader.i64()?; // offset of the oldest record
                }
                let mut message = None;
                if version >= 8 {
                    let first = reader.array_of(6, |reader| {
                        reader.i32()?; // number of the record
                        Ok(reader.text()?.map(str::to_owned))
                    })?;
                    let first = first.into_iter().flatten().next();
                    message = reader.text()?.map(str::to_owned).or(first);
                }
                Ok(ProduceAnswer { index, code, message })
            })
        })?;
        Ok(topics.into_iter().flatten().collect())
    }
}

/// Says how the client will sign in.
pub(crate) struct SaslHandshake<'a> {
    pub(crate) mechanism: &'a str,
}

/// How clients may sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SaslMechanisms {
    pub(crate) code: Code,
    pub(crate) enabled: Vec<String>,
}

impl Request for SaslHandshake<'_> {
    const KEY: i16 = 17;
    const NAME: &'static str = "SaslHandshake";
    // After version 0 the exchange goes on without the protocol's frames (Kafka before 1.0).
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 1 };
    type Answer = SaslMechanisms;

    fn write(&self, _version: i16, writer: &mut Writer) {
        writer.text(Some(self.mechanism));
    }

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<SaslMechanisms, Garbled> {
        Ok(SaslMechanisms {
            code: Code(reader.i16()?),
            enabled: reader.array_of(2, |reader| Ok(reader.text()?.unwrap_or_default().to_owned()))?,
        })
    }
}

/// One message of the client while it signs in.
pub(crate) struct SaslAuthenticate<'a> {
    pub(crate) message: &'a [u8],
}

/// The broker's next message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SaslAuthenticated {
    pub(crate) code: Code,
    pub(crate) error: Option<String>,
    pub(crate) message: Vec<u8>,
    /// For how many milliseconds the connection may be used; 0 for as long as one likes.
    pub(crate) lifetime: i64,
}

impl Request for SaslAuthenticate<'_> {
    const KEY: i16 = 36;
    const NAME: &'static str = "SaslAuthenticate";
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };
    type Answer = SaslAuthenticated;

    fn write(&self, _version: i16, writer: &mut Writer) {
        writer.bytes(self.message);
    }

    fn read(version: i16, reader: &mut Reader<'_>) -> Result<SaslAuthenticated, Garbled> {
        Ok(SaslAuthenticated {
            code: Code(reader.i16()?),
            error: reader.text()?.map(str::to_owned),
            message: reader.bytes()?.to_owned(),
            lifetime: if version >= 1 { reader.i64()? } else { 0 },
        })
    }
}

/// Asks for a producer id, by which brokers recognise batches that are repeated.
pub(crate) struct InitProducerId;

/// The id of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerId {
    pub(crate) code: Code,
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

impl Request for InitProducerId {
    const KEY: i16 = 22;
    const NAME: &'static str = "InitProducerId";
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };
    type Answer = ProducerId;

    fn write(&self, _version: i16, writer: &mut Writer) {
        writer.text(None); // no transactions
        writer.i32(i32::MAX); // which have no time limit then
    }

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<ProducerId, Garbled> {
        reader.i32()?; // throttled for so long
        Ok(ProducerId {
            code: Code(reader.i16()?),
            id: reader.i64()?,
            epoch: reader.i16()?,
        })
    }
}
