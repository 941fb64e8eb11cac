//! What differs between providers besides their dialect: where credentials go, which paths they serve.

pub mod simulated;

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{AUTHORIZATION, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;
use tollgate_dialects::{Dialect, embeddings, rerank};
use tollgate_resources::Secret;
use tollgate_resources::model::Provider;

use crate::ai::config::{AwsAuth, GcpAuth};
use crate::ai::gcp::Tokens;
use crate::ai::percent;

/// How we introduce ourselves to providers.
pub const OUR_NAME: HeaderValue = HeaderValue::from_static(concat!("tollgate/", env!("CARGO_PKG_VERSION")));

/// The version of Anthropic's API that is asked for when the client names none. Newer versions drop fields that clients
/// of older SDKs still send.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Headers of a client that mean something to a provider of the same dialect. All others stay here: keys, cookies and
/// addresses of clients are none of a vendor's business.
const FORWARDED: [(Dialect, HeaderName); 6] = [
    (Dialect::AnthropicMessages, VERSION),
    (
        Dialect::AnthropicMessages,
        HeaderName::from_static("anthropic-beta"),
    ),
    (Dialect::OpenaiChat, HeaderName::from_static("openai-beta")),
    (Dialect::OpenaiResponses, HeaderName::from_static("openai-beta")),
    (
        Dialect::BedrockConverse,
        HeaderName::from_static("x-amzn-bedrock-performanceconfig-latency"),
    ),
    (
        Dialect::BedrockConverse,
        HeaderName::from_static("x-amzn-bedrock-service-tier"),
    ),
];

/// Anthropic's version of its API.
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// What a request to a provider asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A chat completion in this dialect.
    Chat(Dialect),
    /// Token counting in this dialect.
    CountTokens(Dialect),
    /// Embeddings in this dialect.
    Embeddings(embeddings::Dialect),
    /// Reranking in this dialect.
    Rerank(rerank::Dialect),
}

/// How a provider knows who asks, beside headers that never change.
#[derive(Default)]
pub enum Credentials {
    /// By headers that never change, or not at all.
    #[default]
    Headers,
    /// By a token made for a service account of Google's.
    Google {
        /// The account.
        account: GcpAuth,
        /// The tokens of all accounts.
        tokens: Arc<Tokens>,
    },
    /// By a signature made with an Amazon key.
    Amazon {
        /// The key.
        key: AwsAuth,
        /// The region that signatures are made for.
        region: String,
    },
}

/// A name of a model that cannot stand in an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the name of the model cannot stand in an address")]
pub struct UnusableName;

impl Operation {
    /// The path below the provider's base address, and the query that belongs to it.
    ///
    /// # Errors
    /// The model's name would lead elsewhere.
    pub fn path(self, model: &str, stream: bool) -> Result<Cow<'static, str>, UnusableName> {
        let fixed = match self {
            Operation::Chat(Dialect::Gemini) => {
                // Without `alt=sse` the documents of a stream come as one array.
                let verb = if stream {
                    "streamGenerateContent?alt=sse"
                } else {
                    "generateContent"
                };
                return of_gemini(model, verb);
            }
            Operation::CountTokens(Dialect::Gemini) => return of_gemini(model, "countTokens"),
            Operation::Chat(Dialect::BedrockConverse) => {
                return of_bedrock(model, if stream { "converse-stream" } else { "converse" });
            }
            Operation::CountTokens(Dialect::BedrockConverse) => return of_bedrock(model, "count-tokens"),
            Operation::Chat(Dialect::OpenaiChat) => "/chat/completions",
            Operation::Chat(Dialect::AnthropicMessages) => "/messages",
            Operation::Chat(Dialect::OpenaiResponses) => "/responses",
            Operation::Chat(Dialect::CohereChat) => "/chat",
            Operation::CountTokens(Dialect::OpenaiResponses) => "/responses/input_tokens",
            Operation::CountTokens(_) => "/messages/count_tokens",
            Operation::Embeddings(dialect) => match dialect {
                embeddings::Dialect::Openai | embeddings::Dialect::Mistral | embeddings::Dialect::Voyage => {
                    "/embeddings"
                }
                embeddings::Dialect::GeminiSingle => return of_gemini(model, "embedContent"),
                embeddings::Dialect::GeminiBatch => return of_gemini(model, "batchEmbedContents"),
                embeddings::Dialect::VertexPredict => return of_gemini(model, "predict"),
                embeddings::Dialect::BedrockTitan | embeddings::Dialect::BedrockCohere => {
                    return of_bedrock(model, "invoke");
                }
                embeddings::Dialect::CohereV1 | embeddings::Dialect::Cohere => "/embed",
            },
            Operation::Rerank(rerank::Dialect::BedrockCohere) => return of_bedrock(model, "invoke"),
            Operation::Rerank(_) => "/rerank",
        };
        Ok(Cow::Borrowed(fixed))
    }

    /// The dialect of its errors and headers.
    pub fn dialect(self) -> Dialect {
        match self {
            Operation::Chat(dialect) | Operation::CountTokens(dialect) => dialect,
            Operation::Embeddings(dialect) => dialect.chat(),
            Operation::Rerank(dialect) => dialect.chat(),
        }
    }

    /// The media type of an answer that is streamed.
    pub fn stream_type(self) -> &'static str {
        match self.dialect() {
            Dialect::BedrockConverse => AWS_EVENT_STREAM,
            _ => "text/event-stream",
        }
    }
}

