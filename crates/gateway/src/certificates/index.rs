//! Which certificate a name has.

use std::collections::HashMap;
use std::sync::Arc;

use super::served::Served;

/// Certificates by the names they are shown for.
#[derive(Debug, Default)]
pub struct Certificates {
    exact: HashMap<String, Arc<Served>>,
    /// What follows the `*` of a pattern: `.example.com`, or nothing for the pattern that takes every name.
    behind_star: HashMap<String, Arc<Served>>,
}

impl Certificates {
    /// Adds a pattern: a name, or `*` and what follows. The first one of a pattern stays.
    pub fn add(&mut self, pattern: &str, served: &Arc<Served>) {
        let pattern = plain(pattern);
        let (map, key) = match pattern.strip_prefix('*') {
            Some(rest) => (&mut self.behind_star, rest.to_owned()),
            None => (&mut self.exact, pattern),
        };
        map.entry(key).or_insert_with(|| served.clone());
    }

    /// The certificate of a name: its own, else that of the longest pattern. A `*` stands within one label, as in
    /// certificates, unless it is the whole pattern.
    pub fn find(&self, name: &str) -> Option<&Arc<Served>> {
        let name = plain(name);
        if let Some(found) = self.exact.get(&name) {
            return Some(found);
        }
        let label = name.find('.').unwrap_or(name.len());
        let behind = name
            .char_indices()
            .map(|(at, _)| at)
            .take_while(|at| *at <= label);
        behind
            .filter_map(|at| name.get(at..))
            .find_map(|rest| self.behind_star.get(rest))
            .or_else(|| self.behind_star.get(""))
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.behind_star.is_empty()
    }
}

/// A name as it is compared: in lower case, without the dot that ends a full one.
pub(super) fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(patterns: &[&str]) -> Certificates {
        let mut index = Certificates::default();
        for pattern in patterns {
            let served = Served {
                id: (*pattern).to_owned(),
                config: None,
                demand: None,
            };
            index.add(pattern, &Arc::new(served));
        }
        index
    }

    fn found(patterns: &[&str], name: &str) -> Option<String> {
        index(patterns).find(name).map(|served| served.id.clone())
    }

    #[test]
    fn a_name_has_its_own_certificate_before_that_of_a_wildcard() {
        let patterns = ["*.example.com", "api.example.com", "*"];
        assert_eq!(
            found(&patterns, "api.example.com").as_deref(),
            Some("api.example.com")
        );
        assert_eq!(
            found(&patterns, "API.Example.com.").as_deref(),
            Some("api.example.com")
        );
        assert_eq!(
            found(&patterns, "www.example.com").as_deref(),
            Some("*.example.com")
        );
        assert_eq!(found(&patterns, "other.org").as_deref(), Some("*"));
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert_eq!(found(&["*.example.com"], "a.b.example.com"), None);
        assert_eq!(found(&["*.example.com"], "example.com"), None);
        assert_eq!(
            found(&["*-eu.example.com"], "api-eu.example.com").as_deref(),
            Some("*-eu.example.com")
        );
        assert_eq!(found(&["*.example.com"], ""), None);
        assert_eq!(
            found(&["*.com", "*.b.com"], "a.b.com").as_deref(),
            Some("*.b.com")
        );
    }

    #[test]
    fn the_first_of_two_certificates_for_a_name_stays() {
        let mut index = index(&["a.com"]);
        let other = Served {
            id: "other".to_owned(),
            config: None,
            demand: None,
        };
        index.add("A.com", &Arc::new(other));
        assert_eq!(
            index.find("a.com").map(|served| served.id.as_str()),
            Some("a.com")
        );
    }
}
