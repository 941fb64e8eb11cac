//! What follows from an answer: fates of records, and what is done differently the next time.

use std::collections::HashSet;

use super::super::error::KafkaError;
use super::super::plan::Chunk;
use super::super::record::Record;
use super::super::wire::{Code, Remedy};
use super::{Exchange, Sender};
use crate::delivery::Fate;

impl Sender {
    /// Gives records their fates, and draws conclusions about the cluster.
    pub(super) fn conclude(
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
                let is_closed = matches!(error, KafkaError::Lost { .. });
                for (chunk, _) in chunks.into_iter().filter(|_| was_sent) {
                    if is_closed && self.is_too_much(&chunk, batch) {
                        self.cut(&chunk, batch, fates);
                    } else {
                        self.repeat(&chunk, batch);
                    }
                }
                // The broker may be gone, and somebody else leads its partitions.
                self.cluster.outdated();
                self.avoid(address);
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
                Remedy::Drop => Fate::Refused,
                Remedy::Split => {
                    self.cut(&chunk, batch, fates);
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

    /// Whether the broker closes connections because of this chunk, as it does where a request is longer than it reads.
    fn is_too_much(&mut self, chunk: &Chunk, batch: &[Record]) -> bool {
        size(chunk, batch) > SUSPICIOUS_BYTES && self.remedy(chunk, Code::UNKNOWN) == Remedy::Drop
    }

    /// The chunk is too large: it is sent in smaller ones, or not at all if it is a single record.
    fn cut(&mut self, chunk: &Chunk, batch: &[Record], fates: &mut [Fate]) {
        self.release(chunk.partition);
        let bytes = size(chunk, batch);
        let [place] = chunk.places.as_slice() else {
            self.max_bytes = self.max_bytes.min(bytes / 2);
            return;
        };
        tracing::warn!(
            topic = self.settings.topic,
            partition = chunk.partition,
            bytes,
            "a record is lost: it is too large for Kafka; let the topic take larger ones (max.message.bytes), or log less"
        );
        if let Some(fate) = fates.get_mut(*place) {
            *fate = Fate::TooLarge;
        }
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
    pub(super) fn forget_strangers(&mut self, batch: &[Record]) {
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
}

fn size(chunk: &Chunk, batch: &[Record]) -> usize {
    let records = chunk.places.iter().filter_map(|place| batch.get(*place));
    records.map(Record::size).sum()
}

/// How often in a row a partition may answer with an error that may be the fault of the records themselves.
const DOUBTFUL_TRIES: u32 = 10;

/// A request that is larger than this, in bytes, may be larger than what a broker reads, at which it closes the connection.
const SUSPICIOUS_BYTES: usize = 1 << 20;
