//! Everything about a request of another dialect that is neither messages nor tools: thinking, sampling, the form of the
//! answer, and small options. What the model takes is decided by its [`Capabilities`], never by its name.

use std::borrow::Cow;

use super::encode::{Draft, Turn};
use super::thinking::{Thought, think};
use super::{answer_tool, schema};
use crate::canonical::{ContentForm, Ext, Part, Request, ResponseFormat, Role, Text, Thinking, ToolChoice};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson};
use crate::loss::Losses;
use crate::names::Names;
use crate::target::Capabilities;

/// Texts that end the answer. The provider refuses those of white space only.
pub(crate) fn stop<'a>(request: &'a Request, losses: &mut Losses) -> Vec<&'a str> {
    let (blank, kept): (Vec<&str>, Vec<&str>) = request
        .stop
        .iter()
        .map(String::as_str)
        .partition(|text| text.trim().is_empty());
    if !blank.is_empty() {
        losses.approximated(
            Names::new(request).option("stop"),
            "the provider takes no stop sequences of white space only",
        );
    }
    kept
}

/// The id of the end user. The provider forbids personal data there.
pub(super) fn user<'a>(request: &'a Request, losses: &mut Losses) -> Option<&'a str> {
    let user = request.user.as_deref().filter(|user| !user.is_empty())?;
    if user.contains('@') {
        losses.dropped(
            Names::new(request).option("user"),
            "looks like a mail address, which the provider forbids",
        );
        return None;
    }
    Some(user)
}

/// The service tier.
pub(super) fn service_tier(request: &Request, losses: &mut Losses) -> Option<&'static str> {
    match request.service_tier.as_deref()? {
        "auto" => Some("auto"),
        "default" | "standard" | "STANDARD" => Some("standard_only"),
        _ => {
            losses.dropped(
                Names::new(request).option("service_tier"),
                "the provider has no such tier",
            );
            None
        }
    }
}

/// Turns what the request says about reasoning into thinking, as the model takes it.
pub(super) fn reasoning(
    draft: &mut Draft<'_>,
    request: &Request,
    capabilities: &Capabilities,
    losses: &mut Losses,
) {
    let mut thought = Thought {
        max_tokens: draft.max_tokens,
        thinking: None,
        effort: None,
        in_unsigned_tool_loop: in_unsigned_tool_loop(&draft.turns),
    };
    think(&mut thought, request, capabilities, losses);
    draft.max_tokens = thought.max_tokens;
    draft.thinking = thought.thinking.map(Cow::Owned);
    draft.effort = thought.effort;
}

