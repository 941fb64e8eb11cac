//! The members of an entry without a `log_format`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use http::{HeaderMap, HeaderValue};

use super::json::{self, Members};
use super::variable::{arguments, host_name, millis, request_length, server_port};
use super::{Entry, Scene, cut};
use crate::format::mask;

/// Names of members that a format of extra members cannot take.
const TAKEN: [&str; 10] = [
    "request",
    "response",
    "server",
    "client_ip",
    "start_time",
    "latency",
    "apisix_latency",
    "llm_summary",
    "llm_request",
    "llm_response_text",
];

pub(super) fn write(scene: &Scene<'_>, entry: &Entry, members: &mut Members<'_>) {
    let call = scene.call;
    members.object("request", |request| write_request(scene, request));
    members.object("response", |response| {
        response.number("status", u64::from(call.status));
        response.object("headers", |headers| {
            write_headers(call.response_headers, scene, headers);
        });
        response.number("size", call.bytes_sent.unwrap_or(call.body_bytes_sent));
        if let (Some(limit), Some(body)) = (scene.bodies.response, call.response_body) {
            json::bytes(cut(body, limit), response.key("body"));
        }
    });
    members.object("server", |server| {
        server.text("hostname", hostname());
        server.text("version", env!("CARGO_PKG_VERSION"));
    });
    let upstream = upstream(scene);
    members.text_if("upstream", upstream.as_deref());
    let host = host_name(call);
    let service = match call.route {
        Some(_) => Some(call.service.unwrap_or_default()),
        None => host.as_deref(),
    };
    members.text_if("service_id", service);
    let route = call.route.or(entry.unmatched_route_id);
    members.text_if("route_id", route);
    if let Some(consumer) = call.consumer {
        members.object("consumer", |members| members.text("username", consumer));
    }
    members.text("client_ip", &call.remote_addr.to_string());
    let start = call.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    members.number("start_time", millis(start));
    members.millis("latency", call.request_time);
    let upstream_time = call.upstream_response_time;
    if let Some(time) = upstream_time {
        members.millis("upstream_latency", time);
    }
    members.millis(
        "apisix_latency",
        call.request_time
            .saturating_sub(upstream_time.unwrap_or_default()),
    );
    if let Some(extra) = &entry.log_format_extra {
        extra.write_members(scene, members, |name| match name {
            "upstream" => upstream.is_none(),
            "service_id" => service.is_none(),
            "route_id" => route.is_none(),
            "consumer" => call.consumer.is_none(),
            "upstream_latency" => upstream_time.is_none(),
            name => !TAKEN.contains(&name),
        });
    }
}

/// The name of this machine.
pub(crate) fn hostname() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let read = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::fs::read_to_string("/etc/hostname"));
        let name = read.unwrap_or_default().trim().to_owned();
        if name.is_empty() {
            std::env::var("HOSTNAME").unwrap_or_default()
        } else {
            name
        }
    });
    &NAME
}

fn write_request(scene: &Scene<'_>, request: &mut Members<'_>) {
    let call = scene.call;
    let uri = scene.uri(call.request_uri);
    let host = host_name(call).unwrap_or_default();
    let url = format!("{}://{host}:{}{uri}", call.scheme, server_port(call));
    request.text("url", &url);
    request.text("uri", &uri);
    request.text("method", call.method);
    request.object("headers", |headers| {
        write_headers(Some(call.request_headers), scene, headers);
    });
    request.object("querystring", |members| write_query(scene, members));
    request.number("size", request_length(call));
    if let (Some(limit), Some(body)) = (scene.bodies.request, call.request_body) {
        let body = cut(body, limit);
        if !body.is_empty() {
            json::bytes(body, request.key("body"));
        }
    }
}

/// Headers by their names in lower case; those that came more than once are lists.
fn write_headers(headers: Option<&HeaderMap>, scene: &Scene<'_>, members: &mut Members<'_>) {
    for name in headers.into_iter().flat_map(HeaderMap::keys) {
        let mut values = headers.into_iter().flat_map(|headers| headers.get_all(name));
        let (Some(first), second) = (values.next(), values.next()) else {
            continue;
        };
        let out = members.key(name.as_str());
        let value = |value: &HeaderValue, out: &mut Vec<u8>| {
            json::bytes(&scene.header(name.as_str(), value.as_bytes()), out);
        };
        let Some(second) = second else {
            value(first, out);
            continue;
        };
        out.push(b'[');
        value(first, out);
        for next in std::iter::once(second).chain(values) {
            out.push(b',');
            value(next, out);
        }
        out.push(b']');
    }
}

/// Arguments by name; those without a value are `true`, those that came more than once are lists.
fn write_query(scene: &Scene<'_>, members: &mut Members<'_>) {
    let Some((_, query)) = scene.call.request_uri.split_once('?') else {
        return;
    };
    let mut by_name: BTreeMap<Cow<'_, str>, Vec<Option<Cow<'_, str>>>> = BTreeMap::new();
    for (name, value) in arguments(query).take(MAX_ARGUMENTS) {
        by_name.entry(name).or_default().push(value);
    }
    for (name, values) in by_name {
        let is_secret = scene.hides(&name);
        let one = |value: &Option<Cow<'_, str>>, out: &mut Vec<u8>| match value {
            Some(value) if is_secret && !value.is_empty() => json::text(mask::MASK, out),
            Some(value) => json::text(value, out),
            None => out.extend_from_slice(b"true"),
        };
        let out = members.key(&name);
        match values.as_slice() {
            [value] => one(value, out),
            values => {
                out.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    one(value, out);
                }
                out.push(b']');
            }
        }
    }
}

/// The addresses that were tried, as nginx tells them.
fn upstream(scene: &Scene<'_>) -> Option<String> {
    let addresses: Vec<&str> = scene
        .call
        .attempts
        .iter()
        .filter_map(|attempt| attempt.upstream_addr)
        .collect();
    (!addresses.is_empty()).then(|| addresses.join(", "))
}

/// Arguments of a query that are told at most, as in APISIX.
const MAX_ARGUMENTS: usize = 100;
