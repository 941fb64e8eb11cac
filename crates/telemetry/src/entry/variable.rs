//! The variables of log formats: those of access logs, and what nginx has by the name of a header, an argument or a cookie.
//!
//! Values are told as they are, not escaped as in access logs. What nginx tells is text, also where it is a number; what
//! APISIX counts for model calls is a number once it was counted.

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderMap;
use http::header::COOKIE;

use super::{Bodies, Scene, cut};
use crate::format::mask;
use crate::format::time::Zone;
use crate::format::variables::{self, Known};
use crate::record::{CallRecord, RequestType};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// One that access logs have.
    Known(Known),
    /// `http_<name>`
    Header(Box<str>),
    /// `sent_http_<name>`
    SentHeader(Box<str>),
    /// `arg_<name>`
    Argument(Box<str>),
    /// `cookie_<name>`
    Cookie(Box<str>),
    /// `request_body`
    RequestBody,
    /// `resp_body`
    ResponseBody,
    /// `service_id`
    ServiceId,
    /// `request_length`
    RequestLength,
    /// `hostname`
    Hostname,
    /// `is_args`
    IsArgs,
    /// `https`
    Https,
}

/// The value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// As text.
    Text(Cow<'a, str>),
    /// As a number.
    Number(u64),
    /// Bytes that may be no text.
    Bytes(&'a [u8]),
}

/// The value of a variable (without `$`) of a finished call, with credentials masked and without bodies.
pub(crate) fn shown<'a>(call: &'a CallRecord<'a>, name: &str) -> Option<Told<'a>> {
    let scene = Scene {
        call,
        bodies: Bodies::default(),
        reveals: false,
    };
    Source::named(name)?.value(&scene).map(Told::detached)
}

/// The value of a variable (without `$`) of a finished call, as expressions of loggers see it: nothing is masked.
pub fn lookup<'a>(call: &'a CallRecord<'a>, name: &str) -> Option<Told<'a>> {
    let scene = Scene {
        call,
        bodies: Bodies {
            variable: usize::MAX,
            ..Bodies::default()
        },
        reveals: true,
    };
    Source::named(name)?.value(&scene).map(Told::detached)
}

impl Source {
    /// The variable of that name.
    pub(super) fn named(name: &str) -> Option<Source> {
        let header = |name: &str| -> Box<str> { name.to_ascii_lowercase().replace('_', "-").into() };
        Some(match name {
            "request_body" => Source::RequestBody,
            "resp_body" => Source::ResponseBody,
            "service_id" => Source::ServiceId,
            "request_length" => Source::RequestLength,
            "hostname" => Source::Hostname,
            "is_args" => Source::IsArgs,
            "https" => Source::Https,
            "method" => Source::Known(Known::RequestMethod),
            "content_type" => Source::Header("content-type".into()),
            "content_length" => Source::Header("content-length".into()),
            _ => {
                if let Some(known) = variables::known(name) {
                    return Some(Source::Known(known));
                }
                if let Some(name) = name.strip_prefix("http_") {
                    return Some(Source::Header(header(name)));
                }
                if let Some(name) = name.strip_prefix("sent_http_") {
                    return Some(Source::SentHeader(header(name)));
                }
                if let Some(name) = name.strip_prefix("arg_") {
                    return Some(Source::Argument(name.into()));
                }
                return name
                    .strip_prefix("cookie_")
                    .map(|name| Source::Cookie(name.into()));
            }
        })
    }

    pub(super) fn value<'a>(&self, scene: &Scene<'a>) -> Option<Told<'a>> {
        let call = scene.call;
        let masked = |name: &str, value: Cow<'a, str>| match scene.hides(name) {
            false => Told::Text(value),
            true => Told::Text(mask::MASK.into()),
        };
        match self {
            Source::Known(known) => known_value(*known, scene),
            Source::Header(name) => Some(masked(name, joined(call.request_headers, name)?)),
            Source::SentHeader(name) => Some(masked(name, joined(call.response_headers?, name)?)),
            Source::Argument(name) => {
                let query = call.request_uri.split_once('?')?.1;
                let (_, value) = arguments(query).find(|(key, _)| **key == **name)?;
                Some(masked(name, value.unwrap_or_default()))
            }
            Source::Cookie(name) => {
                let value = cookies(call.request_headers).find(|(key, _)| *key == &**name)?.1;
                Some(Told::Text(match scene.reveals {
                    true => value.into(),
                    // What a cookie means is known to its application alone.
                    false => mask::MASK.into(),
                }))
            }
            Source::RequestBody => {
                let body = cut(call.request_body?, scene.bodies.variable);
                (!body.is_empty()).then_some(Told::Bytes(body))
            }
            Source::ResponseBody => Some(match scene.bodies.response {
                Some(limit) => Told::Bytes(cut(call.response_body?, limit)),
                None => Told::Text("".into()),
            }),
            Source::ServiceId => Some(Told::Text(call.service?.into())),
            Source::RequestLength => Some(Told::Text(request_length(call).to_string().into())),
            Source::Hostname => Some(Told::Text(super::default::hostname().into())),
            Source::IsArgs => Some(Told::Text(
                if call.request_uri.contains('?') { "?" } else { "" }.into(),
            )),
            Source::Https => Some(Told::Text(if call.scheme == "https" { "on" } else { "" }.into())),
        }
    }
}

