//! `traces`: what is traced, and where it goes.

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::ProviderTlsEntry;
use super::units::{Duration, Measure, Size};
use crate::check;
use crate::model::{Collector, OtlpProtocol, SIMULATED_SCHEME, Traces, UpstreamTls};
use crate::named::Named;
use crate::report::Report;
use crate::secret::SecretRef;
use crate::tree::Path;

/// Traces of calls for OpenTelemetry: one span for every call, with a child span for each attempt at a provider.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TracesEntry {
    /// Base address of the collector, such as `http://localhost:4318`. With `protocol: http`, `/v1/traces` is added.
    endpoint: String,
    /// `http` (protobuf over HTTP, usually port 4318) or `grpc` (usually port 4317). Default: `http`.
    protocol: Option<OtlpProtocol>,
    /// Sent with every request, such as `authorization`; values are secrets.
    #[serde(default)]
    headers: Named<SecretRef>,
    /// How the connection to an address of `https` is secured.
    tls: Option<ProviderTlsEntry>,
    /// The share of traces that begin here and are kept, from 0 to 1. Calls that come with a `traceparent` are kept if their
    /// client keeps them. Default: 1.
    sample: Option<f64>,
    /// `true` keeps calls that fail although the share says no. Default: `false`.
    always_on_error: Option<bool>,
    /// `true` puts what was asked and answered into spans. Default: `false`.
    prompts: Option<bool>,
    /// `true` sends a log record of every call to the collector too, whatever `sample` says. Default: `false`.
    logs: Option<bool>,
    /// The name of this service. Default: `tollgate`.
    service_name: Option<String>,
    /// Further attributes of this service, such as `deployment.environment.name`.
    #[serde(default)]
    resource: Named<String>,
    /// How long a request may take, connecting included. Default: `10s`.
    timeout: Option<Duration>,
    /// How long calls wait for others before they are sent. Default: `1s`.
    flush_interval: Option<Duration>,
    /// Calls in one request at most. Default: 512.
    batch: Option<usize>,
    /// Calls that wait at most while the collector is slow or away; more are dropped and counted. Default: 16384.
    queue: Option<usize>,
    /// Size of all calls that wait at most. Default: `64MiB`.
    queue_size: Option<Size>,
}

/// Lowers `traces`, which stands at this path.
pub(crate) fn lower(entry: Option<&TracesEntry>, path: &Path, report: &mut Report) -> Option<Traces> {
    let entry = entry?;
    let sample = entry.sample.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&sample) {
        report.mistake(&path.key("sample"), "must be a share from 0 to 1, such as `0.1`");
    }
    Some(Traces {
        collector: lower_collector(entry, path, report),
        sample,
        always_on_error: entry.always_on_error.unwrap_or(false),
        prompts: entry.prompts.unwrap_or(false),
        logs: entry.logs.unwrap_or(false),
    })
}

fn lower_collector(entry: &TracesEntry, path: &Path, report: &mut Report) -> Collector {
    let protocol = entry.protocol.unwrap_or_default();
    let endpoint = lower_endpoint(&entry.endpoint, protocol, &path.key("endpoint"), report);
    let mut headers = Named::new();
    for (name, value) in entry.headers.iter() {
        let path = path.key("headers").key(name);
        match check::header_name(name) {
            Ok(lower) if headers.contains(&lower) => report.mistake(&path, "the header is given twice"),
            Ok(lower) if OURS.contains(&lower.as_str()) => report.mistake(&path, "is set by the protocol"),
            Ok(lower) => drop(headers.insert(lower, value.clone())),
            Err(text) => report.mistake(&path, text),
        }
    }
    let tls = entry.tls.as_ref().map_or_else(UpstreamTls::default, |tls| {
        if tls.ca_file.as_ref().is_some_and(String::is_empty) {
            report.mistake(&path.key("tls").key("ca_file"), "the name of the file is empty");
        }
        UpstreamTls {
            ca_file: tls.ca_file.clone(),
            verify: tls.verify.unwrap_or(true),
        }
    });
    if entry.tls.is_some() && entry.endpoint.starts_with("http:") {
        report.mistake(
            &path.key("tls"),
            "the address is not of `https`, so nothing is secured; remove it",
        );
    }
    let mut at_least_one = |key: &str, written: Option<usize>, default: usize| {
        if written == Some(0) {
            report.mistake(&path.key(key), "must be at least 1");
        }
        written.unwrap_or(default)
    };
    let batch = at_least_one("batch", entry.batch, Collector::DEFAULT_BATCH);
    let queue = at_least_one("queue", entry.queue, Collector::DEFAULT_QUEUE);
    let service_name = entry.service_name.as_deref();
    if service_name.is_some_and(str::is_empty) {
        report.mistake(&path.key("service_name"), "the name is empty");
    }
    Collector {
        endpoint,
        protocol,
        headers,
        tls,
        timeout_ms: entry
            .timeout
            .map_or(Collector::DEFAULT_TIMEOUT_MS, Measure::value),
        flush_interval_ms: entry
            .flush_interval
            .map_or(Collector::DEFAULT_FLUSH_INTERVAL_MS, Measure::value),
        batch,
        queue,
        queue_bytes: entry
            .queue_size
            .map_or(Collector::DEFAULT_QUEUE_BYTES, Measure::value),
        service_name: service_name.unwrap_or(Collector::DEFAULT_SERVICE_NAME).to_owned(),
        resource: entry.resource.clone(),
    }
}

fn lower_endpoint(text: &str, protocol: OtlpProtocol, path: &Path, report: &mut Report) -> String {
    let endpoint = match check::endpoint(text) {
        Ok(endpoint) if !endpoint.starts_with(SIMULATED_SCHEME) => endpoint,
        Ok(_) => {
            report.mistake(
                path,
                "is no address of a collector, such as `http://localhost:4318`",
            );
            return String::new();
        }
        Err(text) => {
            report.mistake(path, text);
            return String::new();
        }
    };
    let below = endpoint
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'));
    match (protocol, below) {
        (OtlpProtocol::Grpc, Some(_)) => {
            report.mistake(
                path,
                "has a path, for which gRPC has no use; remove it, or write `protocol: http`",
            );
        }
        (OtlpProtocol::Http, Some((_, path_below))) if path_below.ends_with("v1/traces") => {
            report.mistake(path, "must be the base address: `/v1/traces` is added to it");
        }
        _ => {}
    }
    endpoint
}

/// Headers that the protocol sets.
const OURS: [&str; 5] = [
    "content-type",
    "te",
    "user-agent",
    "grpc-timeout",
    "grpc-encoding",
];
