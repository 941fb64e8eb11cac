//! The headers of a request to a vendor.
//!
//! A vendor gets what the client sent, except what concerns the connection and what proves or tells who the client is:
//! a consumer's key is none of a vendor's business.

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

use super::catalogue::{Key, Served};
use super::config::InstanceConf;
use super::protocol::Protocol;

/// A configured header cannot be sent. The operator's fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("auth.header: `{name}` cannot be sent")]
pub struct UnusableHeader {
    /// Its name.
    pub name: String,
}

/// Makes the headers of a request to a vendor from those of the client. `host`, `content-length` and what signs or
/// authorises by other means than `auth.header` is left to the caller. `protocol` is the one the vendor is spoken to in.
///
/// `strict` forwards the client's credentials as APISIX does.
///
/// # Errors
/// A configured header cannot be sent.
pub fn headers(
    client: &HeaderMap,
    conf: &InstanceConf,
    protocol: Protocol,
    served: Served,
    strict: bool,
) -> Result<HeaderMap, UnusableHeader> {
    let mut out = HeaderMap::with_capacity(client.len() + conf.auth.header.len() + 2);
    for (name, value) in client {
        if !concerns_connection(name, client) && (strict || !tells_who(name)) {
            out.append(name.clone(), value.clone());
        }
    }
    for (name, value) in &conf.auth.header {
        let unusable = || UnusableHeader { name: name.clone() };
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| unusable())?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
        // As in APISIX the caller decides these, whoever wrote them.
        if !OWN.contains(&name.as_str()) {
            out.insert(name, value);
        }
    }
    out.insert(CONTENT_TYPE, content_type(client, protocol));
    if served == Served::AnthropicAsOpenai {
        leave_anthropic(&mut out);
    }
    let to_anthropic = protocol == Protocol::AnthropicMessages && conf.provider.key() == Key::XApiKey;
    if to_anthropic && !out.contains_key(ANTHROPIC_VERSION) {
        out.insert(ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01"));
    }
    Ok(out)
}

/// The type of the body. A form of several parts cannot be read without the boundary that the client's own type names.
fn content_type(client: &HeaderMap, protocol: Protocol) -> HeaderValue {
    client
        .get(CONTENT_TYPE)
        .filter(|value| {
            protocol == Protocol::Passthrough && value.as_bytes().starts_with(b"multipart/form-data")
        })
        .cloned()
        .unwrap_or(HeaderValue::from_static("application/json"))
}

