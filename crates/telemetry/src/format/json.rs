//! One call as one JSON object.

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Serializer as Serialized;
use serde_json::ser::Formatter;
use serde_json::value::RawValue;

use super::{mask, variables};
use crate::prices::PriceState;
use crate::record::{Attempt, CallRecord, RequestType, TokenUsage};

/// Appends the call as a JSON object, without a line break. Times are milliseconds with microseconds as decimals.
pub(super) fn write(record: &CallRecord<'_>, out: &mut Vec<u8>) {
    let masked = |uri| mask::uri(uri, record.secret_names);
    let uri = masked(record.request_uri);
    let referer = record.referer.map(masked);
    let is_model_call = record.request_type != RequestType::TraditionalHttp;
    let last = record.attempts.last();
    let cost = Some(record.cost).filter(|cost| cost.price != PriceState::Nothing);
    let line = Line {
        time: Timestamp::try_from(record.time).unwrap_or_default(),
        request_id: record.request_id,
        remote_addr: record.remote_addr,
        remote_port: record.remote_port,
        scheme: record.scheme,
        method: record.method,
        uri: &uri,
        protocol: record.http_version,
        host: record.host,
        referer: referer.as_deref(),
        user_agent: record.user_agent,
        x_forwarded_for: record.x_forwarded_for,
        status: record.status,
        request_bytes: record.request_bytes,
        body_bytes_sent: record.body_bytes_sent,
        latency_ms: millis(record.request_time),
        outcome: variables::outcome(record),
        error_code: record.error_code,
        route: record.route,
        service: record.service,
        consumer: record.consumer,
        credential: record.credential,
        end_user: record.end_user,
        request_type: record.request_type.as_str(),
        operation: record.operation,
        dialect: record.client_dialect,
        request_model: record.request_model,
        model: record.response_model.or(record.upstream_model),
        provider: record.provider,
        instance: record.instance,
        attempts: record.attempts,
        time_to_first_token_ms: record.time_to_first_token.map(millis),
        upstream_latency_ms: record.upstream_response_time.map(millis),
        usage: record.usage,
        service_tier: last.and_then(|attempt| attempt.service_tier),
        cost_usd: cost.and_then(|cost| RawValue::from_string(cost.amount()?.to_string()).ok()),
        cost_state: cost.map(|cost| cost.state()),
        tool_count: is_model_call.then_some(record.tool_count),
        has_tool_calls: is_model_call.then_some(record.has_tool_calls),
        losses: record.losses,
    };
    let start = out.len();
    // Only a value that cannot be JSON could fail, and there is none; half an object is never left behind.
    if line
        .serialize(&mut Serialized::with_formatter(&mut *out, OneLine))
        .is_err()
    {
        out.truncate(start);
        out.extend_from_slice(b"{}");
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "rfc3339_millis")]
    time: Timestamp,
    request_id: &'a str,
    remote_addr: std::net::IpAddr,
    remote_port: u16,
    scheme: &'a str,
    method: &'a str,
    uri: &'a str,
    protocol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_forwarded_for: Option<&'a str>,
    status: u16,
    request_bytes: u64,
    body_bytes_sent: u64,
    latency_ms: f64,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_user: Option<&'a str>,
    request_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "attempts")]
    attempts: &'a [Attempt<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    time_to_first_token_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "usage")]
    usage: Option<TokenUsage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    /// A number with all its digits: no floating point on the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    has_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "str::is_empty")]
    losses: &'a str,
}

#[derive(Serialize)]
struct AttemptLine<'a> {
    instance: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_addr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    outcome: &'a str,
    latency_ms: f64,
    /// Of attempts before the last one, whose usage is that of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageLine>,
}

#[derive(Serialize)]
struct UsageLine {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    cached_tokens: u64,
    cache_write_tokens: u64,
    reasoning_tokens: u64,
    estimated: bool,
}

fn attempts<S: Serializer>(attempts: &&[Attempt<'_>], serializer: S) -> Result<S::Ok, S::Error> {
    let before_last = attempts.len().saturating_sub(1);
    serializer.collect_seq(attempts.iter().enumerate().map(|(number, attempt)| {
        AttemptLine {
            instance: attempt.instance,
            model: attempt.model,
            dialect: attempt.dialect,
            upstream_addr: attempt.upstream_addr,
            status: attempt.status,
            outcome: attempt.outcome,
            latency_ms: millis(attempt.duration),
            usage: attempt
                .usage
                .filter(|_| number < before_last)
                .map(UsageLine::from),
        }
    }))
}

fn usage<S: Serializer>(usage: &Option<TokenUsage>, serializer: S) -> Result<S::Ok, S::Error> {
    usage.map(UsageLine::from).serialize(serializer)
}

impl From<TokenUsage> for UsageLine {
    fn from(usage: TokenUsage) -> Self {
        UsageLine {
            prompt_tokens: usage.prompt,
            completion_tokens: usage.completion,
            total_tokens: usage.total,
            cached_tokens: usage.cached,
            cache_write_tokens: usage.cache_write,
            reasoning_tokens: usage.reasoning,
            estimated: usage.estimated,
        }
    }
}

/// Escapes what may stand in strings of JSON and what a terminal obeys: DEL, and the control characters above it.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Nearly always nothing is to be escaped; a check without early exit is one the compiler can vectorise.
        if !fragment.bytes().fold(false, |found, byte| found | (byte >= 0x7f)) {
            return out.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(|c| matches!(c, '\u{7f}'..='\u{9f}')) {
            let (plain, from_special) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let mut after = from_special.chars();
            if let Some(special) = after.next() {
                write!(out, "\\u{:04x}", u32::from(special))?;
            }
            rest = after.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

fn rfc3339_millis<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

fn millis(duration: Duration) -> f64 {
    // Exact up to 285 years: microseconds below 2^53.
    duration.as_micros() as f64 / 1000.0
}
