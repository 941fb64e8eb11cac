//! Everything about a request of another dialect that is neither messages nor tools. What the model takes is decided by its
//! [`Capabilities`], never by its name: Claude's models take Anthropic's options, with Anthropic's rules.

use std::borrow::Cow;

use super::encode::{Draft, describes_object};
use crate::Dialect;
use crate::anthropic_messages::{self, Sampling, Thought};
use crate::canonical::{Effort, Ext, Part, Request, ResponseFormat, Thinking, ToolChoice};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson};
use crate::loss::Losses;
use crate::names::Names;
use crate::target::{Capabilities, Target};

/// Most entries of `requestMetadata`.
const MAX_METADATA: usize = 16;
/// Most characters of a name or value there.
const MAX_METADATA_CHARS: usize = 256;

/// Members of a foreign bag that this dialect has a place for, and the rest.
pub(super) struct FromBag {
    pub(super) rest: Ext,
    pub(super) fast: bool,
    pub(super) metadata: Vec<(String, String)>,
}

/// Takes what this dialect has a place for out of the bag of another.
pub(super) fn take_from_bag(request: &Request, losses: &mut Losses) -> FromBag {
    let mut taken = FromBag {
        rest: Ext::default(),
        fast: false,
        metadata: Vec::new(),
    };
    let anthropic = request.origin == Dialect::AnthropicMessages;
    for (name, raw) in request.ext.0.iter().cloned() {
        match name.as_str() {
            "speed" if anthropic && raw.text() == "\"fast\"" => taken.fast = true,
            // OpenAI's notes of the client; Anthropic's have the id of the end user only.
            "metadata" if !anthropic && raw.text().starts_with('{') => {
                add_metadata(&raw, &mut taken.metadata, losses);
            }
            _ => taken.rest.0.push((name, raw)),
        }
    }
    if let Some(user) = request.user.as_deref().filter(|user| !user.is_empty()) {
        if taken.metadata.len() < MAX_METADATA && is_metadata(user) {
            taken.metadata.push(("user_id".to_owned(), user.to_owned()));
        } else {
            losses.dropped(
                Names::new(request).option("user"),
                "not an id that the provider takes",
            );
        }
    }
    taken
}

fn add_metadata(raw: &RawJson, metadata: &mut Vec<(String, String)>, losses: &mut Losses) {
    let members = Object::parse(raw.text(), "")
        .map(Object::into_ext)
        .unwrap_or_default();
    for (name, raw) in members.0 {
        match raw.as_string() {
            Some(value)
                if metadata.len() < MAX_METADATA
                    && !name.is_empty()
                    && is_metadata(&name)
                    && is_metadata(&value) =>
            {
                metadata.push((name, value));
            }
            _ => losses.dropped(
                format!("metadata.{name}"),
                "the provider takes 16 short texts of common characters",
            ),
        }
    }
}

/// Whether the provider takes a text in `requestMetadata`.
fn is_metadata(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c);
    text.len() <= MAX_METADATA_CHARS && text.chars().all(fits)
}

/// The most tokens of the answer; the provider has a limit of its own where nobody names one.
pub(super) fn max_tokens(request: &Request, names: Names<'_>, losses: &mut Losses) -> Option<u64> {
    if request.max_output_tokens == Some(0) {
        losses.rejected(
            names.option("max_tokens"),
            "the provider cannot warm its cache without an answer",
        );
    }
    request.max_output_tokens.filter(|most| *most > 0)
}

