//! Tool definitions and the tool choice of another dialect. What Bedrock takes is what Anthropic takes, except that it cannot
//! be told to call no tool.

use std::borrow::Cow;

use crate::anthropic_messages;
use crate::canonical::{Part, Request, Tool, ToolChoice, ToolKind};
use crate::loss::Losses;
use crate::names::Names;

/// Tools and choice in this dialect's shape.
pub(super) struct Tools<'a> {
    pub(super) tools: Vec<Cow<'a, Tool>>,
    pub(super) choice: Option<ToolChoice>,
}

/// Converts the tools and the choice of a request of another dialect.
pub(super) fn build<'a>(request: &'a Request, names: Names<'_>, losses: &mut Losses) -> Tools<'a> {
    let anthropic_messages::Tools {
        mut tools, choice, ..
    } = anthropic_messages::fit_tools(request, losses);
    for tool in &mut tools {
        // The provider takes no empty description.
        if let ToolKind::Function {
            description: Some(text),
            ..
        } = &tool.kind
            && text.is_empty()
            && let ToolKind::Function { description, .. } = &mut tool.to_mut().kind
        {
            *description = None;
        }
    }
    let mut choice = choice.map(Cow::into_owned);
    if choice == Some(ToolChoice::None) {
        choice = None;
        let of_history = request
            .messages
            .iter()
            .flat_map(|message| &message.parts)
            .any(|part| matches!(part, Part::ToolCall(_) | Part::ToolResult(_)));
        if request.tools.is_empty() {
            // Minimal definitions of earlier calls, told already.
        } else if of_history {
            losses.approximated(
                names.option("tool_choice"),
                "the provider cannot be told to call no tool",
            );
        } else {
            losses.approximated(
                names.option("tool_choice"),
                "the provider cannot be told to call no tool; the tools are left out",
            );
            tools.clear();
        }
    }
    Tools { tools, choice }
}
