//! Finds the route of a path: exact patterns first, then the longest prefix.

use foldhash::HashMap;
use tollgate_resources::model::UriPattern;

/// Patterns and what they lead to.
#[derive(Debug, Default)]
pub struct RouteTable {
    exact: HashMap<String, Vec<usize>>,
    /// Longest first.
    prefixes: Vec<(String, usize)>,
}

impl RouteTable {
    /// Adds a pattern that leads to `route`.
    pub fn insert(&mut self, pattern: &UriPattern, route: usize) {
        match pattern.prefix() {
            None => self
                .exact
                .entry(pattern.as_str().to_owned())
                .or_default()
                .push(route),
            Some(prefix) => {
                let position = self
                    .prefixes
                    .partition_point(|(other, _)| other.len() >= prefix.len());
                self.prefixes.insert(position, (prefix.to_owned(), route));
            }
        }
    }

    /// The routes whose patterns fit `path`, most specific first.
    pub fn candidates<'a>(&'a self, path: &'a str) -> impl Iterator<Item = usize> + 'a {
        let exact = self.exact.get(path).into_iter().flatten().copied();
        exact.chain(
            self.prefixes
                .iter()
                .filter(move |(prefix, _)| path.starts_with(prefix.as_str()))
                .map(|(_, route)| *route),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::RouteTable;
    use tollgate_resources::model::UriPattern;

    #[test]
    fn exact_beats_prefix_and_long_beats_short() {
        let mut table = RouteTable::default();
        for (route, pattern) in ["/v1/*", "/v1/models/*", "/v1/models"].into_iter().enumerate() {
            table.insert(&UriPattern::new(pattern).unwrap(), route);
        }
        assert_eq!(table.candidates("/v1/models").collect::<Vec<_>>(), [2, 0]);
        assert_eq!(table.candidates("/v1/models/x").collect::<Vec<_>>(), [1, 0]);
        assert_eq!(table.candidates("/v2").count(), 0);
    }
}
