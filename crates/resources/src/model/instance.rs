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
    /// The Amazon key that requests are signed with, in place of `credential`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
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
    /// Whether calls share connections of HTTP/2, where the endpoint speaks it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub http2: bool,
    /// Wire formats the endpoint understands, preferred first.
    pub dialects: Vec<Dialect>,
}

/// An Amazon key that requests are signed with (Signature Version 4).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Signing {
    /// Id of the key.
    pub access_key_id: SecretRef,
    /// The key.
    pub secret_access_key: SecretRef,
    /// Token of temporary keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<SecretRef>,
    /// The region that signatures are made for.
    pub region: String,
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
    /// Google's Gemini API.
    Gemini,
    /// Google's models on Vertex AI.
    Vertex,
    /// Amazon Bedrock.
    Bedrock,
    /// Cohere's platform.
    Cohere,
    /// Azure OpenAI, by its `v1` addresses.
    Azure,
    /// Anything else that speaks OpenAI's formats: vLLM, Ollama, a vendor, another gateway.
    #[serde(rename = "openai-compatible")]
    OpenAiCompatible,
    /// Answers made up by the gateway itself, for trying things out and for tests.
    Simulated,
}

impl Provider {
    /// All providers, in the order they are shown to users.
    pub const ALL: [Provider; 9] = [
        Provider::OpenAi,
        Provider::Anthropic,
        Provider::Gemini,
        Provider::Vertex,
        Provider::Bedrock,
        Provider::Cohere,
        Provider::Azure,
        Provider::OpenAiCompatible,
        Provider::Simulated,
    ];

