//! The head that a server gets, and that the client gets back: what belongs to one connection stays there, and only we say
//! who calls.

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use crate::pipeline::Record;

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
static REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Removes the headers that `Connection` names. What frames, routes or upgrades a request is read elsewhere and stays.
pub fn remove_named_by_connection(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    let kept = [CONNECTION, UPGRADE, HOST, CONTENT_LENGTH, TRANSFER_ENCODING];
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !kept.contains(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// The protocol a client wants to change to, if it asks for one. HTTP/2 without TLS is none: it would carry further requests
/// past all rules.
pub fn upgrade(request: &Parts) -> Option<HeaderValue> {
    let asks = request.version == Version::HTTP_11
        && request.headers.get_all(CONNECTION).iter().any(|value| {
            value.to_str().is_ok_and(|value| {
                value
                    .split(',')
                    .any(|name| name.trim().eq_ignore_ascii_case("upgrade"))
            })
        });
    let protocol = request.headers.get(UPGRADE).filter(|_| asks)?;
    let text = protocol.to_str().ok()?;
    let is_http = text
        .split(',')
        .any(|name| name.trim().to_ascii_lowercase().starts_with("h2c"));
    (!is_http && !text.is_empty()).then(|| protocol.clone())
}

/// The headers for a server, without `Host` and body length.
pub fn for_server(record: &Record, upgrade: Option<&HeaderValue>) -> HeaderMap {
    let request = &record.request;
    let mut headers = request.headers.clone();
    let client_host = client_host(request);
    remove_hop_by_hop(&mut headers);
    headers.remove(TRAILER);
    // The client has been told to continue by us.
    headers.remove(EXPECT);
    headers.remove(HOST);
    headers.remove(FORWARDED);
    if request.version == Version::HTTP_2 {
        join_cookies(&mut headers);
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    let client = record.client().ip().to_canonical().to_string();
    let chain: Vec<&str> = request
        .headers
        .get_all(&FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .chain([client.as_str()])
        .collect();
    let chain = chain.join(", ");
    let mut set = |name: &HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    set(&FORWARDED_FOR, &chain);
    set(&REAL_IP, &client);
    if record.is_forwarded_by_trusted() {
        return headers;
    }
    set(
        &FORWARDED_PROTO,
        if record.is_encrypted() { "https" } else { "http" },
    );
    let port = match client_host.as_ref().and_then(port_of) {
        Some(port) => port,
        None => record.server_port(),
    };
    set(&FORWARDED_PORT, &port.to_string());
    if let Some(host) = client_host {
        headers.insert(&FORWARDED_HOST, host);
    }
    headers
}

/// The `Host` the client sent.
pub fn client_host(request: &Parts) -> Option<HeaderValue> {
    request.headers.get(HOST).cloned().or_else(|| {
        let authority = request.uri.authority().map(Authority::as_str)?;
        HeaderValue::from_str(authority).ok()
    })
}

/// The name in a `Host`, without its port and brackets.
pub fn name_of(host: &HeaderValue) -> Option<&str> {
    let text = host.to_str().ok()?;
    if let Some((name, _)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return Some(name);
    }
    Some(text.split_once(':').map_or(text, |(name, _)| name))
}

/// The headers of a server's answer, for the client.
pub fn for_client(headers: &mut HeaderMap) {
    remove_named_by_connection(headers);
    remove_hop_by_hop(headers);
}

/// Says how long a body is that was read as a whole.
pub fn set_length(headers: &mut HeaderMap, method: &Method, length: usize) {
    let has_none = length == 0 && matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if has_none && !headers.contains_key(CONTENT_LENGTH) {
        return;
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}

/// Says that a body of unknown length follows. The HTTP client would do so too, but not for `GET` and `HEAD`, whose body it
/// would drop in silence.
pub fn announce_stream(headers: &mut HeaderMap) {
    if !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in [
        &CONNECTION,
        &KEEP_ALIVE,
        &PROXY_CONNECTION,
        &TE,
        &TRANSFER_ENCODING,
        &UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// HTTP/2 may split cookies over several fields; HTTP/1.1 servers expect one.
fn join_cookies(headers: &mut HeaderMap) {
    let values: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if values.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&values.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

fn port_of(host: &HeaderValue) -> Option<u16> {
    let (_, port) = host.to_str().ok()?.rsplit_once(':')?;
    port.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::header::{CONNECTION, COOKIE, HOST};
    use http::request::Parts;
    use http::{HeaderMap, HeaderName, HeaderValue, Request};

    use super::{for_client, join_cookies, name_of, remove_named_by_connection, upgrade};

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    fn request(list: &[(&str, &str)]) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.headers = headers(list);
        parts
    }

    #[test]
    fn headers_named_by_connection_go_but_never_host_or_framing() {
        let mut all = headers(&[
            ("connection", "close, X-Hop, host, content-length"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("host", "h"),
            ("content-length", "1"),
            ("x-kept", "1"),
        ]);
        remove_named_by_connection(&mut all);
        assert!(!all.contains_key("x-hop") && !all.contains_key("x-other"));
        assert!(all.contains_key(HOST) && all.contains_key("content-length") && all.contains_key("x-kept"));
    }

    #[test]
    fn what_belongs_to_the_connection_does_not_reach_the_client() {
        let mut all = headers(&[
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ]);
        for_client(&mut all);
        assert_eq!(all, headers(&[("set-cookie", "a=1"), ("set-cookie", "b=2")]));
    }

    #[test]
    fn only_upgrades_to_something_other_than_http_are_asked_for() {
        let asked =
            |list: &[(&str, &str)]| upgrade(&request(list)).map(|value| value.to_str().unwrap().to_owned());
        let websocket = ("upgrade", "websocket");
        assert_eq!(
            asked(&[websocket, ("connection", "keep-alive, Upgrade")]).as_deref(),
            Some("websocket")
        );
        assert_eq!(asked(&[websocket]), None);
        assert_eq!(asked(&[("connection", "upgrade")]), None);
        assert_eq!(asked(&[("upgrade", "h2c"), ("connection", "upgrade")]), None);
    }

    #[test]
    fn cookies_are_joined_for_http_1() {
        let mut all = headers(&[("cookie", "a=1"), ("cookie", "b=2")]);
        join_cookies(&mut all);
        assert_eq!(all.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert!(!all.contains_key(CONNECTION));
    }

    #[test]
    fn the_name_of_a_host_has_no_port() {
        for (host, name) in [("a.example", "a.example"), ("a:80", "a"), ("[::1]:80", "::1")] {
            assert_eq!(name_of(&HeaderValue::from_static(host)), Some(name));
        }
    }
}
