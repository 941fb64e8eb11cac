//! The vendors: one row of `catalogue.json` each, with their address, the APIs they serve, and what differs.
//!
//! The first ten are APISIX's, with exactly its addresses; the others are ours. A vendor is a row; code knows no names
//! except where [`Provider`] offers a question.

use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer};
use thiserror::Error;

use super::protocol::Protocol;

/// A vendor of the catalogue.
#[derive(Clone, Copy)]
pub struct Provider(&'static Row);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    /// Whether APISIX knows it.
    #[serde(default)]
    apisix: bool,
    /// Without it an endpoint has to be configured. `{region}` stands for the configured region.
    host: Option<String>,
    /// Plain HTTP at another port: servers of one's own machine.
    port: Option<u16>,
    #[serde(default)]
    remove_model: bool,
    #[serde(default)]
    signed: bool,
    /// Refuses `stream_options`.
    #[serde(default)]
    no_stream_options: bool,
    #[serde(default)]
    key: Key,
    serves: Vec<Capability>,
}

/// An API that a vendor serves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// The API.
    pub protocol: Protocol,
    /// The path; `{project}`, `{region}` and `{model}` stand for what is configured or asked for.
    pub path: String,
    /// The path of streams, if it is another.
    pub stream_path: Option<String>,
    /// The member that limits an answer's tokens, with a dot before the inner one; `None` if there is none.
    pub max_tokens: Option<String>,
    /// A member that has to go when `max_tokens` is set.
    pub instead_of: Option<String>,
    /// Whether APISIX knows the vendor, but not that it serves this.
    #[serde(default)]
    pub beyond_apisix: bool,
}

/// Where a vendor wants its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// `authorization: Bearer …`
    #[default]
    Bearer,
    /// `x-api-key: …`
    XApiKey,
    /// `api-key: …`
    ApiKey,
    /// A token fetched for a service account.
    Gcp,
    /// A signature.
    Aws,
    /// None is needed.
    None,
}

impl Provider {
    /// The vendor of a name.
    pub fn find(name: &str) -> Option<Provider> {
        ROWS.iter().find(|row| row.name == name).map(Provider)
    }

    /// The name under which calls are counted and priced: the vendor whose host it is where the configuration only says how it
    /// is spoken to, so that Groq's models cost Groq's prices also as `openai-compatible`.
    pub fn billed_by(configured: &'static str, host: &str) -> &'static str {
        let is_vendor = |row: &&Row| row.port.is_none() && row.host.as_deref() == Some(host);
        match configured {
            "openai-compatible" => ROWS.iter().find(is_vendor).map_or(configured, |row| &row.name),
            named => named,
        }
    }

    /// All vendors, APISIX's first.
    pub fn all() -> impl Iterator<Item = Provider> {
        ROWS.iter().map(Provider)
    }

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        &self.0.name
    }

    /// Whether APISIX knows it too.
    pub fn is_apisix(self) -> bool {
        self.0.apisix
    }

    /// Its host with `{region}` where a region belongs; `None` if an endpoint has to be configured.
    pub fn host(self) -> Option<&'static str> {
        self.0.host.as_deref()
    }

    /// The port, if it is one of the own machine, which is spoken to in plain HTTP.
    pub fn local_port(self) -> Option<u16> {
        self.0.port
    }

    /// Whether `model` is taken out of bodies, because the path or the deployment says it.
    pub fn removes_model(self) -> bool {
        self.0.remove_model
    }

    /// Whether requests are signed by Amazon's rules, and streams are framed by them.
    pub fn is_signed(self) -> bool {
        self.0.signed
    }

    /// Whether it understands `stream_options`.
    pub fn takes_stream_options(self) -> bool {
        !self.0.no_stream_options
    }

    /// Where it wants its key.
    pub fn key(self) -> Key {
        self.0.key
    }

    /// The APIs it serves.
    pub fn capabilities(self) -> &'static [Capability] {
        &self.0.serves
    }

    /// How it serves an API.
    pub fn capability(self, protocol: Protocol) -> Option<&'static Capability> {
        self.0
            .serves
            .iter()
            .find(|capability| capability.protocol == protocol)
    }

    /// How a request of a client's API is served: as it is, or translated. `strict` knows no more of the vendor than APISIX.
    ///
    /// # Errors
    /// Neither is possible.
    pub fn serve(self, client: Protocol, strict: bool) -> Result<Served, Unsupported> {
        let known = |capability: &&Capability| !strict || !capability.beyond_apisix;
        let serves = |protocol| self.capability(protocol).as_ref().is_some_and(known);
        if client == Protocol::Passthrough || serves(client) {
            return Ok(Served::AsItIs);
        }
        match client {
            Protocol::AnthropicMessages if serves(Protocol::OpenaiChat) => Ok(Served::AnthropicAsOpenai),
            Protocol::OpenaiEmbeddings if serves(Protocol::VertexPredict) => Ok(Served::EmbeddingsAsPredict),
            _ => Err(Unsupported {
                provider: self.name(),
                protocol: client.name(),
                supported: self
                    .capabilities()
                    .iter()
                    .filter(known)
                    .map(|capability| capability.protocol.name())
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }
}

/// How a request is served by a vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// In the client's own API.
    AsItIs,
    /// Anthropic's messages are translated to OpenAI's chat.
    AnthropicAsOpenai,
    /// OpenAI's embeddings are translated to Google's prediction.
    EmbeddingsAsPredict,
}

impl Served {
    /// The API that the vendor is spoken to in.
    pub fn target(self, client: Protocol) -> Protocol {
        match self {
            Served::AsItIs => client,
            Served::AnthropicAsOpenai => Protocol::OpenaiChat,
            Served::EmbeddingsAsPredict => Protocol::VertexPredict,
        }
    }
}

/// A vendor does not serve the client's API, and there is no translation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("provider {provider} does not support {protocol} protocol (supported: {supported})")]
pub struct Unsupported {
    provider: &'static str,
    protocol: &'static str,
    supported: String,
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Provider {}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Provider {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Provider::find(&name)
            .ok_or_else(|| serde::de::Error::custom(format!("ai provider: {name} is not supported.")))
    }
}

impl schemars::JsonSchema for Provider {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Provider".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<&str> = Provider::all().map(Provider::name).collect();
        schemars::json_schema!({
            "type": "string",
            "description": "The vendor.",
            "enum": names,
        })
    }
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    // A test reads the file, so that this cannot fail in a release.
    serde_json::from_str(include_str!("catalogue.json")).unwrap_or_default()
});

