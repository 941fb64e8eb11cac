//! The bootstrap part: sockets, limits and logs of the process itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Serialize;

use super::AccessLog;

/// How the gateway itself listens, limits and logs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Server {
    /// Addresses to listen on; at least one.
    pub listen: Vec<SocketAddr>,
    /// Certificate of the listeners; `None` serves plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// Further listeners, whose certificates come as objects; `None` for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<Https>,
    /// Longest request body, in bytes; a longer one is refused with 413.
    pub max_body_bytes: u64,
    /// Longest request head (request line and headers together), in bytes; a longer one is refused with 431.
    pub max_header_bytes: u64,
    /// Most header lines in a request; more are refused with 431.
    pub max_headers: u64,
    /// Longest target of a request (path and query), in bytes; a longer one is refused with 414.
    pub max_uri_bytes: u64,
    /// Most clients that are connected at once; further ones are closed. `None`: [`Server::DEFAULT_MAX_CONNECTIONS`], or fewer
    /// if the process may not open enough files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<usize>,
    /// Most calls at once on one HTTP/2 connection; further ones are refused.
    pub max_streams: u32,
    /// Wrong keys of one address in a minute that are answered with 401; further ones are answered with 429. `None` counts
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_wrong_keys: Option<u32>,
    /// Where the gateway may connect to.
    #[serde(skip_serializing_if = "Egress::is_default")]
    pub egress: Egress,
    /// How long a client may take for the TLS handshake, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// How long a client may take to send the head of a request, in milliseconds.
    pub header_timeout_ms: u64,
    /// How long a client may take to send the body of a request, in milliseconds.
    pub body_timeout_ms: u64,
    /// How long a connection may stay open between two requests, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long a client may take nothing of an answer, in milliseconds.
    pub send_timeout_ms: u64,
    /// Whether a client that has ended its side of the connection still gets its answer.
    pub half_close: bool,
    /// How long a client of a stream may get nothing before it is told that the answer is still to come, in milliseconds.
    pub keep_alive_ms: u64,
    /// How long calls in flight may go on after the process was told to stop, in milliseconds.
    pub drain_ms: u64,
    /// How long a new process may take until it serves, when the binary is exchanged while it runs, in milliseconds.
    pub upgrade_timeout_ms: u64,
    /// How long calls of the old process may go on after the new one has taken over, in milliseconds.
    pub upgrade_drain_ms: u64,
    /// Most memory of the process, in bytes; `None`: the limit of its control group, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_memory_bytes: Option<u64>,
    /// Most calls under way at once; further ones are refused with 503. `None` for any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u64>,
    /// Number of worker threads; `None` is one per core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// One line per call.
    pub access_log: AccessLog,
}

/// Where the gateway may connect to. What is written in the lists is an address, a network, a name, or `*.` and a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Egress {
    /// What objects may reach; `None`: everything that is not refused otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// What nobody may reach.
    pub deny: Vec<String>,
    /// Whether metadata services of clouds may be reached.
    pub metadata: bool,
}

impl Egress {
    pub(super) fn is_default(&self) -> bool {
        *self == Egress::default()
    }
}

/// Certificate of the listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerTls {
    /// PEM file with the certificate chain, leaf first.
    pub cert_file: String,
    /// PEM file with the private key.
    pub key_file: String,
}

/// Listeners for TLS. Which certificate a client is shown depends on the name it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Https {
    /// Addresses to listen on; at least one.
    pub listen: Vec<SocketAddr>,
    /// The name that stands for none, for clients that do not say whom they want.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_name: Option<String>,
    /// Versions of TLS that certificates allow when they do not say themselves; at least one.
    pub versions: Vec<TlsVersion>,
}

/// A version of TLS. Older ones are not spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum TlsVersion {
    /// 1.2.
    #[serde(rename = "TLSv1.2")]
    V1_2,
    /// 1.3.
    #[serde(rename = "TLSv1.3")]
    V1_3,
}

impl TlsVersion {
    /// All.
    pub const ALL: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

    /// Its name, as OpenSSL and NGINX write it.
    pub fn as_str(self) -> &'static str {
        match self {
            TlsVersion::V1_2 => "TLSv1.2",
            TlsVersion::V1_3 => "TLSv1.3",
        }
    }
}

