//! Where conversations of OpenAI's Responses API are kept.

use serde::{Deserialize, Serialize};

use super::UpstreamTls;
use crate::secret::SecretRef;

/// Where conversations of OpenAI's Responses API are kept, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Responses {
    /// Where; `None` is a file if a data directory was named, else memory.
    pub store: Option<ResponsesHome>,
    /// How long after its last turn, in seconds.
    pub ttl_s: u64,
    /// Bytes of all of them together, in a file or in memory; `None` is [`Responses::DEFAULT_FILE_BYTES`] or
    /// [`Responses::DEFAULT_MEMORY_BYTES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size_bytes: Option<u64>,
    /// Bytes of one turn; a longer one is not kept.
    pub max_turn_bytes: u64,
    /// Where Redis is, if they are kept there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
}

/// Where conversations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResponsesHome {
    /// In a file of the data directory, encrypted.
    Embedded,
    /// In memory: they end with the process.
    Memory,
    /// In Redis, which several gateways share.
    Redis,
    /// At the provider: `previous_response_id` and `store` reach it as the client sent them.
    Passthrough,
    /// Nowhere: `previous_response_id` is refused.
    Off,
}

/// Where a Redis is, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Redis {
    /// The servers.
    pub servers: RedisServers,
    /// The user of Redis' access control list; without one, the default user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Its password; without one nobody signs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// The user at the sentinels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel_username: Option<String>,
    /// Its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel_password: Option<SecretRef>,
    /// Number of the database.
    pub database: u32,
    /// How long an answer is waited for, connecting included, in milliseconds.
    pub timeout_ms: u64,
    /// How connections are secured; `None` for not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
}

/// Which servers there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisServers {
    /// A single one.
    One(HostPort),
    /// A cluster; some of its nodes.
    Cluster(Vec<HostPort>),
    /// The master that sentinels name.
    Sentinels {
        /// Some of the sentinels.
        addresses: Vec<HostPort>,
        /// The name of the master.
        master: String,
    },
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`, `[address]:port`, or either without a port. `None` if it is neither.
    pub fn parse(text: &str, default_port: u16) -> Option<HostPort> {
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address without a port has colons too.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
            _ => (text, default_port),
        };
        let host = host
            .strip_prefix('[')
            .map_or(Some(host), |inner| inner.strip_suffix(']'))?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        (!host.is_empty() && host.chars().all(is_name)).then(|| HostPort {
            host: host.to_owned(),
            port,
        })
    }
}

impl Responses {
    /// What OpenAI keeps them for.
    pub const DEFAULT_TTL_S: u64 = 30 * 24 * 3600;
    /// Some hundred thousand turns of text.
    pub const DEFAULT_FILE_BYTES: u64 = 1024 * 1024 * 1024;
    /// Some ten thousand turns of text, in a process that has other things to keep.
    pub const DEFAULT_MEMORY_BYTES: u64 = 64 * 1024 * 1024;
    /// A turn with several images fits.
    pub const DEFAULT_TURN_BYTES: u64 = 16 * 1024 * 1024;
    /// A whole turn crosses a local network well within it.
    pub const DEFAULT_REDIS_TIMEOUT_MS: u64 = 1000;

    /// Whether nothing was said about it.
    pub fn is_default(&self) -> bool {
        *self == Responses::default()
    }
}

impl Default for Responses {
    fn default() -> Self {
        Responses {
            store: None,
            ttl_s: Responses::DEFAULT_TTL_S,
            max_size_bytes: None,
            max_turn_bytes: Responses::DEFAULT_TURN_BYTES,
            redis: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_port_or_get_one() {
        for (text, host, port) in [
            ("10.0.0.1:7000", "10.0.0.1", 7000),
            ("redis", "redis", 6379),
            ("[::1]:7000", "::1", 7000),
            ("[::1]", "::1", 6379),
            ("::1", "::1", 6379),
        ] {
            let host = host.to_owned();
            assert_eq!(
                HostPort::parse(text, 6379),
                Some(HostPort { host, port }),
                "{text}"
            );
        }
        for text in [
            "",
            "redis:",
            ":7000",
            "redis:70000",
            "redis:x",
            "redis://a:1",
            "[::1:5",
            "a b",
        ] {
            assert_eq!(HostPort::parse(text, 6379), None, "{text}");
        }
    }
}
