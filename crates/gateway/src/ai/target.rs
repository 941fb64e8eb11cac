//! Where a request goes: scheme, host, port, path and query.
//!
//! Knows addresses of vendors and how configured ones replace them. Refuses to know who connects to them.

use std::borrow::Cow;
use std::fmt;

use http::HeaderValue;
use thiserror::Error;

use super::catalogue::Capability;
use super::config::InstanceConf;
use super::percent;
use super::protocol::Protocol;
use crate::upstream::{Endpoint, EndpointError, TlsSettings};

/// Where a request goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether the connection is encrypted.
    pub https: bool,
    /// Name or address, without port and brackets; the name that a certificate must show.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path, percent-encoded.
    pub path: String,
    /// Query without question mark. May hold a credential.
    pub query: Option<String>,
    /// The value of the `host` header.
    pub host_header: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The API that the vendor is spoken to in.
    pub protocol: Protocol,
    /// The effective model, if one is known.
    pub model: Option<&'a str>,
    /// Whether the client asks for a stream.
    pub streaming: bool,
    /// The path of the client's request, as it was sent.
    pub path: &'a str,
    /// The query of the client's request, without question mark.
    pub query: Option<&'a str>,
}

/// A request that has nowhere to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// Neither the configuration nor the request says what the path is made of. The client's fault: name a model.
    #[error(
        "could not resolve upstream path: ensure the route or request body specifies a model, or that override.endpoint \
         includes a path"
    )]
    NoPath,
    /// The vendor has no address of its own and none is configured. The operator's fault: set `override.endpoint`.
    #[error("no address is configured for the provider: set override.endpoint")]
    NoHost,
}

impl Target {
    /// Finds where a request goes. `strict`: an endpoint that ends with `/` right behind the host replaces the path, as in
    /// APISIX; otherwise the vendor's path is used.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn resolve(conf: &InstanceConf, asked: &Asked<'_>, strict: bool) -> Result<Target, TargetError> {
        let endpoint = conf.replaced.endpoint.as_ref();
        let written = endpoint
            .and_then(|endpoint| endpoint.path.as_deref())
            .filter(|path| strict || *path != "/");
        let path = match written {
            Some(path) => path.to_owned(),
            None => own_path(conf, asked).ok_or(TargetError::NoPath)?,
        };
        let query = query(conf, asked);
        if let Some(endpoint) = endpoint {
            return Ok(Target {
                https: endpoint.https,
                host: endpoint.host.clone(),
                port: endpoint.port,
                path,
                query,
                host_header: endpoint.authority.clone(),
            });
        }
        let host = conf
            .provider
            .host()
            .and_then(|host| filled(host, conf, None))
            .ok_or(TargetError::NoHost)?;
        let local = conf.provider.local_port();
        Ok(Target {
            https: local.is_none(),
            port: local.unwrap_or(443),
            path,
            query,
            host_header: local.map_or_else(|| host.clone(), |port| format!("{host}:{port}")),
            host,
        })
    }
}

impl Target {
    /// What connections are made to: the target without path and query. `verify`: whether certificates are checked.
    ///
    /// # Errors
    /// The host is none that can be connected to.
    pub fn endpoint(&self, verify: bool) -> Result<Endpoint, EndpointError> {
        let scheme = if self.https { "https" } else { "http" };
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let tls = TlsSettings {
            ca_file: None,
            verify,
        };
        let mut endpoint = Endpoint::parse(&format!("{scheme}://{host}:{}", self.port), &tls)?;
        // Without the port where it is the scheme's own, as the vendor is told it.
        endpoint.authority = HeaderValue::from_str(&self.host_header)
            .map_err(|_| EndpointError::BadHost(self.host_header.clone()))?;
        Ok(endpoint)
    }
}

/// The path at the vendor's own address.
fn own_path(conf: &InstanceConf, asked: &Asked<'_>) -> Option<String> {
    let Some(capability) = conf.provider.capability(asked.protocol) else {
        // What has no API of its own goes where the client said.
        return Some(asked.path.to_owned());
    };
    let Capability {
        path, stream_path, ..
    } = capability;
    let path = match stream_path {
        Some(stream_path) if asked.streaming => stream_path,
        _ => path,
    };
    filled(path, conf, asked.model)
}

/// A path or host with its gaps filled, each value encoded so that it stays one segment; `None` if a value is missing.
fn filled(template: &str, conf: &InstanceConf, model: Option<&str>) -> Option<String> {
    if !template.contains('{') {
        return Some(template.to_owned());
    }
    let values = [
        ("{project}", conf.provider_conf.project_id.as_deref()),
        ("{region}", conf.provider_conf.region.as_deref()),
        ("{model}", model),
    ];
    let mut text = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, gap) = rest.split_at(open);
        text.push_str(before);
        let (name, value) = values.iter().find(|(name, _)| gap.starts_with(name))?;
        // Dots alone would name another path however they are encoded.
        let value = value.filter(|value| !matches!(*value, "" | "." | ".."))?;
        percent::encode(&mut text, value);
        rest = gap.get(name.len()..)?;
    }
    text.push_str(rest);
    Some(text)
}

