//! "Did you mean": the nearest of the allowed words.

/// The candidate nearest to `word`, when it is near enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = word.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                distance(&word.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …?`, or nothing.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates)
        .map(|candidate| format!("; did you mean `{candidate}`?"))
        .unwrap_or_default()
}

/// ` (allowed: a, b)`, or nothing when there is nothing to allow; a long list is cut.
pub(crate) fn allowed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 16;
    let words: Vec<&str> = words.into_iter().collect();
    match words.len() {
        0 => String::new(),
        length if length <= MOST => format!(" (allowed: {})", words.join(", ")),
        length => {
            let shown: Vec<&str> = words.into_iter().take(MOST).collect();
            format!(" (allowed: {} and {} more)", shown.join(", "), length - MOST)
        }
    }
}

/// Number of characters to insert, remove, change or swap with their neighbour to make `a` into `b`
/// ([optimal string alignment](https://en.wikipedia.org/wiki/Damerau%E2%80%93Levenshtein_distance)).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut last_of_a = None;
    for (row, in_a) in a.chars().enumerate() {
        let mut current = Vec::with_capacity(above.len());
        let mut left = row + 1;
        current.push(left);
        let mut last_of_b = None;
        for (column, in_b) in b.iter().copied().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX - 1);
            let mut best = at(&above, column) + usize::from(in_a != in_b);
            best = best.min(at(&above, column + 1) + 1).min(left + 1);
            if last_of_a == Some(in_b) && last_of_b == Some(in_a) {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
            left = best;
            last_of_b = Some(in_b);
        }
        last_of_a = Some(in_a);
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        let words = ["openai", "anthropic", "simulated"];
        assert_eq!(nearest("opnai", words), Some("openai"));
        assert_eq!(nearest("oepnai", words), Some("openai"));
        assert_eq!(nearest("Anthropic", words), Some("anthropic"));
        assert_eq!(nearest("bedrock", words), None);
        assert_eq!(nearest("", words), None);
    }

    #[test]
    fn the_distance_counts_edits_and_swaps() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
    }
}
