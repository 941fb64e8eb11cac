//! Reading a request.
//!
//! Two things are not kept apart, because they mean the same: an empty list of tools or stop sequences and a missing one,
//! and a `system` message at the head of `messages` and the top-level `system`.

use crate::json::Raw;

use super::part::{decode_content, rest, take_cache};
use crate::Dialect;
use crate::canonical::{
    DecodeError, Effort, Ext, Message, ReasoningRequest, Request, ResponseFormat, Role, Thinking, Tool,
    ToolChoice, ToolKind,
};
use crate::json::{Object, RawJson, kind_of};

/// Reads a request. The top-level `system` becomes the leading system message; what the canonical form has no field for
/// stays in the bags under its own name (`metadata` and `output_config` with what is left of them).
///
/// # Errors
/// The document is not a request of this dialect; the error names the field and what was expected there.
pub fn decode_request(body: &str) -> Result<Request, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    let model = object.require_string("model")?;
    let messages = decode_messages(&mut object)?;
    let (tool_choice, parallel_tool_calls) = decode_tool_choice(&mut object)?;
    let user = take_user(&mut object)?;
    let config = take_output_config(&mut object)?;
    let thinking = take_thinking(&mut object)?;
    let reasoning = (config.effort.is_some() || thinking.is_some()).then_some(ReasoningRequest {
        effort: config.effort,
        thinking,
        visible: None,
    });
    let mut left_over = Ext::default();
    left_over
        .0
        .extend(user.rest.map(|raw| ("metadata".to_owned(), raw)));
    left_over
        .0
        .extend(config.rest.map(|raw| ("output_config".to_owned(), raw)));
    let tools = decode_tools(&mut object)?;
    let stop = object
        .take_as::<Vec<String>>("stop_sequences", "a list of strings")?
        .unwrap_or_default();
    Ok(Request {
        origin: Dialect::AnthropicMessages,
        model,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        max_output_tokens: object.take_u64("max_tokens")?,
        temperature: object.take_number("temperature")?,
        top_p: object.take_number("top_p")?,
        top_k: object.take_number("top_k")?,
        stop,
        stream: object.take_bool("stream")?,
        include_usage: None,
        reasoning,
        response_format: config.format,
        user: user.id,
        service_tier: object.take_string("service_tier")?,
        choices: None,
        seed: None,
        presence_penalty: None,
        frequency_penalty: None,
        logprobs: None,
        top_logprobs: None,
        ext: {
            left_over.0.extend(rest(object, nulls).0);
            left_over
        },
    })
}

fn decode_messages(object: &mut Object<'_>) -> Result<Vec<Message>, DecodeError> {
    let mut messages = Vec::new();
    if let Some(raw) = object.take("system") {
        let (parts, form) = decode_content(raw, "system")?;
        messages.push(Message {
            role: Role::System,
            name: None,
            parts,
            form,
            ext: Ext::default(),
        });
    }
    let Some(list) = object.take_array("messages")? else {
        return Err(DecodeError::new(
            "messages",
            "is missing; a list of messages is required",
        ));
    };
    for (i, raw) in list.iter().enumerate() {
        messages.push(decode_message(*raw, crate::path::item("messages", i))?);
    }
    Ok(messages)
}

fn decode_message(raw: Raw<'_>, path: String) -> Result<Message, DecodeError> {
    let mut object = Object::parse(raw.get(), path)?;
    let nulls = object.take_nulls();
    let role = match object.require_string("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        other => {
            let problem = format!(
                r#"expected "user", "assistant" or "system", found "{}""#,
                shorten(other)
            );
            return Err(DecodeError::new(object.path_of("role"), problem));
        }
    };
    let path = object.path_of("content");
    let Some(content) = object.take("content") else {
        return Err(DecodeError::new(
            path,
            "is missing; a string or a list of blocks is required",
        ));
    };
    let (parts, form) = decode_content(content, &path)?;
    Ok(Message {
        role,
        name: None,
        parts,
        form,
        ext: rest(object, nulls),
    })
}

fn decode_tools(object: &mut Object<'_>) -> Result<Vec<Tool>, DecodeError> {
    let list = object.take_array("tools")?.unwrap_or_default();
    list.iter()
        .enumerate()
        .map(|(i, raw)| decode_tool(*raw, crate::path::item("tools", i)))
        .collect()
}

fn decode_tool(raw: Raw<'_>, path: String) -> Result<Tool, DecodeError> {
    let mut object = Object::parse(raw.get(), path)?;
    let nulls = object.take_nulls();
    // A function may say that it is "custom" or say nothing; what it said stays in its bag.
    if let Some(kind) = object.peek("type").filter(|kind| kind.get() != "\"custom\"") {
        let kind = serde_json::from_str(kind.get()).map_err(|_| {
            DecodeError::new(
                object.path_of("type"),
                format!("expected a string, found {}", kind_of(kind.get())),
            )
        })?;
        let kind = ToolKind::Hosted {
            kind,
            raw: RawJson::from(raw),
        };
        return Ok(Tool {
            kind,
            cache: None,
            ext: Ext::default(),
        });
    }
    let kind = ToolKind::Function {
        name: object.require_string("name")?,
        description: object.take_string("description")?,
        parameters: object.take("input_schema").map(RawJson::from),
        strict: object.take_bool("strict")?,
    };
    let cache = take_cache(&mut object)?;
    Ok(Tool {
        kind,
        cache,
        ext: rest(object, nulls),
    })
}