impl Server {
    /// Loopback only: a gateway nobody configured must not be reachable by others.
    pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    /// What the vendors accept for requests with images and documents inside (OpenAI 50 MB with files, Anthropic 32 MB).
    pub const DEFAULT_MAX_BODY_BYTES: u64 = 32 * 1024 * 1024;
    /// Long tokens and tracing baggage fit; a flood of headers does not.
    pub const DEFAULT_MAX_HEADER_BYTES: u64 = 64 * 1024;
    /// SDKs send about twenty, proxies on the way add about ten.
    pub const DEFAULT_MAX_HEADERS: u64 = 100;
    /// As in nginx; no API has addresses of more than a few hundred bytes.
    pub const DEFAULT_MAX_URI_BYTES: u64 = 8 * 1024;
    /// An idle connection takes some 10 KiB: all of them take less than 1 GiB.
    pub const DEFAULT_MAX_CONNECTIONS: usize = 65_536;
    /// RFC 9113 recommends at least 100; an SDK that sends all calls over one connection may have more.
    pub const DEFAULT_MAX_STREAMS: u32 = 200;
    /// A person or a program with a wrong key stays far below it, and an office behind one address too; whoever tries keys
    /// does not.
    pub const DEFAULT_MAX_WRONG_KEYS: u32 = 1000;
    /// A handshake around the world takes well below a second.
    pub const DEFAULT_HANDSHAKE_TIMEOUT_MS: u64 = 10_000;
    /// As in nginx. While a client takes nothing, its provider waits too.
    pub const DEFAULT_SEND_TIMEOUT_MS: u64 = 60_000;
    /// A head is one packet or a few; who takes longer holds a connection for its own sake.
    pub const DEFAULT_HEADER_TIMEOUT_MS: u64 = 30_000;
    /// The longest body in one minute needs about 4.5 Mbit/s.
    pub const DEFAULT_BODY_TIMEOUT_MS: u64 = 60_000;
    /// Longer than the sixty seconds after which common load balancers close, so that they close first and no request
    /// is sent into a connection that is going away.
    pub const DEFAULT_IDLE_TIMEOUT_MS: u64 = 75_000;
    /// Well below the shortest time after which proxies on the way give up: common are thirty and sixty seconds.
    pub const DEFAULT_KEEP_ALIVE_MS: u64 = 15_000;
    /// Kubernetes kills a pod thirty seconds after it was told to stop.
    pub const DEFAULT_DRAIN_MS: u64 = 30_000;
    /// Secrets of managers and thousands of objects are read well within it.
    pub const DEFAULT_UPGRADE_TIMEOUT_MS: u64 = 60_000;
    /// Nobody waits for the old process, and its calls have time limits of their own.
    pub const DEFAULT_UPGRADE_DRAIN_MS: u64 = 3_600_000;
}

impl Default for Server {
    fn default() -> Self {
        Server {
            listen: vec![Server::DEFAULT_LISTEN],
            tls: None,
            https: None,
            max_body_bytes: Server::DEFAULT_MAX_BODY_BYTES,
            max_header_bytes: Server::DEFAULT_MAX_HEADER_BYTES,
            max_headers: Server::DEFAULT_MAX_HEADERS,
            max_uri_bytes: Server::DEFAULT_MAX_URI_BYTES,
            max_connections: None,
            max_streams: Server::DEFAULT_MAX_STREAMS,
            max_wrong_keys: Some(Server::DEFAULT_MAX_WRONG_KEYS),
            egress: Egress::default(),
            handshake_timeout_ms: Server::DEFAULT_HANDSHAKE_TIMEOUT_MS,
            header_timeout_ms: Server::DEFAULT_HEADER_TIMEOUT_MS,
            body_timeout_ms: Server::DEFAULT_BODY_TIMEOUT_MS,
            idle_timeout_ms: Server::DEFAULT_IDLE_TIMEOUT_MS,
            send_timeout_ms: Server::DEFAULT_SEND_TIMEOUT_MS,
            half_close: false,
            keep_alive_ms: Server::DEFAULT_KEEP_ALIVE_MS,
            drain_ms: Server::DEFAULT_DRAIN_MS,
            upgrade_timeout_ms: Server::DEFAULT_UPGRADE_TIMEOUT_MS,
            upgrade_drain_ms: Server::DEFAULT_UPGRADE_DRAIN_MS,
            max_memory_bytes: None,
            max_calls: None,
            workers: None,
            access_log: AccessLog::default(),
        }
    }
}
