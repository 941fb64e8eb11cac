//! The prefixes of a prompt, by which requests find the instance whose provider has them in its cache.

use tollgate_dialects::scan::Members;
use tollgate_policy::balance::{hash, mixed};

/// Prefixes are compared in steps of so many bytes. Providers cache prompts from about 1,024 tokens on, in steps of some
/// hundred.
const STEP: usize = 1024;

/// So many steps are looked at: what prompts share beyond 64 KiB is not told apart.
const MOST_STEPS: usize = 64;

/// The members that make up a prompt, in the order in which providers put them together.
const PARTS: [&str; 7] = [
    "model",
    "tools",
    "system",
    "instructions",
    "messages",
    "input",
    "contents",
];

/// A hash of each prefix of a request's prompt, the shortest first. None for a prompt that is too short to be cached.
pub fn prefixes(members: &Members, body: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    let mut block = Vec::with_capacity(STEP);
    let mut before = 0;
    for part in PARTS {
        let mut text = members.value(body, part).unwrap_or_default().as_bytes();
        while !text.is_empty() && found.len() < MOST_STEPS {
            let (now, rest) = text.split_at(text.len().min(STEP - block.len()));
            block.extend_from_slice(now);
            text = rest;
            if block.len() == STEP {
                before = mixed(before ^ hash(&block));
                found.push(before);
                block.clear();
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tollgate_dialects::scan::scan;

    use super::*;

    fn of(body: &str) -> Vec<u64> {
        prefixes(&scan(body.as_bytes()).unwrap(), body.as_bytes())
    }

    #[test]
    fn prompts_share_as_many_prefixes_as_they_are_alike() {
        let system = "s".repeat(3 * STEP);
        let ask =
            |question: &str| format!(r#"{{"model":"m","messages":["{system}","{question}"],"system":"x"}}"#);
        let (one, other) = (of(&ask("one")), of(&ask("another, which is longer")));
        assert_eq!(one.len(), 3);
        assert_eq!(one, other[..3]);
        // Elsewhere in the body, but the same prompt.
        let moved = format!(r#"{{"system":"x","messages":["{system}","one"],"temperature":1,"model":"m"}}"#);
        assert_eq!(of(&moved), one);
        let different = ask("one").replacen("ss", "st", 1);
        assert_eq!(of(&different).iter().filter(|hash| one.contains(hash)).count(), 0);
    }

    #[test]
    fn another_model_has_another_cache() {
        let body = format!(r#"{{"model":"m","input":"{}"}}"#, "i".repeat(2 * STEP));
        assert_ne!(of(&body)[0], of(&body.replace("\"m\"", "\"n\""))[0]);
    }

    #[test]
    fn short_prompts_have_no_prefix_and_long_ones_not_more_than_enough() {
        assert!(of(r#"{"messages":["hello"]}"#).is_empty());
        let long = format!(r#"{{"input":"{}"}}"#, "i".repeat(2 * STEP * MOST_STEPS));
        assert_eq!(of(&long).len(), MOST_STEPS);
    }
}
