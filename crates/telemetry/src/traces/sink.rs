//! Where spans go.

use http::HeaderMap;

use super::sampling::{CallTrace, Sampler};
use super::spans;
use crate::delivery::{Hub, Queue};
use crate::otlp::{self, Item, Logs, Signal};
use crate::outbound::AddressError;
use crate::record::CallRecord;
use crate::telemetry::CallSink;

/// What is traced, and where it goes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The collector.
    pub otlp: otlp::Settings,
    /// The share of traces that begin here and are kept, from 0 to 1.
    pub sample: f64,
    /// Whether calls that fail are kept although the share says no. Holds for traces that begin here.
    pub always_on_error: bool,
    /// Whether spans tell what was asked and answered.
    pub prompts: bool,
    /// Whether every call is a log record too, whatever becomes of its spans.
    pub logs: bool,
}

/// Sends the spans of calls to a collector.
pub struct Traces {
    queue: Queue<Item>,
    sampler: Sampler,
    always_on_error: bool,
    prompts: bool,
    logs: Option<Logs>,
}

impl Traces {
    /// Spans go through a queue of this hub.
    ///
    /// # Errors
    /// The collector's address cannot be used.
    pub fn start(hub: &Hub, settings: Settings) -> Result<Traces, AddressError> {
        let logs = settings
            .logs
            .then(|| Logs::start(hub, settings.otlp.clone()))
            .transpose()?;
        Ok(Traces {
            queue: otlp::queue(hub, "traces", Signal::Traces, settings.otlp)?,
            sampler: Sampler::new(settings.sample),
            always_on_error: settings.always_on_error,
            prompts: settings.prompts,
            logs,
        })
    }

    /// A call with these headers begins.
    pub fn begin(&self, headers: &HeaderMap) -> CallTrace {
        self.sampler.begin(headers)
    }

    /// Whether the spans of a trace tell what was asked and answered, as far as is known while the call is under way.
    pub fn tells_prompts(&self, trace: &CallTrace) -> bool {
        self.prompts && (trace.sampled || self.may_be_kept(trace))
    }

    /// Whether a trace is kept if its call fails.
    fn may_be_kept(&self, trace: &CallTrace) -> bool {
        self.always_on_error && trace.parent.is_none()
    }
}

impl CallSink for Traces {
    fn call(&self, call: &CallRecord<'_>) {
        if let Some(logs) = &self.logs {
            logs.call(call);
        }
        let Some(trace) = call.trace else { return };
        if trace.sampled || (self.may_be_kept(trace) && spans::has_failed(call)) {
            let item = spans::of_call(call, trace, self.prompts);
            let bytes = item.bytes.len();
            // A queue that is full counts what it drops, and tells it.
            let _ = self.queue.push(item, bytes);
        }
    }
}
