//! What a request of another dialect says about reasoning, as Claude's models take it, wherever they are served.

use crate::canonical::{Effort, Ext, Request, Thinking};
use crate::loss::Losses;
use crate::names::Names;
use crate::target::Capabilities;

/// The least budget of thinking tokens the provider takes.
const LEAST_BUDGET: u64 = 1024;
/// The most thinking tokens we ask for on behalf of an effort; above that answers outlast most callers' patience.
const MOST_BUDGET: u64 = 32_000;

/// How the model is to think.
#[derive(Debug)]
pub(crate) struct Thought {
    /// The most tokens of the answer, which counts thinking too and is raised where a budget does not fit.
    pub(crate) max_tokens: u64,
    /// `thinking`.
    pub(crate) thinking: Option<Thinking>,
    /// The effort.
    pub(crate) effort: Option<Effort>,
    /// Whether the conversation ends with tool results for an assistant turn that does not begin with signed reasoning. With
    /// a budget, the model refuses to think on from there.
    pub(crate) in_unsigned_tool_loop: bool,
}

/// Turns what the request says about reasoning into thinking, as the model takes it.
pub(crate) fn think(
    thought: &mut Thought,
    request: &Request,
    capabilities: &Capabilities,
    losses: &mut Losses,
) {
    let Some(reasoning) = &request.reasoning else {
        return;
    };
    let names = Names::new(request);
    let effort_field = names.option("reasoning_effort");
    let budget_field = names.option("thinking.budget_tokens");
    match (&reasoning.effort, &reasoning.thinking) {
        (Some(effort), Some(Thinking::Disabled { .. })) if *effort != Effort::None => {
            losses.approximated(effort_field, "without thinking there is no effort");
        }
        (Some(_), Some(Thinking::Enabled { .. })) => {
            losses.approximated(budget_field, "the effort counts, not the budget");
        }
        _ => {}
    }
    let mut fit = Fit {
        thought,
        capabilities,
        field: effort_field,
        max_tokens: names.option("max_tokens"),
        losses,
    };
    match (&reasoning.effort, &reasoning.thinking) {
        (_, Some(Thinking::Disabled { .. })) => fit.effort(&Effort::None),
        (Some(effort), _) => fit.effort(effort),
        // Clients of other dialects write this dialect's `thinking` too.
        (None, Some(Thinking::Enabled { budget_tokens, .. })) => {
            fit.field = budget_field;
            fit.budget(*budget_tokens);
        }
        (None, Some(Thinking::Adaptive { .. })) => {
            fit.field = names.option("thinking");
            fit.adaptive();
        }
        (None, Some(Thinking::Other(_))) => fit.losses.rejected(
            names.option("thinking"),
            "not a kind of thinking the provider knows",
        ),
        (None, None) => {}
    }
}

/// Fits thinking to the model.
struct Fit<'f> {
    thought: &'f mut Thought,
    capabilities: &'f Capabilities,
    /// What the client wrote that asks for thinking.
    field: &'static str,
    /// The client's name for the most tokens of the answer.
    max_tokens: &'static str,
    losses: &'f mut Losses,
}

impl Fit<'_> {
    fn effort(&mut self, effort: &Effort) {
        match effort {
            Effort::Other(_) => {
                self.losses
                    .rejected(self.field, "not an effort the provider knows");
            }
            Effort::None if !self.capabilities.reasoning => {}
            Effort::None if self.capabilities.thinking_always_on => {
                self.losses.approximated(
                    self.field,
                    "the model cannot be kept from thinking; it is asked for the least",
                );
                self.thought.effort = Some(nearest_effort(&Effort::Low, self.capabilities));
            }
            Effort::None => {
                self.thought.thinking = Some(Thinking::Disabled { ext: Ext::default() });
            }
            _ if !self.capabilities.reasoning => self.losses.dropped(self.field, "the model does not reason"),
            _ if self.capabilities.adaptive_thinking => {
                let nearest = nearest_effort(effort, self.capabilities);
                if nearest != *effort {
                    self.losses.approximated(
                        self.field,
                        "the model does not know this effort; it is asked for the nearest",
                    );
                }
                self.thought.effort = Some(nearest);
                self.thought.thinking = Some(Thinking::Adaptive { ext: Ext::default() });
            }
            _ if self.capabilities.budget_thinking => {
                let percent = match effort {
                    Effort::None | Effort::Minimal => 0,
                    Effort::Low => 20,
                    Effort::Medium => 50,
                    Effort::High => 80,
                    Effort::Xhigh | Effort::Max | Effort::Other(_) => 95,
                };
                let share = self.thought.max_tokens.saturating_mul(percent) / 100;
                self.enable(share.min(MOST_BUDGET));
            }
            _ => self
                .losses
                .dropped(self.field, "how much the model thinks cannot be set"),
        }
    }

    /// A budget that the client named itself.
    fn budget(&mut self, budget_tokens: u64) {
        if self.capabilities.reasoning && self.capabilities.budget_thinking {
            return self.enable(budget_tokens);
        }
        self.losses
            .approximated(self.field, "a budget of tokens becomes an effort");
        self.effort(&match budget_tokens {
            0..2_000 => Effort::Low,
            2_000..8_000 => Effort::Medium,
            8_000..24_000 => Effort::High,
            _ => Effort::Max,
        });
    }

    /// Thinking that is left to the model.
    fn adaptive(&mut self) {
        if self.capabilities.adaptive_thinking {
            self.thought.thinking = Some(Thinking::Adaptive { ext: Ext::default() });
            return;
        }
        self.losses
            .approximated(self.field, "the model does not choose how much it thinks");
        self.effort(&Effort::Medium);
    }

    /// Thinking with a budget. `max_tokens` counts thinking too and is raised where the budget does not fit.
    fn enable(&mut self, budget_tokens: u64) {
        if self.thought.in_unsigned_tool_loop {
            let reason = "the model thinks within a tool loop only if its earlier thinking is sent back";
            self.losses.approximated(self.field, reason);
            return;
        }
        let mut budget_tokens = budget_tokens.max(LEAST_BUDGET);
        if budget_tokens >= self.thought.max_tokens {
            let raised = self.thought.max_tokens.saturating_add(budget_tokens);
            let most = self
                .capabilities
                .max_output_tokens
                .unwrap_or(u64::MAX)
                .max(self.thought.max_tokens);
            let max_tokens = raised.min(most);
            budget_tokens = budget_tokens.min(max_tokens.saturating_sub(1));
            if budget_tokens < LEAST_BUDGET {
                self.losses
                    .approximated(self.field, "the model's answers are too short to think");
                return;
            }
            self.thought.max_tokens = max_tokens;
            self.losses.approximated(
                self.max_tokens,
                "raised, because it must exceed the budget of thinking",
            );
        }
        self.thought.thinking = Some(Thinking::Enabled {
            budget_tokens,
            ext: Ext::default(),
        });
    }
}

/// The given effort if the model knows it, else the next lower one it knows, else its lowest.
pub(crate) fn nearest_effort(wanted: &Effort, capabilities: &Capabilities) -> Effort {
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
