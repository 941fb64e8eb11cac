//! The variables of text formats: their names and how each is written.
//!
//! A value that is missing is `-`, except where the system a variable comes from says otherwise: APISIX starts its
//! `llm_*` numbers at 0 and its texts empty, and the token variables of NGINX's demo are empty unless the call succeeded.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use super::time::{self, Zone};
use super::{escape, mask};
use crate::record::{Attempt, CallRecord, RequestType, TokenUsage};

/// One variable of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// One of the table.
    Known(Known),
    /// `$http_<name>`: a request header by its lower-case name.
    Header(Box<str>),
    /// `$http_<name>` of a header that carries credentials; only tells whether it was there.
    SecretHeader(Box<str>),
}

impl Variable {
    /// The variable of that name (without `$`).
    pub(super) fn named(name: &str) -> Option<Variable> {
        if let Some(known) = known(name) {
            return Some(Variable::Known(known));
        }
        let header = name.strip_prefix("http_").filter(|header| !header.is_empty())?;
        let header: Box<str> = header.to_ascii_lowercase().replace('_', "-").into();
        match mask::is_secret(&header) {
            true => Some(Variable::SecretHeader(header)),
            false => Some(Variable::Header(header)),
        }
    }

    /// Appends the variable's value, escaped.
    pub(super) fn write(&self, record: &CallRecord<'_>, zone: Zone, out: &mut Vec<u8>) {
        match self {
            Variable::Known(known) => known.write(record, zone, out),
            Variable::Header(name) => match record.request_headers.get(&**name) {
                Some(value) => escape::write_bytes(value.as_bytes(), out),
                None => out.push(b'-'),
            },
            Variable::SecretHeader(name) => {
                let is_there = record.request_headers.contains_key(&**name);
                text_or_dash(is_there.then_some(mask::MASK), out);
            }
        }
    }
}

/// The variable of a fixed name.
pub(crate) fn known(name: &str) -> Option<Known> {
    let (_, known) = TABLE.iter().find(|(known, _)| *known == name)?;
    Some(*known)
}

/// The names of all variables but `$http_<name>`.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

/// A variable with a fixed name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    ApisixUpstreamResponseTime,
    Args,
    BodyBytesSent,
    BytesSent,
    CacheCreationTokens,
    CacheReadTokens,
    CompletionTokens,
    ConsumerName,
    DemoCompletionTokens,
    DemoPromptTokens,
    DemoTotalTokens,
    Host,
    HttpHost,
    HttpReferer,
    HttpUserAgent,
    HttpXForwardedFor,
    LlmContentRiskLevel,
    LlmEndUserId,
    LlmHasToolCalls,
    LlmModel,
    LlmResponseModel,
    LlmStream,
    LlmTimeToFirstToken,
    LlmToolCount,
    Msec,
    Pid,
    PromptTokens,
    ReasoningTokens,
    RemoteAddr,
    RemotePort,
    RemoteUser,
    Request,
    RequestId,
    RequestLlmModel,
    RequestMethod,
    RequestTime,
    RequestType,
    RequestUri,
    RouteId,
    Scheme,
    ServerAddr,
    ServerPort,
    ServerProtocol,
    Status,
    TimeIso8601,
    TimeLocal,
    TollgateAttempts,
    TollgateCost,
    TollgateCostState,
    TollgateErrorCode,
    TollgateInstance,
    TollgateLosses,
    TollgateOutcome,
    TollgateProvider,
    TollgateUsage,
    TotalTokens,
    UpstreamAddr,
    UpstreamHost,
    UpstreamResponseTime,
    UpstreamScheme,
    UpstreamStatus,
    UpstreamUri,
    Uri,
}

