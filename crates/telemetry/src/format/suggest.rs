//! The known name nearest to a mistyped one.

/// The nearest of `known`, if it is near enough to be what was meant.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.len() / 3).clamp(1, 4);
    known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, deleted or replaced to turn one text into the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, left) in from.bytes().enumerate() {
        let mut diagonal = index;
        let mut previous = index + 1;
        let mut next_row = Vec::with_capacity(row.len());
        next_row.push(previous);
        for (right, above) in to.bytes().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(left != right);
            previous = replaced.min(previous + 1).min(above + 1);
            diagonal = *above;
            next_row.push(previous);
        }
        row = next_row;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("status", "status"), 0);
        assert_eq!(distance("statsu", "status"), 2);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["status", "request_time", "request_id"];
        assert_eq!(nearest("statu", known.into_iter()), Some("status"));
        assert_eq!(nearest("request_tim", known.into_iter()), Some("request_time"));
        assert_eq!(nearest("zebra", known.into_iter()), None);
    }
}
