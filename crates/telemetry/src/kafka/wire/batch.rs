//! Record batches, version 2 of their format (Kafka 0.11 and later).

use super::crc32c::crc32c;
use super::write::{Writer, varint_len};
use crate::kafka::Record;

/// What a record takes beside its key and its value, at most, in bytes.
pub(crate) const RECORD_OVERHEAD: usize = 32;

/// Everything before the records, in bytes.
const HEAD: usize = 61;

/// The batch's length does not count its own field and the one before.
const UNCOUNTED: usize = 12;

/// What a batch says of its producer, where repeated batches are to be recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHead {
    /// The producer's id; -1 without one.
    pub(crate) producer_id: i64,
    /// Its epoch; -1 without one.
    pub(crate) producer_epoch: i16,
    /// The number of the first record among the producer's for this partition; -1 without a producer.
    pub(crate) base_sequence: i32,
}

impl BatchHead {
    /// A batch of nobody in particular.
    pub(crate) const ANONYMOUS: BatchHead = BatchHead {
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
    };
}

/// Writes records as one batch.
pub(crate) fn record_batch<'a>(
    head: BatchHead,
    records: impl Iterator<Item = &'a Record> + Clone,
) -> Vec<u8> {
    let count = records.clone().count();
    let first = records.clone().map(|record| record.timestamp).min().unwrap_or(0);
    let last = records.clone().map(|record| record.timestamp).max().unwrap_or(0);
    let size: usize = records.clone().map(Record::size).sum();

    // From the attributes on: what the checksum covers.
    let mut covered = Writer::with_capacity(size + HEAD);
    covered.i16(0); // attributes: not compressed, time of creation, no transaction
    covered.length(count.saturating_sub(1)); // offset of the last record
    covered.i64(first);
    covered.i64(last);
    covered.i64(head.producer_id);
    covered.i16(head.producer_epoch);
    covered.i32(head.base_sequence);
    covered.length(count);
    for (offset, record) in (0..).zip(records) {
        write_record(
            &mut covered,
            record,
            offset,
            record.timestamp.saturating_sub(first),
        );
    }
    let covered = covered.into_bytes();

    let mut batch = Writer::with_capacity(covered.len() + HEAD);
    batch.i64(0); // the broker sets the offset
    batch.length(covered.len() + (21 - UNCOUNTED));
    batch.i32(-1); // the leader's epoch: the broker sets it
    batch.i8(2);
    batch.u32(crc32c(&covered));
    batch.raw(&covered);
    batch.into_bytes()
}

fn write_record(batch: &mut Writer, record: &Record, offset: i64, delay: i64) {
    let bytes_len = |bytes: Option<&[u8]>| match bytes {
        None => varint_len(-1),
        Some(bytes) => varint_len(signed(bytes.len())) + bytes.len(),
    };
    let key = record.key.as_deref();
    let length = 1
        + varint_len(delay)
        + varint_len(offset)
        + bytes_len(key)
        + bytes_len(Some(&record.value))
        + varint_len(0);
    batch.varint(signed(length));
    batch.i8(0); // attributes
    batch.varint(delay);
    batch.varint(offset);
    for bytes in [key, Some(&record.value)] {
        match bytes {
            None => batch.varint(-1),
            Some(bytes) => {
                batch.varint(signed(bytes.len()));
                batch.raw(bytes);
            }
        }
    }
    batch.varint(0); // no headers
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
