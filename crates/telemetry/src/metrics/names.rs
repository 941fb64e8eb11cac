//! Names that clients choose, within a bound.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::{MAX_VALUE, OTHER};

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

    /// The name as a label value.
    pub(super) fn admit<'a>(&self, name: &'a str) -> &'a str {
        let name = name.get(..name.floor_char_boundary(MAX_VALUE)).unwrap_or(name);
        if name.is_empty() {
            return name;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) {
            return name;
        }
        if known.len() >= self.most {
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
        assert_eq!(names.admit("a"), "a");
        assert_eq!(names.admit(""), "");
        assert_eq!(names.admit(&long), "m".repeat(128));
        assert_eq!(names.admit("c"), "other");
        assert_eq!(names.admit("a"), "a");
        assert_eq!(names.admit(&"m".repeat(128)), "m".repeat(128));
    }
}
