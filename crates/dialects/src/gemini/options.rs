//! Everything about a request of another dialect that is neither messages nor tools: sampling, thinking, the form of the
//! answer, small options. What the model takes is decided by its capabilities, never by its name.

use super::encode::is_level;
use super::schema_out;
use crate::Dialect;
use crate::canonical::{Effort, Ext, ReasoningRequest, Request, ResponseFormat, Thinking};
use crate::foreign::{self, NO_USER, Place};
use crate::json::RawJson;
use crate::loss::Losses;
use crate::names::Names;
use crate::target::{Capabilities, Target};

/// How many stop sequences Gemini takes.
const MAX_STOP: usize = 5;
/// The most tokens of thinking we ask for: what every model with a budget takes.
const MOST_BUDGET: u64 = 24_576;
/// The fewest tokens of thinking of a model that always thinks.
const LEAST_BUDGET: u64 = 128;

/// The options as Gemini takes them.
pub(super) struct Fitted {
    /// A request that has options only.
    pub(super) request: Request,
    pub(super) service_tier: Option<&'static str>,
}

/// Brings the options of a request into what the model takes.
pub(super) fn fit(request: &Request, target: &Target<'_>, names: Names<'_>, losses: &mut Losses) -> Fitted {
    let capabilities = target.capabilities;
    if request.max_output_tokens == Some(0) {
        losses.rejected(
            names.option("max_tokens"),
            "the provider cannot warm its cache without an answer",
        );
    }
    let mut sampling = |name: &'static str, value: &Option<RawJson>| {
        if value.is_some() && !capabilities.sampling {
            losses.approximated(names.option(name), "the model chooses its own sampling");
            return None;
        }
        value.clone()
    };
    let temperature = sampling("temperature", &request.temperature);
    let top_p = sampling("top_p", &request.top_p);
    let top_k = sampling("top_k", &request.top_k);
    if request.stop.len() > MAX_STOP {
        losses.rejected(names.option("stop"), "the provider takes at most 5");
    }
    if request.user.as_ref().is_some_and(|user| !user.is_empty()) {
        losses.dropped(names.option("user"), NO_USER);
    }
    let request = Request {
        origin: Dialect::Gemini,
        model: String::new(),
        messages: Vec::new(),
        tools: Vec::new(),
        tool_choice: None,
        parallel_tool_calls: None,
        max_output_tokens: request.max_output_tokens,
        temperature,
        top_p,
        top_k,
        stop: request.stop.clone(),
        stream: None,
        include_usage: None,
        reasoning: thinking(request, capabilities, names, losses),
        response_format: response_format(request, capabilities, names, losses),
        user: None,
        service_tier: request.service_tier.clone(),
        choices: request.choices,
        seed: request.seed.clone(),
        presence_penalty: request.presence_penalty.clone(),
        frequency_penalty: request.frequency_penalty.clone(),
        logprobs: request.logprobs,
        top_logprobs: request.top_logprobs.filter(|_| request.logprobs == Some(true)),
        ext: request.ext.clone(),
    };
    Fitted {
        service_tier: service_tier(&request, names, losses),
        request,
    }
}

