//! Members written over those of request bodies, and addresses: read once, ready for use.

use http::uri::{Authority, PathAndQuery};
use serde::de::{Deserialize, Deserializer, Error};
use thiserror::Error;

use super::JsonObject;

/// Members written over the top-level members of every request body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The model, which is one of the members too.
    pub model: Option<String>,
    /// Key and value, the value as JSON.
    pub members: Vec<(String, String)>,
}

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = JsonObject::deserialize(deserializer)?;
        let model = match written.get("model") {
            None => None,
            Some(serde_json::Value::String(model)) => Some(model.clone()),
            Some(_) => return Err(D::Error::custom("`model` must be a string")),
        };
        let members = written
            .into_iter()
            .map(|(key, value)| (key, value.to_string()))
            .collect();
        Ok(Options { model, members })
    }
}

impl schemars::JsonSchema for Options {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Options".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "Members written over those of every request body.",
            "properties": {
                "model": {
                    "type": "string",
                    "description": "The model. For Bedrock also the ARN of an inference profile.",
                },
            },
            "additionalProperties": true,
        })
    }
}

/// An address that replaces the vendor's.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the connection is encrypted.
    pub https: bool,
    /// Name or address without port and brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The value of the `host` header: with the port as far as it was written.
    pub authority: String,
    /// The path if one was written, `/` included.
    pub path: Option<String>,
    /// The query without question mark, as it was written.
    pub query: Option<String>,
}

/// A text that is no address with scheme and host. Write `https://host`, with port, path and query as needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("invalid endpoint")]
pub struct InvalidEndpoint;

impl Endpoint {
    /// Reads an address.
    ///
    /// # Errors
    /// No `http://` or `https://` with a host behind it, or something that cannot stand in an address, such as
    /// credentials before the host.
    pub fn parse(text: &str) -> Result<Endpoint, InvalidEndpoint> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidEndpoint)?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(InvalidEndpoint),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(InvalidEndpoint);
        }
        let parsed: Authority = authority.parse().map_err(|_| InvalidEndpoint)?;
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']');
        let port = match authority.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or(InvalidEndpoint)?,
            _ if https => 443,
            _ => 80,
        };
        if host.is_empty() {
            return Err(InvalidEndpoint);
        }
        if !path_and_query.is_empty() {
            path_and_query
                .parse::<PathAndQuery>()
                .map_err(|_| InvalidEndpoint)?;
        }
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Endpoint {
            https,
            host: host.to_owned(),
            port,
            authority: authority.to_owned(),
            path: some(path),
            query: query.and_then(some),
        })
    }
}

// A query may carry a key.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        let path = self.path.as_deref().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Endpoint::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for Endpoint {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "minLength": 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, InvalidEndpoint};

    #[test]
    fn an_address_is_taken_apart() {
        let endpoint = Endpoint::parse("http://127.0.0.1:1980/v1/chat?a=1&b").unwrap();
        assert_eq!(
            endpoint,
            Endpoint {
                https: false,
                host: "127.0.0.1".to_owned(),
                port: 1980,
                authority: "127.0.0.1:1980".to_owned(),
                path: Some("/v1/chat".to_owned()),
                query: Some("a=1&b".to_owned()),
            }
        );
        let endpoint = Endpoint::parse("HTTPS://[::1]").unwrap();
        assert_eq!(
            (endpoint.host.as_str(), endpoint.port, endpoint.path),
            ("::1", 443, None)
        );
        let endpoint = Endpoint::parse("https://host?x=y").unwrap();
        assert_eq!((endpoint.path, endpoint.query.as_deref()), (None, Some("x=y")));
        assert_eq!(
            Endpoint::parse("https://host/").unwrap().path.as_deref(),
            Some("/")
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "host",
            "http//127.0.0.1:1980",
            "ftp://host",
            "https://",
            "https:///x",
            "https://user:pw@host",
            "https://host:0",
            "https://host:99999",
            "https://host:",
            "https://a b",
            "https://host/a b",
        ] {
            assert_eq!(Endpoint::parse(text), Err(InvalidEndpoint), "{text}");
        }
    }

    #[test]
    fn the_query_is_not_shown() {
        let endpoint = Endpoint::parse("https://host/x?key=sk-1").unwrap();
        assert_eq!(format!("{endpoint:?}"), "https://host/x");
    }
}
