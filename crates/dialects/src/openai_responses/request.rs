//! Requests, read.

use super::{ORIGIN, input, options, tools};
use crate::canonical::{DecodeError, Request};
use crate::openai_chat::ext::{leftover, open};

/// Reads a request. Neither `model` nor `input` must be there: a prompt template may name both.
///
/// # Errors
/// The body is no JSON object, or a known member has a wrong type; the error names it.
pub fn decode_request(body: &str) -> Result<Request, DecodeError> {
    let (mut object, mut ext) = open(body, "")?;
    let model = object.take_string("model")?.unwrap_or_default();
    let messages = input::take(&mut object, &mut ext)?;
    let tools = match object.peek("tools").map(|raw| raw.get() == "[]") {
        Some(false) => tools::decode(&object.take_array("tools")?.unwrap_or_default())?,
        _ => Vec::new(),
    };
    let tool_choice = object.take("tool_choice").map(tools::decode_choice).transpose()?;
    let top_logprobs = object.take_u64("top_logprobs")?;
    Ok(Request {
        origin: ORIGIN,
        model,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: object.take_bool("parallel_tool_calls")?,
        max_output_tokens: object.take_u64("max_output_tokens")?,
        temperature: object.take_number("temperature")?,
        top_p: object.take_number("top_p")?,
        top_k: object.take_number("top_k")?,
        stop: Vec::new(),
        stream: object.take_bool("stream")?,
        include_usage: None,
        reasoning: options::take_reasoning(&mut object, &mut ext)?,
        response_format: options::take_text(&mut object, &mut ext)?,
        user: options::take_user(&mut object, &mut ext)?,
        service_tier: object.take_string("service_tier")?,
        choices: None,
        seed: None,
        presence_penalty: object.take_number("presence_penalty")?,
        frequency_penalty: object.take_number("frequency_penalty")?,
        logprobs: options::wants_logprobs(&object, top_logprobs).then_some(true),
        top_logprobs,
        ext: leftover(object, ext),
    })
}