/// Turns headers for Anthropic into those for OpenAI.
fn leave_anthropic(headers: &mut HeaderMap) {
    if let Some(key) = headers.remove("x-api-key")
        && !headers.contains_key(AUTHORIZATION)
    {
        let bearer = [b"Bearer ", key.as_bytes()].concat();
        if let Ok(mut value) = HeaderValue::from_bytes(&bearer) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
    let gone: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("anthropic-") || name.as_str().starts_with("x-stainless-"))
        .cloned()
        .collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Whether a header is about the client's connection or the bytes on it (RFC 9110, section 7.6.1).
fn concerns_connection(name: &HeaderName, client: &HeaderMap) -> bool {
    let named = || {
        client
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    OWN.contains(&name.as_str()) || HOP_BY_HOP.contains(&name.as_str()) || named()
}

/// Whether a header proves or tells who the client is, to the gateway and nobody else.
fn tells_who(name: &HeaderName) -> bool {
    let name = name.as_str();
    CREDENTIALS.contains(&name) || ABOUT.iter().any(|prefix| name.starts_with(prefix))
}

const ANTHROPIC_VERSION: &str = "anthropic-version";

/// Made anew for every request.
const OWN: [&str; 4] = ["host", "content-length", "accept-encoding", "expect"];

const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

const CREDENTIALS: [&str; 10] = [
    "authorization",
    "proxy-authorization",
    "apikey",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "x-credential-identifier",
    "forwarded",
    "x-real-ip",
];

/// Beginnings of names; the last one belongs to signatures for the gateway.
const ABOUT: [&str; 3] = ["x-consumer-", "x-forwarded-", "x-amz-"];

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use serde_json::{Value, json};

    use super::{Protocol, Served, headers};

    fn client(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        pairs.iter().map(pair).collect()
    }

    fn sent(
        client: &HeaderMap,
        conf: Value,
        protocol: Protocol,
        served: Served,
        strict: bool,
    ) -> Vec<String> {
        let conf = serde_json::from_value(conf).unwrap();
        let headers = headers(client, &conf, protocol, served, strict).unwrap();
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    fn openai() -> Value {
        json!({"provider": "openai", "auth": {"header": {"Authorization": "Bearer vendor"}}})
    }

    #[test]
    fn the_vendor_gets_the_client_s_headers_but_neither_keys_nor_addresses() {
        let client = client(&[
            ("user-agent", "sdk"),
            ("x-stainless-lang", "python"),
            ("content-type", "text/plain"),
            ("host", "gateway"),
            ("content-length", "3"),
            ("accept-encoding", "br"),
            ("expect", "100-continue"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("authorization", "Bearer consumer"),
            ("apikey", "consumer"),
            ("x-api-key", "consumer"),
            ("cookie", "session"),
            ("x-consumer-username", "jack"),
            ("x-credential-identifier", "c"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("traceparent", "00-1"),
        ]);
        assert_eq!(
            sent(&client, openai(), Protocol::OpenaiChat, Served::AsItIs, false),
            [
                "authorization: Bearer vendor",
                "content-type: application/json",
                "traceparent: 00-1",
                "user-agent: sdk",
                "x-stainless-lang: python",
            ]
        );
    }

    #[test]
    fn strictly_the_client_s_keys_are_forwarded_unless_replaced() {
        let client = client(&[
            ("authorization", "Bearer consumer"),
            ("apikey", "consumer"),
            ("te", "x"),
        ]);
        assert_eq!(
            sent(&client, openai(), Protocol::OpenaiChat, Served::AsItIs, true),
            [
                "apikey: consumer",
                "authorization: Bearer vendor",
                "content-type: application/json",
            ]
        );
    }

    #[test]
    fn only_a_form_that_is_passed_through_keeps_its_type() {
        let form = "multipart/form-data; boundary=x";
        for (protocol, sent_type, expected) in [
            (Protocol::Passthrough, form, form),
            (
                Protocol::Passthrough,
                "application/json; charset=utf-8",
                "application/json",
            ),
            (Protocol::OpenaiChat, form, "application/json"),
        ] {
            let client = client(&[("content-type", sent_type)]);
            let lines = sent(&client, openai(), protocol, Served::AsItIs, false);
            assert!(lines.contains(&format!("content-type: {expected}")), "{lines:?}");
        }
    }

    #[test]
    fn several_values_of_a_header_all_pass() {
        let client = client(&[("x-tag", "a"), ("x-tag", "b")]);
        let lines = sent(&client, openai(), Protocol::OpenaiChat, Served::AsItIs, false);
        assert!(lines.contains(&"x-tag: a".to_owned()) && lines.contains(&"x-tag: b".to_owned()));
    }

    #[test]
    fn anthropic_is_told_a_version_unless_client_or_operator_name_one() {
        let conf = |version: Option<&str>| {
            let mut header = json!({"x-api-key": "k"});
            if let Some(version) = version {
                header["Anthropic-Version"] = json!(version);
            }
            json!({"provider": "anthropic", "auth": {"header": header}})
        };
        let version = |client: &HeaderMap, conf: Value, protocol: Protocol| {
            sent(client, conf, protocol, Served::AsItIs, false)
                .into_iter()
                .find_map(|line| line.strip_prefix("anthropic-version: ").map(str::to_owned))
        };
        let (bare, newer) = (client(&[]), client(&[("anthropic-version", "2030-01-01")]));
        let messages = Protocol::AnthropicMessages;
        assert_eq!(
            version(&bare, conf(None), messages).as_deref(),
            Some("2023-06-01")
        );
        assert_eq!(
            version(&newer, conf(None), messages).as_deref(),
            Some("2030-01-01")
        );
        assert_eq!(version(&newer, conf(Some("1")), messages).as_deref(), Some("1"));
        assert_eq!(version(&bare, conf(None), Protocol::OpenaiChat), None);
    }

    #[test]
    fn a_translated_request_has_headers_of_openai() {
        let client = client(&[
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "x"),
            ("x-stainless-os", "y"),
            ("user-agent", "sdk"),
        ]);
        let conf = json!({"provider": "deepseek", "auth": {"header": {"x-api-key": "k"}}});
        assert_eq!(
            sent(
                &client,
                conf,
                Protocol::OpenaiChat,
                Served::AnthropicAsOpenai,
                false
            ),
            [
                "authorization: Bearer k",
                "content-type: application/json",
                "user-agent: sdk"
            ]
        );
        let conf =
            json!({"provider": "deepseek", "auth": {"header": {"x-api-key": "k", "authorization": "own"}}});
        assert_eq!(
            sent(
                &client,
                conf,
                Protocol::OpenaiChat,
                Served::AnthropicAsOpenai,
                false
            ),
            [
                "authorization: own",
                "content-type: application/json",
                "user-agent: sdk"
            ]
        );
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_named_and_its_value_is_not() {
        let conf = json!({"provider": "openai", "auth": {"header": {"X-Key": "sk-1\r\nx: y"}}});
        let conf = serde_json::from_value(conf).unwrap();
        let error = headers(
            &HeaderMap::new(),
            &conf,
            Protocol::OpenaiChat,
            Served::AsItIs,
            false,
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "auth.header: `X-Key` cannot be sent");
    }
}
