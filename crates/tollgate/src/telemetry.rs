//! Starts everything that is told of calls: the access log, and what else the configuration asks for.

use std::sync::Arc;

use tollgate_resources::Resources;
use tollgate_resources::model::{Deployment, LogPath, Server};
use tollgate_telemetry::ledger::Reader;
use tollgate_telemetry::{AccessLog, CallSink, Metrics, Target, Telemetry};

use crate::cli::Failure;
use crate::load::log_format;
use crate::otlp;
use crate::usage;

/// Starts what a configuration wants to be told of calls. With it comes what reads the usage that is kept, if any is.
///
/// # Errors
/// A file cannot be opened, or a thread cannot be started.
pub fn start(
    resources: &Resources,
    deployment: &Deployment,
    keeps_usage: bool,
) -> Result<(Telemetry, Option<Reader>), Failure> {
    let access_log = open_access_log(&resources.server)?;
    let metrics = Arc::new(Metrics::default());
    let mut sinks: Vec<Arc<dyn CallSink>> = Vec::new();
    let mut reader = None;
    if keeps_usage {
        let (ledger, opened) = usage::start(&resources.usage, deployment, &metrics)?;
        sinks.push(Arc::new(ledger));
        reader = Some(opened);
    }
    let mut telemetry = Telemetry::with_sinks(access_log, metrics, sinks);
    if let Some(config) = &resources.traces {
        let traces = otlp::traces(config, telemetry.outlets())?;
        telemetry = telemetry.with_traces(traces);
    }
    Ok((telemetry, reader))
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
