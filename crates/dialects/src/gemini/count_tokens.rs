//! `countTokens`: a request without an answer.

use super::encode::write_members;
use super::fields::{leftover, open, take_count, take_object};
use super::request::decode_members;
use crate::Dialect;
use crate::canonical::{DecodeError, Request, TokenCount};
use crate::json::Writer;
use crate::loss::Losses;
use crate::target::Target;

/// Reads a request to count tokens: `contents` alone, or a whole `generateContentRequest`.
///
/// # Errors
/// The document is not such a request; the error names the field and what was expected there.
pub fn decode_count_tokens_request(body: &str) -> Result<Request, DecodeError> {
    let (mut object, nulls) = open(body, "")?;
    match take_object(&mut object, "generateContentRequest")? {
        Some((request, nulls)) => decode_members(request, nulls),
        None => decode_members(object, nulls),
    }
}

/// Writes a request to count tokens. The Gemini API takes more than `contents` only within `generateContentRequest`, which
/// names the model again.
pub fn encode_count_tokens_request(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    Writer::new(&mut out).object(|w| {
        w.key("generateContentRequest").object(|w| {
            w.key("model").string(&format!("models/{}", target.model));
            write_members(w, request, target, losses);
        });
    });
    out
}

/// Reads the count.
///
/// # Errors
/// The document is no count.
pub fn decode_token_count(body: &str) -> Result<TokenCount, DecodeError> {
    let (mut object, nulls) = open(body, "")?;
    let total = take_count(&mut object, "totalTokens")?;
    Ok(TokenCount {
        origin: Dialect::Gemini,
        // A prompt of nothing has no `totalTokens`, as zeros are left out.
        total: match total {
            Some(total) => total,
            None if object.has("error") => {
                return Err(DecodeError::new("error", "the provider answered with an error"));
            }
            None => 0,
        },
        cached: take_count(&mut object, "cachedContentTokenCount")?,
        ext: leftover(object, nulls),
    })
}

/// Writes the count. What only another dialect tells beside it (which context was cut, say) has no place here.
pub fn encode_token_count(count: &TokenCount) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out).object(|w| {
        w.key("totalTokens").number(count.total);
        w.optional_number("cachedContentTokenCount", count.cached);
        if count.origin == Dialect::Gemini {
            w.ext(&count.ext);
        }
    });
    out
}
