//! Ids of tool calls where Gemini gives none, and the names it takes.
//!
//! A made id is a pure function of where the call stands and what it says, so the same history always gets the same ids.
//! It is recognised when it comes back and is not told to Gemini, which then sees its own call as it wrote it.

use aws_lc_rs::digest::{SHA256, digest};

/// First part of a made id.
const MADE: &str = "call_gm";

/// How many bytes of a hash a made id has, as hex digits; with its first part it stays below the 40 characters that some
/// providers take.
const HASH_BYTES: usize = 12;

/// The calls of one turn, or of one answer, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct CallIds {
    seed: String,
    calls: Vec<Call>,
}

#[derive(Clone, Debug)]
struct Call {
    id: String,
    name: String,
    answered: bool,
}

impl CallIds {
    /// The calls of the turn or answer that `seed` names.
    pub(super) fn new(seed: impl Into<String>) -> Self {
        CallIds {
            seed: seed.into(),
            calls: Vec::new(),
        }
    }

    /// The id of the next call: its own, or a made one.
    pub(super) fn call(&mut self, own: Option<String>, name: &str, arguments: &str) -> String {
        let id = own.filter(|id| !id.is_empty()).unwrap_or_else(|| {
            let place = format!("{}\n{}\n{name}\n{arguments}", self.seed, self.calls.len());
            made(&place)
        });
        self.calls.push(Call {
            id: id.clone(),
            name: name.to_owned(),
            answered: false,
        });
        id
    }

    /// The id of the call that a result belongs to: its own; else that of the first call of this name without a result,
    /// or the first one of any name. A result that belongs to nothing has an empty id.
    pub(super) fn result(&mut self, own: Option<String>, name: &str) -> String {
        let own = own.filter(|id| !id.is_empty());
        let position = match &own {
            Some(id) => self.position(|call| call.id == *id),
            None => self
                .position(|call| call.name == name)
                .or_else(|| self.position(|_| true)),
        };
        let Some(call) = position.and_then(|position| self.calls.get_mut(position)) else {
            return own.unwrap_or_default();
        };
        call.answered = true;
        call.id.clone()
    }

    fn position(&self, fits: impl Fn(&Call) -> bool) -> Option<usize> {
        self.calls.iter().position(|call| !call.answered && fits(call))
    }
}

/// The id as Gemini knows it; `None` if it was made here.
pub(super) fn told_to_gemini(id: &str) -> Option<&str> {
    let is_made = id.strip_prefix(MADE).is_some_and(|hash| {
        hash.len() == 2 * HASH_BYTES && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    (!is_made && !id.is_empty()).then_some(id)
}

fn made(place: &str) -> String {
    let mut id = MADE.to_owned();
    for byte in digest(&SHA256, place.as_bytes()).as_ref().iter().take(HASH_BYTES) {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_are_stable_distinct_and_kept_from_gemini() {
        let mut calls = CallIds::new("answer-1");
        let first = calls.call(None, "f", "{}");
        let second = calls.call(Some(String::new()), "f", "{}");
        assert_ne!(first, second);
        assert_eq!(CallIds::new("answer-1").call(None, "f", "{}"), first);
        assert_ne!(CallIds::new("answer-2").call(None, "f", "{}"), first);
        assert!(first.len() <= 40);
        assert_eq!(told_to_gemini(&first), None);
        assert_eq!(told_to_gemini("call_1"), Some("call_1"));
        assert_eq!(told_to_gemini(""), None);
    }

    #[test]
    fn results_without_ids_find_their_calls_by_name_and_order() {
        let mut calls = CallIds::new("x");
        let (f1, g, f2) = (
            calls.call(None, "f", "1"),
            calls.call(Some("g-id".to_owned()), "g", "2"),
            calls.call(None, "f", "3"),
        );
        assert_eq!(calls.result(None, "f"), f1);
        assert_eq!(calls.result(None, "f"), f2);
        assert_eq!(calls.result(None, "other"), g);
        assert_eq!(calls.result(None, "f"), "");
        assert_eq!(calls.result(Some("unknown".to_owned()), "f"), "unknown");
    }
}
