//! Starts everything that is told of calls: the access log, and what else the configuration asks for.

use std::sync::Arc;

use tollgate_resources::Resources;
use tollgate_resources::model::{LogPath, Server};
use tollgate_telemetry::{AccessLog, CallSink, Metrics, Target, Telemetry};

use crate::cli::Failure;
use crate::load::log_format;
use crate::{loggers, otlp};

/// Starts what a configuration wants to be told of calls.
///
/// # Errors
/// A file cannot be opened, or a thread cannot be started.
pub fn start(resources: &Resources) -> Result<Telemetry, Failure> {
    let access_log = open_access_log(&resources.server)?;
    let metrics = Arc::new(Metrics::default());
    let sinks: Vec<Arc<dyn CallSink>> = Vec::new();
    let telemetry = Telemetry::with_sinks(access_log, metrics, sinks);
    let loggers = loggers::start(&resources.logging, telemetry.outlets())?;
    let telemetry = telemetry.with_loggers(loggers);
    match &resources.traces {
        None => Ok(telemetry),
        Some(config) => {
            let traces = otlp::traces(config, telemetry.outlets())?;
            Ok(telemetry.with_traces(traces))
        }
    }
}

fn open_access_log(server: &Server) -> Result<AccessLog, Failure> {
    let target = match &server.access_log.path {
        LogPath::Stdout => Target::Stdout,
        LogPath::Off => Target::Off,
        LogPath::File(path) => Target::File(path.into()),
    };
    let format = log_format(&server.access_log.format).map_err(Failure::new)?;
    AccessLog::start(target, format).map_err(|error| {
        Failure::new(format!(
            "server.access_log.path: cannot open {}: {error}",
            server.access_log.path.as_str()
        ))
    })
}
