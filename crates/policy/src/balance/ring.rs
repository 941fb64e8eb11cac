//! A ring of hashes: a key belongs to the node that follows it, so that a node that comes or goes moves only its own share.

/// Points of a node of the smallest weight.
const POINTS: u64 = 160;

/// Most points of a ring; weights that differ a lot are rounded to stay below.
const MAX_POINTS: u64 = 65_536;

/// Where nodes stand on the ring.
pub struct Ring {
    /// Sorted by place.
    points: Vec<(u64, u32)>,
}

impl Ring {
    /// A ring of nodes, each with its name and weight; a node is known by its position.
    pub fn new<'a>(nodes: impl Iterator<Item = (usize, &'a str, u32)> + Clone) -> Self {
        let weights = || nodes.clone().map(|(_, _, weight)| u64::from(weight));
        let unit = weights().fold(0, gcd).max(1);
        let total: u64 = weights().map(|weight| weight / unit * POINTS).sum();
        let mut points = Vec::new();
        for (index, name, weight) in nodes {
            let Ok(index) = u32::try_from(index) else { continue };
            let mut count = u64::from(weight) / unit * POINTS;
            if total > MAX_POINTS {
                let scaled = u128::from(count) * u128::from(MAX_POINTS) / u128::from(total);
                count = u64::try_from(scaled).unwrap_or(MAX_POINTS).max(1);
            }
            let seed = hash(name.as_bytes());
            points.extend((0..count).map(|point| (mixed(seed ^ mixed(point)), index)));
        }
        points.sort_unstable();
        Ring { points }
    }

    /// The nodes in the order in which the owner of a key is looked for; each comes several times.
    pub fn from(&self, key: u64) -> impl Iterator<Item = usize> + '_ {
        let start = self.points.partition_point(|(place, _)| *place < key);
        let (before, after) = self.points.split_at(start);
        after.iter().chain(before).map(|(_, node)| *node as usize)
    }
}

/// Where a key stands on a ring. The same in every process, so that several gateways agree; not for secrets.
pub fn hash(bytes: &[u8]) -> u64 {
    // Eight bytes at a time, because prompts are long.
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words.iter().fold(bytes.len() as u64, |state, word| {
        folded(state ^ u64::from_le_bytes(*word))
    });
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    mixed(folded(state ^ u64::from_le_bytes(last)))
}

/// The two halves of a product over each other, which depend on all bits of the number.
fn folded(number: u64) -> u64 {
    let product = u128::from(number ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    // The halves of 128 bits.
    (product >> 64) as u64 ^ product as u64
}

/// Spreads the bits of a number (the finaliser of SplitMix64).
pub fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Ring, hash};

    const NAMES: [&str; 5] = [
        "10.0.0.1:80",
        "10.0.0.2:80",
        "10.0.0.3:80",
        "10.0.0.4:80",
        "10.0.0.5:80",
    ];

    fn ring(weights: &[u32]) -> Ring {
        let nodes: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| (index, NAMES[index], *weight))
            .collect();
        Ring::new(nodes.into_iter())
    }

    fn owner(ring: &Ring, key: usize) -> usize {
        ring.from(hash(format!("user-{key}").as_bytes())).next().unwrap()
    }

    #[test]
    fn keys_are_shared_by_weight() {
        let ring = ring(&[1, 1, 2]);
        let mut counts = [0_usize; 3];
        for key in 0..40_000 {
            counts[owner(&ring, key)] += 1;
        }
        for (count, share) in counts.iter().zip([10_000_f64, 10_000.0, 20_000.0]) {
            assert!((*count as f64 - share).abs() < share * 0.2, "{counts:?}");
        }
    }

    #[test]
    fn texts_that_differ_anywhere_have_different_hashes() {
        let text: Vec<u8> = (0..100).collect();
        let mut seen = HashSet::from([hash(&text)]);
        for at in 0..text.len() {
            assert!(seen.insert(hash(&text[..at])), "the first {at} bytes");
            for bit in 0..8 {
                let mut other = text.clone();
                other[at] ^= 1 << bit;
                assert!(seen.insert(hash(&other)), "bit {bit} of byte {at}");
            }
        }
        assert!(seen.insert(hash(&[0; 7])) && seen.insert(hash(&[0; 8])) && seen.insert(hash(&[0; 9])));
    }

    #[test]
    fn a_node_that_leaves_moves_only_its_own_keys() {
        let (five, four) = (ring(&[1; 5]), ring(&[1; 4]));
        for key in 0..10_000 {
            let before = owner(&five, key);
            if before != 4 {
                assert_eq!(owner(&four, key), before);
            }
        }
    }

    #[test]
    fn weights_of_any_size_make_a_ring_of_bounded_size() {
        let ring = ring(&[1, 1_000_003, 999_983]);
        assert!(ring.points.len() <= 65_540, "{}", ring.points.len());
        assert!(
            ring.from(7).any(|node| node == 0),
            "the lightest node has a place too"
        );
    }
}
