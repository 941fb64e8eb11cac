//! Loggers of all calls, and what log entries tell, as the configuration says.

use tollgate_gateway::plugins::logger;
use tollgate_resources::model::Logging;
use tollgate_telemetry::{Loggers, Outlets, PayloadRules, Redaction};

use crate::cli::Failure;
use crate::secret_files::lookup;

/// Starts the loggers of all calls.
///
/// # Errors
/// A logger cannot work as it is configured.
pub fn start(conf: &Logging, outlets: &Outlets) -> Result<Loggers, Failure> {
    let mut loggers = Loggers {
        summaries: conf.summaries,
        payloads: conf.payloads,
        rules: PayloadRules {
            max_bytes: usize::try_from(conf.max_payload_bytes).unwrap_or(usize::MAX),
            redactions: Vec::new(),
        },
        ..Loggers::default()
    };
    for (position, name) in conf.redact.iter().enumerate() {
        let redaction = Redaction::parse(name)
            .map_err(|error| Failure::new(format!("logging.redact[{position}]: {error}")))?;
        loggers.rules.redactions.push(redaction);
    }
    for (position, conf) in conf.loggers.iter().enumerate() {
        let logger = logger(conf, &lookup, outlets)
            .map_err(|error| Failure::new(format!("loggers[{position}]: {error}")))?;
        loggers.all_calls.push(logger);
    }
    Ok(loggers)
}
