//! Everything about a request of another dialect that is neither messages nor tools: thinking, sampling, the form of the
//! answer, and small options. What the model takes is decided by its [`Capabilities`], never by its name.

use std::borrow::Cow;

use super::encode::{Draft, Turn};
use super::{answer_tool, schema};
use crate::canonical::{
    ContentForm, Effort, Ext, Part, Request, ResponseFormat, Role, Text, Thinking, ToolChoice,
};
use crate::gemini;
use crate::json::{Object, RawJson};
use crate::loss::Losses;
use crate::target::Capabilities;

/// The least budget of thinking tokens the provider takes.
const LEAST_BUDGET: u64 = 1024;
/// The most thinking tokens we ask for on behalf of an effort; above that answers outlast most callers' patience.
const MOST_BUDGET: u64 = 32_000;

/// Texts that end the answer. The provider refuses those of white space only.
pub(super) fn stop<'a>(request: &'a Request, losses: &mut Losses) -> Vec<&'a str> {
    let (blank, kept): (Vec<&str>, Vec<&str>) = request
        .stop
        .iter()
        .map(String::as_str)
        .partition(|text| text.trim().is_empty());
    if !blank.is_empty() {
        losses.approximated("stop", "the provider takes no stop sequences of white space only");
    }
    kept
}

/// The id of the end user. The provider forbids personal data there.
pub(super) fn user<'a>(request: &'a Request, losses: &mut Losses) -> Option<&'a str> {
    let user = request.user.as_deref().filter(|user| !user.is_empty())?;
    if user.contains('@') {
        losses.dropped("user", "looks like a mail address, which the provider forbids");
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
            losses.dropped("service_tier", "the provider has no such tier");
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
    let Some(reasoning) = &request.reasoning else {
        return;
    };
    match (&reasoning.effort, &reasoning.thinking) {
        (Some(effort), Some(Thinking::Disabled { .. })) if *effort != Effort::None => {
            losses.approximated(FIELD, "without thinking there is no effort");
        }
        (Some(_), Some(Thinking::Enabled { .. })) => {
            losses.approximated("thinking.budget_tokens", "the effort counts, not the budget");
        }
        _ => {}
    }
    match (&reasoning.effort, &reasoning.thinking) {
        (_, Some(Thinking::Disabled { .. })) => set_effort(draft, &Effort::None, capabilities, losses),
        (Some(effort), _) => set_effort(draft, effort, capabilities, losses),
        // Clients of other dialects write this dialect's `thinking` too.
        (None, Some(Thinking::Enabled { budget_tokens, .. })) => {
            set_budget(draft, *budget_tokens, capabilities, losses);
        }
        (None, Some(Thinking::Adaptive { .. })) if capabilities.adaptive_thinking => {
            draft.thinking = Some(Cow::Owned(Thinking::Adaptive { ext: Ext::default() }));
        }
        (None, Some(Thinking::Adaptive { .. })) => {
            losses.approximated("thinking", "the model does not choose how much it thinks");
            set_effort(draft, &Effort::Medium, capabilities, losses);
        }
        (None, Some(Thinking::Other(_))) => {
            losses.rejected("thinking", "not a kind of thinking the provider knows")
        }
        (None, None) => {}
    }
}

fn set_effort(draft: &mut Draft<'_>, effort: &Effort, capabilities: &Capabilities, losses: &mut Losses) {
    match effort {
        Effort::Other(_) => losses.rejected(FIELD, "not an effort the provider knows"),
        Effort::None if !capabilities.reasoning => {}
        Effort::None if capabilities.thinking_always_on => {
            losses.approximated(
                FIELD,
                "the model cannot be kept from thinking; it is asked for the least",
            );
            draft.effort = Some(nearest_effort(&Effort::Low, capabilities));
        }
        Effort::None => draft.thinking = Some(Cow::Owned(Thinking::Disabled { ext: Ext::default() })),
        _ if !capabilities.reasoning => losses.dropped(FIELD, "the model does not reason"),
        _ if capabilities.adaptive_thinking => {
            let nearest = nearest_effort(effort, capabilities);
            if nearest != *effort {
                losses.approximated(
                    FIELD,
                    "the model does not know this effort; it is asked for the nearest",
                );
            }
            draft.effort = Some(nearest);
            draft.thinking = Some(Cow::Owned(Thinking::Adaptive { ext: Ext::default() }));
        }
        _ if capabilities.budget_thinking => {
            let percent = match effort {
                Effort::None | Effort::Minimal => 0,
                Effort::Low => 20,
                Effort::Medium => 50,
                Effort::High => 80,
                Effort::Xhigh | Effort::Max | Effort::Other(_) => 95,
            };
            let share = draft.max_tokens.saturating_mul(percent) / 100;
            enable(draft, share.min(MOST_BUDGET), capabilities, losses);
        }
        _ => losses.dropped(FIELD, "how much the model thinks cannot be set"),
    }
}