impl<'a> Told<'a> {
    /// Appends it as JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Told::Text(text) => super::json::text(text, out),
            Told::Number(number) => super::json::number(*number, out),
            Told::Bytes(bytes) => super::json::bytes(bytes, out),
        }
    }

    fn detached(self) -> Told<'a> {
        match self {
            Told::Bytes(bytes) => Told::Text(String::from_utf8_lossy(bytes)),
            told => told,
        }
    }
}

fn known_value<'a>(known: Known, scene: &Scene<'a>) -> Option<Told<'a>> {
    let call = scene.call;
    let text = |text: Option<&'a str>| text.map(|text| Told::Text(text.into()));
    let uri = |uri: &'a str| scene.uri(uri);
    let is_model_call = is_model_call(call);
    // 0 is what nginx begins with, as text; what was counted is a number.
    let count = |number: u64, is_counted: bool| match is_counted {
        true => Told::Number(number),
        false => Told::Text("0".into()),
    };
    let tokens = call.llm_tokens.of(call.usage.unwrap_or_default());
    let is_used = is_model_call && call.usage.is_some();
    let told = match known {
        Known::Args => {
            let query = call.request_uri.split_once('?')?.1;
            Told::Text(match scene.reveals {
                true => query.into(),
                false => mask::query(query, call.secret_names),
            })
        }
        Known::Uri => return text(Some(path(call.request_uri))),
        Known::RequestUri => Told::Text(uri(call.request_uri)),
        Known::Request => {
            Told::Text(format!("{} {} {}", call.method, uri(call.request_uri), call.http_version).into())
        }
        Known::HttpHost => return text(call.host),
        Known::HttpReferer => Told::Text(uri(call.referer?)),
        Known::HttpUserAgent => return text(call.user_agent),
        Known::HttpXForwardedFor => return text(call.x_forwarded_for),
        Known::Host => Told::Text(host_name(call)?.into()),
        Known::ServerPort => Told::Text(server_port(call).to_string().into()),
        Known::ConsumerName => return text(call.consumer),
        Known::RouteId => return text(call.route),
        Known::RequestId => return text(Some(call.request_id)),
        Known::RequestMethod => return text(Some(call.method)),
        Known::Scheme => return text(Some(call.scheme)),
        Known::RequestLlmModel => return text(Some(call.request_model.unwrap_or_default())),
        Known::LlmModel => return text(Some(call.upstream_model.unwrap_or_default())),
        Known::LlmResponseModel => return text(Some(call.response_model.unwrap_or_default())),
        Known::LlmEndUserId => return text(Some(call.end_user.unwrap_or_default())),
        Known::LlmContentRiskLevel => return text(Some(call.content_risk_level.unwrap_or_default())),
        Known::LlmTimeToFirstToken => match call.time_to_first_token.filter(|_| is_model_call) {
            Some(time) => Told::Number(millis(time)),
            None => count(0, false),
        },
        Known::ApisixUpstreamResponseTime if is_model_call => {
            Told::Number(millis(call.upstream_response_time?))
        }
        Known::LlmToolCount => count(call.tool_count, is_model_call),
        Known::PromptTokens => count(tokens.prompt, is_used),
        Known::CompletionTokens => count(tokens.completion, is_used),
        Known::TotalTokens => count(tokens.total, is_used),
        Known::CacheReadTokens => count(tokens.cached, is_used),
        Known::CacheCreationTokens => count(tokens.cache_write, is_used),
        Known::ReasoningTokens => count(tokens.reasoning, is_used),
        Known::UpstreamHost => return text(call.upstream_host),
        Known::UpstreamScheme => return text(call.upstream_scheme),
        Known::UpstreamUri => {
            let upstream_uri = call.upstream_uri?;
            Told::Text(match is_model_call {
                true => path(upstream_uri).into(),
                false => uri(upstream_uri),
            })
        }
        Known::TollgateErrorCode => return text(call.error_code),
        Known::TollgateInstance => return text(call.instance),
        Known::TollgateProvider => return text(call.provider),
        Known::TollgateLosses => return text(Some(call.losses).filter(|losses| !losses.is_empty())),
        Known::TollgateAttempts => Told::Text(attempts(call)?.into()),
        // Numbers, times, addresses and words of ours: nothing in them is escaped.
        known => {
            let mut value = Vec::new();
            known.write(call, Zone::Local, &mut value);
            let value = String::from_utf8(value).ok().filter(|value| value != "-")?;
            Told::Text(value.into())
        }
    };
    Some(told)
}

