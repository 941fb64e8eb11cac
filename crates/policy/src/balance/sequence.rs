//! Smooth weighted round robin, computed ahead: the sequence in which instances take turns.

/// Longest sequence computed. Weights whose reduced sum is larger are scaled down; the shares stay within 0.1 %.
const MAX_TURNS: u64 = 1024;

/// The turns of one round: indexes into `weights`, each as often as its weight, spread evenly (NGINX's smooth weighted
/// round robin). Weight 0 gets no turn. Empty if all weights are 0.
pub fn smooth_sequence(weights: &[u32]) -> Vec<usize> {
    let weights = reduce(weights);
    let total: i64 = weights.iter().sum();
    let mut current = vec![0i64; weights.len()];
    let mut turns = Vec::new();
    for _ in 0..total {
        for (current, weight) in current.iter_mut().zip(&weights) {
            *current += weight;
        }
        let mut best = 0;
        for (i, value) in current.iter().enumerate() {
            if weights[i] > 0 && (weights[best] == 0 || *value > current[best]) {
                best = i;
            }
        }
        current[best] -= total;
        turns.push(best);
    }
    turns
}

fn reduce(weights: &[u32]) -> Vec<i64> {
    let divisor = weights
        .iter()
        .copied()
        .filter(|weight| *weight > 0)
        .fold(0, gcd)
        .max(1);
    let sum: u64 = weights.iter().map(|weight| u64::from(weight / divisor)).sum();
    let scale = |weight: u32| -> i64 {
        let weight = u64::from(weight / divisor);
        if sum <= MAX_TURNS || weight == 0 {
            return weight.cast_signed();
        }
        (weight * MAX_TURNS).div_ceil(sum).cast_signed()
    };
    weights.iter().copied().map(scale).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::smooth_sequence;

    #[test]
    fn eight_to_two_gives_eight_and_two_of_ten_spread_evenly() {
        assert_eq!(smooth_sequence(&[8, 2]), [0, 0, 1, 0, 0]);
        assert_eq!(smooth_sequence(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn weight_zero_gets_no_turn() {
        assert_eq!(smooth_sequence(&[0, 3, 0]), [1]);
        assert!(smooth_sequence(&[0, 0]).is_empty());
        assert!(smooth_sequence(&[]).is_empty());
    }

    #[test]
    fn huge_weights_keep_their_shares_in_a_bounded_sequence() {
        let turns = smooth_sequence(&[3_000_000_001, 1_000_000_000]);
        let first = turns.iter().filter(|turn| **turn == 0).count();
        assert!(turns.len() <= 1026);
        assert!((first as f64 / turns.len() as f64 - 0.75).abs() < 0.001);
    }
}
