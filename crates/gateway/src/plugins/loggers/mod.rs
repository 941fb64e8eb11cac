//! `file-logger`, `http-logger` and `kafka-logger`: tell each call of their routes when it has ended.
//!
//! What an entry looks like is known to [`tollgate_telemetry::entry`], how entries are sent to its `delivery`. Here is how
//! loggers are configured, and which calls and bodies they tell.

mod conf;
pub mod file;
pub mod http;
pub mod kafka;
mod native;
mod record;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::sync::Arc;

use tollgate_policy::expr::Expr;
use tollgate_telemetry::entry::{self, Bodies, Entry};
use tollgate_telemetry::{CallRecord, CallSink, RouteLogger, Wants};

pub(crate) use self::native::webhook;
pub use self::native::{Post, logger};
use self::record::RecordVariables;
use super::Plugin;

/// Where entries go.
trait Outlet: Send + Sync {
    /// Takes an entry. Never waits.
    fn take(&self, entry: &[u8]);
}

/// A configured logger.
struct Logger {
    form: Form,
    /// Which calls are told: those for which one of them is true; all without any.
    matches: Option<Vec<Expr>>,
    request_body: Body,
    response_body: Body,
    outlet: Box<dyn Outlet>,
}

/// What an entry looks like.
enum Form {
    Json {
        entry: Box<Entry>,
        /// Whether each entry is a line.
        is_line: bool,
    },
    /// The request as it came.
    Origin { reveals_secrets: bool },
}

/// Whether a body is told.
struct Body {
    is_included: bool,
    /// It is told only where this is true.
    condition: Option<Expr>,
    limit: usize,
}

impl Body {
    fn limit_for(&self, call: &RecordVariables<'_>) -> Option<usize> {
        let is_told = self.is_included && self.condition.as_ref().is_none_or(|expr| expr.eval(call));
        is_told.then_some(self.limit)
    }
}

impl CallSink for Logger {
    fn call(&self, call: &CallRecord<'_>) {
        let variables = RecordVariables(call);
        if let Some(matches) = &self.matches
            && !matches.iter().any(|expr| expr.eval(&variables))
        {
            return;
        }
        let mut written = WRITTEN.take();
        written.clear();
        let bodies = Bodies {
            request: self.request_body.limit_for(&variables),
            response: self.response_body.limit_for(&variables),
            variable: self.request_body.limit,
        };
        match &self.form {
            Form::Json { entry, is_line } => {
                entry.write(call, bodies, &mut written);
                if *is_line {
                    written.push(b'\n');
                }
            }
            Form::Origin { reveals_secrets } => {
                let body = self.request_body.is_included.then_some(self.request_body.limit);
                entry::write_origin(call, body, *reveals_secrets, &mut written);
            }
        }
        self.outlet.take(&written);
        if written.capacity() <= MAX_KEPT {
            WRITTEN.set(written);
        }
    }
}

impl RouteLogger for Logger {
    fn wants(&self) -> Wants {
        let limit = |body: &Body| if body.is_included { body.limit } else { 0 };
        let mut wants = Wants {
            request_body: limit(&self.request_body),
            response_body: limit(&self.response_body),
            response_headers: false,
        };
        if let Form::Json { entry, .. } = &self.form {
            let (request, _) = entry.wants(self.request_body.limit);
            wants.request_body = wants.request_body.max(request);
            wants.response_headers = match &entry.log_format {
                Some(format) => format.has_sent_headers(),
                None => true,
            };
        }
        wants
    }
}

/// A use of a logger.
struct LoggerPlugin(Arc<Logger>);

impl Plugin for LoggerPlugin {
    fn acts(&self) -> bool {
        false
    }

    fn logger(&self) -> Option<Arc<dyn RouteLogger>> {
        Some(self.0.clone())
    }
}

/// Capacity above which a thread does not keep its buffer, so that one long entry does not cost memory for ever.
const MAX_KEPT: usize = 64 * 1024;

thread_local! {
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