/// The query: configured credentials, then the endpoint's arguments over them. Where the client's query is passed on, its
/// arguments replace those of the endpoint but never a configured credential.
fn query(conf: &InstanceConf, asked: &Asked<'_>) -> Option<String> {
    let endpoint = conf
        .replaced
        .endpoint
        .as_ref()
        .and_then(|endpoint| endpoint.query.as_deref())
        .unwrap_or_default();
    let client = match asked.protocol {
        Protocol::Passthrough => asked.query.unwrap_or_default(),
        _ => "",
    };
    let auth = &conf.auth.query;
    let mut out = String::new();
    for (name, value) in auth {
        if !pairs(endpoint).any(|pair| name_of(pair) == name.as_str()) {
            let mut pair = String::new();
            percent::encode(&mut pair, name);
            pair.push('=');
            percent::encode(&mut pair, value.expose());
            push(&mut out, &pair);
        }
    }
    for pair in pairs(endpoint) {
        let name = name_of(pair);
        let replaced = !auth.contains_key(name.as_ref()) && pairs(client).any(|other| name_of(other) == name);
        if !replaced {
            push(&mut out, pair);
        }
    }
    for pair in pairs(client) {
        if !auth.contains_key(name_of(pair).as_ref()) {
            push(&mut out, pair);
        }
    }
    (!out.is_empty()).then_some(out)
}

fn push(query: &mut String, pair: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(pair);
}

fn pairs(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|pair| !pair.is_empty())
}

/// The decoded name of a pair of a query.
fn name_of(pair: &str) -> Cow<'_, str> {
    percent::decode_form(pair.split('=').next().unwrap_or_default())
}

