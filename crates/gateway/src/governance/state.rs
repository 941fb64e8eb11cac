//! What is left of budgets and limits: for the Admin API, and for callers themselves.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};
use tollgate_resources::governance::{budget_json, limit_json, time_text, usd_text};
use tollgate_resources::model::{Amount, Rate};
use tollgate_store::counters::{
    Ask, Counters, Decision, Enter, Entered, Key, Limit as Count, MAX_AMOUNT, Together, Verdict, Windows,
};

use super::index::{BudgetRule, LimitRule};
use super::{Governance, Identity, now_s};
use crate::clock;

/// How a budget stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetState {
    /// When the period began, in seconds since 1970.
    pub period_start: u64,
    /// When it ends; `None` for never.
    pub resets_at: Option<u64>,
    /// What was spent.
    pub spent: u64,
    /// What calls under way have reserved.
    pub reserved: u64,
    /// The amount of the budget.
    pub amount: Amount,
    /// `ok`, `warned` or `exhausted`.
    pub level: &'static str,
}

impl BudgetState {
    /// What is left for further calls.
    pub fn remaining(&self) -> u64 {
        self.amount
            .number()
            .saturating_sub(self.spent.saturating_add(self.reserved))
    }

    /// As JSON: money as text, tokens as numbers.
    pub fn to_json(&self) -> Value {
        let mut value = Map::new();
        value.insert("period_start".to_owned(), json!(time_text(self.period_start)));
        value.insert("resets_at".to_owned(), json!(self.resets_at.map(time_text)));
        let unit = self.amount.unit();
        for (name, number) in [
            ("spent", self.spent),
            ("reserved", self.reserved),
            ("remaining", self.remaining()),
        ] {
            let number = match self.amount {
                Amount::MicroUsd(_) => json!(usd_text(number)),
                Amount::Tokens(_) => json!(number),
            };
            value.insert(format!("{name}_{unit}"), number);
        }
        value.insert("level".to_owned(), json!(self.level));
        Value::Object(value)
    }
}

/// How a limit stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitState {
    /// What is used of it: for calls at the same time, how many are in now.
    pub used: Option<u64>,
    /// What is left.
    pub remaining: Option<u64>,
    /// In how many milliseconds it begins anew; `None` where it does not, or was not used.
    pub reset_ms: Option<u64>,
}

impl LimitState {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let resets = self
            .reset_ms
            .map(|reset| time_text(now_s() + reset.div_ceil(1000)));
        json!({"used": self.used, "remaining": self.remaining, "resets_at": resets})
    }
}

/// Everything that counts for a caller, as JSON.
pub type Standing = Value;

impl Governance {
    /// How a budget stands; `None` if there is none of this id. Blocks its thread where Redis is asked.
    pub fn budget_state(&self, id: &str) -> Option<BudgetState> {
        let rule = self.index().budgets.get(id)?.clone();
        let (key, count) = counter_now(&rule);
        Some(state_of(&rule, self.used_blocking(key, count).0))
    }

    /// How a limit stands; `None` if there is none of this id. Blocks its thread where Redis is asked.
    pub fn limit_state(&self, id: &str) -> Option<LimitState> {
        let rule = self.index().limits.get(id)?.clone();
        Some(match count_of(&rule) {
            Err(places) => places_state_of(places, self.taken_blocking(&rule.name)),
            Ok((amount, count)) => limit_state_of(amount, self.used_blocking(rule.name.clone(), count)),
        })
    }

