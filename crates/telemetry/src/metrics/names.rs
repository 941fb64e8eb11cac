//! Names that clients choose, within a bound. What a client makes up, and nobody was asked for, is no name.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::{MAX_VALUE, OTHER};
use crate::record::CallRecord;

/// Whether somebody was asked by the names of a call.
pub(super) fn was_asked(call: &CallRecord<'_>) -> bool {
    call.upstream_model.is_some() || !call.attempts.is_empty()
}

/// The names that label values are made of; one that comes when there is no room any more is [`OTHER`].
pub(super) struct Names {
    known: Mutex<HashSet<Box<str>>>,
    most: usize,
}

impl Names {
    pub(super) fn new(most: usize) -> Self {
        Names {
            known: Mutex::default(),
            most,
        }
    }

    /// The name as a label value. `is_asked` says whether somebody was asked by this name; else it is one only if it was before.
    pub(super) fn admit<'a>(&self, name: &'a str, is_asked: bool) -> &'a str {
        let name = name.get(..name.floor_char_boundary(MAX_VALUE)).unwrap_or(name);
        if name.is_empty() {
            return name;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) {
            return name;
        }
        if !is_asked || known.len() >= self.most {
            return OTHER;
        }
        known.insert(name.into());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn names_that_came_first_stay_and_later_ones_are_others() {
        let names = Names::new(2);
        let long = "m".repeat(1_000);
        assert_eq!(names.admit("made-up", false), "other");
        assert_eq!(names.admit("a", true), "a");
        assert_eq!(names.admit("", true), "");
        assert_eq!(names.admit(&long, true), "m".repeat(128));
        assert_eq!(names.admit("c", true), "other");
        assert_eq!(names.admit("a", false), "a");
        assert_eq!(names.admit(&"m".repeat(128), true), "m".repeat(128));
    }
}
