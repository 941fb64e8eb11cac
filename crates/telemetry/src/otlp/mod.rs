//! OTLP, OpenTelemetry's protocol: spans and log records go to a collector in batches.
//! <https://opentelemetry.io/docs/specs/otlp/>
//!
//! An [`Item`] is written where a call ends, straight from what is known of it into the bytes that travel; the thread that
//! delivers puts items together and sends them. A collector that is away is asked again, with growing pauses, for as long
//! as the queue has room.

mod attributes;
mod exporter;
mod grpc;
mod http;
mod logs;
pub(crate) mod protobuf;
mod settings;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use attributes::{Attributes, text_value};
pub(crate) use exporter::queue;
pub use logs::Logs;
pub use settings::{Protocol, Resource, Settings, Signal};
pub use verdict::fuzz_answers;

/// What goes to a collector of one call.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Spans or log records, each with the field number it has in its list.
    pub(crate) bytes: Vec<u8>,
    /// How many.
    pub(crate) count: u32,
}

/// The list's field number of spans in `ScopeSpans` and of records in `ScopeLogs`.
pub(crate) const ITEMS: u32 = 2;
