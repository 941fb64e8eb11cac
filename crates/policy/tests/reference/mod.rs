//! The router as one would explain it on paper: a list that is filtered and sorted for every call. Slow and obvious,
//! to compare the real one with. Used by the tests and by the fuzz target `route_match`.

use std::cmp::Reverse;
use std::sync::Arc;

use tollgate_policy::router::{HostPattern, Pattern, Rank, Router};

/// What happens to a router.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// Adds a route. Texts that are no patterns are passed over.
    Insert {
        host: Option<String>,
        pattern: String,
        priority: i64,
    },
    /// Removes the nth of the routes that are there, if there are so many.
    Remove(usize),
    /// Compares all candidates of a call.
    Find { host: String, path: String },
}

#[derive(Debug, Clone)]
struct Route {
    host: Option<String>,
    pattern: String,
    rank: Rank,
}

/// Runs commands against the router and against the list.
///
/// # Panics
/// They differ.
pub(crate) fn compare(commands: &[Command]) {
    let mut router = Router::<u64>::default();
    let mut routes: Vec<Route> = Vec::new();
    let mut copies = Vec::new();
    for (step, command) in commands.iter().enumerate() {
        match command {
            Command::Insert {
                host,
                pattern,
                priority,
            } => {
                let parsed_host = host.as_deref().map(HostPattern::parse).transpose();
                let (Ok(parsed_host), Ok(parsed)) = (parsed_host, Pattern::parse(pattern)) else {
                    continue;
                };
                copies.push((router.clone(), routes.clone()));
                let rank = Rank {
                    priority: *priority,
                    sequence: step as u64,
                };
                router.insert(parsed_host.as_ref(), &parsed, rank, Arc::new(rank.sequence));
                routes.push(Route {
                    host: host.as_ref().map(|host| host.to_ascii_lowercase()),
                    pattern: pattern.clone(),
                    rank,
                });
            }
            Command::Remove(nth) => {
                if *nth >= routes.len() {
                    continue;
                }
                copies.push((router.clone(), routes.clone()));
                let route = routes.remove(*nth);
                let host = route
                    .host
                    .as_deref()
                    .map(|host| HostPattern::parse(host).unwrap());
                let pattern = Pattern::parse(&route.pattern).unwrap();
                router.remove(host.as_ref(), &pattern, |sequence| {
                    *sequence == route.rank.sequence
                });
            }
            Command::Find { host, path } => assert_same(&router, &routes, host, path),
        }
        assert_eq!(router.len(), routes.len());
        assert_eq!(router.is_empty(), routes.is_empty());
    }
    // Later changes did not reach the copies.
    for command in commands {
        if let Command::Find { host, path } = command {
            assert_same(&router, &routes, host, path);
            for (router, routes) in &copies {
                assert_same(router, routes, host, path);
            }
        }
    }
    // Nothing is left behind, not even a node that a later look-up would pass.
    for route in &routes {
        let host = route
            .host
            .as_deref()
            .map(|host| HostPattern::parse(host).unwrap());
        router.remove(host.as_ref(), &Pattern::parse(&route.pattern).unwrap(), |_| true);
    }
    assert!(router.is_empty());
}

/// All candidates are offered in the same order, and each one is found with parameters that make up the path.
fn assert_same(router: &Router<u64>, routes: &[Route], host: &str, path: &str) {
    let expected = candidates(routes, host, path);
    let mut offered = Vec::new();
    let none = router.find(host, path, |sequence| {
        offered.push(**sequence);
        false
    });
    assert!(none.is_none());
    let sequences: Vec<u64> = expected.iter().map(|route| route.rank.sequence).collect();
    assert_eq!(offered, sequences, "{host} {path} {routes:?}");
    for route in expected {
        let found = router
            .find(host, path, |sequence| **sequence == route.rank.sequence)
            .unwrap();
        assert_eq!(found.pattern, route.pattern);
        assert_params(found.pattern, &found.params, path);
    }
}

fn candidates<'a>(routes: &'a [Route], host: &str, path: &str) -> Vec<&'a Route> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let mut fitting: Vec<&Route> = routes
        .iter()
        .filter(|route| match route.host.as_deref() {
            None => true,
            Some(pattern) => match pattern.strip_prefix('*') {
                Some(end) => host.ends_with(end),
                None => host == pattern,
            },
        })
        .filter(|route| fits(&route.pattern, path, true))
        .collect();
    fitting.sort_by_key(|route| {
        let host = match route.host.as_deref() {
            Some(host) if !host.starts_with('*') => (0, Reverse(0)),
            Some(host) => (1, Reverse(host.len())),
            None => (2, Reverse(0)),
        };
        let literal = literal_len(&route.pattern);
        (
            host,
            literal != route.pattern.len(),
            Reverse(literal),
            Reverse(route.rank.priority),
            Reverse(route.pattern.len()),
            route.rank.sequence,
        )
    });
    fitting
}

/// Tries every length for every parameter.
fn fits(pattern: &str, path: &str, segment_begins: bool) -> bool {
    let mut lengths = (0..=path.len()).filter(|length| path.is_char_boundary(*length));
    let after_name = |pattern: &str| pattern.find('/').unwrap_or(pattern.len());
    match pattern.chars().next() {
        None => path.is_empty(),
        Some(':') if segment_begins => {
            let rest = &pattern[after_name(pattern)..];
            lengths.any(|length| {
                length > 0 && !path[..length].contains('/') && fits(rest, &path[length..], false)
            })
        }
        Some('*') => {
            let rest = &pattern[after_name(pattern)..];
            lengths.any(|length| fits(rest, &path[length..], false))
        }
        Some(literal) => path
            .strip_prefix(literal)
            .is_some_and(|path| fits(&pattern[literal.len_utf8()..], path, literal == '/')),
    }
}

fn literal_len(pattern: &str) -> usize {
    let star = pattern.find('*').unwrap_or(pattern.len());
    let parameter = pattern.find("/:").map_or(pattern.len(), |slash| slash + 1);
    star.min(parameter)
}

/// Put back into a pattern, the parameters give the path.
fn assert_params(pattern: &str, params: &[(Arc<str>, String)], path: &str) {
    let mut params = params.iter();
    let mut built = String::new();
    // What stands before a rest without a name; values may have stars of their own.
    let mut before = None;
    for (number, segment) in pattern.split('/').enumerate() {
        if number > 0 {
            built.push('/');
        }
        if let Some(name) = segment.strip_prefix([':', '*']).filter(|name| !name.is_empty()) {
            let (known, value) = params.next().expect("every name has a value");
            assert_eq!(&**known, name);
            assert!(segment.starts_with('*') || (!value.is_empty() && !value.contains('/')));
            built.push_str(value);
        } else if let Some((left, right)) = segment.split_once('*') {
            built.push_str(left);
            before = Some(std::mem::replace(&mut built, right.to_owned()));
        } else {
            built.push_str(segment);
        }
    }
    assert!(params.next().is_none());
    match before {
        Some(before) => assert!(path.starts_with(&before) && path.ends_with(&built)),
        None => assert_eq!(built, path),
    }
}
