//! Tools and the choice among them, read, and written for requests of this dialect.
//!
//! One tool of Gemini's holds many functions and tools of the provider. Here each becomes a tool of its own; on the way back
//! all functions stand in one tool and each tool of the provider in one of its own, which means the same.

use crate::json::Raw;

use super::fields::{inner, keep_inner, leftover, open, take_list, take_object, without};
use super::schema_in::to_json_schema;
use crate::canonical::{DecodeError, Ext, Tool, ToolChoice, ToolKind};
use crate::json::{Object, RawJson, Writer};

/// The bag entry that holds what only Gemini knows of a function. Its `parameters` are there if they are of Gemini's own
/// kind; otherwise they are JSON Schema and canonical.
pub(super) const DECLARATION: &str = "functionDeclarations";

/// Reads `tools`.
pub(super) fn decode(list: &[Raw<'_>]) -> Result<Vec<Tool>, DecodeError> {
    let mut tools = Vec::new();
    for (i, raw) in list.iter().enumerate() {
        let (mut object, _) = open(raw.get(), crate::path::item("tools", i))?;
        let path = object.path_of(DECLARATION);
        for (j, raw) in take_list(&mut object, DECLARATION)?
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            tools.push(decode_function(*raw, crate::path::item(&path, j))?);
        }
        for (kind, definition) in object.into_ext().0 {
            tools.push(Tool {
                kind: ToolKind::Hosted {
                    raw: RawJson::object(&Ext(vec![(kind.clone(), definition)])),
                    kind,
                },
                cache: None,
                ext: Ext::default(),
            });
        }
    }
    Ok(tools)
}

fn decode_function(raw: Raw<'_>, path: String) -> Result<Tool, DecodeError> {
    let (mut object, nulls) = open(raw.get(), path)?;
    let name = object.require_string("name")?;
    let description = object.take_string("description")?;
    let json_schema = object.take("parametersJsonSchema").map(RawJson::from);
    let parameters = match json_schema {
        Some(schema) => Some(schema),
        None => object
            .peek("parameters")
            .map(|schema| to_json_schema(&RawJson::from(schema))),
    };
    let mut ext = Ext::default();
    keep_inner(&mut ext, DECLARATION, &leftover(object, nulls), true);
    Ok(Tool {
        kind: ToolKind::Function {
            name,
            description,
            parameters,
            strict: None,
        },
        cache: None,
        ext,
    })
}

/// Takes the choice out of `toolConfig`. `VALIDATED`, which also binds the arguments, stays in the bag as the mode.
pub(super) fn take_choice(object: &mut Object<'_>, ext: &mut Ext) -> Result<Option<ToolChoice>, DecodeError> {
    let Some((mut config, config_nulls)) = take_object(object, "toolConfig")? else {
        return Ok(None);
    };
    let mut rest = Ext::default();
    let mut choice = None;
    if let Some((mut calling, nulls)) = take_object(&mut config, "functionCallingConfig")? {
        let names: Vec<String> = calling
            .take_as("allowedFunctionNames", "a list of strings")?
            .unwrap_or_default();
        let mode = calling.take_string("mode")?.map(|word| word.to_ascii_uppercase());
        choice = match (mode.as_deref(), names.as_slice()) {
            (Some("NONE"), _) => Some(ToolChoice::None),
            (Some("ANY"), []) => Some(ToolChoice::Required),
            (Some("ANY"), [name]) => Some(ToolChoice::Function(name.clone())),
            (Some("ANY"), _) => Some(ToolChoice::Allowed {
                names,
                required: true,
            }),
            (Some("AUTO" | "VALIDATED"), []) => Some(ToolChoice::Auto),
            (None | Some("AUTO" | "VALIDATED" | "MODE_UNSPECIFIED"), [_, ..]) => Some(ToolChoice::Allowed {
                names,
                required: false,
            }),
            (None | Some("MODE_UNSPECIFIED"), []) => None,
            (Some(_), _) => {
                return Err(DecodeError::new(
                    calling.path_of("mode"),
                    "expected AUTO, ANY, NONE or VALIDATED",
                ));
            }
        };
        let mut calling_rest = leftover(calling, nulls);
        if mode.as_deref() == Some(VALIDATED) {
            calling_rest
                .0
                .push(("mode".to_owned(), RawJson::string(VALIDATED)));
        }
        keep_inner(
            &mut rest,
            "functionCallingConfig",
            &calling_rest,
            choice.is_some(),
        );
    }
    rest.0.extend(leftover(config, config_nulls).0);
    keep_inner(ext, "toolConfig", &rest, choice.is_some());
    Ok(choice)
}

