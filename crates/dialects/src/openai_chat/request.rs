//! Requests: the members beside the messages, read and written.

use std::borrow::Cow;

use crate::json::Raw;

use super::ext::{inner, is_marked, keep_inner, leftover, mark, open, unmark, without};
use super::{effort, from_responses, messages, tools, write_messages};
use crate::canonical::{
    DecodeError, Effort, Ext, ReasoningRequest, Request, ResponseFormat, Thinking, ToolChoice,
};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::names::Names;
use crate::{Dialect, Losses, Renames, Target, tool_names};

/// Reads a request.
///
/// # Errors
/// The body is no JSON object, `model` or `messages` is missing, or a known member has a wrong type; the error names it.
pub fn decode_request(body: &str) -> Result<Request, DecodeError> {
    let (mut object, mut ext) = open(body, "")?;
    let model = object.require_string("model")?;
    let Some(list) = object.take_array("messages")? else {
        return Err(DecodeError::new("messages", "is missing; an array is required"));
    };
    let messages = messages::decode(&list)?;
    let tools = take_tools(&mut object, &mut ext)?;
    let tool_choice = take_tool_choice(&mut object, &mut ext)?;
    let logprobs = take_if_valid(&mut object, "logprobs");
    Ok(Request {
        origin: Dialect::OpenaiChat,
        model,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: object.take_bool("parallel_tool_calls")?,
        max_output_tokens: take_max_tokens(&mut object, &mut ext)?,
        temperature: object.take_number("temperature")?,
        top_p: object.take_number("top_p")?,
        top_k: object.take_number("top_k")?,
        stop: take_stop(&mut object, &mut ext)?,
        stream: object.take_bool("stream")?,
        include_usage: take_stream_options(&mut object, &mut ext)?,
        reasoning: take_reasoning(&mut object)?,
        response_format: take_response_format(&mut object)?,
        user: take_user(&mut object, &mut ext)?,
        service_tier: object.take_string("service_tier")?,
        choices: take_if_valid(&mut object, "n"),
        seed: object.take_number("seed")?,
        presence_penalty: object.take_number("presence_penalty")?,
        frequency_penalty: object.take_number("frequency_penalty")?,
        logprobs,
        top_logprobs: take_if_valid(&mut object, "top_logprobs"),
        ext: leftover(object, ext),
    })
}

/// Whether the client asked with `functions`, from before tools existed; then the answer must come back as
/// `function_call`, see [`ResponseStyle`](super::ResponseStyle).
pub fn uses_legacy_functions(request: &Request) -> bool {
    request.origin == Dialect::OpenaiChat && is_marked(&request.ext, "functions")
}

/// The tools that [`encode_request`] sends under another name, because this dialect's providers refuse theirs.
pub fn renames(request: &Request) -> Renames {
    if request.origin == Dialect::OpenaiChat {
        return Renames::default();
    }
    tool_names::fit(request, &tool_names::OPENAI, &mut Losses::new()).1
}

/// Writes a request for `target`.
///
/// A request that came in this dialect is written as it came, but for the model and `stream_options.include_usage`, which
/// is always asked for in streams because usage is what is billed. What came from another dialect and cannot be said
/// here is reported in `losses`.
pub fn encode_request(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let own = request.origin == Dialect::OpenaiChat;
    let fitting = if own {
        Cow::Borrowed(request)
    } else {
        tool_names::fit(request, &tool_names::OPENAI, losses).0
    };
    let request = &*fitting;
    let mut out = Vec::new();
    Writer::new(&mut out).object(|w| {
        w.key("model").string(target.model);
        w.key("messages")
            .array(|w| write_messages::write(w, request, target.capabilities, losses));
        tools::write_tools(w, request, uses_legacy_functions(request), losses);
        write_limits(w, request, target, losses);
        write_sampling(w, request, target, losses);
        write_stop(w, request, losses);
        write_stream(w, request);
        write_reasoning(w, request, target, losses);
        if let Some(format) = &request.response_format {
            write_response_format(w, format, request, losses);
        }
        let openai = own || request.origin == Dialect::OpenaiResponses;
        let user_member = if openai && is_marked(&request.ext, "user") {
            "user"
        } else {
            "safety_identifier"
        };
        w.optional_string(user_member, request.user.as_deref());
        w.optional_string("service_tier", service_tier(request, losses));
        if own {
            w.ext(&own_members(request));
        } else if openai {
            from_responses::write_members(w, request, losses);
        } else {
            foreign::report(&request.ext, Place::Request, request.origin, "", losses);
        }
    });
    out
}

