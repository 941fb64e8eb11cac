//! An instance: one provider account, upstream model and endpoint that can serve a call.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::json::Json;
use crate::named::Named;
use crate::secret::SecretRef;

/// The endpoint of the built-in simulated provider starts with this, optionally followed by `?name=value&…`.
pub const SIMULATED_SCHEME: &str = "simulated:";

/// One provider account, upstream model and endpoint that can serve a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Instance {
    /// Identity of the instance: unique within its model, stable over reloads, shown in logs and metrics.
    pub name: String,
    /// Whose API stands behind `endpoint`; decides authentication and quirks.
    pub provider: Provider,
    /// The model's name at the provider; `None` sends the name the client asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Base address without a trailing slash, to which the path of a call is added (`https://api.openai.com/v1`),
    /// or `simulated:` with an optional query string for the built-in provider.
    pub endpoint: String,
    /// The provider's key. `None` sends none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<SecretRef>,
    /// Further request headers, lower-case names, sent with every call; they override what the provider would set.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub headers: Named<SecretRef>,
    /// Members set in the body of every request, over what the client sent, such as `temperature`.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub options: Named<Json>,
    /// Share of the calls relative to the other instances of the model; 0 is used only when all others failed.
    pub weight: u32,
    /// How the connection is secured; of no meaning for `http:` and `simulated:`.
    pub tls: UpstreamTls,
    /// Wire formats the endpoint understands, preferred first.
    pub dialects: Vec<Dialect>,
}

/// Whose API an instance speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// OpenAI's platform.
    #[serde(rename = "openai")]
    OpenAi,
    /// Anthropic's platform.
    Anthropic,
    /// Anything else that speaks OpenAI's formats: vLLM, Ollama, a vendor, another gateway.
    #[serde(rename = "openai-compatible")]
    OpenAiCompatible,
    /// Answers made up by the gateway itself, for trying things out and for tests.
    Simulated,
}

impl Provider {
    /// All providers, in the order they are shown to users.
    pub const ALL: [Provider; 4] = [
        Provider::OpenAi,
        Provider::Anthropic,
        Provider::OpenAiCompatible,
        Provider::Simulated,
    ];

    /// The name used in configuration, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Provider::OpenAi => "openai",
            Provider::Anthropic => "anthropic",
            Provider::OpenAiCompatible => "openai-compatible",
            Provider::Simulated => "simulated",
        }
    }

    /// Where the provider is reached when the configuration does not say; `None` when it has to say.
    pub const fn default_endpoint(self) -> Option<&'static str> {
        match self {
            Provider::OpenAi => Some("https://api.openai.com/v1"),
            Provider::Anthropic => Some("https://api.anthropic.com/v1"),
            Provider::OpenAiCompatible => None,
            Provider::Simulated => Some(SIMULATED_SCHEME),
        }
    }

    /// The environment variable that holds the key when the configuration does not say; `None` when no key is assumed.
    pub const fn default_key_variable(self) -> Option<&'static str> {
        match self {
            Provider::OpenAi => Some("OPENAI_API_KEY"),
            Provider::Anthropic => Some("ANTHROPIC_API_KEY"),
            Provider::OpenAiCompatible | Provider::Simulated => None,
        }
    }

    /// The wire formats the provider understands, preferred first.
    pub const fn default_dialects(self) -> &'static [Dialect] {
        match self {
            Provider::OpenAi | Provider::OpenAiCompatible => {
                &[Dialect::OpenaiChat, Dialect::OpenaiEmbeddings]
            }
            Provider::Anthropic => &[Dialect::AnthropicMessages],
            Provider::Simulated => &[
                Dialect::OpenaiChat,
                Dialect::AnthropicMessages,
                Dialect::OpenaiEmbeddings,
            ],
        }
    }
}

/// A wire format an instance understands. The names are those of the dialects crate; embeddings are a format of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI Chat Completions, `POST <endpoint>/chat/completions`.
    OpenaiChat,
    /// Anthropic Messages, `POST <endpoint>/messages`.
    AnthropicMessages,
    /// OpenAI Embeddings, `POST <endpoint>/embeddings`.
    OpenaiEmbeddings,
}

impl Dialect {
    /// The name used in configuration, logs and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::OpenaiChat => "openai_chat",
            Dialect::AnthropicMessages => "anthropic_messages",
            Dialect::OpenaiEmbeddings => "openai_embeddings",
        }
    }
}

/// How the connection to an upstream is secured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct UpstreamTls {
    /// PEM file of the authorities to trust instead of the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Whether the upstream's certificate and name are verified. Turning it off is for tests: anyone may then read the key.
    pub verify: bool,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        UpstreamTls {
            ca_file: None,
            verify: true,
        }
    }
}
