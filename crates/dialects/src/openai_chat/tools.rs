//! Tool definitions, the choice among them, and calls in assistant messages.

use crate::json::Raw;

use super::content::{take_cache, write_cache};
use super::ext::{inner, is_marked, keep_inner, leftover, mark, open, without};
use super::from_responses;
use crate::canonical::{DecodeError, Ext, Part, Request, Tool, ToolCall, ToolCallKind, ToolChoice, ToolKind};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::names::Names;
use crate::{Dialect, Losses};

/// Reads `tools`.
pub(super) fn decode_tools(list: &[Raw<'_>]) -> Result<Vec<Tool>, DecodeError> {
    list.iter()
        .enumerate()
        .map(|(i, raw)| decode_tool(*raw, &crate::path::item("tools", i)))
        .collect()
}

fn decode_tool(raw: Raw<'_>, path: &str) -> Result<Tool, DecodeError> {
    let (mut object, mut ext) = open(raw.get(), path)?;
    let kind = match object.take_string("type")? {
        Some(kind) => kind,
        None if object.has("function") => {
            mark(&mut ext, "type");
            "function".to_owned()
        }
        None => {
            return Err(DecodeError::new(
                object.path_of("type"),
                "is missing; a string is required",
            ));
        }
    };
    let cache = take_cache(&mut object);
    let kind = match kind.as_str() {
        "function" => {
            let Some(mut function) = object.take_object("function")? else {
                return Err(DecodeError::new(
                    object.path_of("function"),
                    "is missing; an object is required",
                ));
            };
            let nulls = function.take_nulls();
            let kind = take_function(&mut function)?;
            keep_inner(&mut ext, "function", &leftover(function, nulls));
            kind
        }
        "custom" if object.has("custom") => {
            let Some(mut custom) = object.take_object("custom")? else {
                return Err(DecodeError::new(object.path_of("custom"), "expected an object"));
            };
            let nulls = custom.take_nulls();
            let kind = ToolKind::Custom {
                name: custom.require_string("name")?,
                description: custom.take_string("description")?,
                format: custom.take("format").map(RawJson::from),
            };
            keep_inner(&mut ext, "custom", &leftover(custom, nulls));
            kind
        }
        _ => {
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
    };
    Ok(Tool {
        kind,
        cache,
        ext: leftover(object, ext),
    })
}

/// Reads `functions`, from before tools existed.
pub(super) fn decode_functions(list: &[Raw<'_>]) -> Result<Vec<Tool>, DecodeError> {
    let decode = |(i, raw): (usize, &Raw<'_>)| {
        let (mut object, ext) = open(raw.get(), crate::path::item("functions", i))?;
        let kind = take_function(&mut object)?;
        Ok(Tool {
            kind,
            cache: None,
            ext: leftover(object, ext),
        })
    };
    list.iter().enumerate().map(decode).collect()
}

fn take_function(function: &mut Object<'_>) -> Result<ToolKind, DecodeError> {
    Ok(ToolKind::Function {
        name: function.require_string("name")?,
        description: function.take_string("description")?,
        parameters: function.take("parameters").map(RawJson::from),
        strict: function.take_bool("strict")?,
    })
}

/// Reads `tool_choice`. Spellings that differ from OpenAI's are marked in `ext`.
pub(super) fn decode_choice(raw: Raw<'_>, ext: &mut Ext) -> Result<ToolChoice, DecodeError> {
    if let Ok(word) = serde_json::from_str::<String>(raw.get()) {
        return Ok(match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            "any" => {
                // Mistral's word for `required`.
                mark(ext, "tool_choice");
                ToolChoice::Required
            }
            _ => ToolChoice::Opaque(RawJson::from(raw)),
        });
    }
    let mut object = Object::parse(raw.get(), "tool_choice").map_err(|_| {
        DecodeError::new(
            "tool_choice",
            "expected \"none\", \"auto\", \"required\" or an object",
        )
    })?;
    let kind = object.take_string("type")?;
    if kind.as_deref().is_none_or(|kind| kind == "function")
        && let Some(mut function) = object.take_object("function")?
    {
        let name = function.require_string("name")?;
        if function.into_ext().is_empty() && object.into_ext().is_empty() {
            if kind.is_none() {
                mark(ext, "tool_choice");
            }
            return Ok(ToolChoice::Function(name));
        }
    }
    Ok(allowed_functions(raw).unwrap_or_else(|| ToolChoice::Opaque(RawJson::from(raw))))
}

/// Reads a choice of the type `allowed_tools` that names functions only; `None` for any other.
fn allowed_functions(raw: Raw<'_>) -> Option<ToolChoice> {
    let mut choice = Object::parse(raw.get(), "").ok()?;
    let mut allowed = choice.take_object("allowed_tools").ok()??;
    if choice.take_string("type").ok()?? != "allowed_tools" || !choice.into_ext().is_empty() {
        return None;
    }
    let required = match allowed.take_string("mode").ok()??.as_str() {
        "auto" => false,
        "required" => true,
        _ => return None,
    };
    let mut names = Vec::new();
    for tool in allowed.take_array("tools").ok()?? {
        let mut tool = Object::parse(tool.get(), "").ok()?;
        let mut function = tool.take_object("function").ok()??;
        names.push(function.take_string("name").ok()??);
        if tool.take_string("type").ok()?? != "function"
            || !tool.into_ext().is_empty()
            || !function.into_ext().is_empty()
        {
            return None;
        }
    }
    allowed
        .into_ext()
        .is_empty()
        .then_some(ToolChoice::Allowed { names, required })
}

/// Reads `function_call`, the choice from before tools existed.
pub(super) fn decode_function_choice(raw: Raw<'_>) -> Result<ToolChoice, DecodeError> {
    match serde_json::from_str::<String>(raw.get()).as_deref() {
        Ok("auto") => return Ok(ToolChoice::Auto),
        Ok("none") => return Ok(ToolChoice::None),
        Ok(_) => return Ok(ToolChoice::Opaque(RawJson::from(raw))),
        Err(_) => {}
    }
    let mut object = Object::parse(raw.get(), "function_call")?;
    let name = object.require_string("name")?;
    Ok(if object.into_ext().is_empty() {
        ToolChoice::Function(name)
    } else {
        ToolChoice::Opaque(RawJson::from(raw))
    })
}

/// Writes the tools and the choice among them; `legacy` writes them as `functions` and `function_call`.
pub(super) fn write_tools(w: &mut Writer<'_>, request: &Request, legacy: bool, losses: &mut Losses) {
    let own = request.origin == Dialect::OpenaiChat;
    if !own {
        report_foreign(request, losses);
    }
    let writable = |tool: &&Tool| own || !matches!(tool.kind, ToolKind::Hosted { .. });
    let tools: Vec<&Tool> = request.tools.iter().filter(writable).collect();
    if !tools.is_empty() {
        w.key(if legacy { "functions" } else { "tools" }).array(|w| {
            for tool in &tools {
                if request.origin == Dialect::OpenaiResponses {
                    write_tool(w, &from_responses::tool(tool), own, legacy);
                } else {
                    write_tool(w, tool, own, legacy);
                }
            }
        });
    }
    // Both members are refused without tools.
    if own || !tools.is_empty() {
        if let Some(choice) = &request.tool_choice {
            write_choice(w, choice, request, legacy);
        }
        w.optional_bool("parallel_tool_calls", request.parallel_tool_calls);
    }
}

fn report_foreign(request: &Request, losses: &mut Losses) {
    let names = Names::new(request);
    for (i, tool) in request.tools.iter().enumerate() {
        let path = names.tool(i);
        if let ToolKind::Hosted { .. } = &tool.kind {
            losses.rejected(path, "a tool that another provider runs");
            continue;
        }
        foreign::report_cache(tool.cache.as_ref(), &path, losses);
        foreign::report(&tool.ext, Place::Tool, request.origin, &path, losses);
    }
    if let Some(ToolChoice::Opaque(raw)) = &request.tool_choice
        && from_responses::custom_choice(request, raw).is_none()
    {
        losses.rejected(names.option("tool_choice"), "this choice has no counterpart");
    }
}

fn write_tool(w: &mut Writer<'_>, tool: &Tool, own: bool, legacy: bool) {
    if let ToolKind::Hosted { raw, .. } = &tool.kind {
        w.raw(raw);
        return;
    }
    w.object(|w| {
        if legacy {
            write_definition(w, &tool.kind);
            w.ext(&tool.ext);
            return;
        }
        let member = if matches!(tool.kind, ToolKind::Custom { .. }) {
            "custom"
        } else {
            "function"
        };
        if !(own && is_marked(&tool.ext, "type")) {
            w.key("type").string(member);
        }
        w.key(member).object(|w| {
            write_definition(w, &tool.kind);
            if own {
                w.ext(&inner(&tool.ext, member));
            }
        });
        if own {
            write_cache(w, tool.cache.as_ref());
            w.ext(&without(&tool.ext, &["type", member]));
        }
    });
}

fn write_definition(w: &mut Writer<'_>, kind: &ToolKind) {
    match kind {
        ToolKind::Function {
            name,
            description,
            parameters,
            strict,
        } => {
            w.key("name").string(name);
            w.optional_string("description", description.as_deref());
            w.optional_raw("parameters", parameters.as_ref());
            w.optional_bool("strict", *strict);
        }
        ToolKind::Custom {
            name,
            description,
            format,
        } => {
            w.key("name").string(name);
            w.optional_string("description", description.as_deref());
            w.optional_raw("format", format.as_ref());
        }
        ToolKind::Hosted { .. } => {}
    }
}

fn write_choice(w: &mut Writer<'_>, choice: &ToolChoice, request: &Request, legacy: bool) {
    let own = request.origin == Dialect::OpenaiChat;
    let respelled = own && is_marked(&request.ext, "tool_choice");
    let key = if legacy { "function_call" } else { "tool_choice" };
    match choice {
        ToolChoice::Auto => w.key(key).string("auto"),
        ToolChoice::None => w.key(key).string("none"),
        ToolChoice::Required => w.key(key).string(if respelled { "any" } else { "required" }),
        ToolChoice::Function(name) if legacy => w.key(key).object(|w| w.key("name").string(name)),
        ToolChoice::Function(name) => w.key(key).object(|w| {
            if !respelled {
                w.key("type").string("function");
            }
            w.key("function").object(|w| w.key("name").string(name));
        }),
        ToolChoice::Allowed { names, required } => w.key(key).object(|w| {
            w.key("type").string("allowed_tools");
            w.key("allowed_tools").object(|w| {
                w.key("mode").string(if *required { "required" } else { "auto" });
                w.key("tools").array(|w| {
                    for name in names {
                        w.object(|w| {
                            w.key("type").string("function");
                            w.key("function").object(|w| w.key("name").string(name));
                        });
                    }
                });
            });
        }),
        ToolChoice::Opaque(raw) if own => w.key(key).raw(raw),
        ToolChoice::Opaque(raw) => {
            if let Some(name) = from_responses::custom_choice(request, raw) {
                w.key(key).object(|w| {
                    w.key("type").string("custom");
                    w.key("custom").object(|w| w.key("name").string(&name));
                });
            }
        }
    }
}

/// The start of the kind of an opaque part that stood in `tool_calls`.
pub(super) const OPAQUE_CALL: &str = "tool_calls.";

/// Reads one element of `tool_calls`. Calls of unknown type stay whole.
pub(super) fn decode_call(raw: Raw<'_>, path: &str) -> Result<Part, DecodeError> {
    let (mut object, mut ext) = open(raw.get(), path)?;
    let kind = object.take_string("type")?;
    let has_name = |object: &Object<'_>, member| {
        object
            .peek(member)
            .and_then(|raw| Object::parse(raw.get(), "").ok())
            .is_some_and(|inside| inside.has("name"))
    };
    let member = match kind.as_deref() {
        Some("function") | None if has_name(&object, "function") => "function",
        Some("custom") if has_name(&object, "custom") => "custom",
        Some("function") | None => {
            let field = format!("{}.name", object.path_of("function"));
            return Err(DecodeError::new(field, "is missing; a string is required"));
        }
        Some(kind) => {
            let kind = format!("{OPAQUE_CALL}{kind}");
            return Ok(Part::Opaque {
                dialect: Dialect::OpenaiChat,
                kind,
                raw: RawJson::from(raw),
            });
        }
    };
    if kind.is_none() {
        mark(&mut ext, "type");
    }
    let id = object.take_string("id")?.unwrap_or_default();
    let Some(mut function) = object.take_object(member)? else {
        return Err(DecodeError::new(
            object.path_of(member),
            "is missing; an object is required",
        ));
    };
    let nulls = function.take_nulls();
    let name = function.require_string("name")?;
    let arguments = take_arguments(
        &mut function,
        if member == "custom" { "input" } else { "arguments" },
    );
    keep_inner(&mut ext, member, &leftover(function, nulls));
    let kind = if member == "custom" {
        ToolCallKind::Custom
    } else {
        ToolCallKind::Function
    };
    Ok(Part::ToolCall(ToolCall {
        id,
        name,
        arguments,
        kind,
        cache: None,
        ext: leftover(object, ext),
    }))
}

/// Reads one element of `tool_calls` in an answer. Some providers write `"function": null`: a call that names no tool, and
/// nothing that should cost the caller the rest of the answer.
pub(super) fn decode_answered_call(raw: Raw<'_>, path: &str) -> Result<Part, DecodeError> {
    let (mut object, ext) = open(raw.get(), path)?;
    let is_function = object
        .peek("type")
        .is_none_or(|kind| kind.get() == "\"function\"");
    if !is_function || object.has("function") {
        return decode_call(raw, path);
    }
    object.take("type");
    Ok(Part::ToolCall(ToolCall {
        id: object.take_string("id")?.unwrap_or_default(),
        ext: leftover(object, ext),
        ..ToolCall::default()
    }))
}

/// Reads `function_call`, the call from before tools existed. `id` is what its result will refer to.
pub(super) fn decode_function_call(raw: Raw<'_>, path: &str, id: String) -> Result<ToolCall, DecodeError> {
    let (mut object, nulls) = open(raw.get(), path)?;
    let name = object.require_string("name")?;
    let arguments = take_arguments(&mut object, "arguments");
    let ext = leftover(object, nulls);
    Ok(ToolCall {
        id,
        name,
        arguments,
        kind: ToolCallKind::LegacyFunction,
        cache: None,
        ext,
    })
}

/// The arguments as they were written. Some providers write an object instead of a string; its text is kept.
pub(crate) fn take_arguments(function: &mut Object<'_>, name: &str) -> String {
    let Some(raw) = function.take(name) else {
        return String::new();
    };
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

/// Writes one element of `tool_calls`.
pub(super) fn write_call(w: &mut Writer<'_>, call: &ToolCall, own: bool) {
    let (member, arguments) = if call.kind == ToolCallKind::Custom {
        ("custom", "input")
    } else {
        ("function", "arguments")
    };
    w.object(|w| {
        w.key("id").string(&call.id);
        if !(own && is_marked(&call.ext, "type")) {
            w.key("type").string(member);
        }
        w.key(member).object(|w| {
            w.key("name").string(&call.name);
            w.key(arguments).string(&call.arguments);
            if own {
                w.ext(&inner(&call.ext, member));
            }
        });
        if own {
            w.ext(&without(&call.ext, &[member, "type"]));
        }
    });
}

/// Writes the value of `function_call`.
pub(super) fn write_function_call(w: &mut Writer<'_>, call: &ToolCall, own: bool) {
    w.object(|w| {
        w.key("name").string(&call.name);
        w.key("arguments").string(&call.arguments);
        if own {
            w.ext(&call.ext);
        }
    });
}