fn service_tier(request: &Request, names: Names<'_>, losses: &mut Losses) -> Option<&'static str> {
    if request.ext.get("speed").and_then(RawJson::as_string).as_deref() == Some("fast") {
        return Some("PRIORITY");
    }
    match request.service_tier.as_deref()? {
        // The provider decides.
        "auto" => None,
        "default" | "standard_only" | "standard" => Some("STANDARD"),
        "flex" => Some("FLEX"),
        "priority" => Some("PRIORITY"),
        _ => {
            losses.dropped(names.option("service_tier"), "the provider has no such tier");
            None
        }
    }
}

/// What the model is asked to think.
fn thinking(
    request: &Request,
    capabilities: &Capabilities,
    names: Names<'_>,
    losses: &mut Losses,
) -> Option<ReasoningRequest> {
    let asked = request.reasoning.as_ref()?;
    let field = names.option("reasoning_effort");
    let mut visible = asked.visible;
    if let Some(Thinking::Enabled { ext, .. } | Thinking::Adaptive { ext }) = &asked.thinking {
        let display = ext.get("display").and_then(RawJson::as_string);
        visible = visible.or(Some(display.as_deref() != Some("omitted")));
    }
    if let Some(Thinking::Enabled { ext, .. } | Thinking::Adaptive { ext } | Thinking::Disabled { ext }) =
        &asked.thinking
    {
        let mut rest = ext.clone();
        rest.0.retain(|(name, _)| name != "display");
        let path = names.option("thinking");
        foreign::report(&rest, Place::Thinking, request.origin, path, losses);
    }
    match (&asked.effort, &asked.thinking) {
        (Some(effort), Some(Thinking::Disabled { .. })) if *effort != Effort::None => {
            losses.approximated(field, "without thinking there is no effort");
        }
        (Some(_), Some(Thinking::Enabled { .. })) => {
            losses.approximated(
                names.option("thinking.budget_tokens"),
                "the effort counts, not the budget",
            );
        }
        _ => {}
    }
    let mut fit = Fit {
        capabilities,
        field,
        losses,
        out: ReasoningRequest {
            visible,
            ..ReasoningRequest::default()
        },
    };
    match (&asked.effort, &asked.thinking) {
        (_, Some(Thinking::Disabled { .. })) => {
            fit.field = names.option("thinking");
            fit.none();
        }
        (Some(effort), _) => fit.effort(effort),
        (None, Some(Thinking::Enabled { budget_tokens, .. })) => {
            fit.field = names.option("thinking.budget_tokens");
            fit.budget(*budget_tokens);
        }
        (None, Some(Thinking::Adaptive { .. })) => fit.adaptive(),
        (None, Some(Thinking::Other(_))) => {
            fit.losses.rejected(
                names.option("thinking"),
                "not a kind of thinking the provider knows",
            );
        }
        (None, None) => {}
    }
    if !capabilities.reasoning {
        return None;
    }
    Some(fit.out).filter(|out| *out != ReasoningRequest::default())
}

struct Fit<'c, 'l> {
    capabilities: &'c Capabilities,
    field: &'static str,
    losses: &'l mut Losses,
    out: ReasoningRequest,
}

impl Fit<'_, '_> {
    fn none(&mut self) {
        if !self.capabilities.reasoning {
            return;
        }
        self.out.visible = None;
        if self.capabilities.thinking_levels {
            self.least();
            self.out.effort = Some(self.nearest(&Effort::Minimal));
        } else if self.capabilities.thinking_always_on {
            self.least();
            self.set_budget(LEAST_BUDGET);
        } else {
            self.out.thinking = Some(Thinking::Disabled { ext: Ext::default() });
        }
    }

    fn least(&mut self) {
        self.losses.approximated(
            self.field,
            "the model cannot be kept from thinking; it is asked for the least",
        );
    }

    fn effort(&mut self, effort: &Effort) {
        match effort {
            Effort::Other(_) => {
                self.losses
                    .rejected(self.field, "not an effort the provider knows");
            }
            Effort::None => self.none(),
            _ if !self.capabilities.reasoning => self.losses.dropped(self.field, "the model does not reason"),
            _ if self.capabilities.thinking_levels => {
                let nearest = self.nearest(effort);
                if nearest != *effort {
                    self.losses.approximated(
                        self.field,
                        "the model does not know this effort; it is asked for the nearest",
                    );
                }
                self.out.effort = Some(nearest);
            }
            _ if !self.capabilities.budget_thinking => {
                self.losses
                    .dropped(self.field, "how much the model thinks cannot be set");
            }
            // The budgets that Google's own OpenAI endpoint takes for these words.
            Effort::Minimal | Effort::Low => self.set_budget(1_024),
            Effort::Medium => self.set_budget(8_192),
            Effort::High => self.set_budget(MOST_BUDGET),
            Effort::Xhigh | Effort::Max => {
                self.losses
                    .approximated(self.field, "the largest budget of thinking is used");
                self.set_budget(MOST_BUDGET);
            }
        }
    }

    /// A budget that the client named itself.
    fn budget(&mut self, budget_tokens: u64) {
        if !self.capabilities.reasoning {
            self.losses.dropped(self.field, "the model does not reason");
        } else if self.capabilities.thinking_levels {
            self.losses
                .approximated(self.field, "a budget of tokens becomes a level");
            let effort = match budget_tokens {
                0..2_000 => Effort::Low,
                2_000..8_000 => Effort::Medium,
                _ => Effort::High,
            };
            self.out.effort = Some(self.nearest(&effort));
        } else {
            if budget_tokens > MOST_BUDGET {
                self.losses
                    .approximated(self.field, "the largest budget of thinking is used");
            }
            self.set_budget(budget_tokens.min(MOST_BUDGET));
        }
    }

    /// A model with levels chooses by itself how much it thinks, unless it is told a level.
    fn adaptive(&mut self) {
        if self.capabilities.reasoning && !self.capabilities.thinking_levels {
            self.out.thinking = Some(Thinking::Adaptive { ext: Ext::default() });
        }
    }

    fn set_budget(&mut self, budget_tokens: u64) {
        self.out.thinking = Some(Thinking::Enabled {
            budget_tokens,
            ext: Ext::default(),
        });
    }

    /// The given effort if the model knows it as a level, else the next lower one it knows, else its lowest.
    fn nearest(&self, wanted: &Effort) -> Effort {
        /// What the models take that do not say.
        const COMMON: [Effort; 3] = [Effort::Low, Effort::Medium, Effort::High];
        let known = self.capabilities.efforts.as_deref().unwrap_or(&COMMON);
        let levels = || known.iter().filter(|effort| is_level(effort));
        levels()
            .filter(|effort| *effort <= wanted)
            .max()
            .or_else(|| levels().min())
            .unwrap_or(&Effort::Low)
            .clone()
    }
}

/// The form of the answer.
fn response_format(
    request: &Request,
    capabilities: &Capabilities,
    names: Names<'_>,
    losses: &mut Losses,
) -> Option<ResponseFormat> {
    let field = names.option("response_format");
    match request.response_format.as_ref()? {
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
            if !capabilities.native_structured_output {
                losses.rejected(field, "the model's answers cannot be bound to a schema");
                return None;
            }
            let parent = path.trim_end_matches(".schema");
            if description.is_some() {
                losses.dropped(
                    format!("{parent}.description"),
                    "the provider takes the schema only",
                );
            }
            foreign::report(ext, Place::Format, request.origin, parent, losses);
            let ext = if capabilities.json_schema {
                Ext::default()
            } else {
                let own = schema_out::from_json_schema(schema, path, losses);
                Ext(vec![("responseSchema".to_owned(), own)])
            };
            Some(ResponseFormat::JsonSchema {
                name: None,
                description: None,
                schema: Some(schema.clone()),
                strict: None,
                ext,
            })
        }
    }
}
