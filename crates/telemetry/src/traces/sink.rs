//! Where spans go.

use super::sampling::Sampler;
use super::spans;
use crate::delivery::{Hub, Queue};
use crate::otlp::{self, Item, Signal};
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
}

/// Sends the spans of calls to a collector.
pub struct Traces {
    queue: Queue<Item>,
    sampler: Sampler,
    always_on_error: bool,
    prompts: bool,
}

impl Traces {
    /// Spans go through a queue of this hub.
    ///
    /// # Errors
    /// The collector's address cannot be used.
    pub fn start(hub: &Hub, settings: Settings) -> Result<Traces, AddressError> {
        Ok(Traces {
            queue: otlp::queue(hub, "traces", Signal::Traces, settings.otlp)?,
            sampler: Sampler::new(settings.sample),
            always_on_error: settings.always_on_error,
            prompts: settings.prompts,
        })
    }

    /// What decides which calls are traced.
    pub fn sampler(&self) -> Sampler {
        self.sampler
    }

    /// Whether spans tell what was asked and answered.
    pub fn wants_prompts(&self) -> bool {
        self.prompts
    }
}

impl CallSink for Traces {
    fn call(&self, call: &CallRecord<'_>) {
        let Some(trace) = call.trace else { return };
        let kept_anyway = || self.always_on_error && trace.parent.is_none() && spans::has_failed(call);
        if trace.sampled || kept_anyway() {
            let item = spans::of_call(call, trace, self.prompts);
            let bytes = item.bytes.len();
            // A queue that is full counts what it drops, and tells it.
            let _ = self.queue.push(item, bytes);
        }
    }
}
