//! Reading a request.
//!
//! What is not canonical stays in the bag of the request under its own name; what is left of an object of options stays there
//! as an object under that name. `additionalModelRequestFields` hold what the model's maker calls it: of these, what has a
//! canonical field is read too.

use crate::json::Raw;

use super::additional::Additional;
use super::part::{CACHE_POINT, Nesting, ORIGIN, decode_blocks, rest};
use crate::canonical::{
    CacheHint, ContentForm, DecodeError, Effort, Ext, Message, ReasoningRequest, Request, ResponseFormat,
    Role, Tool, ToolChoice, ToolKind,
};
use crate::json::{Object, RawJson};

/// The member of a message's bag that tells a system message among the others from the top-level `system`.
pub(crate) const ROLE: &str = "role";

/// Reads a request. Bedrock tells the model and whether to stream in the address: the model is empty and
/// [`Request::stream`] is not said; whoever knows the address sets both.
///
/// # Errors
/// The document is not a request of this dialect; the error names the field and what was expected there.
pub fn decode_request(body: &str) -> Result<Request, DecodeError> {
    decode_members(Object::parse(body, "")?)
}

/// Reads the members of a request.
pub(super) fn decode_members(mut object: Object<'_>) -> Result<Request, DecodeError> {
    let nulls = object.take_nulls();
    let messages = decode_messages(&mut object)?;
    let mut ext = Ext::default();
    let mut inference = object.take_object("inferenceConfig")?;
    let config = match &mut inference {
        Some(config) => Inference::take(config)?,
        None => Inference::default(),
    };
    keep(&mut ext, "inferenceConfig", inference);
    let mut tool_config = object.take_object("toolConfig")?;
    let (tools, tool_choice) = match &mut tool_config {
        Some(config) => (decode_tools(config)?, take_choice(config)?),
        None => (Vec::new(), None),
    };
    keep(&mut ext, "toolConfig", tool_config);
    let mut output = object.take_object("outputConfig")?;
    let (effort, response_format) = match &mut output {
        Some(config) => (config.take_string("effort")?, take_format(config)?),
        None => (None, None),
    };
    keep(&mut ext, "outputConfig", output);
    let mut tier = object.take_object("serviceTier")?;
    let service_tier = match &mut tier {
        Some(tier) => tier.take_string("type")?,
        None => None,
    };
    keep(&mut ext, "serviceTier", tier);
    let additional = Additional::take(&mut object, &mut ext)?;
    let reasoning = ReasoningRequest {
        effort: effort.as_deref().map(Effort::from_name).or(additional.effort),
        thinking: additional.thinking,
        visible: None,
    };
    ext.0.extend(rest(object, nulls).0);
    Ok(Request {
        origin: ORIGIN,
        model: String::new(),
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: additional.parallel_tool_calls,
        max_output_tokens: config.max_output_tokens,
        temperature: config.temperature,
        top_p: config.top_p,
        top_k: additional.top_k,
        stop: config.stop,
        stream: None,
        include_usage: None,
        reasoning: (reasoning != ReasoningRequest::default()).then_some(reasoning),
        response_format,
        user: None,
        service_tier,
        choices: None,
        seed: None,
        presence_penalty: None,
        frequency_penalty: None,
        logprobs: None,
        top_logprobs: None,
        ext,
    })
}

/// Keeps what is left of an object of options.
pub(super) fn keep(ext: &mut Ext, name: &str, object: Option<Object<'_>>) {
    if let Some(left) = object.map(Object::into_ext).filter(|left| !left.is_empty()) {
        ext.0.push((name.to_owned(), RawJson::object(&left)));
    }
}

fn decode_messages(object: &mut Object<'_>) -> Result<Vec<Message>, DecodeError> {
    let path = object.path_of("messages");
    let list = object.take_array("messages")?;
    // A stored prompt has messages of its own.
    if list.is_none() && !object.has("promptVariables") {
        return Err(DecodeError::new(
            path,
            "is missing; a list of messages is required",
        ));
    }
    let mut messages = Vec::new();
    let system = object.take_array("system")?.unwrap_or_default();
    if !system.is_empty() {
        let mut ext = Ext::default();
        let parts = decode_blocks(&system, &object.path_of("system"), Nesting::Message, &mut ext)?;
        messages.push(message(Role::System, parts, ext));
    }
    for (i, raw) in list.unwrap_or_default().iter().enumerate() {
        messages.push(decode_message(*raw, crate::path::item(&path, i))?);
    }
    Ok(messages)
}

fn decode_message(raw: Raw<'_>, path: String) -> Result<Message, DecodeError> {
    let mut object = Object::parse(raw.get(), path)?;
    let nulls = object.take_nulls();
    let mut ext = Ext::default();
    let role = object.require_string("role")?;
    let role = match role.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => {
            ext.0.push((ROLE.to_owned(), RawJson::string(&role)));
            Role::System
        }
        _ => {
            return Err(DecodeError::new(
                object.path_of("role"),
                r#"expected "user", "assistant" or "system""#,
            ));
        }
    };
    let path = object.path_of("content");
    let Some(blocks) = object.take_array("content")? else {
        return Err(DecodeError::new(path, "is missing; a list of blocks is required"));
    };
    let parts = decode_blocks(&blocks, &path, Nesting::Message, &mut ext)?;
    ext.0.extend(rest(object, nulls).0);
    Ok(message(role, parts, ext))
}

