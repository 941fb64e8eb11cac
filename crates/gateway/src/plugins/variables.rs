//! Values of a call by the names that configurations use for them: `remote_addr`, `arg_model`, `http_user_agent`, …
//!
//! The names are those of nginx and APISIX. A name nobody knows has no value.

use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST};
use http::{HeaderMap, HeaderName};

use super::{Call, query};

/// The value of a variable for a call.
pub fn variable<'a>(call: &'a Call<'_>, name: &str) -> Option<Cow<'a, str>> {
    let uri = &call.request.uri;
    let headers = &call.request.headers;
    if let Some(argument) = name.strip_prefix("arg_") {
        return query::first(uri.query()?, argument);
    }
    if let Some(header) = name.strip_prefix("http_") {
        return joined(headers, &header.replace('_', "-").parse().ok()?);
    }
    if let Some(cookie) = name.strip_prefix("cookie_") {
        return cookies(headers)
            .find(|(key, _)| *key == cookie)
            .map(|(_, value)| Cow::Borrowed(value));
    }
    if let Some(parameter) = name.strip_prefix("uri_param_") {
        return call
            .path_parameters
            .iter()
            .find(|(key, _)| **key == *parameter)
            .map(|(_, value)| Cow::Borrowed(value.as_str()));
    }
    Some(match name {
        "remote_addr" => Cow::Owned(call.client.ip().to_canonical().to_string()),
        "remote_port" => Cow::Owned(call.client.port().to_string()),
        // What routes are matched by, so that no other spelling of a path passes a rule. A rewrite may have made one that
        // leads nowhere.
        "uri" => query::normalised_path(uri.path()).unwrap_or_else(|| query::decode_path(uri.path())),
        "request_uri" => uri.path_and_query().map_or("/", |text| text.as_str()).into(),
        "args" | "query_string" => uri.query()?.into(),
        "is_args" => if uri.query().is_some() { "?" } else { "" }.into(),
        "host" => Cow::Owned(host(call)?.0.to_ascii_lowercase()),
        "server_port" => match host(call).and_then(|(_, port)| port) {
            Some(port) => port.into(),
            None if call.tls => "443".into(),
            None => "80".into(),
        },
        "scheme" => if call.tls { "https" } else { "http" }.into(),
        "https" => if call.tls { "on" } else { "" }.into(),
        "request_method" | "method" => call.request.method.as_str().into(),
        "content_type" => joined(headers, &CONTENT_TYPE)?,
        "content_length" => joined(headers, &CONTENT_LENGTH)?,
        "request_id" | "apisix_request_id" => call.request_id.into(),
        "route_id" => call.route_id.into(),
        "service_id" => call.service_id?.into(),
        "consumer_name" => (&*call.consumer.as_ref()?.consumer.name).into(),
        "consumer_group_id" => call.consumer.as_ref()?.consumer.group.as_deref()?.into(),
        _ => return None,
    })
}

/// The cookies a client sent, in order.
pub(crate) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

/// Host and port as the client named them.
fn host<'a>(call: &'a Call<'_>) -> Option<(&'a str, Option<&'a str>)> {
    let named = match call.request.headers.get(HOST) {
        Some(value) => value.to_str().ok()?,
        None => call.request.uri.authority()?.as_str(),
    };
    // The last colon, unless it is inside the brackets of an IPv6 address.
    match named.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => Some((host, Some(port))),
        _ => Some((named, None)),
    }
}

fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
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
    Some(Cow::Owned(all))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Caller;
    use super::*;

    #[test]
    fn the_path_is_the_one_that_routes_are_matched_by() {
        for (written, uri) in [
            ("/x/../a//b", "/a/b"),
            ("/x/%2e%2e/a", "/a"),
            ("/%2e%2e/a", "/../a"),
        ] {
            assert_eq!(
                variable(&Caller::get(written).call(), "uri").as_deref(),
                Some(uri)
            );
        }
    }

    #[test]
    fn variables_tell_what_the_client_sent() {
        let mut caller = Caller::get("/a%20b?model=gpt%204&x")
            .header("host", "API.example.com:8443")
            .header("user-agent", "curl")
            .header("x-tag", "1")
            .header("x-tag", "2")
            .header("cookie", "a=1; session=s=1");
        let call = caller.call();
        for (name, value) in [
            ("remote_addr", Some("203.0.113.7")),
            ("uri", Some("/a b")),
            ("request_uri", Some("/a%20b?model=gpt%204&x")),
            ("args", Some("model=gpt%204&x")),
            ("arg_model", Some("gpt 4")),
            ("arg_x", Some("")),
            ("arg_y", None),
            ("http_user_agent", Some("curl")),
            ("http_x_tag", Some("1, 2")),
            ("http_absent", None),
            ("cookie_session", Some("s=1")),
            ("cookie_none", None),
            ("host", Some("api.example.com")),
            ("server_port", Some("8443")),
            ("scheme", Some("http")),
            ("request_method", Some("GET")),
            ("route_id", Some("r1")),
            ("service_id", Some("s1")),
            ("consumer_name", None),
            ("nobody_knows", None),
        ] {
            assert_eq!(variable(&call, name).as_deref(), value, "{name}");
        }
    }
}
