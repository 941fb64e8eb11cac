//! What is told about calls after they are done: the access log and what a call cost; and numbers about all of them.
//!
//! The gateway fills one [`CallRecord`] per finished call and hands it to [`Telemetry`], which never blocks it:
//! queues are bounded and count what they drop. This crate knows log formats, files and prices, and how records reach other
//! servers. It does not know how calls are served, dialects or configuration files.

mod access_log;
pub mod delivery;
pub mod entry;
#[doc(hidden)]
pub mod fixture;
mod format;
pub mod kafka;
pub mod ledger;
pub mod metrics;
pub mod otlp;
pub mod outbound;
mod outlets;
pub mod prices;
mod record;
mod redaction;
mod report;
mod shards;
mod telemetry;
pub mod traces;

pub use access_log::{AccessLog, LineLog, Target};
pub use format::{COMBINED, DEFAULT, Format, FormatError, NGINX_DEMO, Template};
pub use metrics::Metrics;
pub use outlets::Outlets;
pub use prices::{Cost, PriceState, Prices, Usd};
pub use record::{Attempt, CallRecord, Charge, Excerpt, LlmTokens, Part, Payload, RequestType, TokenUsage};
pub use redaction::{PayloadRules, REDACTED, Redaction, RedactionError};
pub use telemetry::{CallSink, Loggers, RouteLogger, Telemetry, Wants};