    /// The name used in configuration, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Provider::OpenAi => "openai",
            Provider::Anthropic => "anthropic",
            Provider::Gemini => "gemini",
            Provider::Vertex => "vertex",
            Provider::Bedrock => "bedrock",
            Provider::Cohere => "cohere",
            Provider::Azure => "azure",
            Provider::OpenAiCompatible => "openai-compatible",
            Provider::Simulated => "simulated",
        }
    }

    /// Where the provider is reached when the configuration does not say; `None` when it has to say. `{region}` and
    /// `{project}` stand for what the configuration says under these names.
    pub const fn default_endpoint(self) -> Option<&'static str> {
        match self {
            Provider::OpenAi => Some("https://api.openai.com/v1"),
            Provider::Anthropic => Some("https://api.anthropic.com/v1"),
            Provider::Gemini => Some("https://generativelanguage.googleapis.com/v1beta"),
            Provider::Vertex => Some(
                "https://{region}-aiplatform.googleapis.com/v1/projects/{project}/locations/{region}/publishers/google",
            ),
            Provider::Bedrock => Some("https://bedrock-runtime.{region}.amazonaws.com"),
            Provider::Cohere => Some("https://api.cohere.com/v2"),
            Provider::Azure | Provider::OpenAiCompatible => None,
            Provider::Simulated => Some(SIMULATED_SCHEME),
        }
    }

    /// The environment variable that holds the key when the configuration does not say; `None` when no key is assumed.
    pub const fn default_key_variable(self) -> Option<&'static str> {
        match self {
            Provider::OpenAi => Some("OPENAI_API_KEY"),
            Provider::Anthropic => Some("ANTHROPIC_API_KEY"),
            Provider::Gemini => Some("GEMINI_API_KEY"),
            Provider::Vertex => Some("GCP_SERVICE_ACCOUNT"),
            Provider::Bedrock => Some("AWS_BEARER_TOKEN_BEDROCK"),
            Provider::Cohere => Some("COHERE_API_KEY"),
            Provider::Azure => Some("AZURE_OPENAI_API_KEY"),
            Provider::OpenAiCompatible | Provider::Simulated => None,
        }
    }

    /// The environment variable that holds the region when the configuration does not say; `None` where there is none.
    pub const fn default_region_variable(self) -> Option<&'static str> {
        match self {
            Provider::Bedrock => Some("AWS_REGION"),
            Provider::Vertex => Some("GOOGLE_CLOUD_LOCATION"),
            _ => None,
        }
    }

    /// The wire formats the provider understands, preferred first.
    pub const fn default_dialects(self) -> &'static [Dialect] {
        match self {
            Provider::OpenAi | Provider::Azure => &[
                Dialect::OpenaiChat,
                Dialect::OpenaiResponses,
                Dialect::OpenaiEmbeddings,
            ],
            Provider::OpenAiCompatible => &[
                Dialect::OpenaiChat,
                Dialect::OpenaiEmbeddings,
                Dialect::JinaRerank,
            ],
            Provider::Anthropic => &[Dialect::AnthropicMessages],
            Provider::Gemini => &[Dialect::GeminiGenerate, Dialect::GeminiEmbed],
            Provider::Vertex => &[Dialect::GeminiGenerate, Dialect::VertexPredict],
            Provider::Bedrock => &[
                Dialect::BedrockConverse,
                Dialect::BedrockTitanEmbed,
                Dialect::BedrockCohereEmbed,
                Dialect::BedrockCohereRerank,
            ],
            Provider::Cohere => &[Dialect::CohereChat, Dialect::CohereEmbed, Dialect::CohereRerank],
            Provider::Simulated => &[
                Dialect::OpenaiChat,
                Dialect::AnthropicMessages,
                Dialect::OpenaiResponses,
                Dialect::GeminiGenerate,
                Dialect::BedrockConverse,
                Dialect::CohereChat,
                Dialect::OpenaiEmbeddings,
                Dialect::GeminiEmbed,
                Dialect::CohereEmbed,
                Dialect::JinaRerank,
                Dialect::CohereRerank,
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
    /// OpenAI Responses, `POST <endpoint>/responses`.
    OpenaiResponses,
    /// Anthropic Messages, `POST <endpoint>/messages`.
    AnthropicMessages,
    /// Gemini, `POST <endpoint>/models/{model}:generateContent`.
    GeminiGenerate,
    /// Amazon Bedrock Converse, `POST <endpoint>/model/{modelId}/converse`.
    BedrockConverse,
    /// Cohere Chat v2, `POST <endpoint>/chat`.
    CohereChat,
    /// OpenAI Embeddings, `POST <endpoint>/embeddings`.
    OpenaiEmbeddings,
    /// Mistral's embeddings, `POST <endpoint>/embeddings`.
    MistralEmbeddings,
    /// Voyage's embeddings, `POST <endpoint>/embeddings`.
    VoyageEmbeddings,
    /// Gemini's embeddings, `POST <endpoint>/models/{model}:embedContent` and `:batchEmbedContents`.
    GeminiEmbed,
    /// Vertex AI's embeddings, `POST <endpoint>/models/{model}:predict`.
    VertexPredict,
    /// Amazon Titan's embeddings, `POST <endpoint>/model/{modelId}/invoke`.
    BedrockTitanEmbed,
    /// Cohere's embeddings on Bedrock, `POST <endpoint>/model/{modelId}/invoke`.
    BedrockCohereEmbed,
    /// Cohere's embeddings, `POST <endpoint>/embed`.
    CohereEmbed,
    /// Cohere's reranking, `POST <endpoint>/rerank`.
    CohereRerank,
    /// Cohere's reranking on Bedrock, `POST <endpoint>/model/{modelId}/invoke`.
    BedrockCohereRerank,
    /// Reranking as Jina and most others have it, `POST <endpoint>/rerank`.
    JinaRerank,
    /// Voyage's reranking, `POST <endpoint>/rerank`.
    VoyageRerank,
}

impl Dialect {
    /// The name used in configuration, logs and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::OpenaiChat => "openai_chat",
            Dialect::OpenaiResponses => "openai_responses",
            Dialect::AnthropicMessages => "anthropic_messages",
            Dialect::GeminiGenerate => "gemini_generate",
            Dialect::BedrockConverse => "bedrock_converse",
            Dialect::CohereChat => "cohere_chat",
            Dialect::OpenaiEmbeddings => "openai_embeddings",
            Dialect::MistralEmbeddings => "mistral_embeddings",
            Dialect::VoyageEmbeddings => "voyage_embeddings",
            Dialect::GeminiEmbed => "gemini_embed",
            Dialect::VertexPredict => "vertex_predict",
            Dialect::BedrockTitanEmbed => "bedrock_titan_embed",
            Dialect::BedrockCohereEmbed => "bedrock_cohere_embed",
            Dialect::CohereEmbed => "cohere_embed",
            Dialect::CohereRerank => "cohere_rerank",
            Dialect::BedrockCohereRerank => "bedrock_cohere_rerank",
            Dialect::JinaRerank => "jina_rerank",
            Dialect::VoyageRerank => "voyage_rerank",
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