const TABLE: &[(&str, Known)] = &[
    ("ai_proxy_response_completion_tokens", Known::DemoCompletionTokens),
    ("ai_proxy_response_prompt_tokens", Known::DemoPromptTokens),
    ("ai_proxy_response_total_tokens", Known::DemoTotalTokens),
    ("apisix_request_id", Known::RequestId),
    ("apisix_upstream_response_time", Known::ApisixUpstreamResponseTime),
    ("args", Known::Args),
    ("body_bytes_sent", Known::BodyBytesSent),
    ("bytes_sent", Known::BytesSent),
    ("consumer_name", Known::ConsumerName),
    ("host", Known::Host),
    ("http_host", Known::HttpHost),
    ("http_referer", Known::HttpReferer),
    ("http_user_agent", Known::HttpUserAgent),
    ("http_x_forwarded_for", Known::HttpXForwardedFor),
    ("llm_cache_creation_input_tokens", Known::CacheCreationTokens),
    ("llm_cache_read_input_tokens", Known::CacheReadTokens),
    ("llm_cached_tokens", Known::CacheReadTokens),
    ("llm_completion_tokens", Known::CompletionTokens),
    ("llm_content_risk_level", Known::LlmContentRiskLevel),
    ("llm_end_user_id", Known::LlmEndUserId),
    ("llm_has_tool_calls", Known::LlmHasToolCalls),
    ("llm_model", Known::LlmModel),
    ("llm_prompt_tokens", Known::PromptTokens),
    ("llm_reasoning_tokens", Known::ReasoningTokens),
    ("llm_response_model", Known::LlmResponseModel),
    ("llm_stream", Known::LlmStream),
    ("llm_time_to_first_token", Known::LlmTimeToFirstToken),
    ("llm_tool_count", Known::LlmToolCount),
    ("llm_total_tokens", Known::TotalTokens),
    ("msec", Known::Msec),
    ("pid", Known::Pid),
    ("query_string", Known::Args),
    ("remote_addr", Known::RemoteAddr),
    ("remote_port", Known::RemotePort),
    ("remote_user", Known::RemoteUser),
    ("request", Known::Request),
    ("request_id", Known::RequestId),
    ("request_line", Known::Request),
    ("request_llm_model", Known::RequestLlmModel),
    ("request_method", Known::RequestMethod),
    ("request_time", Known::RequestTime),
    ("request_type", Known::RequestType),
    ("request_uri", Known::RequestUri),
    ("route_id", Known::RouteId),
    ("scheme", Known::Scheme),
    ("server_addr", Known::ServerAddr),
    ("server_port", Known::ServerPort),
    ("server_protocol", Known::ServerProtocol),
    ("status", Known::Status),
    ("time_iso8601", Known::TimeIso8601),
    ("time_local", Known::TimeLocal),
    ("tollgate_attempts", Known::TollgateAttempts),
    ("tollgate_cost", Known::TollgateCost),
    ("tollgate_cost_state", Known::TollgateCostState),
    ("tollgate_error_code", Known::TollgateErrorCode),
    ("tollgate_instance", Known::TollgateInstance),
    ("tollgate_losses", Known::TollgateLosses),
    ("tollgate_outcome", Known::TollgateOutcome),
    ("tollgate_provider", Known::TollgateProvider),
    ("tollgate_usage", Known::TollgateUsage),
    ("upstream_addr", Known::UpstreamAddr),
    ("upstream_host", Known::UpstreamHost),
    ("upstream_response_time", Known::UpstreamResponseTime),
    ("upstream_scheme", Known::UpstreamScheme),
    ("upstream_status", Known::UpstreamStatus),
    ("upstream_uri", Known::UpstreamUri),
    ("uri", Known::Uri),
];