fn take_tools(object: &mut Object<'_>, ext: &mut Ext) -> Result<Vec<crate::canonical::Tool>, DecodeError> {
    let is_list = |object: &Object<'_>, name| {
        object
            .peek(name)
            .is_some_and(|raw| !RawJson::from(raw).is_blank())
    };
    if is_list(object, "tools") {
        return tools::decode_tools(&object.take_array("tools")?.unwrap_or_default());
    }
    if is_list(object, "functions") {
        let functions = tools::decode_functions(&object.take_array("functions")?.unwrap_or_default())?;
        mark(ext, "functions");
        return Ok(functions);
    }
    Ok(Vec::new())
}

fn take_tool_choice(object: &mut Object<'_>, ext: &mut Ext) -> Result<Option<ToolChoice>, DecodeError> {
    if is_marked(ext, "functions") {
        return object
            .take("function_call")
            .map(tools::decode_function_choice)
            .transpose();
    }
    object
        .take("tool_choice")
        .map(|raw| tools::decode_choice(raw, ext))
        .transpose()
}

/// `max_completion_tokens`, or else `max_tokens`, which is its older name. A number that is no count, such as the -1 with
/// which some servers mean "no limit", stays where it is.
fn take_max_tokens(object: &mut Object<'_>, ext: &mut Ext) -> Result<Option<u64>, DecodeError> {
    for name in ["max_completion_tokens", "max_tokens"] {
        let Some(raw) = object.peek(name) else { continue };
        if matches!(raw.get().as_bytes().first(), Some(b'-' | b'0'..=b'9'))
            && serde_json::from_str::<u64>(raw.get()).is_err()
        {
            continue;
        }
        let tokens = object.take_u64(name)?;
        unmark(ext, "max_completion_tokens");
        if name == "max_completion_tokens" {
            mark(ext, name);
        }
        return Ok(tokens);
    }
    Ok(None)
}

/// Takes a member that is what the dialect says; one of another type, as some vendors have it, stays where it is.
fn take_if_valid<'a, T: serde::Deserialize<'a>>(object: &mut Object<'a>, name: &str) -> Option<T> {
    let value = serde_json::from_str(object.peek(name)?.get()).ok()?;
    object.take(name);
    Some(value)
}

fn take_user(object: &mut Object<'_>, ext: &mut Ext) -> Result<Option<String>, DecodeError> {
    for name in ["safety_identifier", "user"] {
        if let Some(user) = object.take_string(name)? {
            unmark(ext, "user");
            if name == "user" {
                mark(ext, name);
            }
            return Ok(Some(user));
        }
    }
    Ok(None)
}

/// A list of texts, or one text.
fn take_stop(object: &mut Object<'_>, ext: &mut Ext) -> Result<Vec<String>, DecodeError> {
    let Some(raw) = object.peek("stop").filter(|raw| !RawJson::from(*raw).is_blank()) else {
        return Ok(Vec::new());
    };
    if raw.get().starts_with('"') {
        let text = object.take_string("stop")?;
        mark(ext, "stop");
        return Ok(text.into_iter().collect());
    }
    Ok(object
        .take_as("stop", "a string or an array of strings")?
        .unwrap_or_default())
}

fn take_stream_options(object: &mut Object<'_>, ext: &mut Ext) -> Result<Option<bool>, DecodeError> {
    let Some(mut options) = object.take_object("stream_options")? else {
        return Ok(None);
    };
    let nulls = options.take_nulls();
    let include_usage = options.take_bool("include_usage")?;
    let rest = leftover(options, nulls);
    if include_usage.is_some() {
        keep_inner(ext, "stream_options", &rest);
    } else {
        ext.0.push(("stream_options".to_owned(), RawJson::object(&rest)));
    }
    Ok(include_usage)
}

/// `reasoning_effort`, and `thinking` where it says what Anthropic's member of that name says.
fn take_reasoning(object: &mut Object<'_>) -> Result<Option<ReasoningRequest>, DecodeError> {
    let effort = object
        .take_string("reasoning_effort")?
        .map(|word| Effort::from_name(&word));
    let thinking = object.peek("thinking").and_then(known_thinking);
    if thinking.is_some() {
        object.take("thinking");
    }
    Ok(
        (effort.is_some() || thinking.is_some()).then_some(ReasoningRequest {
            effort,
            thinking,
            visible: None,
        }),
    )
}

fn known_thinking(raw: Raw<'_>) -> Option<Thinking> {
    let mut object = Object::parse(raw.get(), "").ok()?;
    let kind = object.take_string("type").ok()??;
    let budget = object.take_u64("budget_tokens").ok()?;
    let ext = object.into_ext();
    if !ext.is_empty() {
        return None;
    }
    match (kind.as_str(), budget) {
        ("enabled", Some(budget_tokens)) => Some(Thinking::Enabled { budget_tokens, ext }),
        ("adaptive", None) => Some(Thinking::Adaptive { ext }),
        ("disabled", None) => Some(Thinking::Disabled { ext }),
        _ => None,
    }
}

