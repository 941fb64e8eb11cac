//! Everything about a request of another dialect that is not a message: tools and the choice among them, sampling,
//! thinking, the form of the answer, small options. Where this dialect has a narrower range, the nearest value is taken.

use std::borrow::Cow;

use crate::Dialect;
use crate::canonical::{
    Effort, Ext, ReasoningRequest, Request, ResponseFormat, Thinking, Tool, ToolChoice, ToolKind,
};
use crate::foreign::{self, NO_USER, Place};
use crate::json::RawJson;
use crate::loss::Losses;
use crate::names::Names;
use crate::target::{Capabilities, Target};

/// How many stop sequences the provider takes.
const MAX_STOP: usize = 5;
/// Tokens of thinking for little effort. The provider knows no efforts.
const LOW_BUDGET: u64 = 1_024;
/// Tokens of thinking for medium effort.
const MEDIUM_BUDGET: u64 = 8_192;

/// Tools and choice in this dialect's shape.
pub(super) struct FittedTools<'a> {
    pub(super) tools: Vec<&'a Tool>,
    pub(super) choice: Option<ToolChoice>,
    pub(super) strict: Option<bool>,
}

/// Converts the tools and the choice of a request of another dialect.
pub(super) fn fit_tools<'a>(
    request: &'a Request,
    capabilities: &Capabilities,
    losses: &mut Losses,
) -> FittedTools<'a> {
    let names = Names::new(request);
    let mut tools = Vec::with_capacity(request.tools.len());
    for (i, tool) in request.tools.iter().enumerate() {
        let path = names.tool(i);
        match &tool.kind {
            ToolKind::Function { parameters, .. } => {
                let is_object = |schema: &RawJson| schema.text().starts_with('{');
                if !parameters.as_ref().is_none_or(is_object) {
                    losses.rejected(
                        names.tool_schema(i),
                        "the schema of the arguments must be an object",
                    );
                }
            }
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
        tools.push(tool);
    }
    let choice = fit_choice(request, &mut tools, capabilities, losses);
    if request.parallel_tool_calls == Some(false) && !tools.is_empty() && choice != Some(ToolChoice::None) {
        losses.approximated(
            names.option("parallel_tool_calls"),
            "the provider decides how many tools are called at once",
        );
    }
    FittedTools {
        strict: fit_strict(request, &tools, losses),
        tools,
        choice,
    }
}

/// Strictness is a switch for all tools here.
fn fit_strict(request: &Request, tools: &[&Tool], losses: &mut Losses) -> Option<bool> {
    let is_strict = |tool: &&Tool| {
        matches!(
            tool.kind,
            ToolKind::Function {
                strict: Some(true),
                ..
            }
        )
    };
    let strict = tools.iter().filter(|tool| is_strict(tool)).count();
    if strict > 0 && strict < tools.len() {
        let first = request.tools.iter().position(|tool| is_strict(&tool));
        losses.approximated(
            format!("{}.strict", Names::new(request).tool(first.unwrap_or(0))),
            "the provider binds all tools to their schemas, or none",
        );
    }
    (strict > 0).then_some(true)
}

fn fit_choice(
    request: &Request,
    tools: &mut Vec<&Tool>,
    capabilities: &Capabilities,
    losses: &mut Losses,
) -> Option<ToolChoice> {
    let names = Names::new(request);
    let (wanted, forced): (Cow<'_, [String]>, bool) = match request.tool_choice.as_ref()? {
        ToolChoice::Auto => return None,
        ToolChoice::None => return (!tools.is_empty()).then_some(ToolChoice::None),
        ToolChoice::Opaque(_) => {
            losses.rejected(names.option("tool_choice"), "not a choice the provider knows");
            return None;
        }
        ToolChoice::Required => (Cow::Borrowed(&[]), true),
        ToolChoice::Function(name) => (Cow::Owned(vec![name.clone()]), true),
        ToolChoice::Allowed { names, required } => (Cow::Borrowed(names.as_slice()), *required),
    };
    if forced && tools.is_empty() {
        losses.rejected(
            names.option("tool_choice"),
            "a call is demanded, but there are no tools",
        );
        return None;
    }
    let is = |tool: &Tool, wanted: &String| matches!(&tool.kind, ToolKind::Function { name, .. } if name == wanted);
    let is_known = |name: &String| tools.iter().any(|tool| is(tool, name));
    if !wanted.iter().all(is_known) {
        losses.rejected(names.option("tool_choice"), "no tool has this name");
        return None;
    }
    if !matches!(request.tool_choice, Some(ToolChoice::Required)) {
        let offered = tools.len();
        tools.retain(|tool| wanted.iter().any(|name| is(tool, name)));
        if tools.len() < offered {
            losses.approximated(
                names.option("tool_choice"),
                "only the tools that may be called are offered",
            );
        }
    }
    if forced && !capabilities.forced_tool_use {
        losses.rejected(
            names.option("tool_choice"),
            "the model cannot be forced to call a tool",
        );
    }
    forced.then_some(ToolChoice::Required)
}

