//! How an instance is asked whether it is well.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tollgate_policy::health::Rules;

use crate::ai::config::{ActiveCheck, CheckKind};

/// How an instance is asked whether it is well.
#[derive(Clone, PartialEq)]
pub struct Check {
    /// What a check is.
    pub kind: CheckKind,
    /// Who is asked.
    pub target: CheckTarget,
    /// The port that is asked, if not that of calls.
    pub port: Option<u16>,
    /// The name in certificates.
    pub server_name: String,
    /// The `host` header.
    pub authority: HeaderValue,
    /// Method of the request.
    pub method: Method,
    /// Path and query of the request. May hold a credential.
    pub path: String,
    /// Further headers. May hold credentials.
    pub headers: HeaderMap,
    /// Body of the request.
    pub body: Bytes,
    /// Whether certificates are checked.
    pub verify: bool,
    /// How long one check may take.
    pub timeout: Duration,
    /// Checks at once.
    pub concurrency: usize,
    /// How long after a check an address that is well is asked again.
    pub interval_healthy: Duration,
    /// How long after a check an address that is ill is asked again.
    pub interval_unhealthy: Duration,
    /// When the state changes.
    pub rules: Rules,
}

/// Where calls of an instance go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckTarget {
    /// Name or address, without port and brackets.
    pub host: String,
    /// Port of calls.
    pub port: u16,
    /// The `host` header of calls.
    pub authority: HeaderValue,
}

/// Credentials that checks send as calls do.
pub struct Credentials<'a> {
    /// Headers: names and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// Arguments of the query, encoded; empty for none.
    pub query: &'a str,
}

/// What of a check's requests is written in its configuration.
pub struct Sent {
    method: Method,
    headers: HeaderMap,
    /// The `host` that is named, if one is.
    host: Option<HeaderValue>,
    path: String,
}

impl Sent {
    /// Reads it.
    ///
    /// # Errors
    /// Something cannot be sent. The text names the field.
    pub fn new(conf: &ActiveCheck) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for line in conf.req_headers.iter().flatten() {
            let (name, value) = header(line).ok_or_else(|| {
                format!("checks.active.req_headers: `{line}` is not a header, write `Name: value`")
            })?;
            headers.append(name, value);
        }
        let host = conf.host.as_deref().map(HeaderValue::from_str).transpose();
        let host = host.map_err(|error| format!("checks.active.host: {error}"))?;
        let mut path = conf.http_path.clone();
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
        path.parse::<http::Uri>()
            .map_err(|error| format!("checks.active.http_path: {error}"))?;
        let method = Method::from_bytes(conf.http_method.as_bytes())
            .map_err(|error| format!("checks.active.http_method: {error}"))?;
        Ok(Sent {
            method,
            host: headers.remove(HOST).or(host),
            headers,
            path,
        })
    }
}

impl Check {
    /// Compiles a check.
    ///
    /// # Errors
    /// Something cannot be sent. The text names the field.
    pub fn new(conf: &ActiveCheck, target: CheckTarget, with: &Credentials<'_>) -> Result<Self, String> {
        let Sent {
            method,
            mut headers,
            host,
            mut path,
        } = Sent::new(conf)?;
        for (name, value) in with.headers {
            let unusable = || format!("auth.header: `{name}` cannot be sent in a check");
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| unusable())?;
            value.set_sensitive(true);
            if !headers.get_all(&name).iter().any(|there| *there == value) {
                headers.append(name, value);
            }
        }
        let authority = host
            .or_else(|| headers.remove(HOST))
            .unwrap_or_else(|| target.authority.clone());
        if !with.query.is_empty() {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(with.query);
        }
        let server_name = conf.host.as_deref().map_or(target.host.as_str(), without_port);
        Ok(Check {
            kind: conf.kind,
            port: conf.port,
            server_name: server_name.to_owned(),
            authority,
            method,
            path,
            headers,
            body: Bytes::from(conf.http_req_body.clone()),
            verify: conf.https_verify_certificate,
            timeout: seconds(conf.timeout),
            concurrency: usize::try_from(conf.concurrency).unwrap_or(1).max(1),
            interval_healthy: Duration::from_secs(conf.healthy.interval.max(1)),
            interval_unhealthy: Duration::from_secs(conf.unhealthy.interval.max(1)),
            rules: Rules {
                good_statuses: conf.healthy.http_statuses.clone(),
                bad_statuses: conf.unhealthy.http_statuses.clone(),
                successes: conf.healthy.successes,
                http_failures: conf.unhealthy.http_failures,
                tcp_failures: conf.unhealthy.tcp_failures,
                timeouts: conf.unhealthy.timeouts,
            },
            target,
        })
    }
}

impl Check {
    /// Who is asked about an address that calls go to.
    pub fn asked_at(&self, address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip(), self.port.unwrap_or(address.port()))
    }
}

/// A line such as `User-Agent: curl`.
fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    // People write keys here.
    value.set_sensitive(true);
    Some((name, value))
}

/// A host without its port and brackets.
fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The configured time limit of a check. None or a negative one is taken for the shortest, as nothing could succeed.
fn seconds(timeout: f64) -> Duration {
    Duration::try_from_secs_f64(timeout)
        .unwrap_or_default()
        .clamp(SHORTEST, LONGEST)
}

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::{Check, CheckTarget, Credentials};
    use crate::ai::config::ActiveCheck;

    fn check(conf: serde_json::Value, with: &Credentials<'_>) -> Result<Check, String> {
        let conf: ActiveCheck = serde_json::from_value(conf).unwrap();
        let target = CheckTarget {
            host: "api.example.com".to_owned(),
            port: 443,
            authority: HeaderValue::from_static("api.example.com"),
        };
        Check::new(&conf, target, with)
    }

    const NOTHING: Credentials<'_> = Credentials {
        headers: &[],
        query: "",
    };

    #[test]
    fn credentials_of_calls_are_sent_too() {
        let with = Credentials {
            headers: &[("Authorization", "Bearer s"), ("X-Org", "o")],
            query: "key=a%20b",
        };
        let made = check(
            json!({"http_path": "/health?x=1", "req_headers": ["X-Org: o"]}),
            &with,
        )
        .unwrap();
        assert_eq!(made.path, "/health?x=1&key=a%20b");
        assert_eq!(made.headers["authorization"], "Bearer s");
        assert_eq!(made.headers.get_all("x-org").iter().count(), 1);
        assert!(made.headers["authorization"].is_sensitive());
        let plain = check(json!({"http_path": "health"}), &with).unwrap();
        assert_eq!(plain.path, "/health?key=a%20b");
    }

    #[test]
    fn the_host_of_a_check_is_told_in_header_and_handshake() {
        let made = check(json!({"host": "health.example.com:8443", "port": 8443}), &NOTHING).unwrap();
        assert_eq!(made.authority, "health.example.com:8443");
        assert_eq!(
            (made.server_name.as_str(), made.port),
            ("health.example.com", Some(8443))
        );
        let made = check(json!({}), &NOTHING).unwrap();
        assert_eq!(
            (made.authority.to_str().unwrap(), made.server_name.as_str()),
            ("api.example.com", "api.example.com")
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_name() {
        for (conf, field) in [
            (json!({"req_headers": ["no colon"]}), "req_headers"),
            (json!({"http_path": "/a b"}), "http_path"),
        ] {
            assert!(check(conf, &NOTHING).err().unwrap().contains(field));
        }
    }
}
