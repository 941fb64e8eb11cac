//! One log record for every call. Field numbers are those of `opentelemetry/proto/logs/v1/logs.proto`.

use std::time::SystemTime;

use super::protobuf::Writer;
use super::{Attributes, ITEMS, Item, Settings, Signal, queue, text_value};
use crate::delivery::{Hub, Queue};
use crate::outbound::AddressError;
use crate::record::CallRecord;
use crate::telemetry::CallSink;
use crate::traces::{call_attributes, nanoseconds};

/// Room for a usual record; more grows.
const USUAL_BYTES: usize = 1024;

/// The name of the event that a record tells.
const EVENT: &str = "tollgate.call";

/// Sends a log record of every call to a collector.
pub struct Logs {
    queue: Queue<Item>,
}

impl Logs {
    /// Records go through a queue of this hub.
    ///
    /// # Errors
    /// The collector's address cannot be used.
    pub fn start(hub: &Hub, settings: Settings) -> Result<Logs, AddressError> {
        let queue = queue(hub, "otlp_logs", Signal::Logs, settings)?;
        Ok(Logs { queue })
    }
}

impl CallSink for Logs {
    fn call(&self, call: &CallRecord<'_>) {
        let item = of_call(call, SystemTime::now());
        let bytes = item.bytes.len();
        // A queue that is full counts what it drops, and tells it.
        let _ = self.queue.push(item, bytes);
    }
}

/// Writes the record of a call that was seen to end at this time.
pub(super) fn of_call(call: &CallRecord<'_>, ended: SystemTime) -> Item {
    let mut writer = Writer::with_capacity(USUAL_BYTES);
    writer.message(ITEMS, |record| {
        record.fixed64(TIME, nanoseconds(call.time));
        let (number, text) = severity(call);
        record.number(SEVERITY_NUMBER, number);
        record.bytes(SEVERITY_TEXT, text.as_bytes());
        let path = call.request_uri.split('?').next().unwrap_or_default();
        text_value(record, BODY, &format!("{} {path} {}", call.method, call.status));
        let mut attributes = Attributes::new(record, ATTRIBUTES);
        attributes.fraction("tollgate.duration", call.request_time.as_secs_f64());
        if let Some(first) = call.time_to_first_token {
            attributes.fraction("tollgate.time_to_first_token", first.as_secs_f64());
        }
        // What somebody said is for spans, where it is asked for.
        call_attributes(&mut attributes, call, false);
        if let Some(trace) = call.trace {
            record.fixed32(FLAGS, u32::from(trace.sampled));
            record.bytes(TRACE_ID, trace.trace.as_bytes());
            record.bytes(SPAN_ID, trace.span.as_bytes());
        }
        record.fixed64(OBSERVED_TIME, nanoseconds(ended));
        record.bytes(EVENT_NAME, EVENT.as_bytes());
    });
    Item {
        bytes: writer.into_bytes(),
        count: 1,
    }
}

/// Whose fault it was decides: ours or a provider's, the client's, nobody's.
fn severity(call: &CallRecord<'_>) -> (u64, &'static str) {
    match call.status {
        500.. => (SEVERITY_ERROR, "ERROR"),
        400..500 => (SEVERITY_WARN, "WARN"),
        // A stream that ended in an error after it had begun.
        _ if call.error_code.is_some() => (SEVERITY_ERROR, "ERROR"),
        _ => (SEVERITY_INFO, "INFO"),
    }
}

/// Of `LogRecord`.
const TIME: u32 = 1;
const SEVERITY_NUMBER: u32 = 2;
const SEVERITY_TEXT: u32 = 3;
const BODY: u32 = 5;
const ATTRIBUTES: u32 = 6;
const FLAGS: u32 = 8;
const TRACE_ID: u32 = 9;
const SPAN_ID: u32 = 10;
const OBSERVED_TIME: u32 = 11;
const EVENT_NAME: u32 = 12;

/// Of `SeverityNumber`.
const SEVERITY_INFO: u64 = 9;
const SEVERITY_WARN: u64 = 13;
const SEVERITY_ERROR: u64 = 17;