/// The options as this dialect takes them: a request that has options only.
pub(super) fn fit(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Request {
    let names = Names::new(request);
    if request.max_output_tokens == Some(0) {
        losses.rejected(
            names.option("max_tokens"),
            "the provider cannot warm its cache without an answer",
        );
    }
    if request.choices.is_some_and(|choices| choices != 1) {
        losses.rejected(names.option("n"), "the provider gives one answer per call");
    }
    if request.top_logprobs.is_some_and(|others| others > 0) {
        losses.rejected(
            names.option("top_logprobs"),
            "the provider tells the probabilities of the chosen tokens only",
        );
    }
    if request.stop.len() > MAX_STOP {
        losses.rejected(names.option("stop"), "the provider takes at most 5");
    }
    if request.user.as_ref().is_some_and(|user| !user.is_empty()) {
        losses.dropped(names.option("user"), NO_USER);
    }
    let tier = request.service_tier.as_deref();
    if !matches!(
        tier,
        None | Some("auto" | "default" | "standard" | "standard_only")
    ) {
        losses.dropped(names.option("service_tier"), "the provider has no tiers");
    }
    let mut number = |field: &'static str, value: &Option<RawJson>, range: [&str; 2], reason| {
        let value = value.clone()?;
        if !target.capabilities.sampling {
            losses.approximated(names.option(field), "the model chooses its own sampling");
            return None;
        }
        let nearest = within(&value, range);
        if nearest.is_some() {
            losses.approximated(names.option(field), reason);
        }
        Some(nearest.unwrap_or(value))
    };
    let temperature = number(
        "temperature",
        &request.temperature,
        ["0", "1"],
        "the provider takes 0 to 1",
    );
    let top_p = number(
        "top_p",
        &request.top_p,
        ["0.01", "0.99"],
        "the provider takes 0.01 to 0.99",
    );
    let top_k = number(
        "top_k",
        &request.top_k,
        ["0", "500"],
        "the provider takes 0 to 500",
    );
    let presence_penalty = number(
        "presence_penalty",
        &request.presence_penalty,
        ["0", "1"],
        "the provider takes 0 to 1",
    );
    let frequency_penalty = number(
        "frequency_penalty",
        &request.frequency_penalty,
        ["0", "1"],
        "the provider takes 0 to 1",
    );
    Request {
        origin: Dialect::CohereChat,
        model: String::new(),
        messages: Vec::new(),
        tools: Vec::new(),
        tool_choice: None,
        parallel_tool_calls: None,
        max_output_tokens: request.max_output_tokens,
        temperature,
        top_p,
        top_k: top_k.map(|number| whole(number, names, losses)),
        stop: request.stop.clone(),
        stream: request.stream,
        include_usage: None,
        reasoning: thinking(request, target.capabilities, names, losses).map(|thinking| ReasoningRequest {
            thinking: Some(thinking),
            ..ReasoningRequest::default()
        }),
        response_format: response_format(request, names, losses),
        user: None,
        service_tier: None,
        choices: None,
        seed: request.seed.clone(),
        presence_penalty,
        frequency_penalty,
        logprobs: request.logprobs,
        top_logprobs: None,
        ext: Ext::default(),
    }
}

/// The end of the range that a number is beyond; `None` if it is within.
fn within(number: &RawJson, [least, most]: [&str; 2]) -> Option<RawJson> {
    let value = number.as_f64()?;
    let [low, high] = [least, most].map(|end| RawJson::parse(end).ok());
    let beyond = |end: &Option<RawJson>| end.as_ref().and_then(RawJson::as_f64);
    if beyond(&low).is_some_and(|low| value < low) {
        return low;
    }
    if beyond(&high).is_some_and(|high| value > high) {
        return high;
    }
    None
}

/// A number without a fraction: some dialects write one where the provider wants a whole number.
fn whole(number: RawJson, names: Names<'_>, losses: &mut Losses) -> RawJson {
    if number.text().bytes().all(|byte| byte.is_ascii_digit()) {
        return number;
    }
    let Some(value) = number.as_f64() else {
        return number;
    };
    let rounded = value.round();
    if rounded != value {
        losses.approximated(names.option("top_k"), "the provider takes whole numbers");
    }
    RawJson::parse(&format!("{rounded:.0}")).unwrap_or(number)
}

