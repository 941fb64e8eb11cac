//! Spans as the types of OpenTelemetry read them.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use prost::Message;

use super::{CallTrace, Sampler, SpanId, spans};
use crate::fixture;
use crate::prices::{Cost, PriceState, Usd};
use crate::record::{Attempt, CallRecord, Part, Payload, TokenUsage};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// 2026-11-21T00:30:36.1Z, when the call of the fixture begins.
const BEGUN: u64 = 1_795_221_036_100_000_000;

fn traced() -> CallTrace {
    let headers = HeaderMap::from_iter([
        (
            HeaderName::from_static("traceparent"),
            HeaderValue::from_static(PARENT),
        ),
        (
            HeaderName::from_static("tracestate"),
            HeaderValue::from_static("rojo=1"),
        ),
    ]);
    Sampler::new(1.0).begin(&headers)
}

fn spans_of(call: &CallRecord<'_>, prompts: bool) -> Vec<Span> {
    let item = spans::of_call(call, call.trace.unwrap(), prompts);
    let spans = ScopeSpans::decode(item.bytes.as_slice()).unwrap().spans;
    assert_eq!(u32::try_from(spans.len()).unwrap(), item.count);
    spans
}

fn attribute(span: &Span, name: &str) -> Option<Value> {
    let mut found = span.attributes.iter().filter(|attribute| attribute.key == name);
    let value = found.next()?.value.clone()?.value;
    assert!(found.next().is_none(), "{name} is there twice");
    value
}

fn text(span: &Span, name: &str) -> Option<String> {
    match attribute(span, name)? {
        Value::StringValue(text) => Some(text),
        other => panic!("{name} is {other:?}"),
    }
}

