//! What is written in the configurations of `ai-proxy` and `ai-proxy-multi`: types, defaults, schemas and checks.
//!
//! The types are read after the schema was checked and references to secrets were resolved; [`check`] and [`normalise`]
//! see what people wrote, references included.

mod auth;
mod check;
mod health;
mod legacy;
mod multi;
mod options;
mod schema;

use serde::Deserialize;

pub use auth::{Auth, AwsAuth, GcpAuth};
pub use check::{check, check_multi};
pub use health::{ActiveCheck, CheckKind, Checks, Healthy, PassiveCheck, Unhealthy};
pub use legacy::{Normal, Price, is_legacy, normalise};
pub use multi::{
    AiProxyMultiConf, Algorithm, Balancer, Budget, Embeddings, EmbeddingsProvider, FallbackStrategy, HashOn,
    Hedge, Instance, PlainAuth, SemanticOptions, Strategy, TokenPrice, Trigger,
};
pub use options::{Endpoint, Options};
pub use schema::{legacy_schema, multi_schema, schemas};

use super::catalogue::Provider;
use super::protocol::Protocol;

/// Paths of the fields of `ai-proxy` that hold secrets.
pub const SECRET_FIELDS: &[&str] = &[
    "auth.header.*",
    "auth.query.*",
    "auth.gcp.service_account_json",
    "auth.aws.secret_access_key",
    "auth.aws.session_token",
];

/// Paths of the fields of `ai-proxy-multi` that hold secrets.
pub const MULTI_SECRET_FIELDS: &[&str] = &[
    "instances.*.auth.header.*",
    "instances.*.auth.query.*",
    "instances.*.auth.gcp.service_account_json",
    "instances.*.auth.aws.secret_access_key",
    "instances.*.auth.aws.session_token",
    "semantic_opts.embeddings.auth.header.*",
    "semantic_opts.embeddings.auth.query.*",
];

/// The configuration of `ai-proxy`.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct AiProxyConf {
    /// Where requests go and what is changed in them.
    #[serde(flatten)]
    pub instance: InstanceConf,
    /// Limits and connections.
    #[serde(flatten)]
    pub limits: Limits,
}

/// One use of a vendor: shared by `ai-proxy` and the instances of `ai-proxy-multi`.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct InstanceConf {
    /// The vendor.
    pub provider: Provider,
    /// Credentials.
    pub auth: Auth,
    /// Members written over those of every request body.
    #[serde(default)]
    pub options: Options,
    /// What some vendors' addresses are made of.
    #[serde(default)]
    pub provider_conf: ProviderConf,
    /// What replaces the vendor's address and parts of bodies.
    #[serde(default, rename = "override")]
    pub replaced: Override,
}

/// Parts of a vendor's address.
#[derive(Default, Deserialize, schemars::JsonSchema)]
pub struct ProviderConf {
    /// Google's project.
    pub project_id: Option<String>,
    /// Google's or Amazon's region.
    #[schemars(length(min = 1))]
    pub region: Option<String>,
}

/// What replaces the vendor's address and parts of bodies.
#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Override {
    /// Another address: scheme and host, with path and query if those are to be replaced too.
    pub endpoint: Option<Endpoint>,
    /// Options that all vendors have, each under the vendor's own name.
    pub llm_options: LlmOptions,
    /// Members merged into bodies of a target protocol.
    pub request_body: RequestBodies,
    /// Whether merged members replace those of the client too, not only fill in missing ones.
    pub request_body_force_override: bool,
}

/// Options that all vendors have.
#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LlmOptions {
    /// Most tokens of an answer. Replaces what the client asks for.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u64>,
}

/// Members merged into request bodies, by target protocol.
#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RequestBodies {
    /// OpenAI's chat completions.
    pub openai_chat: Option<JsonObject>,
    /// OpenAI's responses.
    pub openai_responses: Option<JsonObject>,
    /// OpenAI's embeddings.
    pub openai_embeddings: Option<JsonObject>,
    /// Anthropic's messages.
    pub anthropic_messages: Option<JsonObject>,
    /// Bedrock's Converse.
    pub bedrock_converse: Option<JsonObject>,
    /// Anything else.
    pub passthrough: Option<JsonObject>,
}

/// A JSON object of any shape.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

impl RequestBodies {
    /// What is merged into bodies of a protocol.
    pub fn of(&self, protocol: Protocol) -> Option<&JsonObject> {
        match protocol {
            Protocol::OpenaiChat => self.openai_chat.as_ref(),
            Protocol::OpenaiResponses => self.openai_responses.as_ref(),
            Protocol::OpenaiEmbeddings => self.openai_embeddings.as_ref(),
            Protocol::AnthropicMessages => self.anthropic_messages.as_ref(),
            Protocol::BedrockConverse => self.bedrock_converse.as_ref(),
            Protocol::VertexPredict => None,
            Protocol::Passthrough => self.passthrough.as_ref(),
        }
    }
}

/// Limits, connections and logging: what `ai-proxy` and `ai-proxy-multi` say once for all instances.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Limits {
    /// What log entries get beside their usual members.
    pub logging: Logging,
    /// Milliseconds to connect, to send, and between two reads.
    #[schemars(range(min = 1, max = 600_000))]
    pub timeout: u64,
    /// Largest request body in bytes.
    #[schemars(range(min = 1))]
    pub max_req_body_size: u64,
    /// Longest stream in milliseconds, counted from the beginning of the attempt.
    #[schemars(range(min = 1))]
    pub max_stream_duration_ms: Option<u64>,
    /// Largest answer in bytes.
    #[schemars(range(min = 1))]
    pub max_response_bytes: Option<u64>,
    /// Whether connections are used again.
    pub keepalive: bool,
    /// Milliseconds an idle connection is kept.
    #[schemars(range(min = 1000))]
    pub keepalive_timeout: u64,
    /// Most idle connections kept per address.
    #[schemars(range(min = 1))]
    pub keepalive_pool: u64,
    /// Milliseconds between two flushes of a stream. Every event is written at once here, so it changes nothing.
    pub streaming_flush_interval_ms: u64,
    /// Whether the vendor's certificate is checked.
    pub ssl_verify: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            logging: Logging::default(),
            timeout: 30_000,
            max_req_body_size: 64 * 1024 * 1024,
            max_stream_duration_ms: None,
            max_response_bytes: None,
            keepalive: true,
            keepalive_timeout: 60_000,
            keepalive_pool: 30,
            streaming_flush_interval_ms: 10,
            ssl_verify: true,
        }
    }
}

/// What log entries get beside their usual members.
#[derive(Clone, Copy, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Logging {
    /// Model, duration and tokens.
    pub summaries: bool,
    /// Messages and the text of the answer.
    pub payloads: bool,
}