/// A budget that the client named itself.
fn set_budget(draft: &mut Draft<'_>, budget_tokens: u64, capabilities: &Capabilities, losses: &mut Losses) {
    if capabilities.reasoning && capabilities.budget_thinking {
        return enable(draft, budget_tokens, capabilities, losses);
    }
    losses.approximated("thinking.budget_tokens", "a budget of tokens becomes an effort");
    let effort = match budget_tokens {
        0..2_000 => Effort::Low,
        2_000..8_000 => Effort::Medium,
        8_000..24_000 => Effort::High,
        _ => Effort::Max,
    };
    set_effort(draft, &effort, capabilities, losses);
}

const FIELD: &str = "reasoning_effort";

/// The given effort if the model knows it, else the next lower one it knows, else its lowest.
fn nearest_effort(wanted: &Effort, capabilities: &Capabilities) -> Effort {
    /// What the models take that do not say.
    const COMMON: [Effort; 3] = [Effort::Low, Effort::Medium, Effort::High];
    let known = capabilities.efforts.as_deref().unwrap_or(&COMMON);
    let thinking = || known.iter().filter(|effort| **effort != Effort::None);
    thinking()
        .filter(|effort| *effort <= wanted)
        .max()
        .or_else(|| thinking().min())
        .unwrap_or(&Effort::Low)
        .clone()
}

