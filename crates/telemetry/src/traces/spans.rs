//! The spans of a call that has ended. Field numbers are those of `opentelemetry/proto/trace/v1/trace.proto`.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::identifiers::SpanId;
use super::sampling::CallTrace;
use super::{messages, names};
use crate::otlp::protobuf::Writer;
use crate::otlp::{Attributes, ITEMS, Item};
use crate::record::{Attempt, CallRecord, TokenUsage};

/// Room for a call with one attempt; more grows.
const USUAL_BYTES: usize = 2048;

/// Writes the span of the call and one of each of its attempts.
pub(super) fn of_call(call: &CallRecord<'_>, trace: &CallTrace, prompts: bool) -> Item {
    let mut writer = Writer::with_capacity(USUAL_BYTES);
    writer.message(ITEMS, |span| call_span(span, call, trace, prompts));
    let mut count = 1;
    for (number, attempt) in (1..).zip(call.attempts) {
        if let Some(id) = attempt.span {
            writer.message(ITEMS, |span| attempt_span(span, call, trace, attempt, id, number));
            count += 1;
        }
    }
    Item {
        bytes: writer.into_bytes(),
        count,
    }
}

/// Whether the call went wrong: the client was told an error that is not its own, or a stream ended in one.
pub(super) fn has_failed(call: &CallRecord<'_>) -> bool {
    call.status >= 500 || (call.status < 400 && call.error_code.is_some())
}

fn call_span(span: &mut Writer, call: &CallRecord<'_>, trace: &CallTrace, prompts: bool) {
    identity(span, trace, trace.span, trace.parent, trace.parent.is_some());
    let name = match (call.operation, call.request_model) {
        (Some(operation), Some(model)) => Cow::from(format!("{operation} {model}")),
        (Some(operation), None) => Cow::from(operation),
        (None, _) if !call.matched_uri.is_empty() => {
            Cow::from(format!("{} {}", call.method, call.matched_uri))
        }
        (None, _) => Cow::from(call.method),
    };
    begin(span, &name, SERVER);
    times(span, call.time, call.request_time);
    call_attributes(&mut Attributes::new(span, ATTRIBUTES), call, prompts);
    if has_failed(call) {
        failed(span, call.error_code.unwrap_or_default());
    }
}

/// What the span of a call tells. The log record of a call tells the same.
pub(crate) fn call_attributes(span: &mut Attributes<'_>, call: &CallRecord<'_>, prompts: bool) {
    span.text("http.request.method", call.method);
    span.text("url.scheme", call.scheme);
    span.text("url.path", names::path(call.request_uri));
    span.text("http.route", call.matched_uri);
    span.number("http.response.status_code", call.status.into());
    span.text("network.protocol.version", names::http_version(call.http_version));
    span.text("client.address", &call.remote_addr.to_string());
    span.maybe_text("user_agent.original", call.user_agent);
    if let Some(host) = call.host {
        server(span, host);
    }
    span.number("http.request.body.size", call.request_bytes);
    span.number("http.response.body.size", call.body_bytes_sent);
    span.maybe_text("gen_ai.operation.name", call.operation);
    span.maybe_text("gen_ai.request.model", call.request_model);
    span.maybe_text("gen_ai.response.model", call.response_model);
    if let Some(provider) = call.provider {
        span.text("gen_ai.provider.name", names::provider(provider));
    }
    match call.error_code {
        Some(code) => span.text("error.type", code),
        None if call.status >= 500 => span.text("error.type", &call.status.to_string()),
        None if call.client_gone => span.text("error.type", "client_gone"),
        None => {}
    }
    span.text("tollgate.request.id", call.request_id);
    span.maybe_text("tollgate.consumer", call.consumer);
    span.maybe_text("tollgate.credential", call.credential);
    span.maybe_text("tollgate.route", call.route);
    span.maybe_text("tollgate.service", call.service);
    span.maybe_text("tollgate.client.dialect", call.client_dialect);
    span.maybe_text("tollgate.instance", call.instance);
    span.number("tollgate.attempts", call.attempts.len() as u64);
    span.flag("tollgate.stream", call.request_type.as_str() == "ai_stream");
    span.flag("tollgate.client_gone", call.client_gone);
    span.text("tollgate.losses", call.losses);
    // The conventions' names are on the spans of attempts, so that whoever adds them up counts nothing twice.
    if let Some(usage) = call.usage {
        span.number("tollgate.usage.input_tokens", usage.prompt);
        span.number("tollgate.usage.output_tokens", usage.completion);
    }
    span.text("tollgate.cost.state", call.cost.state());
    if let Some(cost) = call.cost.micro_usd() {
        span.number("tollgate.cost.micro_usd", cost);
    }
    if prompts && let Some(payload) = &call.content {
        let finish_reason = call.attempts.last().and_then(|attempt| attempt.finish_reason);
        if let Some(messages) = messages::input(payload) {
            span.whole_text("gen_ai.input.messages", &messages);
        }
        if let Some(messages) = messages::output(payload, finish_reason) {
            span.whole_text("gen_ai.output.messages", &messages);
        }
    }
}