#[cfg(test)]
mod tests {
    use super::{Protocol, Provider, ROWS, Row, Served};

    fn find(name: &str) -> Provider {
        Provider::find(name).unwrap()
    }

    #[test]
    fn the_catalogue_can_be_read_and_begins_with_apisix_s_vendors() {
        let rows: Vec<Row> = serde_json::from_str(include_str!("catalogue.json")).unwrap();
        assert_eq!(rows.len(), ROWS.len());
        let known: Vec<&str> = Provider::all()
            .filter(|p| p.is_apisix())
            .map(Provider::name)
            .collect();
        assert_eq!(
            known,
            [
                "openai",
                "deepseek",
                "aimlapi",
                "anthropic",
                "openai-compatible",
                "azure-openai",
                "openrouter",
                "gemini",
                "vertex-ai",
                "bedrock",
            ]
        );
    }

    #[test]
    fn every_other_vendor_has_an_address_and_chat() {
        let mut names = std::collections::HashSet::new();
        for provider in Provider::all() {
            let name = provider.name();
            assert!(names.insert(name), "{name} stands twice");
            for capability in provider.capabilities() {
                assert!(capability.path.starts_with('/'), "{name}");
            }
            if !provider.is_apisix() {
                assert!(provider.host().is_some(), "{name}");
                assert!(provider.capability(Protocol::OpenaiChat).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn calls_of_a_known_host_are_counted_for_its_vendor() {
        for (configured, host, billed_by) in [
            ("openai-compatible", "api.groq.com", "groq"),
            ("openai-compatible", "api.x.ai", "xai"),
            ("openai-compatible", "llm.example.com", "openai-compatible"),
            ("openai-compatible", "localhost", "openai-compatible"),
            ("anthropic", "api.groq.com", "anthropic"),
        ] {
            assert_eq!(Provider::billed_by(configured, host), billed_by, "{host}");
        }
    }

    #[test]
    fn requests_are_served_as_they_are_or_translated_or_refused() {
        use Protocol::{
            AnthropicMessages, OpenaiChat, OpenaiEmbeddings, OpenaiResponses, Passthrough, VertexPredict,
        };
        for (provider, client, served, target) in [
            ("openai", OpenaiChat, Served::AsItIs, OpenaiChat),
            ("anthropic", AnthropicMessages, Served::AsItIs, AnthropicMessages),
            ("openai", AnthropicMessages, Served::AnthropicAsOpenai, OpenaiChat),
            (
                "vertex-ai",
                OpenaiEmbeddings,
                Served::EmbeddingsAsPredict,
                VertexPredict,
            ),
            ("deepseek", Passthrough, Served::AsItIs, Passthrough),
        ] {
            assert_eq!(find(provider).serve(client, false), Ok(served), "{provider}");
            assert_eq!(served.target(client), target);
        }
        assert_eq!(
            find("anthropic")
                .serve(OpenaiResponses, false)
                .unwrap_err()
                .to_string(),
            "provider anthropic does not support openai-responses protocol (supported: openai-chat, anthropic-messages)"
        );
        assert!(find("bedrock").serve(OpenaiChat, false).is_err());
    }

    #[test]
    fn azure_serves_embeddings_except_to_the_letter_of_apisix() {
        let azure = find("azure-openai");
        assert_eq!(azure.serve(Protocol::OpenaiEmbeddings, false), Ok(Served::AsItIs));
        assert_eq!(
            azure
                .serve(Protocol::OpenaiEmbeddings, true)
                .unwrap_err()
                .to_string(),
            "provider azure-openai does not support openai-embeddings protocol (supported: openai-chat)"
        );
    }
}