    fn taken_blocking(&self, key: &Key) -> u64 {
        if self.shared.load().is_none() {
            return match looked_at(&self.own, key) {
                Decision::Made(entered) => taken(&entered),
                Decision::Later(_) => 0,
            };
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_or(0, |runtime| runtime.block_on(self.taken(key)))
    }

    /// How many calls are in at the same time.
    async fn taken(&self, key: &Key) -> u64 {
        let mut entered = None;
        if let Some(shared) = self.shared.load_full() {
            entered = looked_at(&shared.counters, key).wait().await.ok();
        }
        let entered = match entered {
            Some(entered) => Some(entered),
            None => looked_at(&self.own, key).wait().await.ok(),
        };
        entered.map_or(0, |entered| taken(&entered))
    }

    fn used_blocking(&self, key: Key, count: Count) -> (u64, u64) {
        if self.shared.load().is_none() {
            let asked = self
                .own
                .decide(vec![Ask::peek(key, count)], Together::InTurn, clock::steady());
            return match asked {
                Decision::Made(verdicts) => told(verdicts),
                Decision::Later(_) => (0, 0),
            };
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_or((0, 0), |runtime| runtime.block_on(self.used(key, count)))
    }

    /// What a counter has counted, and in how many milliseconds it begins anew.
    async fn used(&self, key: Key, count: Count) -> (u64, u64) {
        let ask = |counters: &Counters| -> Decision<_> {
            counters.decide(
                vec![Ask::peek(key.clone(), count)],
                Together::InTurn,
                clock::steady(),
            )
        };
        let mut answer = None;
        if let Some(shared) = self.shared.load_full() {
            answer = ask(&shared.counters).wait().await.ok();
        }
        let answer = match answer {
            Some(answer) => Some(answer),
            None => ask(&self.own).wait().await.ok(),
        };
        answer.map_or((0, 0), told)
    }

    /// Everything that counts for a caller, for the caller.
    pub async fn standing(&self, identity: &Identity) -> Standing {
        let index = self.index();
        let (mut budgets, mut limits) = (Vec::new(), Vec::new());
        for level in identity.levels.iter().flat_map(|levels| levels.iter()) {
            for rule in &level.budgets {
                let mut value = budget_json(&rule.budget);
                value.insert("state".to_owned(), {
                    let (key, count) = counter_now(rule);
                    state_of(rule, self.used(key, count).await.0).to_json()
                });
                budgets.push(Value::Object(value));
            }
            for rule in &level.limits {
                let mut value = limit_json(&rule.limit);
                value.insert("state".to_owned(), {
                    let state = match count_of(rule) {
                        Err(places) => places_state_of(places, self.taken(&rule.name).await),
                        Ok((amount, count)) => {
                            limit_state_of(amount, self.used(rule.name.clone(), count).await)
                        }
                    };
                    state.to_json()
                });
                limits.push(Value::Object(value));
            }
        }
        let models: Vec<Value> = identity
            .levels
            .iter()
            .flat_map(|levels| levels.iter())
            .filter_map(|level| {
                let models: Vec<&str> = level.models.as_ref()?.iter().map(|glob| glob.as_str()).collect();
                Some(json!({"for": level.subject.to_string(), "models": models}))
            })
            .collect();
        let mut path: Vec<&str> = index.path(identity.team.as_deref()).collect();
        path.reverse();
        let key = identity.key.as_ref().map(|key| {
            json!({
                "id": key.key.id,
                "name": key.key.name,
                "prefix": key.key.prefix,
                "expires_at": key.key.expires_at.map(time_text),
            })
        });
        json!({
            "consumer": identity.consumer.as_deref(),
            "key": key,
            "team": identity.team.as_deref(),
            "team_path": path,
            "models": models,
            "budgets": budgets,
            "limits": limits,
        })
    }
}

/// What a question has found: what is used, and in how many milliseconds the count begins anew.
fn told(verdicts: Vec<Verdict>) -> (u64, u64) {
    let verdict = verdicts.into_iter().next();
    verdict.map_or((0, 0), |verdict| {
        (MAX_AMOUNT.saturating_sub(verdict.remaining), verdict.reset_ms)
    })
}

fn counter_now(rule: &BudgetRule) -> (Key, Count) {
    let now = now_s();
    let period = rule.period(now);
    (period.key.clone(), period.count(now))
}

fn state_of(rule: &BudgetRule, used: u64) -> BudgetState {
    let now = now_s();
    let (start, end) = rule.budget.per.around(now);
    let reserved = rule.tally.reserved.load(Ordering::Relaxed).min(used);
    let spent = used - reserved;
    let amount = rule.budget.amount.number();
    let warned = rule
        .budget
        .warn_at
        .first()
        .is_some_and(|share| u128::from(spent) * 1000 >= u128::from(amount) * u128::from(*share));
    BudgetState {
        period_start: start,
        resets_at: end,
        spent,
        reserved,
        amount: rule.budget.amount,
        level: match (spent >= amount, warned) {
            (true, _) => "exhausted",
            (false, true) => "warned",
            (false, false) => "ok",
        },
    }
}

/// Asks how many are in, and takes no place.
fn looked_at(counters: &Counters, key: &Key) -> Decision<Vec<Entered>> {
    let look = Enter {
        key: key.clone(),
        limit: 0,
        lease_ms: 1,
    };
    counters.enter(vec![look], clock::steady())
}

fn taken(entered: &[Entered]) -> u64 {
    entered.first().map_or(0, |entered| entered.taken)
}

fn places_state_of(places: u64, taken: u64) -> LimitState {
    LimitState {
        used: Some(taken),
        remaining: Some(places.saturating_sub(taken)),
        reset_ms: None,
    }
}

/// The amount and the counter of a limit in a time; else how many may be in at the same time.
fn count_of(rule: &LimitRule) -> Result<(u64, Count), u64> {
    match rule.limit.rate {
        Rate::Requests(amount, window) | Rate::Tokens(amount, window) => Ok((
            amount,
            Count {
                amount: MAX_AMOUNT,
                window_ms: window.milliseconds(),
                windows: Windows::Fixed,
            },
        )),
        Rate::Concurrent(places) => Err(places),
    }
}

fn limit_state_of(amount: u64, (used, reset_ms): (u64, u64)) -> LimitState {
    LimitState {
        used: Some(used),
        remaining: Some(amount.saturating_sub(used)),
        reset_ms: (used > 0).then_some(reset_ms),
    }
}
