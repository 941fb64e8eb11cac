//! Where traces and log records of calls go.

use serde::{Deserialize, Serialize};

use super::UpstreamTls;
use crate::named::Named;
use crate::secret::SecretRef;

/// What is traced, and where it goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Traces {
    /// Where it goes.
    #[serde(flatten)]
    pub collector: Collector,
    /// The share of traces that begin here and are kept, from 0 to 1.
    pub sample: f64,
    /// Whether a call that fails is kept although the share says no.
    pub always_on_error: bool,
    /// Whether spans tell what was asked and answered.
    pub prompts: bool,
    /// Whether the collector gets a log record of every call too.
    pub logs: bool,
}

/// A server that takes OpenTelemetry's protocol (OTLP), and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Collector {
    /// Its base address.
    pub endpoint: String,
    /// How OTLP travels.
    pub protocol: OtlpProtocol,
    /// Sent with every request.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub headers: Named<SecretRef>,
    /// How the connection is secured, where the address is of `https`.
    pub tls: UpstreamTls,
    /// For one request, connecting included, in milliseconds.
    pub timeout_ms: u64,
    /// How long calls wait for others before they are sent, in milliseconds.
    pub flush_interval_ms: u64,
    /// Calls in one request at most.
    pub batch: usize,
    /// Calls that wait at most.
    pub queue: usize,
    /// Bytes of all calls that wait at most.
    pub queue_bytes: u64,
    /// The name of this service.
    pub service_name: String,
    /// Further attributes of this service.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub resource: Named<String>,
}

/// How OTLP travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// In HTTP requests (`http/protobuf`), usually at port 4318.
    #[default]
    Http,
    /// By gRPC, usually at port 4317.
    Grpc,
}

impl Collector {
    /// As OpenTelemetry's SDKs.
    pub const DEFAULT_TIMEOUT_MS: u64 = 10_000;
    /// Traces are looked at while something happens; a second is short for a reader and long for a batch.
    pub const DEFAULT_FLUSH_INTERVAL_MS: u64 = 1_000;
    /// As OpenTelemetry's SDKs.
    pub const DEFAULT_BATCH: usize = 512;
    /// Minutes of a busy gateway while the collector restarts.
    pub const DEFAULT_QUEUE: usize = 16_384;
    /// A call without prompts has about 2 KB.
    pub const DEFAULT_QUEUE_BYTES: u64 = 64 * 1024 * 1024;
    /// The name of this service, unless it has one of its own.
    pub const DEFAULT_SERVICE_NAME: &'static str = "tollgate";
}