fn take_response_format(object: &mut Object<'_>) -> Result<Option<ResponseFormat>, DecodeError> {
    let Some(raw) = object.take("response_format") else {
        return Ok(None);
    };
    let mut format = Object::parse(raw.get(), "response_format")?;
    let kind = format.require_string("type")?;
    let decoded = match kind.as_str() {
        "text" => Some(ResponseFormat::Text),
        "json_object" => Some(ResponseFormat::JsonObject),
        "json_schema" => {
            let Some(mut schema) = format.take_object("json_schema")? else {
                return Err(DecodeError::new(
                    "response_format.json_schema",
                    "is missing; an object is required",
                ));
            };
            let nulls = schema.take_nulls();
            Some(ResponseFormat::JsonSchema {
                name: schema.take_string("name")?,
                description: schema.take_string("description")?,
                schema: schema.take("schema").map(RawJson::from),
                strict: schema.take_bool("strict")?,
                ext: leftover(schema, nulls),
            })
        }
        _ => None,
    };
    let whole = format.into_ext().is_empty();
    Ok(Some(
        decoded
            .filter(|_| whole)
            .unwrap_or_else(|| ResponseFormat::Opaque(RawJson::from(raw))),
    ))
}

fn write_limits(w: &mut Writer<'_>, request: &Request, target: &Target<'_>, losses: &mut Losses) {
    let Some(tokens) = request.max_output_tokens else {
        return;
    };
    let own = request.origin == Dialect::OpenaiChat;
    if !own && tokens == 0 {
        losses.rejected(
            Names::new(request).option("max_tokens"),
            "the provider cannot warm its cache without an answer",
        );
    }
    let new_name = if own {
        is_marked(&request.ext, "max_completion_tokens")
    } else {
        target.capabilities.reasoning
    };
    w.key(if new_name {
        "max_completion_tokens"
    } else {
        "max_tokens"
    })
    .number(tokens);
}

fn write_sampling(w: &mut Writer<'_>, request: &Request, target: &Target<'_>, losses: &mut Losses) {
    let own = request.origin == Dialect::OpenaiChat;
    let names = Names::new(request);
    for (name, value) in [
        ("temperature", &request.temperature),
        ("top_p", &request.top_p),
        ("top_k", &request.top_k),
    ] {
        let Some(value) = value else { continue };
        if !own && name == "top_k" {
            losses.approximated(
                names.option(name),
                "the provider does not sample from the most likely tokens only",
            );
        } else if !target.capabilities.sampling {
            losses.approximated(names.option(name), "the model chooses its own sampling");
        } else {
            w.key(name).raw(value);
        }
    }
    w.optional_number("n", request.choices);
    w.optional_raw("seed", request.seed.as_ref());
    w.optional_raw("presence_penalty", request.presence_penalty.as_ref());
    w.optional_raw("frequency_penalty", request.frequency_penalty.as_ref());
    w.optional_bool("logprobs", request.logprobs);
    w.optional_number("top_logprobs", request.top_logprobs);
}

fn write_stop(w: &mut Writer<'_>, request: &Request, losses: &mut Losses) {
    let own = request.origin == Dialect::OpenaiChat;
    let [first, ..] = request.stop.as_slice() else {
        return;
    };
    if own && request.stop.len() == 1 && is_marked(&request.ext, "stop") {
        w.key("stop").string(first);
        return;
    }
    if !own && request.stop.len() > MAX_STOP {
        losses.rejected(Names::new(request).option("stop"), "the provider takes at most 4");
    }
    let limit = if own { usize::MAX } else { MAX_STOP };
    w.key("stop")
        .array(|w| request.stop.iter().take(limit).for_each(|text| w.string(text)));
}

fn write_stream(w: &mut Writer<'_>, request: &Request) {
    w.optional_bool("stream", request.stream);
    let rest = if matches!(request.origin, Dialect::OpenaiChat | Dialect::OpenaiResponses) {
        inner(&request.ext, "stream_options")
    } else {
        Ext::default()
    };
    let streaming = request.stream == Some(true);
    let came = request.include_usage.is_some() || request.ext.get("stream_options").is_some();
    if streaming {
        let mut rest = rest;
        // A `null` stands among the rest as it came, and is what is replaced here.
        rest.0.retain(|(name, _)| name != "include_usage");
        w.key("stream_options").object(|w| {
            w.key("include_usage").bool(true);
            w.ext(&rest);
        });
    } else if came && request.origin == Dialect::OpenaiChat {
        w.key("stream_options").object(|w| {
            w.optional_bool("include_usage", request.include_usage);
            w.ext(&rest);
        });
    }
}

