//! Finds the route of a host and a path, in the order of APISIX's `radixtree_host_uri`.
//!
//! Knows patterns and their order, and nothing of what a route is: the caller says for each candidate whether it takes
//! the call (method, address, expressions). A copy of a router shares everything with the original, and a change copies
//! only the way to the place that changes, so that a snapshot with one more route costs microseconds.
//!
//! The order: a host written out, then hosts with a leading wildcard, longest first, then routes of any host. Within a
//! host: paths written out, then the patterns with the longest literal beginning. Among patterns with the same
//! beginning: the higher priority, then the longer pattern, then the older route, then the smaller one, so that the order
//! never depends on that of insertion.

mod pattern;
mod tree;

use std::fmt;
use std::sync::Arc;

pub use pattern::{HostPattern, HostPatternError, Pattern, PatternError};

use tree::{Slot, Tree};

/// Routes by host and path. Clones are cheap and independent of each other.
pub struct Router<R> {
    hosts: Tree<HostPaths<R>>,
    any_host: Paths<R>,
    len: usize,
}

/// Which of two routes with the same pattern is tried first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rank {
    /// Higher is tried first.
    pub priority: i64,
    /// The order of creation; among equal priorities lower is tried first.
    pub sequence: u64,
}

/// A route that takes the call, and how it was found.
#[derive(Debug)]
pub struct Found<'a, R> {
    /// The route.
    pub route: &'a Arc<R>,
    /// The named parts of the path (`:id`, `*rest`), in the order of the pattern.
    pub params: Vec<(Arc<str>, String)>,
    /// The pattern that fits, as it was written.
    pub pattern: &'a str,
    /// The host that fits, in lower case; `None` if the route takes any.
    pub host: Option<&'a Arc<str>>,
}

impl<R> Router<R> {
    /// Adds a route under one pattern. `None` as host means any host. Of routes with the same rank the smaller is tried
    /// first.
    pub fn insert(&mut self, host: Option<&HostPattern>, pattern: &Pattern, rank: Rank, route: Arc<R>)
    where
        R: Ord,
    {
        let entry = Arc::new(Entry {
            rank,
            pattern: pattern.clone(),
            host: host.map(|host| host.as_str().into()),
            route,
        });
        let paths = match host {
            None => &mut self.any_host,
            Some(host) => self.hosts.slot_mut(host.reversed()).of_mut(host),
        };
        paths.slot_mut(pattern.beginning()).insert(entry);
        self.len += 1;
    }

    /// Removes the routes under exactly this host and pattern for which `is` says yes.
    pub fn remove(&mut self, host: Option<&HostPattern>, pattern: &Pattern, is: impl Fn(&R) -> bool) {
        let paths = match host {
            None => Some(&self.any_host),
            Some(host) => self.hosts.get(host.reversed()).map(|paths| paths.of(host)),
        };
        let is = |entry: &Entry<R>| entry.pattern == *pattern && is(&entry.route);
        let removed = paths
            .and_then(|paths| paths.get(pattern.beginning()))
            .map_or(0, |slot| {
                slot.of(pattern).iter().filter(|entry| is(entry)).count()
            });
        if removed == 0 {
            return;
        }
        let remove = |paths: &mut Paths<R>| {
            paths.change(pattern.beginning(), |slot| {
                slot.of_mut(pattern).retain(|entry| !is(entry))
            });
        };
        match host {
            None => remove(&mut self.any_host),
            Some(host) => self
                .hosts
                .change(host.reversed(), |paths| remove(paths.of_mut(host))),
        }
        self.len -= removed;
    }

    /// The first route in order that fits and that `accept` takes.
    ///
    /// `host` is the request's host without port, in any case; `path` is the decoded path without query.
    pub fn find<'a>(
        &'a self,
        host: &str,
        path: &'a str,
        mut accept: impl FnMut(&Arc<R>) -> bool,
    ) -> Option<Found<'a, R>> {
        if !self.hosts.is_empty() {
            // As in nginx, a fully qualified name is the same host.
            let host = host.strip_suffix('.').unwrap_or(host);
            let (mut usual, mut longer) = ([0; MAX_HOST_BYTES], Vec::new());
            let key = match usual.get_mut(..host.len()) {
                Some(key) => key,
                None => {
                    longer.resize(host.len(), 0);
                    &mut longer
                }
            };
            for (to, from) in key.iter_mut().zip(host.bytes().rev()) {
                *to = from.to_ascii_lowercase();
            }
            let way = self.hosts.way(key, |paths| !paths.wildcard.is_empty());
            let exact = way.end().map(|paths| &paths.exact);
            let wildcards = way.deepest_first().map(|paths| &paths.wildcard);
            for paths in exact.into_iter().chain(wildcards) {
                if let Some(found) = find_path(paths, path, &mut accept) {
                    return Some(found);
                }
            }
        }
        find_path(&self.any_host, path, &mut accept)
    }

    /// How many pairs of host and pattern lead to a route.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no route at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