/// Thinking with a budget. `max_tokens` counts thinking too and is raised where the budget does not fit.
fn enable(draft: &mut Draft<'_>, budget_tokens: u64, capabilities: &Capabilities, losses: &mut Losses) {
    if in_unsigned_tool_loop(&draft.turns) {
        let reason = "the model thinks within a tool loop only if its earlier thinking is sent back";
        losses.approximated(FIELD, reason);
        return;
    }
    let mut budget_tokens = budget_tokens.max(LEAST_BUDGET);
    if budget_tokens >= draft.max_tokens {
        let raised = draft.max_tokens.saturating_add(budget_tokens);
        let most = capabilities
            .max_output_tokens
            .unwrap_or(u64::MAX)
            .max(draft.max_tokens);
        let max_tokens = raised.min(most);
        budget_tokens = budget_tokens.min(max_tokens.saturating_sub(1));
        if budget_tokens < LEAST_BUDGET {
            losses.approximated(FIELD, "the model's answers are too short to think");
            return;
        }
        draft.max_tokens = max_tokens;
        losses.approximated(
            "max_completion_tokens",
            "raised, because it must exceed the budget of thinking",
        );
    }
    draft.thinking = Some(Cow::Owned(Thinking::Enabled {
        budget_tokens,
        ext: Ext::default(),
    }));
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
pub(super) fn forced_choice(draft: &Draft<'_>, capabilities: &Capabilities, losses: &mut Losses) {
    if !matches!(
        draft.tool_choice.as_deref(),
        Some(ToolChoice::Required | ToolChoice::Function(_))
    ) {
        return;
    }
    if !capabilities.forced_tool_use {
        losses.rejected("tool_choice", "the model cannot be forced to call a tool");
    } else if thinks(draft) || capabilities.thinking_always_on {
        losses.rejected(
            "tool_choice",
            "a model that thinks cannot be forced to call a tool",
        );
    }
}

/// Reports what this dialect has no member for.
pub(super) fn unknown_here(request: &Request, losses: &mut Losses) {
    if request.choices.is_some_and(|choices| choices != 1) {
        losses.rejected("n", "the provider gives one answer per call");
    }
    if request.logprobs == Some(true) {
        losses.rejected("logprobs", NO_LOGPROBS);
    }
    if request.top_logprobs.is_some_and(|others| others > 0) {
        losses.rejected("top_logprobs", NO_LOGPROBS);
    }
    for (name, penalty) in [
        ("presence_penalty", &request.presence_penalty),
        ("frequency_penalty", &request.frequency_penalty),
    ] {
        if penalty.as_ref().is_some_and(|value| value.as_f64() != Some(0.0)) {
            losses.approximated(name, "the provider knows no penalties");
        }
    }
    if request.seed.is_some() {
        losses.dropped("seed", "the provider knows no seed");
    }
}

const NO_LOGPROBS: &str = "the provider gives no log probabilities";

/// Brings temperature, top-p and top-k into what the model takes.
pub(super) fn sampling(draft: &mut Draft<'_>, capabilities: &Capabilities, losses: &mut Losses) {
    let temperature = draft.temperature.as_deref().and_then(RawJson::as_f64);
    let top_p = draft.top_p.and_then(RawJson::as_f64);
    let at_default = temperature == Some(1.0);
    if !capabilities.sampling {
        let mut leave_out = |is_set: bool, field: &str| {
            if is_set {
                losses.approximated(field, "the model takes no sampling parameters");
            }
        };
        leave_out(draft.temperature.take().is_some() && !at_default, "temperature");
        leave_out(
            draft.top_p.take().is_some() && top_p.is_none_or(|top_p| top_p < 0.99),
            "top_p",
        );
        leave_out(draft.top_k.take().is_some(), "top_k");
        return;
    }
    if thinks(draft) {
        let mut leave_out = |is_set: bool, field: &str| {
            if is_set {
                losses.approximated(field, "a model that thinks takes no such sampling parameter");
            }
        };
        leave_out(draft.temperature.take().is_some() && !at_default, "temperature");
        leave_out(draft.top_k.take().is_some(), "top_k");
        leave_out(
            draft
                .top_p
                .take_if(|_| top_p.is_none_or(|top_p| top_p < 0.95))
                .is_some(),
            "top_p",
        );
        return;
    }
    if temperature.is_some_and(|temperature| temperature > 1.0) {
        losses.approximated("temperature", "the provider takes 0 to 1; 1 is used");
        draft.temperature = Some(Cow::Owned(RawJson::from(1)));
    }
    // The provider takes temperature or top-p, not both; one that is at its default says nothing.
    if draft.temperature.is_some() && draft.top_p.is_some() {
        if at_default && top_p != Some(1.0) {
            draft.temperature = None;
            return;
        }
        draft.top_p = None;
        if top_p != Some(1.0) {
            losses.approximated("top_p", "the provider takes temperature or top_p, not both");
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
    match &request.response_format {
        None | Some(ResponseFormat::Text) => {}
        Some(ResponseFormat::Opaque(_)) => {
            losses.rejected("response_format", "not a form the provider knows");
        }
        Some(ResponseFormat::JsonObject) => {
            losses.approximated(
                "response_format",
                "the model is told to answer with a JSON object",
            );
            add_instruction(draft, "Answer with one JSON object and nothing else.");
        }
        Some(ResponseFormat::JsonSchema {
            schema,
            description,
            ext,
            ..
        }) => {
            let path = "response_format.json_schema";
            let Some(schema) = schema.as_ref().filter(|schema| schema.text().starts_with('{')) else {
                losses.rejected(format!("{path}.schema"), "a schema is required");
                return;
            };
            if description.is_some() {
                losses.dropped(
                    format!("{path}.description"),
                    "the provider takes the schema only",
                );
            }
            for (name, raw) in ext.iter().filter(|(_, raw)| !raw.is_blank()) {
                let field = format!("{path}.{name}");
                if !gemini::report(name, raw, &field, losses) {
                    losses.rejected(field, "not known to the provider");
                }
            }
            if !capabilities.native_structured_output {
                return bind_by_tool(draft, schema, capabilities, losses);
            }
            draft.format = Some(Cow::Owned(ResponseFormat::JsonSchema {
                name: None,
                description: None,
                schema: Some(schema::close_objects(schema, &format!("{path}.schema"), losses)),
                strict: None,
                ext: Ext::default(),
            }));
        }
    }
}

/// Binds the answer of a model without schemas of its own, by making it call a tool; see [`answer_tool`].
fn bind_by_tool(draft: &mut Draft<'_>, schema: &RawJson, capabilities: &Capabilities, losses: &mut Losses) {
    let thinks = !matches!(draft.thinking.as_deref(), None | Some(Thinking::Disabled { .. }));
    let is_object = Object::parse(schema.text(), "")
        .is_ok_and(|object| object.peek("type").is_some_and(|kind| kind.get() == "\"object\""));
    if thinks || !is_object || !draft.tools.is_empty() || !capabilities.forced_tool_use {
        losses.rejected(
            "response_format",
            "the model's answers cannot be bound to a schema, and here not to a tool either",
        );
        return;
    }
    losses.approximated(
        "response_format",
        "the model answers by calling a tool with this schema",
    );
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
