//! Embeddings: requests for vectors, and the vectors.
//!
//! Knows the bodies of eight addresses and translates each into each other through one form, [`Request`] and [`Response`].
//! Refuses to know addresses, keys and which provider it talks to. Vectors are never computed with: numbers keep the text
//! they had, and base64 is made from them or into them only where one side has base64 and the other numbers.
//!
//! Some dialects take fewer inputs at once than others: [`encode_request`] gives one body for each call that is needed, and
//! [`Response::join`] puts the answers together.
//!
//! Differences between a document and itself decoded and encoded again, all without meaning: the order of members and of
//! `data`, `snake_case` at Google, `encoding_format` or `output_dtype` `float` beside base64, and options within
//! `embedContentConfig`, which come to stand beside it.

mod cohere;
mod extra;
mod form;
mod google;
mod named;
mod openai;
mod part;
mod pieces;
mod titan;
mod usage;
mod vector;

use crate::canonical::{DecodeError, ProviderError};
use crate::json::Writer;
use crate::{Losses, codec};

pub use form::{Form, Input, Item, Kind, Piece, Request, Response, Task, Truncate, Wanted};
pub use vector::{Values, Vector};

/// A wire format of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// OpenAI and all who do the same, `POST /v1/embeddings`.
    Openai,
    /// Mistral, `POST /v1/embeddings`: OpenAI's with `output_dimension` and `output_dtype`.
    Mistral,
    /// Voyage, `POST /v1/embeddings`: OpenAI's with `input_type`, `output_dimension`, `output_dtype` and `truncation`.
    Voyage,
    /// Gemini, `POST /v1beta/models/{model}:embedContent`: one content.
    GeminiSingle,
    /// Gemini, `POST /v1beta/models/{model}:batchEmbedContents`.
    GeminiBatch,
    /// Vertex AI, `POST …/publishers/google/models/{model}:predict`.
    VertexPredict,
    /// Amazon Titan on Bedrock, `POST /model/{model}/invoke`: one text or picture.
    BedrockTitan,
    /// Cohere on Bedrock, `POST /model/{model}/invoke`.
    BedrockCohere,
    /// Cohere, `POST /v1/embed`.
    CohereV1,
    /// Cohere, `POST /v2/embed`.
    Cohere,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 10] = [
        Dialect::Openai,
        Dialect::Mistral,
        Dialect::Voyage,
        Dialect::GeminiSingle,
        Dialect::GeminiBatch,
        Dialect::VertexPredict,
        Dialect::BedrockTitan,
        Dialect::BedrockCohere,
        Dialect::CohereV1,
        Dialect::Cohere,
    ];

    /// The name used in configuration, logs and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::Openai => "openai_embeddings",
            Dialect::Mistral => "mistral_embeddings",
            Dialect::Voyage => "voyage_embeddings",
            Dialect::GeminiSingle => "gemini_embed",
            Dialect::GeminiBatch => "gemini_batch_embed",
            Dialect::VertexPredict => "vertex_predict",
            Dialect::BedrockTitan => "bedrock_titan_embed",
            Dialect::BedrockCohere => "bedrock_cohere_embed",
            Dialect::CohereV1 => "cohere_v1_embed",
            Dialect::Cohere => "cohere_embed",
        }
    }

    /// The dialect of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The chat dialect of the same provider; errors have its shape.
    pub const fn chat(self) -> crate::Dialect {
        match self {
            Dialect::Openai | Dialect::Mistral | Dialect::Voyage => crate::Dialect::OpenaiChat,
            Dialect::GeminiSingle | Dialect::GeminiBatch | Dialect::VertexPredict => crate::Dialect::Gemini,
            Dialect::BedrockTitan | Dialect::BedrockCohere => crate::Dialect::BedrockConverse,
            Dialect::CohereV1 | Dialect::Cohere => crate::Dialect::CohereChat,
        }
    }

    /// How many inputs one call takes at most, as the providers document it.
    pub const fn most_inputs(self) -> usize {
        match self {
            Dialect::GeminiSingle | Dialect::BedrockTitan => 1,
            Dialect::BedrockCohere | Dialect::CohereV1 | Dialect::Cohere => 96,
            Dialect::GeminiBatch => 100,
            Dialect::VertexPredict => 250,
            Dialect::Mistral => 256,
            Dialect::Voyage => 1_000,
            Dialect::Openai => 2_048,
        }
    }

    /// Whether bags of `origin` have the same members here.
    fn is_kin(self, origin: Dialect) -> bool {
        use Dialect::{BedrockCohere, Cohere, CohereV1, GeminiBatch, GeminiSingle};
        self == origin
            || matches!(
                (self, origin),
                (GeminiSingle | GeminiBatch, GeminiSingle | GeminiBatch)
                    | (
                        BedrockCohere | Cohere | CohereV1,
                        BedrockCohere | Cohere | CohereV1
                    )
            )
    }
}

