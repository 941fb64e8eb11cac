//! Writing a request.
//!
//! A request of this dialect is written as it came, for another model. A request of another dialect is first brought into
//! this dialect's shape, and everything that does not fit is reported.

use super::{messages, options, tools, turns};
use crate::Dialect;
use crate::canonical::{Ext, Request, ResponseFormat, Thinking, ToolKind};
use crate::foreign::{self, Place};
use crate::json::Writer;
use crate::loss::Losses;
use crate::names::Names;
use crate::target::Target;
use crate::tool_names::{self, Renames};

/// Writes a request for `target`.
///
/// A request of this dialect is written as it came, except for the model; reasoning that another maker wrote is left out. A
/// request of another dialect is translated; what could not be carried over is in `losses`, and as long as that holds no
/// rejection the result is a valid request.
pub fn encode_request(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    let mut w = Writer::new(&mut out);
    w.object(|w| {
        w.key("model").string(target.model);
        if request.origin == Dialect::CohereChat {
            write_own(w, request, losses);
        } else {
            let (fitting, _) = tool_names::fit(request, &tool_names::OPENAI, losses);
            write_foreign(w, &fitting, target, losses);
        }
    });
    out
}

/// The tools of a request of another dialect that [`encode_request`] sends under another name. What OpenAI takes for a name
/// is taken here.
pub fn renames(request: &Request) -> Renames {
    if request.origin == Dialect::CohereChat {
        return Renames::default();
    }
    tool_names::fit(request, &tool_names::OPENAI, &mut Losses::new()).1
}

fn write_own(w: &mut Writer<'_>, request: &Request, losses: &mut Losses) {
    w.key("messages").array(|w| {
        for (i, message) in request.messages.iter().enumerate() {
            messages::write_own(w, message, i, Names::new(request), losses);
        }
    });
    if !request.tools.is_empty() {
        w.key("tools")
            .array(|w| request.tools.iter().for_each(|tool| tools::write(w, tool, true)));
    }
    let strict = request.tools.iter().find_map(|tool| match tool.kind {
        ToolKind::Function { strict, .. } => strict,
        ToolKind::Custom { .. } | ToolKind::Hosted { .. } => None,
    });
    w.optional_bool("strict_tools", strict);
    tools::write_choice(w, request.tool_choice.as_ref());
    write_options(w, request);
    w.ext(&request.ext);
}

/// Writes everything that is neither messages nor tools.
fn write_options(w: &mut Writer<'_>, options: &Request) {
    w.optional_bool("stream", options.stream);
    w.optional_number("max_tokens", options.max_output_tokens);
    if !options.stop.is_empty() {
        w.key("stop_sequences")
            .array(|w| options.stop.iter().for_each(|text| w.string(text)));
    }
    w.optional_raw("temperature", options.temperature.as_ref());
    w.optional_raw("p", options.top_p.as_ref());
    w.optional_raw("k", options.top_k.as_ref());
    w.optional_raw("seed", options.seed.as_ref());
    w.optional_raw("frequency_penalty", options.frequency_penalty.as_ref());
    w.optional_raw("presence_penalty", options.presence_penalty.as_ref());
    w.optional_bool("logprobs", options.logprobs);
    if let Some(format) = &options.response_format {
        write_format(w, format);
    }
    let thinking = options
        .reasoning
        .as_ref()
        .and_then(|reasoning| reasoning.thinking.as_ref());
    if let Some(thinking) = thinking {
        write_thinking(w, thinking);
    }
}

fn write_format(w: &mut Writer<'_>, format: &ResponseFormat) {
    w.key("response_format");
    let (kind, schema) = match format {
        ResponseFormat::Opaque(raw) => return w.raw(raw),
        ResponseFormat::Text => ("text", None),
        ResponseFormat::JsonObject => ("json_object", None),
        ResponseFormat::JsonSchema { schema, .. } => ("json_object", schema.as_ref()),
    };
    w.object(|w| {
        w.key("type").string(kind);
        w.optional_raw("json_schema", schema);
    });
}

fn write_thinking(w: &mut Writer<'_>, thinking: &Thinking) {
    w.key("thinking");
    let (kind, budget, ext): (_, _, &Ext) = match thinking {
        Thinking::Enabled { budget_tokens, ext } => ("enabled", Some(*budget_tokens), ext),
        Thinking::Adaptive { ext } => ("enabled", None, ext),
        Thinking::Disabled { ext } => ("disabled", None, ext),
        Thinking::Other(raw) => return w.raw(raw),
    };
    w.object(|w| {
        w.key("type").string(kind);
        w.optional_number("token_budget", budget);
        w.ext(ext);
    });
}

fn write_foreign(w: &mut Writer<'_>, request: &Request, target: &Target<'_>, losses: &mut Losses) {
    foreign::report(&request.ext, Place::Request, request.origin, "", losses);
    let turns = turns::build(request, losses);
    w.key("messages")
        .array(|w| turns.iter().for_each(|turn| turn.write(w)));
    let fitted = options::fit_tools(request, target.capabilities, losses);
    if !fitted.tools.is_empty() {
        w.key("tools")
            .array(|w| fitted.tools.iter().for_each(|tool| tools::write(w, tool, false)));
    }
    w.optional_bool("strict_tools", fitted.strict);
    tools::write_choice(w, fitted.choice.as_ref());
    write_options(w, &options::fit(request, target, losses));
}