/// The service tier.
pub(super) fn service_tier(request: &Request, names: Names<'_>, losses: &mut Losses) -> Option<&'static str> {
    match request.service_tier.as_deref()? {
        // The provider decides.
        "auto" => None,
        "default" | "standard_only" | "standard" | "STANDARD" => Some("default"),
        "flex" | "FLEX" => Some("flex"),
        "priority" | "PRIORITY" | "fast" => Some("priority"),
        _ => {
            losses.dropped(names.option("service_tier"), "the provider has no such tier");
            None
        }
    }
}

/// What the model is asked to think.
pub(super) fn reasoning(
    draft: &mut Draft<'_>,
    request: &Request,
    target: &Target<'_>,
    names: Names<'_>,
    losses: &mut Losses,
) {
    let Some(asked) = &request.reasoning else { return };
    let capabilities = target.capabilities;
    if request.origin == Dialect::AnthropicMessages && capabilities.claude_options {
        // The same model elsewhere.
        draft.thinking.clone_from(&asked.thinking);
        draft.effort.clone_from(&asked.effort);
        return;
    }
    if let Some(Thinking::Enabled { ext, .. } | Thinking::Adaptive { ext } | Thinking::Disabled { ext }) =
        &asked.thinking
    {
        foreign::report(
            ext,
            Place::Thinking,
            request.origin,
            names.option("thinking"),
            losses,
        );
    }
    if capabilities.claude_options {
        let mut thought = Thought {
            max_tokens: draft
                .max_tokens
                .or(target.default_max_output_tokens)
                .or(capabilities.max_output_tokens)
                .unwrap_or(LAST_RESORT_MAX_TOKENS),
            thinking: None,
            effort: None,
            in_unsigned_tool_loop: in_unsigned_tool_loop(draft),
        };
        anthropic_messages::think(&mut thought, request, capabilities, losses);
        if matches!(thought.thinking, Some(Thinking::Enabled { .. })) {
            draft.max_tokens = Some(thought.max_tokens);
        }
        draft.thinking = thought.thinking;
        draft.effort = thought.effort;
        return;
    }
    let field = names.option("reasoning_effort");
    let effort = match (&asked.effort, &asked.thinking) {
        (_, Some(Thinking::Disabled { .. })) => Effort::None,
        (Some(effort), _) => effort.clone(),
        (None, Some(Thinking::Enabled { budget_tokens, .. })) => {
            losses.approximated(
                names.option("thinking.budget_tokens"),
                "a budget of tokens becomes an effort",
            );
            effort_of_budget(*budget_tokens)
        }
        (None, Some(Thinking::Other(_))) => {
            return losses.rejected(
                names.option("thinking"),
                "not a kind of thinking the provider knows",
            );
        }
        // The model decides, as it does when it is not told.
        (None, Some(Thinking::Adaptive { .. }) | None) => return,
    };
    let known = |effort: &Effort| {
        capabilities
            .efforts
            .as_ref()
            .is_some_and(|known| known.contains(effort))
    };
    match effort {
        Effort::Other(_) => losses.rejected(field, "not an effort the provider knows"),
        Effort::None if !capabilities.reasoning => {}
        Effort::None if known(&Effort::None) => draft.effort = Some(Effort::None),
        Effort::None => losses.approximated(field, "the model cannot be told not to think"),
        _ if !capabilities.reasoning => losses.dropped(field, "the model does not reason"),
        effort => {
            let nearest = anthropic_messages::nearest_effort(&effort, capabilities);
            if nearest != effort {
                losses.approximated(
                    field,
                    "the model does not know this effort; it is asked for the nearest",
                );
            }
            draft.effort = Some(nearest);
        }
    }
}

/// The limit of an answer with a budget of thinking, where nobody knows one.
const LAST_RESORT_MAX_TOKENS: u64 = 8192;

const fn effort_of_budget(tokens: u64) -> Effort {
    match tokens {
        0..2_000 => Effort::Low,
        2_000..8_000 => Effort::Medium,
        8_000..24_000 => Effort::High,
        _ => Effort::Max,
    }
}

/// Whether the conversation ends with results for calls that do not begin with signed reasoning.
fn in_unsigned_tool_loop(draft: &Draft<'_>) -> bool {
    let [.., assistant, results] = draft.turns.as_slice() else {
        return false;
    };
    let holds_results = results
        .parts
        .iter()
        .any(|part| matches!(part.as_ref(), Part::ToolResult(_)));
    let signed = matches!(
        assistant.parts.first().map(AsRef::as_ref),
        Some(Part::Reasoning(_))
    );
    holds_results && !signed
}

fn thinks(draft: &Draft<'_>) -> bool {
    !matches!(draft.thinking, None | Some(Thinking::Disabled { .. }))
}

/// How tools may be called: forced, or one at a time.
pub(super) fn tool_use(
    draft: &mut Draft<'_>,
    request: &Request,
    capabilities: &Capabilities,
    names: Names<'_>,
    losses: &mut Losses,
) {
    let forced = matches!(
        draft.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Function(_))
    );
    let field = names.option("tool_choice");
    if forced && !capabilities.forced_tool_use {
        losses.rejected(field, "the model cannot be forced to call a tool");
    } else if forced && capabilities.claude_options && (thinks(draft) || capabilities.thinking_always_on) {
        losses.rejected(field, "a model that thinks cannot be forced to call a tool");
    }
    if request.parallel_tool_calls != Some(false) || draft.tools.is_empty() {
        return;
    }
    if capabilities.claude_options {
        draft.one_call = true;
    } else {
        losses.approximated(
            names.option("parallel_tool_calls"),
            "the provider decides how many tools are called at once",
        );
    }
}

