//! The order in which the instances of a model are tried.

/// Each instance once: the one whose turn it is, then the others in the order of their next turns, then those of weight 0.
pub fn order(turns: &[usize], position: usize, instances: usize) -> Vec<usize> {
    let mut order = Vec::with_capacity(instances);
    for offset in 0..turns.len() {
        if order.len() == instances {
            break;
        }
        let turn = turns[(position.wrapping_add(offset)) % turns.len()];
        if !order.contains(&turn) {
            order.push(turn);
        }
    }
    for instance in 0..instances {
        if !order.contains(&instance) {
            order.push(instance);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::order;
    use crate::smooth_sequence;

    #[test]
    fn each_instance_is_tried_once_beginning_with_the_one_whose_turn_it_is() {
        let turns = smooth_sequence(&[2, 1, 0]);
        assert_eq!(order(&turns, 0, 3), [0, 1, 2]);
        assert_eq!(order(&turns, 1, 3), [1, 0, 2]);
        assert_eq!(order(&turns, usize::MAX, 3), [0, 1, 2]);
    }

    #[test]
    fn instances_of_weight_zero_are_still_tried_last() {
        assert_eq!(order(&[], 5, 2), [0, 1]);
    }

    #[test]
    fn first_picks_follow_the_weights() {
        let turns = smooth_sequence(&[8, 2]);
        let first = (0..1000)
            .filter(|position| order(&turns, *position, 2)[0] == 0)
            .count();
        assert_eq!(first, 800);
    }
}