impl Known {
    pub(crate) fn write(self, record: &CallRecord<'_>, zone: Zone, out: &mut Vec<u8>) {
        match self {
            Known::ApisixUpstreamResponseTime => apisix_upstream_response_time(record, out),
            Known::Args => match record.request_uri.split_once('?') {
                Some((_, query)) => escape::write(&mask::query(query), out),
                None => out.push(b'-'),
            },
            Known::BodyBytesSent => number(record.body_bytes_sent, out),
            Known::BytesSent => number_or_dash(record.bytes_sent, out),
            Known::CacheCreationTokens => number(llm_tokens(record).cache_write, out),
            Known::CacheReadTokens => number(llm_tokens(record).cached, out),
            Known::CompletionTokens => number(llm_tokens(record).completion, out),
            Known::ConsumerName => text_or_dash(record.consumer, out),
            Known::DemoCompletionTokens => demo_tokens(record, |usage| usage.completion, out),
            Known::DemoPromptTokens => demo_tokens(record, |usage| usage.prompt, out),
            Known::DemoTotalTokens => demo_tokens(record, |usage| usage.total, out),
            Known::Host => text_or_dash(host_name(record).as_deref(), out),
            Known::HttpHost => text_or_dash(record.host, out),
            Known::HttpReferer => text_or_dash(record.referer.map(mask::uri).as_deref(), out),
            Known::HttpUserAgent => text_or_dash(record.user_agent, out),
            Known::HttpXForwardedFor => text_or_dash(record.x_forwarded_for, out),
            Known::LlmContentRiskLevel => {
                escape::write(record.content_risk_level.unwrap_or_default(), out);
            }
            Known::LlmEndUserId => escape::write(record.end_user.unwrap_or_default(), out),
            Known::LlmHasToolCalls => yes_or_no(record.has_tool_calls, out),
            Known::LlmModel => escape::write(record.upstream_model.unwrap_or_default(), out),
            Known::LlmResponseModel => escape::write(record.response_model.unwrap_or_default(), out),
            Known::LlmStream => yes_or_no(record.request_type == RequestType::AiStream, out),
            Known::LlmTimeToFirstToken => millis(record.time_to_first_token.unwrap_or_default(), out),
            Known::LlmToolCount => number(record.tool_count, out),
            Known::Msec => time::write_seconds(time::since_epoch(finished(record)), out),
            Known::Pid => number(u64::from(std::process::id()), out),
            Known::PromptTokens => number(llm_tokens(record).prompt, out),
            Known::ReasoningTokens => number(llm_tokens(record).reasoning, out),
            Known::RemoteAddr => address(record.remote_addr, out),
            Known::RemotePort => number(u64::from(record.remote_port), out),
            Known::RemoteUser => out.push(b'-'),
            Known::Request => {
                escape::write(record.method, out);
                out.push(b' ');
                escape::write(&mask::uri(record.request_uri), out);
                out.push(b' ');
                escape::write(record.http_version, out);
            }
            Known::RequestId => escape::write(record.request_id, out),
            Known::RequestLlmModel => escape::write(record.request_model.unwrap_or_default(), out),
            Known::RequestMethod => escape::write(record.method, out),
            Known::RequestTime => time::write_seconds(record.request_time, out),
            Known::RequestType => escape::write(record.request_type.as_str(), out),
            Known::RequestUri => escape::write(&mask::uri(record.request_uri), out),
            Known::RouteId => text_or_dash(record.route, out),
            Known::Scheme => escape::write(record.scheme, out),
            Known::ServerAddr => match record.server_addr {
                Some(server) => address(server.ip(), out),
                None => out.push(b'-'),
            },
            Known::ServerPort => {
                number_or_dash(
                    record.server_addr.as_ref().map(SocketAddr::port).map(u64::from),
                    out,
                );
            }
            Known::ServerProtocol => escape::write(record.http_version, out),
            Known::Status => number(u64::from(record.status), out),
            Known::TimeIso8601 => time::write_iso8601(finished(record), zone, out),
            Known::TimeLocal => time::write_local(finished(record), zone, out),
            Known::TollgateAttempts => list(record.attempts, out, |attempt, out| {
                escape::write(attempt.instance, out);
                out.push(b'=');
                escape::write(attempt.outcome, out);
            }),
            Known::TollgateErrorCode => text_or_dash(record.error_code, out),
            Known::TollgateInstance => text_or_dash(record.instance, out),
            Known::TollgateLosses => {
                text_or_dash(Some(record.losses).filter(|losses| !losses.is_empty()), out)
            }
            Known::TollgateOutcome => escape::write(outcome(record), out),
            Known::TollgateCost => match record.cost.amount() {
                Some(usd) => out.extend_from_slice(usd.to_string().as_bytes()),
                None => out.push(b'-'),
            },
            Known::TollgateCostState => out.extend_from_slice(record.cost.state().as_bytes()),
            Known::TollgateProvider => text_or_dash(record.provider, out),
            Known::TollgateUsage => out.extend_from_slice(match record.usage {
                Some(usage) if usage.estimated => b"estimated",
                Some(_) => b"stated",
                None => b"-",
            }),
            Known::TotalTokens => number(llm_tokens(record).total, out),
            Known::UpstreamAddr => list(record.attempts, out, |attempt, out| {
                text_or_dash(attempt.upstream_addr, out);
            }),
            Known::UpstreamHost => text_or_dash(record.upstream_host, out),
            Known::UpstreamResponseTime => upstream_response_time(record, out),
            Known::UpstreamScheme => text_or_dash(record.upstream_scheme, out),
            Known::UpstreamStatus => list(record.attempts, out, |attempt, out| {
                number_or_dash(attempt.status.map(u64::from), out);
            }),
            Known::UpstreamUri => upstream_uri(record, out),
            Known::Uri => {
                escape::write(path(record.request_uri), out);
            }
        }
    }
}

