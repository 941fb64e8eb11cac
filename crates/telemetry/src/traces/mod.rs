//! Traces: one span for every call, with a child span for each attempt, as OpenTelemetry's conventions name them.
//!
//! The gateway makes a [`CallTrace`] when a call begins, from the context that came with it (`context.rs`) and the
//! [`Sampler`], and gives every attempt a [`SpanId`] that goes to the provider with its request. Spans are made when the call
//! has ended (`spans.rs`), so that a call costs nothing more while it is under way.

mod context;
mod identifiers;
mod messages;
mod names;
mod sampling;
mod sink;
mod spans;
#[cfg(test)]
mod tests;

pub use context::{Incoming, TraceState, parse_trace_parent, parse_trace_state};
pub use identifiers::{SpanId, TraceId};
pub use sampling::{CallTrace, Sampler};
pub use sink::{Settings, Traces};
pub(crate) use spans::{call_attributes, nanoseconds};
