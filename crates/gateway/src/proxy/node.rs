//! The servers of an upstream, as configurations write them.

use std::sync::Arc;

use http::HeaderValue;
use tollgate_resources::objects::{Node as Conf, Nodes};

use crate::health::OnDuty;

/// One server.
pub struct Node {
    /// `host:port`, as the log names it.
    pub name: Arc<str>,
    /// Name or address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The `Host` that means this node: without the port where it is the scheme's own.
    pub authority: HeaderValue,
    /// What checks found; `None` where nobody checks.
    pub checked: Option<Arc<OnDuty>>,
}

/// A server's place, before anything is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name or address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Share of the calls; 0 takes none.
    pub weight: u32,
    /// Larger is used first.
    pub priority: i32,
}

impl Place {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn name(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }

    /// What to send as `Host`: the port is left out where it is the scheme's own.
    pub fn authority(&self, default_port: u16) -> String {
        if self.port == default_port {
            bracketed(&self.host)
        } else {
            self.name()
        }
    }
}

/// Reads the servers of an upstream. Of two entries for the same server and priority the later one counts.
///
/// # Errors
/// An entry without a host.
pub fn places(nodes: &Nodes, default_port: u16) -> Result<Vec<Place>, String> {
    let written: Vec<Conf> = match nodes {
        Nodes::List(list) => list.clone(),
        Nodes::Map(map) => map
            .iter()
            .map(|(host, weight)| Conf {
                host: host.clone(),
                port: None,
                weight: *weight,
                priority: 0,
            })
            .collect(),
    };
    let mut places: Vec<Place> = Vec::with_capacity(written.len());
    for conf in written {
        let (host, own_port) = split(&conf.host);
        if host.is_empty() {
            return Err(format!("the node `{}` has no host", conf.host));
        }
        let place = Place {
            host: host.to_owned(),
            port: conf.port.or(own_port).unwrap_or(default_port),
            weight: conf.weight,
            priority: conf.priority,
        };
        let same = places.iter_mut().find(|other| {
            (&other.host, other.port, other.priority) == (&place.host, place.port, place.priority)
        });
        match same {
            Some(other) => *other = place,
            None => places.push(place),
        }
    }
    Ok(places)
}

/// Host and port of `host:port`, `[v6]:port`, a bare IPv6 address, or a host alone.
fn split(text: &str) -> (&str, Option<u16>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (text, None),
        },
        _ => (text, None),
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tollgate_resources::objects::Nodes;

    use super::{Place, places, split};

    #[test]
    fn hosts_may_carry_their_port() {
        for (text, host, port) in [
            ("127.0.0.1:1980", "127.0.0.1", Some(1980)),
            ("api.example.com", "api.example.com", None),
            ("[::1]:8080", "::1", Some(8080)),
            ("[::1]", "::1", None),
            ("::1", "::1", None),
        ] {
            assert_eq!(split(text), (host, port), "{text}");
        }
    }

    #[test]
    fn a_node_without_port_has_that_of_the_scheme() {
        let nodes = Nodes::Map(BTreeMap::from([
            ("a.example".to_owned(), 1),
            ("b.example:81".to_owned(), 0),
        ]));
        let found = places(&nodes, 443).unwrap();
        let place = |host: &str, port, weight| Place {
            host: host.to_owned(),
            port,
            weight,
            priority: 0,
        };
        assert_eq!(found, [place("a.example", 443, 1), place("b.example", 81, 0)]);
        assert_eq!(found[0].authority(443), "a.example");
        assert_eq!(found[1].authority(443), "b.example:81");
        assert_eq!(place("::1", 80, 1).authority(80), "[::1]");
    }
}
