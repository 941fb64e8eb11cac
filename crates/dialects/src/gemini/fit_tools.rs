//! Tools and the choice of another dialect, as Gemini takes them.

use super::schema_out;
use super::tools::DECLARATION;
use crate::canonical::{Ext, Request, Tool, ToolChoice, ToolKind};
use crate::foreign::{self, Place};
use crate::json::RawJson;
use crate::loss::Losses;
use crate::names::Names;
use crate::target::Capabilities;

/// Tools and choice in Gemini's shape.
pub(super) struct Fitted {
    pub(super) tools: Vec<Tool>,
    pub(super) choice: Option<ToolChoice>,
    /// Whether arguments must be bound to their schema.
    pub(super) validated: bool,
}

/// Converts the tools and the choice of a request of another dialect.
pub(super) fn build(request: &Request, capabilities: &Capabilities, losses: &mut Losses) -> Fitted {
    let names = Names::new(request);
    let mut tools = Vec::with_capacity(request.tools.len());
    let mut validated = false;
    for (i, tool) in request.tools.iter().enumerate() {
        let path = names.tool(i);
        match &tool.kind {
            ToolKind::Function { .. } => {}
            ToolKind::Custom { .. } => {
                losses.rejected(path, "free-text tools cannot be expressed");
                continue;
            }
            ToolKind::Hosted { .. } => {
                losses.rejected(path, "tools that another provider runs cannot be expressed");
                continue;
            }
        }
        foreign::report_cache(tool.cache.as_ref(), &path, losses);
        foreign::report(&tool.ext, Place::Tool, request.origin, &path, losses);
        validated |= matches!(
            tool.kind,
            ToolKind::Function {
                strict: Some(true),
                ..
            }
        );
        tools.push(function(tool, &names.tool_schema(i), capabilities, losses));
    }
    let choice = choice(request, names.option("tool_choice"), &tools, capabilities, losses);
    if request.parallel_tool_calls == Some(false) && !tools.is_empty() && choice != Some(ToolChoice::None) {
        losses.approximated(
            names.option("parallel_tool_calls"),
            "the provider decides how many tools are called at once",
        );
    }
    Fitted {
        validated: validated && matches!(choice, None | Some(ToolChoice::Auto)),
        tools,
        choice,
    }
}

fn function(tool: &Tool, path: &str, capabilities: &Capabilities, losses: &mut Losses) -> Tool {
    let ToolKind::Function {
        name,
        description,
        parameters,
        ..
    } = &tool.kind
    else {
        return tool.clone();
    };
    let schema = parameters.as_ref().filter(|schema| schema.text() != "null");
    if schema.is_some_and(|schema| !schema.text().starts_with('{')) {
        losses.rejected(path, "the schema of the arguments must be an object");
    }
    let mut declaration = Ext::default();
    let mut parameters = schema.cloned();
    if !capabilities.json_schema
        && let Some(schema) = parameters
            .take()
            .filter(|schema| !schema_out::has_no_properties(schema))
    {
        let own = schema_out::from_json_schema(&schema, path, losses);
        declaration.0.push(("parameters".to_owned(), own));
    }
    let mut ext = Ext::default();
    if !declaration.is_empty() {
        ext.0
            .push((DECLARATION.to_owned(), RawJson::object(&declaration)));
    }
    Tool {
        kind: ToolKind::Function {
            name: name.clone(),
            description: description.clone(),
            parameters,
            strict: None,
        },
        cache: None,
        ext,
    }
}

fn choice(
    request: &Request,
    field: &'static str,
    tools: &[Tool],
    capabilities: &Capabilities,
    losses: &mut Losses,
) -> Option<ToolChoice> {
    let choice = request.tool_choice.as_ref()?;
    let is_known = |wanted: &String| {
        tools
            .iter()
            .any(|tool| matches!(&tool.kind, ToolKind::Function { name, .. } if name == wanted))
    };
    let forced = match choice {
        ToolChoice::Auto | ToolChoice::None => false,
        ToolChoice::Opaque(_) => {
            losses.rejected(field, "not a choice the provider knows");
            return None;
        }
        ToolChoice::Required if tools.is_empty() => {
            losses.rejected(field, "a call is demanded, but there are no tools");
            return None;
        }
        ToolChoice::Required => true,
        ToolChoice::Function(name) if is_known(name) => true,
        ToolChoice::Allowed { names, required } if !names.is_empty() && names.iter().all(is_known) => {
            *required
        }
        ToolChoice::Function(_) | ToolChoice::Allowed { .. } => {
            losses.rejected(field, "no tool has this name");
            return None;
        }
    };
    if forced && !capabilities.forced_tool_use {
        losses.rejected(field, "the model cannot be forced to call a tool");
    }
    (!tools.is_empty()).then(|| choice.clone())
}
