//! Tool definitions and the choice among them.

use crate::json::Raw;

use super::ORIGIN;
use crate::canonical::{DecodeError, Ext, Request, Tool, ToolChoice, ToolKind};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::names::Names;
use crate::openai_chat::ext::{leftover, open};

/// Reads `tools`.
pub(super) fn decode(list: &[Raw<'_>]) -> Result<Vec<Tool>, DecodeError> {
    list.iter()
        .enumerate()
        .map(|(i, raw)| decode_tool(*raw, &crate::path::item("tools", i)))
        .collect()
}

fn decode_tool(raw: Raw<'_>, path: &str) -> Result<Tool, DecodeError> {
    let (mut object, nulls) = open(raw.get(), path)?;
    let kind = object.require_string("type")?;
    let kind = match kind.as_str() {
        "function" => ToolKind::Function {
            name: object.require_string("name")?,
            description: object.take_string("description")?,
            parameters: object.take("parameters").map(RawJson::from),
            strict: object.take_bool("strict")?,
        },
        "custom" => ToolKind::Custom {
            name: object.require_string("name")?,
            description: object.take_string("description")?,
            format: object.take("format").map(RawJson::from),
        },
        _ => {
            return Ok(Tool {
                kind: ToolKind::Hosted {
                    kind,
                    raw: RawJson::from(raw),
                },
                cache: None,
                ext: Ext::default(),
            });
        }
    };
    Ok(Tool {
        kind,
        cache: None,
        ext: leftover(object, nulls),
    })
}

/// Reads `tool_choice`. Choices of tools that are no functions stay as they are.
pub(super) fn decode_choice(raw: Raw<'_>) -> Result<ToolChoice, DecodeError> {
    if let Ok(word) = serde_json::from_str::<String>(raw.get()) {
        return Ok(match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => ToolChoice::Opaque(RawJson::from(raw)),
        });
    }
    if !raw.get().starts_with('{') {
        return Err(DecodeError::new(
            "tool_choice",
            "expected \"none\", \"auto\", \"required\" or an object",
        ));
    }
    Ok(function(raw)
        .map(ToolChoice::Function)
        .or_else(|| allowed_functions(raw))
        .unwrap_or_else(|| ToolChoice::Opaque(RawJson::from(raw))))
}

/// The name in `{"type":"function","name":…}`; `None` for anything else.
fn function(raw: Raw<'_>) -> Option<String> {
    let mut object = Object::parse(raw.get(), "").ok()?;
    let is_function = object.take_string("type").ok()?? == "function";
    let name = object.take_string("name").ok()??;
    (is_function && object.into_ext().is_empty()).then_some(name)
}

/// Reads a choice of the type `allowed_tools` that names functions only; `None` for any other.
fn allowed_functions(raw: Raw<'_>) -> Option<ToolChoice> {
    let mut choice = Object::parse(raw.get(), "").ok()?;
    if choice.take_string("type").ok()?? != "allowed_tools" {
        return None;
    }
    let required = match choice.take_string("mode").ok()??.as_str() {
        "auto" => false,
        "required" => true,
        _ => return None,
    };
    let names = choice
        .take_array("tools")
        .ok()??
        .into_iter()
        .map(function)
        .collect::<Option<Vec<String>>>()?;
    choice
        .into_ext()
        .is_empty()
        .then_some(ToolChoice::Allowed { names, required })
}

