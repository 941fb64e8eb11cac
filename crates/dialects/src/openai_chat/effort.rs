//! Reasoning knobs: how `reasoning_effort` is chosen for a model, and which efforts a thinking budget stands for.

use crate::canonical::{Effort, ReasoningRequest, Thinking};
use crate::names::Names;
use crate::{Capabilities, Losses};

/// The word for `reasoning_effort` when the request comes from another dialect; `None` leaves the choice to the model.
pub(crate) fn for_foreign(
    reasoning: &ReasoningRequest,
    capabilities: &Capabilities,
    names: Names<'_>,
    losses: &mut Losses,
) -> Option<Effort> {
    match (&reasoning.thinking, &reasoning.effort) {
        (Some(Thinking::Disabled { .. }), Some(effort)) if *effort != Effort::None => {
            losses.approximated(
                names.option("reasoning_effort"),
                "without thinking there is no effort",
            );
        }
        (Some(Thinking::Enabled { .. }), Some(_)) => {
            losses.approximated(
                names.option("thinking.budget_tokens"),
                "the effort counts, not the budget",
            );
        }
        (Some(Thinking::Other(_)), Some(_)) => {
            losses.approximated(names.option("thinking"), "only the effort can be chosen");
        }
        _ => {}
    }
    let wanted = match (&reasoning.thinking, &reasoning.effort) {
        (Some(Thinking::Disabled { .. }), _) => Effort::None,
        (Some(Thinking::Enabled { budget_tokens, .. }), None) => {
            losses.approximated(
                names.option("thinking.budget_tokens"),
                "a budget of tokens becomes an effort",
            );
            of_budget(*budget_tokens)
        }
        (Some(Thinking::Other(_)), None) => {
            losses.approximated(
                names.option("thinking"),
                "this kind of thinking is left to the model",
            );
            return None;
        }
        (_, Some(effort)) => effort.clone(),
        (Some(Thinking::Adaptive { .. }) | None, None) => return None,
    };
    let field = names.option(if reasoning.effort.is_some() {
        "reasoning_effort"
    } else {
        "thinking"
    });
    if !capabilities.reasoning {
        if wanted != Effort::None {
            losses.dropped(field, "the model does not reason");
        }
        return None;
    }
    let Some(known) = capabilities.efforts.as_deref().filter(|known| !known.is_empty()) else {
        return Some(wanted);
    };
    if known.contains(&wanted) {
        return Some(wanted);
    }
    losses.approximated(field, "the model has no such effort; the nearest is used");
    // The highest effort below the wanted one, or else the least there is; reasoning is not switched off unasked.
    let on = || known.iter().filter(|effort| **effort != Effort::None);
    on().filter(|effort| **effort < wanted)
        .max()
        .or_else(|| on().min())
        .cloned()
}

/// The effort that a budget of thinking tokens stands for.
fn of_budget(tokens: u64) -> Effort {
    match tokens {
        0..2_000 => Effort::Low,
        2_000..8_000 => Effort::Medium,
        8_000..24_000 => Effort::High,
        _ => Effort::Max,
    }
}
