//! Reading a request.
//!
//! What is not canonical stays in the bag of the request under its own name; what is left of `generationConfig` and
//! `toolConfig` stays there as an object under that name.

use crate::json::Raw;

use super::fields::{count, keep_inner, leftover, open, take_count, take_list, take_number, take_object};
use super::ids::CallIds;
use super::{part, tools};
use crate::Dialect;
use crate::canonical::{
    ContentForm, DecodeError, Effort, Ext, Message, ReasoningRequest, Request, ResponseFormat, Role, Thinking,
};
use crate::json::{Object, RawJson};

/// Reads a request. Google tells the model and whether to stream in the address: the model is empty unless the body names
/// it, and [`Request::stream`] is not said; whoever knows the address sets both.
///
/// # Errors
/// The document is not a request of this dialect; the error names the field and what was expected there.
pub fn decode_request(body: &str) -> Result<Request, DecodeError> {
    let (object, nulls) = open(body, "")?;
    decode_members(object, nulls)
}

/// Reads the members of a request.
pub(super) fn decode_members(mut object: Object<'_>, nulls: Ext) -> Result<Request, DecodeError> {
    let model = object.take_string("model")?.unwrap_or_default();
    let messages = decode_messages(&mut object)?;
    let mut ext = Ext::default();
    let config = Config::take(&mut object, &mut ext)?;
    let tool_choice = tools::take_choice(&mut object, &mut ext)?;
    let tools = tools::decode(&take_list(&mut object, "tools")?.unwrap_or_default())?;
    let service_tier = object.take_string("serviceTier")?;
    ext.0.extend(leftover(object, nulls).0);
    Ok(Request {
        origin: Dialect::Gemini,
        model: bare_model(&model).to_owned(),
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: None,
        max_output_tokens: config.max_output_tokens,
        temperature: config.temperature,
        top_p: config.top_p,
        top_k: config.top_k,
        stop: config.stop,
        stream: None,
        include_usage: None,
        reasoning: config.reasoning,
        response_format: config.response_format,
        user: None,
        service_tier,
        choices: config.choices,
        seed: config.seed,
        presence_penalty: config.presence_penalty,
        frequency_penalty: config.frequency_penalty,
        logprobs: config.logprobs,
        top_logprobs: config.top_logprobs,
        ext,
    })
}

/// The name of a model without what Google writes in front: `models/`, `publishers/google/models/`.
fn bare_model(name: &str) -> &str {
    match name.rsplit_once("models/") {
        Some((_, bare)) => bare,
        None => name,
    }
}

fn decode_messages(object: &mut Object<'_>) -> Result<Vec<Message>, DecodeError> {
    let mut messages = Vec::new();
    if let Some((content, nulls)) = take_object(object, "systemInstruction")? {
        messages.push(decode_content(
            content,
            nulls,
            Some(Role::System),
            &mut CallIds::default(),
            "systemInstruction",
        )?);
    }
    let Some(contents) = take_list(object, "contents")? else {
        return Err(DecodeError::new(
            object.path_of("contents"),
            "is missing; a list of contents is required",
        ));
    };
    // The calls of the last content of the model: results without ids belong to them.
    let mut calls = CallIds::default();
    for (i, raw) in contents.iter().enumerate() {
        let path = format!("{}[{i}]", object.path_of("contents"));
        let (content, nulls) = open(raw.get(), path)?;
        messages.push(decode_content(
            content,
            nulls,
            None,
            &mut calls,
            &crate::path::item("contents", i),
        )?);
    }
    Ok(messages)
}

/// Reads a content. `seed` is where it stands, whatever is around the request.
fn decode_content(
    mut content: Object<'_>,
    nulls: Ext,
    role: Option<Role>,
    calls: &mut CallIds,
    seed: &str,
) -> Result<Message, DecodeError> {
    let word = content
        .peek("role")
        .and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let role = match (role, word.as_deref()) {
        // The role of the system instruction says nothing, and stays where it is.
        (Some(role), _) => role,
        (None, Some("model")) => Role::Assistant,
        // The word from before the user told results; stays too.
        (None, Some("function" | "tool")) => Role::User,
        (None, Some("user")) => Role::User,
        (None, None) if !content.has("role") => Role::User,
        (None, _) => {
            return Err(DecodeError::new(
                content.path_of("role"),
                r#"expected "user" or "model""#,
            ));
        }
    };
    if role != Role::System && matches!(word.as_deref(), Some("user" | "model")) {
        content.take("role");
    }
    if role == Role::Assistant {
        *calls = CallIds::new(seed);
    }
    let path = content.path_of("parts");
    let list = take_list(&mut content, "parts")?;
    let form = if list.is_some() {
        ContentForm::List
    } else {
        ContentForm::Absent
    };
    let mut parts = Vec::new();
    for (i, raw) in list.unwrap_or_default().iter().enumerate() {
        part::decode(*raw, crate::path::item(&path, i), calls, &mut parts)?;
    }
    Ok(Message {
        role,
        name: None,
        parts,
        form,
        ext: leftover(content, nulls),
    })
}

