//! Which partition a key belongs to.

/// How the partition of a record with a key is chosen. Records without a key go wherever a batch is about to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Partitioner {
    /// CRC-32 of the key, modulo the number of partitions: what APISIX's `kafka-logger` does (lua-resty-kafka), and librdkafka's
    /// `consistent`.
    #[default]
    Crc32,
    /// Murmur2 of the key with its highest bit cleared, modulo the number of partitions: what Java's producer does, and
    /// librdkafka's `murmur2`.
    Murmur2,
}

impl Partitioner {
    /// The partition of a key, of `partitions`, which is not 0.
    pub(super) fn partition(self, key: &[u8], partitions: u32) -> u32 {
        let hash = match self {
            Partitioner::Crc32 => crc32fast::hash(key),
            Partitioner::Murmur2 => murmur2(key) & 0x7fff_ffff,
        };
        hash.checked_rem(partitions).unwrap_or(0)
    }
}

/// Austin Appleby's MurmurHash2, with the seed that Kafka's clients have agreed on.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let (fours, rest) = bytes.as_chunks::<4>();
    // The reference takes a length of 32 bits.
    let mut hash = SEED ^ bytes.len() as u32;
    for four in fours {
        let mut k = u32::from_le_bytes(*four).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let last = rest
            .iter()
            .rev()
            .fold(0, |last, byte| last << 8 | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::{Partitioner, murmur2};

    #[test]
    fn murmur2_is_that_of_kafkas_own_tests() {
        // org.apache.kafka.common.utils.UtilsTest
        let cases: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key).cast_signed(), hash, "{key:?}");
        }
    }

    #[test]
    fn keys_go_where_apisix_and_javas_clients_send_them() {
        // The check value of CRC-32: 0xcbf43926.
        assert_eq!(
            Partitioner::Crc32.partition(b"123456789", 1000),
            0xcbf4_3926 % 1000
        );
        // A hash with the highest bit set.
        assert_eq!(
            Partitioner::Murmur2.partition(b"21", 1000),
            ((-973_932_308_i32).cast_unsigned() & 0x7fff_ffff) % 1000
        );
        assert_eq!(Partitioner::Crc32.partition(b"key", 1), 0);
    }
}
