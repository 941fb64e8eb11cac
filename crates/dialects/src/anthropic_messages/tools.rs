//! Tool definitions and the tool choice of another dialect.

use std::borrow::Cow;

use super::{cache, ids};
use crate::canonical::{Ext, Part, Request, Tool, ToolChoice, ToolKind};
use crate::foreign::Place;
use crate::json::{Object, RawJson};
use crate::loss::Losses;
use crate::names::{Member, Names};

/// Tools and choice in this dialect's shape.
pub(crate) struct Tools<'a> {
    pub(crate) tools: Vec<Cow<'a, Tool>>,
    pub(crate) choice: Option<Cow<'a, ToolChoice>>,
    pub(crate) disable_parallel: Option<bool>,
}

/// Converts the tools and the choice of a request of another dialect.
pub(crate) fn build<'a>(request: &'a Request, losses: &mut Losses) -> Tools<'a> {
    let names = Names::new(request);
    let field = names.option("tool_choice");
    let mut tools: Vec<Cow<'a, Tool>> = request
        .tools
        .iter()
        .enumerate()
        .map(|(i, tool)| Cow::Owned(convert(tool, i, request, losses)))
        .collect();
    if tools.is_empty() {
        return without_tools(request, losses);
    }
    let choice = match &request.tool_choice {
        Some(ToolChoice::Opaque(_)) => {
            losses.rejected(field, "not a choice the provider knows");
            None
        }
        Some(ToolChoice::Allowed { names, required }) => {
            allowed_tools(names, *required, &mut tools, field, losses).map(Cow::Owned)
        }
        Some(ToolChoice::Function(name)) if !tools.iter().any(|tool| is_named(tool, name)) => {
            losses.rejected(field, "no tool has this name");
            None
        }
        choice => choice.as_ref().map(Cow::Borrowed),
    };
    let forbidden = matches!(choice.as_deref(), Some(ToolChoice::None));
    let disable_parallel = (request.parallel_tool_calls == Some(false) && !forbidden).then_some(true);
    Tools {
        tools,
        choice,
        disable_parallel,
    }
}

/// The provider wants to know the tools of a history; a caller that sends none any more wants no calls either.
fn without_tools<'a>(request: &'a Request, losses: &mut Losses) -> Tools<'a> {
    if !matches!(
        request.tool_choice,
        None | Some(ToolChoice::None | ToolChoice::Auto)
    ) {
        losses.rejected(
            Names::new(request).option("tool_choice"),
            "a call is demanded, but there are no tools",
        );
    }
    let mut names: Vec<&str> = Vec::new();
    for part in request.messages.iter().flat_map(|message| &message.parts) {
        if let Part::ToolCall(call) = part
            && !names.contains(&call.name.as_str())
        {
            names.push(&call.name);
        }
    }
    if names.is_empty() {
        return Tools {
            tools: Vec::new(),
            choice: None,
            disable_parallel: None,
        };
    }
    losses.approximated(
        "tools",
        "the provider demands the tools of earlier calls; minimal definitions are sent",
    );
    let minimal = |name: &str| Tool {
        kind: ToolKind::Function {
            name: name.to_owned(),
            description: None,
            parameters: None,
            strict: None,
        },
        cache: None,
        ext: Ext::default(),
    };
    Tools {
        tools: names.into_iter().map(|name| Cow::Owned(minimal(name))).collect(),
        choice: Some(Cow::Owned(ToolChoice::None)),
        disable_parallel: None,
    }
}

fn convert(tool: &Tool, i: usize, request: &Request, losses: &mut Losses) -> Tool {
    let names = Names::new(request);
    let path = &names.tool(i);
    let kind = match &tool.kind {
        ToolKind::Function {
            name,
            description,
            parameters,
            strict,
        } => {
            if !ids::is_tool_name(name) {
                losses.rejected(
                    names.within(path, Member::ToolName),
                    "not a tool name the provider accepts",
                );
            }
            ToolKind::Function {
                name: name.clone(),
                description: description.clone(),
                parameters: parameters
                    .as_ref()
                    .and_then(|schema| object_schema(schema, names.tool_schema(i), losses)),
                strict: *strict,
            }
        }
        ToolKind::Custom { .. } => {
            losses.rejected(path, "free-text tools cannot be expressed");
            tool.kind.clone()
        }
        ToolKind::Hosted { .. } => {
            losses.rejected(path, "tools that another provider runs cannot be expressed");
            tool.kind.clone()
        }
    };
    Tool {
        kind,
        cache: cache::carry_over(
            tool.cache.as_ref(),
            &tool.ext,
            Place::Tool,
            request.origin,
            path,
            losses,
        ),
        ext: Ext::default(),
    }
}

/// The schema of the arguments, whose `type` must be `object`. `None`: no arguments.
fn object_schema(schema: &RawJson, path: String, losses: &mut Losses) -> Option<RawJson> {
    if schema.text() == "null" {
        return None;
    }
    let Ok(object) = Object::parse(schema.text(), "") else {
        losses.rejected(path, "the schema of the arguments must be an object");
        return None;
    };
    match object.peek("type").map(crate::json::Raw::get) {
        Some("\"object\"") => Some(schema.clone()),
        None => {
            let mut members = Ext(vec![("type".to_owned(), RawJson::string("object"))]);
            members.0.extend(object.into_ext().0);
            Some(RawJson::object(&members))
        }
        Some(_) => {
            losses.rejected(path, "the arguments must be described as an object");
            None
        }
    }
}

/// A subset of the tools. The provider has no subset, so the others are left out.
fn allowed_tools(
    names: &[String],
    required: bool,
    tools: &mut Vec<Cow<'_, Tool>>,
    field: &'static str,
    losses: &mut Losses,
) -> Option<ToolChoice> {
    let unknown = names
        .iter()
        .any(|name| !tools.iter().any(|tool| is_named(tool, name)));
    if unknown || names.is_empty() {
        losses.rejected(field, "no tool has this name");
        return None;
    }
    losses.approximated(
        field,
        "the provider knows no subset of tools; the others are left out",
    );
    tools.retain(|tool| names.iter().any(|name| is_named(tool, name)));
    Some(if required {
        ToolChoice::Required
    } else {
        ToolChoice::Auto
    })
}

fn is_named(tool: &Tool, wanted: &str) -> bool {
    matches!(&tool.kind, ToolKind::Function { name, .. } if name == wanted)
}
