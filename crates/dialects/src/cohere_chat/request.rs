//! Reading a request.

use crate::json::Raw;

use super::bag::{leftover, open, says};
use super::{messages, tools};
use crate::Dialect;
use crate::canonical::{DecodeError, ReasoningRequest, Request, ResponseFormat, Thinking};
use crate::json::{Object, RawJson};

/// Reads a request.
///
/// # Errors
/// The body is not a request of this dialect; the path names the field. A request of the legacy Chat v1 is none.
pub fn decode_request(body: &str) -> Result<Request, DecodeError> {
    let (mut object, nulls) = open(body, "")?;
    if !object.has("messages") && object.has("message") {
        return Err(DecodeError::new(
            "message",
            "belongs to the legacy Chat v1; the conversation of Chat v2 stands in messages",
        ));
    }
    let model = object.require_string("model")?;
    let list = object
        .take_array("messages")?
        .ok_or_else(|| DecodeError::new("messages", "is missing; an array of messages is required"))?;
    let messages = messages::decode(&list)?;
    let list = if says(&object, "tools") {
        object.take_array("tools")?.unwrap_or_default()
    } else {
        Vec::new()
    };
    // One switch for all tools; without tools it stays where it is.
    let strict = if list.is_empty() {
        None
    } else {
        object.take_bool("strict_tools")?
    };
    let tools = list
        .iter()
        .enumerate()
        .map(|(i, raw)| tools::decode(*raw, &crate::path::item("tools", i), strict))
        .collect::<Result<_, _>>()?;
    let tool_choice = object.take_some("tool_choice").map(tools::decode_choice);
    let stop = if says(&object, "stop_sequences") {
        object
            .take_as("stop_sequences", "an array of strings")?
            .unwrap_or_default()
    } else {
        Vec::new()
    };
    let response_format = take_format(&mut object)?;
    let thinking = object.take_some("thinking").map(decode_thinking).transpose()?;
    Ok(Request {
        origin: Dialect::CohereChat,
        model,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: None,
        max_output_tokens: object.take_u64("max_tokens")?,
        temperature: object.take_number("temperature")?,
        top_p: object.take_number("p")?,
        top_k: object.take_number("k")?,
        stop,
        stream: object.take_bool("stream")?,
        include_usage: None,
        reasoning: thinking.map(|thinking| ReasoningRequest {
            thinking: Some(thinking),
            ..ReasoningRequest::default()
        }),
        response_format,
        user: None,
        service_tier: None,
        choices: None,
        seed: object.take_number("seed")?,
        presence_penalty: object.take_number("presence_penalty")?,
        frequency_penalty: object.take_number("frequency_penalty")?,
        logprobs: object.take_bool("logprobs")?,
        top_logprobs: None,
        ext: leftover(object, nulls),
    })
}

/// Takes `response_format`; one with members we do not know stays whole.
fn take_format(request: &mut Object<'_>) -> Result<Option<ResponseFormat>, DecodeError> {
    let Some(raw) = request.take_some("response_format") else {
        return Ok(None);
    };
    let (mut object, _) = open(raw.get(), "response_format")?;
    let kind = object.require_string("type")?;
    let schema = object.take_some("json_schema").map(RawJson::from);
    let is_plain = object.into_ext().is_empty();
    Ok(Some(match (kind.as_str(), schema) {
        ("text", None) if is_plain => ResponseFormat::Text,
        ("json_object", None) if is_plain => ResponseFormat::JsonObject,
        ("json_object", Some(schema)) if is_plain => ResponseFormat::JsonSchema {
            name: None,
            description: None,
            schema: Some(schema),
            strict: None,
            ext: Default::default(),
        },
        _ => ResponseFormat::Opaque(RawJson::from(raw)),
    }))
}

/// Reads `thinking`. Without a budget the model thinks as much as it likes.
fn decode_thinking(raw: Raw<'_>) -> Result<Thinking, DecodeError> {
    let (mut object, nulls) = open(raw.get(), "thinking")?;
    let kind = object.require_string("type")?;
    let budget = match kind.as_str() {
        "enabled" => object.take_u64("token_budget")?,
        _ => None,
    };
    let ext = leftover(object, nulls);
    Ok(match (kind.as_str(), budget) {
        ("enabled", Some(budget_tokens)) => Thinking::Enabled { budget_tokens, ext },
        ("enabled", None) => Thinking::Adaptive { ext },
        ("disabled", _) => Thinking::Disabled { ext },
        _ => Thinking::Other(RawJson::from(raw)),
    })
}