/// Brings temperature, top-p and top-k into what the model takes.
pub(super) fn sampling(
    draft: &mut Draft<'_>,
    capabilities: &Capabilities,
    names: Names<'_>,
    losses: &mut Losses,
) {
    if capabilities.claude_options || !capabilities.sampling {
        let thinks = thinks(draft);
        let mut sampling = Sampling {
            temperature: draft.temperature.take(),
            top_p: draft.top_p,
            top_k: draft.top_k,
        };
        anthropic_messages::fit_sampling(&mut sampling, thinks, capabilities, names, losses);
        draft.temperature = sampling.temperature;
        draft.top_p = sampling.top_p;
        draft.top_k = sampling.top_k;
        return;
    }
    if draft.top_k.take().is_some() {
        losses.approximated(names.option("top_k"), "the provider knows no such setting");
    }
    let temperature = draft.temperature.as_deref().and_then(RawJson::as_f64);
    if temperature.is_some_and(|temperature| temperature > 1.0) {
        losses.approximated(
            names.option("temperature"),
            "the provider takes 0 to 1; 1 is used",
        );
        draft.temperature = Some(Cow::Owned(RawJson::from(1)));
    }
}

/// The form of the answer.
pub(super) fn response_format(
    draft: &mut Draft<'_>,
    request: &Request,
    capabilities: &Capabilities,
    names: Names<'_>,
    losses: &mut Losses,
) {
    let field = names.option("response_format");
    match &request.response_format {
        None | Some(ResponseFormat::Text) => {}
        Some(ResponseFormat::Opaque(_)) => losses.rejected(field, "not a form the provider knows"),
        Some(ResponseFormat::JsonObject) => {
            losses.approximated(field, "the model is told to answer with a JSON object");
            draft.add_instruction("Answer with one JSON object and nothing else.");
        }
        Some(ResponseFormat::JsonSchema {
            name,
            description,
            schema,
            ext,
            strict: _,
        }) => {
            let path = names.option("response_format.json_schema.schema");
            let Some(schema) = schema.as_ref().filter(|schema| schema.text().starts_with('{')) else {
                return losses.rejected(path, "a schema is required");
            };
            let parent = path.trim_end_matches(".schema");
            foreign::report(ext, Place::Format, request.origin, parent, losses);
            if !capabilities.native_structured_output {
                return bind_by_tool(draft, schema, capabilities, field, losses);
            }
            let schema = if capabilities.claude_options {
                anthropic_messages::close_objects(schema, path, losses)
            } else {
                schema.clone()
            };
            draft.format = Some(ResponseFormat::JsonSchema {
                name: name.clone(),
                description: description.clone(),
                schema: Some(schema),
                strict: None,
                ext: Ext::default(),
            });
        }
    }
}

/// Binds the answer of a model without schemas of its own, by making it call a tool; see
/// [`anthropic_messages::unwrap_answer`].
fn bind_by_tool(
    draft: &mut Draft<'_>,
    schema: &RawJson,
    capabilities: &Capabilities,
    field: &'static str,
    losses: &mut Losses,
) {
    let impossible = thinks(draft) || !draft.tools.is_empty() || !capabilities.forced_tool_use;
    if impossible || !describes_object(schema) {
        return losses.rejected(
            field,
            "the model's answers cannot be bound to a schema, and here not to a tool either",
        );
    }
    losses.approximated(field, "the model answers by calling a tool with this schema");
    draft
        .tools
        .push(Cow::Owned(anthropic_messages::answer_tool(schema)));
    draft.tool_choice = Some(ToolChoice::Function(anthropic_messages::ANSWER_TOOL.to_owned()));
    draft.one_call = capabilities.claude_options;
}
