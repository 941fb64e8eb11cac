//! Reasoning that was not told: an item without a text and without a proof, as OpenAI's models write unless asked for more.
//!
//! Within its own dialect it is kept. To a client of another dialect it says nothing, and an empty block would be a riddle,
//! so it is left out before the answer is written.

use std::borrow::Cow;

use crate::Dialect;
use crate::canonical::{Delta, Event, Part, PartKind, Reasoning, Response};

/// An answer for a client of `dialect`, without reasoning that was not told.
pub(crate) fn leave_out(response: &Response, dialect: Dialect) -> Cow<'_, Response> {
    let is_unsaid = |part: &Part| matches!(part, Part::Reasoning(reasoning) if is_empty(reasoning));
    let concerned = response.origin != dialect
        && response
            .choices
            .iter()
            .any(|choice| choice.parts.iter().any(is_unsaid));
    if !concerned {
        return Cow::Borrowed(response);
    }
    let mut response = response.clone();
    for choice in &mut response.choices {
        choice.parts.retain(|part| !is_unsaid(part));
    }
    Cow::Owned(response)
}

fn is_empty(reasoning: &Reasoning) -> bool {
    reasoning.text.is_empty() && reasoning.signature.is_none() && reasoning.redacted.is_none()
}

/// What is to be done with an event.
pub(crate) enum Step {
    /// It is told.
    Tell,
    /// It waits for more, or is left out.
    Leave,
    /// This beginning is told before it.
    TellAfter(Box<Event<'static>>),
}

/// Holds the beginning of reasoning back until there is something to tell.
#[derive(Debug)]
pub(crate) struct Unsaid {
    dialect: Dialect,
    concerned: bool,
    waiting: Vec<(u64, usize, PartKind)>,
}

impl Unsaid {
    /// For a client of `dialect`.
    pub(crate) fn new(dialect: Dialect) -> Self {
        Unsaid {
            dialect,
            concerned: false,
            waiting: Vec::new(),
        }
    }

    /// What is to be done with the next event.
    pub(crate) fn step(&mut self, event: &Event<'_>) -> Step {
        match event {
            Event::Start { origin, .. } => {
                self.concerned = *origin == Dialect::OpenaiResponses && self.dialect != *origin;
            }
            Event::PartStart {
                choice,
                part,
                kind: kind @ PartKind::Reasoning { .. },
            } if self.concerned => {
                self.waiting.push((*choice, *part, kind.clone()));
                return Step::Leave;
            }
            Event::PartDelta { choice, part, delta } if !self.waiting.is_empty() => {
                let Some(position) = self.position(*choice, *part) else {
                    return Step::Tell;
                };
                if matches!(delta, Delta::Opaque(_)) {
                    return Step::Leave;
                }
                let (choice, part, kind) = self.waiting.remove(position);
                return Step::TellAfter(Box::new(Event::PartStart { choice, part, kind }));
            }
            Event::PartStop { choice, part } if !self.waiting.is_empty() => {
                if let Some(position) = self.position(*choice, *part) {
                    self.waiting.remove(position);
                    return Step::Leave;
                }
            }
            _ => {}
        }
        Step::Tell
    }

    fn position(&self, choice: u64, part: usize) -> Option<usize> {
        self.waiting
            .iter()
            .position(|(c, p, _)| (*c, *p) == (choice, part))
    }
}