/// How a call ended, in one word: `client_gone`, else the outcome of the last attempt, else `ok` or `refused`.
pub(crate) fn outcome<'a>(record: &CallRecord<'a>) -> &'a str {
    match record.attempts.last() {
        _ if record.client_gone => "client_gone",
        Some(attempt) => attempt.outcome,
        None if record.status < 400 => "ok",
        None => "refused",
    }
}

/// When the call ended, which is the time nginx logs.
fn finished(record: &CallRecord<'_>) -> SystemTime {
    record
        .time
        .checked_add(record.request_time)
        .unwrap_or(record.time)
}

/// nginx's `$host`: the `Host` header in lower case, without the port.
fn host_name(record: &CallRecord<'_>) -> Option<String> {
    let host = record.host?;
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    Some(name.to_ascii_lowercase())
}

/// nginx's list of the attempts' times; the record's own time where it has no attempts.
fn upstream_response_time(record: &CallRecord<'_>, out: &mut Vec<u8>) {
    match (record.attempts, record.upstream_response_time) {
        ([], Some(duration)) => time::write_seconds(duration, out),
        _ => list(record.attempts, out, |attempt, out| {
            time::write_seconds(attempt.duration, out)
        }),
    }
}

/// Milliseconds of the last attempt for model calls, nginx's seconds for others.
fn apisix_upstream_response_time(record: &CallRecord<'_>, out: &mut Vec<u8>) {
    match (record.request_type, record.upstream_response_time) {
        (RequestType::TraditionalHttp, _) => upstream_response_time(record, out),
        (_, Some(duration)) => millis(duration, out),
        (_, None) => out.push(b'-'),
    }
}

/// The address without its query for model calls, as in APISIX: credentials may stand in it.
fn upstream_uri(record: &CallRecord<'_>, out: &mut Vec<u8>) {
    let uri = record.upstream_uri.unwrap_or_default();
    match record.request_type {
        RequestType::TraditionalHttp => escape::write(&mask::uri(uri), out),
        RequestType::AiChat | RequestType::AiStream => escape::write(path(uri), out),
    }
}

/// What the `$llm_*_tokens` variables tell.
fn llm_tokens(record: &CallRecord<'_>) -> TokenUsage {
    record.llm_tokens.of(record.usage.unwrap_or_default())
}

/// The demo sets its token variables only for a 200 with usage, and a JavaScript 0 is as good as nothing.
fn demo_tokens(record: &CallRecord<'_>, count: fn(&TokenUsage) -> u64, out: &mut Vec<u8>) {
    let tokens = record
        .usage
        .as_ref()
        .map(count)
        .filter(|tokens| record.status == 200 && *tokens > 0);
    if let Some(tokens) = tokens {
        number(tokens, out);
    }
}

/// `a, b`, one item per attempt; `-` where there was none.
fn list(attempts: &[Attempt<'_>], out: &mut Vec<u8>, write: impl Fn(&Attempt<'_>, &mut Vec<u8>)) {
    if attempts.is_empty() {
        out.push(b'-');
    }
    for (index, attempt) in attempts.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        write(attempt, out);
    }
}

/// An address without its query.
fn path(uri: &str) -> &str {
    uri.split_once('?').map_or(uri, |(path, _)| path)
}

fn yes_or_no(yes: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if yes { b"true" } else { b"false" });
}

fn text_or_dash(text: Option<&str>, out: &mut Vec<u8>) {
    escape::write(text.unwrap_or("-"), out);
}

fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn number_or_dash(value: Option<u64>, out: &mut Vec<u8>) {
    match value {
        Some(value) => number(value, out),
        None => out.push(b'-'),
    }
}

fn millis(duration: Duration, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(duration.as_millis()).as_bytes());
}

fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        // In every line and mostly so; the general formatter takes as long as the rest of a short line.
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(u64::from(octet), out);
            }
        }
        IpAddr::V6(address) => out.extend_from_slice(address.to_string().as_bytes()),
    }
}