/// Whether the conversation ends with tool results for an assistant turn that does not begin with signed reasoning.
/// With a budget, the provider refuses to think on from there.
fn in_unsigned_tool_loop(turns: &[Turn<'_>]) -> bool {
    let [.., assistant, results] = turns else {
        return false;
    };
    let answers_calls = results
        .parts
        .iter()
        .any(|part| matches!(part.as_ref(), Part::ToolResult(_)));
    let signed = matches!(
        assistant.parts.first().map(AsRef::as_ref),
        Some(Part::Reasoning(_))
    );
    answers_calls && !signed
}

/// Rejects a forced call where the model does not take one.
pub(super) fn forced_choice(
    draft: &Draft<'_>,
    capabilities: &Capabilities,
    names: Names<'_>,
    losses: &mut Losses,
) {
    if !matches!(
        draft.tool_choice.as_deref(),
        Some(ToolChoice::Required | ToolChoice::Function(_))
    ) {
        return;
    }
    if !capabilities.forced_tool_use {
        losses.rejected(
            names.option("tool_choice"),
            "the model cannot be forced to call a tool",
        );
    } else if thinks(draft) || capabilities.thinking_always_on {
        losses.rejected(
            names.option("tool_choice"),
            "a model that thinks cannot be forced to call a tool",
        );
    }
}

/// Reports what this dialect has no member for.
pub(crate) fn unknown_here(request: &Request, losses: &mut Losses) {
    let names = Names::new(request);
    if request.choices.is_some_and(|choices| choices != 1) {
        losses.rejected(names.option("n"), "the provider gives one answer per call");
    }
    if request.logprobs == Some(true) {
        losses.rejected(names.option("logprobs"), NO_LOGPROBS);
    }
    if request.top_logprobs.is_some_and(|others| others > 0) {
        losses.rejected(names.option("top_logprobs"), NO_LOGPROBS);
    }
    for (name, penalty) in [
        ("presence_penalty", &request.presence_penalty),
        ("frequency_penalty", &request.frequency_penalty),
    ] {
        if penalty.as_ref().is_some_and(|value| value.as_f64() != Some(0.0)) {
            losses.approximated(names.option(name), "the provider knows no penalties");
        }
    }
    if request.seed.is_some() {
        losses.dropped(names.option("seed"), "the provider knows no seed");
    }
}

const NO_LOGPROBS: &str = "the provider gives no log probabilities";

/// Brings temperature, top-p and top-k into what the model takes.
pub(super) fn sampling(
    draft: &mut Draft<'_>,
    capabilities: &Capabilities,
    names: Names<'_>,
    losses: &mut Losses,
) {
    let thinks = thinks(draft);
    let mut sampling = Sampling {
        temperature: draft.temperature.take(),
        top_p: draft.top_p,
        top_k: draft.top_k,
    };
    fit_sampling(&mut sampling, thinks, capabilities, names, losses);
    draft.temperature = sampling.temperature;
    draft.top_p = sampling.top_p;
    draft.top_k = sampling.top_k;
}

/// How tokens are chosen.
#[derive(Debug)]
pub(crate) struct Sampling<'a> {
    pub(crate) temperature: Option<Cow<'a, RawJson>>,
    pub(crate) top_p: Option<&'a RawJson>,
    pub(crate) top_k: Option<&'a RawJson>,
}

/// Brings temperature, top-p and top-k into what the model takes.
pub(crate) fn fit_sampling(
    sampling: &mut Sampling<'_>,
    thinks: bool,
    capabilities: &Capabilities,
    names: Names<'_>,
    losses: &mut Losses,
) {
    let temperature = sampling.temperature.as_deref().and_then(RawJson::as_f64);
    let top_p = sampling.top_p.and_then(RawJson::as_f64);
    let at_default = temperature == Some(1.0);
    if !capabilities.sampling {
        let mut leave_out = |is_set: bool, field: &'static str| {
            if is_set {
                losses.approximated(names.option(field), "the model takes no sampling parameters");
            }
        };
        leave_out(
            sampling.temperature.take().is_some() && !at_default,
            "temperature",
        );
        leave_out(
            sampling.top_p.take().is_some() && top_p.is_none_or(|top_p| top_p < 0.99),
            "top_p",
        );
        leave_out(sampling.top_k.take().is_some(), "top_k");
        return;
    }
    if thinks {
        let mut leave_out = |is_set: bool, field: &'static str| {
            if is_set {
                losses.approximated(
                    names.option(field),
                    "a model that thinks takes no such sampling parameter",
                );
            }
        };
        leave_out(
            sampling.temperature.take().is_some() && !at_default,
            "temperature",
        );
        leave_out(sampling.top_k.take().is_some(), "top_k");
        leave_out(
            sampling
                .top_p
                .take_if(|_| top_p.is_none_or(|top_p| top_p < 0.95))
                .is_some(),
            "top_p",
        );
        return;
    }
    if temperature.is_some_and(|temperature| temperature > 1.0) {
        losses.approximated(
            names.option("temperature"),
            "the provider takes 0 to 1; 1 is used",
        );
        sampling.temperature = Some(Cow::Owned(RawJson::from(1)));
    }
    // The provider takes temperature or top-p, not both; one that is at its default says nothing.
    if sampling.temperature.is_some() && sampling.top_p.is_some() {
        if at_default && top_p != Some(1.0) {
            sampling.temperature = None;
            return;
        }
        sampling.top_p = None;
        if top_p != Some(1.0) {
            losses.approximated(
                names.option("top_p"),
                "the provider takes temperature or top_p, not both",
            );
        }
    }
}