fn find_path<'a, R>(
    paths: &'a Paths<R>,
    path: &'a str,
    accept: &mut impl FnMut(&Arc<R>) -> bool,
) -> Option<Found<'a, R>> {
    let way = paths.way(path.as_bytes(), |slot| !slot.open.is_empty());
    // The way has ended with the whole path, and their patterns are nothing else: no need to look at them.
    let mut exact = way.end().into_iter().flat_map(|slot| &slot.exact);
    if let Some(entry) = exact.find(|entry| accept(&entry.route)) {
        return Some(Found {
            route: &entry.route,
            params: Vec::new(),
            pattern: path,
            host: entry.host.as_ref(),
        });
    }
    let mut open = way.deepest_first().flat_map(|slot| &slot.open);
    open.find(|entry| entry.pattern.fits(path) && accept(&entry.route))
        .map(|entry| Found {
            route: &entry.route,
            params: entry.pattern.params(path),
            pattern: entry.pattern.as_str(),
            host: entry.host.as_ref(),
        })
}

impl<R> Default for Router<R> {
    fn default() -> Self {
        Router {
            hosts: Tree::default(),
            any_host: Tree::default(),
            len: 0,
        }
    }
}

impl<R> Clone for Router<R> {
    fn clone(&self) -> Self {
        Router {
            hosts: self.hosts.clone(),
            any_host: self.any_host.clone(),
            len: self.len,
        }
    }
}

impl<R> fmt::Debug for Router<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Routes by the literal beginning of their pattern.
type Paths<R> = Tree<Candidates<R>>;

/// What belongs to one host name, or to one end of host names.
struct HostPaths<R> {
    exact: Paths<R>,
    /// Routes of `*` followed by the name.
    wildcard: Paths<R>,
}

impl<R> HostPaths<R> {
    fn of(&self, host: &HostPattern) -> &Paths<R> {
        if host.is_wildcard() {
            &self.wildcard
        } else {
            &self.exact
        }
    }

    fn of_mut(&mut self, host: &HostPattern) -> &mut Paths<R> {
        if host.is_wildcard() {
            &mut self.wildcard
        } else {
            &mut self.exact
        }
    }
}

impl<R> Slot for HostPaths<R> {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty()
    }
}

impl<R> Default for HostPaths<R> {
    fn default() -> Self {
        HostPaths {
            exact: Tree::default(),
            wildcard: Tree::default(),
        }
    }
}

impl<R> Clone for HostPaths<R> {
    fn clone(&self) -> Self {
        HostPaths {
            exact: self.exact.clone(),
            wildcard: self.wildcard.clone(),
        }
    }
}

/// Routes whose patterns share their literal beginning, each list in the order of trying.
struct Candidates<R> {
    /// Patterns that are nothing but the beginning.
    exact: Vec<Arc<Entry<R>>>,
    /// Patterns that go on with a parameter or a `*`.
    open: Vec<Arc<Entry<R>>>,
}

struct Entry<R> {
    rank: Rank,
    pattern: Pattern,
    host: Option<Arc<str>>,
    route: Arc<R>,
}

impl<R> Candidates<R> {
    fn insert(&mut self, entry: Arc<Entry<R>>)
    where
        R: Ord,
    {
        let list = self.of_mut(&entry.pattern);
        let position = list.partition_point(|other| other.order() <= entry.order());
        list.insert(position, entry);
    }

    fn of(&self, pattern: &Pattern) -> &Vec<Arc<Entry<R>>> {
        if pattern.is_exact() {
            &self.exact
        } else {
            &self.open
        }
    }

    fn of_mut(&mut self, pattern: &Pattern) -> &mut Vec<Arc<Entry<R>>> {
        if pattern.is_exact() {
            &mut self.exact
        } else {
            &mut self.open
        }
    }
}

impl<R> Entry<R> {
    /// Lower is tried first.
    fn order(&self) -> impl Ord
    where
        R: Ord,
    {
        use std::cmp::Reverse;
        (
            Reverse(self.rank.priority),
            Reverse(self.pattern.as_str().len()),
            self.rank.sequence,
            &self.route,
        )
    }
}

impl<R> Slot for Candidates<R> {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.open.is_empty()
    }
}

impl<R> Default for Candidates<R> {
    fn default() -> Self {
        Candidates {
            exact: Vec::new(),
            open: Vec::new(),
        }
    }
}

impl<R> Clone for Candidates<R> {
    fn clone(&self) -> Self {
        Candidates {
            exact: self.exact.clone(),
            open: self.open.clone(),
        }
    }
}

/// Host names of DNS are at most this long; only longer ones cost an allocation.
const MAX_HOST_BYTES: usize = 253;
