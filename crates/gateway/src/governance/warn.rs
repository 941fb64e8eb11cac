//! Tells people that a budget is used up to a share: once for each share and period, to the log, a counter and a webhook.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use serde_json::json;
use tollgate_resources::governance::{time_text, usd_text};
use tollgate_resources::model::{Amount, Webhook};
use tollgate_telemetry::{Metrics, Outlets};

use super::call::Picked;
use super::index::BudgetRule;
use super::period::Period;
use super::{Governance, now_s};
use crate::plugins::{Post, webhook};

/// How many of the last ones are remembered.
const REMEMBERED: usize = 100;

/// Bits of a share in [`super::index::Tally::told`].
const SHARE_BITS: u32 = 10;

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Id of the budget.
    pub budget: String,
    /// Whose it is, such as `team/search`.
    pub subject: String,
    /// The share that was reached, in thousandths.
    pub share: u32,
    /// What was spent and what may be, in the budget's unit.
    pub spent: u64,
    /// The whole amount.
    pub amount: Amount,
    /// When the budget begins anew, in seconds since 1970; `None` for never.
    pub resets_at: Option<u64>,
    /// Whether calls are refused that do not fit.
    pub hard: bool,
}

/// A warning, with when people were told, in seconds since 1970.
pub type Told = (u64, Warning);

impl Warning {
    /// As it is posted to the webhook.
    pub fn to_json(&self, now_s: u64) -> serde_json::Value {
        let amount = |number: u64| match self.amount {
            Amount::MicroUsd(_) => json!(usd_text(number)),
            Amount::Tokens(_) => json!(number),
        };
        json!({
            "event": if self.share >= 1000 { "budget_exhausted" } else { "budget_warning" },
            "time": time_text(now_s),
            "budget": self.budget,
            "for": self.subject,
            "share": f64::from(self.share) / 1000.0,
            "unit": self.amount.unit(),
            "spent": amount(self.spent),
            "amount": amount(self.amount.number()),
            "hard": self.hard,
            "resets_at": self.resets_at.map(time_text),
        })
    }
}

/// Where warnings go.
pub struct Outlet {
    outlets: Outlets,
    post: ArcSwapOption<Configured>,
    last: Mutex<VecDeque<Told>>,
}

struct Configured {
    written: Webhook,
    post: Post,
}

impl Outlet {
    /// To the log and a counter only.
    pub fn new(outlets: Outlets) -> Self {
        Outlet {
            outlets,
            post: ArcSwapOption::empty(),
            last: Mutex::default(),
        }
    }

    /// The numbers that are told to Prometheus.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.outlets.metrics()
    }

    /// Posts to this address from now on.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn configure(
        &self,
        written: Option<&Webhook>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        let configured = match (written, &*self.post.load()) {
            (None, _) => None,
            (Some(written), Some(known)) if known.written == *written => Some(known.clone()),
            (Some(written), _) => {
                let text = |error: tollgate_resources::MissingVariable| error.to_string();
                let url = written.url.resolve(env).map_err(text)?;
                let authorization = written.authorization.as_ref().map(|secret| secret.resolve(env));
                let authorization = authorization.transpose().map_err(text)?;
                let post = webhook(
                    url.expose(),
                    authorization.as_ref().map(|secret| secret.expose()),
                    &self.outlets,
                )
                .map_err(|unusable| unusable.to_string())?;
                Some(Arc::new(Configured {
                    written: written.clone(),
                    post,
                }))
            }
        };
        self.post.store(configured);
        Ok(())
    }

    /// The last ones, the oldest first.
    pub fn told(&self) -> Vec<Told> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().cloned().collect()
    }

    fn tell(&self, warning: Warning) {
        let (now, value) = (now_s(), warning.to_json(now_s()));
        tracing::warn!(
            budget = warning.budget,
            of = warning.subject,
            share = f64::from(warning.share) / 1000.0,
            "a budget is used up to a share: {value}"
        );
        let of_budget = self.metrics().counter(
            "tollgate_budget_warnings_total",
            "How often a budget has reached one of its warn_at.",
            &["budget"],
            &[&warning.budget],
        );
        of_budget.add(1);
        if let Some(configured) = &*self.post.load() {
            (configured.post)(value.to_string().as_bytes());
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back((now, warning));
    }
}

impl Governance {
    /// So much of a budget is spent in a period: tells people if that reaches a share of it that they were not told of.
    pub(super) fn warn(&self, rule: &BudgetRule, period: &Period, spent: u64) {
        let amount = rule.budget.amount.number();
        let reached = rule
            .budget
            .warn_at
            .iter()
            .rfind(|share| u128::from(spent) * 1000 >= u128::from(amount) * u128::from(**share));
        let Some(share) = reached else {
            return;
        };
        // One number for period and share, so that of several who see it at once one tells.
        let now = (period.start_s << SHARE_BITS) | u64::from(*share);
        let told = &rule.tally.told;
        let tells = told.fetch_update(Ordering::AcqRel, Ordering::Acquire, |before| {
            (before < now).then_some(now)
        });
        if tells.is_ok() {
            self.warnings.tell(Warning {
                budget: rule.budget.id.clone(),
                subject: rule.budget.subject.to_string(),
                share: *share,
                spent,
                amount: rule.budget.amount,
                resets_at: period.end_s,
                hard: rule.budget.hard,
            });
        }
    }
}

impl Governance {
    /// A call did not fit: tells people if they do not know that the budget is used up.
    pub(super) fn tell_exhausted(&self, picked: &Picked, left: u64) {
        let amount = picked.rule.budget.amount.number();
        self.warn(&picked.rule, &picked.period, amount.saturating_sub(left));
    }

    /// So much of a budget is counted after something was spent, reservations included: tells people if that crosses a share
    /// of it.
    pub(super) fn note_spent(&self, picked: &Picked, counted: u64) {
        // With Redis, nothing is reserved here.
        let reserved = match self.shared.load().is_some() {
            true => 0,
            false => picked.rule.tally.reserved.load(Ordering::Relaxed),
        };
        self.warn(&picked.rule, &picked.period, counted.saturating_sub(reserved));
    }
}
