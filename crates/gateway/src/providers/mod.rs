//! What differs between providers besides their dialect: where credentials go, which paths they serve.

pub mod simulated;

use http::header::{AUTHORIZATION, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue};
use tollgate_dialects::Dialect;
use tollgate_resources::Secret;
use tollgate_resources::model::Provider;

/// The version of Anthropic's API that is asked for when the client names none. Newer versions drop fields that clients
/// of older SDKs still send.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Headers of a client that mean something to a provider of the same dialect. All others stay here: keys, cookies and
/// addresses of clients are none of a vendor's business.
const FORWARDED: [(Dialect, &str); 3] = [
    (Dialect::AnthropicMessages, "anthropic-version"),
    (Dialect::AnthropicMessages, "anthropic-beta"),
    (Dialect::OpenaiChat, "openai-beta"),
];

/// What a request to a provider asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A chat completion in this dialect.
    Chat(Dialect),
    /// Anthropic's token counting.
    CountTokens,
    /// OpenAI's embeddings.
    Embeddings,
}

impl Operation {
    /// The path below the provider's base address.
    pub fn path(self) -> &'static str {
        match self {
            Operation::Chat(Dialect::OpenaiChat) => "/chat/completions",
            Operation::Chat(Dialect::AnthropicMessages) => "/messages",
            // The model and the verb follow; no instance speaks these dialects yet.
            Operation::Chat(Dialect::Gemini) => "/models",
            Operation::Chat(Dialect::BedrockConverse) => "/model",
            Operation::Chat(Dialect::OpenaiResponses) => "/responses",
            Operation::Chat(Dialect::CohereChat) => "/chat",
            Operation::CountTokens => "/messages/count_tokens",
            Operation::Embeddings => "/embeddings",
        }
    }

    /// The dialect of its errors and headers.
    pub fn dialect(self) -> Dialect {
        match self {
            Operation::Chat(dialect) => dialect,
            Operation::CountTokens => Dialect::AnthropicMessages,
            Operation::Embeddings => Dialect::OpenaiChat,
        }
    }
}

/// The header that carries a credential.
///
/// # Errors
/// The credential holds characters that cannot stand in a header.
pub fn credential_header(
    provider: Provider,
    credential: &Secret,
) -> Result<(HeaderName, HeaderValue), InvalidHeaderValue> {
    let (name, text) = match provider {
        Provider::Anthropic => (
            HeaderName::from_static("x-api-key"),
            credential.expose().to_owned(),
        ),
        Provider::OpenAi | Provider::OpenAiCompatible | Provider::Simulated => {
            (AUTHORIZATION, format!("Bearer {}", credential.expose()))
        }
    };
    let mut value = HeaderValue::from_str(&text)?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Adds the headers that an operation needs, forwarding those of the client that are meant for the provider.
pub fn add_headers(
    operation: Operation,
    client_dialect: Dialect,
    client: &HeaderMap,
    headers: &mut HeaderMap,
) {
    let dialect = operation.dialect();
    if dialect == client_dialect {
        for (owner, name) in FORWARDED {
            // What the operator has set is not for clients to change.
            if owner == dialect && !headers.contains_key(name) {
                for value in client.get_all(name) {
                    headers.append(HeaderName::from_static(name), value.clone());
                }
            }
        }
    }
    if dialect == Dialect::AnthropicMessages && !headers.contains_key("anthropic-version") {
        headers.insert("anthropic-version", ANTHROPIC_VERSION);
    }
}
