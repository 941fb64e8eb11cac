//! CRC-32C (Castagnoli), the checksum of record batches: RFC 3720, appendix B.4.

/// The polynomial 0x1EDC6F41 with its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[n][b]` is what a byte `b` does to the checksum when `n` more bytes follow it.
static TABLES: [[u32; 256]; 8] = tables();

/// The checksum of some bytes.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut checksum = !0u32;
    for eight in eights {
        // All eight bytes at once: the processor has no need to wait for the step before.
        let mixed = u64::from_le_bytes(*eight) ^ u64::from(checksum);
        let bytes = mixed.to_le_bytes().into_iter();
        checksum = bytes
            .zip(TABLES.iter().rev())
            .fold(0, |sum, (byte, table)| sum ^ entry(table, byte));
    }
    for byte in rest {
        let [low, ..] = checksum.to_le_bytes();
        checksum = entry(&TABLES[0], low ^ byte) ^ (checksum >> 8);
    }
    !checksum
}

fn entry(table: &[u32; 256], byte: u8) -> u32 {
    table[usize::from(byte)]
}

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ POLYNOMIAL
            } else {
                value >> 1
            };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut number = 1;
    while number < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before: u32 = tables[number - 1][byte];
            tables[number][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        number += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn checksums_are_those_of_the_rfc() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let up: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&up), 0x46dd_794e);
        let down: Vec<u8> = (0..32).rev().collect();
        assert_eq!(crc32c(&down), 0x113f_db5c);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }
}