fn message(role: Role, parts: Vec<crate::canonical::Part>, ext: Ext) -> Message {
    Message {
        role,
        name: None,
        parts,
        form: ContentForm::List,
        ext,
    }
}

/// What is taken of `inferenceConfig`.
#[derive(Default)]
struct Inference {
    max_output_tokens: Option<u64>,
    temperature: Option<RawJson>,
    top_p: Option<RawJson>,
    stop: Vec<String>,
}

impl Inference {
    fn take(config: &mut Object<'_>) -> Result<Self, DecodeError> {
        config.take_nulls();
        Ok(Inference {
            max_output_tokens: config.take_u64("maxTokens")?,
            temperature: config.take_number("temperature")?,
            top_p: config.take_number("topP")?,
            stop: config
                .take_as("stopSequences", "a list of strings")?
                .unwrap_or_default(),
        })
    }
}

fn decode_tools(config: &mut Object<'_>) -> Result<Vec<Tool>, DecodeError> {
    config.take_nulls();
    let path = config.path_of("tools");
    let mut tools: Vec<Tool> = Vec::new();
    for (i, raw) in config.take_array("tools")?.unwrap_or_default().iter().enumerate() {
        let path = crate::path::item(&path, i);
        let mut object = Object::parse(raw.get(), path.clone())?;
        object.take_nulls();
        match object.only() {
            Some(("toolSpec", inner)) => tools.push(decode_function(inner, format!("{path}.toolSpec"))?),
            Some((CACHE_POINT, inner)) if tools.last().is_some_and(|tool| tool.cache.is_none()) => {
                let ttl = Object::parse(inner.get(), path)?.take_string("ttl")?;
                if let Some(tool) = tools.last_mut() {
                    tool.cache = Some(CacheHint {
                        ttl,
                        dialect: ORIGIN,
                        raw: RawJson::from(inner),
                    });
                }
            }
            Some((kind, _)) => tools.push(hosted(kind, *raw)),
            None => tools.push(hosted("tool", *raw)),
        }
    }
    Ok(tools)
}

fn hosted(kind: &str, raw: Raw<'_>) -> Tool {
    Tool {
        kind: ToolKind::Hosted {
            kind: kind.to_owned(),
            raw: RawJson::from(raw),
        },
        cache: None,
        ext: Ext::default(),
    }
}

fn decode_function(raw: Raw<'_>, path: String) -> Result<Tool, DecodeError> {
    let mut object = Object::parse(raw.get(), path)?;
    let nulls = object.take_nulls();
    let mut schema = object.take_object("inputSchema")?;
    let parameters = schema.as_mut().and_then(|schema| schema.take("json"));
    let kind = ToolKind::Function {
        name: object.require_string("name")?,
        description: object.take_string("description")?,
        parameters: parameters.map(RawJson::from),
        strict: object.take_bool("strict")?,
    };
    let mut ext = rest(object, nulls);
    keep(&mut ext, "inputSchema", schema);
    Ok(Tool {
        kind,
        cache: None,
        ext,
    })
}

fn take_choice(config: &mut Object<'_>) -> Result<Option<ToolChoice>, DecodeError> {
    let Some(raw) = config.peek("toolChoice").map(RawJson::from) else {
        return Ok(None);
    };
    let Some(mut choice) = config.take_object("toolChoice")? else {
        return Ok(None);
    };
    choice.take_nulls();
    let Some((kind, inner)) = choice.only() else {
        return Ok(Some(ToolChoice::Opaque(raw)));
    };
    let mut inner = Object::parse(inner.get(), choice.path_of(kind))?;
    let choice = match kind {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "tool" => ToolChoice::Function(inner.require_string("name")?),
        _ => return Ok(Some(ToolChoice::Opaque(raw))),
    };
    Ok(Some(if inner.into_ext().is_empty() {
        choice
    } else {
        ToolChoice::Opaque(raw)
    }))
}

/// The form of the answer. The schema is a string that holds JSON.
fn take_format(config: &mut Object<'_>) -> Result<Option<ResponseFormat>, DecodeError> {
    let Some(raw) = config.take_some("textFormat") else {
        return Ok(None);
    };
    let read = || -> Option<ResponseFormat> {
        let mut format = Object::parse(raw.get(), "").ok()?;
        let kind = format.take_string("type").ok()??;
        let mut structure = format.take_object("structure").ok()??;
        let mut definition = structure.take_object("jsonSchema").ok()??;
        let text = definition.take_string("schema").ok()??;
        let schema = RawJson::parse(&text).ok()?;
        let read = ResponseFormat::JsonSchema {
            name: definition.take_string("name").ok()?,
            description: definition.take_string("description").ok()?,
            strict: None,
            ext: definition.into_ext(),
            schema: Some(schema).filter(|schema| schema.text() == text),
        };
        let whole = matches!(&read, ResponseFormat::JsonSchema { schema: Some(_), .. });
        let known = kind == "json_schema" && format.into_ext().is_empty() && structure.into_ext().is_empty();
        (whole && known).then_some(read)
    };
    Ok(Some(
        read().unwrap_or_else(|| ResponseFormat::Opaque(RawJson::from(raw))),
    ))
}