/// The media type of Amazon's streams.
pub const AWS_EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Models stand below `models` unless their name says where they are, as those that were tuned do.
fn of_gemini(model: &str, verb: &str) -> Result<Cow<'static, str>, UnusableName> {
    let is_placed = ["models/", "tunedModels/"]
        .iter()
        .any(|place| model.starts_with(place));
    let mut path = String::from(if is_placed { "" } else { "/models" });
    for segment in model.split('/') {
        if matches!(segment, "" | "." | "..") {
            return Err(UnusableName);
        }
        path.push('/');
        percent::encode(&mut path, segment);
    }
    path.push(':');
    path.push_str(verb);
    Ok(Cow::Owned(path))
}

/// The id is one segment, whatever it holds.
fn of_bedrock(model: &str, verb: &str) -> Result<Cow<'static, str>, UnusableName> {
    if matches!(model, "" | "." | "..") {
        return Err(UnusableName);
    }
    let mut path = String::from("/model/");
    percent::encode(&mut path, model);
    path.push('/');
    path.push_str(verb);
    Ok(Cow::Owned(path))
}

/// The header that carries a credential.
///
/// # Errors
/// The credential holds characters that cannot stand in a header.
pub fn credential_header(
    provider: Provider,
    credential: &Secret,
) -> Result<(HeaderName, HeaderValue), InvalidHeaderValue> {
    let bare = |name| (HeaderName::from_static(name), credential.expose().to_owned());
    let (name, text) = match provider {
        Provider::Anthropic => bare("x-api-key"),
        Provider::Gemini | Provider::Vertex => bare("x-goog-api-key"),
        Provider::Azure => bare("api-key"),
        Provider::OpenAi
        | Provider::Bedrock
        | Provider::Cohere
        | Provider::OpenAiCompatible
        | Provider::Simulated => (AUTHORIZATION, format!("Bearer {}", credential.expose())),
    };
    let mut value = HeaderValue::from_str(&text)?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Adds the headers that an operation needs, forwarding those of the client that are meant for the provider. Most calls need none beside
/// those of the instance, which are not copied then.
pub fn add_headers(
    operation: Operation,
    client_dialect: Dialect,
    client: &HeaderMap,
    headers: &mut Cow<'_, HeaderMap>,
) {
    let dialect = operation.dialect();
    if dialect == client_dialect {
        for (owner, name) in FORWARDED {
            // What the operator has set is not for clients to change.
            if owner == dialect && !headers.contains_key(&name) {
                for value in client.get_all(&name) {
                    headers.to_mut().append(name.clone(), value.clone());
                }
            }
        }
    }
    if dialect == Dialect::AnthropicMessages && !headers.contains_key(VERSION) {
        headers.to_mut().insert(VERSION, ANTHROPIC_VERSION);
    }
}

#[cfg(test)]
mod tests {
    use tollgate_dialects::Dialect;

    use super::Operation;

    #[test]
    fn models_stand_escaped_in_google_s_and_amazon_s_addresses() {
        for (dialect, model, stream, path) in [
            (
                Dialect::Gemini,
                "gemini-2.5-pro",
                false,
                "/models/gemini-2.5-pro:generateContent",
            ),
            (
                Dialect::Gemini,
                "gemini-2.5-pro",
                true,
                "/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            ),
            (Dialect::Gemini, "models/m", false, "/models/m:generateContent"),
            (
                Dialect::Gemini,
                "tunedModels/t",
                false,
                "/tunedModels/t:generateContent",
            ),
            (
                Dialect::Gemini,
                "a b?c",
                false,
                "/models/a%20b%3Fc:generateContent",
            ),
            (
                Dialect::BedrockConverse,
                "nova:0",
                false,
                "/model/nova%3A0/converse",
            ),
            (
                Dialect::BedrockConverse,
                "arn:aws:bedrock:r:1:inference-profile/p",
                true,
                "/model/arn%3Aaws%3Abedrock%3Ar%3A1%3Ainference-profile%2Fp/converse-stream",
            ),
        ] {
            assert_eq!(Operation::Chat(dialect).path(model, stream).as_deref(), Ok(path));
        }
    }

    #[test]
    fn a_name_cannot_lead_to_another_address() {
        for model in ["", "..", "../files", "a/../../b", "a//b"] {
            assert!(
                Operation::Chat(Dialect::Gemini).path(model, false).is_err(),
                "{model}"
            );
        }
        let bedrock = Operation::Chat(Dialect::BedrockConverse);
        assert_eq!(
            bedrock.path("../x", false).as_deref(),
            Ok("/model/..%2Fx/converse")
        );
        assert!(bedrock.path("..", false).is_err());
    }
}
