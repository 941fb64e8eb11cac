//! Collectors of OpenTelemetry as the configuration names them.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tollgate_gateway::upstream::{TlsSettings, client_config};
use tollgate_resources::model::{self, Collector, OtlpProtocol};
use tollgate_telemetry::Outlets;
use tollgate_telemetry::otlp::{Protocol, Resource, Settings};
use tollgate_telemetry::outbound::Address;
use tollgate_telemetry::traces::{self, TraceId, Traces};

use crate::cli::Failure;
use crate::secret_files::lookup;

/// Starts to trace calls.
///
/// # Errors
/// The collector cannot be used, or a thread cannot be started.
pub fn traces(config: &model::Traces, outlets: &Outlets) -> Result<Traces, Failure> {
    let settings = traces::Settings {
        otlp: settings(&config.collector, "traces")?,
        sample: config.sample,
        always_on_error: config.always_on_error,
        prompts: config.prompts,
        logs: config.logs,
    };
    let hub = outlets.hub().map_err(Failure::new)?;
    Traces::start(&hub, settings).map_err(|error| Failure::new(format!("traces.endpoint: {error}")))
}

/// Checks that a collector can be asked, as far as that is known without asking it.
///
/// # Errors
/// It cannot: a secret or a file is missing.
pub fn check(config: &model::Traces) -> Result<(), Failure> {
    settings(&config.collector, "traces").map(drop)
}

/// How to reach a collector. `section` is where it stands, for mistakes.
fn settings(config: &Collector, section: &str) -> Result<Settings, Failure> {
    let failed = |key: &str, error: &dyn std::fmt::Display| Failure::new(format!("{section}.{key}: {error}"));
    let endpoint = Address::parse(&config.endpoint).map_err(|error| failed("endpoint", &error))?;
    let mut headers = HeaderMap::new();
    for (name, value) in config.headers.iter() {
        let key = format!("headers.{name}");
        let value = value.resolve(&lookup).map_err(|error| failed(&key, &error))?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| failed(&key, &error))?;
        // The error does not repeat the value.
        let mut value = HeaderValue::from_str(value.expose()).map_err(|error| failed(&key, &error))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let tls = TlsSettings {
        ca_file: config.tls.ca_file.clone(),
        verify: config.tls.verify,
    };
    let tls = client_config(&tls, None).map_err(|error| failed("tls", &error))?;
    let attributes = config.resource.iter();
    Ok(Settings {
        endpoint,
        protocol: match config.protocol {
            OtlpProtocol::Http => Protocol::Http,
            OtlpProtocol::Grpc => Protocol::Grpc,
        },
        headers,
        timeout: Duration::from_millis(config.timeout_ms),
        tls,
        resource: Resource {
            service_name: config.service_name.clone(),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
            // Random, and another one in each process.
            service_instance: TraceId::random().to_string(),
            attributes: attributes
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect(),
        },
        queue: config.queue,
        queue_bytes: usize::try_from(config.queue_bytes).unwrap_or(usize::MAX),
        batch: config.batch,
        flush_interval: Duration::from_millis(config.flush_interval_ms),
    })
}
