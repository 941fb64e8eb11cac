//! `count-tokens`: a request without an answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::encode::{Purpose, write_members};
use super::part::{ORIGIN, rest};
use super::request::decode_members;
use crate::anthropic_messages;
use crate::canonical::{DecodeError, Request, TokenCount};
use crate::json::{Object, Writer};
use crate::loss::Losses;
use crate::target::Target;

/// Reads a request to count tokens: of a `converse`, or of an `invokeModel` whose body is Anthropic's.
///
/// # Errors
/// The document is not such a request; the error names the field and what was expected there.
pub fn decode_count_tokens_request(body: &str) -> Result<Request, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let Some(mut input) = object.take_object("input")? else {
        return Err(DecodeError::new("input", "is missing; an object is required"));
    };
    if let Some(converse) = input.take_object("converse")? {
        return decode_members(converse);
    }
    let Some(mut invoked) = input.take_object("invokeModel")? else {
        return Err(DecodeError::new(
            "input",
            r#"expected "converse" or "invokeModel""#,
        ));
    };
    const BODY: &str = "input.invokeModel.body";
    let data = invoked.require_string("body")?;
    let text = STANDARD
        .decode(data)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| DecodeError::new(BODY, "is not base64 of a text"))?;
    // The model stands in the address here.
    let named = match (Object::parse(&text, BODY)?.has("model"), text.split_once('{')) {
        (false, Some((_, members))) => format!("{{\"model\":\"\",{members}"),
        _ => text,
    };
    anthropic_messages::decode_count_tokens_request(&named).map_err(|error| {
        DecodeError::new(
            BODY,
            format!("only bodies of Anthropic's models are understood: {error}"),
        )
    })
}

/// Writes a request to count tokens. How an answer would be sampled, limited and accounted for changes no count: it is left
/// out.
pub fn encode_count_tokens_request(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let counted = Request {
        max_output_tokens: request.max_output_tokens.filter(|most| *most > 0),
        temperature: None,
        top_p: None,
        top_k: None,
        stop: Vec::new(),
        service_tier: None,
        user: None,
        choices: None,
        seed: None,
        presence_penalty: None,
        frequency_penalty: None,
        logprobs: None,
        top_logprobs: None,
        ..request.clone()
    };
    let mut out = Vec::with_capacity(4096);
    Writer::new(&mut out).object(|w| {
        w.key("input").object(|w| {
            w.key("converse")
                .object(|w| write_members(w, &counted, target, Purpose::Count, losses));
        });
    });
    out
}

/// Reads the count.
///
/// # Errors
/// The document is no count.
pub fn decode_token_count(body: &str) -> Result<TokenCount, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    let Some(total) = object.take_u64("inputTokens")? else {
        return Err(DecodeError::new(
            "inputTokens",
            "is missing; a number is required",
        ));
    };
    Ok(TokenCount {
        origin: ORIGIN,
        total,
        cached: None,
        ext: rest(object, nulls),
    })
}

/// Writes the count. Which of the tokens are in a cache has no place here.
pub fn encode_token_count(count: &TokenCount) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out).object(|w| {
        w.key("inputTokens").number(count.total);
        if count.origin == ORIGIN {
            w.ext(&count.ext);
        }
    });
    out
}