fn attempt_span(
    span: &mut Writer,
    call: &CallRecord<'_>,
    trace: &CallTrace,
    attempt: &Attempt<'_>,
    id: SpanId,
    number: u64,
) {
    identity(span, trace, id, Some(trace.span), false);
    let name = match (call.operation, attempt.model) {
        (Some(operation), Some(model)) => Cow::from(format!("{operation} {model}")),
        _ => Cow::from(call.method),
    };
    begin(span, &name, CLIENT);
    times(span, call.time + attempt.started, attempt.duration);
    let status = attempt.status.map(|status| status.to_string());
    // A status that was answered says more than that there was one.
    let error = match (attempt.outcome, &status) {
        ("ok", _) => None,
        ("status", Some(status)) => Some(status.as_str()),
        (outcome, _) => Some(outcome),
    };
    let mut attributes = Attributes::new(span, ATTRIBUTES);
    if attempt.model.is_some() {
        attributes.maybe_text("gen_ai.operation.name", call.operation);
    }
    if let Some(provider) = attempt.provider {
        attributes.text("gen_ai.provider.name", names::provider(provider));
    }
    attributes.maybe_text("gen_ai.request.model", attempt.model);
    attributes.maybe_text("gen_ai.response.model", attempt.response_model);
    attributes.maybe_text("gen_ai.response.id", attempt.response_id);
    attributes.texts(
        "gen_ai.response.finish_reasons",
        attempt.finish_reason.into_iter(),
    );
    if let Some(usage) = &attempt.usage {
        usage_attributes(&mut attributes, usage);
    }
    if let Some(address) = attempt.upstream_addr {
        server(&mut attributes, address);
    }
    attributes.text("http.request.method", "POST");
    if let Some(status) = attempt.status {
        attributes.number("http.response.status_code", status.into());
    }
    if number > 1 {
        attributes.number("http.request.resend_count", number - 1);
    }
    attributes.maybe_text("error.type", error);
    attributes.text("tollgate.instance", attempt.instance);
    attributes.text("tollgate.attempt.outcome", attempt.outcome);
    attributes.number("tollgate.attempt.number", number);
    attributes.maybe_text("tollgate.dialect", attempt.dialect);
    attributes.maybe_text("tollgate.service_tier", attempt.service_tier);
    attributes.text("tollgate.losses", attempt.losses);
    if let Some(first_byte) = attempt.first_byte {
        attributes.fraction("tollgate.time_to_first_byte", first_byte.as_secs_f64());
    }
    if let Some(error) = error.filter(|_| !matches!(attempt.outcome, "outrun" | "cancelled")) {
        failed(span, error);
    }
}

fn usage_attributes(span: &mut Attributes<'_>, usage: &TokenUsage) {
    span.number("gen_ai.usage.input_tokens", usage.prompt);
    span.number("gen_ai.usage.output_tokens", usage.completion);
    let mut part = |name: &str, tokens: u64| {
        if tokens > 0 {
            span.number(name, tokens);
        }
    };
    part("gen_ai.usage.cache_read.input_tokens", usage.cached);
    part("gen_ai.usage.cache_creation.input_tokens", usage.cache_write);
    part("gen_ai.usage.reasoning.output_tokens", usage.reasoning);
    span.flag("tollgate.usage.estimated", usage.estimated);
}

fn server(span: &mut Attributes<'_>, authority: &str) {
    let (host, port) = names::host_and_port(authority);
    span.text("server.address", host);
    if let Some(port) = port {
        span.number("server.port", port.into());
    }
}

fn identity(
    span: &mut Writer,
    trace: &CallTrace,
    id: SpanId,
    parent: Option<SpanId>,
    parent_is_remote: bool,
) {
    span.bytes(TRACE_ID, trace.trace.as_bytes());
    span.bytes(SPAN_ID, id.as_bytes());
    if let Some(state) = &trace.state {
        span.bytes(TRACE_STATE, state.as_bytes());
    }
    if let Some(parent) = parent {
        span.bytes(PARENT_SPAN_ID, parent.as_bytes());
    }
    let remote = if parent_is_remote { PARENT_IS_REMOTE } else { 0 };
    span.fixed32(FLAGS, u32::from(trace.sampled) | KNOWS_WHETHER_REMOTE | remote);
}

fn begin(span: &mut Writer, name: &str, kind: u64) {
    span.bytes(NAME, name.as_bytes());
    span.number(KIND, kind);
}

fn times(span: &mut Writer, begun: SystemTime, lasted: Duration) {
    let begun = nanoseconds(begun);
    let lasted = u64::try_from(lasted.as_nanos()).unwrap_or(u64::MAX);
    span.fixed64(START, begun);
    span.fixed64(END, begun.saturating_add(lasted));
}

/// Since 1970.
pub(crate) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn failed(span: &mut Writer, message: &str) {
    span.message(STATUS, |status| {
        status.bytes(STATUS_MESSAGE, message.as_bytes());
        status.number(STATUS_CODE, ERROR);
    });
}

/// Of `Span`.
const TRACE_ID: u32 = 1;
const SPAN_ID: u32 = 2;
const TRACE_STATE: u32 = 3;
const PARENT_SPAN_ID: u32 = 4;
const NAME: u32 = 5;
const KIND: u32 = 6;
const START: u32 = 7;
const END: u32 = 8;
const ATTRIBUTES: u32 = 9;
const STATUS: u32 = 15;
const FLAGS: u32 = 16;

/// Of `SpanKind`.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// Of `Status`.
const STATUS_MESSAGE: u32 = 2;
const STATUS_CODE: u32 = 3;
const ERROR: u64 = 2;

/// Of `SpanFlags`.
const KNOWS_WHETHER_REMOTE: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;
