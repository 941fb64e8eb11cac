//! Tool definitions, calls and the choice among tools.

use crate::json::Raw;

use super::bag::{inner, keep_inner, leftover, open, without};
use super::ids;
use crate::canonical::{DecodeError, Ext, Part, Tool, ToolCall, ToolCallKind, ToolChoice, ToolKind};
use crate::json::{Object, RawJson, Writer};

/// Reads a definition. `strict` is what the request says of all tools.
pub(super) fn decode(raw: Raw<'_>, path: &str, strict: Option<bool>) -> Result<Tool, DecodeError> {
    let (mut object, mut ext) = open(raw.get(), path)?;
    let kind = object.take_string("type")?;
    if kind.as_deref().is_some_and(|kind| kind != "function") || !object.has("function") {
        return Ok(Tool {
            kind: ToolKind::Hosted {
                kind: kind.unwrap_or_default(),
                raw: RawJson::from(raw),
            },
            cache: None,
            ext: Ext::default(),
        });
    }
    let path = object.path_of("function");
    let function = object.take("function").map_or("", Raw::get);
    let (mut function, nulls) = open(function, path)?;
    let name = function.require_string("name")?;
    let description = function.take_string("description")?;
    let parameters = function.take_some("parameters").map(RawJson::from);
    keep_inner(&mut ext, "function", &leftover(function, nulls));
    Ok(Tool {
        kind: ToolKind::Function {
            name,
            description,
            parameters,
            strict,
        },
        cache: None,
        ext: leftover(object, ext),
    })
}

/// Writes a definition.
pub(super) fn write(w: &mut Writer<'_>, tool: &Tool, own: bool) {
    let ToolKind::Function {
        name,
        description,
        parameters,
        ..
    } = &tool.kind
    else {
        // Others are reported as rejected before.
        if let ToolKind::Hosted { raw, .. } = &tool.kind {
            w.raw(raw);
        }
        return;
    };
    w.object(|w| {
        w.key("type").string("function");
        w.key("function").object(|w| {
            w.key("name").string(name);
            w.optional_string("description", description.as_deref());
            match parameters {
                Some(schema) => w.key("parameters").raw(schema),
                None if own => {}
                // The provider demands a schema.
                None => w.key("parameters").object(|w| {
                    w.key("type").string("object");
                    w.key("properties").object(|_| {});
                }),
            }
            if own {
                w.ext(&inner(&tool.ext, "function"));
            }
        });
        if own {
            w.ext(&without(&tool.ext, &["function"]));
        }
    });
}

/// Reads `tool_choice`.
pub(super) fn decode_choice(raw: Raw<'_>) -> ToolChoice {
    match RawJson::from(raw).as_string().as_deref() {
        Some("REQUIRED") => ToolChoice::Required,
        Some("NONE") => ToolChoice::None,
        _ => ToolChoice::Opaque(RawJson::from(raw)),
    }
}

/// Writes `tool_choice`; that the model decides is not said.
pub(super) fn write_choice(w: &mut Writer<'_>, choice: Option<&ToolChoice>) {
    match choice {
        Some(ToolChoice::Required) => w.key("tool_choice").string("REQUIRED"),
        Some(ToolChoice::None) => w.key("tool_choice").string("NONE"),
        Some(ToolChoice::Opaque(raw)) => w.key("tool_choice").raw(raw),
        // Brought down to the tools that are allowed before.
        Some(ToolChoice::Auto | ToolChoice::Function(_) | ToolChoice::Allowed { .. }) | None => {}
    }
}

/// Takes the `tool_calls` of a message; an empty list says nothing and stays. `seed` names the message, for ids that are
/// missing.
pub(super) fn take_calls(
    message: &mut Object<'_>,
    seed: &str,
    parts: &mut Vec<Part>,
) -> Result<(), DecodeError> {
    if !super::bag::says(message, "tool_calls") {
        return Ok(());
    }
    let path = message.path_of("tool_calls");
    let calls = message.take_array("tool_calls")?.unwrap_or_default();
    for (i, raw) in calls.into_iter().enumerate() {
        let mut call = decode_call(raw, &crate::path::item(&path, i))?;
        if call.id.is_empty() {
            call.id = ids::made(seed, i, &call.name);
        }
        parts.push(Part::ToolCall(call));
    }
    Ok(())
}

/// Reads a call; its id is empty if it has none.
pub(super) fn decode_call(raw: Raw<'_>, path: &str) -> Result<ToolCall, DecodeError> {
    let (mut object, mut ext) = open(raw.get(), path)?;
    if object
        .peek("type")
        .is_some_and(|kind| kind.get() == "\"function\"")
    {
        object.take("type");
    }
    let id = object.take_string("id")?.unwrap_or_default();
    let (mut name, mut arguments) = (String::new(), String::new());
    if let Some(raw) = object.take("function") {
        let (mut function, nulls) = open(raw.get(), object.path_of("function"))?;
        name = function.take_string("name")?.unwrap_or_default();
        arguments = match function.take("arguments") {
            None => String::new(),
            Some(raw) if raw.get().starts_with('"') => serde_json::from_str(raw.get()).map_err(|error| {
                DecodeError::new(
                    function.path_of("arguments"),
                    format!("is not a valid string: {error}"),
                )
            })?,
            // Written as JSON instead of text.
            Some(raw) => raw.get().to_owned(),
        };
        keep_inner(&mut ext, "function", &leftover(function, nulls));
    }
    Ok(ToolCall {
        id,
        name,
        arguments,
        kind: ToolCallKind::Function,
        cache: None,
        ext: leftover(object, ext),
    })
}

/// Writes a call; its bag only if it is of this dialect.
pub(super) fn write_call(w: &mut Writer<'_>, call: &ToolCall, own: bool) {
    write_call_as(w, &call.id, &call.name, &call.arguments, own.then_some(&call.ext));
}

/// Writes a call of these pieces.
pub(super) fn write_call_as(w: &mut Writer<'_>, id: &str, name: &str, arguments: &str, ext: Option<&Ext>) {
    w.object(|w| {
        w.key("id").string(id);
        if ext.is_none_or(|ext| ext.get("type").is_none()) {
            w.key("type").string("function");
        }
        w.key("function").object(|w| {
            w.key("name").string(name);
            w.key("arguments").string(arguments);
            if let Some(ext) = ext {
                w.ext(&inner(ext, "function"));
            }
        });
        if let Some(ext) = ext {
            w.ext(&without(ext, &["function"]));
        }
    });
}
