//! Reranking: documents ordered by how well they answer a query.
//!
//! Knows Cohere's two versions, Cohere on Bedrock, and the common shape of Jina and Voyage, and translates each into each
//! other through one form, [`Request`] and [`Response`]. Scores keep the text they had.
//!
//! Differences between a document and itself decoded and encoded again, all without meaning: the order of members.

mod answer;
mod ask;
mod form;

use crate::canonical::{DecodeError, ProviderError};
use crate::{Losses, codec};

pub use form::{Document, Ranked, Request, Response};

/// A wire format of reranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// Cohere, `POST /v2/rerank`.
    Cohere,
    /// Cohere, `POST /v1/rerank`.
    CohereV1,
    /// Cohere on Bedrock, `POST /model/{model}/invoke`.
    BedrockCohere,
    /// Jina and those who do the same, `POST /v1/rerank`.
    Jina,
    /// Voyage, `POST /v1/rerank`.
    Voyage,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 5] = [
        Dialect::Cohere,
        Dialect::CohereV1,
        Dialect::BedrockCohere,
        Dialect::Jina,
        Dialect::Voyage,
    ];

    /// The name used in configuration, logs and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::Cohere => "cohere_rerank",
            Dialect::CohereV1 => "cohere_v1_rerank",
            Dialect::BedrockCohere => "bedrock_cohere_rerank",
            Dialect::Jina => "jina_rerank",
            Dialect::Voyage => "voyage_rerank",
        }
    }

    /// The dialect of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The chat dialect of the same provider, or the one that errors look like.
    pub const fn chat(self) -> crate::Dialect {
        match self {
            Dialect::Cohere | Dialect::CohereV1 => crate::Dialect::CohereChat,
            Dialect::BedrockCohere => crate::Dialect::BedrockConverse,
            Dialect::Jina | Dialect::Voyage => crate::Dialect::OpenaiChat,
        }
    }

    const fn is_cohere(self) -> bool {
        matches!(self, Dialect::Cohere | Dialect::CohereV1 | Dialect::BedrockCohere)
    }

    /// Whether bags of `origin` have the same members here.
    fn is_kin(self, origin: Dialect) -> bool {
        self == origin || self.is_cohere() && origin.is_cohere()
    }
}

/// Reads a request. On Bedrock the model stands in the address, and [`Request::model`] is empty.
///
/// # Errors
/// The document is not such a request; the error names the field and what was expected there.
pub fn decode_request(dialect: Dialect, body: &str) -> Result<Request, DecodeError> {
    ask::decode(dialect, body)
}

/// Writes a request for the model that the provider calls `model`; what cannot be expressed is added to `losses`.
pub fn encode_request(dialect: Dialect, request: &Request, model: &str, losses: &mut Losses) -> Vec<u8> {
    ask::encode(dialect, request, model, losses)
}

/// Reads an answer.
///
/// # Errors
/// The document is no ranking.
pub fn decode_response(dialect: Dialect, body: &str) -> Result<Response, DecodeError> {
    answer::decode(dialect, body)
}

/// Writes an answer to `request`; what cannot be expressed is added to `losses`. Documents that the client wants back and
/// the provider did not repeat are taken from the request.
///
/// # Errors
/// A result is about a document that was not sent. That is the provider's fault.
pub fn encode_response(
    dialect: Dialect,
    response: &Response,
    request: &Request,
    losses: &mut Losses,
) -> Result<Vec<u8>, DecodeError> {
    answer::encode(dialect, response, request, losses)
}

/// Reads an error answer, whatever it looks like.
pub fn decode_error(dialect: Dialect, status: u16, body: &[u8]) -> ProviderError {
    codec::decode_error(dialect.chat(), status, body)
}

/// Writes an error answer.
pub fn encode_error(dialect: Dialect, error: &ProviderError) -> Vec<u8> {
    codec::encode_error(dialect.chat(), error, None)
}