/// The mode in which calls are free but their arguments are bound to the schema.
pub(super) const VALIDATED: &str = "VALIDATED";

/// Writes tools of this dialect.
pub(super) fn write_own(w: &mut Writer<'_>, tools: &[Tool]) {
    let functions: Vec<&Tool> = tools
        .iter()
        .filter(|tool| matches!(tool.kind, ToolKind::Function { .. }))
        .collect();
    if tools.is_empty() {
        return;
    }
    w.key("tools").array(|w| {
        if !functions.is_empty() {
            w.object(|w| {
                w.key(DECLARATION)
                    .array(|w| functions.iter().for_each(|tool| write_own_function(w, tool)));
            });
        }
        for tool in tools {
            if let ToolKind::Hosted { raw, .. } = &tool.kind {
                w.raw(raw);
            }
        }
    });
}

fn write_own_function(w: &mut Writer<'_>, tool: &Tool) {
    let ToolKind::Function {
        name,
        description,
        parameters,
        ..
    } = &tool.kind
    else {
        return;
    };
    let declaration = inner(&tool.ext, DECLARATION);
    w.object(|w| {
        w.key("name").string(name);
        w.optional_string("description", description.as_deref());
        if declaration.get("parameters").is_none() {
            w.optional_raw("parametersJsonSchema", parameters.as_ref());
        }
        w.ext(&declaration);
    });
}

/// Writes `toolConfig`: the choice, and what else the bag has of it.
pub(super) fn write_config(
    w: &mut Writer<'_>,
    choice: Option<&ToolChoice>,
    validated: bool,
    rest: Option<&Ext>,
) {
    let rest = rest.map(|ext| inner(ext, "toolConfig")).unwrap_or_default();
    let calling = inner(&rest, "functionCallingConfig");
    let (mode, names): (Option<&str>, &[String]) = match choice {
        _ if calling.get("mode").is_some() => (None, &[]),
        Some(ToolChoice::Auto) if validated => (Some(VALIDATED), &[]),
        Some(ToolChoice::Auto) => (Some("AUTO"), &[]),
        Some(ToolChoice::None) => (Some("NONE"), &[]),
        Some(ToolChoice::Required) => (Some("ANY"), &[]),
        Some(ToolChoice::Function(name)) => (Some("ANY"), std::slice::from_ref(name)),
        Some(ToolChoice::Allowed {
            names,
            required: true,
        }) => (Some("ANY"), names),
        Some(ToolChoice::Allowed {
            names,
            required: false,
        }) => (Some(VALIDATED), names),
        Some(ToolChoice::Opaque(_)) | None if validated => (Some(VALIDATED), &[]),
        Some(ToolChoice::Opaque(_)) | None => (None, &[]),
    };
    let names = match choice {
        Some(ToolChoice::Allowed { names, .. }) => names,
        _ => names,
    };
    let has_calling = mode.is_some() || rest.get("functionCallingConfig").is_some();
    let others = without(&rest, &["functionCallingConfig"]);
    if !has_calling && others.is_empty() {
        return;
    }
    w.key("toolConfig").object(|w| {
        if has_calling {
            w.key("functionCallingConfig").object(|w| {
                w.optional_string("mode", mode);
                if !names.is_empty() {
                    w.key("allowedFunctionNames")
                        .array(|w| names.iter().for_each(|name| w.string(name)));
                }
                w.ext(&calling);
            });
        }
        w.ext(&others);
    });
}