fn thinks(draft: &Draft<'_>) -> bool {
    matches!(
        draft.thinking.as_deref(),
        Some(Thinking::Enabled { .. } | Thinking::Adaptive { .. } | Thinking::Other(_))
    )
}

/// The form of the answer.
pub(super) fn response_format<'a>(
    draft: &mut Draft<'a>,
    request: &'a Request,
    capabilities: &Capabilities,
    losses: &mut Losses,
) {
    let names = Names::new(request);
    let field = names.option("response_format");
    match &request.response_format {
        None | Some(ResponseFormat::Text) => {}
        Some(ResponseFormat::Opaque(_)) => {
            losses.rejected(field, "not a form the provider knows");
        }
        Some(ResponseFormat::JsonObject) => {
            losses.approximated(field, "the model is told to answer with a JSON object");
            add_instruction(draft, "Answer with one JSON object and nothing else.");
        }
        Some(ResponseFormat::JsonSchema {
            schema,
            description,
            ext,
            ..
        }) => {
            let path = names.option("response_format.json_schema.schema");
            let Some(schema) = schema.as_ref().filter(|schema| schema.text().starts_with('{')) else {
                losses.rejected(path, "a schema is required");
                return;
            };
            let parent = path.trim_end_matches(".schema");
            if description.is_some() {
                losses.dropped(
                    format!("{parent}.description"),
                    "the provider takes the schema only",
                );
            }
            foreign::report(ext, Place::Format, request.origin, parent, losses);
            if !capabilities.native_structured_output {
                return bind_by_tool(draft, schema, field, capabilities, losses);
            }
            draft.format = Some(Cow::Owned(ResponseFormat::JsonSchema {
                name: None,
                description: None,
                schema: Some(schema::close_objects(schema, path, losses)),
                strict: None,
                ext: Ext::default(),
            }));
        }
    }
}

/// Binds the answer of a model without schemas of its own, by making it call a tool; see [`answer_tool`].
fn bind_by_tool(
    draft: &mut Draft<'_>,
    schema: &RawJson,
    field: &'static str,
    capabilities: &Capabilities,
    losses: &mut Losses,
) {
    let thinks = !matches!(draft.thinking.as_deref(), None | Some(Thinking::Disabled { .. }));
    let is_object = Object::parse(schema.text(), "")
        .is_ok_and(|object| object.peek("type").is_some_and(|kind| kind.get() == "\"object\""));
    if thinks || !is_object || !draft.tools.is_empty() || !capabilities.forced_tool_use {
        losses.rejected(
            field,
            "the model's answers cannot be bound to a schema, and here not to a tool either",
        );
        return;
    }
    losses.approximated(field, "the model answers by calling a tool with this schema");
    draft.tools.push(Cow::Owned(answer_tool::tool(schema)));
    draft.tool_choice = Some(Cow::Owned(ToolChoice::Function(answer_tool::NAME.to_owned())));
    draft.disable_parallel = Some(true);
}

/// Puts an instruction behind the system prompt, as a block of its own so that a cached prompt stays as it is.
fn add_instruction(draft: &mut Draft<'_>, instruction: &str) {
    let part = Cow::Owned(Part::Text(Text {
        text: instruction.to_owned(),
        ..Text::default()
    }));
    let system = draft.system.get_or_insert_with(|| Turn {
        role: Role::System,
        parts: Vec::new(),
        form: ContentForm::String,
        ext: None,
    });
    system.parts.push(part);
}