fn number(span: &Span, name: &str) -> Option<i64> {
    match attribute(span, name)? {
        Value::IntValue(number) => Some(number),
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn a_call_is_a_span_with_a_child_for_its_attempt() {
    let trace = traced();
    let id = SpanId::random();
    let attempt = Attempt {
        span: Some(id),
        response_id: Some("chatcmpl-1"),
        finish_reason: Some("stop"),
        ..fixture::ATTEMPTS[0]
    };
    let attempts = [attempt];
    let call = CallRecord {
        trace: Some(&trace),
        attempts: &attempts,
        request_uri: "/v1/chat/completions?key=secret",
        ..fixture::call()
    };
    let spans = spans_of(&call, false);
    let [call_span, attempt_span] = spans.as_slice() else {
        panic!("{spans:?}")
    };

    assert_eq!(call_span.trace_id, trace.trace.as_bytes());
    assert_eq!(call_span.span_id, trace.span.as_bytes());
    assert_eq!(call_span.parent_span_id, trace.parent.unwrap().as_bytes());
    assert_eq!(call_span.trace_state, "rojo=1");
    // Sampled; the parent is known to be elsewhere.
    assert_eq!(call_span.flags, 0x301);
    assert_eq!(call_span.kind(), SpanKind::Server);
    assert_eq!(call_span.name, "chat gpt-5");
    assert_eq!(call_span.start_time_unix_nano, BEGUN);
    assert_eq!(call_span.end_time_unix_nano, BEGUN + 2_900_000_000);
    assert_eq!(call_span.status, None);
    assert_eq!(text(call_span, "http.request.method").unwrap(), "POST");
    assert_eq!(text(call_span, "url.path").unwrap(), "/v1/chat/completions");
    assert_eq!(text(call_span, "server.address").unwrap(), "localhost");
    assert_eq!(number(call_span, "server.port").unwrap(), 4242);
    assert_eq!(number(call_span, "http.response.status_code").unwrap(), 200);
    assert_eq!(text(call_span, "network.protocol.version").unwrap(), "1.1");
    assert_eq!(text(call_span, "tollgate.consumer").unwrap(), "user-a");
    assert_eq!(number(call_span, "tollgate.attempts").unwrap(), 1);
    assert_eq!(number(call_span, "tollgate.usage.input_tokens").unwrap(), 13);
    assert_eq!(number(call_span, "gen_ai.usage.input_tokens"), None);
    assert_eq!(text(call_span, "error.type"), None);

    assert_eq!(attempt_span.trace_id, trace.trace.as_bytes());
    assert_eq!(attempt_span.span_id, id.as_bytes());
    assert_eq!(attempt_span.parent_span_id, trace.span.as_bytes());
    assert_eq!(attempt_span.flags, 0x101);
    assert_eq!(attempt_span.kind(), SpanKind::Client);
    assert_eq!(attempt_span.name, "chat gpt-5");
    assert_eq!(attempt_span.start_time_unix_nano, BEGUN + 2_000_000);
    assert_eq!(attempt_span.end_time_unix_nano, BEGUN + 2_860_000_000);
    assert_eq!(text(attempt_span, "gen_ai.operation.name").unwrap(), "chat");
    assert_eq!(text(attempt_span, "gen_ai.provider.name").unwrap(), "openai");
    assert_eq!(text(attempt_span, "gen_ai.request.model").unwrap(), "gpt-5");
    assert_eq!(
        text(attempt_span, "gen_ai.response.model").unwrap(),
        "gpt-5-2025-08-07"
    );
    assert_eq!(text(attempt_span, "gen_ai.response.id").unwrap(), "chatcmpl-1");
    let Some(Value::ArrayValue(reasons)) = attribute(attempt_span, "gen_ai.response.finish_reasons") else {
        panic!("no reasons")
    };
    assert_eq!(
        reasons.values[0].value,
        Some(Value::StringValue("stop".to_owned()))
    );
    assert_eq!(number(attempt_span, "gen_ai.usage.input_tokens").unwrap(), 13);
    assert_eq!(number(attempt_span, "gen_ai.usage.output_tokens").unwrap(), 39);
    assert_eq!(number(attempt_span, "gen_ai.usage.cache_read.input_tokens"), None);
    assert_eq!(text(attempt_span, "server.address").unwrap(), "api.openai.com");
    assert_eq!(number(attempt_span, "server.port").unwrap(), 443);
    assert_eq!(attempt_span.status, None);
}

#[test]
fn failed_and_outrun_attempts_are_spans_too() {
    let trace = Sampler::new(1.0).begin(&HeaderMap::new());
    let attempt = |outcome, status| Attempt {
        outcome,
        status,
        span: Some(SpanId::random()),
        ..fixture::ATTEMPTS[0]
    };
    let attempts = [
        attempt("status", Some(503)),
        attempt("connect_error", None),
        attempt("outrun", None),
        attempt("ok", Some(200)),
    ];
    let call = CallRecord {
        trace: Some(&trace),
        attempts: &attempts,
        ..fixture::call()
    };
    let spans = spans_of(&call, false);
    assert_eq!(spans.len(), 5);
    assert_eq!(spans[0].parent_span_id, b"");
    assert_eq!(spans[0].flags, 0x101);
    let told: Vec<_> = spans[1..]
        .iter()
        .map(|span| {
            let status = span
                .status
                .as_ref()
                .map(|status| (status.code(), status.message.as_str()));
            (
                text(span, "error.type"),
                status,
                number(span, "http.request.resend_count"),
            )
        })
        .collect();
    let error = |message| Some((StatusCode::Error, message));
    assert_eq!(
        told,
        [
            (Some("503".to_owned()), error("503"), None),
            (Some("connect_error".to_owned()), error("connect_error"), Some(1)),
            (Some("outrun".to_owned()), None, Some(2)),
            (None, None, Some(3)),
        ]
    );
}

#[test]
fn errors_are_whose_fault_they_are() {
    let trace = traced();
    let told = |status, error_code, client_gone| {
        let call = CallRecord {
            trace: Some(&trace),
            status,
            error_code,
            client_gone,
            attempts: &[],
            ..fixture::call()
        };
        let span = spans_of(&call, false).remove(0);
        (span.status.is_some(), text(&span, "error.type"))
    };
    let word = |text: &str| Some(text.to_owned());
    assert_eq!(told(200, None, false), (false, None));
    // The client's own mistakes are no errors of a server.
    assert_eq!(
        told(401, Some("invalid_key"), false),
        (false, word("invalid_key"))
    );
    assert_eq!(told(499, None, true), (false, word("client_gone")));
    assert_eq!(told(502, None, false), (true, word("502")));
    assert_eq!(told(503, Some("no_instance"), false), (true, word("no_instance")));
    // A stream that broke after it had begun.
    assert_eq!(
        told(200, Some("upstream_error"), false),
        (true, word("upstream_error"))
    );
}

#[test]
fn calls_that_are_not_about_models_are_named_by_their_route() {
    let trace = traced();
    let call = CallRecord {
        trace: Some(&trace),
        operation: None,
        request_model: None,
        matched_uri: "/files/*",
        method: "GET",
        attempts: &[],
        ..fixture::call()
    };
    let span = spans_of(&call, false).remove(0);
    assert_eq!(span.name, "GET /files/*");
    assert_eq!(text(&span, "http.route").unwrap(), "/files/*");
}

#[test]
fn what_was_said_is_told_only_when_asked_for() {
    let trace = traced();
    let call = CallRecord {
        trace: Some(&trace),
        content: Some(Payload {
            messages: Some(Part {
                text: r#"[{"role":"user","content":"hi"}]"#,
                is_cut: false,
            }),
            text: None,
        }),
        ..fixture::call()
    };
    let span = spans_of(&call, false).remove(0);
    assert_eq!(attribute(&span, "gen_ai.input.messages"), None);
    let span = spans_of(&call, true).remove(0);
    assert_eq!(
        text(&span, "gen_ai.input.messages").unwrap(),
        r#"[{"parts":[{"content":"hi","type":"text"}],"role":"user"}]"#
    );
    assert_eq!(attribute(&span, "gen_ai.output.messages"), None);
}

#[test]
fn parts_of_usage_and_the_cost_are_told() {
    let trace = traced();
    let usage = TokenUsage {
        cached: 5,
        cache_write: 3,
        reasoning: 7,
        estimated: true,
        ..fixture::ATTEMPTS[0].usage.unwrap()
    };
    let attempts = [Attempt {
        span: Some(SpanId::random()),
        usage: Some(usage),
        ..fixture::ATTEMPTS[0]
    }];
    let call = CallRecord {
        trace: Some(&trace),
        attempts: &attempts,
        cost: Cost {
            usd: Usd::ZERO,
            price: PriceState::Free,
            estimated: false,
        },
        ..fixture::call()
    };
    let spans = spans_of(&call, false);
    assert_eq!(text(&spans[0], "tollgate.cost.state").unwrap(), "free");
    assert_eq!(number(&spans[0], "tollgate.cost.micro_usd").unwrap(), 0);
    assert_eq!(
        number(&spans[1], "gen_ai.usage.cache_read.input_tokens").unwrap(),
        5
    );
    assert_eq!(
        number(&spans[1], "gen_ai.usage.cache_creation.input_tokens").unwrap(),
        3
    );
    assert_eq!(
        number(&spans[1], "gen_ai.usage.reasoning.output_tokens").unwrap(),
        7
    );
    assert_eq!(
        attribute(&spans[1], "tollgate.usage.estimated"),
        Some(Value::BoolValue(true))
    );
}

#[test]
fn long_texts_are_cut_between_characters() {
    let trace = traced();
    let agent = "é".repeat(5000);
    let call = CallRecord {
        trace: Some(&trace),
        user_agent: Some(&agent),
        request_time: Duration::MAX,
        ..fixture::call()
    };
    let span = spans_of(&call, false).remove(0);
    assert_eq!(text(&span, "user_agent.original").unwrap().len(), 4096);
    assert_eq!(span.end_time_unix_nano, u64::MAX);
}