// A query may carry a key.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host_header, self.path)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Asked, Protocol, Target, TargetError};
    use crate::ai::config::InstanceConf;

    const ASKED: Asked<'_> = Asked {
        protocol: Protocol::OpenaiChat,
        model: None,
        streaming: false,
        path: "/client/path",
        query: Some("a=client"),
    };

    fn resolve(conf: Value, asked: Asked<'_>, strict: bool) -> Result<String, TargetError> {
        let conf: InstanceConf = serde_json::from_value(conf).unwrap();
        Target::resolve(&conf, &asked, strict).map(|target| {
            let scheme = if target.https { "https" } else { "http" };
            let query = target.query.map(|query| format!("?{query}")).unwrap_or_default();
            format!(
                "{scheme} {} {} {} {}{query}",
                target.host_header, target.host, target.port, target.path
            )
        })
    }

    fn target(conf: Value, asked: Asked<'_>) -> String {
        resolve(conf, asked, false).unwrap()
    }

    #[test]
    fn every_provider_of_apisix_has_its_address_and_paths() {
        let google = json!({"project_id": "p", "region": "us-east1"});
        for (provider, protocol, url) in [
            (
                "openai",
                Protocol::OpenaiChat,
                "api.openai.com/v1/chat/completions",
            ),
            ("openai", Protocol::OpenaiResponses, "api.openai.com/v1/responses"),
            (
                "openai",
                Protocol::OpenaiEmbeddings,
                "api.openai.com/v1/embeddings",
            ),
            (
                "deepseek",
                Protocol::OpenaiChat,
                "api.deepseek.com/chat/completions",
            ),
            (
                "aimlapi",
                Protocol::OpenaiChat,
                "api.aimlapi.com/chat/completions",
            ),
            (
                "anthropic",
                Protocol::OpenaiChat,
                "api.anthropic.com/v1/chat/completions",
            ),
            (
                "anthropic",
                Protocol::AnthropicMessages,
                "api.anthropic.com/v1/messages",
            ),
            (
                "openrouter",
                Protocol::OpenaiChat,
                "openrouter.ai/api/v1/chat/completions",
            ),
            (
                "gemini",
                Protocol::OpenaiChat,
                "generativelanguage.googleapis.com/v1beta/openai/chat/completions",
            ),
            (
                "vertex-ai",
                Protocol::OpenaiChat,
                "us-east1-aiplatform.googleapis.com/v1beta1/projects/p/locations/us-east1/endpoints/openapi/chat/completions",
            ),
            (
                "vertex-ai",
                Protocol::VertexPredict,
                "us-east1-aiplatform.googleapis.com/v1/projects/p/locations/us-east1/publishers/google/models/m%2F1:predict",
            ),
            (
                "bedrock",
                Protocol::BedrockConverse,
                "bedrock-runtime.us-east1.amazonaws.com/model/m%2F1/converse",
            ),
        ] {
            let conf = json!({"provider": provider, "auth": {}, "provider_conf": google});
            let asked = Asked {
                protocol,
                model: Some("m/1"),
                ..ASKED
            };
            let (host, path) = url.split_at(url.find('/').unwrap());
            assert_eq!(target(conf, asked), format!("https {host} {host} 443 {path}"));
        }
    }

    #[test]
    fn models_stay_one_segment_and_streams_have_their_own_path() {
        let conf = json!({"provider": "bedrock", "auth": {}, "provider_conf": {"region": "us-east-1"}});
        let asked = Asked {
            protocol: Protocol::BedrockConverse,
            model: Some("arn:aws:bedrock:us-east-1:1:application-inference-profile/a b"),
            streaming: true,
            ..ASKED
        };
        assert!(target(conf, asked).ends_with(
            " /model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fa%20b/converse-stream"
        ));
    }

    #[test]
    fn without_a_model_there_is_no_path_unless_the_endpoint_has_one() {
        let asked = Asked {
            protocol: Protocol::BedrockConverse,
            ..ASKED
        };
        let conf = |endpoint: Value| json!({"provider": "bedrock", "auth": {}, "provider_conf": {"region": "r"}, "override": endpoint});
        let problem = resolve(conf(json!({})), asked, false).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "could not resolve upstream path: ensure the route or request body specifies a model, or that \
             override.endpoint includes a path"
        );
        for model in ["", ".", ".."] {
            let asked = Asked {
                model: Some(model),
                ..asked
            };
            assert_eq!(resolve(conf(json!({})), asked, false), Err(TargetError::NoPath));
        }
        let endpoint = json!({"endpoint": "http://127.0.0.1:1980/model/x%3A0/converse"});
        assert_eq!(
            target(conf(endpoint), asked),
            "http 127.0.0.1:1980 127.0.0.1 1980 /model/x%3A0/converse"
        );
    }

    #[test]
    fn an_endpoint_replaces_the_host_and_its_path_the_path() {
        let conf =
            |endpoint: &str| json!({"provider": "openai", "auth": {}, "override": {"endpoint": endpoint}});
        assert_eq!(
            target(conf("http://localhost:6724"), ASKED),
            "http localhost:6724 localhost 6724 /v1/chat/completions"
        );
        assert_eq!(
            target(conf("https://x/random?k=v"), ASKED),
            "https x x 443 /random?k=v"
        );
        assert_eq!(
            target(conf("https://x/"), ASKED),
            "https x x 443 /v1/chat/completions"
        );
        assert_eq!(
            resolve(conf("https://x/"), ASKED, true).unwrap(),
            "https x x 443 /"
        );
        assert_eq!(
            target(conf("https://[::1]:8443"), ASKED),
            "https [::1]:8443 ::1 8443 /v1/chat/completions"
        );
    }

    #[test]
    fn a_provider_without_address_needs_an_endpoint() {
        let conf = json!({"provider": "openai-compatible", "auth": {}});
        assert_eq!(resolve(conf, ASKED, false), Err(TargetError::NoHost));
    }

    #[test]
    fn servers_of_the_own_machine_are_spoken_to_in_the_clear() {
        let conf = json!({"provider": "ollama", "auth": {}});
        assert_eq!(
            target(conf, ASKED),
            "http localhost:11434 localhost 11434 /v1/chat/completions"
        );
    }

    #[test]
    fn other_requests_keep_the_path_and_query_of_the_client() {
        let asked = Asked {
            protocol: Protocol::Passthrough,
            path: "/v1/images%2F",
            ..ASKED
        };
        let conf = json!({"provider": "openai", "auth": {}});
        assert_eq!(
            target(conf, asked),
            "https api.openai.com api.openai.com 443 /v1/images%2F?a=client"
        );
    }

    #[test]
    fn the_query_is_put_together_in_order_of_trust() {
        let conf = json!({
            "provider": "openai",
            "auth": {"query": {"key": "s k&1", "both": "auth"}},
            "override": {"endpoint": "http://x/p?both=endpoint&e=1&%61=endpoint&a=2"},
        });
        // For an API of its own the client's query means nothing.
        assert_eq!(
            target(conf.clone(), ASKED),
            "http x x 80 /p?key=s%20k%261&both=endpoint&e=1&%61=endpoint&a=2"
        );
        let asked = Asked {
            protocol: Protocol::Passthrough,
            query: Some("k%65y=stolen&a=client&a=again&both=client"),
            ..ASKED
        };
        assert_eq!(
            target(conf, asked),
            "http x x 80 /p?key=s%20k%261&both=endpoint&e=1&a=client&a=again"
        );
    }

    #[test]
    fn the_query_is_not_shown() {
        let conf = json!({"provider": "openai", "auth": {"query": {"key": "sk-1"}}});
        let conf: InstanceConf = serde_json::from_value(conf).unwrap();
        let target = Target::resolve(&conf, &ASKED, false).unwrap();
        assert_eq!(
            format!("{target:?}"),
            "https://api.openai.com/v1/chat/completions"
        );
    }
}