fn write_reasoning(w: &mut Writer<'_>, request: &Request, target: &Target<'_>, losses: &mut Losses) {
    let Some(reasoning) = &request.reasoning else {
        return;
    };
    if request.origin != Dialect::OpenaiChat {
        let names = Names::new(request);
        let chosen = effort::for_foreign(reasoning, target.capabilities, names, losses);
        w.optional_string("reasoning_effort", chosen.as_ref().map(Effort::name));
        if let Some(Thinking::Enabled { ext, .. } | Thinking::Adaptive { ext } | Thinking::Disabled { ext }) =
            &reasoning.thinking
        {
            foreign::report(
                ext,
                Place::Thinking,
                request.origin,
                names.option("thinking"),
                losses,
            );
        }
        return;
    }
    w.optional_string("reasoning_effort", reasoning.effort.as_ref().map(Effort::name));
    match &reasoning.thinking {
        Some(Thinking::Enabled { budget_tokens, ext }) => {
            write_thinking(w, "enabled", Some(*budget_tokens), ext)
        }
        Some(Thinking::Adaptive { ext }) => write_thinking(w, "adaptive", None, ext),
        Some(Thinking::Disabled { ext }) => write_thinking(w, "disabled", None, ext),
        Some(Thinking::Other(raw)) => w.key("thinking").raw(raw),
        None => {}
    }
}

fn write_thinking(w: &mut Writer<'_>, kind: &str, budget_tokens: Option<u64>, ext: &Ext) {
    w.key("thinking").object(|w| {
        w.key("type").string(kind);
        w.optional_number("budget_tokens", budget_tokens);
        w.ext(ext);
    });
}

fn write_response_format(
    w: &mut Writer<'_>,
    format: &ResponseFormat,
    request: &Request,
    losses: &mut Losses,
) {
    let own = request.origin == Dialect::OpenaiChat;
    let names = Names::new(request);
    let field = names.option("response_format");
    match format {
        ResponseFormat::Text => w.key("response_format").object(|w| w.key("type").string("text")),
        ResponseFormat::JsonObject => w
            .key("response_format")
            .object(|w| w.key("type").string("json_object")),
        ResponseFormat::JsonSchema {
            name,
            description,
            schema,
            strict,
            ext,
        } => {
            if !own {
                let path = names.option("response_format.json_schema.schema");
                let parent = path.trim_end_matches(".schema");
                foreign::report(ext, Place::Format, request.origin, parent, losses);
                if strict.is_none() {
                    losses.approximated(field, "the schema is followed, not enforced");
                }
            }
            w.key("response_format").object(|w| {
                w.key("type").string("json_schema");
                w.key("json_schema").object(|w| {
                    let needed = if own { None } else { Some("response") };
                    w.optional_string("name", name.as_deref().or(needed));
                    w.optional_string("description", description.as_deref());
                    w.optional_raw("schema", schema.as_ref());
                    w.optional_bool("strict", *strict);
                    if own {
                        w.ext(ext);
                    }
                });
            });
        }
        ResponseFormat::Opaque(raw) if own => w.key("response_format").raw(raw),
        ResponseFormat::Opaque(_) => losses.rejected(field, "this form of the answer is unknown"),
    }
}

/// The tier of a request in OpenAI's words.
pub(crate) fn service_tier<'a>(request: &'a Request, losses: &mut Losses) -> Option<&'a str> {
    let tier = request.service_tier.as_deref();
    if matches!(request.origin, Dialect::OpenaiChat | Dialect::OpenaiResponses) {
        return tier;
    }
    if request.ext.get("speed").and_then(RawJson::as_string).as_deref() == Some("fast") {
        return Some("fast");
    }
    match tier? {
        "auto" => Some("auto"),
        "standard_only" | "standard" | "STANDARD" => Some("default"),
        "flex" | "FLEX" => Some("flex"),
        "priority" | "PRIORITY" => Some("priority"),
        _ => {
            losses.dropped(
                Names::new(request).option("service_tier"),
                "the provider has no such tier",
            );
            None
        }
    }
}

/// The bag without the marks of what was written above.
fn own_members(request: &Request) -> Ext {
    let mut written = vec!["stream_options"];
    let marks = [
        ("max_completion_tokens", request.max_output_tokens.is_some()),
        ("user", request.user.is_some()),
        ("stop", !request.stop.is_empty()),
        ("functions", !request.tools.is_empty()),
        ("tool_choice", request.tool_choice.is_some()),
    ];
    written.extend(
        marks
            .iter()
            .filter(|(name, said)| *said && is_marked(&request.ext, name))
            .map(|(name, _)| *name),
    );
    without(&request.ext, &written)
}

/// How many stop sequences Chat Completions takes.
const MAX_STOP: usize = 4;