/// What is taken of `generationConfig`.
#[derive(Default)]
struct Config {
    max_output_tokens: Option<u64>,
    temperature: Option<RawJson>,
    top_p: Option<RawJson>,
    top_k: Option<RawJson>,
    stop: Vec<String>,
    reasoning: Option<ReasoningRequest>,
    response_format: Option<ResponseFormat>,
    choices: Option<u64>,
    seed: Option<RawJson>,
    presence_penalty: Option<RawJson>,
    frequency_penalty: Option<RawJson>,
    logprobs: Option<bool>,
    top_logprobs: Option<u64>,
}

impl Config {
    fn take(object: &mut Object<'_>, ext: &mut Ext) -> Result<Self, DecodeError> {
        let Some((mut config, nulls)) = take_object(object, "generationConfig")? else {
            return Ok(Config::default());
        };
        let mut rest = Ext::default();
        let taken = Config {
            max_output_tokens: take_count(&mut config, "maxOutputTokens")?,
            temperature: take_number(&mut config, "temperature")?,
            top_p: take_number(&mut config, "topP")?,
            top_k: take_number(&mut config, "topK")?,
            stop: config
                .take_as("stopSequences", "a list of strings")?
                .unwrap_or_default(),
            reasoning: take_thinking(&mut config, &mut rest)?,
            response_format: take_format(&mut config)?,
            choices: take_count(&mut config, "candidateCount")?,
            seed: take_number(&mut config, "seed")?,
            presence_penalty: take_number(&mut config, "presencePenalty")?,
            frequency_penalty: take_number(&mut config, "frequencyPenalty")?,
            logprobs: config.take_bool("responseLogprobs")?,
            top_logprobs: take_count(&mut config, "logprobs")?,
        };
        rest.0.extend(leftover(config, nulls).0);
        keep_inner(ext, "generationConfig", &rest, true);
        Ok(taken)
    }
}

fn take_thinking(config: &mut Object<'_>, rest: &mut Ext) -> Result<Option<ReasoningRequest>, DecodeError> {
    let Some((mut thinking, nulls)) = take_object(config, "thinkingConfig")? else {
        return Ok(None);
    };
    let budget = match thinking.peek("thinkingBudget").map(Raw::get) {
        // The model decides.
        Some("-1" | "\"-1\"") => Some(Thinking::Adaptive { ext: Ext::default() }),
        Some(text) => count(text).map(|budget_tokens| match budget_tokens {
            0 => Thinking::Disabled { ext: Ext::default() },
            budget_tokens => Thinking::Enabled {
                budget_tokens,
                ext: Ext::default(),
            },
        }),
        None => None,
    };
    if budget.is_some() {
        thinking.take("thinkingBudget");
    } else if thinking.has("thinkingBudget") {
        return Err(DecodeError::new(
            thinking.path_of("thinkingBudget"),
            "expected a whole number, -1 or more",
        ));
    }
    let effort = thinking
        .take_string("thinkingLevel")?
        .map(|word| Effort::from_name(&word.to_ascii_lowercase()));
    let visible = thinking.take_bool("includeThoughts")?;
    let request = ReasoningRequest {
        effort,
        thinking: budget,
        visible,
    };
    let said = request != ReasoningRequest::default();
    keep_inner(rest, "thinkingConfig", &leftover(thinking, nulls), said);
    Ok(said.then_some(request))
}

/// The form of the answer: a media type and one of two kinds of schema.
fn take_format(config: &mut Object<'_>) -> Result<Option<ResponseFormat>, DecodeError> {
    let names = ["responseMimeType", "responseSchema", "responseJsonSchema"];
    let whole: Vec<(String, RawJson)> = names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), RawJson::from(config.peek(name)?))))
        .collect();
    if whole.is_empty() {
        return Ok(None);
    }
    let media_type = config.take_string("responseMimeType")?;
    let own_schema = config.take("responseSchema").map(RawJson::from);
    let json_schema = config.take("responseJsonSchema").map(RawJson::from);
    Ok(Some(match (media_type.as_deref(), own_schema, json_schema) {
        (Some("application/json"), None, None) => ResponseFormat::JsonObject,
        (Some("text/plain"), None, None) => ResponseFormat::Text,
        (Some("application/json"), Some(schema), None) => ResponseFormat::JsonSchema {
            name: None,
            description: None,
            schema: Some(super::schema_in::to_json_schema(&schema)),
            strict: None,
            ext: Ext(vec![("responseSchema".to_owned(), schema)]),
        },
        (Some("application/json"), None, Some(schema)) => ResponseFormat::JsonSchema {
            name: None,
            description: None,
            schema: Some(schema),
            strict: None,
            ext: Ext::default(),
        },
        _ => ResponseFormat::Opaque(RawJson::object(&Ext(whole))),
    }))
}
