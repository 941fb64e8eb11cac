//! Counting the tokens of a request, in the dialects that have a call for it: a count that is asked for in one of them can
//! be made by a provider of another.

use crate::canonical::{DecodeError, Request, TokenCount};
use crate::{Dialect, Losses, Target, anthropic_messages, bedrock_converse, gemini, openai_responses};

const NO_COUNTING: &str = "this dialect has no call that counts tokens";

/// Whether the dialect has a call that counts tokens.
pub const fn is_known_to(dialect: Dialect) -> bool {
    matches!(
        dialect,
        Dialect::AnthropicMessages | Dialect::Gemini | Dialect::OpenaiResponses | Dialect::BedrockConverse
    )
}

/// Reads a request to count tokens. As with requests for answers, the model is empty where it stands in the address.
///
/// # Errors
/// The document is not such a request, or the dialect has none.
pub fn decode_request(dialect: Dialect, body: &str) -> Result<Request, DecodeError> {
    match dialect {
        Dialect::AnthropicMessages => anthropic_messages::decode_count_tokens_request(body),
        Dialect::Gemini => gemini::decode_count_tokens_request(body),
        Dialect::OpenaiResponses => openai_responses::decode_input_tokens_request(body),
        Dialect::BedrockConverse => bedrock_converse::decode_count_tokens_request(body),
        _ => Err(DecodeError::new("", NO_COUNTING)),
    }
}

/// Writes a request to count tokens; what it cannot express, and what therefore is not counted, is added to `losses`.
pub fn encode_request(
    dialect: Dialect,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Vec<u8> {
    match dialect {
        Dialect::AnthropicMessages => {
            anthropic_messages::encode_count_tokens_request(request, target, losses)
        }
        Dialect::Gemini => gemini::encode_count_tokens_request(request, target, losses),
        Dialect::OpenaiResponses => openai_responses::encode_input_tokens_request(request, target, losses),
        Dialect::BedrockConverse => bedrock_converse::encode_count_tokens_request(request, target, losses),
        _ => {
            losses.rejected("", NO_COUNTING);
            Vec::new()
        }
    }
}

/// Reads the count.
///
/// # Errors
/// The document is no count, or the dialect has none.
pub fn decode_response(dialect: Dialect, body: &str) -> Result<TokenCount, DecodeError> {
    match dialect {
        Dialect::AnthropicMessages => anthropic_messages::decode_token_count(body),
        Dialect::Gemini => gemini::decode_token_count(body),
        Dialect::OpenaiResponses => openai_responses::decode_token_count(body),
        Dialect::BedrockConverse => bedrock_converse::decode_token_count(body),
        _ => Err(DecodeError::new("", NO_COUNTING)),
    }
}

/// Writes the count.
///
/// # Errors
/// The dialect has none.
pub fn encode_response(dialect: Dialect, count: &TokenCount) -> Result<Vec<u8>, DecodeError> {
    match dialect {
        Dialect::AnthropicMessages => Ok(anthropic_messages::encode_token_count(count)),
        Dialect::Gemini => Ok(gemini::encode_token_count(count)),
        Dialect::OpenaiResponses => Ok(openai_responses::encode_token_count(count)),
        Dialect::BedrockConverse => Ok(bedrock_converse::encode_token_count(count)),
        _ => Err(DecodeError::new("", NO_COUNTING)),
    }
}
