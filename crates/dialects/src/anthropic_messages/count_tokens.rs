//! `count_tokens`: a request without an answer.

use super::encode::{Purpose, encode};
use super::request::decode_request;
use crate::Dialect;
use crate::canonical::{DecodeError, Ext, Request, TokenCount};
use crate::json::{Object, Writer};
use crate::loss::Losses;
use crate::names::Names;
use crate::target::Target;

/// Members of the bag that Anthropic takes when it counts (`MessageCountTokensParams` of its SDK, and the betas).
const COUNTED: [&str; 6] = [
    "cache_control",
    "context_management",
    "mcp_servers",
    "output_config",
    "output_format",
    "speed",
];

/// Reads a request to count tokens. It is a request for an answer without what only the answer needs.
///
/// # Errors
/// The document is not such a request; the error names the field and what was expected there.
pub fn decode_count_tokens_request(body: &str) -> Result<Request, DecodeError> {
    decode_request(body)
}

/// Writes a request to count tokens. How an answer would be sampled, limited and accounted for changes no count: it is left
/// out, and no loss.
pub fn encode_count_tokens_request(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let counted = Request {
        temperature: None,
        top_p: None,
        top_k: None,
        stop: Vec::new(),
        stream: None,
        include_usage: None,
        user: None,
        service_tier: None,
        choices: None,
        seed: None,
        presence_penalty: None,
        frequency_penalty: None,
        logprobs: None,
        top_logprobs: None,
        ext: bag(request),
        ..request.clone()
    };
    let mut found = Losses::new();
    let body = encode(&counted, target, Purpose::Count, &mut found);
    // The length of an answer is not sent.
    let limit = Names::new(request).option("max_tokens");
    for loss in found.iter().filter(|loss| loss.field != limit) {
        losses.push(loss.field.clone(), loss.effect, loss.reason);
    }
    body
}

fn bag(request: &Request) -> Ext {
    let kept = |name: &str| request.origin != Dialect::AnthropicMessages || COUNTED.contains(&name);
    let members = request.ext.0.iter().filter(|(name, _)| kept(name));
    Ext(members.cloned().collect())
}

/// Reads the count.
///
/// # Errors
/// The document is no count.
pub fn decode_token_count(body: &str) -> Result<TokenCount, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let Some(total) = object.take_u64("input_tokens")? else {
        return Err(DecodeError::new(
            "input_tokens",
            "is missing; a number is required",
        ));
    };
    Ok(TokenCount {
        origin: Dialect::AnthropicMessages,
        total,
        cached: None,
        ext: object.into_ext(),
    })
}

/// Writes the count. Which of the tokens are in a cache, or of which modality they are, has no place here.
pub fn encode_token_count(count: &TokenCount) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out).object(|w| {
        w.key("input_tokens").number(count.total);
        if count.origin == Dialect::AnthropicMessages {
            w.ext(&count.ext);
        }
    });
    out
}
