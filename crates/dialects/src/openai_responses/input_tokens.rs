//! `POST /v1/responses/input_tokens`: a request without an answer.
//!
//! `POST /v1/responses/compact` answers with a compaction that only its maker can read, so it is passed on and never
//! translated.

use super::encode::{encode_request, write_own_members};
use super::options;
use super::request::decode_request;
use crate::Losses;
use crate::canonical::{DecodeError, Request, TokenCount};
use crate::json::{Object, Writer};
use crate::openai_chat::ext::{leftover, open, without};
use crate::target::Target;

/// Reads a request to count tokens; it has the members of a request for an answer that bear on the prompt.
///
/// # Errors
/// The document is not such a request; the error names the field and what was expected there.
pub fn decode_input_tokens_request(body: &str) -> Result<Request, DecodeError> {
    decode_request(body)
}

/// Writes a request to count tokens. Members that say nothing about the prompt are refused there, and left out.
pub fn encode_input_tokens_request(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    if options::is_own(request) {
        Writer::new(&mut out).object(|w| {
            w.key("model").string(target.model);
            write_own_members(w, request, losses);
        });
        return out;
    }
    // Limits and sampling have no bearing on the count, so what is lost of them is no loss.
    let body = encode_request(request, target, &mut Losses::new());
    let members = std::str::from_utf8(&body)
        .ok()
        .and_then(|text| Object::parse(text, "").ok())
        .map(Object::into_ext)
        .unwrap_or_default();
    let kept: Vec<&str> = members
        .iter()
        .map(|(name, _)| name)
        .filter(|name| !COUNTED.contains(name))
        .collect();
    Writer::new(&mut out).object(|w| w.ext(&without(&members, &kept)));
    out
}

/// What bears on the prompt.
const COUNTED: [&str; 8] = [
    "model",
    "instructions",
    "input",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "text",
];

/// Reads the count.
///
/// # Errors
/// The document is no count.
pub fn decode_token_count(body: &str) -> Result<TokenCount, DecodeError> {
    let (mut object, nulls) = open(body, "")?;
    let Some(total) = object.take_u64("input_tokens")? else {
        return Err(DecodeError::new(
            "input_tokens",
            "is missing; a number is required",
        ));
    };
    Ok(TokenCount {
        origin: super::ORIGIN,
        total,
        cached: None,
        ext: leftover(object, nulls),
    })
}

/// Writes the count.
pub fn encode_token_count(count: &TokenCount) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out).object(|w| {
        w.key("input_tokens").number(count.total);
        if count.origin != super::ORIGIN || count.ext.get("object").is_none() {
            w.key("object").string("response.input_tokens");
        }
        if count.origin == super::ORIGIN {
            w.ext(&count.ext);
        }
    });
    out
}