/// Writes the tools and the choice among them.
pub(super) fn write(w: &mut Writer<'_>, request: &Request, losses: &mut Losses) {
    let own = request.origin == ORIGIN;
    if !own {
        report_foreign(request, losses);
    }
    let tools: Vec<&Tool> = request
        .tools
        .iter()
        .filter(|tool| own || !matches!(tool.kind, ToolKind::Hosted { .. }))
        .collect();
    if !tools.is_empty() {
        write_tools(w, &tools, own);
    }
    // Both members are refused without tools.
    if own || !tools.is_empty() {
        if let Some(choice) = &request.tool_choice {
            write_choice(w, choice, own);
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
        && custom_choice(raw).is_none()
    {
        losses.rejected(names.option("tool_choice"), "this choice has no counterpart");
    }
}

/// Writes the member `tools`.
pub(super) fn write_tools(w: &mut Writer<'_>, tools: &[&Tool], own: bool) {
    w.key("tools")
        .array(|w| tools.iter().for_each(|tool| write_tool(w, tool, own)));
}

fn write_tool(w: &mut Writer<'_>, tool: &Tool, own: bool) {
    match &tool.kind {
        ToolKind::Hosted { raw, .. } => w.raw(raw),
        ToolKind::Function {
            name,
            description,
            parameters,
            strict,
        } => w.object(|w| {
            w.key("type").string("function");
            w.key("name").string(name);
            w.optional_string("description", description.as_deref());
            if own {
                w.optional_raw("parameters", parameters.as_ref());
                w.optional_bool("strict", *strict);
                w.ext(&tool.ext);
                return;
            }
            w.key("parameters");
            match parameters {
                Some(parameters) => w.raw(parameters),
                None => w.object(|w| {
                    w.key("type").string("object");
                    w.key("properties").object(|_| {});
                }),
            }
            // Left out, it would mean true here, and false where the request comes from.
            w.key("strict").bool(strict.unwrap_or(false));
        }),
        ToolKind::Custom {
            name,
            description,
            format,
        } => w.object(|w| {
            w.key("type").string("custom");
            w.key("name").string(name);
            w.optional_string("description", description.as_deref());
            if own {
                w.optional_raw("format", format.as_ref());
                w.ext(&tool.ext);
            } else if let Some(format) = format {
                w.key("format")
                    .raw(&flat_grammar(format).unwrap_or_else(|| format.clone()));
            }
        }),
    }
}

/// Chat Completions wraps a grammar: `{"type":"grammar","grammar":{"syntax","definition"}}`; here its members stand beside
/// the type.
fn flat_grammar(format: &RawJson) -> Option<RawJson> {
    let mut object = Object::parse(format.text(), "").ok()?;
    let grammar = object.take_object("grammar").ok()??;
    let mut ext = object.into_ext();
    ext.0.extend(grammar.into_ext().0);
    Some(RawJson::object(&ext))
}

/// Writes the member `tool_choice`.
pub(super) fn write_choice(w: &mut Writer<'_>, choice: &ToolChoice, own: bool) {
    let write_function = |w: &mut Writer<'_>, name: &str| {
        w.object(|w| {
            w.key("type").string("function");
            w.key("name").string(name);
        });
    };
    match choice {
        ToolChoice::Auto => w.key(CHOICE).string("auto"),
        ToolChoice::None => w.key(CHOICE).string("none"),
        ToolChoice::Required => w.key(CHOICE).string("required"),
        ToolChoice::Function(name) => {
            w.key(CHOICE);
            write_function(w, name);
        }
        ToolChoice::Allowed { names, required } => w.key(CHOICE).object(|w| {
            w.key("type").string("allowed_tools");
            w.key("mode").string(if *required { "required" } else { "auto" });
            w.key("tools")
                .array(|w| names.iter().for_each(|name| write_function(w, name)));
        }),
        ToolChoice::Opaque(raw) if own => w.key(CHOICE).raw(raw),
        ToolChoice::Opaque(raw) => {
            if let Some(name) = custom_choice(raw) {
                w.key(CHOICE).object(|w| {
                    w.key("type").string("custom");
                    w.key("name").string(&name);
                });
            }
        }
    }
}

const CHOICE: &str = "tool_choice";

/// The free-text tool that a choice of Chat Completions names: `{"type":"custom","custom":{"name"}}`.
fn custom_choice(raw: &RawJson) -> Option<String> {
    let mut object = Object::parse(raw.text(), "").ok()?;
    let mut custom = object.take_object("custom").ok()??;
    custom.take_string("name").ok()?
}
