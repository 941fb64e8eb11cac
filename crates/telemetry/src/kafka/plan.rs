//! Which records go to which partition now.

use std::collections::{BTreeMap, HashMap};

use super::partition::Partitioner;
use super::record::Record;

/// Records for one partition, by their places in the batch that is being sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) partition: usize,
    pub(super) places: Vec<usize>,
}

/// What is gone by.
pub(super) struct Plan<'a> {
    pub(super) batch: &'a [Record],
    /// How many partitions there are.
    pub(super) partitions: usize,
    pub(super) partitioner: Partitioner,
    /// Records of a chunk at most.
    pub(super) max_records: usize,
    /// Bytes of a chunk at most, but for one of a single record.
    pub(super) max_bytes: usize,
    /// Chunks that have to be sent again as they were, by partition: the numbers of their records.
    pub(super) repeated: &'a HashMap<usize, Vec<u64>>,
}

impl Plan<'_> {
    /// Cuts the first chunk of every partition from the records of these places, in their order. What does not fit is left
    /// for the next time. Records without a key go to the partitions that are `open`, in that order, but not to those that
    /// have a chunk already.
    pub(super) fn chunks(&self, places: impl Iterator<Item = usize>, open: &[usize]) -> Vec<Chunk> {
        let partition_of: HashMap<u64, usize> = self
            .repeated
            .iter()
            .flat_map(|(partition, numbers)| numbers.iter().map(|number| (*number, *partition)))
            .collect();
        let mut again: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut keyed: BTreeMap<usize, Cut> = BTreeMap::new();
        let mut loose: Vec<Cut> = Vec::new();
        for place in places {
            let Some(record) = self.batch.get(place) else {
                continue;
            };
            if let Some(partition) = partition_of.get(&record.number) {
                again.entry(*partition).or_default().push(place);
                continue;
            }
            if let Some(key) = &record.key {
                let cut = keyed.entry(self.partition(key)).or_default();
                if !cut.is_full {
                    cut.is_full = !cut.add(place, record.size(), self);
                }
                continue;
            }
            let fits = loose
                .last_mut()
                .is_some_and(|cut| cut.add(place, record.size(), self));
            if !fits {
                let mut cut = Cut::default();
                cut.add(place, record.size(), self);
                loose.push(cut);
            }
        }
        let mut chunks: BTreeMap<usize, Vec<usize>> = again;
        for (partition, cut) in keyed {
            chunks.entry(partition).or_insert(cut.places);
        }
        let mut open = open.iter().filter(|partition| !chunks.contains_key(partition));
        let free: Vec<usize> = open.by_ref().copied().collect();
        for (partition, cut) in free.into_iter().zip(loose) {
            chunks.insert(partition, cut.places);
        }
        chunks
            .into_iter()
            .map(|(partition, places)| Chunk { partition, places })
            .collect()
    }

    fn partition(&self, key: &[u8]) -> usize {
        let partitions = u32::try_from(self.partitions).unwrap_or(u32::MAX);
        let partition = self.partitioner.partition(key, partitions);
        usize::try_from(partition).unwrap_or(0)
    }
}

/// A chunk that is being cut.
#[derive(Default)]
struct Cut {
    places: Vec<usize>,
    bytes: usize,
    /// What comes later must not overtake what did not fit.
    is_full: bool,
}

impl Cut {
    /// Adds a record if it fits. The first one always does.
    fn add(&mut self, place: usize, bytes: usize, plan: &Plan<'_>) -> bool {
        let fits = self.places.is_empty()
            || (self.places.len() < plan.max_records && self.bytes + bytes <= plan.max_bytes);
        if fits {
            self.places.push(place);
            self.bytes += bytes;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bytes::Bytes;

    use super::super::wire::RECORD_OVERHEAD;
    use super::{Chunk, Partitioner, Plan, Record};

    fn record(key: Option<&'static str>, bytes: usize) -> Record {
        Record::new(key.map(Bytes::from), Bytes::from(vec![b'x'; bytes]))
    }

    fn chunks(batch: &[Record], max_records: usize, max_bytes: usize, open: &[usize]) -> Vec<Chunk> {
        let plan = Plan {
            batch,
            partitions: 4,
            partitioner: Partitioner::Crc32,
            max_records,
            max_bytes,
            repeated: &HashMap::new(),
        };
        plan.chunks(0..batch.len(), open)
    }

    fn chunk(partition: usize, places: &[usize]) -> Chunk {
        Chunk {
            partition,
            places: places.to_vec(),
        }
    }

    #[test]
    fn records_without_a_key_fill_one_partition_after_the_other() {
        let batch: Vec<_> = (0..5).map(|_| record(None, 10)).collect();
        assert_eq!(
            chunks(&batch, 2, 1000, &[3, 1]),
            [chunk(1, &[2, 3]), chunk(3, &[0, 1])]
        );
        assert_eq!(chunks(&batch, 5, 1000, &[3, 1]), [chunk(3, &[0, 1, 2, 3, 4])]);
        assert_eq!(chunks(&batch, 5, 1000, &[]), []);
    }

    #[test]
    fn a_chunk_ends_before_it_has_too_many_bytes() {
        let two = 2 * (10 + RECORD_OVERHEAD);
        let batch: Vec<_> = (0..4).map(|_| record(None, 10)).collect();
        assert_eq!(chunks(&batch, 9, two, &[0]), [chunk(0, &[0, 1])]);
        assert_eq!(chunks(&batch, 9, two - 1, &[0]), [chunk(0, &[0])]);
        // A record that is too large for itself goes alone: the broker may take it.
        assert_eq!(chunks(&batch, 9, 0, &[0]), [chunk(0, &[0])]);
    }

    #[test]
    fn records_of_one_key_stay_in_one_partition_and_in_their_order() {
        let batch = [
            record(Some("a"), 10),
            record(None, 10),
            record(Some("a"), 500),
            record(Some("a"), 10),
        ];
        let partition = usize::try_from(Partitioner::Crc32.partition(b"a", 4)).unwrap();
        let other = (partition + 1) % 4;
        let mut expected = vec![chunk(partition, &[0]), chunk(other, &[1])];
        expected.sort_by_key(|chunk| chunk.partition);
        // The third would fit, but must not overtake the second.
        assert_eq!(chunks(&batch, 9, 200, &[partition, other]), expected);
    }

    #[test]
    fn what_was_sent_before_is_sent_again_as_it_was_to_the_same_partition() {
        let batch: Vec<_> = (0..4).map(|_| record(None, 10)).collect();
        let repeated = HashMap::from([(2, vec![batch[1].number, batch[2].number])]);
        let plan = Plan {
            batch: &batch,
            partitions: 4,
            partitioner: Partitioner::Crc32,
            max_records: 1,
            max_bytes: 1000,
            repeated: &repeated,
        };
        assert_eq!(
            plan.chunks(0..4, &[2, 0, 1]),
            [chunk(0, &[0]), chunk(1, &[3]), chunk(2, &[1, 2])]
        );
    }
}
