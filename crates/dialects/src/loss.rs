//! The loss report: what a translation could not carry over, field by field.

use std::fmt;

/// What happened to a field that the target dialect cannot express exactly.
///
/// The classes are those of the field tables in `docs/dialects.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Translated to the nearest meaning; the answer may differ slightly.
    Approximated,
    /// A hint without effect on the content of the answer; left out.
    Dropped,
    /// Leaving it out would change what the caller gets (shape, safety, state, money): the call must be refused.
    Rejected,
}

impl Effect {
    /// The word used in the `x-tollgate-loss` header.
    pub const fn name(self) -> &'static str {
        match self {
            Effect::Approximated => "approximated",
            Effect::Dropped => "dropped",
            Effect::Rejected => "rejected",
        }
    }
}

/// One field that did not survive a translation unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Path of the field in the source document, such as `messages[2].name`.
    pub field: String,
    /// What was done with it.
    pub effect: Effect,
    /// Why, in a few words for a person.
    pub reason: &'static str,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={} ({})", self.field, self.effect.name(), self.reason)
    }
}

/// So many losses are told one by one. A document can be made to have a million, of which nobody reads more than the
/// first, and each is compared with all before.
const MOST: usize = 256;
/// The field of all losses after these.
const MORE: &str = "...";

/// All losses of one translation, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(Vec<Loss>);

impl Losses {
    /// An empty report.
    pub const fn new() -> Self {
        Losses(Vec::new())
    }

    /// Records a field that got the nearest meaning.
    pub fn approximated(&mut self, field: impl Into<String>, reason: &'static str) {
        self.push(field, Effect::Approximated, reason);
    }

    /// Records a hint that was left out.
    pub fn dropped(&mut self, field: impl Into<String>, reason: &'static str) {
        self.push(field, Effect::Dropped, reason);
    }

    /// Records a field without which the call must not be made.
    pub fn rejected(&mut self, field: impl Into<String>, reason: &'static str) {
        self.push(field, Effect::Rejected, reason);
    }

    /// Records one loss; the same field with the same effect is listed once. After 256 losses, those that follow are told
    /// by effect and reason, for a field `...`.
    pub fn push(&mut self, field: impl Into<String>, effect: Effect, reason: &'static str) {
        let field = if self.0.len() < MOST {
            field.into()
        } else {
            MORE.to_owned()
        };
        let loss = Loss {
            field,
            effect,
            reason,
        };
        if !self.0.contains(&loss) {
            self.0.push(loss);
        }
    }

    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The losses in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.0.iter()
    }

    /// The losses that forbid the call.
    pub fn rejections(&self) -> impl Iterator<Item = &Loss> {
        self.0.iter().filter(|loss| loss.effect == Effect::Rejected)
    }

    /// The same losses, of fields within `place`, such as `answer`.
    #[must_use]
    pub fn within(mut self, place: &str) -> Losses {
        for loss in &mut self.0 {
            loss.field = format!("{place}.{}", loss.field);
        }
        self
    }

    /// Appends another report.
    pub fn extend(&mut self, other: Losses) {
        for loss in other.0 {
            self.push(loss.field, loss.effect, loss.reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, Losses};

    #[test]
    fn a_million_losses_are_told_in_a_few_hundred() {
        let mut losses = Losses::new();
        for i in 0..1_000_000 {
            losses.dropped(format!("input[{i}]"), "why");
        }
        losses.rejected("input[1000000]", "why not");
        assert_eq!(losses.iter().count(), 258);
        assert_eq!(losses.rejections().count(), 1, "no rejection is lost");
        let last: Vec<_> = losses.iter().skip(256).map(ToString::to_string).collect();
        assert_eq!(last, ["...=dropped (why)", "...=rejected (why not)"]);
        assert_eq!(
            losses.iter().next().map(|loss| loss.effect),
            Some(Effect::Dropped)
        );
    }
}