/// Reads a request. A dialect that tells the model in the address leaves [`Request::model`] empty.
///
/// # Errors
/// The document is not such a request; the error names the field and what was expected there.
pub fn decode_request(dialect: Dialect, body: &str) -> Result<Request, DecodeError> {
    match dialect {
        Dialect::Openai | Dialect::Mistral | Dialect::Voyage => openai::decode_request(dialect, body),
        Dialect::GeminiSingle | Dialect::GeminiBatch => google::decode_request(dialect, body),
        Dialect::VertexPredict => google::decode_predict(body),
        Dialect::BedrockTitan => titan::decode_request(body),
        Dialect::BedrockCohere | Dialect::CohereV1 | Dialect::Cohere => cohere::decode_request(dialect, body),
    }
}

/// How many calls a request needs; whoever makes them decides how many are too many.
pub fn calls(dialect: Dialect, request: &Request) -> usize {
    request.inputs.len().div_ceil(dialect.most_inputs()).max(1)
}

/// Writes a request for the model that the provider calls `model`: one body for each of its [`calls`]. What cannot be
/// expressed is added to `losses`.
pub fn encode_request(dialect: Dialect, request: &Request, model: &str, losses: &mut Losses) -> Vec<Vec<u8>> {
    if request.inputs.is_empty() {
        losses.rejected(named::input(request, 0), "there is nothing to embed");
    }
    if !dialect.is_kin(request.origin) {
        extra::report_request(request, losses);
    }
    let size = dialect.most_inputs();
    (0..calls(dialect, request))
        .map(|call| {
            let inputs = request.inputs.chunks(size).nth(call).unwrap_or_default();
            let part = part::Part {
                request,
                inputs,
                first: call.saturating_mul(size),
                model,
            };
            let mut out = Vec::with_capacity(1024);
            let mut w = Writer::new(&mut out);
            w.object(|w| match dialect {
                Dialect::Openai | Dialect::Mistral | Dialect::Voyage => {
                    openai::write_request(w, dialect, &part, losses);
                }
                Dialect::GeminiSingle | Dialect::GeminiBatch => {
                    google::write_request(w, dialect, &part, losses);
                }
                Dialect::VertexPredict => google::write_predict(w, &part, losses),
                Dialect::BedrockTitan => titan::write_request(w, &part, losses),
                Dialect::BedrockCohere | Dialect::CohereV1 | Dialect::Cohere => {
                    cohere::write_request(w, dialect, &part, losses);
                }
            });
            out
        })
        .collect()
}

/// Reads the vectors.
///
/// # Errors
/// The document has no vectors, or they are no numbers.
pub fn decode_response(dialect: Dialect, body: &str) -> Result<Response, DecodeError> {
    match dialect {
        Dialect::Openai | Dialect::Mistral | Dialect::Voyage => openai::decode_response(dialect, body),
        Dialect::GeminiSingle | Dialect::GeminiBatch => google::decode_response(dialect, body),
        Dialect::VertexPredict => google::decode_predictions(body),
        Dialect::BedrockTitan => titan::decode_response(body),
        Dialect::BedrockCohere | Dialect::CohereV1 | Dialect::Cohere => {
            cohere::decode_response(dialect, body)
        }
    }
}

/// Writes the vectors as the client of `dialect` asked for them in `request`; what cannot be expressed is added to `losses`.
///
/// # Errors
/// There are not as many vectors as inputs, none of the kind that was asked for, or numbers that the notation does not
/// have. All of these are the provider's fault.
pub fn encode_response(
    dialect: Dialect,
    response: &Response,
    request: &Request,
    losses: &mut Losses,
) -> Result<Vec<u8>, DecodeError> {
    let (asked, got) = (request.inputs.len(), response.items.len());
    if asked != got {
        let problem = format!("the provider answered {got} vectors for {asked} inputs");
        return Err(DecodeError::new("", problem));
    }
    if !dialect.is_kin(response.origin) {
        extra::report_response(response, losses);
    }
    let mut rounded = false;
    let mut out = Vec::with_capacity(16 * 1024);
    let mut answer = part::Answer {
        response,
        request,
        own: dialect.is_kin(response.origin),
        rounded: &mut rounded,
    };
    let mut w = Writer::new(&mut out);
    match dialect {
        Dialect::Openai | Dialect::Mistral | Dialect::Voyage => {
            openai::write_response(&mut w, dialect, &mut answer, losses)?;
        }
        Dialect::GeminiSingle | Dialect::GeminiBatch => {
            google::write_response(&mut w, dialect, &mut answer)?;
        }
        Dialect::VertexPredict => google::write_predictions(&mut w, &mut answer, losses)?,
        Dialect::BedrockTitan => titan::write_response(&mut w, &mut answer)?,
        Dialect::BedrockCohere | Dialect::CohereV1 | Dialect::Cohere => {
            cohere::write_response(&mut w, dialect, &mut answer)?;
        }
    }
    if rounded {
        losses.approximated("data[].embedding", "base64 holds 32 bits of each number");
    }
    Ok(out)
}

/// Reads an error answer, whatever it looks like.
pub fn decode_error(dialect: Dialect, status: u16, body: &[u8]) -> ProviderError {
    codec::decode_error(dialect.chat(), status, body)
}

/// Writes an error answer.
pub fn encode_error(dialect: Dialect, error: &ProviderError) -> Vec<u8> {
    codec::encode_error(dialect.chat(), error, None)
}