fn attempts(call: &CallRecord<'_>) -> Option<String> {
    let each = call.attempts.iter();
    let told: Vec<String> = each
        .map(|attempt| format!("{}={}", attempt.instance, attempt.outcome))
        .collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// Whether a model was asked.
pub(super) fn is_model_call(call: &CallRecord<'_>) -> bool {
    call.request_type != RequestType::TraditionalHttp && !call.attempts.is_empty()
}

/// Milliseconds, whole ones.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// An address without its query.
fn path(uri: &str) -> &str {
    uri.split_once('?').map_or(uri, |(path, _)| path)
}

/// nginx's `$host`: in lower case, without the port.
pub(super) fn host_name(call: &CallRecord<'_>) -> Option<String> {
    let host = call.host?;
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    Some(name.to_ascii_lowercase())
}

/// The port that the call came in on, else the one the client named, else the scheme's.
pub(super) fn server_port(call: &CallRecord<'_>) -> u16 {
    let named = || call.host?.rsplit_once(':')?.1.parse().ok();
    let default = if call.scheme == "https" { 443 } else { 80 };
    call.server_addr
        .map(|address| address.port())
        .or_else(named)
        .unwrap_or(default)
}

/// Bytes of the request as HTTP/1.1 writes it: request line, headers and body.
pub(super) fn request_length(call: &CallRecord<'_>) -> u64 {
    let line = call.method.len() + call.request_uri.len() + call.http_version.len() + 4;
    let headers: usize = call
        .request_headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    u64::try_from(line + headers + 2).unwrap_or(u64::MAX) + call.request_bytes
}

/// The values of a header, as one text.
pub(super) fn joined<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    let mut values = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = values.next()?;
    let Some(second) = values.next() else {
        return Some(first);
    };
    let mut all = format!("{first}, {second}");
    for value in values {
        all.push_str(", ");
        all.push_str(&value);
    }
    Some(all.into())
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

/// The arguments of a query, decoded; those without `=` have no value.
pub(super) fn arguments(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Option<Cow<'_, str>>)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => (decoded(name), Some(decoded(value))),
            None => (decoded(pair), None),
        })
}

fn decoded(text: &str) -> Cow<'_, str> {
    match text.contains('+') {
        true => Cow::Owned(mask::percent_decoded(&text.replace('+', " ")).into_owned()),
        false => mask::percent_decoded(text),
    }
}