/// What the model is asked to think.
fn thinking(
    request: &Request,
    capabilities: &Capabilities,
    names: Names<'_>,
    losses: &mut Losses,
) -> Option<Thinking> {
    let asked = request.reasoning.as_ref()?;
    let field = names.option("reasoning_effort");
    let ext = Ext::default();
    let enabled = |budget_tokens: u64| Thinking::Enabled {
        budget_tokens,
        ext: Ext::default(),
    };
    let mut hidden = asked.visible == Some(false);
    if let Some(Thinking::Enabled { ext, .. } | Thinking::Adaptive { ext } | Thinking::Disabled { ext }) =
        &asked.thinking
    {
        hidden |= ext.get("display").and_then(RawJson::as_string).as_deref() == Some("omitted");
        let mut rest = ext.clone();
        rest.0.retain(|(name, _)| name != "display");
        let path = names.option("thinking");
        foreign::report(&rest, Place::Thinking, request.origin, path, losses);
    }
    let off = matches!(asked.thinking, Some(Thinking::Disabled { .. })) || asked.effort == Some(Effort::None);
    if hidden && !off {
        losses.dropped(
            if asked.visible.is_some() {
                field
            } else {
                "thinking.display"
            },
            "reasoning is told as the provider tells it",
        );
    }
    if off {
        if asked
            .effort
            .as_ref()
            .is_some_and(|effort| *effort != Effort::None)
        {
            losses.approximated(field, "without thinking there is no effort");
        }
        if !capabilities.reasoning {
            return None;
        }
        if capabilities.thinking_always_on {
            losses.approximated(field, "the model cannot be kept from thinking");
            return None;
        }
        return Some(Thinking::Disabled { ext });
    }
    if let (Some(_), Some(Thinking::Enabled { .. })) = (&asked.effort, &asked.thinking) {
        losses.approximated(
            names.option("thinking.budget_tokens"),
            "the effort counts, not the budget",
        );
    }
    let wanted = match (&asked.effort, &asked.thinking) {
        (Some(Effort::Other(_)), _) => {
            losses.rejected(field, "not an effort the provider knows");
            return None;
        }
        (None, Some(Thinking::Other(_))) => {
            losses.rejected(
                names.option("thinking"),
                "not a kind of thinking the provider knows",
            );
            return None;
        }
        (Some(Effort::Minimal | Effort::Low), _) => (field, enabled(LOW_BUDGET)),
        (Some(Effort::Medium), _) => (field, enabled(MEDIUM_BUDGET)),
        (Some(_), _) => (field, Thinking::Adaptive { ext }),
        (None, Some(Thinking::Enabled { budget_tokens, .. })) => {
            (names.option("thinking.budget_tokens"), enabled(*budget_tokens))
        }
        (None, Some(Thinking::Adaptive { .. })) => (names.option("thinking"), Thinking::Adaptive { ext }),
        (None, Some(Thinking::Disabled { .. }) | None) => return None,
    };
    let (field, wanted) = wanted;
    if !capabilities.reasoning {
        losses.dropped(field, "the model does not reason");
        return None;
    }
    match asked.effort {
        Some(Effort::Minimal | Effort::Low | Effort::Medium) => {
            losses.approximated(field, "an effort becomes a budget of thinking");
        }
        Some(Effort::Xhigh | Effort::Max) => {
            losses.approximated(field, "the model thinks as much as it likes");
        }
        _ => {}
    }
    Some(wanted)
}

/// The form of the answer. The provider takes one only where it has no tools.
fn response_format(request: &Request, names: Names<'_>, losses: &mut Losses) -> Option<ResponseFormat> {
    let field = names.option("response_format");
    let format = request.response_format.as_ref()?;
    if matches!(format, ResponseFormat::Text) {
        return None;
    }
    if !request.tools.is_empty() {
        losses.rejected(field, "the provider takes no form of the answer beside tools");
        return None;
    }
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::Opaque(_) => {
            losses.rejected(field, "not a form the provider knows");
            None
        }
        ResponseFormat::JsonObject => Some(ResponseFormat::JsonObject),
        ResponseFormat::JsonSchema {
            schema,
            description,
            ext,
            ..
        } => {
            let path = names.option("response_format.json_schema.schema");
            let Some(schema) = schema.as_ref().filter(|schema| schema.text().starts_with('{')) else {
                losses.rejected(path, "a schema is required");
                return None;
            };
            let parent = path.trim_end_matches(".schema");
            if description.is_some() {
                losses.dropped(
                    format!("{parent}.description"),
                    "the provider takes the schema only",
                );
            }
            foreign::report(ext, Place::Format, request.origin, parent, losses);
            Some(ResponseFormat::JsonSchema {
                name: None,
                description: None,
                schema: Some(schema.clone()),
                strict: None,
                ext: Ext::default(),
            })
        }
    }
}
