//! Where and how telemetry is sent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::outbound::{Address, ClientConfig};

/// How to reach a collector.
#[derive(Clone)]
pub struct Settings {
    /// Its base address. For HTTP, the path of the signal is added to its path.
    pub endpoint: Address,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Sent with every request, such as `authorization`.
    pub headers: HeaderMap,
    /// For one request, connection included.
    pub timeout: Duration,
    /// Trust for addresses of `https`.
    pub tls: Arc<ClientConfig>,
    /// Who sends.
    pub resource: Resource,
    /// Entries (one per call) that wait at most.
    pub queue: usize,
    /// Bytes of all those entries at most.
    pub queue_bytes: usize,
    /// Entries of one request at most.
    pub batch: usize,
    /// How long entries wait for others.
    pub flush_interval: Duration,
}

/// How OTLP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Unary calls of gRPC over HTTP/2.
    Grpc,
    /// Protocol Buffers in the bodies of HTTP/1.1 requests.
    Http,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
}

/// Who sends: the service as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `service.name`.
    pub service_name: String,
    /// `service.version`: ours.
    pub service_version: String,
    /// `service.instance.id`: this process.
    pub service_instance: String,
    /// Further attributes, such as `deployment.environment.name`.
    pub attributes: Vec<(String, String)>,
}

impl Signal {
    /// The name in paths and our own log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Logs => "logs",
        }
    }

    /// The path of the method of gRPC.
    pub(super) fn method(self) -> &'static str {
        match self {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }

    /// The path of an HTTP request to a collector at this base address.
    pub(super) fn path(self, endpoint: &Address) -> String {
        let base = endpoint.path().path().trim_end_matches('/');
        match endpoint.path().query() {
            Some(query) => format!("{base}/v1/{}?{query}", self.name()),
            None => format!("{base}/v1/{}", self.name()),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the headers, which hold credentials.
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint.to_string())
            .field("protocol", &self.protocol)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}