/// Reads `tool_choice` and its `disable_parallel_tool_use`.
fn decode_tool_choice(object: &mut Object<'_>) -> Result<(Option<ToolChoice>, Option<bool>), DecodeError> {
    let Some(raw) = object.peek("tool_choice") else {
        return Ok((None, None));
    };
    let Some(mut choice) = object.take_object("tool_choice")? else {
        return Ok((None, None));
    };
    let kind = choice.require_string("type")?;
    let parallel = choice
        .take_bool("disable_parallel_tool_use")?
        .map(|disabled| !disabled);
    let decoded = match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Function(choice.require_string("name")?),
        _ => return Ok((Some(ToolChoice::Opaque(RawJson::from(raw))), None)),
    };
    if !choice.into_ext().is_empty() {
        return Ok((Some(ToolChoice::Opaque(RawJson::from(raw))), None));
    }
    Ok((Some(decoded), parallel))
}

struct User {
    id: Option<String>,
    /// What is left of `metadata`.
    rest: Option<RawJson>,
}

fn take_user(object: &mut Object<'_>) -> Result<User, DecodeError> {
    let Some(mut metadata) = object.take_object("metadata")? else {
        return Ok(User { id: None, rest: None });
    };
    let nulls = metadata.take_nulls();
    let id = metadata.take_string("user_id")?;
    let rest = left_over(metadata, nulls, id.is_some());
    Ok(User { id, rest })
}

#[derive(Default)]
struct OutputConfig {
    effort: Option<Effort>,
    format: Option<ResponseFormat>,
    /// What is left of `output_config`.
    rest: Option<RawJson>,
}

fn take_output_config(object: &mut Object<'_>) -> Result<OutputConfig, DecodeError> {
    let Some(mut config) = object.take_object("output_config")? else {
        return Ok(OutputConfig::default());
    };
    let nulls = config.take_nulls();
    let effort = config.take_string("effort")?.map(|word| Effort::from_name(&word));
    let format = take_format(&mut config)?;
    let taken = effort.is_some() || format.is_some();
    Ok(OutputConfig {
        effort,
        format,
        rest: left_over(config, nulls, taken),
    })
}

fn take_format(config: &mut Object<'_>) -> Result<Option<ResponseFormat>, DecodeError> {
    let Some(raw) = config.peek("format") else {
        return Ok(None);
    };
    let Some(mut format) = config.take_object("format")? else {
        return Ok(None);
    };
    let nulls = format.take_nulls();
    if format.require_string("type")? != "json_schema" {
        return Ok(Some(ResponseFormat::Opaque(RawJson::from(raw))));
    }
    let schema = format.take("schema").map(RawJson::from);
    let ext = rest(format, nulls);
    Ok(Some(ResponseFormat::JsonSchema {
        name: None,
        description: None,
        schema,
        strict: None,
        ext,
    }))
}

pub(crate) fn take_thinking(object: &mut Object<'_>) -> Result<Option<Thinking>, DecodeError> {
    let Some(raw) = object.peek("thinking") else {
        return Ok(None);
    };
    let Some(mut thinking) = object.take_object("thinking")? else {
        return Ok(None);
    };
    let nulls = thinking.take_nulls();
    let kind = thinking.require_string("type")?;
    Ok(Some(match kind.as_str() {
        "enabled" => match thinking.take_u64("budget_tokens")? {
            Some(budget_tokens) => Thinking::Enabled {
                budget_tokens,
                ext: rest(thinking, nulls),
            },
            None => {
                let path = thinking.path_of("budget_tokens");
                return Err(DecodeError::new(
                    path,
                    "is missing; a whole number that is not negative is required",
                ));
            }
        },
        "adaptive" => Thinking::Adaptive {
            ext: rest(thinking, nulls),
        },
        "disabled" => Thinking::Disabled {
            ext: rest(thinking, nulls),
        },
        _ => Thinking::Other(RawJson::from(raw)),
    }))
}

/// What is left of an object; `None` if all of it was taken.
fn left_over(object: Object<'_>, nulls: Ext, taken: bool) -> Option<RawJson> {
    let ext = rest(object, nulls);
    (!(taken && ext.is_empty())).then(|| RawJson::object(&ext))
}

/// Cuts a word of the client's for an error text.
fn shorten(word: &str) -> String {
    word.chars().take(40).collect()
}
